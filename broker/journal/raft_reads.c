/* SPDX-License-Identifier: MPL-2.0 */
/* Linearizable reads. A read that arrives is answered with the commit index of that
 * moment, once a majority has said, in answer to a question sent after it, that its
 * term is still the leader's: then nobody else can have committed anything before the
 * read came. One round of questions answers all reads that were there when it was sent.
 */
#include <stdlib.h>
#include <string.h>

#include "raft_private.h"

static unsigned majority (const raft_driver_t *self)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < self->r.configuration.n; i++)
        voters += self->r.configuration.servers[i].role == RAFT_VOTER;
    return voters / 2 + 1;
}

/* How many voters, this one too, have answered ROUND or a later one. */
static unsigned followers (raft_driver_t *self, uint64_t round)
{
    unsigned n = 0;
    for (unsigned i = 0; i < self->r.configuration.n; i++) {
        const struct raft_server *server = &self->r.configuration.servers[i];
        if (server->role == RAFT_VOTER)
            n += server->id == self->config.id ||
                 driver_peer (self, server->id)->pong >= round;
    }
    return n;
}

static void send_round (raft_driver_t *self, uint64_t now)
{
    self->round++;
    self->round_at = now;
    for (unsigned i = 0; i < self->r.configuration.n; i++) {
        const struct raft_server *server = &self->r.configuration.servers[i];
        if (server->role == RAFT_VOTER && server->id != self->config.id)
            driver_send_ping (self, server->id, WIRE_PING, self->r.current_term,
                              self->round);
    }
}

static void answer (raft_driver_t *self)
{
    unsigned need = majority (self);
    size_t k = 0;
    for (; k < self->n_reads; k++) {
        const raft_read_t *read = &self->reads[k];
        /* Nothing of an older term counts before an entry of this one is committed. */
        if (read->round > self->round || followers (self, read->round) < need ||
            self->r.commit_index < self->lead_index)
            break;
        self->config.ops.read_point (read->cookie, DFS_OK, read->index,
                                     self->config.ops.arg);
    }
    self->n_reads -= k;
    if (k)
        memmove (self->reads, self->reads + k, self->n_reads * sizeof *self->reads);
}

void raft_driver_read (raft_driver_t *self, uint64_t now, uint64_t cookie)
{
    if (self->failed.code || raft_state (&self->r) != RAFT_LEADER) {
        self->config.ops.read_point (
            cookie, self->failed.code ? self->failed.code : DFS_ENOTLEADER, 0,
            self->config.ops.arg);
        return;
    }
    if (self->n_reads == self->reads_cap) {
        self->reads_cap = self->reads_cap ? 2 * self->reads_cap : 64;
        self->reads = reallocarray (self->reads, self->reads_cap, sizeof *self->reads);
        if (!self->reads)
            abort ();
    }
    uint64_t index = self->r.commit_index;
    index = index > self->lead_index ? index : self->lead_index;
    bool idle = self->n_reads == 0;
    self->reads[self->n_reads++] = (raft_read_t){cookie, index, self->round + 1};
    if (idle)
        send_round (self, now);
    answer (self);
}

void driver_reads_pong (raft_driver_t *self, raft_peer_t *peer, const wire_ping_t *pong)
{
    if (raft_state (&self->r) != RAFT_LEADER || pong->term != self->r.current_term ||
        pong->round > self->round || pong->round <= peer->pong)
        return;
    peer->pong = pong->round;
    answer (self);
    /* Those that came during the round need one of their own. */
    if (self->n_reads && self->reads[0].round > self->round)
        send_round (self, self->r.now);
}

void driver_reads_tick (raft_driver_t *self, uint64_t now)
{
    if (!self->n_reads || self->failed.code)
        return;
    answer (self);
    if (self->n_reads && now >= self->round_at + self->config.heartbeat_ms)
        send_round (self, now); /* a question or an answer was lost */
}

void driver_reads_drop (raft_driver_t *self)
{
    for (size_t i = 0; i < self->n_reads; i++)
        self->config.ops.read_point (self->reads[i].cookie, DFS_ENOTLEADER, 0,
                                     self->config.ops.arg);
    self->n_reads = 0;
    for (size_t i = 0; i < self->n_peers; i++)
        self->peers[i].pong = 0;
    self->round = 0;
}
