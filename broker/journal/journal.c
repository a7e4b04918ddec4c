/* SPDX-License-Identifier: MPL-2.0 */
/* The journal's calls: what they want is put before the engine. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal_private.h"

#define TRAILING     16384
#define ELECTION_MS  300
#define HEARTBEAT_MS 50
#define SELF_ID      1
#define LOG_BYTES    (2ull * 1024 * 1024 * 1024)

static void release (journal_t *self)
{
    /* The thread of the sockets hands over to the lane. */
    if (self->peers)
        peers_stop (self->peers);
    lane_destroy (&self->lane);
    peers_destroy (&self->peers);
    writer_destroy (&self->writer);
    reader_destroy (&self->reader);
    raft_driver_destroy (&self->driver);
    wal_close (&self->wal);
    queue_release (&self->queues[0]);
    queue_release (&self->queues[1]);
    while (self->notes) {
        note_t *note = self->notes;
        self->notes = note->next;
        note_free (note);
    }
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

static void init (journal_t *self, const journal_config_t *config)
{
    pthread_condattr_t attr;
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, &attr);
    pthread_condattr_destroy (&attr);
    self->events = config->events;
    self->id = config->id ? config->id : SELF_ID;
    snprintf (self->name, sizeof self->name, "%s", config->name ? config->name : "");
    self->trailing = config->trailing ? config->trailing : TRAILING;
    self->log_bytes = config->log_bytes ? config->log_bytes : LOG_BYTES;
    self->hang_ms = config->hang_ms;
    self->window_bytes = config->window_bytes;
    self->election_ms = config->election_ms ? config->election_ms : ELECTION_MS;
    self->heartbeat_ms = config->heartbeat_ms ? config->heartbeat_ms : HEARTBEAT_MS;
    self->memory_durability = config->memory_durability;
    self->filling = &self->queues[0];
    self->notes_end = &self->notes;
    self->start_applied = config->applied;
    atomic_init (&self->applied, config->applied);
    self->role = JOURNAL_FOLLOWER;
    size_t n = config->peers.n < JOURNAL_MEMBERS ? config->peers.n : JOURNAL_MEMBERS;
    known_t brokers[JOURNAL_MEMBERS] = {0};
    for (size_t i = 0; i < n; i++) {
        snprintf (brokers[i].name, sizeof brokers[i].name, "%s",
                  config->peers.brokers[i].name);
        memcpy (brokers[i].key, config->peers.brokers[i].key, sizeof brokers[i].key);
    }
    brokers_set (self, brokers, n);
    self->alone = n <= 1;
}

/* A broker in a list of several hears the others; so does one that is alone in its list
 * and has a set of several in its log: they may come back. */
static int start_peers (journal_t *self, const journal_config_t *config,
                        dfs_error_t *err)
{
    if (!config->peers.zmq || !config->peers.address)
        return DFS_OK;
    self->peers = peers_new (&(peers_config_t){.peers = config->peers,
                                               .name = self->name,
                                               .received = engine_received,
                                               .arg = self},
                             err);
    if (!self->peers)
        return err->code;
    self->lane = lane_new (&(lane_config_t){.data = self->data,
                                            .dir = self->dir,
                                            .name = self->name,
                                            .peers = self->peers,
                                            .hooks = config->peers,
                                            .fetched = engine_fetched,
                                            .fatal = engine_write_failed,
                                            .arg = self},
                           err);
    return self->lane ? peers_start (self->peers, err) : err->code;
}

static int start_disk (journal_t *self, dfs_error_t *err)
{
    self->writer = writer_new (&(writer_config_t){.wal = self->wal,
                                                  .dir = self->dir,
                                                  .done = engine_written,
                                                  .point_done = engine_point_done,
                                                  .failed = engine_write_failed,
                                                  .arg = self},
                               err);
    if (!self->writer)
        return err->code;
    self->reader = reader_new (
        &(reader_config_t){.wal = self->wal, .ready = engine_read_ready, .arg = self},
        err);
    return self->reader ? DFS_OK : err->code;
}

journal_t *journal_open (const journal_config_t *config, dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    journal_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    init (self, config);
    int rc = journal_open_log (self, config, err);
    if (rc == DFS_OK) {
        self->stats.term = self->vote.term;
        self->stats.first_index = wal_first (self->wal);
        self->stats.last_index = wal_last (self->wal);
        rc = start_disk (self, err);
        if (rc == DFS_OK)
            rc = start_peers (self, config, err);
    }
    if (rc == DFS_OK) {
        rc = pthread_create (&self->thread, NULL, engine_main, self);
        if (rc != 0) {
            errno = rc;
            rc = fail_errno (err, "start the journal's thread");
        }
    }
    if (rc != DFS_OK) {
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
    engine_wake (self);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    release (self);
    *self_p = NULL;
}

/* --- proposals and reads --- */

/* Why a batch of WEIGHT bytes is not taken now. The lock is held. */
static int admit (journal_t *self, size_t weight, bool stuck, dfs_error_t *err)
{
    size_t in_flight = queue_weight (self->filling) + self->taken + self->in_flight;
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    if (self->stats.role != JOURNAL_LEADER)
        return fail (err, DFS_ENOTLEADER, "this broker does not lead");
    if (stuck)
        return fail (err, DFS_ENOSPC, "no room for another journal segment");
    if (weight > IN_FLIGHT)
        return fail (err, DFS_ETOOBIG, "%zu bytes proposed at once", weight);
    if (in_flight + weight > IN_FLIGHT)
        return fail (err, DFS_EAGAIN, "%zu bytes wait for the journal", in_flight);
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
    bool stuck = writer_stuck (self->writer);
    pthread_mutex_lock (&self->lock);
    int rc = admit (self, weight, stuck, err);
    if (rc == DFS_OK) {
        for (size_t i = 0; i < n; i++)
            queue_push (self->filling, &proposals[i]);
        engine_wake (self);
    }
    pthread_mutex_unlock (&self->lock);
    return rc;
}

void journal_read_point (journal_t *self, uint64_t cookie)
{
    pthread_mutex_lock (&self->lock);
    queue_push_read (self->filling, cookie);
    engine_wake (self);
    pthread_mutex_unlock (&self->lock);
}

void journal_applied (journal_t *self, uint64_t index)
{
    atomic_store (&self->applied, index);
    bool large = wal_bytes (self->wal) > self->log_bytes || writer_stuck (self->writer);
    pthread_mutex_lock (&self->lock);
    bool far = index >= self->stats.point + self->trailing;
    if (far || (large && index > self->stats.point))
        self->point_due = true;
    if (self->point_due || self->full)
        engine_wake (self);
    pthread_mutex_unlock (&self->lock);
}

int journal_sync (journal_t *self, dfs_error_t *err)
{
    return wal_sync (self->wal, err);
}

void journal_say (journal_t *self, const journal_word_t *word)
{
    pthread_mutex_lock (&self->lock);
    self->word = *word;
    pthread_mutex_unlock (&self->lock);
}

void journal_stats (journal_t *self, journal_stats_t *out)
{
    pthread_mutex_lock (&self->lock);
    *out = self->stats;
    pthread_mutex_unlock (&self->lock);
}

/* --- other brokers --- */

void journal_brokers (journal_t *self, const journal_broker_t *brokers, size_t n)
{
    if (!self->peers)
        return;
    peers_set (self->peers, brokers, n);
    note_t *note = note_new (NOTE_BROKERS, NULL);
    note->brokers = calloc (n + 1, sizeof *note->brokers);
    if (!note->brokers)
        abort ();
    note->n = n < JOURNAL_MEMBERS ? n : JOURNAL_MEMBERS;
    for (size_t i = 0; i < note->n; i++) {
        snprintf (note->brokers[i].name, sizeof note->brokers[i].name, "%s",
                  brokers[i].name);
        memcpy (note->brokers[i].key, brokers[i].key, sizeof note->brokers[i].key);
    }
    engine_tell (self, note);
}

uint16_t journal_port (const journal_t *self)
{
    return self->peers ? peers_port (self->peers) : 0;
}

void journal_transfer (journal_t *self, const char *name, uint64_t cookie)
{
    note_t *note = note_new (NOTE_TRANSFER, name);
    note->cookie = cookie;
    engine_tell (self, note);
}

void journal_replace (journal_t *self, const char *old, const char *fresh,
                      uint64_t cookie)
{
    note_t *note = note_new (NOTE_REPLACE, old);
    snprintf (note->fresh, sizeof note->fresh, "%s", fresh ? fresh : "");
    note->cookie = cookie;
    engine_tell (self, note);
}
