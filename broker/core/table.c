/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/table.h"

#include <stdlib.h>

#include "broker/core/memory.h"

typedef struct slot {
    uint64_t hash;
    void *entry; /* NULL: free */
} slot_t;

struct table {
    table_match_f *match;
    slot_t *slots;
    size_t mask; /* slots - 1; slots are a power of two */
    size_t count;
};

table_t *table_new (table_match_f *match)
{
    table_t *self = core_zalloc (sizeof *self);

    self->match = match;
    self->mask = 15;
    self->slots = core_zalloc ((self->mask + 1) * sizeof *self->slots);
    return self;
}

void table_destroy (table_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->slots);
    free (*self_p);
    *self_p = NULL;
}

size_t table_count (const table_t *self)
{
    return self->count;
}

uint64_t table_hash (uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9ULL;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebULL;
    return number ^ (number >> 31);
}

/* Slot of KEY, or SIZE_MAX. */
static size_t find (const table_t *self, uint64_t hash, const void *key)
{
    for (size_t i = hash & self->mask; self->slots[i].entry; i = (i + 1) & self->mask)
        if (self->slots[i].hash == hash && self->match (self->slots[i].entry, key))
            return i;
    return SIZE_MAX;
}

void *table_get (const table_t *self, uint64_t hash, const void *key)
{
    size_t i = find (self, hash, key);

    return i == SIZE_MAX ? NULL : self->slots[i].entry;
}

static void put (table_t *self, uint64_t hash, void *entry)
{
    size_t i = hash & self->mask;

    while (self->slots[i].entry)
        i = (i + 1) & self->mask;
    self->slots[i].hash = hash;
    self->slots[i].entry = entry;
}

static void resize (table_t *self, size_t size)
{
    slot_t *old = self->slots;
    size_t n = self->mask + 1;

    self->slots = core_zalloc (size * sizeof *self->slots);
    self->mask = size - 1;
    for (size_t i = 0; i < n; i++)
        if (old[i].entry)
            put (self, old[i].hash, old[i].entry);
    free (old);
}

void table_put (table_t *self, uint64_t hash, void *entry)
{
    if ((self->count + 1) * 4 > (self->mask + 1) * 3)
        resize (self, (self->mask + 1) * 2);
    put (self, hash, entry);
    self->count++;
}

void *table_remove (table_t *self, uint64_t hash, const void *key)
{
    size_t hole = find (self, hash, key);
    void *entry;

    if (hole == SIZE_MAX)
        return NULL;
    entry = self->slots[hole].entry;
    /* An entry behind the hole moves into it unless its home lies behind the hole. */
    for (size_t i = (hole + 1) & self->mask; self->slots[i].entry;
         i = (i + 1) & self->mask) {
        size_t home = self->slots[i].hash & self->mask;

        if (((i - home) & self->mask) >= ((i - hole) & self->mask)) {
            self->slots[hole] = self->slots[i];
            hole = i;
        }
    }
    self->slots[hole].entry = NULL;
    self->count--;
    if (self->mask > 1023 && self->count * 8 < self->mask + 1)
        resize (self, (self->mask + 1) / 2);
    return entry;
}

void *table_next (const table_t *self, size_t *cursor)
{
    while (*cursor <= self->mask) {
        void *entry = self->slots[(*cursor)++].entry;

        if (entry)
            return entry;
    }
    return NULL;
}
