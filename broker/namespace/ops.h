/* SPDX-License-Identifier: MPL-2.0 */
/* Operations on names and files. Each returns 0, or a negative code: a refusal that has
 * changed nothing, or a broken view. What it decided is in op->result. */
#ifndef BROKER_NAMESPACE_OPS_H
#define BROKER_NAMESPACE_OPS_H

#include "broker/namespace/dentry.h"
#include "broker/namespace/inode.h"
#include "broker/namespace/state.h"

int op_commit (op_t *op, const Dfs__OpCommit *commit, dfs_error_t *err);
int op_clone (op_t *op, const Dfs__OpClone *clone, dfs_error_t *err);
int op_setattr (op_t *op, const Dfs__OpSetattr *setattr, dfs_error_t *err);
int op_mkdir (op_t *op, const Dfs__OpMkdir *mkdir, dfs_error_t *err);
int op_rmdir (op_t *op, const Dfs__OpRmdir *rmdir, dfs_error_t *err);
int op_unlink (op_t *op, const Dfs__OpUnlink *unlink, dfs_error_t *err);
int op_rename (op_t *op, const Dfs__OpRename *rename, dfs_error_t *err);
int op_symlink (op_t *op, const Dfs__OpSymlink *symlink, dfs_error_t *err);
int op_link (op_t *op, const Dfs__OpLink *link, dfs_error_t *err);
int op_prune (op_t *op, const Dfs__OpPrune *prune, dfs_error_t *err);

/* Makes the missing directories of AT (walked with WALK_PARENTS); AT is then the name
 * in the last of them. Nothing to do when none is missing. */
int make_parents (op_t *op, place_t *at, dfs_error_t *err);
/* Policy of what is made at AT. */
int inherited_policy (op_t *op, place_t *at, uint32_t *policy, dfs_error_t *err);
/* Puts inode ID under the name AT, which is new, or replaces what is there (a name less
 * for that inode); the directory's times follow. */
int place_inode (op_t *op, const place_t *at, uint64_t id, Dfs__FileType type,
                 dfs_error_t *err);
/* Version, inode and size of REC into the result. */
void answer (op_t *op, uint64_t id, const Dfs__RecInode *rec);
/* DFS_ECONFLICT unless REC has the version asked for. */
int check_version (const Dfs__RecInode *rec, bool asked, uint64_t version,
                   dfs_error_t *err);
/* The extents of REC counted under POLICY: a tree of its own in *ROOT. Refused before
 * anything is changed when there are too many. */
int remake_pages (op_t *op, const Dfs__RecInode *rec, uint32_t policy, uint64_t *root,
                  dfs_error_t *err);

#endif
