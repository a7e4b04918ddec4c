/* SPDX-License-Identifier: MPL-2.0 */
/* The journal with one voter: what is durable here is committed. One thread writes;
 * what is proposed while it writes goes into its next group. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"

#include "journal.h"
#include "queue.h"
#include "vote.h"
#include "wal.h"

#define SEGMENT_SIZE (64u * 1024 * 1024)
#define TRAILING     16384
#define IN_FLIGHT    (64u * 1024 * 1024)
#define ENTRY_MAX    (1024u * 1024)
#define REPLAY_BYTES (1024u * 1024)
#define SELF_ID      1

struct journal {
    journal_events_t events;
    uint64_t id;
    char name[JOURNAL_NAME];
    uint64_t trailing;
    uint64_t replay; /* deliver from here on at the start */
    wal_t *wal;
    vote_t vote;
    pthread_t thread;
    atomic_uint_fast64_t applied;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    queue_t queues[2];
    queue_t *filling;
    size_t in_flight; /* bytes proposed and not yet answered */
    bool stop;
    bool trim; /* journal_applied has moved */
    bool full; /* refused for want of room; cleared when there is hope */
    dfs_error_t failed;
    enum journal_role role;
    uint64_t first;
    uint64_t committed;

    wal_entry_t *entries; /* the writer's, for one queue */
    journal_entry_t *done;
    size_t entries_cap;
};

/* --- the writer --- */

static void set_progress (journal_t *self, uint64_t committed, size_t weight)
{
    uint64_t first = wal_first (self->wal);
    pthread_mutex_lock (&self->lock);
    self->committed = committed;
    self->first = first;
    self->in_flight -= weight;
    pthread_mutex_unlock (&self->lock);
}

static void set_failed (journal_t *self, const dfs_error_t *err)
{
    log_error ("journal_failed", "err=%s", err->text);
    pthread_mutex_lock (&self->lock);
    self->failed = *err;
    self->role = JOURNAL_FOLLOWER;
    pthread_mutex_unlock (&self->lock);
    self->events.failed (err, self->events.arg);
}

static void reserve (journal_t *self, size_t n)
{
    if (n <= self->entries_cap)
        return;
    self->entries_cap = n;
    self->entries = reallocarray (self->entries, n, sizeof *self->entries);
    self->done = reallocarray (self->done, n, sizeof *self->done);
    if (!self->entries || !self->done)
        abort ();
}

/* Hands N entries from FIRST on to the state machine. COOKIES may be NULL. */
static void deliver (journal_t *self, const wal_entry_t *entries, size_t n,
                     const queue_item_t *items)
{
    for (size_t i = 0; i < n; i++)
        self->done[i] = (journal_entry_t){
            .index = entries[i].index,
            .term = entries[i].term,
            .data = entries[i].type == RECORD_COMMAND ? entries[i].data : NULL,
            .len = entries[i].type == RECORD_COMMAND ? entries[i].len : 0,
            .cookie = items ? items[i].cookie : 0,
        };
    self->events.committed (self->done, n, self->events.arg);
}

/* What an earlier run left behind the namespace's applied index. */
static int replay (journal_t *self, dfs_error_t *err)
{
    uint64_t last = wal_last (self->wal);
    for (uint64_t from = self->replay; from <= last;) {
        wal_entries_t read;
        int rc = wal_read (self->wal, from, last, REPLAY_BYTES, &read, err);
        if (rc != DFS_OK)
            return rc;
        reserve (self, read.n);
        set_progress (self, from + read.n - 1, 0);
        deliver (self, read.entries, read.n, NULL);
        from += read.n;
        wal_entries_free (&read);
    }
    set_progress (self, last, 0);
    return DFS_OK;
}

/* No room for another segment: these will never commit. */
static void drop (journal_t *self, const queue_item_t *items, size_t n,
                  const dfs_error_t *err)
{
    log_warn ("journal_full", "dropped=%zu err=%s", n, err->text);
    uint64_t *cookies = malloc (n * sizeof *cookies);
    if (!cookies)
        abort ();
    size_t weight = 0;
    for (size_t i = 0; i < n; i++) {
        cookies[i] = items[i].cookie;
        weight += items[i].len + QUEUE_OVERHEAD;
    }
    pthread_mutex_lock (&self->lock);
    self->full = true;
    self->in_flight -= weight;
    pthread_mutex_unlock (&self->lock);
    self->events.dropped (cookies, n, err->code, self->events.arg);
    free (cookies);
}

static int write_queue (journal_t *self, const queue_t *queue, dfs_error_t *err)
{
    size_t n = queue->n;
    if (n == 0)
        return DFS_OK;
    reserve (self, n);
    uint64_t next = wal_last (self->wal) + 1;
    for (size_t i = 0; i < n; i++)
        self->entries[i] = (wal_entry_t){
            .index = next + i,
            .term = self->vote.term,
            .type = RECORD_COMMAND,
            .len = queue->items[i].len,
            .data = queue->bytes + queue->items[i].offset,
        };
    for (size_t i = 0; i < n;) {
        size_t k;
        int rc = wal_append (self->wal, self->entries + i, n - i, &k, err);
        if (rc == DFS_ENOSPC || rc == DFS_EQUOTA) {
            drop (self, queue->items + i, n - i, err);
            return DFS_OK;
        }
        if (rc != DFS_OK)
            return rc;
        size_t weight = 0;
        for (size_t j = i; j < i + k; j++)
            weight += queue->items[j].len + QUEUE_OVERHEAD;
        set_progress (self, next + i + k - 1, weight);
        deliver (self, self->entries + i, k, queue->items + i);
        i += k;
    }
    return DFS_OK;
}

static void answer_reads (journal_t *self, const queue_t *queue, int code)
{
    uint64_t committed = wal_last (self->wal);
    for (size_t i = 0; i < queue->n_reads; i++)
        self->events.read_point (queue->reads[i], code, code ? 0 : committed,
                                 self->events.arg);
}

static void trim (journal_t *self)
{
    uint64_t applied = atomic_load (&self->applied), last = wal_last (self->wal);
    applied = applied < last ? applied : last;
    if (applied <= self->trailing || applied - self->trailing < wal_first (self->wal))
        return;
    wal_trim (self->wal, applied - self->trailing);
    set_progress (self, last, 0);
}

static void *run (void *arg)
{
    journal_t *self = arg;
    dfs_error_t err;
    int rc = replay (self, &err);
    if (rc == DFS_OK) {
        pthread_mutex_lock (&self->lock);
        self->role = JOURNAL_LEADER;
        pthread_mutex_unlock (&self->lock);
        self->events.role (JOURNAL_LEADER, self->vote.term, self->name,
                           self->events.arg);
    } else {
        set_failed (self, &err);
    }
    for (;;) {
        pthread_mutex_lock (&self->lock);
        while (!self->stop && !self->trim && !self->filling->n &&
               !self->filling->n_reads)
            pthread_cond_wait (&self->wake, &self->lock);
        queue_t *queue = self->filling;
        self->filling = &self->queues[queue == &self->queues[0]];
        bool stop = self->stop && !queue->n && !queue->n_reads;
        bool trimming = self->trim;
        self->trim = false;
        pthread_mutex_unlock (&self->lock);
        if (stop)
            break;
        if (rc == DFS_OK) {
            rc = write_queue (self, queue, &err);
            if (rc != DFS_OK)
                set_failed (self, &err);
        }
        answer_reads (self, queue, rc);
        if (rc == DFS_OK && trimming)
            trim (self);
        queue_clear (queue);
    }
    return NULL;
}

/* --- opening --- */

static int refuse (const char *dir, uint64_t first, uint64_t last, uint64_t applied,
                   dfs_error_t *err)
{
    return fail (err, DFS_EDAMAGED,
                 "%s: the journal holds entries %" PRIu64 " to %" PRIu64
                 ", but the namespace has applied %" PRIu64 ": entries are missing",
                 dir, first, last, applied);
}

/* Checks that log, vote and namespace belong together; makes the vote of a new log. */
static int join (journal_t *self, const journal_config_t *config, const char *dir,
                 dfs_error_t *err)
{
    uint64_t first = wal_first (self->wal), last = wal_last (self->wal);
    int rc;
    if (!self->vote.term) {
        /* The vote is made after the first segment: without it there are no entries. */
        if (last > 0)
            return fail (err, DFS_EDAMAGED, "%s/vote is missing", dir);
        self->vote = (vote_t){.term = 1, .voted_for = self->id};
        rc = vote_save (dir, &self->vote, err);
        if (rc != DFS_OK)
            return wrap (err, "save term and vote");
    }
    if (wal_term (self->wal, last) > self->vote.term)
        return fail (err, DFS_EDAMAGED, "%s/vote is older than the log", dir);
    if (config->applied > last) {
        /* Without syncs a power cut may leave the namespace ahead of the log. */
        if (!config->memory_durability)
            return refuse (dir, first, last, config->applied, err);
        rc = wal_reset (self->wal, config->applied, self->vote.term, err);
        if (rc != DFS_OK)
            return rc;
    } else if (config->applied + 1 < first) {
        return refuse (dir, first, last, config->applied, err);
    }
    return DFS_OK;
}

static int open_all (journal_t *self, const journal_config_t *config, dfs_error_t *err)
{
    char dir[PATH_MAX];
    snprintf (dir, sizeof dir, "%s/journal", config->dir);
    int rc = io_mkdir (dir, 0700, err);
    if (rc == DFS_OK || rc == DFS_EEXIST)
        rc = io_sync_dir (config->dir, err);
    if (rc != DFS_OK)
        return rc;
    rc = vote_load (dir, &self->vote, err);
    if (rc < 0)
        return rc;
    self->wal = wal_open (&(wal_config_t){.dir = dir,
                                          .segment_size = config->segment_size
                                                              ? config->segment_size
                                                              : SEGMENT_SIZE,
                                          .unsynced = config->memory_durability,
                                          .exists = rc > 0},
                          err);
    if (!self->wal)
        return err->code;
    rc = join (self, config, dir, err);
    if (rc != DFS_OK)
        wal_close (&self->wal);
    return rc;
}

static void release (journal_t *self)
{
    wal_close (&self->wal);
    queue_release (&self->queues[0]);
    queue_release (&self->queues[1]);
    free (self->entries);
    free (self->done);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

journal_t *journal_open (const journal_config_t *config, dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    journal_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, NULL);
    self->events = config->events;
    self->id = config->id ? config->id : SELF_ID;
    snprintf (self->name, sizeof self->name, "%s", config->name ? config->name : "");
    self->trailing = config->trailing ? config->trailing : TRAILING;
    self->filling = &self->queues[0];
    self->replay = config->applied + 1;
    self->committed = config->applied;
    atomic_init (&self->applied, config->applied);
    if (open_all (self, config, err)) {
        release (self);
        return NULL;
    }
    self->first = wal_first (self->wal);
    int rc = pthread_create (&self->thread, NULL, run, self);
    if (rc != 0) {
        errno = rc;
        fail_errno (err, "start the journal's thread");
        release (self);
        return NULL;
    }
    return self;
}

void journal_close (journal_t **self_p)
{
    journal_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    release (self);
    *self_p = NULL;
}

/* --- calls --- */

/* Why a batch of WEIGHT bytes is not taken now. The lock is held. */
static int admit (journal_t *self, size_t weight, dfs_error_t *err)
{
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    if (self->role != JOURNAL_LEADER)
        return fail (err, DFS_ENOTLEADER, "the journal is still being read");
    if (weight > IN_FLIGHT)
        return fail (err, DFS_ETOOBIG, "%zu bytes proposed at once", weight);
    if (self->in_flight + weight > IN_FLIGHT)
        return fail (err, DFS_EAGAIN, "%zu bytes wait for the journal's disk",
                     self->in_flight);
    if (self->full) {
        if (!wal_hopeful (self->wal))
            return fail (err, DFS_ENOSPC, "no room for another journal segment");
        self->full = false;
    }
    return DFS_OK;
}

int journal_propose (journal_t *self, const journal_proposal_t *proposals, size_t n,
                     dfs_error_t *err)
{
    size_t most = wal_max_len (self->wal), weight = 0;
    most = most < ENTRY_MAX ? most : ENTRY_MAX;
    for (size_t i = 0; i < n; i++) {
        if (proposals[i].len > most)
            return fail (err, DFS_ETOOBIG, "entry of %zu bytes", proposals[i].len);
        weight += proposals[i].len + QUEUE_OVERHEAD;
    }
    pthread_mutex_lock (&self->lock);
    int rc = admit (self, weight, err);
    if (rc == DFS_OK) {
        for (size_t i = 0; i < n; i++)
            queue_push (self->filling, &proposals[i]);
        self->in_flight += weight;
        pthread_cond_signal (&self->wake);
    }
    pthread_mutex_unlock (&self->lock);
    return rc;
}

void journal_read_point (journal_t *self, uint64_t cookie)
{
    pthread_mutex_lock (&self->lock);
    queue_push_read (self->filling, cookie);
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

void journal_applied (journal_t *self, uint64_t index)
{
    atomic_store (&self->applied, index);
    pthread_mutex_lock (&self->lock);
    if (!self->trim && index > self->first + self->trailing) {
        self->trim = true;
        pthread_cond_signal (&self->wake);
    }
    pthread_mutex_unlock (&self->lock);
}

void journal_stats (journal_t *self, journal_stats_t *out)
{
    *out = (journal_stats_t){0};
    pthread_mutex_lock (&self->lock);
    out->term = self->vote.term;
    out->first_index = self->first;
    out->last_index = out->committed = self->committed;
    out->role = self->role;
    out->part = JOURNAL_VOTER;
    out->n_members = 1;
    journal_member_t *me = &out->members[0];
    *me = (journal_member_t){.id = self->id,
                             .part = JOURNAL_VOTER,
                             .self = true,
                             .connected = true,
                             .match = self->committed};
    memcpy (me->name, self->name, sizeof me->name);
    if (self->role == JOURNAL_LEADER)
        memcpy (out->leader, self->name, sizeof out->leader);
    pthread_mutex_unlock (&self->lock);
}

/* --- other brokers: there are none --- */

void journal_brokers (journal_t *self, const journal_broker_t *brokers, size_t n)
{
    (void)self;
    (void)brokers;
    (void)n;
}

uint16_t journal_port (const journal_t *self)
{
    (void)self;
    return 0;
}

static void refuse_change (journal_t *self, uint64_t cookie)
{
    if (self->events.answered)
        self->events.answered (cookie, DFS_EUNAVAIL, "this cluster has one broker",
                               self->events.arg);
}

void journal_transfer (journal_t *self, const char *name, uint64_t cookie)
{
    (void)name;
    refuse_change (self, cookie);
}

void journal_replace (journal_t *self, const char *old, const char *fresh,
                      uint64_t cookie)
{
    (void)old;
    (void)fresh;
    refuse_change (self, cookie);
}
