/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

struct buf_pool {
    pthread_mutex_t lock;
    pthread_cond_t back;
    size_t size;
    size_t limit;
    size_t out;    /* in use */
    size_t n_idle; /* in `idle` */
    void **idle;
    bool starved; /* buf_get gave NULL since the last wake-up */
    unsigned waiting;
    int fd;
};

buf_pool_t *buf_pool_new (size_t size, size_t count)
{
    buf_pool_t *self = calloc (1, sizeof *self);
    assert (self && size && count);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->back, NULL);
    self->size = size;
    self->limit = count;
    self->idle = calloc (count, sizeof *self->idle);
    assert (self->idle);
    self->fd = -1;
    return self;
}

void buf_pool_destroy (buf_pool_t **self_p)
{
    buf_pool_t *self = *self_p;
    if (!self)
        return;
    assert (self->out == 0);
    for (size_t i = 0; i < self->n_idle; i++)
        free (self->idle[i]);
    free (self->idle);
    if (self->fd >= 0)
        close (self->fd);
    pthread_cond_destroy (&self->back);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

/* Under the lock; NULL when all are out. */
static void *take (buf_pool_t *self)
{
    if (self->out == self->limit)
        return NULL;
    void *buf = NULL;
    if (self->n_idle)
        buf = self->idle[--self->n_idle];
    else {
        int rc = posix_memalign (&buf, 4096, self->size);
        assert (rc == 0);
    }
    self->out++;
    return buf;
}

void *buf_get (buf_pool_t *self)
{
    pthread_mutex_lock (&self->lock);
    void *buf = take (self);
    if (!buf)
        self->starved = true;
    pthread_mutex_unlock (&self->lock);
    return buf;
}

void *buf_wait (buf_pool_t *self)
{
    pthread_mutex_lock (&self->lock);
    void *buf;
    while (!(buf = take (self))) {
        self->waiting++;
        pthread_cond_wait (&self->back, &self->lock);
        self->waiting--;
    }
    pthread_mutex_unlock (&self->lock);
    return buf;
}

void *buf_wait_for (buf_pool_t *self, uint64_t ns)
{
    struct timespec end;
    clock_gettime (CLOCK_MONOTONIC, &end);
    ns += (uint64_t)end.tv_nsec;
    end.tv_sec += (time_t)(ns / 1000000000);
    end.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock (&self->lock);
    void *buf;
    int rc = 0;
    while (!(buf = take (self)) && rc == 0) {
        self->waiting++;
        rc = pthread_cond_clockwait (&self->back, &self->lock, CLOCK_MONOTONIC, &end);
        self->waiting--;
    }
    pthread_mutex_unlock (&self->lock);
    return buf;
}

void buf_put (buf_pool_t *self, void *buf)
{
    if (!buf)
        return;
    pthread_mutex_lock (&self->lock);
    assert (self->out > 0);
    self->out--;
    self->idle[self->n_idle++] = buf;
    if (self->waiting)
        pthread_cond_signal (&self->back);
    /* Under the lock, so that the descriptor is not closed meanwhile. */
    if (self->starved && self->fd >= 0) {
        self->starved = false;
        uint64_t one = 1;
        ssize_t rc = write (self->fd, &one, sizeof one);
        (void)rc;
    }
    pthread_mutex_unlock (&self->lock);
}

void buf_free_callback (void *data, void *hint)
{
    buf_put (hint, data);
}

size_t buf_size (const buf_pool_t *self)
{
    return self->size;
}

size_t buf_free_count (buf_pool_t *self)
{
    pthread_mutex_lock (&self->lock);
    size_t n = self->limit - self->out;
    pthread_mutex_unlock (&self->lock);
    return n;
}

int buf_pool_fd (buf_pool_t *self)
{
    pthread_mutex_lock (&self->lock);
    if (self->fd < 0)
        self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fd = self->fd;
    pthread_mutex_unlock (&self->lock);
    return fd;
}
