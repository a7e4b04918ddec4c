/* SPDX-License-Identifier: MPL-2.0 */
/* Files on their way out of the cluster, gathered so that many are in flight at once.
 * What fails is said on stderr and remembered in STATUS; the others go on. Main thread.
 */
#ifndef CLI_GET_BATCH_H
#define CLI_GET_BATCH_H

#include "client/lib/dfs.h"

#define GET_BATCH 512

typedef struct get_batch {
    dfs_t *dfs;
    dfs_get_options_t options;
    dfs_get_item_t *items; /* GET_BATCH of them; their strings are owned */
    size_t n;
    int status; /* exit status so far */
    bool canceled;
    uint64_t files, bytes;             /* done */
    uint64_t bytes_total, files_total; /* for the bar, 0: not known */
} get_batch_t;

void get_batch_init (get_batch_t *self, dfs_t *dfs, bool sync);
/* DEST NULL: to FD, which is done at once, since the order counts. */
void get_batch_add (get_batch_t *self, const char *source, const char *dest, int fd,
                    uint64_t offset, uint64_t length);
void get_batch_flush (get_batch_t *self);
void get_batch_clear (get_batch_t *self);

#endif
