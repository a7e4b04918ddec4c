/* SPDX-License-Identifier: MPL-2.0 */
/* The highest epoch (cluster incarnation, Raft term) that this worker has seen, kept in
 * its data directories, so that an order of a leader deposed before a restart is
 * refused after it. Threads: any. */
#ifndef WORKER_LINKS_EPOCH_H
#define WORKER_LINKS_EPOCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

typedef struct epoch epoch_t;

/* Reads the file `epoch` of each of DIRS (copied) and takes the highest. DFS_EDAMAGED
 * when one is there and cannot be read as an epoch. */
epoch_t *epoch_open (const char *const *dirs, size_t n, dfs_error_t *err);
void epoch_close (epoch_t **self_p);

/* An order or a broker speaks with this epoch. Returns 0; a higher one than ever seen
 * is first made durable (it waits for the disk: this happens once per election).
 * DFS_ESTALE for a lower one, the disk's code when a higher one could not be kept. */
int epoch_see (epoch_t *self, uint32_t incarnation, uint64_t term, dfs_error_t *err);
/* The highest so far; 0, 0 when none. */
void epoch_get (epoch_t *self, uint32_t *incarnation, uint64_t *term);

#endif
