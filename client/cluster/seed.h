/* SPDX-License-Identifier: MPL-2.0 */
/* What a new cluster, and a new node, needs on disk: keys, marked data directories,
 * text of cluster.cfg. Main thread. */
#ifndef CLUSTER_SEED_H
#define CLUSTER_SEED_H

#include <stdbool.h>
#include <stdio.h>

#include "msgs/cluster.h"

/* Text of one node below `brokers` or `workers`; NULL leaves a key out. */
void seed_node_text (FILE *file, const char *name, const char *host, unsigned port,
                     const char *data, const char *location);
/* Keys of NODE in the cluster's directory; existing ones are an error (DFS_EEXIST). */
int seed_keys (const cluster_t *cluster, const char *role, const char *name,
               dfs_error_t *err);
/* Makes and marks every data directory of NODE that never had a mark: one that had and
 * has none now is an unmounted disk, an error, unless AGAIN says that its content is
 * lost; then it has to be empty, and becomes a new disk. */
int seed_marks (const cluster_t *cluster, const char *role, const cluster_node_t *node,
                bool again, dfs_error_t *err);
/* Loads TEXT as if it were PATH, without leaving anything. Errors name no file: the
 * text is ours, so a bad value came from an option. Returns owned. */
cluster_t *seed_try (const char *path, const char *text, dfs_error_t *err);
/* Writes TEXT to PATH in one step; unless REPLACE, DFS_EEXIST when it is there. */
int seed_commit (const char *path, const char *text, bool replace, dfs_error_t *err);

#endif
