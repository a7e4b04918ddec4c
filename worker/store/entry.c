/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/error.h"
#include "worker/store/entry.h"
#include "worker/store/le.h"
#include "worker/store/record.h"

uint64_t entry_bytes (const entry_t *entry)
{
    return entry->seal_volume ? extent_length (entry->stored_len)
                              : (uint64_t)entry->head_len + entry->stored_len;
}

static uint32_t value_crc (const uint8_t *key, const uint8_t *value)
{
    uint32_t crc = digest_crc32c (0, key, COPYKEY_LEN);
    return digest_crc32c (crc, value, ENTRY_PACKED - 4);
}

void entry_pack (const entry_t *entry, const uint8_t key[COPYKEY_LEN],
                 uint8_t out[ENTRY_PACKED])
{
    out[0] = entry->state;
    out[1] = entry->encoding;
    le_put16 (out + 2, entry->flags);
    le_put32 (out + 4, entry->volume);
    le_put64 (out + 8, entry->offset);
    le_put64 (out + 16, entry->seal_offset);
    le_put32 (out + 24, entry->seal_volume);
    le_put32 (out + 28, entry->head_len);
    le_put32 (out + 32, entry->stored_len);
    le_put32 (out + 36, entry->true_len);
    le_put32 (out + 40, entry->crc);
    le_put64 (out + 44, entry->birth);
    le_put64 (out + 52, entry->seq);
    le_put64 (out + 60, entry->last_seq);
    le_put64 (out + 68, entry->dropped);
    le_put64 (out + 76, entry->verified);
    le_put32 (out + 84, 0);
    le_put32 (out + 88, value_crc (key, out));
}

int entry_unpack (const void *data, size_t len, const uint8_t key[COPYKEY_LEN],
                  entry_t *entry)
{
    const uint8_t *p = data;
    if (len != ENTRY_PACKED || le_get32 (p + 88) != value_crc (key, p))
        return DFS_EDAMAGED;
    *entry = (entry_t){
        .state = p[0],
        .encoding = p[1],
        .flags = le_get16 (p + 2),
        .volume = le_get32 (p + 4),
        .offset = le_get64 (p + 8),
        .seal_offset = le_get64 (p + 16),
        .seal_volume = le_get32 (p + 24),
        .head_len = le_get32 (p + 28),
        .stored_len = le_get32 (p + 32),
        .true_len = le_get32 (p + 36),
        .crc = le_get32 (p + 40),
        .birth = le_get64 (p + 44),
        .seq = le_get64 (p + 52),
        .last_seq = le_get64 (p + 60),
        .dropped = le_get64 (p + 68),
        .verified = le_get64 (p + 76),
    };
    if (entry->state < ENTRY_LIVE || entry->state > ENTRY_GHOST ||
        entry->stored_len > CHUNK_MAX || entry->head_len > RECORD_HEAD_MAX)
        return DFS_EDAMAGED;
    return 0;
}

typedef struct slot {
    bool used;
    copykey_t key;
    entry_t entry;
} slot_t;

struct table {
    size_t size; /* used slots */
    size_t cap;  /* a power of two */
    slot_t *slots;
};

#define TABLE_MIN 64

table_t *table_new (void)
{
    table_t *self = calloc (1, sizeof *self);
    assert (self);
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

size_t table_size (const table_t *self)
{
    return self->size;
}

void table_clear (table_t *self)
{
    free (self->slots);
    *self = (table_t){0};
}

static slot_t *probe (const table_t *self, const copykey_t *key)
{
    size_t mask = self->cap - 1;
    size_t i = (size_t)copykey_hash (key) & mask;
    while (self->slots[i].used && copykey_cmp (&self->slots[i].key, key) != 0)
        i = (i + 1) & mask;
    return &self->slots[i];
}

entry_t *table_get (const table_t *self, const copykey_t *key)
{
    if (self->size == 0)
        return NULL;
    slot_t *slot = probe (self, key);
    return slot->used ? &slot->entry : NULL;
}

static void grow (table_t *self)
{
    slot_t *old = self->slots;
    size_t old_cap = self->cap;
    self->cap = old_cap ? 2 * old_cap : TABLE_MIN;
    self->slots = calloc (self->cap, sizeof *self->slots);
    assert (self->slots);
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].used)
            *probe (self, &old[i].key) = old[i];
    free (old);
}

void table_put (table_t *self, const copykey_t *key, const entry_t *entry)
{
    if (4 * (self->size + 1) > 3 * self->cap)
        grow (self);
    slot_t *slot = probe (self, key);
    if (!slot->used) {
        slot->used = true;
        slot->key = *key;
        self->size++;
    }
    slot->entry = *entry;
}

void table_del (table_t *self, const copykey_t *key)
{
    if (!table_get (self, key))
        return;
    size_t mask = self->cap - 1;
    size_t hole = (size_t)(probe (self, key) - self->slots);
    /* Entries behind the hole that may not stay behind it move into it. */
    for (size_t i = (hole + 1) & mask; self->slots[i].used; i = (i + 1) & mask) {
        size_t home = (size_t)copykey_hash (&self->slots[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            self->slots[hole] = self->slots[i];
            hole = i;
        }
    }
    self->slots[hole].used = false;
    self->size--;
}

bool table_next (const table_t *self, size_t *pos, copykey_t *key, entry_t **entry)
{
    for (; *pos < self->cap; ++*pos)
        if (self->slots[*pos].used) {
            *key = self->slots[*pos].key;
            *entry = &self->slots[*pos].entry;
            ++*pos;
            return true;
        }
    return false;
}
