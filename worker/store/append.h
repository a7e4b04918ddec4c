/* SPDX-License-Identifier: MPL-2.0 */
/* A chunk that is being stored, for the files that store it: append.c, and stage.c,
 * which takes the bytes of large ones to the disk. */
#ifndef WORKER_STORE_APPEND_H
#define WORKER_STORE_APPEND_H

#include "worker/store/disk.h"

/* Where an extent was reserved: its volume is held and has one more in flight. */
typedef struct extent_place {
    volume_t *volume;
    uint64_t offset;
    uint64_t promised; /* bytes of it that are not allocated */
} extent_place_t;

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

/* --- reserve.c --- */

/* The lock of a disk that answers; DFS_ETIMEOUT, soon. */
int reserve_lock (disk_t *disk, dfs_error_t *err);
/* Space for the bytes of REC; as store_begin. Does not wait for a disk that hangs when
 * there is another. NOT locked. */
int reserve_extent (disk_t *disk, const record_t *rec, extent_place_t *place,
                    dfs_error_t *err);
/* Gives it back; its promise is the caller's. Locked. */
void reserve_free (disk_t *disk, const record_t *rec, const extent_place_t *place);

/* --- stage.c --- */

/* Copies bytes for OFFSET of the volume and returns while they are being written.
 * DFS_ETIMEOUT when the disk hangs: then some are missing. */
int stage_write (store_append_t *append, uint64_t offset, const uint8_t *data,
                 size_t len, dfs_error_t *err);

#endif
