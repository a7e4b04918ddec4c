/* SPDX-License-Identifier: MPL-2.0 */
/* Readers on other threads: read transactions of their own, kept for the pages of one
 * listing so that it shows one moment. */
#ifndef BROKER_NAMESPACE_READERS_H
#define BROKER_NAMESPACE_READERS_H

#include "broker/namespace/state.h"

/* Meta "state" through any view. 1, 0 or negative. */
int state_read (view_t *view, arena_t *arena, Dfs__RecState **out, dfs_error_t *err);
/* Ends snapshots that nobody has used for a while: they keep LMDB from reusing pages.
 * Called by the owner of NS. */
void readers_tidy (namespace_t *ns, uint64_t now);

typedef struct snapshot {
    view_t view;
    uint64_t index;
} snapshot_t;

/* The snapshot at INDEX (0: of now); DFS_ESTALE when it is not kept any more. */
int reader_take (namespace_reader_t *self, uint64_t index, snapshot_t *out,
                 dfs_error_t *err);
/* Gives it back: kept for a next page, or ended. */
void reader_give (namespace_reader_t *self, snapshot_t *snapshot, bool keep);
/* Files are looked through for this chunk. */
bool reader_is_lost (const namespace_reader_t *self, const copykey_t *key);
/* Scratch of the reader's thread. */
arena_t *reader_scratch (namespace_reader_t *self);

#endif
