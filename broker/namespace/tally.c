/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/namespace/tally.h"

#define KINDS 8

/* The 128-bit hash stands for the key: two keys that collide are not to be expected. */
typedef struct slot {
    uint64_t high;
    uint64_t low;
    uint64_t count; /* 0: free */
} slot_t;

struct tally_map {
    slot_t *slots;
    size_t cap; /* power of two */
    size_t used;
    uint64_t keys[KINDS];
};

tally_map_t *tally_new (void)
{
    tally_map_t *self = calloc (1, sizeof *self);
    assert (self);
    self->cap = 1024;
    self->slots = calloc (self->cap, sizeof *self->slots);
    assert (self->slots);
    return self;
}

void tally_destroy (tally_map_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->slots);
    free (*self_p);
    *self_p = NULL;
}

static slot_t *find (const tally_map_t *self, XXH128_hash_t h)
{
    size_t i = h.low64 & (self->cap - 1);
    while (self->slots[i].count &&
           (self->slots[i].high != h.high64 || self->slots[i].low != h.low64))
        i = (i + 1) & (self->cap - 1);
    return &self->slots[i];
}

static void grow (tally_map_t *self)
{
    slot_t *old = self->slots;
    size_t n = self->cap;
    self->cap *= 2;
    self->slots = calloc (self->cap, sizeof *self->slots);
    assert (self->slots);
    for (size_t i = 0; i < n; i++)
        if (old[i].count)
            *find (self, (XXH128_hash_t){.low64 = old[i].low, .high64 = old[i].high}) =
                old[i];
    free (old);
}

void tally_add (tally_map_t *self, int kind, const void *key, size_t len, uint64_t by)
{
    assert (kind >= 0 && kind < KINDS && by > 0);
    if (2 * (self->used + 1) > self->cap)
        grow (self);
    XXH128_hash_t h = XXH3_128bits_withSeed (key, len, (uint64_t)kind);
    slot_t *slot = find (self, h);
    if (slot->count == 0) {
        slot->high = h.high64;
        slot->low = h.low64;
        self->used++;
        self->keys[kind]++;
    }
    slot->count += by;
}

uint64_t tally_get (const tally_map_t *self, int kind, const void *key, size_t len)
{
    return find (self, XXH3_128bits_withSeed (key, len, (uint64_t)kind))->count;
}

uint64_t tally_keys (const tally_map_t *self, int kind)
{
    return self->keys[kind];
}
