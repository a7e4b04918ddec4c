/* SPDX-License-Identifier: MPL-2.0 */
/* What dfs-worker does to data directories that no worker has open. */
#ifndef WORKER_OFFLINE_H
#define WORKER_OFFLINE_H

#include "msgs/cluster.h"

/* Prints what each data directory of NODE holds. */
int offline_dump (const cluster_node_t *node, dfs_error_t *err);
/* Makes the index of each anew from its volumes. */
int offline_rebuild_index (const cluster_node_t *node, dfs_error_t *err);
/* Lists the dropped copies that are still there. */
int offline_quarantine (const cluster_node_t *node, dfs_error_t *err);
/* Takes a dropped copy back, or "all" of them. */
int offline_restore (const cluster_node_t *node, const char *chunk, dfs_error_t *err);
/* Marks DIR, one of NODE's data directories, for it; what DIR holds under another mark
 * is removed only with FORCE. */
int offline_format (const cluster_t *cluster, const cluster_node_t *node,
                    const char *dir, bool force, dfs_error_t *err);

#endif
