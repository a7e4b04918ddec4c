/* SPDX-License-Identifier: MPL-2.0 */
/* From what is durable to a running core. */
#include <assert.h>
#include <inttypes.h>
#include <endian.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"

#include "raft_private.h"

#define ELECTION_MS  300
#define HEARTBEAT_MS 50
#define INSTALL_MS   30000
#define IN_FLIGHT    1024
#define FLIGHT_BYTES (32u * 1024 * 1024)
#define CACHE_BYTES  (16u * 1024 * 1024)
#define WINDOW_BYTES (64u * 1024 * 1024)
#define STEP_BYTES   (4u * 1024 * 1024)
#define HANG_MS      5000

/* --- memory of the library ---
 * Entries that we give it, or it gives us, carry BATCH pointers that it frees at times
 * which differ between its versions. Ours are all this one, which is never freed. */

char raft_borrowed[16];

static void *heap_malloc (void *arg, size_t size)
{
    (void)arg;
    void *p = malloc (size);
    if (!p)
        abort ();
    return p;
}

static void heap_free (void *arg, void *p)
{
    (void)arg;
    if (p != raft_borrowed)
        free (p);
}

static void *heap_calloc (void *arg, size_t n, size_t size)
{
    (void)arg;
    void *p = calloc (n, size);
    if (!p)
        abort ();
    return p;
}

static void *heap_realloc (void *arg, void *old, size_t size)
{
    (void)arg;
    void *p = realloc (old, size);
    if (!p)
        abort ();
    return p;
}

static void *heap_aligned (void *arg, size_t alignment, size_t size)
{
    (void)arg;
    void *p = aligned_alloc (alignment, size);
    if (!p)
        abort ();
    return p;
}

static void heap_aligned_free (void *arg, size_t alignment, void *p)
{
    (void)alignment;
    heap_free (arg, p);
}

static void set_heap (void)
{
    static struct raft_heap heap = {
        NULL,         heap_malloc,  heap_free,        heap_calloc,
        heap_realloc, heap_aligned, heap_aligned_free};
    raft_heap_set (&heap);
}

/* --- start --- */

uint8_t *raft_driver_bootstrap (const uint64_t *ids, const char *const *addresses,
                                size_t n, size_t *len)
{
    struct raft_configuration conf;
    set_heap ();
    raft_configuration_init (&conf);
    for (size_t i = 0; i < n; i++) {
        int rv = raft_configuration_add (&conf, ids[i], addresses[i], RAFT_VOTER);
        assert (rv == 0);
    }
    struct raft_buffer buf;
    int rv = raft_configuration_encode (&conf, &buf);
    assert (rv == 0);
    raft_configuration_close (&conf);
    *len = buf.len;
    return buf.base;
}

bool raft_driver_log_fits (const raft_point_t *point, uint64_t first, uint64_t last,
                           uint64_t term)
{
    if (point->index == 0)
        return first == 1;
    if (first == point->index + 1)
        return true;
    return first <= point->index && last >= point->index && term == point->term;
}

/* The terms of the log and its configurations for the START event. *ENTRIES, and what
 * they point to in *KEEP, are returned owned. */
static int load (raft_driver_t *self, uint64_t first, uint64_t last,
                 struct raft_entry **entries, wal_entries_t **keep, size_t *n_keep)
{
    const raft_driver_ops_t *ops = &self->config.ops;
    *entries = calloc (last - first + 2, sizeof **entries);
    if (!*entries)
        abort ();
    for (uint64_t i = first; i <= last; i++) {
        struct raft_entry *out = &(*entries)[i - first];
        uint64_t term;
        enum record_type type;
        wal_entries_t read;
        if (!ops->look (i, &term, &type, ops->arg))
            return driver_fail (self, DFS_EDAMAGED, "entry %" PRIu64 " is not there",
                                i);
        *out = (struct raft_entry){
            term, (enum raft_entry_type)type, {NULL, 0}, raft_borrowed};
        if (type != RECORD_CHANGE)
            continue;
        if (ops->read (i, i, READ_BYTES, true, &read, ops->arg))
            return driver_fail (self, DFS_EDAMAGED, "entry %" PRIu64 " cannot be read",
                                i);
        out->buf = (struct raft_buffer){(void *)(uintptr_t)read.entries[0].data,
                                        read.entries[0].len};
        *keep = reallocarray (*keep, *n_keep + 1, sizeof **keep);
        if (!*keep)
            abort ();
        (*keep)[(*n_keep)++] = read;
    }
    return DFS_OK;
}

/* The set of brokers that counts: the last one of the log, else that of the point. */
static struct raft_buffer last_conf (const raft_driver_t *self,
                                     const struct raft_entry *entries, size_t n)
{
    for (size_t i = n; i > 0; i--)
        if (entries[i - 1].type == RAFT_CHANGE)
            return entries[i - 1].buf;
    return (struct raft_buffer){(void *)(uintptr_t)self->point.conf,
                                self->point.conf_len};
}

uint64_t raft_driver_founding_of (const void *entry, size_t len)
{
    uint8_t sum[DIGEST_LEN];
    uint64_t n;
    digest_sha256 (entry, len, sum);
    memcpy (&n, sum, sizeof n);
    return le64toh (n) | 1;
}

/* Starts the core on what is durable. */
int driver_start (raft_driver_t *self, uint64_t first, uint64_t last, uint64_t term,
                  uint64_t voted_for, uint64_t now)
{
    const raft_driver_config_t *c = &self->config;
    struct raft_snapshot_metadata md;
    struct raft_event event = {.time = now, .type = RAFT_START};
    event.start.term = term;
    event.start.voted_for = voted_for;
    if (self->point.index) {
        struct raft_buffer buf = {self->point.conf, self->point.conf_len};
        if (guard_configuration (&buf, &md.configuration, &self->failed))
            return self->failed.code;
        md.index = self->point.index;
        md.term = self->point.term;
        md.configuration_index = self->point.conf_index;
        event.start.metadata = &md;
        self->conf_index = self->point.conf_index;
        self->conf_len = self->point.conf_len;
        memcpy (self->conf, self->point.conf, self->point.conf_len);
    }
    int rv = raft_init (&self->r, NULL, NULL, c->id, self->address);
    if (rv != 0)
        return driver_fail (self, DFS_EINTERNAL, "consensus: %s", raft_strerror (rv));
    self->running = true;
    self->r.tracer = NULL;
    raft_set_election_timeout (&self->r, c->election_ms);
    raft_set_heartbeat_timeout (&self->r, c->heartbeat_ms);
    raft_set_install_snapshot_timeout (&self->r, c->install_ms);
    raft_set_pre_vote (&self->r, !c->no_pre_vote);
    raft_set_max_inflight_entries (&self->r, c->in_flight);
    raft_seed (&self->r, c->seed);

    struct raft_entry *entries;
    wal_entries_t *keep = NULL;
    size_t n_keep = 0;
    int rc = load (self, first, last, &entries, &keep, &n_keep);
    self->seen = self->point.index;
    raft_tail_reset (&self->tail, last + 1);
    if (rc == DFS_OK) {
        event.start.start_index = first;
        event.start.n_entries = (unsigned)(last + 1 - first);
        self->founding = self->point.founding;
        if (first == 1 && last && entries[0].type == RAFT_CHANGE)
            self->founding =
                raft_driver_founding_of (entries[0].buf.base, entries[0].buf.len);
        struct raft_buffer conf = last_conf (self, entries, event.start.n_entries);
        if (guard_sole_voter (&conf, c->id)) { /* the step saves this vote first */
            event.start.term = term + 1;
            event.start.voted_for = c->id;
        }
        event.start.entries = event.start.n_entries ? entries : NULL;
        driver_step (self, &event, NULL);
    }
    for (size_t i = 0; i < n_keep; i++)
        wal_entries_free (&keep[i]);
    free (keep);
    free (entries);
    return self->failed.code;
}

raft_driver_t *raft_driver_new (const raft_driver_config_t *config, uint64_t now,
                                dfs_error_t *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, set_heap);
    raft_driver_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    raft_driver_config_t *c = &self->config;
    snprintf (self->address, sizeof self->address, "%s", config->address);
    c->address = self->address;
    c->election_ms = c->election_ms ? c->election_ms : ELECTION_MS;
    c->heartbeat_ms = c->heartbeat_ms ? c->heartbeat_ms : HEARTBEAT_MS;
    c->install_ms = c->install_ms ? c->install_ms : INSTALL_MS;
    c->in_flight = c->in_flight ? c->in_flight : IN_FLIGHT;
    c->flight_bytes = c->flight_bytes ? c->flight_bytes : FLIGHT_BYTES;
    c->cache_bytes = c->cache_bytes ? c->cache_bytes : CACHE_BYTES;
    c->window_bytes = c->window_bytes ? c->window_bytes : WINDOW_BYTES;
    c->step_bytes = c->step_bytes ? c->step_bytes : STEP_BYTES;
    c->hang_ms = c->hang_ms ? c->hang_ms : HANG_MS;
    self->point = config->point;
    self->applied =
        config->applied > config->point.index ? config->applied : config->point.index;
    self->role = JOURNAL_FOLLOWER;
    if (driver_start (self, c->first, c->last, c->term, c->voted_for, now)) {
        fail (err, self->failed.code, "%s", self->failed.text);
        raft_driver_destroy (&self);
    }
    return self;
}

void raft_driver_destroy (raft_driver_t **self_p)
{
    raft_driver_t *self = *self_p;
    if (!self)
        return;
    if (self->running)
        raft_close (&self->r, NULL);
    raft_tail_release (&self->tail);
    guard_writes_release (&self->writes);
    for (size_t i = 0; i < self->n_peers; i++)
        free (self->peers[i].flights);
    free (self->cookies);
    free (self->handed);
    free (self->reads);
    free (self);
    *self_p = NULL;
}
