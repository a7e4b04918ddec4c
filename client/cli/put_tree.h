/* SPDX-License-Identifier: MPL-2.0 */
/* put -r: a local tree into the cluster, whole file by file. */
#ifndef CLI_PUT_TREE_H
#define CLI_PUT_TREE_H

#include "put_batch.h"

/* Stores what is at the local SOURCE as DEST through BATCH (flushed at the end). */
void put_tree (put_batch_t *batch, const char *source, const char *dest);
/* Bytes and files of a tree, for the bar. */
void put_tree_measure (const char *source, uint64_t *bytes, uint64_t *files);

#endif
