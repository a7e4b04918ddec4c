/* SPDX-License-Identifier: MPL-2.0 */
/* What others ask of the copier. */
#include "broker/core/copier_private.h"

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

bool copier_full (const core_t *core)
{
    return core->copier->jobs >= core->config.max_repairs;
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
