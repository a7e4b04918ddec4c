/* SPDX-License-Identifier: MPL-2.0 */
/* Hash table from a 64-bit number to a pointer (borrowed), open addressing, for ids
 * that a peer cannot choose so as to collide (the hash is keyed). One thread. */
#ifndef BROKER_LINKS_IDMAP_H
#define BROKER_LINKS_IDMAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct idmap idmap_t;

idmap_t *idmap_new (void);
void idmap_destroy (idmap_t **self_p);
/* NULL when ID is not there. */
void *idmap_get (const idmap_t *self, uint64_t id);
/* ITEM is not NULL; replaces. */
void idmap_put (idmap_t *self, uint64_t id, void *item);
/* Returns what was there, or NULL. */
void *idmap_remove (idmap_t *self, uint64_t id);
size_t idmap_count (const idmap_t *self);
/* Walks all items in no order: *POS starts at 0; NULL at the end. Removing the item
 * that was just returned is not allowed during a walk. */
void *idmap_next (const idmap_t *self, size_t *pos);

#endif
