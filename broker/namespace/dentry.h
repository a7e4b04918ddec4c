/* SPDX-License-Identifier: MPL-2.0 */
/* Names in directories, and the walk from a path to a name. */
#ifndef BROKER_NAMESPACE_DENTRY_H
#define BROKER_NAMESPACE_DENTRY_H

#include "broker/namespace/state.h"

typedef struct place {
    uint64_t parent; /* directory of the name; 0 where there is no name ("/") */
    const char *name;
    size_t name_len; /* 0: the root */
    uint64_t inode;  /* 0: there is no such name */
    Dfs__FileType type;
    const char *rest; /* WALK_PARENTS: components behind a missing directory */
    size_t rest_len;
    Dfs__RecInode *dir; /* record of PARENT where it was read already, else NULL */
} place_t;

enum walk_flags {
    WALK_FOLLOW = 1,  /* a symlink at the end as well */
    WALK_PARENTS = 2, /* a missing directory on the way ends the walk without error */
};

/* Finds PATH (as a client sent it). A missing last name is no error: inode is 0.
 * Symlinks on the way are followed. */
int walk (view_t *view, arena_t *arena, const void *path, size_t len, unsigned flags,
          place_t *out, dfs_error_t *err);
/* As walk, and DFS_ENOENT when the name is not there. */
int walk_existing (view_t *view, arena_t *arena, const void *path, size_t len,
                   unsigned flags, place_t *out, dfs_error_t *err);

/* 1 and *OUT, 0, negative; honours view->at. */
int dentry_read (view_t *view, arena_t *arena, uint64_t parent, const void *name,
                 size_t len, Dfs__RecDentry **out, dfs_error_t *err);
/* DIR has no names: 1 or 0. */
int dentry_none (view_t *view, uint64_t dir, dfs_error_t *err);

int dentry_add (op_t *op, uint64_t parent, const void *name, size_t len, uint64_t inode,
                Dfs__FileType type, dfs_error_t *err);
/* The record goes to the past. */
int dentry_remove (op_t *op, uint64_t parent, const void *name, size_t len,
                   dfs_error_t *err);
/* Moves the record to the past and puts another inode in its place. */
int dentry_replace (op_t *op, uint64_t parent, const void *name, size_t len,
                    uint64_t inode, Dfs__FileType type, dfs_error_t *err);

/* A refusal with the code's own text. */
int refuse (dfs_error_t *err, int code);

#endif
