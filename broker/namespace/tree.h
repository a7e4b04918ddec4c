/* SPDX-License-Identifier: MPL-2.0 */
/* sha256_tree of a file: groups of 512 extents are hashed, and the group hashes
 * chained, so that appending needs only the last group and staged pages are not read
 * again. It depends on the extents alone, not on how pages hold them. */
#ifndef BROKER_NAMESPACE_TREE_H
#define BROKER_NAMESPACE_TREE_H

#include "broker/namespace/state.h"

#define TREE_GROUP PAGE_EXTENTS

typedef struct tree {
    digest_t *digest; /* borrowed: the group at hand */
    uint8_t chain[32];
    uint64_t groups;
    unsigned n; /* extents in the group at hand */
} tree_t;

/* Begins behind the full groups of a file whose chain is CHAIN (empty: none). */
void tree_start (tree_t *self, digest_t *digest, const ProtobufCBinaryData *chain,
                 uint64_t groups);
void tree_add (tree_t *self, Dfs__RecExtent *const *extents, size_t n);
/* A full group whose hash is known; only between groups. */
void tree_add_group (tree_t *self, const uint8_t hash[32]);
/* Fills chain and tree of REC, from ARENA. */
int tree_finish (tree_t *self, arena_t *arena, Dfs__RecInode *rec, dfs_error_t *err);
/* Hash of a group on its own. */
void tree_group (digest_t *digest, Dfs__RecExtent *const *extents, size_t n,
                 uint8_t hash[32]);

#endif
