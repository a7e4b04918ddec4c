/* SPDX-License-Identifier: MPL-2.0 */
/* From where a copy is made, to which one place it goes if one is wanted, and whether
 * clients and the bandwidth allow it. */
#include "broker/core/copier_private.h"
#include "broker/core/place.h"

#define BUSY_BYTES   (16 * MIB) /* of a target's window beside clients */
#define OPEN_DOUBLES 4          /* times, a second each, when they have gone */

static bool is_bad (const job_t *job, uint32_t worker)
{
    for (size_t i = 0; i < BAD_WORKERS; i++)
        if (job->bad[i] == worker)
            return true;
    return false;
}

/* What the bytes of one more copy have to wait for at SOURCE, and the way to TARGET. */
static uint64_t cost (const job_t *job, const worker_t *source, const worker_t *target)
{
    return worker_sending (source) + source->copying_from * job->chunk->length +
           (target ? domains_distance (&source->path, &target->path) : 0);
}

worker_t *copier_pick_source (core_t *core, const job_t *job, const worker_t *target,
                              uint32_t limit, bool *busy)
{
    worker_t *best = NULL;
    uint32_t holders[CORE_COPIES];
    size_t n = chunk_workers (core, job->chunk, holders, CORE_COPIES);
    uint64_t best_cost = 0;
    bool best_bad = true;

    *busy = false;
    for (size_t i = 0; i < n; i++) {
        worker_t *worker = members_find (core, holders[i]);
        bool bad = is_bad (job, holders[i]);
        uint64_t c;

        if (!worker || !worker_live (worker))
            continue;
        if (worker->copying_from >= limit) {
            *busy = true;
            continue;
        }
        c = cost (job, worker, target);
        if (best && (bad > best_bad || (bad == best_bad && c >= best_cost)))
            continue;
        best = worker;
        best_bad = bad;
        best_cost = c;
    }
    return best;
}

/* Bytes that may be on their way at once from or to WORKER, clients' reads left their
 * room. They pause and go on: what is opened is opened step by step. */
static uint64_t beside_readers (const core_t *core, worker_t *worker)
{
    uint64_t doubled;

    if (worker_read_from (worker))
        worker->read_at = core->now;
    if (worker->read_at == 0)
        return UINT64_MAX;
    doubled = (core->now - worker->read_at) / SEC;
    return doubled > OPEN_DOUBLES ? UINT64_MAX : BUSY_BYTES << doubled;
}

uint64_t copier_room (const core_t *core, const job_t *job, worker_t *source,
                      worker_t *target)
{
    uint64_t from = beside_readers (core, source);
    uint64_t to = beside_readers (core, target);

    if (job->urgent)
        return UINT64_MAX;
    if (place_active (core) > 0)
        return BUSY_BYTES;
    return from < to ? from : to;
}

bool copier_bandwidth (core_t *core, uint64_t bytes)
{
    copier_t *self = core->copier;
    uint64_t most = core->config.repair_bandwidth;
    uint64_t passed = core->now - self->tokens_at;

    if (most == 0)
        return true;
    self->tokens += (passed < SEC ? passed : SEC) / 1000 * most / (SEC / 1000);
    self->tokens_at = core->now;
    if (self->tokens > most)
        self->tokens = most;
    /* A chunk larger than a second's worth goes when the bucket is full. */
    if (self->tokens < bytes && self->tokens < most)
        return false;
    self->tokens -= bytes < self->tokens ? bytes : self->tokens;
    return true;
}

void copier_choose_target (core_t *core, const job_t *job, placement_t *ask)
{
    worker_t *worker = members_find (core, job->target);

    ask->n_chosen = 0;
    ask->starved = false;
    if (!worker || !worker->takes || worker_free (worker) < ask->length ||
        chunk_on (core, job->chunk, job->target))
        return;
    ask->starved = !credit_fits (core, worker, LANE_REPAIR, ask->credit) ||
                   worker->copying_to >= ask->busy_to;
    if (!ask->starved)
        ask->chosen[ask->n_chosen++] = worker;
}
