/* SPDX-License-Identifier: MPL-2.0 */
/* Extents as they come in entries and as pages keep them, and what an entry must prove
 * before it may refer to contents. */
#ifndef BROKER_NAMESPACE_EXTENT_H
#define BROKER_NAMESPACE_EXTENT_H

#include "broker/namespace/state.h"

/* Shape (order, no gaps, digests, lengths) of N extents from file offset *END on, which
 * moves behind them; then each content: length as known, inline bytes present or in the
 * entry and within budget, chunks not condemned after PLACED_INDEX (DFS_EMISSING lists
 * them in the result). Changes nothing. */
int extents_check (op_t *op, Dfs__Extent *const *extents, size_t n, uint64_t *end,
                   uint64_t placed_index, dfs_error_t *err);
/* The records for EXTENTS; they borrow its bytes. */
int extents_pack (op_t *op, Dfs__Extent *const *extents, size_t n,
                  Dfs__RecExtent ***out, dfs_error_t *err);
/* Fills OUT from a record at file offset OFFSET; borrows its bytes. */
void extent_unpack (const Dfs__RecExtent *rec, uint64_t offset, Dfs__Extent *out);
Dfs__ExtentKind extent_kind (const Dfs__RecExtent *rec);
uint64_t extent_chunk_length (const Dfs__RecExtent *rec);
/* Those that are no holes. */
uint64_t extents_chunks (Dfs__RecExtent *const *extents, size_t n);

/* Content that came with the entry, or NULL. */
const Dfs__InlineData *inline_of_entry (const op_t *op, const uint8_t digest[32]);

#endif
