/* SPDX-License-Identifier: MPL-2.0 */
/* What the scan says of a chunk, and what others ask of the copier. */
#include "broker/core/copier_private.h"

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

size_t copier_busy (const core_t *core)
{
    const copier_t *self = core->copier;
    size_t idle = self->counts[QUEUE_LOST] + self->counts[QUEUE_STUCK];

    return self->repairs > idle ? self->repairs - idle : 0;
}

size_t core_lost (const core_t *core, copykey_t *out, size_t max, uint64_t *changes)
{
    const copier_t *self = core->copier;
    list_t *lost = &core->copier->queues[QUEUE_LOST];
    size_t n = 0;

    for (list_t *node = lost->next; node != lost && n < max; node = node->next)
        out[n++] = LIST_OF (node, job_t, node)->chunk->key;
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
    return self->jobs - self->counts[QUEUE_STUCK] - self->counts[QUEUE_LOST];
}

bool copier_full (const core_t *core)
{
    return active (core->copier) >= core->config.max_repairs;
}

bool copier_overfull (const core_t *core)
{
    return active (core->copier) >= 2 * (size_t)core->config.max_repairs;
}

void copier_status (const core_t *core, core_status_t *out)
{
    const copier_t *self = core->copier;

    out->under_replicated = self->repairs;
    out->lost = self->counts[QUEUE_LOST];
    out->moves = self->moves;
    out->repair_active = table_count (self->orders);
    out->repair_queued = self->jobs - self->counts[QUEUE_RUNNING];
    out->repair_done = self->done;
    out->repair_failed = self->failed;
    out->repair_bytes_per_second =
        core->now < self->rate_at + 5 * SEC && self->jobs > 0 ? self->rate : 0;
    out->repair_eta_seconds = out->repair_bytes_per_second > 0
                                  ? self->bytes_queued / out->repair_bytes_per_second
                                  : 0;
    out->repair_held = core->now < self->hold_until;
}
