/* SPDX-License-Identifier: MPL-2.0 */
/* What the index holds for a copy key, its packed form, and a hash table of entries:
 * the part of the index that is newer than its last checkpoint. The caller locks. */
#ifndef WORKER_STORE_ENTRY_H
#define WORKER_STORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msgs/copykey.h"

enum entry_state {
    ENTRY_NONE = 0, /* in a table only: hides what lies below */
    ENTRY_LIVE = 1,
    ENTRY_DROPPED = 2, /* in quarantine */
    ENTRY_DAMAGED = 3, /* in quarantine, never served */
    ENTRY_GHOST = 4,   /* during recovery: a change whose copy was not met yet */
};

typedef struct entry {
    uint8_t state; /* enum entry_state */
    uint8_t encoding;
    uint16_t flags;
    uint32_t volume; /* of the record (packed) or of the extent */
    uint64_t offset;
    uint32_t seal_volume; /* 0: packed */
    uint64_t seal_offset;
    uint32_t head_len; /* of the record at OFFSET or SEAL_OFFSET */
    uint32_t stored_len;
    uint32_t true_len;
    uint32_t crc; /* of the only block of a packed chunk */
    uint64_t birth;
    uint64_t seq;      /* of its stored change */
    uint64_t last_seq; /* of the newest change that touched it */
    uint64_t dropped;  /* wall clock ns when it went into quarantine */
    uint64_t verified; /* wall clock ns of the last whole check */
} entry_t;

/* Bytes it takes at VOLUME/OFFSET. */
uint64_t entry_bytes (const entry_t *entry);

#define ENTRY_PACKED 92
/* The value ends in a CRC32C over KEY and value: a flipped bit in the index is found.
 */
void entry_pack (const entry_t *entry, const uint8_t key[COPYKEY_LEN],
                 uint8_t out[ENTRY_PACKED]);
/* 0 or DFS_EDAMAGED. */
int entry_unpack (const void *data, size_t len, const uint8_t key[COPYKEY_LEN],
                  entry_t *entry);

typedef struct table table_t;

table_t *table_new (void);
void table_destroy (table_t **self_p);
size_t table_size (const table_t *self);
void table_clear (table_t *self);
/* Returns borrowed, valid until the next put; NULL when absent. */
entry_t *table_get (const table_t *self, const copykey_t *key);
/* Adds or replaces. */
void table_put (table_t *self, const copykey_t *key, const entry_t *entry);
void table_del (table_t *self, const copykey_t *key);
/* Walk: *POS starts at 0; false at the end. */
bool table_next (const table_t *self, size_t *pos, copykey_t *key, entry_t **entry);

#endif
