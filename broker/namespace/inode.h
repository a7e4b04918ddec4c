/* SPDX-License-Identifier: MPL-2.0 */
/* Inode records: reading, making, and what happens to the old one. */
#ifndef BROKER_NAMESPACE_INODE_H
#define BROKER_NAMESPACE_INODE_H

#include "broker/namespace/state.h"

/* Current record, or that of view->at. Returns 1, 0 or negative. */
int inode_read (view_t *view, arena_t *arena, uint64_t id, Dfs__RecInode **out,
                dfs_error_t *err);
/* As inode_read; a missing record breaks the view. Returns 0 or negative. */
int inode_must (view_t *view, arena_t *arena, uint64_t id, Dfs__RecInode **out,
                dfs_error_t *err);
/* The record that held when inode ID had content VERSION: current or past. 1, 0 or
 * negative. */
int inode_version (view_t *view, arena_t *arena, uint64_t id, uint64_t version,
                   Dfs__RecInode **out, dfs_error_t *err);

/* Fills a record for a new inode of TYPE from the entry; ID is taken at once. */
void inode_init (op_t *op, Dfs__RecInode *rec, Dfs__FileType type, uint32_t mode,
                 uint32_t policy, uint64_t *id);
int inode_add (op_t *op, uint64_t id, const Dfs__RecInode *rec, dfs_error_t *err);
/* Replaces the current record; the old one goes to the past with what it owns, and the
 * totals follow. */
int inode_replace (op_t *op, uint64_t id, Dfs__RecInode *rec, dfs_error_t *err);
/* Changes times or link count: the record stays what it is. */
int inode_amend (op_t *op, uint64_t id, const Dfs__RecInode *rec, dfs_error_t *err);
/* One name less; the last one moves the record to the past. */
int inode_unlink (op_t *op, uint64_t id, dfs_error_t *err);
/* Names in directory ID changed. */
int inode_touch (op_t *op, uint64_t id, dfs_error_t *err);

#endif
