/* SPDX-License-Identifier: MPL-2.0 */
/* Replicate orders that are in the air: given, ended, failed, late. */
#include <stdlib.h>

#include "broker/core/copier_private.h"
#include "broker/core/place.h"
#include "broker/core/credit.h"
#include "broker/core/uploads.h"

#define RATE_PAUSE (10 * SEC)
#define ORDER_WAIT (10 * SEC) /* and a second more for each 4 MiB */
#define ORDER_RATE (4 * MIB)

/* --- orders --- */

void copier_end_order (core_t *core, order_t *order)
{
    worker_t *source = members_find (core, order->source);
    worker_t *target = members_find (core, order->target);

    list_remove (&order->in_job);
    list_remove (&order->in_source);
    list_remove (&order->in_target);
    order->job->n_orders--;
    if (source)
        source->copying_from--;
    if (target) {
        target->copying_to--;
        target->copying_bytes -= order->credit;
        credit_give (target, order->credit);
    }
    table_remove (core->copier->orders, table_hash (order->id), &order->id);
    free (order);
    core->copier->wake = true;
    place_wake (core);
}

/* Others than WORKER are tried first for a while. */
static void blame (job_t *job, uint32_t worker)
{
    for (size_t i = 0; i < BAD_WORKERS; i++)
        if (job->bad[i] == worker)
            return;
    job->bad[job->next_bad++ % BAD_WORKERS] = worker;
}

/* One of the two could not do it, or they do not reach each other. */
static void fail_order (core_t *core, order_t *order, bool source, bool target)
{
    job_t *job = order->job;

    if (source)
        blame (job, order->source);
    if (target)
        blame (job, order->target);
    job->failures++;
    core->copier->failed++;
    copier_end_order (core, order);
    if (job->failures < FAILED_OFTEN) {
        copier_wait_in (core, job, QUEUE_FAILED);
        return;
    }
    /* May free the job's pins, not the job. */
    copier_wait_in (core, job, QUEUE_STUCK);
    uploads_copy_stuck (core, job->chunk);
}

static void count_progress (core_t *core, uint64_t bytes)
{
    copier_t *self = core->copier;
    uint64_t passed = core->now - self->rate_at;

    self->done++;
    self->rate_bytes += bytes;
    if (passed < SEC / 4)
        return;
    if (passed > RATE_PAUSE) {
        self->rate = 0; /* the first after a pause: how long it took is not known */
        self->rate_since = core->now;
    } else {
        uint64_t rate = self->rate_bytes * (SEC / MS) / (passed / MS);
        self->rate = self->rate > 0 ? (self->rate + rate) / 2 : rate;
    }
    self->rate_bytes = 0;
    self->rate_at = core->now;
}

void copier_send_order (core_t *core, job_t *job, worker_t *source, worker_t *target,
                        uint64_t credit)
{
    order_t *order = core_zalloc (sizeof *order);
    action_t *action = actions_add (core->out, ACTION_REPLICATE);
    action_replicate_t *replicate = &action->u.replicate;
    uint64_t wait = ORDER_WAIT + job->chunk->length * SEC / ORDER_RATE;
    core_address_t *address;

    order->id = core_id (core);
    order->job = job;
    order->source = source->member.id;
    order->target = target->member.id;
    order->credit = credit;
    list_init (&order->in_job);
    list_init (&order->in_source);
    list_init (&order->in_target);
    list_push (&job->orders, &order->in_job);
    list_push (&source->sources, &order->in_source);
    list_push (&target->orders, &order->in_target);
    job->n_orders++;
    source->copying_from++;
    target->copying_to++;
    target->copying_bytes += credit;
    credit_take (target, credit);
    table_put (core->copier->orders, table_hash (order->id), order);
    core_timer (core, core->now + wait, TIMER_ORDER, order->id);

    replicate->order = order->id;
    replicate->worker = order->source;
    replicate->grant.key = job->chunk->key;
    replicate->grant.length = job->chunk->length;
    replicate->grant.birth = core->log_index;
    replicate->grant.expiry_ns = core->log_time + 2 * wait;
    replicate->grant.incarnation = core->incarnation;
    replicate->grant.term = core->term;
    replicate->grant.order = order->id;
    replicate->grant.n_targets = 1;
    replicate->grant.targets[0] = order->target;
    address = actions_alloc (core->out, sizeof *address);
    *address = members_address (core, target);
    replicate->targets = address;
    replicate->n_targets = 1;
}

/* --- what happens to orders --- */

void copier_chunk_changed (core_t *core, chunk_t *chunk, uint32_t worker)
{
    job_t *job = chunk->job;
    list_t *node;

    if (!job)
        return;
    for (node = job->orders.next; node != &job->orders;) {
        order_t *order = LIST_OF (node, order_t, in_job);

        node = node->next;
        if (order->target == worker && chunk_on (core, chunk, worker)) {
            count_progress (core, chunk->length);
            job->failures = 0;
            copier_end_order (core, order);
        }
    }
    if (copier_counted (core, job) >= copier_wanted (job) && job->n_orders == 0)
        copier_free_job (core, job);
    else
        copier_enqueue (core, job, QUEUE_RECHECK);
}

void copier_refused (core_t *core, chunk_t *chunk, uint32_t worker)
{
    job_t *job = chunk->job;
    list_t *node;

    for (node = job ? job->orders.next : NULL; job && node != &job->orders;) {
        order_t *order = LIST_OF (node, order_t, in_job);

        node = node->next;
        if (order->target == worker)
            fail_order (core, order, false, true);
    }
}

bool copier_result (core_t *core, const event_order_t *event)
{
    order_t *order =
        table_get (core->copier->orders, table_hash (event->order), &event->order);

    if (!order || order->source != event->worker)
        return order != NULL;
    /* Sent is not stored: the target's own report ends it. */
    if (event->code == DFS_OK)
        return true;
    core_log (core, LOG_WARN, "replicate_failed", "node=%u target=%u code=%d",
              event->worker, order->target, event->code);
    /* Whose copy is gone or damaged is known; who is cut off is not. */
    fail_order (core, order, true,
                event->code != DFS_ENOENT && event->code != DFS_EDAMAGED);
    return true;
}

void copier_timer (core_t *core, uint64_t id)
{
    order_t *order = table_get (core->copier->orders, table_hash (id), &id);

    if (order)
        fail_order (core, order, true, true);
}
