/* SPDX-License-Identifier: MPL-2.0 */
#include "look.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "tool.h"

#define ANYBODY_MS 3000
#define OPEN_MS    15000      /* the library's own patience */
#define END_WAIT   (300 * MS) /* for a question in the air */

struct look {
    pthread_t thread;
    uint64_t interval_ns;
    uint32_t timeout_ms;
    int event;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    bool stop, over;
    bool fresh;          /* STATUS was not taken */
    dfs_status_t status; /* the last answer */
    look_news_t news;
};

static bool nobody (int code)
{
    return code == DFS_EUNAVAIL || code == DFS_ETIMEOUT;
}

/* One question; *DFS is kept as long as it is answered there. A cluster that nobody
 * leads has a state, too. */
static int ask (const look_t *self, dfs_t **dfs, dfs_status_t *status, dfs_error_t *err)
{
    dfs_error_t why = {0};
    uint64_t begun = clock_mono ();

    memset (status, 0, sizeof *status);
    if (!*dfs)
        *dfs = tool_try (self->timeout_ms, tool_common.stale, err);
    if (*dfs && dfs_status (*dfs, status, err) == 0)
        return DFS_OK;
    dfs_close (dfs);
    if (!nobody (err->code))
        return err->code;
    if (clock_mono () - begun < (self->timeout_ms ? self->timeout_ms : OPEN_MS) * MS)
        return err->code; /* given up early: there is nobody */
    dfs_t *any = tool_try (ANYBODY_MS, true, &why);
    int rc = any ? dfs_status (any, status, &why) : err->code;
    dfs_close (&any);
    return rc == DFS_OK ? rc : err->code;
}

static void tell (look_t *self)
{
    uint64_t one = 1;
    ssize_t rc = write (self->event, &one, sizeof one);
    (void)rc; /* full: it is readable */
}

static void until (look_t *self, uint64_t when)
{
    struct timespec at = {(time_t)(when / SEC), (long)(when % SEC)};

    while (!self->stop && clock_mono () < when)
        pthread_cond_timedwait (&self->wake, &self->lock, &at);
}

static void *run (void *arg)
{
    look_t *self = arg;
    dfs_t *dfs = NULL;

    pthread_mutex_lock (&self->lock);
    while (!self->stop) {
        dfs_status_t status;
        dfs_error_t err = {0};
        uint64_t begun = self->news.asked = clock_mono ();

        pthread_mutex_unlock (&self->lock);
        int rc = ask (self, &dfs, &status, &err);
        pthread_mutex_lock (&self->lock);
        self->news.asked = 0;
        if (rc == DFS_OK) {
            dfs_status_clear (&self->status);
            self->status = status;
            self->fresh = true;
            self->news.answers++;
            self->news.at = clock_mono ();
            self->news.wall = clock_wall ();
            memset (&self->news.err, 0, sizeof self->news.err);
        } else {
            self->news.failures++;
            self->news.err = err;
        }
        tell (self);
        until (self, begun + self->interval_ns);
    }
    pthread_mutex_unlock (&self->lock);
    dfs_close (&dfs);
    pthread_mutex_lock (&self->lock);
    self->over = true;
    pthread_cond_broadcast (&self->wake);
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

look_t *look_new (uint64_t interval_ns, uint32_t timeout_ms)
{
    look_t *self = calloc (1, sizeof *self);
    pthread_condattr_t clock;
    sigset_t all, before;

    assert (self);
    self->interval_ns = interval_ns;
    self->timeout_ms = timeout_ms;
    self->event = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert (self->event >= 0);
    pthread_mutex_init (&self->lock, NULL);
    pthread_condattr_init (&clock);
    pthread_condattr_setclock (&clock, CLOCK_MONOTONIC);
    pthread_cond_init (&self->wake, &clock);
    pthread_condattr_destroy (&clock);
    /* Signals are for the thread that has the terminal. */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int rc = pthread_create (&self->thread, NULL, run, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    assert (rc == 0);
    (void)rc;
    return self;
}

bool look_destroy (look_t **self_p)
{
    look_t *self = *self_p;

    if (!self)
        return true;
    *self_p = NULL;
    uint64_t last = clock_mono () + END_WAIT;
    struct timespec at = {(time_t)(last / SEC), (long)(last % SEC)};
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_broadcast (&self->wake);
    while (!self->over && clock_mono () < last)
        pthread_cond_timedwait (&self->wake, &self->lock, &at);
    bool over = self->over;
    pthread_mutex_unlock (&self->lock);
    if (!over) {
        pthread_detach (self->thread);
        return false;
    }
    pthread_join (self->thread, NULL);
    dfs_status_clear (&self->status);
    pthread_mutex_destroy (&self->lock);
    pthread_cond_destroy (&self->wake);
    close (self->event);
    free (self);
    return true;
}

bool look_take (look_t *self, dfs_status_t *status, look_news_t *news)
{
    uint64_t count;
    ssize_t rc = read (self->event, &count, sizeof count);
    (void)rc;

    pthread_mutex_lock (&self->lock);
    bool fresh = self->fresh;
    if (fresh) {
        *status = self->status;
        memset (&self->status, 0, sizeof self->status);
        self->fresh = false;
    }
    *news = self->news;
    pthread_mutex_unlock (&self->lock);
    return fresh;
}

int look_fd (const look_t *self)
{
    return self->event;
}
