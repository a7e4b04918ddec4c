/* SPDX-License-Identifier: MPL-2.0 */
/* Where copies are, as workers report it: a disposable LMDB (never in the log), in both
 * directions, with the change sequence applied per store. One thread owns it. */
#ifndef BROKER_NAMESPACE_LOCATIONS_H
#define BROKER_NAMESPACE_LOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "msgs/copykey.h"

typedef struct locations locations_t;

typedef struct location {
    uint32_t worker; /* member id */
    uint32_t disk;   /* number of the store within this table */
    uint64_t birth;
    uint64_t length;
    bool damaged;
} location_t;

#define LOCATIONS_MAX 32 /* copies of one chunk that are looked at */

/* Opens DIR/locations; thrown away and made anew when it is damaged, or when the
 * machine was restarted since (commits are not synced; the kernel's boot id tells). */
locations_t *locations_open (const char *dir, dfs_error_t *err);
void locations_close (locations_t **self_p);

/* What is known of a store: 1 and sequence applied, or 0. */
int locations_mark (locations_t *self, uint32_t worker, const uint8_t store[16],
                    uint64_t incarnation, uint64_t *seq);
typedef struct locations_store {
    uint8_t id[16];
    uint64_t incarnation;
} locations_store_t;

/* WORKER has these N stores and no others: copies in others, or in another incarnation,
 * are gone. */
int locations_keep (locations_t *self, uint32_t worker, const locations_store_t *stores,
                    size_t n, dfs_error_t *err);
/* One change; SEQ must be mark + 1 (DFS_ESTALE otherwise: nothing changes). KIND as in
 * control.proto. A store of another incarnation starts from nothing. */
int locations_change (locations_t *self, uint32_t worker, const uint8_t store[16],
                      uint64_t incarnation, uint64_t seq, int kind,
                      const copykey_t *key, uint64_t birth, uint64_t length,
                      dfs_error_t *err);
/* A full inventory replaces what was known: begin, pages of copies, end with the
 * sequence it stands for. Copies not named are gone. */
int locations_inventory_begin (locations_t *self, uint32_t worker,
                               const uint8_t store[16], uint64_t incarnation,
                               dfs_error_t *err);
int locations_inventory_copy (locations_t *self, uint32_t worker,
                              const uint8_t store[16], const copykey_t *key,
                              uint64_t birth, uint64_t length, dfs_error_t *err);
int locations_inventory_end (locations_t *self, uint32_t worker,
                             const uint8_t store[16], uint64_t incarnation,
                             uint64_t seq, dfs_error_t *err);
/* What came of it so far is dropped: the pages that follow find nothing that has begun.
 */
int locations_inventory_abort (locations_t *self, uint32_t worker,
                               const uint8_t store[16], dfs_error_t *err);
/* Makes changes visible to a later run of the process (no fsync). */
int locations_commit (locations_t *self, dfs_error_t *err);

/* Copies of KEY into OUT; returns their number (damaged ones included, marked). */
int locations_find (locations_t *self, const copykey_t *key,
                    location_t out[LOCATIONS_MAX], dfs_error_t *err);
/* Chunks that have copies and whose digests are from FROM to TO, at most MAX, in OUT;
 * returns their number. */
int locations_between (locations_t *self, const uint8_t from[32], const uint8_t to[32],
                       copykey_t *out, size_t max, dfs_error_t *err);
/* Copies on WORKER in key order after AFTER; returns the number. */
int locations_of_worker (locations_t *self, uint32_t worker, const copykey_t *after,
                         copykey_t *out, size_t max, dfs_error_t *err);
/* Number and bytes of the copies of a worker. */
void locations_count (locations_t *self, uint32_t worker, uint64_t *copies,
                      uint64_t *bytes);
typedef struct locations_held {
    uint32_t worker;
    uint64_t copies;
    uint64_t bytes;
} locations_held_t;

/* What each disk holds, *N of them; returns owned. */
locations_held_t *locations_held (const locations_t *self, size_t *n);
/* Forgets a removed worker, at most MAX copies a call; returns 1 while there are more.
 */
int locations_forget (locations_t *self, uint32_t worker, size_t max, dfs_error_t *err);

#endif
