/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/copier.h"

#include <stdlib.h>

#include "broker/core/balance.h"
#include "broker/core/copier_private.h"
#include "broker/core/place.h"
#include "broker/core/placement.h"
#include "broker/core/scan.h"
#include "broker/core/uploads.h"

#define ORDER_CREDIT (4 * MIB)
#define PUMP_MOST    256 /* jobs looked at in one step */
#define PUMP_BUSY    16  /* in a row that cannot start end the round */
#define PUMP_LATER   (20 * MS)
#define STUCK_LATER  (10 * SEC)
#define FAILED_LATER (200 * MS)

static bool match_order (const void *entry, const void *key)
{
    return ((const order_t *)entry)->id == *(const uint64_t *)key;
}

copier_t *copier_new (void)
{
    copier_t *self = core_zalloc (sizeof *self);

    self->orders = table_new (match_order);
    for (int i = 0; i < QUEUES; i++)
        list_init (&self->queues[i]);
    return self;
}

void copier_destroy (copier_t **self_p)
{
    copier_t *self = *self_p;
    size_t cursor = 0;
    order_t *order;

    if (!self)
        return;
    while ((order = table_next (self->orders, &cursor)))
        free (order);
    for (int i = 0; i < QUEUES; i++)
        while (!list_empty (&self->queues[i])) {
            job_t *job = LIST_OF (self->queues[i].next, job_t, node);

            list_remove (&job->node);
            free (job);
        }
    table_destroy (&self->orders);
    free (self);
    *self_p = NULL;
}

/* --- jobs --- */

static void set_lost (copier_t *self, job_t *job, bool lost)
{
    if (job->lost == lost)
        return;
    job->lost = lost;
    self->lost += lost;
    self->lost -= !lost;
    self->lost_changes++;
}

void copier_enqueue (core_t *core, job_t *job, enum queue queue)
{
    copier_t *self = core->copier;

    if (!list_empty (&job->node)) {
        list_remove (&job->node);
        copier_count (self, job, false);
    }
    /* One that is to be looked at again is what it was until then. */
    if (queue != QUEUE_RECHECK)
        set_lost (self, job, queue == QUEUE_LOST);
    job->queue = queue;
    job->round = self->rounds[queue];
    list_push (&self->queues[queue], &job->node);
    copier_count (self, job, true);
    copier_leaves (core, job, false);
    if (queue < QUEUE_SERVED)
        self->wake = true;
}

void copier_free_job (core_t *core, job_t *job)
{
    copier_t *self = core->copier;
    chunk_t *chunk = job->chunk;

    list_remove (&job->node);
    copier_count (self, job, false);
    copier_leaves (core, job, true);
    set_lost (self, job, false);
    self->jobs--;
    self->repairs -= job->repair;
    self->moves -= job->move && !job->repair;
    self->bytes_queued -= job->bytes;
    self->spreads +=
        job->apart > 0 && copier_counted (core, job) >= copier_wanted (job);
    chunk->job = NULL;
    if (job->target > 0)
        balance_copied (core, &chunk->key, chunk_on (core, chunk, job->target));
    free (job);
    chunks_release (core, chunk);
}

uint32_t copier_counted (const core_t *core, const job_t *job)
{
    return job->repair || job->move ? chunk_staying (core, job->chunk)
                                    : chunk_live (core, job->chunk);
}

uint32_t copier_wanted (const job_t *job)
{
    return job->want + (job->apart > 0);
}

/* What JOB is for; keeps the counts. */
static void set_kind (core_t *core, job_t *job, bool repair, bool move)
{
    copier_t *self = core->copier;

    self->repairs += repair;
    self->repairs -= job->repair;
    self->idle_repairs += job->idle && repair;
    self->idle_repairs -= job->idle && job->repair;
    self->moves += move && !repair;
    self->moves -= job->move && !job->repair;
    job->repair = repair;
    job->move = move;
}

static enum queue class_of (const job_t *job, uint32_t live)
{
    if (job->urgent)
        return QUEUE_URGENT;
    if (!job->repair)
        return QUEUE_MOVE;
    return live <= 1 ? QUEUE_ONE : live == 2 ? QUEUE_TWO : QUEUE_MORE;
}

void copier_want (core_t *core, chunk_t *chunk, uint32_t want, enum copy_why why)
{
    job_t *job = chunk->job;

    if (!job) {
        job = core_zalloc (sizeof *job);
        job->chunk = chunk;
        list_init (&job->node);
        list_init (&job->orders);
        chunk->job = job;
        core->copier->jobs++;
        job->bytes = chunk->length;
        core->copier->bytes_queued += job->bytes;
        copier_enqueue (core, job, QUEUE_RECHECK);
    }
    if (want > job->want)
        job->want = want;
    if (why == COPY_REPAIR) {
        if (want > job->need)
            job->need = want;
        set_kind (core, job, true, job->move);
    } else if (why == COPY_MOVE) {
        set_kind (core, job, job->repair, true);
    } else if (!job->urgent) {
        job->urgent = true;
        copier_enqueue (core, job, QUEUE_RECHECK);
    }
    /* More endangered than when it was queued. */
    if (job->queue < QUEUE_SERVED &&
        class_of (job, chunk_live (core, chunk)) < job->queue)
        copier_enqueue (core, job, QUEUE_RECHECK);
}

void copier_move (core_t *core, chunk_t *chunk, uint32_t want, uint32_t target)
{
    copier_want (core, chunk, want, COPY_MOVE);
    chunk->job->target = target;
}

void copier_unwanted (core_t *core, chunk_t *chunk)
{
    job_t *job = chunk->job;

    if (!job)
        return;
    set_kind (core, job, false, false);
    if (job->urgent)
        return;
    while (!list_empty (&job->orders))
        copier_end_order (core, LIST_OF (job->orders.next, order_t, in_job));
    copier_free_job (core, job);
}

/* A move that does not come about is given up: it was no necessity. What the chunk
 * needs without it, one copy less, is then made wherever there is room. */
static bool give_up_move (core_t *core, job_t *job)
{
    if (job->target == 0 || job->n_orders > 0)
        return false;
    if (job->repair || job->urgent || copier_counted (core, job) + 1 < job->want) {
        balance_copied (core, &job->chunk->key, false);
        job->target = 0;
        if (!job->urgent && job->want > job->need)
            job->want--;
        return false;
    }
    copier_free_job (core, job);
    return true;
}

/* The same holds for a copy that was to stand apart; true when nothing else is left to
 * do. */
static bool give_up_apart (core_t *core, job_t *job)
{
    job->apart = 0;
    if (copier_counted (core, job) < job->want || job->n_orders > 0)
        return false;
    copier_free_job (core, job);
    return true;
}

static void set_timer (core_t *core, uint64_t when)
{
    copier_t *self = core->copier;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_COPIER, 0);
}

void copier_wake_timer (core_t *core)
{
    copier_t *self = core->copier;

    if (self->timer > core->now)
        return;
    self->timer = 0;
    self->wake = true;
}

void copier_wait_in (core_t *core, job_t *job, enum queue queue)
{
    job->retry_at = core->now + (queue == QUEUE_FAILED ? FAILED_LATER : STUCK_LATER);
    if (PLANTED (BUG_STUCK))
        job->retry_at += 1000000 * SEC;
    copier_enqueue (core, job, queue);
    set_timer (core, job->retry_at);
}

/* Jobs whose waiting is over go back to be sorted; false when there are more. */
static bool revive (core_t *core)
{
    copier_t *self = core->copier;
    size_t n = 0;

    for (int q = QUEUE_FAILED; q <= QUEUE_LOST; q++)
        while (!list_empty (&self->queues[q])) {
            job_t *job = LIST_OF (self->queues[q].next, job_t, node);
            bool worker = job->round != self->rounds[q];
            bool waited = q != QUEUE_LOST && job->retry_at <= core->now;

            if (!worker && !waited) {
                if (q != QUEUE_LOST)
                    set_timer (core, job->retry_at);
                break;
            }
            if (n++ >= PUMP_MOST)
                return false;
            copier_enqueue (core, job, QUEUE_RECHECK);
        }
    return true;
}

/* --- starting --- */

enum started { STARTED, BUSY, SETTLED, ENDED };

static enum started start_one (core_t *core, job_t *job, uint32_t have)
{
    uint32_t taken[CORE_COPIES + GRANT_TARGETS];
    bool yield = place_active (core) > 0 && !job->urgent;
    uint32_t limit = core->config.repair_per_worker;
    placement_t ask = {
        .length = job->chunk->length,
        .credit = job->chunk->length < ORDER_CREDIT ? job->chunk->length : ORDER_CREDIT,
        .lane = LANE_REPAIR,
        .taken = taken,
        .avoid = job->bad,
        .n_avoid = BAD_WORKERS,
        .anywhere = job->failures >= BAD_WORKERS,
        .n = 1,
    };
    worker_t *source, *target;
    bool busy;

    if (yield)
        limit = (limit + 3) / 4;
    if (have >= job->want) {
        ask.apart = job->apart;
        ask.anywhere = false;
    }
    ask.busy_to = limit;
    ask.n_taken = chunk_workers (core, job->chunk, taken, CORE_COPIES);
    for (list_t *node = job->orders.next;
         node != &job->orders && ask.n_taken < CORE_COPIES + GRANT_TARGETS;
         node = node->next)
        taken[ask.n_taken++] = LIST_OF (node, order_t, in_job)->target;
    /* Whether there is any, before the work of looking for a target. */
    if (!copier_pick_source (core, job, NULL, limit, &busy))
        return busy ? BUSY : SETTLED;
    if (job->target > 0) {
        copier_choose_target (core, job, &ask);
        /* It is away, or takes nothing more. */
        if (ask.n_chosen == 0 && !ask.starved && give_up_move (core, job))
            return ENDED;
    }
    if (job->target == 0)
        placement_choose (core, &ask);
    if (ask.n_chosen == 0) {
        if (ask.starved)
            return BUSY;
        if (ask.apart > 0 && give_up_apart (core, job))
            return ENDED;
        if (job->n_orders == 0) {
            if (job->target == 0)
                job->stuck = ask.full      ? STUCK_ROOM
                             : job->repair ? STUCK_FEW
                                           : STUCK_MOVE;
            /* May free the job's pins, not the job. */
            copier_wait_in (core, job, QUEUE_STUCK);
            uploads_copy_stuck (core, job->chunk);
        }
        return SETTLED;
    }
    target = ask.chosen[0];
    source = copier_pick_source (core, job, target, limit, &busy);
    if (target->copying_bytes > 0 &&
        target->copying_bytes + ask.credit > copier_room (core, job, source, target))
        return BUSY;
    if (!copier_bandwidth (core, job->chunk->length))
        return BUSY;
    copier_send_order (core, job, source, target, ask.credit);
    return STARTED;
}

/* The number of live copies changed, perhaps because a worker came or went. */
static void tell_uploads (core_t *core, chunk_t *chunk)
{
    chunk->held++;
    uploads_chunk_changed (core, chunk);
    chunk->held--;
}

/* Looks at JOB; it leaves the queue it is in, except when it has to wait its turn. */
static enum started look (core_t *core, job_t *job)
{
    chunk_t *chunk = job->chunk;
    uint32_t live = chunk_live (core, chunk);
    uint32_t have, want;

    /* What is redundant again may still have copies where none shall stay. */
    if (job->repair && live >= job->need)
        set_kind (core, job, false, true);
    else if (job->move && live == 0)
        set_kind (core, job, true, true);
    have = copier_counted (core, job);
    if (job->target > 0 && have < job->want &&
        (job->failures > 0 || !members_find (core, job->target)) &&
        give_up_move (core, job))
        return SETTLED;
    if (job->apart > 0 && job->failures >= FAILED_OFTEN && give_up_apart (core, job))
        return SETTLED;
    want = copier_wanted (job);
    if (have >= want && job->n_orders == 0) {
        tell_uploads (core, chunk);
        copier_free_job (core, job);
        return SETTLED;
    }
    if (have + job->n_orders >= want || (live == 0 && job->n_orders > 0)) {
        copier_enqueue (core, job, QUEUE_RUNNING);
        return SETTLED;
    }
    if (live == 0) {
        bool present = chunk_present (core, chunk) > 0;

        if (present)
            copier_wait_in (core, job, QUEUE_UNSURE);
        else
            copier_enqueue (core, job, QUEUE_LOST);
        tell_uploads (core, chunk);
        /* Where only uploads wanted it, their clients send it again. */
        if (!job->repair && !present)
            copier_free_job (core, job);
        return SETTLED;
    }
    if (job->queue == QUEUE_RECHECK || job->queue != class_of (job, live)) {
        copier_enqueue (core, job, class_of (job, live));
        return SETTLED;
    }
    while (have + job->n_orders < copier_wanted (job)) {
        enum started started = start_one (core, job, have + job->n_orders);

        if (started == BUSY || started == ENDED)
            return started;
        if (started == SETTLED)
            break;
    }
    if (job->n_orders > 0)
        copier_enqueue (core, job, QUEUE_RUNNING);
    else if (job->queue < QUEUE_SERVED)
        copier_wait_in (core, job, QUEUE_STUCK);
    return STARTED;
}

/* Those that came last are found again by a pass; chunks that somebody waits for stay.
 */
static void forget_excess (core_t *core, enum queue which)
{
    copier_t *self = core->copier;
    list_t *queue = &self->queues[which], *node = queue->prev;

    for (size_t looked = 0; self->counts[which] > core->config.max_repairs &&
                            node != queue && looked < PUMP_MOST;
         looked++) {
        job_t *job = LIST_OF (node, job_t, node);

        node = node->prev;
        if (job->n_orders > 0 || !list_empty (&job->chunk->pins))
            continue;
        copier_free_job (core, job);
        scan_later (core);
    }
}

void copier_pump (core_t *core)
{
    copier_t *self = core->copier;
    size_t looked = 0;

    if (!self->wake || !core->leader)
        return;
    self->wake = false;
    if (!revive (core))
        set_timer (core, core->now + 1);
    forget_excess (core, QUEUE_STUCK);
    forget_excess (core, QUEUE_UNSURE);
    forget_excess (core, QUEUE_LOST);
    for (int q = QUEUE_RECHECK; q < QUEUE_SERVED; q++) {
        list_t *queue = &self->queues[q];
        size_t failures = 0;

        if (q > QUEUE_ONE && core->now < self->hold_until)
            break;
        while (!list_empty (queue)) {
            job_t *job = LIST_OF (queue->next, job_t, node);

            if (looked++ >= PUMP_MOST) {
                set_timer (core, core->now + 1);
                return;
            }
            if (look (core, job) != BUSY)
                continue;
            copier_enqueue (core, job,
                            q); /* to the end: others may have free workers */
            if (++failures < PUMP_BUSY && failures < self->counts[q])
                continue;
            set_timer (core, core->now + PUMP_LATER);
            break;
        }
    }
    self->wake = false;
}

void copier_hold (core_t *core, uint64_t until)
{
    core->copier->hold_until = until;
    core->copier->wake = true;
    if (until > core->now)
        set_timer (core, until);
}
