/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft_private.h"

int driver_fail (raft_driver_t *self, int code, const char *fmt, ...)
{
    if (!self->failed.code) {
        va_list ap;
        va_start (ap, fmt);
        vsnprintf (self->failed.text, sizeof self->failed.text, fmt, ap);
        va_end (ap);
        self->failed.code = code;
    }
    return code;
}

raft_peer_t *driver_peer (raft_driver_t *self, uint64_t id)
{
    for (size_t i = 0; i < self->n_peers; i++)
        if (self->peers[i].id == id)
            return &self->peers[i];
    if (self->n_peers == PEERS_MAX) { /* forget the one that came first */
        free (self->peers[0].flights);
        memmove (self->peers, self->peers + 1, --self->n_peers * sizeof *self->peers);
    }
    raft_peer_t *peer = &self->peers[self->n_peers++];
    *peer = (raft_peer_t){.id = id};
    return peer;
}

uint64_t driver_term_of (raft_driver_t *self, uint64_t index)
{
    const wal_entry_t *entry = raft_tail_get (&self->tail, index);
    if (entry)
        return entry->term;
    if (index == self->point.index)
        return self->point.term;
    uint64_t term;
    enum record_type type;
    if (index == 0 || index >= self->tail.first ||
        !self->config.ops.look (index, &term, &type, self->config.ops.arg))
        return 0;
    return term;
}

static void report_role (raft_driver_t *self)
{
    raft_id id = 0;
    const char *address = NULL;
    raft_leader (&self->r, &id, &address);
    enum raft_state state = raft_state (&self->r);
    enum journal_role role = state == RAFT_LEADER      ? JOURNAL_LEADER
                             : state == RAFT_CANDIDATE ? JOURNAL_CANDIDATE
                                                       : JOURNAL_FOLLOWER;
    if (role != JOURNAL_LEADER && self->role == JOURNAL_LEADER)
        driver_reads_drop (self);
    if (self->role_term != self->r.current_term || role != self->role)
        driver_ground (self);
    if (role == self->role && self->role_term == self->r.current_term &&
        self->role_leader == id)
        return;
    self->role = role;
    self->role_term = self->r.current_term;
    self->role_leader = id;
    self->config.ops.role (role, self->role_term, id, address ? address : "",
                           self->config.ops.arg);
}

/* --- what a step orders --- */

static int take_entries (raft_driver_t *self, struct raft_event *event,
                         struct raft_update *u)
{
    raft_index index = u->entries.index;
    unsigned n = u->entries.n;
    if (index <= self->seen)
        return driver_fail (self, DFS_EDAMAGED,
                            "entry %llu is committed and would be replaced", index);
    driver_drop_cookies (self, index, DFS_ENOTLEADER);
    raft_tail_truncate (&self->tail, index);
    wal_entry_t *entries = calloc (n, sizeof *entries);
    if (!entries)
        abort ();
    for (unsigned i = 0; i < n; i++) {
        const struct raft_entry *e = &u->entries.batch[i];
        entries[i] = (wal_entry_t){index + i, e->term, (enum record_type)e->type,
                                   (uint32_t)e->buf.len, e->buf.base};
        raft_tail_push (&self->tail, &entries[i]);
    }
    if (self->writes.n == 0)
        self->disk_at = self->r.now;
    guard_write_begin (&self->writes, index, n);
    self->config.ops.append (entries, n, self->config.ops.arg);
    free (entries);
    if (u->entries.batch[0].batch != raft_borrowed)
        raft_free (u->entries.batch[0].batch);
    /* Newer versions of the library give an array of their own. */
    const char *p = (const char *)u->entries.batch;
    const struct raft_entry *given =
        event->type == RAFT_SUBMIT ? event->submit.entries
        : event->type == RAFT_RECEIVE &&
                event->receive.message->type == RAFT_APPEND_ENTRIES
            ? event->receive.message->append_entries.entries
            : NULL;
    unsigned given_n = event->type == RAFT_SUBMIT ? event->submit.n
                       : given ? event->receive.message->append_entries.n_entries
                               : 0;
    bool ours =
        given && u->entries.batch >= given && u->entries.batch < given + given_n;
    bool its = p >= (const char *)&self->r && p < (const char *)(&self->r + 1);
    if (!ours && !its)
        raft_free (u->entries.batch);
    return DFS_OK;
}

static int keep_conf (const struct raft_configuration *conf, uint8_t *out, size_t *len)
{
    struct raft_buffer buf;
    if (raft_configuration_encode (conf, &buf) != 0)
        return -1;
    bool fits = buf.len <= POINT_CONF_MAX;
    if (fits) {
        memcpy (out, buf.base, buf.len);
        *len = buf.len;
    }
    raft_free (buf.base);
    return fits ? 0 : -1;
}

static int take_snapshot (raft_driver_t *self, const struct raft_message *m,
                          struct raft_update *u)
{
    const struct raft_snapshot_metadata *md = &u->snapshot.metadata;
    self->pending = (raft_point_t){.index = md->index,
                                   .term = md->term,
                                   .founding = self->founding,
                                   .conf_index = md->configuration_index};
    if (keep_conf (&md->configuration, self->pending.conf, &self->pending.conf_len))
        return driver_fail (self, DFS_EPROTO, "a snapshot with too many brokers");
    raft_configuration_close (&u->snapshot.metadata.configuration);
    guard_write_void (&self->writes);
    self->config.ops.install (&self->pending, m->server_id, self->config.ops.arg);
    return DFS_OK;
}

int driver_step (raft_driver_t *self, struct raft_event *event,
                 const struct raft_message *m)
{
    if (self->failed.code)
        return RAFT_SHUTDOWN;
    struct raft_update u = {0};
    bool stale = m && guard_is_stale (&self->r, m);
    uint64_t term = self->r.current_term, vote = self->r.voted_for;
    event->capacity = 1;
    int rv = raft_step (&self->r, event, &u);
    if (rv != 0) {
        if (event->type != RAFT_SUBMIT && event->type != RAFT_TRANSFER)
            driver_fail (self, DFS_EINTERNAL, "consensus: %s", raft_strerror (rv));
        return rv;
    }
    if ((self->r.current_term != term || self->r.voted_for != vote) &&
        self->config.ops.save_vote (self->r.current_term, self->r.voted_for,
                                    self->config.ops.arg)) {
        driver_fail (self, DFS_EIO, "term and vote cannot be saved");
        return RAFT_IOERR;
    }
    if ((u.flags & (RAFT_UPDATE_ENTRIES)) && take_entries (self, event, &u))
        return RAFT_SHUTDOWN;
    if ((u.flags & (RAFT_UPDATE_SNAPSHOT)) && take_snapshot (self, m, &u))
        return RAFT_SHUTDOWN;
    if (stale)
        guard_stale_replies (&u);
    if ((u.flags & (RAFT_UPDATE_MESSAGES)) && !self->mute)
        for (unsigned i = 0; i < u.messages.n; i++)
            driver_send_message (self, &u.messages.batch[i]);
    report_role (self);
    driver_advance (self);
    return self->failed.code ? RAFT_SHUTDOWN : 0;
}

/* --- events --- */

void raft_driver_abstain (raft_driver_t *self, bool abstains)
{
    self->abstains = abstains;
}

/* Its timeout would make it ask for votes. */
static bool sits_out (const raft_driver_t *self)
{
    return (self->stuck || self->abstains) && self->role != JOURNAL_LEADER;
}

uint64_t raft_driver_deadline (const raft_driver_t *self)
{
    uint64_t at = raft_timeout (&self->r);
    if (sits_out (self))
        return UINT64_MAX;
    if (self->n_reads && self->round_at + self->config.heartbeat_ms < at)
        at = self->round_at + self->config.heartbeat_ms;
    return at;
}

void raft_driver_tick (raft_driver_t *self, uint64_t now)
{
    if (sits_out (self))
        return;
    if (now >= raft_timeout (&self->r)) {
        struct raft_event event = {.time = now, .type = RAFT_TIMEOUT};
        driver_step (self, &event, NULL);
    }
    driver_reads_tick (self, now);
}

static void receive_part (raft_driver_t *self, uint64_t now, struct raft_message *m)
{
    struct raft_message request;
    if (guard_unasked (&self->r, m) ||
        (m->type == RAFT_TIMEOUT_NOW && (self->stuck || self->abstains)))
        return;
    if (guard_candidate_term (&self->r, m, &request)) {
        struct raft_event bump = {.time = now, .type = RAFT_RECEIVE};
        bump.receive.message = &request;
        self->mute = true;
        driver_step (self, &bump, &request);
        self->mute = false;
    }
    guard_rejection (&self->r, m);
    if (m->type == RAFT_APPEND_ENTRIES_RESULT)
        driver_landed (self, m->server_id, &m->append_entries_result);
    guard_vote_t vote = guard_vote_begin (&self->r, m, now, self->heard);
    struct raft_event event = {.time = now, .type = RAFT_RECEIVE};
    event.receive.message = m;
    bool leads = (m->type == RAFT_APPEND_ENTRIES || m->type == RAFT_INSTALL_SNAPSHOT) &&
                 !guard_is_stale (&self->r, m);
    driver_step (self, &event, m);
    guard_vote_end (&self->r, &vote);
    if (leads)
        self->heard = now;
}

static void receive_entries (raft_driver_t *self, uint64_t now, struct raft_message *m)
{
    guard_compacted (&self->r, &m->append_entries);
    struct raft_append_entries whole = m->append_entries;
    unsigned i = 0;
    do {
        unsigned k = guard_part (whole.entries + i, whole.n_entries - i);
        guard_split (&whole, i, k, &m->append_entries);
        receive_part (self, now, m);
        i += k;
    } while (i < whole.n_entries && !self->failed.code);
}

/* One that has nothing yet gets the log of this leader, and of no other. */
static void follow_log (raft_driver_t *self, const wire_packet_t *packet)
{
    if (!self->founding)
        self->founding = packet->founding;
}

int raft_driver_receive (raft_driver_t *self, uint64_t now, uint64_t from,
                         const void *bytes, size_t len, dfs_error_t *err)
{
    wire_packet_t packet;
    int rc = wire_decode (bytes, len, raft_borrowed, &packet, err);
    if (rc != DFS_OK)
        return rc;
    raft_peer_t *peer = driver_peer (self, from);
    struct raft_message *m = &packet.message;
    char address[WIRE_ADDRESS_MAX + 1] = "";
    for (unsigned i = 0; i < self->r.configuration.n; i++)
        if (self->r.configuration.servers[i].id == from)
            snprintf (address, sizeof address, "%s",
                      self->r.configuration.servers[i].address);
    m->server_address = address;
    if (packet.from != from || packet.to != self->config.id ||
        from == self->config.id) {
        rc = fail (err, DFS_EPROTO,
                   "packet of broker %" PRIu64 " from %" PRIu64 " to %" PRIu64,
                   packet.from, from, packet.to);
    } else if (packet.founding && self->founding && packet.founding != self->founding) {
        rc = fail (err, DFS_ECLUSTER, "the log of broker %" PRIu64 " is another one",
                   from);
    } else if (self->failed.code || !guard_fresh (&peer->in, packet.boot, packet.seq)) {
        rc = DFS_OK; /* late or twice */
    } else if (guard_second_leader (&self->r, m)) {
        rc = fail (err, DFS_EDAMAGED, "broker %" PRIu64 " also leads in term %" PRIu64,
                   from, (uint64_t)self->r.current_term);
    } else if (packet.kind == WIRE_PING) {
        if (packet.ping.term == self->r.current_term)
            driver_send_ping (self, from, WIRE_PONG, packet.ping.term,
                              packet.ping.round);
    } else if (packet.kind == WIRE_PONG) {
        driver_reads_pong (self, peer, &packet.ping);
    } else if (m->type == RAFT_APPEND_ENTRIES) {
        follow_log (self, &packet);
        receive_entries (self, now, m);
    } else if (m->type == RAFT_INSTALL_SNAPSHOT) {
        follow_log (self, &packet);
        /* The library keeps, closes or leaks this configuration: it gets its own. */
        guard_configuration (&packet.conf, &m->install_snapshot.conf, NULL);
        m->install_snapshot.data = (struct raft_buffer){raft_borrowed, 8};
        bool leaks = self->r.snapshot.installing &&
                     m->install_snapshot.term >= self->r.current_term;
        struct raft_configuration conf = m->install_snapshot.conf;
        receive_part (self, now, m);
        if (leaks)
            raft_configuration_close (&conf);
    } else {
        receive_part (self, now, m);
    }
    wire_release (&packet);
    return rc;
}

void raft_driver_persisted (raft_driver_t *self, uint64_t now)
{
    raft_index index = guard_write_end (&self->writes, &self->r);
    self->disk_at = now;
    if (!index)
        return;
    struct raft_event event = {.time = now, .type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = index;
    driver_step (self, &event, NULL);
}

int raft_driver_submit (raft_driver_t *self, uint64_t now,
                        const journal_proposal_t *proposals, size_t n, dfs_error_t *err)
{
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    if (raft_state (&self->r) != RAFT_LEADER)
        return fail (err, DFS_ENOTLEADER, "this broker does not lead");
    struct raft_entry *entries = calloc (n, sizeof *entries);
    if (!entries)
        abort ();
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct raft_entry){
            self->r.current_term,
            RAFT_COMMAND,
            {(void *)(uintptr_t)proposals[i].data, proposals[i].len},
            raft_borrowed};
    assert (guard_submission (entries, (unsigned)n));
    if (self->first_cookie > self->cookies_cap / 2) {
        self->n_cookies -= self->first_cookie;
        memmove (self->cookies, self->cookies + self->first_cookie,
                 self->n_cookies * sizeof *self->cookies);
        self->first_cookie = 0;
    }
    if (self->n_cookies + n > self->cookies_cap) {
        self->cookies_cap = 2 * (self->n_cookies + n);
        self->cookies =
            reallocarray (self->cookies, self->cookies_cap, sizeof *self->cookies);
        if (!self->cookies)
            abort ();
    }
    uint64_t first = raft_last_index (&self->r) + 1, term = self->r.current_term;
    struct raft_event event = {.time = now, .type = RAFT_SUBMIT};
    event.submit.entries = entries;
    event.submit.n = (unsigned)n;
    /* Known before the step: with one voter the step may commit at once. They are put
     * in behind what take_entries drops. */
    size_t before = self->n_cookies;
    int rv = driver_step (self, &event, NULL);
    free (entries);
    if (rv != 0)
        return fail (err, self->failed.code ? self->failed.code : DFS_ENOTLEADER,
                     "consensus: %s", raft_strerror (rv));
    assert (self->n_cookies <= before && self->seen < first);
    for (size_t i = 0; i < n; i++) {
        size_t weight = proposals[i].len + PROPOSAL_OVERHEAD;
        self->in_flight += weight;
        self->cookies[self->n_cookies++] =
            (raft_cookie_t){first + i, term, proposals[i].cookie, weight};
    }
    return DFS_OK;
}
