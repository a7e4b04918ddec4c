/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/slice.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SLICE_SMALL (256 * 1024) /* up to here a slice costs its length */

struct slice_pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    uint64_t budget;
    uint64_t used;     /* by slices */
    uint64_t reserved; /* set aside for slices to come */
    size_t out;        /* slices that live */
    size_t waiting;    /* threads in slice_new */
    bool starved;      /* a reservation was refused: tell by the fd */
    bool cancelled;
    slice_t *free; /* whole ones, kept */
    int fd;
};

slice_pool_t *slice_pool_new (uint64_t budget)
{
    slice_pool_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->freed, NULL);
    self->budget = budget;
    self->fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->fd < 0) {
        slice_pool_destroy (&self);
        return NULL;
    }
    return self;
}

void slice_pool_destroy (slice_pool_t **self_p)
{
    slice_pool_t *self = *self_p;

    if (!self)
        return;
    assert (self->out == 0);
    slice_pool_trim (self, 0);
    if (self->fd >= 0)
        close (self->fd);
    pthread_cond_destroy (&self->freed);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

int slice_pool_fd (const slice_pool_t *self)
{
    return self->fd;
}

void slice_pool_trim (slice_pool_t *self, size_t keep)
{
    pthread_mutex_lock (&self->lock);
    slice_t **at = &self->free;
    while (*at && keep > 0) {
        at = &(*at)->next;
        keep--;
    }
    slice_t *rest = *at;
    *at = NULL;
    pthread_mutex_unlock (&self->lock);
    while (rest) {
        slice_t *next = rest->next;
        free (rest->data);
        free (rest);
        rest = next;
    }
}

static uint32_t cost_of (uint32_t len)
{
    return len <= SLICE_SMALL ? len : SLICE_MAX;
}

uint64_t slice_cost (uint64_t len)
{
    return len / SLICE_MAX * SLICE_MAX + cost_of ((uint32_t)(len % SLICE_MAX));
}

bool slice_reserve (slice_pool_t *self, uint64_t cost)
{
    pthread_mutex_lock (&self->lock);
    bool fits = self->used + self->reserved + cost <= self->budget;
    if (fits)
        self->reserved += cost;
    else
        self->starved = true;
    pthread_mutex_unlock (&self->lock);
    return fits;
}

bool slice_none_reserved (slice_pool_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool none = self->reserved == 0;
    self->starved = self->starved || !none;
    pthread_mutex_unlock (&self->lock);
    return none;
}

/* With the lock held: memory came back. */
static void tell (slice_pool_t *self)
{
    if (self->waiting > 0)
        pthread_cond_broadcast (&self->freed);
    if (self->starved) {
        uint64_t one = 1;
        self->starved = false;
        ssize_t rc = write (self->fd, &one, sizeof one);
        (void)rc; /* full means readable already */
    }
}

void slice_unreserve (slice_pool_t *self, uint64_t cost)
{
    pthread_mutex_lock (&self->lock);
    assert (self->reserved >= cost);
    self->reserved -= cost;
    tell (self);
    pthread_mutex_unlock (&self->lock);
}

slice_t *slice_new (slice_pool_t *self, uint32_t len, bool reserved)
{
    uint32_t cap = cost_of (len);
    slice_t *slice = NULL;

    assert (len <= SLICE_MAX);
    pthread_mutex_lock (&self->lock);
    if (reserved) {
        assert (self->reserved >= cap);
        self->reserved -= cap;
    } else {
        self->waiting++;
        while (!self->cancelled && self->used + self->reserved + cap > self->budget)
            pthread_cond_wait (&self->freed, &self->lock);
        self->waiting--;
        if (self->cancelled) {
            pthread_mutex_unlock (&self->lock);
            return NULL;
        }
    }
    self->used += cap;
    self->out++;
    if (cap == SLICE_MAX && self->free) {
        slice = self->free;
        self->free = slice->next;
    }
    pthread_mutex_unlock (&self->lock);
    if (!slice) {
        slice = calloc (1, sizeof *slice);
        assert (slice);
        if (cap < SLICE_MAX)
            slice->data = malloc (len ? len : 1);
        else if (posix_memalign ((void **)&slice->data, 4096, SLICE_MAX) != 0)
            slice->data = NULL;
        assert (slice->data);
        slice->pool = self;
    }
    slice->len = len;
    slice->cap = cap;
    slice->next = NULL;
    atomic_store (&slice->refs, 1);
    return slice;
}

void slice_pool_cancel (slice_pool_t *self, bool on)
{
    pthread_mutex_lock (&self->lock);
    self->cancelled = on;
    pthread_cond_broadcast (&self->freed);
    pthread_mutex_unlock (&self->lock);
}

slice_t *slice_ref (slice_t *self)
{
    atomic_fetch_add (&self->refs, 1);
    return self;
}

void slice_unref (slice_t **self_p)
{
    slice_t *self = *self_p;

    *self_p = NULL;
    if (!self || atomic_fetch_sub (&self->refs, 1) != 1)
        return;
    slice_pool_t *pool = self->pool;
    bool keep = self->cap == SLICE_MAX;
    uint32_t cap = self->cap;
    if (!keep) {
        free (self->data);
        free (self);
    }
    pthread_mutex_lock (&pool->lock);
    pool->used -= cap;
    pool->out--;
    if (keep) {
        self->next = pool->free;
        pool->free = self;
    }
    tell (pool);
    pthread_mutex_unlock (&pool->lock);
}

static void sent (void *data, void *hint)
{
    slice_t *slice = hint;
    (void)data;
    slice_unref (&slice);
}

int slice_message (slice_t *self, zmq_msg_t *msg)
{
    slice_ref (self);
    int rc = zmq_msg_init_data (msg, self->data, self->len, sent, self);
    if (rc != 0) {
        slice_t *ref = self;
        slice_unref (&ref);
    }
    return rc;
}
