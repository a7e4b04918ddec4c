/* SPDX-License-Identifier: MPL-2.0 */
/* Stepping through the items of volumes: what stands at an offset, where the next sound
 * batch is. Reads only; used by recovery, compaction and dump. */
#ifndef WORKER_STORE_SCAN_H
#define WORKER_STORE_SCAN_H

#include "worker/store/record.h"

enum scan_kind { SCAN_BAD, SCAN_EXTENT, SCAN_BATCH };

typedef struct scan_item {
    int kind; /* enum scan_kind */
    uint64_t offset;
    uint64_t next; /* where the following item stands */
    extent_head_t extent;
    batch_head_t batch;
} scan_item_t;

/* What a volume file of number VOLUME of disk ID has at OFFSET; items that say they
 * stand elsewhere are bad. Returns DFS_OK or DFS_EIO. */
int scan_at (int fd, const uint8_t id[16], uint32_t volume, uint64_t offset,
             scan_item_t *item, dfs_error_t *err);
/* First batch with a number >= MIN at or after OFFSET, whatever lies between. 1, 0, or
 * negative. */
int scan_find_batch (int fd, const uint8_t id[16], uint32_t volume, uint64_t offset,
                     uint64_t min, scan_item_t *item, dfs_error_t *err);

/* A whole batch in memory and the records of it. */
typedef struct scan_batch {
    uint32_t seed;
    uint8_t *data;
    size_t cap;
    size_t len;
    size_t at; /* next record */
    uint32_t seen;
    uint32_t lost;   /* records that could not be read */
    uint64_t zeroed; /* bytes of pages that were given back */
} scan_batch_t;

int scan_load (scan_batch_t *self, int fd, const batch_head_t *head, dfs_error_t *err);
/* 1 with *REC and *AT (offset in the batch), 0 at the end. Bad records are stepped over
 * by searching for the next sound one, and counted. */
int scan_record (scan_batch_t *self, const batch_head_t *head, record_t *rec,
                 uint64_t *at);
void scan_free (scan_batch_t *self);

#endif
