/* SPDX-License-Identifier: MPL-2.0 */
/* Mark of a data directory (file `dfs-mark`): which cluster, node and disk it belongs
 * to and the format version. `init` writes it; `start` refuses a directory without it,
 * so an unmounted disk is never taken for an empty one. */
#ifndef MSGS_MARK_H
#define MSGS_MARK_H

#include <stdint.h>

#include "common/error.h"

#define MARK_FORMAT 1

typedef struct mark {
    uint8_t cluster_id[16];
    uint8_t disk_id[16];
    char role[16]; /* broker or worker */
    char node[64];
    uint32_t format;
} mark_t;

/* Makes DIR (and parents) and the mark; DFS_EEXIST when it has one already. */
int mark_create (const char *dir, const mark_t *mark, dfs_error_t *err);
/* DFS_ENOTMARKED names DIR when there is none, DFS_EVERSION for another format. */
int mark_read (const char *dir, mark_t *mark, dfs_error_t *err);
/* mark_read, and DFS_ECLUSTER when cluster, role or node are not these. */
int mark_expect (const char *dir, const uint8_t cluster_id[16], const char *role,
                 const char *node, mark_t *mark, dfs_error_t *err);

#endif
