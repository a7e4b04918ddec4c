/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "common/log.h"

#include "spare.h"

#define RETRY_NS 500000000L

enum spare_state { WANTED, READY, NO_ROOM, BROKEN };

typedef struct doomed {
    segment_t *segment;
    struct doomed *next;
} doomed_t;

struct spare {
    char dir[PATH_MAX];
    uint64_t segment_size;
    uint64_t seq; /* of the next one to make */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* for the thread */
    pthread_cond_t changed; /* for spare_take */
    enum spare_state state;
    segment_t *ready;
    dfs_error_t error; /* in NO_ROOM and BROKEN */
    doomed_t *doomed;  /* oldest first */
    doomed_t **doomed_end;
    bool stop;
};

static bool no_room (int code)
{
    return code == DFS_ENOSPC || code == DFS_EQUOTA;
}

static void remove_segment (spare_t *self, segment_t *segment)
{
    dfs_error_t err;
    char path[PATH_MAX];
    segment_path (self->dir, segment->header.seq, path, sizeof path);
    segment_close (&segment);
    if (io_unlink (path, &err) || io_sync_dir (self->dir, &err))
        log_warn ("journal_segment_stays", "path=%s err=%s", path, err.text);
}

/* Called and returns with the lock held. */
static void make (spare_t *self)
{
    enum spare_state before = self->state;
    pthread_mutex_unlock (&self->lock);
    dfs_error_t err;
    segment_t *segment =
        segment_create (self->dir, self->seq, self->segment_size, &err);
    if (!segment && !(before == NO_ROOM && no_room (err.code)))
        log_error ("journal_no_segment", "err=%s", err.text);
    pthread_mutex_lock (&self->lock);
    if (segment) {
        self->ready = segment;
        self->seq++;
        self->state = READY;
    } else {
        self->error = err;
        self->state = no_room (err.code) ? NO_ROOM : BROKEN;
    }
    pthread_cond_broadcast (&self->changed);
}

static void *run (void *arg)
{
    spare_t *self = arg;
    struct timespec retry = {0};
    pthread_mutex_lock (&self->lock);
    for (;;) {
        if (self->doomed) {
            doomed_t *first = self->doomed;
            self->doomed = first->next;
            if (!self->doomed)
                self->doomed_end = &self->doomed;
            pthread_mutex_unlock (&self->lock);
            remove_segment (self, first->segment);
            free (first);
            pthread_mutex_lock (&self->lock);
            if (self->state == NO_ROOM)
                clock_gettime (CLOCK_MONOTONIC, &retry);
            continue;
        }
        if (self->stop)
            break;
        struct timespec now;
        clock_gettime (CLOCK_MONOTONIC, &now);
        bool due = now.tv_sec > retry.tv_sec ||
                   (now.tv_sec == retry.tv_sec && now.tv_nsec >= retry.tv_nsec);
        if (self->state == WANTED || (self->state == NO_ROOM && due)) {
            make (self);
            clock_gettime (CLOCK_MONOTONIC, &retry);
            retry.tv_nsec += RETRY_NS;
            if (retry.tv_nsec >= 1000000000L) {
                retry.tv_nsec -= 1000000000L;
                retry.tv_sec++;
            }
        } else if (self->state == NO_ROOM) {
            pthread_cond_timedwait (&self->work, &self->lock, &retry);
        } else {
            pthread_cond_wait (&self->work, &self->lock);
        }
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

spare_t *spare_new (const char *dir, uint64_t segment_size, uint64_t seq,
                    segment_t *ready)
{
    spare_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    snprintf (self->dir, sizeof self->dir, "%s", dir);
    self->segment_size = segment_size;
    self->seq = seq;
    self->ready = ready;
    self->state = ready ? READY : WANTED;
    self->doomed_end = &self->doomed;
    pthread_condattr_t attr;
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->work, &attr);
    pthread_cond_init (&self->changed, NULL);
    pthread_condattr_destroy (&attr);
    int rc = pthread_create (&self->thread, NULL, run, self);
    if (rc != 0)
        abort ();
    return self;
}

void spare_destroy (spare_t **self_p)
{
    spare_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->work);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    segment_close (&self->ready);
    pthread_cond_destroy (&self->work);
    pthread_cond_destroy (&self->changed);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

segment_t *spare_take (spare_t *self, dfs_error_t *err)
{
    pthread_mutex_lock (&self->lock);
    while (self->state == WANTED)
        pthread_cond_wait (&self->changed, &self->lock);
    segment_t *segment = self->ready;
    if (segment) {
        self->ready = NULL;
        self->state = WANTED;
        pthread_cond_signal (&self->work);
    } else {
        fail (err, self->error.code, "%s", self->error.text);
    }
    pthread_mutex_unlock (&self->lock);
    return segment;
}

bool spare_hopeful (spare_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool hopeful = self->state != NO_ROOM;
    pthread_mutex_unlock (&self->lock);
    return hopeful;
}

void spare_remove (spare_t *self, segment_t *segment)
{
    doomed_t *last = calloc (1, sizeof *last);
    if (!last)
        abort ();
    last->segment = segment;
    pthread_mutex_lock (&self->lock);
    *self->doomed_end = last;
    self->doomed_end = &last->next;
    pthread_cond_signal (&self->work);
    pthread_mutex_unlock (&self->lock);
}
