/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of cluster.c: paths, and the rules that need more than one key. */
#ifndef MSGS_CLUSTER_READ_H
#define MSGS_CLUSTER_READ_H

#include "cluster.h"
#include "common/zpl.h"

/* Absolute directory that holds PATH. Returns owned. */
char *cluster_directory (const char *path, dfs_error_t *err);
/* PATH from DIR, repeated and trailing slashes removed. Returns owned. */
char *cluster_absolute (const char *dir, const char *path);
/* Names, ports, directories, replicas. DFS_ECONFIG with the line. */
int cluster_check (const zpl_t *zpl, const cluster_t *self, dfs_error_t *err);

#endif
