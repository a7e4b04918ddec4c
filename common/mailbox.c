/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <poll.h>
#include <stdbool.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mailbox.h"

/* Two growing arrays: producers fill `in` under the lock, the owner empties `out`
 * without it and swaps them when it runs dry. */
typedef struct vector {
    void **items;
    size_t n;
    size_t cap;
} vector_t;

struct mailbox {
    pthread_mutex_t lock;
    vector_t in;  /* under the lock */
    vector_t out; /* owner's */
    size_t next;  /* of `out` */
    int fd;
};

mailbox_t *mailbox_new (void)
{
    mailbox_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert (self->fd >= 0);
    return self;
}

void mailbox_destroy (mailbox_t **self_p, void (*free_item) (void *item))
{
    mailbox_t *self = *self_p;
    if (!self)
        return;
    void *item;
    while ((item = mailbox_pop (self)))
        if (free_item)
            free_item (item);
    close (self->fd);
    free (self->in.items);
    free (self->out.items);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

void mailbox_push (mailbox_t *self, void *item)
{
    assert (item);
    pthread_mutex_lock (&self->lock);
    vector_t *in = &self->in;
    if (in->n == in->cap) {
        in->cap = in->cap ? 2 * in->cap : 64;
        in->items = realloc (in->items, in->cap * sizeof *in->items);
        assert (in->items);
    }
    bool first = in->n == 0;
    in->items[in->n++] = item;
    pthread_mutex_unlock (&self->lock);
    if (first) {
        uint64_t one = 1;
        ssize_t rc = write (self->fd, &one, sizeof one);
        (void)rc; /* EAGAIN: the counter is full, so it is readable anyway */
    }
}

void *mailbox_pop (mailbox_t *self)
{
    if (self->next == self->out.n) {
        self->next = self->out.n = 0;
        uint64_t count;
        ssize_t rc = read (self->fd, &count, sizeof count);
        (void)rc;
        pthread_mutex_lock (&self->lock);
        vector_t swap = self->out;
        self->out = self->in;
        self->in = swap;
        pthread_mutex_unlock (&self->lock);
        if (self->out.n == 0)
            return NULL;
    }
    void *item = self->out.items[self->next++];
    /* What is left in `out` must keep the descriptor readable for a poller that returns
     * to its loop in between. */
    if (self->next == 1 && self->out.n > 1) {
        uint64_t one = 1;
        ssize_t rc = write (self->fd, &one, sizeof one);
        (void)rc;
    }
    return item;
}

void *mailbox_wait (mailbox_t *self, int timeout_ms)
{
    void *item = mailbox_pop (self);
    if (item)
        return item;
    struct pollfd p = {.fd = self->fd, .events = POLLIN};
    poll (&p, 1, timeout_ms);
    return mailbox_pop (self);
}

int mailbox_fd (const mailbox_t *self)
{
    return self->fd;
}
