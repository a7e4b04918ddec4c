/* SPDX-License-Identifier: MPL-2.0 */
/* What the consensus core orders, and how it is started: on the log, or on the first
 * entry of a new one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/units.h"

#include "journal_private.h"

#define SILENT_ELECTIONS 5     /* timeouts without a word of the leader */
#define REFUSED_MS       30000 /* before a state that was refused is fetched again */

static void fail_with (journal_t *self, dfs_error_t *err, const char *what)
{
    wrap (err, "%s", what);
    engine_fail (self, err);
}

/* --- orders of the core --- */

static int save_vote (uint64_t term, uint64_t voted_for, void *arg)
{
    journal_t *self = arg;
    dfs_error_t err;
    self->vote = (vote_t){term, voted_for};
    int rc = vote_save (self->dir, &self->vote, &err);
    if (rc != DFS_OK)
        fail_with (self, &err, "save term and vote");
    return rc;
}

static void append (const wal_entry_t *entries, size_t n, void *arg)
{
    journal_t *self = arg;
    uint64_t last = entries[n - 1].index;
    if (entries[0].index <= self->appended)
        reader_forget (self->reader);
    if (last > self->appended)
        self->appended = last;
    self->appends++;
    writer_append (self->writer, entries, n);
}

static int read_log (uint64_t from, uint64_t to, size_t max_bytes, bool wait,
                     wal_entries_t *out, void *arg)
{
    journal_t *self = arg;
    dfs_error_t err;
    int rc = wait ? wal_read (self->wal, from, to, max_bytes, out, &err)
                  : reader_get (self->reader, from, to, max_bytes, out, &err);
    if (rc != DFS_OK && rc != DFS_EAGAIN)
        engine_fail (self, &err);
    return rc;
}

static bool look (uint64_t index, uint64_t *term, enum record_type *type, void *arg)
{
    return wal_look (((journal_t *)arg)->wal, index, term, type);
}

static void save_point (const raft_point_t *at, void *arg)
{
    journal_t *self = arg;
    /* The log goes on from there: nothing may be missing. */
    writer_point (self->writer, &(point_t){.at = *at});
}

static void point_taken (const raft_point_t *at, uint64_t trim, void *arg)
{
    journal_t *self = arg;
    self->point = (point_t){.at = *at};
    if (trim)
        writer_trim (self->writer, trim);
}

static void send (uint64_t to, const void *bytes, size_t len, void *arg)
{
    journal_t *self = arg;
    char name[JOURNAL_NAME];
    if (self->peers && brokers_name (self, to, name))
        peers_send (self->peers, name, PEERS_PACKET, bytes, len);
}

static void committed (const journal_entry_t *entries, size_t n, void *arg)
{
    journal_t *self = arg;
    self->events.committed (entries, n, self->events.arg);
}

static void dropped (const uint64_t *cookies, size_t n, int code, void *arg)
{
    journal_t *self = arg;
    self->events.dropped (cookies, n, code, self->events.arg);
}

/* What the core thinks of its role is said after the work (say_role): a leader is one
 * only behind its first entry. */
static void role (enum journal_role new_role, uint64_t term, uint64_t leader,
                  const char *address, void *arg)
{
    (void)new_role;
    (void)term;
    (void)leader;
    (void)address;
    (void)arg;
}

static void read_point (uint64_t cookie, int code, uint64_t index, void *arg)
{
    journal_t *self = arg;
    self->events.read_point (cookie, code, index, self->events.arg);
}

/* One that cannot be taken, or has no room, will be no other a moment later: somebody
 * has to look at it. */
void engine_not_fetched (journal_t *self, const dfs_error_t *err, uint64_t now)
{
    bool refused = err->code == DFS_EVERSION || err->code == DFS_ECLUSTER ||
                   err->code == DFS_EDAMAGED || err->code == DFS_ENOSPC ||
                   err->code == DFS_EQUOTA;
    if (!refused) {
        log_warn ("state_not_fetched", "err=\"%s\"", err->text);
        self->install_failed = true;
        return;
    }
    log_error ("state_refused", "err=\"%s\"", err->text);
    snprintf (self->refused, sizeof self->refused, "%.255s", err->text);
    self->refused_until = now + REFUSED_MS;
}

/* Fetches the state, unless the state machine has as much already. */
static void install (const raft_point_t *point, uint64_t from, void *arg)
{
    journal_t *self = arg;
    uint64_t applied = atomic_load (&self->applied);
    char name[JOURNAL_NAME] = "";
    dfs_error_t err;
    self->installing = true;
    self->refused_until = 0;
    self->install_ready = self->install_failed = false;
    self->install_point = *point;
    log_info ("install", "index=%" PRIu64 " applied=%" PRIu64, point->index, applied);
    if (applied >= point->index) {
        point_t next = {.at = *point, .state = applied};
        int rc = point_save (self->dir, POINT_NEXT, &next, &err);
        if (rc == DFS_ENOSPC || rc == DFS_EQUOTA) {
            engine_not_fetched (self, &err, clock_mono () / MS);
            return;
        }
        if (rc != DFS_OK) {
            fail_with (self, &err, "save the point of a state");
            return;
        }
        self->install_state = applied;
        self->install_ready = true;
    } else if (self->lane && brokers_name (self, from, name)) {
        lane_fetch (self->lane, point, name, brokers_key (self, name));
    } else {
        self->install_failed = true;
    }
}

/* While a state is on its way this broker cannot vote: when the leader that has it is
 * silent, the others may need it. */
static void watch_fetch (journal_t *self, uint64_t now)
{
    if (!self->installing || !self->lane || self->install_ready || self->install_failed)
        return;
    bool silent =
        now > raft_driver_heard (self->driver) + SILENT_ELECTIONS * self->election_ms;
    if (self->refused_until && (silent || now >= self->refused_until)) {
        self->refused_until = 0;
        self->install_failed = true;
    } else if (silent) {
        lane_give_up (self->lane);
    }
}

/* Goes on with an installation when all that was written before it is durable: nothing
 * else touches the log then. */
void engine_install_work (journal_t *self, uint64_t now)
{
    dfs_error_t err;
    watch_fetch (self, now);
    if (!self->installing || self->appends || !writer_idle (self->writer) ||
        !(self->install_ready || self->install_failed))
        return;
    if (self->install_failed) {
        self->installing = false;
        raft_driver_not_installed (self->driver, now, wal_first (self->wal),
                                   wal_last (self->wal));
        return;
    }
    if (self->install_ready && !self->install_committed) {
        if (point_commit (self->dir, &err) != DFS_OK) {
            fail_with (self, &err, "save the point of a state");
            return;
        }
        self->point =
            (point_t){.at = self->install_point, .state = self->install_state};
        self->install_committed = true;
    }
    int rc = wal_reset (self->wal, self->install_point.index, self->install_point.term,
                        &err);
    if (rc == DFS_ENOSPC || rc == DFS_EQUOTA)
        return; /* again at the next round */
    if (rc != DFS_OK) {
        fail_with (self, &err, "empty the journal behind a state");
        return;
    }
    self->installing = self->install_committed = false;
    reader_forget (self->reader);
    raft_driver_installed (self->driver, now);
    raft_driver_skip (self->driver, self->install_state);
    log_info ("installed", "index=%" PRIu64 " state=%" PRIu64, self->point.at.index,
              self->install_state);
}

/* Until all have the first set of brokers nobody asks for votes. */
static void begin_founding (journal_t *self)
{
    self->founding = wal_first (self->wal) == 1 && wal_last (self->wal) == 1 &&
                     self->vote.term == 1 && raft_driver_voters (self->driver) > 1;
}

bool engine_start (journal_t *self, uint64_t now)
{
    dfs_error_t err;
    char address[WIRE_ADDRESS_MAX + 1];
    brokers_address (self->name, self->id, address);
    raft_driver_config_t config = {
        .id = self->id,
        .address = address,
        .boot = self->boot,
        .seed = (unsigned)(self->id * 2654435761u + self->boot + now),
        .election_ms = self->election_ms,
        .heartbeat_ms = self->heartbeat_ms,
        .hang_ms = self->hang_ms,
        .window_bytes = self->window_bytes,
        .term = self->vote.term,
        .voted_for = self->vote.voted_for,
        .point = self->point.at,
        .first = wal_first (self->wal),
        .last = wal_last (self->wal),
        .applied = self->start_applied,
        .ops = {.save_vote = save_vote,
                .append = append,
                .read = read_log,
                .look = look,
                .save_point = save_point,
                .point_taken = point_taken,
                .send = send,
                .install = install,
                .committed = committed,
                .dropped = dropped,
                .role = role,
                .read_point = read_point,
                .arg = self},
    };
    self->driver = raft_driver_new (&config, now, &err);
    if (self->driver)
        begin_founding (self);
    else
        fail_with (self, &err, "start the journal");
    return self->driver != NULL;
}

/* Writes the first entry, the set of brokers, and starts on it. */
void engine_found (journal_t *self, uint64_t now, const uint8_t *entry, size_t len)
{
    uint8_t *own = NULL;
    size_t done;
    dfs_error_t err;
    if (wal_last (self->wal) || self->point.at.index || self->appends)
        return;
    if (!entry) {
        if (!brokers_found (self, now, &own, &len))
            return;
        entry = own;
    }
    self->vote.term = self->vote.term ? self->vote.term : 1;
    int rc = vote_save (self->dir, &self->vote, &err);
    wal_entry_t first = {1, 1, RECORD_CHANGE, (uint32_t)len, entry};
    if (rc == DFS_OK)
        rc = wal_append (self->wal, &first, 1, &done, &err);
    free (own);
    if (rc != DFS_OK) {
        fail_with (self, &err, "write the first set of brokers");
        return;
    }
    log_info ("founded", "brokers=%zu", self->n_known ? self->n_known : 1);
    self->waiting_at = 0;
    raft_driver_destroy (&self->driver);
    engine_start (self, now);
}
