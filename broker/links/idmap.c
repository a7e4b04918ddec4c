/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/idmap.h"

#include <assert.h>
#include <stdlib.h>

#include "common/rng.h"

#define IDMAP_START 64

typedef struct slot {
    uint64_t id;
    void *item; /* NULL: free */
} slot_t;

struct idmap {
    slot_t *slots;
    size_t size; /* power of two */
    size_t count;
    uint64_t seed;
};

static size_t place (const idmap_t *self, uint64_t id)
{
    uint64_t h = id ^ self->seed;

    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return (size_t)(h ^ (h >> 31)) & (self->size - 1);
}

static slot_t *find (const idmap_t *self, uint64_t id)
{
    size_t at = place (self, id);

    while (self->slots[at].item != NULL && self->slots[at].id != id)
        at = (at + 1) & (self->size - 1);
    return &self->slots[at];
}

static void *checked_calloc (size_t n, size_t size)
{
    void *p = calloc (n, size);

    if (p == NULL)
        abort ();
    return p;
}

idmap_t *idmap_new (void)
{
    idmap_t *self = checked_calloc (1, sizeof *self);

    self->size = IDMAP_START;
    self->slots = checked_calloc (self->size, sizeof (slot_t));
    self->seed = rng_secret_u64 ();
    return self;
}

void idmap_destroy (idmap_t **self_p)
{
    idmap_t *self = *self_p;

    if (self == NULL)
        return;
    free (self->slots);
    free (self);
    *self_p = NULL;
}

void *idmap_get (const idmap_t *self, uint64_t id)
{
    return find (self, id)->item;
}

static void grow (idmap_t *self)
{
    slot_t *old = self->slots;
    size_t n = self->size;

    self->size *= 2;
    self->slots = checked_calloc (self->size, sizeof (slot_t));
    for (size_t i = 0; i < n; i++) {
        if (old[i].item != NULL)
            *find (self, old[i].id) = old[i];
    }
    free (old);
}

void idmap_put (idmap_t *self, uint64_t id, void *item)
{
    assert (item != NULL);
    if ((self->count + 1) * 4 > self->size * 3)
        grow (self);
    slot_t *slot = find (self, id);
    if (slot->item == NULL)
        self->count++;
    slot->id = id;
    slot->item = item;
}

void *idmap_remove (idmap_t *self, uint64_t id)
{
    slot_t *slot = find (self, id);
    void *item = slot->item;

    if (item == NULL)
        return NULL;
    self->count--;
    /* Close the gap: entries behind it that could have stood here move up. */
    size_t gap = (size_t)(slot - self->slots);
    size_t at = gap;
    for (;;) {
        at = (at + 1) & (self->size - 1);
        if (self->slots[at].item == NULL)
            break;
        size_t home = place (self, self->slots[at].id);
        if (((at - home) & (self->size - 1)) >= ((at - gap) & (self->size - 1))) {
            self->slots[gap] = self->slots[at];
            gap = at;
        }
    }
    self->slots[gap].item = NULL;
    return item;
}

size_t idmap_count (const idmap_t *self)
{
    return self->count;
}

void *idmap_next (const idmap_t *self, size_t *pos)
{
    while (*pos < self->size) {
        slot_t *slot = &self->slots[(*pos)++];
        if (slot->item != NULL)
            return slot->item;
    }
    return NULL;
}
