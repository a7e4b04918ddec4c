/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft_guards.h"
#include "record.h"
#include "raft_wire.h"

#define SERVERS_MAX 15

/* The library asks for a pointer to a core that may be changed, and changes nothing. */
static raft_index last_index (const struct raft *r)
{
    return raft_last_index ((struct raft *)(uintptr_t)r);
}

/* --- G1 ---
 * Why: the core was made for TCP links. A duplicate or a late packet makes it answer
 * with numbers of another time; and its reply to a message of an old term is "success"
 * with an uninitialised last_log_index, bytes of its stack. When such a reply reaches a
 * node that has meanwhile been elected in the term the reply names, it commits entries
 * that nobody else has. */

bool guard_fresh (guard_peer_t *peer, uint64_t boot, uint64_t seq)
{
    if (boot < peer->boot || (boot == peer->boot && seq <= peer->seq))
        return false;
    peer->boot = boot;
    peer->seq = seq;
    return true;
}

bool guard_is_stale (const struct raft *r, const struct raft_message *m)
{
    if (m->type == RAFT_APPEND_ENTRIES)
        return m->append_entries.term < r->current_term;
    if (m->type == RAFT_INSTALL_SNAPSHOT)
        return m->install_snapshot.term < r->current_term;
    return false;
}

void guard_stale_replies (struct raft_update *update)
{
    if (!(update->flags & (RAFT_UPDATE_MESSAGES)))
        return;
    for (unsigned i = 0; i < update->messages.n; i++) {
        struct raft_message *m = &update->messages.batch[i];
        if (m->type == RAFT_APPEND_ENTRIES_RESULT)
            m->append_entries_result.last_log_index = 0;
    }
}

/* --- G2 ---
 * Why: a rejection that arrives late, or that a follower gives because it has compacted
 * its log past prev, lowers next below match; the unsigned difference wraps, the window
 * looks full, and that follower gets only heartbeats for ever. */

bool guard_rejection (const struct raft *r, struct raft_message *m)
{
    raft_index match;
    if (m->type != RAFT_APPEND_ENTRIES_RESULT || r->state != RAFT_LEADER)
        return false;
    struct raft_append_entries_result *a = &m->append_entries_result;
    if (a->rejected == 0 || a->term != r->current_term ||
        raft_match_index (r, m->server_id, &match) != 0)
        return false;
    if (a->rejected > match) {
        /* One that has lost what it had confirmed says where its log ends now: that
         * would do the same. It needs another leader, or to be replaced. */
        bool lost = a->last_log_index < match;
        if (lost)
            a->last_log_index = match;
        return lost;
    }
    a->rejected = 0;
    a->last_log_index = match;
    return true;
}

bool guard_compacted (const struct raft *r, struct raft_append_entries *m)
{
    raft_index snapshot = r->trail.snapshot.index;
    if (r->snapshot.installing || m->term < r->current_term ||
        m->prev_log_index >= r->trail.offset || m->prev_log_index >= snapshot)
        return false;
    raft_index covered = snapshot - m->prev_log_index;
    if (covered >= m->n_entries) {
        m->n_entries = 0;
        m->entries = NULL;
    } else {
        m->entries += covered;
        m->n_entries -= (unsigned)covered;
    }
    m->prev_log_index = snapshot;
    m->prev_log_term = r->trail.snapshot.term;
    return true;
}

/* --- G3 ---
 * Why: for a configuration inside a batch the follower records the index of the first
 * entry of the batch. It is then never marked committed and not rolled back by a
 * truncation: a wrong quorum. */

unsigned guard_part (const struct raft_entry *entries, unsigned n)
{
    unsigned k = n ? 1 : 0;
    while (k < n && entries[k].type != RAFT_CHANGE)
        k++;
    return k;
}

void guard_split (const struct raft_append_entries *whole, unsigned from, unsigned k,
                  struct raft_append_entries *part)
{
    assert (from + k <= whole->n_entries);
    *part = *whole;
    part->entries = k ? whole->entries + from : NULL;
    part->n_entries = k;
    part->prev_log_index = whole->prev_log_index + from;
    if (from)
        part->prev_log_term = whole->entries[from - 1].term;
    raft_index end = part->prev_log_index + k;
    if (from + k < whole->n_entries && part->leader_commit > end)
        part->leader_commit = end;
}

/* --- G4 ---
 * Why: when a batch of a command and a change is refused because of the change, the
 * command stays in the core's log and all later indexes are off by one. */

bool guard_submission (const struct raft_entry *entries, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (entries[i].type == RAFT_CHANGE)
            return n == 1;
    return n > 0;
}

/* --- G5 ---
 * Why: a new leader that changes the configuration before an entry of its own term is
 * committed may do so on a configuration that another leader has replaced: two
 * majorities without a common member (the known flaw of single-server changes). */

int guard_change (const struct raft *r, uint64_t commit_term, dfs_error_t *err)
{
    if (r->state != RAFT_LEADER)
        return fail (err, DFS_ENOTLEADER, "only the leader changes the set of brokers");
    if (commit_term != r->current_term)
        return fail (err, DFS_EAGAIN,
                     "the leader of term %llu has not committed anything yet",
                     r->current_term);
    if (r->configuration_uncommitted_index)
        return fail (err, DFS_EAGAIN, "another change of the brokers is under way");
    return DFS_OK;
}

/* --- G6 ---
 * Why: a node that is not a voter in its own log never grants a vote and never forgets
 * its leader. When it has been made a voter in an entry that it has not received, or is
 * none any more by one that never gets committed, and its vote is needed, nobody is
 * ever elected (found by the simulator: two such entries, of two terms, on the two
 * brokers that they remove). So only one who has everything becomes a voter, one change
 * at a time, never down to two, and no leader takes its own vote away, as it may be the
 * only one with the log to be elected; and a candidate is answered all the same: who
 * votes is decided by the candidate's log, and the vote is as durable as a voter's, so
 * it cannot be given twice. One that has nothing, or has lost it, gives none. */

static const struct raft_server *server_of (const struct raft_configuration *c,
                                            raft_id id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

static int role_of (const struct raft_configuration *c, raft_id id)
{
    const struct raft_server *server = server_of (c, id);
    return server ? server->role : -1;
}

static unsigned voters_of (const struct raft_configuration *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->n; i++)
        n += c->servers[i].role == RAFT_VOTER;
    return n;
}

int guard_members (const struct raft *r, const struct raft_configuration *next,
                   dfs_error_t *err)
{
    const struct raft_configuration *now = &r->configuration;
    unsigned changed = 0;
    if (role_of (next, r->id) != RAFT_VOTER)
        return fail (err, DFS_EINVAL, "that broker leads: hand the lead on first");
    for (unsigned i = 0; i < now->n; i++)
        changed += role_of (next, now->servers[i].id) != now->servers[i].role;
    for (unsigned i = 0; i < next->n; i++) {
        raft_id id = next->servers[i].id;
        int before = role_of (now, id), role = next->servers[i].role;
        changed += before < 0;
        if (role != RAFT_VOTER || before == RAFT_VOTER)
            continue;
        raft_index match = 0;
        if (before != RAFT_STANDBY || raft_match_index (r, id, &match) != 0 ||
            match != last_index (r))
            return fail (err, DFS_EAGAIN,
                         "broker %llu has the log up to %llu of %llu: not yet a voter",
                         id, match, last_index (r));
    }
    if (changed != 1)
        return fail (err, DFS_EINVAL, "%u brokers would change, not one", changed);
    if (voters_of (next) < 3 && voters_of (next) < voters_of (now))
        return fail (err, DFS_EINVAL, "%u voters would be left", voters_of (next));
    return DFS_OK;
}

/* And a voter forgets its leader only when it asks for votes itself, which it does not
 * while entries are on their way to its disk: with a disk that hangs or is full it
 * would stand by a dead leader for ever, and the others, a majority with it, could
 * elect nobody. */

guard_vote_t guard_vote_begin (struct raft *r, const struct raft_message *m,
                               raft_time now, raft_time heard)
{
    guard_vote_t vote = {0};
    struct raft_configuration *c = &r->configuration;
    if (m->type != RAFT_REQUEST_VOTE || r->state != RAFT_FOLLOWER)
        return vote;
    if (now >= heard + r->election_timeout)
        r->follower_state.current_leader.id = 0;
    if (role_of (c, r->id) == RAFT_VOTER || c->n == 0 || last_index (r) == 0)
        return vote;
    vote = (guard_vote_t){true, *c};
    c->servers = calloc (c->n + 1, sizeof *c->servers);
    if (!c->servers)
        abort ();
    memcpy (c->servers, vote.own.servers, c->n * sizeof *c->servers);
    unsigned at = 0;
    while (at < c->n && c->servers[at].id != r->id)
        at++;
    c->n += at == c->n;
    c->servers[at] = (struct raft_server){.id = r->id, .role = RAFT_VOTER};
    return vote;
}

void guard_vote_end (struct raft *r, guard_vote_t *vote)
{
    if (!vote->changed)
        return;
    free (r->configuration.servers);
    r->configuration = vote->own;
    vote->changed = false;
}

/* --- G10 ---
 * Why: in the pre-vote phase nobody learns another's term: requests do not raise it and
 * replies hide it. When the brokers with the best logs have terms so low that the
 * others refuse them for it, and those are refused for their logs, nobody is elected
 * until somebody restarts (found by the simulator: five brokers in four terms). A
 * candidate's request carries its term plus one; another candidate, who has no leader
 * to disturb, takes that term, by a request for a vote with an empty log, which is
 * never granted. */

bool guard_candidate_term (const struct raft *r, const struct raft_message *m,
                           struct raft_message *request)
{
    if (r->state != RAFT_CANDIDATE || m->type != RAFT_REQUEST_VOTE ||
        !m->request_vote.pre_vote || m->request_vote.term <= r->current_term + 1 ||
        last_index (r) == 0)
        return false;
    *request = *m;
    request->request_vote.term = m->request_vote.term - 1;
    request->request_vote.pre_vote = false;
    request->request_vote.disrupt_leader = false;
    request->request_vote.last_log_index = 0;
    request->request_vote.last_log_term = 0;
    return true;
}

/* --- G11 ---
 * Why: when a vote arrives at one who is no candidate, the core reads the candidate's
 * part of a union that holds the follower's or the leader's: what it does then depends
 * on the bits of a pointer. Nothing is lost with such an answer: a higher term in it is
 * heard from its sender by other messages as well. */

bool guard_unasked (const struct raft *r, const struct raft_message *m)
{
    return m->type == RAFT_REQUEST_VOTE_RESULT && r->state != RAFT_CANDIDATE;
}

/* --- G12 ---
 * Why: a broker that is the only voter leads again after a restart without a new term.
 * What it had sent to a standby before it was durable here is replaced by other entries
 * of the same index and term: the standby believes that it has them, and is made a
 * voter with another log. So the only voter begins each run in a term of its own. */

bool guard_sole_voter (const struct raft_buffer *conf, raft_id id)
{
    struct raft_configuration c;
    if (!conf->len || guard_configuration (conf, &c, NULL))
        return false;
    bool sole = voters_of (&c) == 1 && role_of (&c, id) == RAFT_VOTER;
    raft_configuration_close (&c);
    return sole;
}

/* --- G13 ---
 * Why: a leader that gets entries of its own term from another one takes them as a
 * follower would, and overwrites what it is by what it is not (a union). There can be
 * no such message, unless votes were lost or two sets of brokers are mixed up. */

bool guard_second_leader (const struct raft *r, const struct raft_message *m)
{
    raft_term term = m->type == RAFT_APPEND_ENTRIES     ? m->append_entries.term
                     : m->type == RAFT_INSTALL_SNAPSHOT ? m->install_snapshot.term
                                                        : 0;
    return r->state == RAFT_LEADER && term && term == r->current_term;
}

/* --- G7 ---
 * Why: "persisted up to index" says nothing of the term. A write that ends after its
 * entries were replaced by another leader's would make the core believe that those are
 * durable, and it would say so to that leader. */

void guard_write_begin (guard_writes_t *self, raft_index index, unsigned n)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->all[i].valid_end >= index)
            self->all[i].valid_end = index - 1;
    if (self->n == self->cap) {
        self->cap = self->cap ? self->cap * 2 : 16;
        self->all = reallocarray (self->all, self->cap, sizeof *self->all);
        if (!self->all)
            abort ();
    }
    self->all[self->n++] = (guard_write_t){index, index + n - 1};
}

void guard_write_void (guard_writes_t *self)
{
    for (size_t i = 0; i < self->n; i++)
        self->all[i].valid_end = 0;
}

raft_index guard_write_end (guard_writes_t *self, const struct raft *r)
{
    assert (self->n > 0);
    guard_write_t done = self->all[0];
    memmove (self->all, self->all + 1, --self->n * sizeof *self->all);
    if (r->snapshot.installing || done.valid_end < done.index ||
        done.valid_end <= r->last_stored)
        return 0;
    return done.valid_end;
}

void guard_writes_release (guard_writes_t *self)
{
    free (self->all);
    *self = (guard_writes_t){0};
}

/* --- G8 ---
 * Why: the core takes a snapshot of entries that are not durable here, or an older one,
 * or one while another is being installed, without a word; and its own copy of the
 * committed configuration may be newer than the snapshot. */

bool guard_snapshot (const struct raft *r, raft_index index, raft_index conf_index)
{
    return !r->snapshot.installing && index <= r->last_stored &&
           index <= r->commit_index && index > r->trail.snapshot.index &&
           conf_index <= index;
}

/* --- G9 ---
 * Why: the packaged library is compiled without assertions: what they say of messages
 * holds only when it is checked before. A peer is authenticated, yet it may be broken.
 */

int guard_configuration (const struct raft_buffer *buf, struct raft_configuration *out,
                         dfs_error_t *err)
{
    /* Version (1 byte), number (8), then id (8), address with NUL, role (1) each: the
     * decoder of the library believes every one of them. */
    const uint8_t *p = buf->base;
    size_t left = buf->len, at = 9;
    if (left < at || p[0] != 1)
        return fail (err, DFS_EPROTO, "configuration of an unknown form");
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[1 + i];
    if (n == 0 || n > SERVERS_MAX)
        return fail (err, DFS_EPROTO, "configuration of %" PRIu64 " servers", n);
    uint64_t ids[SERVERS_MAX] = {0};
    for (uint64_t i = 0; i < n; i++) {
        size_t room = left > at + 8 ? left - at - 8 : 0;
        const uint8_t *address = p + at + 8;
        size_t len = room ? strnlen ((const char *)address, room) : 0;
        bool fresh = len > 0;
        for (int k = 7; fresh && k >= 0; k--)
            ids[i] = ids[i] << 8 | p[at + (size_t)k];
        for (uint64_t k = 0; fresh && k < i; k++)
            fresh = ids[k] != ids[i];
        if (!fresh || ids[i] == 0 || len > WIRE_ADDRESS_MAX || room < len + 2 ||
            address[len + 1] > RAFT_SPARE)
            return fail (err, DFS_EPROTO, "configuration with a bad server");
        at += 8 + len + 2;
    }
    if (left - at >= 8)
        return fail (err, DFS_EPROTO, "configuration with bytes behind it");
    raft_configuration_init (out);
    if (raft_configuration_decode (buf, out) != 0) /* it has released what it made */
        return fail (err, DFS_EPROTO, "configuration that cannot be read");
    return DFS_OK;
}

static int bad (const struct raft_message *m, const char *what, dfs_error_t *err)
{
    return fail (err, DFS_EPROTO, "message of kind %u from broker %llu: %s", m->type,
                 m->server_id, what);
}

static int check_entries (const struct raft_message *m, dfs_error_t *err)
{
    const struct raft_append_entries *a = &m->append_entries;
    raft_term term = a->prev_log_term;
    if (!a->term || a->term < a->prev_log_term)
        return bad (m, "bad term", err);
    if ((a->prev_log_index == 0) != (a->prev_log_term == 0))
        return bad (m, "index and term of the entry before do not fit", err);
    if (a->prev_log_index > UINT64_MAX / 2)
        return bad (m, "bad index", err);
    for (unsigned i = 0; i < a->n_entries; i++) {
        const struct raft_entry *e = &a->entries[i];
        if (e->term == 0 || e->term < term || e->term > a->term)
            return bad (m, "terms of entries fall or are too high", err);
        term = e->term;
        if (e->type != RAFT_COMMAND && e->type != RAFT_BARRIER &&
            e->type != RAFT_CHANGE)
            return bad (m, "unknown type of entry", err);
        if (e->buf.len > RECORD_MAX_DATA)
            return bad (m, "entry too large", err);
        struct raft_configuration conf;
        if (e->type == RAFT_CHANGE) {
            if (guard_configuration (&e->buf, &conf, err))
                return err ? err->code : DFS_EPROTO;
            raft_configuration_close (&conf);
        }
    }
    return DFS_OK;
}

int guard_message (const struct raft_message *m, const struct raft_buffer *conf,
                   dfs_error_t *err)
{
    const raft_index most = UINT64_MAX / 2;
    struct raft_configuration decoded;
    switch (m->type) {
    case RAFT_APPEND_ENTRIES:
        return check_entries (m, err);
    case RAFT_APPEND_ENTRIES_RESULT:
        if (!m->append_entries_result.term ||
            m->append_entries_result.last_log_index > most ||
            m->append_entries_result.rejected > most)
            return bad (m, "bad term or index", err);
        return DFS_OK;
    case RAFT_REQUEST_VOTE:
        if (!m->request_vote.term || m->request_vote.last_log_index > most ||
            m->request_vote.last_log_term > m->request_vote.term ||
            (m->request_vote.last_log_index == 0) !=
                (m->request_vote.last_log_term == 0))
            return bad (m, "bad term or index", err);
        return DFS_OK;
    case RAFT_REQUEST_VOTE_RESULT:
        return m->request_vote_result.term ? DFS_OK : bad (m, "bad term", err);
    case RAFT_INSTALL_SNAPSHOT: {
        const struct raft_install_snapshot *s = &m->install_snapshot;
        if (!s->term || !s->last_index || s->last_index > most || !s->last_term ||
            s->last_term > s->term || !s->conf_index || s->conf_index > s->last_index)
            return bad (m, "bad term or index", err);
        if (guard_configuration (conf, &decoded, err))
            return err ? err->code : DFS_EPROTO;
        raft_configuration_close (&decoded);
        return DFS_OK;
    }
    case RAFT_TIMEOUT_NOW:
        if (!m->timeout_now.term || m->timeout_now.last_log_index > most ||
            m->timeout_now.last_log_term > m->timeout_now.term)
            return bad (m, "bad term or index", err);
        return DFS_OK;
    default:
        return bad (m, "unknown", err);
    }
}
