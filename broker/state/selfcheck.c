/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/state/selfcheck.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/log.h"

#define FIRST_S 2 /* what clients and brokers want at a start goes first */
#define EVERY_S (24 * 3600)

struct selfcheck {
    namespace_t *ns;
    mailbox_t *out;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_bool stop; /* set under the lock */
};

/* False when the thread is to end. */
static bool pause_for (selfcheck_t *self, time_t seconds)
{
    struct timespec until;

    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock (&self->lock);
    int rc = 0;
    while (!self->stop && rc == 0)
        rc = pthread_cond_timedwait (&self->wake, &self->lock, &until);
    bool stop = self->stop;
    pthread_mutex_unlock (&self->lock);
    return !stop;
}

static void *run (void *arg)
{
    selfcheck_t *self = arg;
    dfs_error_t err;

    for (time_t wait = FIRST_S; pause_for (self, wait); wait = EVERY_S) {
        int rc = namespace_scan (self->ns, &self->stop, &err);
        if (rc >= 0)
            mailbox_push (self->out, mail_checked_new (rc > 0, false));
        else if (rc != DFS_ECANCELED)
            log_error ("namespace_unread", "err=\"%s\"", err.text);
    }
    return NULL;
}

selfcheck_t *selfcheck_new (namespace_t *ns, mailbox_t *out)
{
    selfcheck_t *self = calloc (1, sizeof *self);
    pthread_condattr_t attr;

    assert (self);
    self->ns = ns;
    self->out = out;
    atomic_init (&self->stop, false);
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, &attr);
    pthread_condattr_destroy (&attr);
    if (pthread_create (&self->thread, NULL, run, self))
        abort ();
    return self;
}

void selfcheck_destroy (selfcheck_t **self_p)
{
    selfcheck_t *self = *self_p;

    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    atomic_store (&self->stop, true);
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
