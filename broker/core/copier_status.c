/* SPDX-License-Identifier: MPL-2.0 */
/* What others tell the copier: the scan of a chunk, of workers that changed; what they
 * ask of it. */
#include <string.h>

#include "broker/core/copier_private.h"

#define ETA_AFTER (1 * SEC) /* of repair, before that its rate says little */

void copier_spread (core_t *core, chunk_t *chunk, uint32_t want, uint32_t common)
{
    copier_want (core, chunk, want, COPY_MOVE);
    if (chunk->job->target == 0)
        chunk->job->apart = common + 1;
}

void copier_settle (core_t *core, chunk_t *chunk, uint32_t want)
{
    job_t *job = chunk->job;

    if (!job || job->target > 0)
        return;
    if (list_empty (&chunk->pins))
        job->urgent = false;
    job->apart = 0;
    if (job->need > want)
        job->need = want;
    if (job->want > want && !job->urgent)
        job->want = want;
    copier_enqueue (core, job, QUEUE_RECHECK);
}

void copier_count (copier_t *self, job_t *job, bool comes)
{
    uint64_t one = comes ? 1 : UINT64_MAX;

    self->counts[job->queue] += (size_t)one;
    if (job->queue == QUEUE_STUCK || job->queue == QUEUE_UNSURE ||
        job->queue == QUEUE_LOST) {
        self->bytes_idle += comes ? job->bytes : 0 - job->bytes;
        self->idle_repairs += job->repair ? (size_t)one : 0;
        job->idle = comes;
    }
    if (job->queue != QUEUE_STUCK)
        return;
    if (comes)
        job->stuck_want = job->want < CORE_COPIES ? job->want : CORE_COPIES;
    self->few[job->stuck_want] += job->stuck == STUCK_FEW ? one : 0;
    self->stuck_moves += job->stuck == STUCK_MOVE ? one : 0;
    self->stuck_room += job->stuck == STUCK_ROOM ? one : 0;
    if (!comes)
        job->stuck = STUCK_OTHER;
}

void copier_leaves (core_t *core, job_t *job, bool ends)
{
    uint32_t holders[CORE_COPIES];
    size_t n;

    while (job->n_leaves > 0) {
        worker_t *worker = members_find (core, job->leaves[--job->n_leaves]);

        if (worker)
            worker->leaving--;
    }
    if (ends || members_drained (core) == 0)
        return;
    n = chunk_workers (core, job->chunk, holders, CORE_COPIES);
    for (size_t i = 0; i < n && job->n_leaves < LEAVES; i++) {
        worker_t *worker = members_find (core, holders[i]);

        if (!worker || !worker->member.draining)
            continue;
        worker->leaving++;
        job->leaves[job->n_leaves++] = holders[i];
    }
}

/* Only those are looked at again that WORKER may help, or whose lot it is: there may be
 * many, and workers of which one or the other is full change all the time. */
static void call_jobs (core_t *core, worker_t *worker)
{
    copier_t *self = core->copier;
    struct seen_by_copier now = {
        .state = worker->state, .told = worker->told, .takes = worker->takes};
    const struct seen_by_copier before = worker->copier_saw;
    bool other = now.state != before.state;
    bool here = worker_live (worker) && (other || (now.told && !before.told));
    bool takes = now.takes && !before.takes;

    worker->copier_saw = now;
    self->rounds[QUEUE_UNSURE] += other || here;
    self->rounds[QUEUE_LOST] += here;
    self->rounds[QUEUE_STUCK] += here || takes || (other && !worker_unsure (worker));
    self->wake |= other || here || takes;
}

void copier_worker_changed (core_t *core, worker_t *worker)
{
    if (!worker_live (worker)) {
        while (!list_empty (&worker->orders)) {
            order_t *order = LIST_OF (worker->orders.next, order_t, in_target);

            copier_enqueue (core, order->job, QUEUE_RECHECK);
            copier_end_order (core, order);
        }
        while (!list_empty (&worker->sources)) {
            order_t *order = LIST_OF (worker->sources.next, order_t, in_source);

            copier_enqueue (core, order->job, QUEUE_RECHECK);
            copier_end_order (core, order);
        }
    }
    call_jobs (core, worker);
}

/* Jobs that nothing can be done for before a worker changes. */
static size_t waiting (const copier_t *self)
{
    return self->counts[QUEUE_STUCK] + self->counts[QUEUE_UNSURE] +
           self->counts[QUEUE_LOST];
}

size_t copier_busy (const core_t *core)
{
    const copier_t *self = core->copier;

    return self->repairs - self->idle_repairs;
}

size_t core_lost (const core_t *core, copykey_t *out, size_t max, uint64_t *changes)
{
    copier_t *self = core->copier;
    list_t *const lists[] = {&self->queues[QUEUE_LOST], &self->queues[QUEUE_RECHECK]};
    size_t n = 0;

    for (size_t i = 0; i < 2 && self->lost > 0; i++)
        for (list_t *node = lists[i]->next; node != lists[i] && n < max;
             node = node->next) {
            const job_t *job = LIST_OF (node, job_t, node);

            if (job->lost)
                out[n++] = job->chunk->key;
        }
    if (changes)
        *changes = self->lost_changes;
    return n;
}

size_t copier_moves (const core_t *core)
{
    return core->copier->moves;
}

uint64_t copier_spreads (const core_t *core)
{
    return core->copier->spreads;
}

/* Jobs that something can be done for. */
static size_t active (const copier_t *self)
{
    return self->jobs - waiting (self);
}

bool copier_quiet (const core_t *core)
{
    return active (core->copier) == 0;
}

uint64_t copier_made (const core_t *core)
{
    return core->copier->done;
}

bool copier_full (const core_t *core)
{
    return active (core->copier) >= core->config.max_repairs;
}

bool copier_overfull (const core_t *core)
{
    return active (core->copier) >= 2 * (size_t)core->config.max_repairs;
}

/* Seconds, rounded up, for what can be repaired now: 0 only when there is nothing. */
static uint64_t eta (const core_t *core, uint64_t rate)
{
    const copier_t *self = core->copier;

    if (active (self) == 0)
        return 0;
    if (rate == 0 || core->now < self->rate_since + ETA_AFTER)
        return CORE_ETA_UNKNOWN;
    return (self->bytes_queued - self->bytes_idle) / rate + 1;
}

void copier_status (const core_t *core, core_status_t *out)
{
    const copier_t *self = core->copier;

    out->under_replicated = self->repairs;
    out->lost = self->lost;
    out->moves = self->moves;
    out->repair_active = table_count (self->orders);
    out->repair_queued = active (self) - self->counts[QUEUE_RUNNING];
    out->repair_waiting = self->counts[QUEUE_STUCK] + self->counts[QUEUE_UNSURE];
    memcpy (out->waiting_few, self->few, sizeof out->waiting_few);
    out->waiting_moves = self->stuck_moves;
    out->waiting_room = self->stuck_room;
    out->repair_done = self->done;
    out->repair_failed = self->failed;
    /* Before and after it there is none; a bound on it leaves pauses between orders. */
    out->repair_bytes_per_second =
        core->now < self->rate_at + 5 * SEC && active (self) > 0 ? self->rate : 0;
    out->repair_eta_seconds = eta (core, out->repair_bytes_per_second);
    out->repair_held = core->now < self->hold_until;
    out->repair_held_ns = out->repair_held ? self->hold_until - core->now : 0;
}
