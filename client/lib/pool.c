/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/pool.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POOL_THREADS 16
#define TAKE_JOBS    8 /* at most, under one lock, when many are queued */

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* for the threads */
    pthread_cond_t ended; /* for pool_wait */
    pthread_t threads[POOL_THREADS];
    size_t n_threads;
    size_t limit;
    size_t running;
    size_t queued;
    job_t *head; /* to run */
    job_t **tail;
    job_t *done; /* finished, in order */
    job_t **done_tail;
    bool stop;
    size_t pending; /* the owner's count */
    int fd;
};

/* With the lock held: a short chain, so that small jobs do not fight for the lock, but
 * never more than a fair share of what is queued. */
static job_t *take (pool_t *self)
{
    size_t share = self->queued / (self->n_threads * 2);
    job_t *first = self->head, *last = first;

    self->queued--;
    for (size_t i = 1; i < share && i < TAKE_JOBS && last->next; i++) {
        last = last->next;
        self->queued--;
    }
    self->head = last->next;
    if (!self->head)
        self->tail = &self->head;
    last->next = NULL;
    return first;
}

static void *pool_thread (void *arg)
{
    pool_t *self = arg;
    digest_t *digest = digest_new ();

    pthread_mutex_lock (&self->lock);
    for (;;) {
        while (!self->stop && (!self->head || self->running >= self->limit))
            pthread_cond_wait (&self->work, &self->lock);
        if (self->stop)
            break;
        job_t *jobs = take (self), *last = NULL;
        self->running++;
        pthread_mutex_unlock (&self->lock);
        for (job_t *job = jobs; job; job = job->next) {
            job->run (job, digest);
            last = job;
        }
        pthread_mutex_lock (&self->lock);
        self->running--;
        bool first = self->done == NULL;
        *self->done_tail = jobs;
        self->done_tail = &last->next;
        if (first) {
            uint64_t one = 1;
            ssize_t rc = write (self->fd, &one, sizeof one);
            (void)rc;
            pthread_cond_signal (&self->ended);
        }
        if (self->head && self->running < self->limit)
            pthread_cond_signal (&self->work);
    }
    pthread_mutex_unlock (&self->lock);
    digest_destroy (&digest);
    return NULL;
}

pool_t *pool_new (size_t threads, dfs_error_t *err)
{
    pool_t *self = calloc (1, sizeof *self);
    sigset_t all, before;

    assert (self);
    if (threads > POOL_THREADS)
        threads = POOL_THREADS;
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->work, NULL);
    pthread_cond_init (&self->ended, NULL);
    self->tail = &self->head;
    self->done_tail = &self->done;
    self->limit = threads;
    self->fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->fd < 0) {
        fail_errno (err, "eventfd");
        pool_destroy (&self);
        return NULL;
    }
    /* signals are for the program's own threads */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    pthread_mutex_lock (&self->lock);
    int rc = 0;
    while (self->n_threads < threads && rc == 0) {
        rc = pthread_create (&self->threads[self->n_threads], NULL, pool_thread, self);
        if (rc == 0)
            self->n_threads++;
    }
    pthread_mutex_unlock (&self->lock);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (self->n_threads == 0) {
        fail (err, DFS_ESYS, "no thread could be started");
        pool_destroy (&self);
        return NULL;
    }
    self->limit = self->n_threads;
    return self;
}

void pool_destroy (pool_t **self_p)
{
    pool_t *self = *self_p;

    if (!self)
        return;
    assert (self->head == NULL);
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_broadcast (&self->work);
    pthread_mutex_unlock (&self->lock);
    for (size_t i = 0; i < self->n_threads; i++)
        pthread_join (self->threads[i], NULL);
    if (self->fd >= 0)
        close (self->fd);
    pthread_cond_destroy (&self->work);
    pthread_cond_destroy (&self->ended);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

int pool_fd (const pool_t *self)
{
    return self->fd;
}

void pool_limit (pool_t *self, size_t n)
{
    pthread_mutex_lock (&self->lock);
    self->limit = n == 0 || n > self->n_threads ? self->n_threads : n;
    pthread_cond_broadcast (&self->work);
    pthread_mutex_unlock (&self->lock);
}

void pool_submit (pool_t *self, job_t *jobs)
{
    size_t n = 0;
    job_t *last = NULL;

    for (job_t *job = jobs; job; job = job->next) {
        last = job;
        n++;
    }
    if (n == 0)
        return;
    self->pending += n;
    pthread_mutex_lock (&self->lock);
    *self->tail = jobs;
    self->tail = &last->next;
    self->queued += n;
    if (self->running < self->limit) {
        if (n > 1)
            pthread_cond_broadcast (&self->work);
        else
            pthread_cond_signal (&self->work);
    }
    pthread_mutex_unlock (&self->lock);
}

size_t pool_collect (pool_t *self, void *arg)
{
    uint64_t count;
    size_t n = 0;

    pthread_mutex_lock (&self->lock);
    job_t *jobs = self->done;
    self->done = NULL;
    self->done_tail = &self->done;
    if (jobs) {
        ssize_t rc = read (self->fd, &count, sizeof count);
        (void)rc;
    }
    pthread_mutex_unlock (&self->lock);
    while (jobs) {
        job_t *job = jobs;
        jobs = job->next;
        job->next = NULL;
        self->pending--;
        n++;
        job->done (job, arg);
    }
    return n;
}

size_t pool_pending (const pool_t *self)
{
    return self->pending;
}

job_t *pool_revoke (pool_t *self)
{
    pthread_mutex_lock (&self->lock);
    job_t *jobs = self->head;
    self->head = NULL;
    self->tail = &self->head;
    self->pending -= self->queued;
    self->queued = 0;
    pthread_mutex_unlock (&self->lock);
    return jobs;
}

void pool_wait (pool_t *self)
{
    pthread_mutex_lock (&self->lock);
    while (!self->done && (self->running > 0 || self->head))
        pthread_cond_wait (&self->ended, &self->lock);
    pthread_mutex_unlock (&self->lock);
}
