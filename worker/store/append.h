/* SPDX-License-Identifier: MPL-2.0 */
/* A chunk that is being stored, for the files that store it: append.c, and stage.c,
 * which takes the bytes of large ones to the disk. */
#ifndef WORKER_STORE_APPEND_H
#define WORKER_STORE_APPEND_H

#include "worker/store/disk.h"

enum append_state { APPEND_OPEN, APPEND_SEALED, APPEND_ABORTED };

struct store_append {
    disk_t *disk;
    record_t rec;
    uint64_t cookie;
    uint64_t upload;
    volume_t *volume; /* of the extent, held; NULL: packed */
    uint64_t offset;
    uint8_t *bytes; /* packed: what came so far */
    uint32_t *crcs;
    uint64_t written;
    uint64_t promised; /* of the extent, not written yet */
    /* under the disk's lock */
    enum append_state state;
    unsigned pending; /* pieces on their way to the disk */
    int failed;       /* first failed write: such an append cannot be sealed */
};

/* LEN bytes of the extent have taken their space from the file system: they are not
 * counted twice. Locked. */
void append_taken (store_append_t *self, uint64_t len);
/* A write of it has failed. Locked. */
void append_failed (store_append_t *self, int code, const char *text);
/* It has ended for its owner and nothing of it is on the way: the lock is held, and
 * dropped. */
void append_finish (store_append_t *self);

/* Copies bytes for OFFSET of the volume and returns while they are being written.
 * DFS_ETIMEOUT when the disk hangs: then some are missing. */
int stage_write (store_append_t *append, uint64_t offset, const uint8_t *data,
                 size_t len, dfs_error_t *err);

#endif
