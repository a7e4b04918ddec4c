/* SPDX-License-Identifier: MPL-2.0 */
/* Files on their way into the cluster, gathered so that many are in flight at once.
 * What fails is said on stderr and remembered in STATUS; the others go on. Main thread.
 */
#ifndef CLI_PUT_BATCH_H
#define CLI_PUT_BATCH_H

#include <jansson.h>

#include "client/lib/dfs.h"
#include "output.h"

#define PUT_BATCH 512

typedef struct put_batch {
    dfs_t *dfs;
    dfs_put_options_t options;
    dfs_put_item_t *items; /* PUT_BATCH of them; their strings are owned */
    size_t n;
    int status; /* exit status so far */
    bool tree;  /* a file that cannot be read is one of many: exit 1 */
    bool canceled;
    bool assign; /* files that are there already come under the policy as well */
    uint64_t short_files;              /* stored with fewer copies than asked for */
    uint32_t copies, wanted;           /* of the worst of them */
    uint64_t files, bytes, sent;       /* done */
    uint64_t bytes_total, files_total; /* for the bar, 0: not known */
    out_array_t json;
} put_batch_t;

void put_batch_init (put_batch_t *self, dfs_t *dfs, int flags, uint64_t chunk_size);
/* Adds one; sends all when it is full. SOURCE NULL: from FD. */
void put_batch_add (put_batch_t *self, const char *source, int fd, const char *dest,
                    uint64_t if_version);
void put_batch_flush (put_batch_t *self);
void put_batch_clear (put_batch_t *self);

#endif
