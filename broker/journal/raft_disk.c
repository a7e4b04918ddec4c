/* SPDX-License-Identifier: MPL-2.0 */
/* A disk that hangs, or is full, says nothing, and the heartbeats of its broker go on:
 * nobody would take the lead from it, while nothing that clients wait for comes to an
 * end here. So it is the broker itself that hands the lead on. */
#include "raft_private.h"

#define FULL_MS  1000 /* without room */
#define AGAIN_MS 1000 /* between attempts to hand the lead on */

bool raft_driver_watch_disk (raft_driver_t *self, uint64_t now, bool no_room,
                             bool hangs)
{
    if (self->failed.code)
        return false;
    if (!no_room)
        self->no_room_at = 0;
    else if (!self->no_room_at)
        self->no_room_at = now;
    bool full = self->no_room_at && now >= self->no_room_at + FULL_MS;
    hangs |= self->writes.n && now >= self->disk_at + self->config.hang_ms;
    self->stuck = full || hangs;
    if ((self->stuck || self->abstains) && raft_state (&self->r) == RAFT_LEADER &&
        raft_driver_voters (self) > 1 && now >= self->handed_on + AGAIN_MS) {
        self->handed_on = now;
        raft_driver_transfer (self, now, 0, NULL);
    }
    return self->stuck;
}
