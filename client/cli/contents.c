/* SPDX-License-Identifier: MPL-2.0 */
#include "contents.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The bits that a sample goes by are the same in all: others choose the place. */
static uint64_t *place (const contents_t *self, uint64_t id)
{
    size_t i = (size_t)(id * 0x9e3779b97f4a7c15ULL >> 20) & (self->cap - 1);
    while (self->slots[i] && self->slots[i] != id)
        i = (i + 1) & (self->cap - 1);
    return &self->slots[i];
}

static void grow (contents_t *self)
{
    uint64_t *old = self->slots;
    size_t n = self->cap;
    self->cap = n ? 2 * n : 1024;
    self->slots = calloc (self->cap, sizeof *self->slots);
    assert (self->slots);
    for (size_t i = 0; i < n; i++)
        if (old[i])
            *place (self, old[i]) = old[i];
    free (old);
}

void contents_add (contents_t *self, uint64_t id, uint64_t length, bool inlined)
{
    if (2 * (self->used + 1) > self->cap)
        grow (self);
    id += id == 0; /* 0 is not to be expected either */
    uint64_t *slot = place (self, id);
    if (*slot)
        return;
    *slot = id;
    self->used++;
    self->chunks += !inlined;
    self->bytes += length;
}

void contents_clear (contents_t *self)
{
    free (self->slots);
    memset (self, 0, sizeof *self);
}
