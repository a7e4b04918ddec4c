/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

/* Buffers are cut from regions of huge pages: such a buffer is one piece of memory for
 * the kernel, which otherwise gives a disk each of its pages (doc/design/0020). */
#define REGION ((size_t)2 * 1024 * 1024)

struct buf_pool {
    pthread_mutex_t lock;
    pthread_cond_t back;
    size_t size;
    size_t limit;
    size_t out;    /* in use */
    size_t n_idle; /* in `idle` */
    void **idle;
    size_t per_region;
    size_t n_regions;
    void **regions;
    bool starved; /* buf_get gave NULL since the last wake-up */
    unsigned waiting;
    int fd;
};

buf_pool_t *buf_pool_new (size_t size, size_t count)
{
    buf_pool_t *self = calloc (1, sizeof *self);
    assert (self && size && size % 4096 == 0 && count);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->back, NULL);
    self->size = size;
    self->limit = count;
    self->idle = calloc (count, sizeof *self->idle);
    self->per_region = size < REGION ? REGION / size : 1;
    if (self->per_region > count)
        self->per_region = count;
    self->regions = calloc (count / self->per_region + 1, sizeof *self->regions);
    assert (self->idle && self->regions);
    self->fd = -1;
    return self;
}

void buf_pool_destroy (buf_pool_t **self_p)
{
    buf_pool_t *self = *self_p;
    if (!self)
        return;
    assert (self->out == 0);
    for (size_t i = 0; i < self->n_regions; i++)
        free (self->regions[i]);
    free (self->regions);
    free (self->idle);
    if (self->fd >= 0)
        close (self->fd);
    pthread_cond_destroy (&self->back);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

/* More buffers. Under the lock, with none idle and some still to be made. */
static void add_region (buf_pool_t *self)
{
    size_t n = self->limit - self->out;
    n = n < self->per_region ? n : self->per_region;
    size_t len = n * self->size;
    void *region = NULL;
    int rc = posix_memalign (&region, len < REGION ? 4096 : REGION, len);
    assert (rc == 0);
    if (len >= REGION)
        madvise (region, len, MADV_HUGEPAGE); /* a hint */
    self->regions[self->n_regions++] = region;
    for (size_t i = 0; i < n; i++)
        self->idle[self->n_idle++] = (char *)region + i * self->size;
}

/* Under the lock; NULL when all are out. */
static void *take (buf_pool_t *self)
{
    if (self->out == self->limit)
        return NULL;
    if (self->n_idle == 0)
        add_region (self);
    self->out++;
    return self->idle[--self->n_idle];
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
