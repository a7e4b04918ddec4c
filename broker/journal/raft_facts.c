/* SPDX-License-Identifier: MPL-2.0 */
/* What is asked of the driver. */
#include "raft_private.h"

const dfs_error_t *raft_driver_failed (const raft_driver_t *self)
{
    return self->failed.code ? &self->failed : NULL;
}

enum journal_role raft_driver_role (const raft_driver_t *self)
{
    return self->role;
}

uint64_t raft_driver_term (const raft_driver_t *self)
{
    return self->r.current_term;
}

uint64_t raft_driver_committed (const raft_driver_t *self)
{
    return self->r.commit_index;
}

uint64_t raft_driver_last (const raft_driver_t *self)
{
    return raft_last_index ((struct raft *)(uintptr_t)&self->r);
}

bool raft_driver_leads (const raft_driver_t *self)
{
    return self->role == JOURNAL_LEADER && self->lead_term == self->r.current_term &&
           self->seen >= self->lead_index;
}

uint64_t raft_driver_heard (const raft_driver_t *self)
{
    return self->heard;
}

uint64_t raft_driver_leader (const raft_driver_t *self)
{
    return self->role_leader;
}

bool raft_driver_transferring (const raft_driver_t *self)
{
    return self->r.state == RAFT_LEADER && raft_transferee (&self->r) != 0;
}

size_t raft_driver_in_flight (const raft_driver_t *self)
{
    return self->in_flight;
}

size_t raft_driver_proposals (const raft_driver_t *self)
{
    return self->n_cookies - self->first_cookie;
}

uint64_t raft_driver_point (const raft_driver_t *self)
{
    return self->point.index;
}

void raft_driver_drop (raft_driver_t *self)
{
    driver_drop_cookies (self, 0, DFS_ENOTLEADER);
}

size_t raft_driver_voters (const raft_driver_t *self)
{
    size_t n = 0;
    for (unsigned i = 0; i < self->r.configuration.n; i++)
        n += self->r.configuration.servers[i].role == RAFT_VOTER;
    return n;
}

uint64_t raft_driver_founding (const raft_driver_t *self)
{
    return self->founding;
}
