/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define FIRST_BLOCK (16 * 1024)
#define KEEP_MAX    (256 * 1024) /* what a reset keeps */

typedef struct block {
    struct block *next;
    size_t cap;
    size_t used;
    _Alignas(16) uint8_t data[];
} block_t;

struct arena {
    ProtobufCAllocator allocator;
    block_t *blocks; /* the newest first */
    size_t budget;
    size_t out; /* given since the last reset */
};

static void *allocator_alloc (void *arg, size_t size)
{
    return arena_alloc (arg, size);
}

static void allocator_free (void *arg, void *data)
{
    (void)arg;
    (void)data;
}

arena_t *arena_new (size_t budget)
{
    arena_t *self = calloc (1, sizeof *self);
    assert (self);
    self->budget = budget;
    self->allocator.alloc = allocator_alloc;
    self->allocator.free = allocator_free;
    self->allocator.allocator_data = self;
    return self;
}

void arena_destroy (arena_t **self_p)
{
    arena_t *self = *self_p;
    if (!self)
        return;
    while (self->blocks) {
        block_t *next = self->blocks->next;
        free (self->blocks);
        self->blocks = next;
    }
    free (self);
    *self_p = NULL;
}

void *arena_alloc (arena_t *self, size_t size)
{
    if (size > self->budget)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    if (size > self->budget - self->out)
        return NULL;
    block_t *b = self->blocks;
    if (!b || b->cap - b->used < size) {
        size_t cap = b ? 2 * b->cap : FIRST_BLOCK;
        if (cap > 1024 * 1024)
            cap = 1024 * 1024;
        if (cap < size)
            cap = size;
        b = malloc (sizeof *b + cap);
        assert (b);
        b->cap = cap;
        b->used = 0;
        b->next = self->blocks;
        self->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += size;
    self->out += size;
    return p;
}

void *arena_zalloc (arena_t *self, size_t size)
{
    void *p = arena_alloc (self, size);
    if (p)
        memset (p, 0, size);
    return p;
}

void *arena_dup (arena_t *self, const void *data, size_t len)
{
    uint8_t *p = len < SIZE_MAX ? arena_alloc (self, len + 1) : NULL;
    if (p) {
        if (len)
            memcpy (p, data, len);
        p[len] = 0;
    }
    return p;
}

void arena_reset (arena_t *self)
{
    block_t *keep = NULL;
    while (self->blocks) {
        block_t *b = self->blocks;
        self->blocks = b->next;
        if (b->cap <= KEEP_MAX && (!keep || b->cap > keep->cap)) {
            free (keep);
            keep = b;
        } else
            free (b);
    }
    if (keep) {
        keep->used = 0;
        keep->next = NULL;
    }
    self->blocks = keep;
    self->out = 0;
}

ProtobufCAllocator *arena_allocator (arena_t *self)
{
    return &self->allocator;
}
