/* SPDX-License-Identifier: MPL-2.0 */
/* admin rebalance and admin reclaim: each returns the exit status. */
#ifndef CLI_ADMIN_RECLAIM_H
#define CLI_ADMIN_RECLAIM_H

#include "verbs.h"

int admin_rebalance (dfs_t *dfs);
int admin_reclaim_status (dfs_t *dfs);
int admin_reclaim_resume (dfs_t *dfs);
int admin_reclaim_undo (dfs_t *dfs);
/* WHAT: a path, or the id of a chunk. */
int admin_reclaim_explain (dfs_t *dfs, const char *what);

#endif
