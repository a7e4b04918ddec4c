/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/table.h"

#include <stdlib.h>

#include "broker/core/memory.h"

typedef struct slot {
    uint64_t hash;
    void *entry; /* NULL: free */
} slot_t;

typedef struct slots {
    slot_t *slots; /* NULL: none */
    size_t mask;   /* their number - 1, a power of two - 1 */
    size_t count;
} slots_t;

/* While the table grows or shrinks, what is in the old slots moves to the new ones a
 * few at a time: no call looks at all of them. */
struct table {
    table_match_f *match;
    slots_t now;
    slots_t old;
    size_t left; /* slots of OLD that were not looked at */
};

#define MOVE_SLOTS 32 /* at once: enough to be done before the next change of size */

static void make (slots_t *self, size_t size)
{
    self->slots = core_zalloc (size * sizeof *self->slots);
    self->mask = size - 1;
    self->count = 0;
}

table_t *table_new (table_match_f *match)
{
    table_t *self = core_zalloc (sizeof *self);

    self->match = match;
    make (&self->now, 16);
    return self;
}

void table_destroy (table_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->now.slots);
    free ((*self_p)->old.slots);
    free (*self_p);
    *self_p = NULL;
}

size_t table_count (const table_t *self)
{
    return self->now.count + self->old.count;
}

uint64_t table_hash (uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9ULL;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebULL;
    return number ^ (number >> 31);
}

/* Slot of KEY, or SIZE_MAX. */
static size_t find (const slots_t *in, table_match_f *match, uint64_t hash,
                    const void *key)
{
    if (!in->slots)
        return SIZE_MAX;
    for (size_t i = hash & in->mask; in->slots[i].entry; i = (i + 1) & in->mask)
        if (in->slots[i].hash == hash && match (in->slots[i].entry, key))
            return i;
    return SIZE_MAX;
}

void *table_get (const table_t *self, uint64_t hash, const void *key)
{
    size_t i = find (&self->now, self->match, hash, key);

    if (i != SIZE_MAX)
        return self->now.slots[i].entry;
    i = find (&self->old, self->match, hash, key);
    return i == SIZE_MAX ? NULL : self->old.slots[i].entry;
}

static void put (slots_t *to, uint64_t hash, void *entry)
{
    size_t i = hash & to->mask;

    while (to->slots[i].entry)
        i = (i + 1) & to->mask;
    to->slots[i].hash = hash;
    to->slots[i].entry = entry;
    to->count++;
}

static void clear (slots_t *from, size_t hole)
{
    /* An entry behind the hole moves into it unless its home lies behind the hole. */
    for (size_t i = (hole + 1) & from->mask; from->slots[i].entry;
         i = (i + 1) & from->mask) {
        size_t home = from->slots[i].hash & from->mask;

        if (((i - home) & from->mask) >= ((i - hole) & from->mask)) {
            from->slots[hole] = from->slots[i];
            hole = i;
        }
    }
    from->slots[hole].entry = NULL;
    from->count--;
}

/* Moves what is in the last N slots of the old ones. From the end on: what was pushed
 * over it to the start comes first, so that all others are still found. */
static void move_some (table_t *self, size_t n)
{
    slots_t *old = &self->old;

    if (!old->slots)
        return;
    for (; n > 0 && self->left > 0; n--, self->left--) {
        size_t i = self->left - 1;

        while (old->slots[i].entry) {
            slot_t slot = old->slots[i];

            clear (old, i);
            put (&self->now, slot.hash, slot.entry);
        }
    }
    if (self->left > 0)
        return;
    free (old->slots);
    *old = (slots_t){0};
}

static void resize (table_t *self, size_t size)
{
    move_some (self, SIZE_MAX);
    self->old = self->now;
    self->left = self->old.mask + 1;
    make (&self->now, size);
}

void table_put (table_t *self, uint64_t hash, void *entry)
{
    size_t size = self->now.mask + 1;

    move_some (self, MOVE_SLOTS);
    if ((table_count (self) + 1) * 4 > size * 3)
        resize (self, size * 2);
    put (&self->now, hash, entry);
}

void *table_remove (table_t *self, uint64_t hash, const void *key)
{
    slots_t *from = &self->now;
    size_t hole = find (from, self->match, hash, key), size;
    void *entry;

    if (hole == SIZE_MAX) {
        from = &self->old;
        hole = find (from, self->match, hash, key);
    }
    if (hole == SIZE_MAX)
        return NULL;
    entry = from->slots[hole].entry;
    clear (from, hole);
    move_some (self, MOVE_SLOTS);
    size = self->now.mask + 1;
    if (size > 1024 && table_count (self) * 8 < size)
        resize (self, size / 2);
    return entry;
}

void *table_next (const table_t *self, size_t *cursor)
{
    size_t first = self->now.mask + 1;
    size_t all = first + (self->old.slots ? self->old.mask + 1 : 0);

    while (*cursor < all) {
        size_t i = (*cursor)++;
        void *entry =
            i < first ? self->now.slots[i].entry : self->old.slots[i - first].entry;

        if (entry)
            return entry;
    }
    return NULL;
}
