/* SPDX-License-Identifier: MPL-2.0 */
/* ZPL text (ZeroMQ RFC 4) as a tree in which every node knows its line. zconfig reads
 * the values; a pass of our own before it refuses what zconfig would take silently:
 * duplicate names, tabs and odd indentation, an unquoted value cut at a '#', what
 * stands behind a closing quote. Threads: the tree is read-only. */
#ifndef COMMON_ZPL_H
#define COMMON_ZPL_H

#include <stddef.h>

#include "error.h"

#define ZPL_FILE_MAX (4 * 1024 * 1024)

typedef struct zpl zpl_t;

typedef struct zpl_node {
    const char *name;
    const char *value; /* "" when there is none */
    int line;
    struct zpl_node *child; /* first one, in the order of the file */
    struct zpl_node *next;
} zpl_node_t;

/* Reads PATH. Errors are DFS_ECONFIG and read "PATH:LINE: …"; a file that cannot be
 * read has the code of the system error. Returns owned. */
zpl_t *zpl_load (const char *path, dfs_error_t *err);
/* As zpl_load, from TEXT (NUL-terminated); PATH is only named in errors. */
zpl_t *zpl_parse (const char *text, const char *path, dfs_error_t *err);
void zpl_destroy (zpl_t **self_p);

/* The root, whose children are the top-level sections. Returned borrowed. */
const zpl_node_t *zpl_root (const zpl_t *self);
const zpl_node_t *zpl_child (const zpl_node_t *node, const char *name);
const char *zpl_path (const zpl_t *self);

/* Sets ERR to "PATH:LINE: formatted text" (LINE 0: "PATH: …"); returns DFS_ECONFIG. */
int zpl_fail (const zpl_t *self, int line, dfs_error_t *err, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));

#endif
