/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "crew.h"
#include "tool.h"

#define THREADS 8
#define WAITING 256 /* jobs */

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a job waits, or the end has come */
    pthread_cond_t ended; /* a job is done */
    crew_job_t *first, **last;
    crew_job_t *done;
    size_t waiting, running, idle;
    bool ending;
    pthread_t threads[THREADS];
    size_t n_threads;
};

static crew_job_t *take (crew_t *self)
{
    while (!self->first && !self->ending) {
        self->idle++;
        pthread_cond_wait (&self->work, &self->lock);
        self->idle--;
    }
    crew_job_t *job = self->first;
    if (job) {
        self->first = job->next;
        if (!self->first)
            self->last = &self->first;
        self->waiting--;
        self->running++;
    }
    return job;
}

static void *serve (void *arg)
{
    crew_t *self = arg;
    dfs_t *dfs = tool_open ();
    pthread_mutex_lock (&self->lock);
    for (crew_job_t *job; (job = take (self));) {
        pthread_mutex_unlock (&self->lock);
        job->run (job, dfs);
        pthread_mutex_lock (&self->lock);
        self->running--;
        job->next = self->done;
        self->done = job;
        pthread_cond_signal (&self->ended);
    }
    pthread_mutex_unlock (&self->lock);
    dfs_close (&dfs);
    return NULL;
}

crew_t *crew_new (void)
{
    crew_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->work, NULL);
    pthread_cond_init (&self->ended, NULL);
    self->last = &self->first;
    return self;
}

/* Ends what is done; the lock is held, but not while a job is told. */
static void reap (crew_t *self)
{
    crew_job_t *done = self->done;
    self->done = NULL;
    pthread_mutex_unlock (&self->lock);
    while (done) {
        crew_job_t *job = done;
        done = job->next;
        job->done (job);
    }
    pthread_mutex_lock (&self->lock);
}

static void start_thread (crew_t *self)
{
    sigset_t all, old;
    /* Signals are the main thread's. */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &old);
    int rc = pthread_create (&self->threads[self->n_threads], NULL, serve, self);
    pthread_sigmask (SIG_SETMASK, &old, NULL);
    assert (rc == 0 || self->n_threads > 0);
    if (rc == 0)
        self->n_threads++;
}

void crew_add (crew_t *self, crew_job_t *job)
{
    pthread_mutex_lock (&self->lock);
    reap (self);
    while (self->waiting >= WAITING) {
        pthread_cond_wait (&self->ended, &self->lock);
        reap (self);
    }
    job->next = NULL;
    *self->last = job;
    self->last = &job->next;
    self->waiting++;
    if (self->waiting > self->idle && self->n_threads < THREADS)
        start_thread (self);
    pthread_cond_signal (&self->work);
    pthread_mutex_unlock (&self->lock);
}

void crew_wait (crew_t *self)
{
    pthread_mutex_lock (&self->lock);
    for (;;) {
        reap (self);
        if (!self->done && self->waiting == 0 && self->running == 0)
            break;
        if (!self->done)
            pthread_cond_wait (&self->ended, &self->lock);
    }
    pthread_mutex_unlock (&self->lock);
}

void crew_destroy (crew_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    crew_t *self = *self_p;
    crew_wait (self);
    pthread_mutex_lock (&self->lock);
    self->ending = true;
    pthread_cond_broadcast (&self->work);
    pthread_mutex_unlock (&self->lock);
    for (size_t i = 0; i < self->n_threads; i++)
        pthread_join (self->threads[i], NULL);
    pthread_cond_destroy (&self->work);
    pthread_cond_destroy (&self->ended);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
