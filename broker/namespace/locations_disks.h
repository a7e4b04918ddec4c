/* SPDX-License-Identifier: MPL-2.0 */
/* The stores that locations knows, in memory, and the numbers whose records are dead.
 * For locations.c only. */
#ifndef BROKER_NAMESPACE_LOCATIONS_DISKS_H
#define BROKER_NAMESPACE_LOCATIONS_DISKS_H

#include "broker/namespace/locations.h"
#include "common/kv.h"

#define COPY_KEY (COPYKEY_LEN + 4)

enum { L_META, L_DISK, L_COPY, L_ON_DISK, L_DEAD, L_COUNT };

typedef struct tally {
    uint64_t copies;
    uint64_t bytes;
} tally_t;

typedef struct disk {
    uint32_t worker;
    uint32_t number;
    uint8_t store[16];
    uint64_t incarnation;
    uint64_t seq;
    tally_t now;
    uint32_t pending; /* number of an inventory that is coming in, or 0 */
    uint64_t pending_incarnation;
    tally_t coming;
    bool dirty; /* differs from its record */
} disk_t;

typedef struct dead {
    uint32_t number;
    uint32_t worker;
} dead_t;

/* Where stores are in the array, open addressing: position + 1, 0 free. An entry that
 * does not fit any more is passed over, and gone when the table is made anew. */
typedef struct disk_slots {
    uint32_t *at;
    size_t size; /* power of two */
    size_t used;
} disk_slots_t;

struct locations {
    kv_t *kv;
    MDB_txn *txn; /* open write transaction */
    disk_t *disks;
    size_t n_disks;
    disk_slots_t by_store;
    disk_slots_t by_number;
    dead_t *dead;
    size_t n_dead;
    uint32_t next; /* number of the next store */
};

void disks_put32 (uint8_t *p, uint32_t v);
uint32_t disks_get32 (const uint8_t *p);
disk_t *disks_find (locations_t *self, uint32_t worker, const uint8_t store[16]);
/* The store with NUMBER; NULL when its records are dead or not complete yet. */
const disk_t *disks_live (const locations_t *self, uint32_t number);
uint32_t disks_number (locations_t *self);
/* NUMBER's records are those of DISK from now on. */
void disks_renumber (locations_t *self, disk_t *disk, uint32_t number);
/* Frees what disks_load and others made. */
void disks_free (locations_t *self);
/* The store starts from nothing with INCARNATION; *DISK may be NULL before. */
int disks_renew (locations_t *self, disk_t **disk, uint32_t worker,
                 const uint8_t store[16], uint64_t incarnation, dfs_error_t *err);
/* NUMBER's records are dead from now on. */
int disks_bury (locations_t *self, uint32_t number, uint32_t worker, dfs_error_t *err);
/* Buries the stores of WORKER, except for the N named. */
int disks_forget (locations_t *self, uint32_t worker, const locations_store_t *except,
                  size_t n, dfs_error_t *err);
/* 1 while there are dead records of WORKER. */
int disks_buried (const locations_t *self, uint32_t worker);
/* Removes at most MAX dead records. */
int disks_clear (locations_t *self, size_t max, dfs_error_t *err);
/* Writes what changed into the transaction. */
int disks_write (locations_t *self, dfs_error_t *err);
int disks_load (locations_t *self, dfs_error_t *err);

#endif
