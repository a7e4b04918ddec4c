/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"

#include "writer.h"

#define ROOM_MS    50 /* between attempts while the disk is full */
#define KEEP_BYTES (4 * 1024 * 1024)

/* Appends waiting to be written: entries in one block, their data in another. */
typedef struct batch {
    wal_entry_t *entries; /* data: offset into bytes */
    size_t n;
    size_t cap;
    uint8_t *bytes;
    size_t len;
    size_t bytes_cap;
    size_t *ends; /* of each append in `entries` */
    size_t n_ends;
    size_t ends_cap;
} batch_t;

struct writer {
    writer_config_t config;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    batch_t batches[2];
    batch_t *filling;
    uint64_t trim;
    bool point_due;
    point_t point;
    bool busy;
    bool stuck;
    bool stop;
    dfs_error_t error;
};

static void *grown (void *old, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return old;
    size_t more = *cap ? *cap * 2 : 256;
    *cap = more > need ? more : need;
    void *p = reallocarray (old, *cap, size);
    if (!p)
        abort ();
    return p;
}

static void batch_release (batch_t *self)
{
    free (self->entries);
    free (self->bytes);
    free (self->ends);
    *self = (batch_t){0};
}

static void batch_clear (batch_t *self)
{
    if (self->bytes_cap > KEEP_BYTES)
        batch_release (self);
    self->n = self->len = self->n_ends = 0;
}

/* --- its thread --- */

static bool no_room (int code)
{
    return code == DFS_ENOSPC || code == DFS_EQUOTA;
}

/* What takes no room in the log. */
typedef struct errand {
    uint64_t trim; /* 0: none */
    bool point_due;
    point_t point;
} errand_t;

/* The lock is held. */
static errand_t take_errand (writer_t *self)
{
    errand_t errand = {self->trim, self->point_due, self->point};
    self->trim = 0;
    self->point_due = false;
    return errand;
}

static void do_errand (writer_t *self, const errand_t *errand)
{
    dfs_error_t err;
    if (errand->point_due) {
        int rc = point_save (self->config.dir, POINT_FILE, &errand->point, &err);
        if (rc == DFS_OK || no_room (rc))
            self->config.point_done (rc == DFS_OK, self->config.arg);
        else {
            wrap (&err, "save the journal's point");
            self->config.failed (&err, self->config.arg);
        }
    }
    if (errand->trim)
        wal_trim (self->config.wal, errand->trim);
}

/* Waits a while for room, or makes some: what may be trimmed goes at once. False when
 * it is not waited for any more. */
static bool wait_for_room (writer_t *self, const dfs_error_t *err)
{
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_nsec += ROOM_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_mutex_lock (&self->lock);
    if (!self->stuck)
        log_warn ("journal_full", "err=\"%s\"", err->text);
    self->stuck = true;
    if (!self->stop && !self->trim && !self->point_due)
        pthread_cond_timedwait (&self->wake, &self->lock, &until);
    errand_t errand = take_errand (self);
    bool go_on = !self->stop;
    pthread_mutex_unlock (&self->lock);
    do_errand (self, &errand);
    return go_on;
}

/* Writes entries FROM to TO, which follow each other. */
static int append_run (writer_t *self, const wal_entry_t *entries, size_t n,
                       dfs_error_t *err)
{
    if (entries[0].index <= wal_last (self->config.wal)) {
        int rc = wal_truncate (self->config.wal, entries[0].index, err);
        while (no_room (rc) && wait_for_room (self, err))
            rc = wal_truncate (self->config.wal, entries[0].index, err);
        if (rc != DFS_OK)
            return rc;
    }
    for (size_t i = 0; i < n;) {
        size_t k;
        int rc = wal_append (self->config.wal, entries + i, n - i, &k, err);
        if (no_room (rc) && wait_for_room (self, err))
            continue;
        if (rc != DFS_OK)
            return rc;
        i += k;
    }
    return DFS_OK;
}

static int write_batch (writer_t *self, batch_t *b, dfs_error_t *err)
{
    for (size_t i = 0; i < b->n; i++)
        b->entries[i].data = b->bytes + (uintptr_t)b->entries[i].data;
    size_t done = 0, from = 0;
    while (done < b->n_ends) {
        size_t last = done;
        /* An append that goes on where the one before ended joins its group. */
        while (last + 1 < b->n_ends && b->entries[b->ends[last]].index ==
                                           b->entries[b->ends[last] - 1].index + 1)
            last++;
        int rc = append_run (self, b->entries + from, b->ends[last] - from, err);
        if (rc != DFS_OK)
            return rc;
        self->config.done (last + 1 - done, self->config.arg);
        from = b->ends[last];
        done = last + 1;
    }
    return DFS_OK;
}

/* The lock is held. */
static bool ordered (const writer_t *self)
{
    return self->filling->n_ends || self->trim || self->point_due;
}

static void *run (void *arg)
{
    writer_t *self = arg;
    dfs_error_t err;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        while (!self->stop && !ordered (self)) {
            self->busy = false;
            pthread_cond_wait (&self->wake, &self->lock);
        }
        if (!ordered (self))
            break;
        batch_t *batch = self->filling;
        self->filling = &self->batches[batch == &self->batches[0]];
        errand_t errand = take_errand (self);
        self->busy = true;
        bool failed = self->error.code != 0;
        pthread_mutex_unlock (&self->lock);

        int rc = failed ? DFS_EIO : write_batch (self, batch, &err);
        if (rc == DFS_OK)
            do_errand (self, &errand);
        batch_clear (batch);
        bool dropped = rc != DFS_OK && no_room (rc);
        if (rc != DFS_OK && !failed && !dropped)
            self->config.failed (&err, self->config.arg);

        pthread_mutex_lock (&self->lock);
        self->stuck = false;
        if (rc != DFS_OK && !failed && !dropped)
            self->error = err;
        if (dropped && self->stop)
            break;
    }
    self->busy = false;
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

/* --- orders --- */

void writer_append (writer_t *self, const wal_entry_t *entries, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += entries[i].len;
    pthread_mutex_lock (&self->lock);
    batch_t *b = self->filling;
    b->entries = grown (b->entries, &b->cap, b->n + n, sizeof *b->entries);
    b->bytes = grown (b->bytes, &b->bytes_cap, b->len + bytes, 1);
    b->ends = grown (b->ends, &b->ends_cap, b->n_ends + 1, sizeof *b->ends);
    for (size_t i = 0; i < n; i++) {
        wal_entry_t *e = &b->entries[b->n++];
        *e = entries[i];
        e->data = (const void *)(uintptr_t)b->len; /* moves as the block grows */
        if (e->len)
            memcpy (b->bytes + b->len, entries[i].data, e->len);
        b->len += e->len;
    }
    b->ends[b->n_ends++] = b->n;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

void writer_point (writer_t *self, const point_t *point)
{
    pthread_mutex_lock (&self->lock);
    self->point = *point;
    self->point_due = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

void writer_trim (writer_t *self, uint64_t index)
{
    pthread_mutex_lock (&self->lock);
    if (index > self->trim)
        self->trim = index;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

bool writer_idle (writer_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool idle = !self->busy && !ordered (self);
    pthread_mutex_unlock (&self->lock);
    return idle;
}

bool writer_stuck (writer_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool stuck = self->stuck;
    pthread_mutex_unlock (&self->lock);
    return stuck;
}

writer_t *writer_new (const writer_config_t *config, dfs_error_t *err)
{
    writer_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    self->filling = &self->batches[0];
    pthread_condattr_t attr;
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, &attr);
    pthread_condattr_destroy (&attr);
    int rc = pthread_create (&self->thread, NULL, run, self);
    if (rc == 0)
        return self;
    errno = rc;
    fail_errno (err, "start the journal's writer");
    self->stop = true;
    free (self);
    return NULL;
}

void writer_destroy (writer_t **self_p)
{
    writer_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    batch_release (&self->batches[0]);
    batch_release (&self->batches[1]);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
