/* SPDX-License-Identifier: MPL-2.0 */
/* An open-addressing hash table of pointers (linear probing, deletion by shifting back,
 * at most 3/4 full). It borrows what it holds. One thread. */
#ifndef BROKER_CORE_TABLE_H
#define BROKER_CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct table table_t;

/* True when ENTRY has KEY; called only where the hashes are equal. */
typedef bool (table_match_f) (const void *entry, const void *key);

table_t *table_new (table_match_f *match);
void table_destroy (table_t **self_p);
size_t table_count (const table_t *self);
/* Returns borrowed, or NULL. */
void *table_get (const table_t *self, uint64_t hash, const void *key);
/* KEY must not be there yet. */
void table_put (table_t *self, uint64_t hash, void *entry);
/* Returns what was there, or NULL. */
void *table_remove (table_t *self, uint64_t hash, const void *key);
/* Walks in no order: *CURSOR 0 at first; NULL at the end. The table may not change
 * meanwhile. */
void *table_next (const table_t *self, size_t *cursor);

/* A good hash of a number (splitmix64's finisher). */
uint64_t table_hash (uint64_t number);

#endif
