/* SPDX-License-Identifier: MPL-2.0 */
/* What cowsql raft 0.22.1 gets wrong or leaves to its caller, mended around it. Each
 * guard says why in raft_guards.c and has a test of its own: t/unit/raft_guards.c,
 * raft_guards_members.c, raft_guards_votes.c, raft_wire.c; none may be left out.
 * Threads: that of the core's owner. */
#ifndef BROKER_JOURNAL_RAFT_GUARDS_H
#define BROKER_JOURNAL_RAFT_GUARDS_H

#include <raft.h>

#include "common/error.h"

/* G1: the link to a peer gives each packet once and in order. BOOT grows with each run
 * of the peer: one that has forgotten its past is not heard again under its old name.
 */
typedef struct guard_peer {
    uint64_t boot;
    uint64_t seq;
} guard_peer_t;
bool guard_fresh (guard_peer_t *peer, uint64_t boot, uint64_t seq);
/* G1: replies to a message of an old term claim nothing. STALE is asked before the
 * step, with the message. */
bool guard_is_stale (const struct raft *r, const struct raft_message *m);
void guard_stale_replies (struct raft_update *update);

/* G2, leader: a rejection of what that follower is known to have is turned into what is
 * known. True when it was. */
bool guard_rejection (const struct raft *r, struct raft_message *m);
/* G2, follower: entries that the snapshot covers are stripped. */
bool guard_compacted (const struct raft *r, struct raft_append_entries *m);

/* G3: how many of the N entries at ENTRIES go to the core at once. */
unsigned guard_part (const struct raft_entry *entries, unsigned n);
/* G3: the message for K entries from FROM on. */
void guard_split (const struct raft_append_entries *whole, unsigned from, unsigned k,
                  struct raft_append_entries *part);

/* G4: a change of the configuration is submitted alone. */
bool guard_submission (const struct raft_entry *entries, unsigned n);
/* G5: COMMIT_TERM is the term of the entry at the commit index. */
int guard_change (const struct raft *r, uint64_t commit_term, dfs_error_t *err);
/* G6: NEXT may follow the present configuration. */
int guard_members (const struct raft *r, const struct raft_configuration *next,
                   dfs_error_t *err);
/* G6: lets a broker that is no voter in its own log answer a candidate, and one that
 * has heard its leader last at HEARD forget it. Between begin and end the core is
 * stepped with M. */
typedef struct guard_vote {
    bool changed;
    struct raft_configuration own; /* what was there before */
} guard_vote_t;
guard_vote_t guard_vote_begin (struct raft *r, const struct raft_message *m,
                               raft_time now, raft_time heard);
void guard_vote_end (struct raft *r, guard_vote_t *vote);

/* G10: the term that a candidate must adopt before it takes M, a request for a
 * pre-vote, as *REQUEST, a message for the core whose answer is not sent. False: none.
 */
bool guard_candidate_term (const struct raft *r, const struct raft_message *m,
                           struct raft_message *request);

/* G11: M answers a question that is not asked any more, and the core must not see it.
 */
bool guard_unasked (const struct raft *r, const struct raft_message *m);

/* G12: nobody but ID votes in CONF, an encoded configuration (empty: none). */
bool guard_sole_voter (const struct raft_buffer *conf, raft_id id);

/* G13: M says that its sender leads in the term in which this broker leads. */
bool guard_second_leader (const struct raft *r, const struct raft_message *m);

/* G7: writes on their way to the disk, oldest first. */
typedef struct guard_write {
    raft_index index;
    raft_index valid_end; /* what its completion may report; 0: nothing */
} guard_write_t;
typedef struct guard_writes {
    guard_write_t *all;
    size_t n;
    size_t cap;
} guard_writes_t;
/* N entries at INDEX, which replace what was there. */
void guard_write_begin (guard_writes_t *self, raft_index index, unsigned n);
/* A snapshot is being installed: nothing on its way counts. */
void guard_write_void (guard_writes_t *self);
/* The oldest is durable: the index to report to the core, 0 for none. */
raft_index guard_write_end (guard_writes_t *self, const struct raft *r);
void guard_writes_release (guard_writes_t *self);

/* G8: a snapshot of INDEX may be announced now. */
bool guard_snapshot (const struct raft *r, raft_index index, raft_index conf_index);

/* G9: DFS_EPROTO unless every field of M is one the core can take. CONF is the encoded
 * configuration of an InstallSnapshot. */
int guard_message (const struct raft_message *m, const struct raft_buffer *conf,
                   dfs_error_t *err);
/* Decodes a configuration with 1 to 15 servers, ids, roles and addresses in order.
 * OUT: raft_configuration_close. */
int guard_configuration (const struct raft_buffer *buf, struct raft_configuration *out,
                         dfs_error_t *err);

#endif
