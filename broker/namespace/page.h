/* SPDX-License-Identifier: MPL-2.0 */
/* Extent pages: immutable trees of extents that files, their past, clones and uploads
 * share. A page has its own reference count; making one takes references on the
 * contents it names, freeing it gives them back. */
#ifndef BROKER_NAMESPACE_PAGE_H
#define BROKER_NAMESPACE_PAGE_H

#include "broker/namespace/state.h"

typedef struct branch {
    uint64_t page;   /* 0: none */
    uint64_t length; /* bytes */
    uint64_t count;  /* extents */
} branch_t;

int page_read (view_t *view, arena_t *arena, uint64_t id, Dfs__RecPage **out,
               dfs_error_t *err);
/* References of a page that exists. */
int page_refs (view_t *view, uint64_t id, uint64_t *refs, dfs_error_t *err);

/* A leaf of at most PAGE_EXTENTS; the caller owns its reference. */
int page_leaf (op_t *op, uint32_t policy, Dfs__RecExtent *const *extents, size_t n,
               branch_t *out, dfs_error_t *err);
/* As many leaves as it takes, into OUT. */
int page_leaves (op_t *op, uint32_t policy, Dfs__RecExtent *const *extents, size_t n,
                 branch_t *out, size_t *n_out, dfs_error_t *err);
/* One tree over LEAVES, whose references it takes over; no leaves give no page. */
int page_build (op_t *op, branch_t *leaves, size_t n, branch_t *root, dfs_error_t *err);
/* A tree with EXTENTS behind those of ROOT (which keeps its references). */
int page_append (op_t *op, uint32_t policy, uint64_t root,
                 Dfs__RecExtent *const *extents, size_t n, branch_t *out,
                 dfs_error_t *err);

/* The leaves below ROOT, behind *N others in OUT; DFS_ETOOBIG past MAX. */
int page_leaf_branches (view_t *view, arena_t *arena, uint64_t root, branch_t *out,
                        size_t max, size_t *n, dfs_error_t *err);

int page_share (op_t *op, uint64_t id, dfs_error_t *err);
/* One reference less; without any the page is freed now, or left to the reaper when
 * that would write more records than op->limit. ID 0 is fine. */
int page_release (op_t *op, uint64_t id, dfs_error_t *err);
/* Takes pages apart that wait in the reap table, until the limit. */
int page_reap (op_t *op, dfs_error_t *err);

enum page_by { PAGE_BY_OFFSET, PAGE_BY_NUMBER };
/* Extents below ROOT from the one that holds byte FROM, or number FROM, on; at most
 * MAX. *OFFSET is the file offset of the first. */
int page_extents (view_t *view, arena_t *arena, uint64_t root, enum page_by by,
                  uint64_t from, size_t max, Dfs__RecExtent ***out, size_t *n,
                  uint64_t *offset, dfs_error_t *err);

#endif
