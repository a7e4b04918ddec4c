/* SPDX-License-Identifier: MPL-2.0 */
/* Contents that extents refer to: chunk records (references per policy) and inline
 * bytes (one record per content). References change only when a page is made or freed.
 */
#ifndef BROKER_NAMESPACE_CHUNK_H
#define BROKER_NAMESPACE_CHUNK_H

#include "broker/namespace/state.h"

/* 1, 0 or negative. */
int chunk_read (view_t *view, arena_t *arena, const copykey_t *key, Dfs__RecChunk **out,
                dfs_error_t *err);
/* DATA is copied to ARENA; REFS may be NULL. */
int inline_read (view_t *view, arena_t *arena, const uint8_t digest[32],
                 const void **data, size_t *len, uint64_t *refs, dfs_error_t *err);
/* What a record says, with the strictest policy. */
void chunk_describe (const view_t *view, const Dfs__RecChunk *rec,
                     chunk_facts_t *facts);

/* One reference more or less for each extent; holes have none. Contents of the entry
 * are added when they are new. */
int contents_take (op_t *op, Dfs__RecExtent *const *extents, size_t n, uint32_t policy,
                   dfs_error_t *err);
int contents_drop (op_t *op, Dfs__RecExtent *const *extents, size_t n, uint32_t policy,
                   dfs_error_t *err);

#endif
