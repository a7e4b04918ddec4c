/* SPDX-License-Identifier: MPL-2.0 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "worker/store/ring.h"

#ifdef HAVE_LIBURING
#include <liburing.h>

struct ring {
    struct io_uring uring;
    pthread_mutex_t lock; /* of what is given */
};

ring_t *ring_new (unsigned depth)
{
    ring_t *self = calloc (1, sizeof *self);
    assert (self);
    /* One more for the wake-up. */
    if (io_uring_queue_init (2 * depth, &self->uring, 0) < 0) {
        free (self);
        return NULL;
    }
    pthread_mutex_init (&self->lock, NULL);
    return self;
}

void ring_destroy (ring_t **self_p)
{
    ring_t *self = *self_p;
    if (!self)
        return;
    io_uring_queue_exit (&self->uring);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

int ring_write (ring_t *self, int fd, const void *buf, size_t len, uint64_t offset,
                void *tag)
{
    pthread_mutex_lock (&self->lock);
    struct io_uring_sqe *sqe = io_uring_get_sqe (&self->uring);
    assert (sqe); /* each is submitted at once */
    io_uring_prep_write (sqe, fd, buf, (unsigned)len, offset);
    io_uring_sqe_set_data (sqe, tag);
    int rc;
    do
        rc = io_uring_submit (&self->uring);
    while (rc == -EINTR || rc == -EAGAIN);
    pthread_mutex_unlock (&self->lock);
    return rc < 0 ? rc : 0;
}

void ring_wake (ring_t *self)
{
    pthread_mutex_lock (&self->lock);
    struct io_uring_sqe *sqe = io_uring_get_sqe (&self->uring);
    assert (sqe);
    io_uring_prep_nop (sqe);
    io_uring_sqe_set_data (sqe, NULL);
    io_uring_submit (&self->uring);
    pthread_mutex_unlock (&self->lock);
}

void *ring_wait (ring_t *self, int *result)
{
    struct io_uring_cqe *cqe;
    int rc;
    do
        rc = io_uring_wait_cqe (&self->uring, &cqe);
    while (rc == -EINTR || rc == -EAGAIN);
    assert (rc == 0);
    void *tag = io_uring_cqe_get_data (cqe);
    *result = cqe->res;
    io_uring_cqe_seen (&self->uring, cqe);
    return tag;
}

#else

ring_t *ring_new (unsigned depth)
{
    (void)depth;
    return NULL;
}

void ring_destroy (ring_t **self_p)
{
    (void)self_p;
}

int ring_write (ring_t *self, int fd, const void *buf, size_t len, uint64_t offset,
                void *tag)
{
    (void)self, (void)fd, (void)buf, (void)len, (void)offset, (void)tag;
    return -ENOSYS;
}

void ring_wake (ring_t *self)
{
    (void)self;
}

void *ring_wait (ring_t *self, int *result)
{
    (void)self, (void)result;
    return NULL;
}
#endif
