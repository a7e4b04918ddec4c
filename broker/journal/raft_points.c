/* SPDX-License-Identifier: MPL-2.0 */
/* Snapshots: this broker's own, and those that come from a leader. */
#include <string.h>

#include "raft_private.h"

/* --- own --- */

void raft_driver_snapshot (raft_driver_t *self, uint64_t now, uint64_t index,
                           uint64_t keep)
{
    if (self->failed.code || self->saving.index || index > self->seen ||
        !guard_snapshot (&self->r, index, self->conf_index))
        return;
    raft_point_t point = {.index = index,
                          .term = driver_term_of (self, index),
                          .founding = self->founding,
                          .conf_index = self->conf_index,
                          .conf_len = self->conf_len};
    (void)now;
    if (point.term == 0)
        return;
    memcpy (point.conf, self->conf, self->conf_len);
    self->saving = point;
    self->saving_keep = keep;
    self->config.ops.save_point (&point, self->config.ops.arg);
}

/* Another state may have come meanwhile: then this point is void. */
void raft_driver_point_saved (raft_driver_t *self, uint64_t now, bool saved)
{
    raft_point_t point = self->saving;
    struct raft_event event = {.time = now, .type = RAFT_SNAPSHOT};
    struct raft_buffer buf = {point.conf, point.conf_len};
    self->saving.index = 0;
    if (self->failed.code || !saved || !point.index ||
        !guard_snapshot (&self->r, point.index, point.conf_index))
        return;
    uint64_t keep = self->saving_keep < point.index ? self->saving_keep : point.index;
    event.snapshot.metadata.index = point.index;
    event.snapshot.metadata.term = point.term;
    event.snapshot.metadata.configuration_index = point.conf_index;
    event.snapshot.trailing = (unsigned)keep;
    if (guard_configuration (&buf, &event.snapshot.metadata.configuration, NULL))
        return;
    uint64_t trim = point.index - keep;
    self->point = point;
    driver_step (self, &event, NULL);
    raft_tail_evict (&self->tail, trim, 0);
    self->config.ops.point_taken (&point, trim, self->config.ops.arg);
}

/* --- a leader's --- */

/* The core has no way back from an installation: it begins again from what is on disk,
 * where nothing has changed. */
void raft_driver_not_installed (raft_driver_t *self, uint64_t now, uint64_t first,
                                uint64_t last)
{
    if (self->failed.code || !self->pending.index)
        return;
    uint64_t term = self->r.current_term, vote = self->r.voted_for;
    self->pending.index = 0;
    driver_drop_cookies (self, 0, DFS_EUNAVAIL);
    raft_close (&self->r, NULL);
    self->running = false;
    driver_start (self, first, last, term, vote, now);
}

void raft_driver_installed (raft_driver_t *self, uint64_t now)
{
    if (self->failed.code || !self->pending.index)
        return;
    raft_point_t pending = self->pending;
    self->pending.index = 0;
    driver_drop_cookies (self, 0, DFS_EUNAVAIL);
    raft_tail_reset (&self->tail, pending.index + 1);
    self->point = pending;
    self->conf_index = pending.conf_index;
    self->conf_len = pending.conf_len;
    memcpy (self->conf, pending.conf, pending.conf_len);
    self->seen = self->applied = pending.index;
    driver_forget_handed (self, UINT64_MAX);
    struct raft_event event = {.time = now, .type = RAFT_PERSISTED_SNAPSHOT};
    event.persisted_snapshot.metadata.index = pending.index;
    event.persisted_snapshot.metadata.term = pending.term;
    event.persisted_snapshot.metadata.configuration_index = pending.conf_index;
    event.persisted_snapshot.last = true;
    struct raft_buffer buf = {pending.conf, pending.conf_len};
    if (guard_configuration (&buf, &event.persisted_snapshot.metadata.configuration,
                             &self->failed))
        return;
    driver_step (self, &event, NULL);
}

void raft_driver_skip (raft_driver_t *self, uint64_t index)
{
    if (index > self->applied)
        self->applied = index;
}
