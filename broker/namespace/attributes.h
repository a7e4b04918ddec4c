/* SPDX-License-Identifier: MPL-2.0 */
/* From records to what clients are told. */
#ifndef BROKER_NAMESPACE_ATTRIBUTES_H
#define BROKER_NAMESPACE_ATTRIBUTES_H

#include "broker/namespace/state.h"

/* OUT borrows from REC and from the view's catalog. */
void attributes_fill (const view_t *view, uint64_t id, const Dfs__RecInode *rec,
                      Dfs__Attr *out);
/* As attributes_fill, all from ARENA. */
int attributes_new (const view_t *view, arena_t *arena, uint64_t id,
                    const Dfs__RecInode *rec, Dfs__Attr **out, dfs_error_t *err);
/* namespace_stat, through any view: now or at view->at. */
int attributes_stat (view_t *view, arena_t *scratch, const void *path, size_t len,
                     bool follow, arena_t *arena, Dfs__Attr **attr, dfs_error_t *err);

#endif
