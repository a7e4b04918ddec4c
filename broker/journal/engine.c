/* SPDX-License-Identifier: MPL-2.0 */
/* The thread that runs the consensus core: proposals, packets, what has become durable
 * and the clock go in; orders for the writer and the peers, and news for the broker,
 * come out. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include "journal_private.h"

#define CLOSE_MS   3000 /* for what was proposed to commit, at the end */
#define STOP_MS    2    /* between looks whether it is over */
#define MEMBERS_MS 100  /* between looks at the members */

static uint64_t now_ms (void)
{
    return clock_mono () / MS;
}

/* --- one round of work --- */

typedef struct round {
    queue_t *queue;
    note_t *notes;
    size_t persisted;
    bool point_due;
    bool point_done;
    bool point_saved;
    bool read_ready;
    bool stop;
} round_t;

static void take_packet (journal_t *self, note_t *note, uint64_t now)
{
    dfs_error_t err;
    uint64_t from = wire_sender (note->bytes, note->len);
    known_t *known = brokers_known (self, note->name);
    if (known)
        known->heard = now;
    /* One that has nothing takes the log only as a newcomer: see lost_data. */
    if (brokers_empty (self) && !(known && known->standby))
        return;
    self->founding = false;
    int rc = brokers_may_speak (self, note->name, from)
                 ? raft_driver_receive (self->driver, now, from, note->bytes, note->len,
                                        &err)
                 : fail (&err, DFS_EPROTO, "another broker's id");
    if (rc == DFS_EDAMAGED)
        log_error ("two_leaders", "node=%s err=\"%s\"", note->name, err.text);
    else if (rc != DFS_OK)
        log_debug ("packet_refused", "node=%s err=\"%s\"", note->name, err.text);
}

static void take_note (journal_t *self, note_t *note, uint64_t now)
{
    switch (note->kind) {
    case NOTE_PACKET:
        take_packet (self, note, now);
        break;
    case NOTE_HELLO:
        brokers_hello (self, note, now);
        break;
    case NOTE_TRANSFER:
        brokers_ask_transfer (self, note, now);
        break;
    case NOTE_REPLACE:
        brokers_ask_replace (self, note, now);
        break;
    case NOTE_BROKERS:
        brokers_set (self, note->brokers, note->n);
        break;
    case NOTE_FETCHED:
        self->install_ready = true;
        self->install_state = note->cookie;
        self->refused[0] = 0;
        break;
    case NOTE_NOT_FETCHED:
        engine_not_fetched (self, &note->err, now);
        break;
    }
}

static void drop_all (journal_t *self, const queue_t *queue, int code)
{
    for (size_t i = 0; i < queue->n; i++)
        self->events.dropped (&queue->items[i].cookie, 1, code, self->events.arg);
}

static void submit (journal_t *self, const queue_t *queue, uint64_t now)
{
    dfs_error_t err = {.code = DFS_ENOTLEADER};
    if (queue->n && self->role != JOURNAL_LEADER) {
        drop_all (self, queue, err.code);
    } else if (queue->n) {
        journal_proposal_t *proposals = calloc (queue->n, sizeof *proposals);
        if (!proposals)
            abort ();
        for (size_t i = 0; i < queue->n; i++)
            proposals[i] =
                (journal_proposal_t){queue->bytes + queue->items[i].offset,
                                     queue->items[i].len, queue->items[i].cookie};
        /* When the core has failed, they may be on their way to others, and commit:
         * whoever leads next is asked again, and knows. */
        if (raft_driver_submit (self->driver, now, proposals, queue->n, &err) &&
            !raft_driver_failed (self->driver))
            drop_all (self, queue, err.code);
        free (proposals);
    }
    for (size_t i = 0; i < queue->n_reads; i++)
        raft_driver_read (self->driver, now, queue->reads[i]);
}

/* A state machine that is far enough ahead of the log's start lets it be trimmed; while
 * somebody gets a state, what comes behind that state is kept a good deal longer. But
 * no longer than there is room for it: a follower that needs it gets another state. */
static void announce_point (journal_t *self, uint64_t now)
{
    uint64_t applied = atomic_load (&self->applied);
    uint64_t point = raft_driver_point (self->driver);
    uint64_t keep = self->trailing;
    if (self->installing || applied <= point)
        return;
    if (self->lane && lane_giving (self->lane))
        keep *= 64;
    uint64_t first =
        wal_within (self->wal, writer_stuck (self->writer) ? 0 : self->log_bytes);
    if (first > applied + 1)
        first = applied + 1;
    bool large = first > wal_first (self->wal);
    if (large && keep > applied + 1 - first)
        keep = applied + 1 - first;
    if (large || applied >= point + keep)
        raft_driver_snapshot (self->driver, now, applied, keep);
}

static void say_role (journal_t *self)
{
    enum journal_role now_role = raft_driver_role (self->driver);
    uint64_t term = raft_driver_term (self->driver);
    uint64_t leader = raft_driver_leader (self->driver);
    if (now_role == JOURNAL_LEADER && !raft_driver_leads (self->driver)) {
        now_role = JOURNAL_CANDIDATE;
        leader = 0;
    }
    if (self->role_said && now_role == self->role && term == self->role_term &&
        leader == self->role_leader)
        return;
    bool lost = self->role == JOURNAL_LEADER &&
                (now_role != JOURNAL_LEADER || term != self->role_term);
    self->role = now_role;
    self->role_term = term;
    self->role_leader = leader;
    self->role_said = true;
    char name[JOURNAL_NAME] = "";
    if (leader && !brokers_name (self, leader, name))
        name[0] = 0;
    pthread_mutex_lock (&self->lock);
    self->stats.role = now_role;
    self->stats.term = term;
    memcpy (self->stats.leader, name, sizeof self->stats.leader);
    pthread_mutex_unlock (&self->lock);
    if (lost)
        raft_driver_drop (self->driver);
    log_info ("role", "role=%s term=%" PRIu64 " leader=%s",
              now_role == JOURNAL_LEADER      ? "leader"
              : now_role == JOURNAL_CANDIDATE ? "candidate"
                                              : "follower",
              term, name[0] ? name : "-");
    self->events.role (now_role, term, name, self->events.arg);
}

/* A disk that does not go on, or a state machine that is not sound: another broker
 * leads, if there is one. */
static void watch_fitness (journal_t *self, uint64_t now)
{
    pthread_mutex_lock (&self->lock);
    bool unfit = self->word.unfit, hangs = self->word.hangs;
    pthread_mutex_unlock (&self->lock);
    raft_driver_abstain (self->driver, unfit);
    bool no_room = writer_stuck (self->writer);
    bool stuck = raft_driver_watch_disk (self->driver, now, no_room, hangs);
    if (stuck && !self->stuck)
        log_warn ("journal_stuck", "why=\"%s\"",
                  hangs     ? "the namespace does not go on"
                  : no_room ? "no room for another segment"
                            : "a write does not come to its end");
    else if (!stuck && self->stuck)
        log_info ("journal_goes_on", "last=%" PRIu64, wal_last (self->wal));
    self->stuck = stuck;
    self->hangs = hangs;
}

static void publish (journal_t *self, uint64_t now)
{
    journal_stats_t s;
    bool whole = now >= self->members_at + MEMBERS_MS;
    if (whole) {
        self->members_at = now;
        brokers_stats (self, now, &s);
    }
    uint64_t first = wal_first (self->wal), last = raft_driver_last (self->driver);
    uint64_t commit = raft_driver_committed (self->driver);
    pthread_mutex_lock (&self->lock);
    if (whole) {
        self->stats.part = s.part;
        self->stats.trouble = s.trouble;
        memcpy (self->stats.why, s.why, sizeof s.why);
        self->stats.n_members = s.n_members;
        memcpy (self->stats.members, s.members, s.n_members * sizeof *s.members);
    }
    self->stats.point = raft_driver_point (self->driver);
    self->stats.first_index = first;
    self->stats.last_index = last;
    self->stats.committed = commit;
    self->full = raft_driver_full (self->driver);
    self->in_flight = raft_driver_in_flight (self->driver);
    self->taken = 0;
    pthread_mutex_unlock (&self->lock);
}

static void work (journal_t *self, round_t *round)
{
    uint64_t now = now_ms ();
    reader_round (self->reader);
    for (size_t i = 0; i < round->persisted; i++) {
        self->appends--;
        raft_driver_persisted (self->driver, now);
    }
    if (round->point_done)
        raft_driver_point_saved (self->driver, now, round->point_saved);
    self->told = atomic_load (&self->applied);
    raft_driver_applied (self->driver, now, self->told);
    if (round->read_ready || raft_driver_more (self->driver))
        raft_driver_go_on (self->driver, now);
    while (round->notes) {
        note_t *note = round->notes;
        round->notes = note->next;
        take_note (self, note, now);
        note_free (note);
    }
    say_role (self);
    submit (self, round->queue, now);
    if (now >= self->grace && !self->founding)
        raft_driver_tick (self->driver, now);
    engine_install_work (self, now);
    if (round->point_due)
        announce_point (self, now);
    brokers_work (self, now);
    brokers_tick (self, now);
    watch_fitness (self, now);
    engine_found (self, now, NULL, 0);
    const dfs_error_t *failed = self->driver ? raft_driver_failed (self->driver) : NULL;
    if (failed)
        engine_fail (self, failed);
    if (!self->driver)
        return;
    say_role (self);
    publish (self, now);
}

/* --- the thread --- */

static uint64_t deadline (journal_t *self)
{
    uint64_t at = self->founding ? UINT64_MAX : raft_driver_deadline (self->driver);
    if (raft_driver_more (self->driver))
        at = now_ms ();
    if (at < self->grace)
        at = self->grace;
    if (self->peers && self->hello_at < at)
        at = self->hello_at;
    return at;
}

/* True when there is something to do. The lock is held. */
static bool busy (const journal_t *self, uint64_t now)
{
    bool queued = (self->filling->n || self->filling->n_reads) && now >= self->hold;
    bool room = self->full && atomic_load (&self->applied) > self->told;
    return queued || self->notes || self->persisted || self->point_due ||
           self->point_done || self->read_ready || room ||
           (self->stop && !self->stopping) || self->failed.code;
}

/* Waits for work. When it was not woken long after it should have been, this process
 * has slept, and what others said meanwhile is still to be heard: no timer yet. */
static void wait_for_work (journal_t *self, uint64_t at)
{
    uint64_t now = now_ms ();
    while (!busy (self, now) && now < at) {
        uint64_t until = at;
        if (self->filling->n && self->hold < until)
            until = self->hold;
        struct timespec ts = {.tv_sec = (time_t)(until / 1000),
                              .tv_nsec = (long)(until % 1000) * 1000000L};
        self->waiting = true;
        pthread_cond_timedwait (&self->wake, &self->lock, &ts);
        self->waiting = false;
        now = now_ms ();
    }
    if (now > at + 2 * self->heartbeat_ms && self->peers)
        self->grace = now + self->heartbeat_ms;
}

static void take (journal_t *self, round_t *round)
{
    bool held = now_ms () < self->hold;
    *round = (round_t){.notes = self->notes,
                       .persisted = self->persisted,
                       .point_due = self->point_due,
                       .point_done = self->point_done,
                       .point_saved = self->point_saved,
                       .read_ready = self->read_ready,
                       .stop = self->stop};
    static queue_t none;
    round->queue = &none;
    if (!held) {
        round->queue = self->filling;
        self->filling = &self->queues[round->queue == &self->queues[0]];
        self->taken = queue_weight (round->queue);
    }
    self->notes = NULL;
    self->notes_end = &self->notes;
    self->notes_bytes = 0;
    self->persisted = 0;
    self->point_due = self->point_done = self->read_ready = false;
}

/* The end: what was proposed is waited for, and the lead handed on. */
static bool may_stop (journal_t *self, uint64_t *until)
{
    dfs_error_t err;
    uint64_t now = now_ms ();
    if (!*until) {
        *until = now + CLOSE_MS;
        self->hold = 0;
    }
    if (now >= *until || raft_driver_role (self->driver) != JOURNAL_LEADER)
        return true;
    if (raft_driver_proposals (self->driver) || self->appends)
        return writer_stuck (self->writer);
    if (!self->peers || raft_driver_voters (self->driver) < 2)
        return true;
    return !raft_driver_transferring (self->driver) &&
           raft_driver_transfer (self->driver, now, 0, &err) != DFS_OK;
}

static void refuse_all (journal_t *self, const queue_t *queue)
{
    int code = self->failed.code ? self->failed.code : DFS_ENOTLEADER;
    for (size_t i = 0; i < queue->n_reads; i++)
        self->events.read_point (queue->reads[i], code, 0, self->events.arg);
}

void *engine_main (void *journal)
{
    journal_t *self = journal;
    uint64_t until = 0;
    bool going = engine_start (self, now_ms ());
    if (going) {
        engine_found (self, now_ms (), NULL, 0);
        going = self->driver != NULL;
    }
    for (;;) {
        round_t round;
        uint64_t at = going ? deadline (self) : now_ms () + 1000;
        if (until && at > now_ms () + STOP_MS)
            at = now_ms () + STOP_MS;
        pthread_mutex_lock (&self->lock);
        self->stopping = until != 0;
        wait_for_work (self, at);
        take (self, &round);
        bool failed = self->failed.code != 0;
        pthread_mutex_unlock (&self->lock);
        if (going && !failed) {
            work (self, &round);
            going = self->driver != NULL;
        } else {
            refuse_all (self, round.queue);
        }
        while (round.notes) {
            note_t *note = round.notes;
            round.notes = note->next;
            note_free (note);
        }
        if (round.queue->n || round.queue->n_reads)
            queue_clear (round.queue);
        if (round.stop && (!going || failed || may_stop (self, &until)))
            break;
        if (failed && !round.stop) {
            pthread_mutex_lock (&self->lock);
            while (!self->stop && !self->filling->n_reads) {
                self->waiting = true;
                pthread_cond_wait (&self->wake, &self->lock);
            }
            pthread_mutex_unlock (&self->lock);
        }
    }
    return NULL;
}
