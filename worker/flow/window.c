/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "worker/flow/window.h"

struct window {
    buf_pool_t *pools[WINDOW_CLASSES];
    size_t n;
    size_t size;
    atomic_size_t held;  /* bytes out */
    atomic_size_t count; /* leases out */
    atomic_bool armed;   /* somebody waits for a buffer */
    int fd;
};

struct share {
    atomic_uint refs; /* the owner's and one per lease */
    atomic_size_t held;
    atomic_uint_least64_t returned;
};

struct lease {
    window_t *window;
    share_t *share;
    buf_pool_t *pool;
    void *data;
};

window_t *window_new (const window_class_t *classes, size_t n)
{
    assert (n > 0 && n <= WINDOW_CLASSES);
    window_t *self = calloc (1, sizeof *self);
    assert (self);
    self->n = n;
    for (size_t i = 0; i < n; i++) {
        assert (i == 0 || classes[i].size > classes[i - 1].size);
        self->pools[i] = buf_pool_new (classes[i].size, classes[i].count);
        self->size += classes[i].size * classes[i].count;
    }
    self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert (self->fd >= 0);
    return self;
}

void window_destroy (window_t **self_p)
{
    window_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    /* A closed socket gives its messages back from the library's own threads. */
    for (int i = 0; i < 200 && atomic_load (&self->count); i++)
        nanosleep (&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (atomic_load (&self->count)) {
        log_warn ("buffers_left", "n=%zu", atomic_load (&self->count));
        return;
    }
    for (size_t i = 0; i < self->n; i++)
        buf_pool_destroy (&self->pools[i]);
    close (self->fd);
    free (self);
}

share_t *share_new (window_t *self)
{
    (void)self;
    share_t *share = calloc (1, sizeof *share);
    assert (share);
    atomic_init (&share->refs, 1);
    return share;
}

static void share_unref (share_t *share)
{
    if (atomic_fetch_sub (&share->refs, 1) == 1)
        free (share);
}

void share_close (share_t **share_p)
{
    if (*share_p)
        share_unref (*share_p);
    *share_p = NULL;
}

size_t share_held (const share_t *share)
{
    return atomic_load (&share->held);
}

uint64_t share_returned (const share_t *share)
{
    return atomic_load (&share->returned);
}

static lease_t *lend (window_t *self, share_t *share, size_t i)
{
    void *data = buf_get (self->pools[i]);
    if (!data)
        return NULL;
    lease_t *lease = malloc (sizeof *lease);
    assert (lease);
    *lease =
        (lease_t){.window = self, .share = share, .pool = self->pools[i], .data = data};
    size_t size = buf_size (lease->pool);
    atomic_fetch_add (&share->refs, 1);
    atomic_fetch_add (&share->held, size);
    atomic_fetch_add (&self->held, size);
    atomic_fetch_add (&self->count, 1);
    return lease;
}

lease_t *window_take (window_t *self, share_t *share, size_t want, size_t floor)
{
    lease_t *lease = NULL;
    size_t first = 0;
    while (first < self->n && buf_size (self->pools[first]) < want)
        first++;
    for (size_t i = first; i < self->n && !lease; i++)
        lease = lend (self, share, i);
    for (size_t i = first; i > 0 && !lease; i--)
        if (buf_size (self->pools[i - 1]) >= floor)
            lease = lend (self, share, i - 1);
    return lease;
}

void *lease_data (const lease_t *lease)
{
    return lease->data;
}

size_t lease_size (const lease_t *lease)
{
    return buf_size (lease->pool);
}

void lease_return (lease_t **lease_p)
{
    lease_t *lease = *lease_p;
    if (!lease)
        return;
    *lease_p = NULL;
    window_t *self = lease->window;
    size_t size = buf_size (lease->pool);
    buf_put (lease->pool, lease->data);
    atomic_fetch_sub (&lease->share->held, size);
    atomic_fetch_add (&lease->share->returned, 1);
    atomic_fetch_sub (&self->held, size);
    share_unref (lease->share);
    free (lease);
    if (atomic_exchange (&self->armed, false)) {
        uint64_t one = 1;
        ssize_t rc = write (self->fd, &one, sizeof one);
        (void)rc;
    }
    /* Last: from here on the window may be gone. */
    atomic_fetch_sub (&self->count, 1);
}

static void returned (void *data, void *hint)
{
    (void)data;
    lease_t *lease = hint;
    lease_return (&lease);
}

void lease_message (lease_t **lease_p, size_t len, zmq_msg_t *msg)
{
    lease_t *lease = *lease_p;
    assert (len <= buf_size (lease->pool));
    int rc = zmq_msg_init_data (msg, lease->data, len, returned, lease);
    assert (rc == 0);
    *lease_p = NULL;
}

int window_fd (const window_t *self)
{
    return self->fd;
}

void window_calm (window_t *self)
{
    uint64_t count;
    ssize_t rc = read (self->fd, &count, sizeof count);
    (void)rc;
}

void window_arm (window_t *self)
{
    window_calm (self);
    atomic_store (&self->armed, true);
}

size_t window_held (const window_t *self)
{
    return atomic_load (&self->held);
}

size_t window_size (const window_t *self)
{
    return self->size;
}
