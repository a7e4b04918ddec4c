/* SPDX-License-Identifier: MPL-2.0 */
/* Operands that name files, and where a copy goes: the rules of cp. Plain functions;
 * what they return is owned. */
#ifndef CLI_PATHS_H
#define CLI_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/dfs.h"

/* Path in the cluster from an operand: one that does not begin with '/' starts at the
 * root, repeated and trailing slashes go. Ends the program with a message when it is no
 * path (exit 2). */
char *path_remote (const char *operand);
/* The operand says that it means a directory: it ends in '/'. */
bool path_means_directory (const char *operand);
/* DIR + "/" + NAME; NAME "" gives DIR. */
char *path_join (const char *dir, const char *name);
/* Last component, "" for the root. Borrowed, part of PATH. */
const char *path_last (const char *path);
/* Last component of a local operand: "" for "/", "." and "..", whose content is meant.
 */
char *path_local_name (const char *operand);

/* Makes the symlink PATH to TARGET with the time MTIME_NS (UINT64_MAX: now), in place
 * of what is there unless that is a directory; when it fails, that stays. */
int path_symlink (const char *target, const char *path, uint64_t mtime_ns,
                  dfs_error_t *err);

/* Where things go that are copied to OPERAND: its path, and whether it is a directory
 * that takes each under its name. MANY: there are several of them. */
typedef struct target {
    char *path;
    bool exists; /* as anything */
    bool into;
} target_t;
int target_remote (dfs_t *dfs, const char *operand, bool many, target_t *target,
                   dfs_error_t *err);
int target_local (const char *operand, bool many, target_t *target, dfs_error_t *err);
/* The path for a thing called NAME. */
char *target_for (const target_t *target, const char *name);
void target_clear (target_t *target);

#endif
