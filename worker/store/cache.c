/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "worker/store/cache.h"

#define MARKS 16384 /* blocks that were read once; one forgets another */

typedef struct block {
    uint64_t seq;
    uint32_t disk;
    uint32_t number;
    uint32_t len;
    struct block *chain;         /* of its bucket */
    struct block *newer, *older; /* by use */
    uint8_t data[];
} block_t;

struct cache {
    _Atomic uint64_t limit;
    pthread_mutex_t lock;
    uint64_t bytes;
    block_t **buckets;
    size_t n_buckets; /* power of two */
    block_t *newest, *oldest;
    uint64_t *marks;
    uint64_t hits, misses;
};

/* Empty buckets for as many blocks as there is room for. */
static void size_buckets (cache_t *self)
{
    for (self->n_buckets = 64; self->n_buckets * DIGEST_BLOCK < self->limit;)
        self->n_buckets *= 2;
    self->buckets = calloc (self->n_buckets, sizeof *self->buckets);
    assert (self->buckets);
}

cache_t *cache_new (uint64_t limit)
{
    cache_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    self->limit = limit;
    size_buckets (self);
    self->marks = calloc (MARKS, sizeof *self->marks);
    assert (self->marks);
    return self;
}

void cache_destroy (cache_t **self_p)
{
    cache_t *self = *self_p;
    if (!self)
        return;
    while (self->newest) {
        block_t *block = self->newest;
        self->newest = block->older;
        free (block);
    }
    pthread_mutex_destroy (&self->lock);
    free (self->buckets);
    free (self->marks);
    free (self);
    *self_p = NULL;
}

static uint64_t mix (uint32_t disk, uint64_t seq, uint32_t number)
{
    uint64_t x = seq * 0x9e3779b97f4a7c15ULL + number + ((uint64_t)disk << 32);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static block_t **find (cache_t *self, uint32_t disk, uint64_t seq, uint32_t number)
{
    block_t **p = &self->buckets[mix (disk, seq, number) & (self->n_buckets - 1)];
    while (*p && ((*p)->seq != seq || (*p)->number != number || (*p)->disk != disk))
        p = &(*p)->chain;
    return p;
}

static void unlink_use (cache_t *self, block_t *block)
{
    *(block->newer ? &block->newer->older : &self->newest) = block->older;
    *(block->older ? &block->older->newer : &self->oldest) = block->newer;
}

static void make_newest (cache_t *self, block_t *block)
{
    block->newer = NULL;
    block->older = self->newest;
    *(self->newest ? &self->newest->newer : &self->oldest) = block;
    self->newest = block;
}

static size_t block_len (size_t len, size_t from)
{
    return len - from < DIGEST_BLOCK ? len - from : DIGEST_BLOCK;
}

bool cache_get (cache_t *self, uint32_t disk, uint64_t seq, uint64_t offset, void *buf,
                size_t len)
{
    if (self->limit == 0 || len == 0)
        return false;
    uint32_t first = (uint32_t)(offset / DIGEST_BLOCK);
    bool all = true;
    pthread_mutex_lock (&self->lock);
    for (size_t from = 0; all && from < len; from += DIGEST_BLOCK) {
        uint32_t number = first + (uint32_t)(from / DIGEST_BLOCK);
        block_t *block = *find (self, disk, seq, number);
        all = block && block->len == block_len (len, from);
        if (!all)
            break;
        memcpy ((uint8_t *)buf + from, block->data, block->len);
        unlink_use (self, block);
        make_newest (self, block);
    }
    self->hits += all;
    self->misses += !all;
    pthread_mutex_unlock (&self->lock);
    return all;
}

/* True when the block was read before, not long ago. */
static bool marked (cache_t *self, uint64_t hash)
{
    uint64_t *mark = &self->marks[(hash >> 20) & (MARKS - 1)];
    bool seen = *mark == hash;
    *mark = seen ? 0 : hash;
    return seen;
}

static void make_room (cache_t *self)
{
    while (self->bytes > self->limit) {
        block_t *block = self->oldest;
        block_t **p = find (self, block->disk, block->seq, block->number);
        *p = block->chain;
        unlink_use (self, block);
        self->bytes -= sizeof *block + block->len;
        free (block);
    }
}

static void put_block (cache_t *self, uint32_t disk, uint64_t seq, uint32_t number,
                       const uint8_t *data, size_t len)
{
    block_t **p = find (self, disk, seq, number);
    if (*p || !marked (self, mix (disk, seq, number)))
        return;
    block_t *block = malloc (sizeof *block + len);
    assert (block);
    *block =
        (block_t){.seq = seq, .disk = disk, .number = number, .len = (uint32_t)len};
    memcpy (block->data, data, len);
    *p = block;
    make_newest (self, block);
    self->bytes += sizeof *block + len;
    make_room (self);
}

void cache_resize (cache_t *self, uint64_t limit)
{
    pthread_mutex_lock (&self->lock);
    self->limit = limit;
    make_room (self);
    block_t **old = self->buckets;
    size_t n_old = self->n_buckets;
    size_buckets (self);
    for (size_t i = 0; i < n_old; i++)
        for (block_t *block = old[i], *next; block; block = next) {
            next = block->chain;
            block_t **p = find (self, block->disk, block->seq, block->number);
            block->chain = NULL;
            *p = block;
        }
    free (old);
    pthread_mutex_unlock (&self->lock);
}

void cache_put (cache_t *self, uint32_t disk, uint64_t seq, uint64_t offset,
                const void *data, size_t len)
{
    if (self->limit < DIGEST_BLOCK + sizeof (block_t))
        return;
    uint32_t first = (uint32_t)(offset / DIGEST_BLOCK);
    pthread_mutex_lock (&self->lock);
    for (size_t from = 0; from < len; from += DIGEST_BLOCK)
        put_block (self, disk, seq, first + (uint32_t)(from / DIGEST_BLOCK),
                   (const uint8_t *)data + from, block_len (len, from));
    pthread_mutex_unlock (&self->lock);
}

void cache_counts (cache_t *self, uint64_t *hits, uint64_t *misses)
{
    pthread_mutex_lock (&self->lock);
    *hits = self->hits;
    *misses = self->misses;
    pthread_mutex_unlock (&self->lock);
}
