/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/units.h"

#include "reader.h"

#define KEPT    8         /* answers that nobody has taken yet */
#define WAIT_NS (20 * MS) /* for all reads of one round */

typedef struct answer {
    uint64_t from; /* 0: none */
    uint64_t age;
    wal_entries_t read;
} answer_t;

struct reader {
    reader_config_t config;
    pthread_t thread;
    uint64_t left;        /* ns to wait in this round; the owner's */
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t work;
    pthread_cond_t done;
    bool stop;
    bool asked; /* for FROM to TO */
    bool void_; /* what is being read does not count */
    bool late;  /* the owner has not waited for it */
    uint64_t from, to;
    size_t max;
    uint64_t age;
    answer_t kept[KEPT];
    dfs_error_t failed;
};

/* --- its thread --- */

/* Keeps what was read in the place of the oldest. The lock is held. */
static void keep (reader_t *self, const wal_entries_t *read)
{
    answer_t *place = &self->kept[0];
    for (size_t i = 0; i < KEPT; i++) {
        answer_t *a = &self->kept[i];
        if (!a->from || (place->from && a->age < place->age))
            place = a;
    }
    wal_entries_free (&place->read);
    *place = (answer_t){self->from, ++self->age, *read};
}

static void *run (void *arg)
{
    reader_t *self = arg;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        while (!self->stop && !self->asked)
            pthread_cond_wait (&self->work, &self->lock);
        if (self->stop)
            break;
        uint64_t from = self->from, to = self->to;
        size_t max = self->max;
        wal_entries_t read;
        dfs_error_t err;
        pthread_mutex_unlock (&self->lock);
        int rc = wal_read (self->config.wal, from, to, max, &read, &err);
        pthread_mutex_lock (&self->lock);
        self->asked = false;
        if (self->void_)
            wal_entries_free (&read);
        else if (rc == DFS_OK)
            keep (self, &read);
        else if (rc != DFS_ENOENT || !self->late) /* it may have been trimmed since */
            self->failed = err;
        bool late = self->late;
        self->void_ = self->late = false;
        pthread_cond_signal (&self->done);
        if (!late)
            continue;
        pthread_mutex_unlock (&self->lock);
        self->config.ready (self->config.arg);
        pthread_mutex_lock (&self->lock);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

/* --- the owner's --- */

/* Takes what was read from FROM on. The lock is held. */
static bool take (reader_t *self, uint64_t from, uint64_t to, wal_entries_t *out)
{
    for (size_t i = 0; i < KEPT; i++) {
        answer_t *a = &self->kept[i];
        if (a->from != from)
            continue;
        *out = a->read;
        if (out->n > to - from + 1)
            out->n = (size_t)(to - from + 1);
        *a = (answer_t){0};
        return true;
    }
    return false;
}

/* Waits for the answer, as long as this round may. The lock is held. */
static void wait_for_it (reader_t *self)
{
    uint64_t start = clock_mono (), until = start + self->left;
    struct timespec ts = {.tv_sec = (time_t)(until / SEC),
                          .tv_nsec = (long)(until % SEC)};
    int rc = 0;
    while (self->asked && rc == 0 && self->left)
        rc = pthread_cond_timedwait (&self->done, &self->lock, &ts);
    uint64_t waited = clock_mono () - start;
    self->left = waited < self->left ? self->left - waited : 0;
}

int reader_get (reader_t *self, uint64_t from, uint64_t to, size_t max_bytes,
                wal_entries_t *out, dfs_error_t *err)
{
    int rc = DFS_EAGAIN;
    *out = (wal_entries_t){0};
    pthread_mutex_lock (&self->lock);
    if (!self->failed.code && !take (self, from, to, out) && !self->asked) {
        self->asked = true;
        self->from = from;
        self->to = to;
        self->max = max_bytes;
        pthread_cond_signal (&self->work);
        wait_for_it (self);
        if (!self->asked && !self->failed.code)
            take (self, from, to, out);
    }
    if (self->failed.code)
        rc = fail (err, self->failed.code, "%s", self->failed.text);
    else if (out->n)
        rc = DFS_OK;
    else
        self->late = self->asked;
    pthread_mutex_unlock (&self->lock);
    return rc;
}

void reader_round (reader_t *self)
{
    self->left = WAIT_NS;
}

void reader_forget (reader_t *self)
{
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < KEPT; i++) {
        wal_entries_free (&self->kept[i].read);
        self->kept[i] = (answer_t){0};
    }
    self->void_ = self->asked;
    pthread_mutex_unlock (&self->lock);
}

reader_t *reader_new (const reader_config_t *config, dfs_error_t *err)
{
    reader_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    pthread_condattr_t attr;
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->work, NULL);
    pthread_cond_init (&self->done, &attr);
    pthread_condattr_destroy (&attr);
    int rc = pthread_create (&self->thread, NULL, run, self);
    if (rc == 0)
        return self;
    errno = rc;
    fail_errno (err, "start the journal's reader");
    free (self);
    return NULL;
}

void reader_destroy (reader_t **self_p)
{
    reader_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->work);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    reader_forget (self);
    pthread_cond_destroy (&self->work);
    pthread_cond_destroy (&self->done);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
