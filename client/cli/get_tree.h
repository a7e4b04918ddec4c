/* SPDX-License-Identifier: MPL-2.0 */
/* get -r: a tree out of the cluster, whole file by file. */
#ifndef CLI_GET_TREE_H
#define CLI_GET_TREE_H

#include "get_batch.h"

/* Fetches the directory SOURCE to the local DEST, which is made; ST is SOURCE's. */
void get_tree (get_batch_t *batch, const char *source, const dfs_stat_t *st,
               const char *dest);

#endif
