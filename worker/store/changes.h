/* SPDX-License-Identifier: MPL-2.0 */
/* The numbered changes of one disk: the newest in memory, the others in the index's
 * LMDB table. The caller locks. */
#ifndef WORKER_STORE_CHANGES_H
#define WORKER_STORE_CHANGES_H

#include "common/kv.h"
#include "worker/store/store.h"

/* Tables of the index. */
enum index_table { INDEX_CHUNKS, INDEX_CHANGES, INDEX_META, INDEX_QUARANTINE };

typedef struct change_log {
    store_change_t *v;
    size_t n;
    size_t cap;
} change_log_t;

void change_log_add (change_log_t *self, const store_change_t *change);
size_t change_log_copy (const change_log_t *self, uint64_t first, store_change_t *out,
                        size_t max);
void change_log_free (change_log_t *self);

int changes_write (kv_t *kv, MDB_txn *txn, const change_log_t *log, dfs_error_t *err);
/* Deletes some of those below FIRST: a bounded number per call. */
int changes_prune (kv_t *kv, MDB_txn *txn, uint64_t first, dfs_error_t *err);
/* *FIRST = number of the oldest, NEXT when there is none. */
int changes_first (kv_t *kv, MDB_txn *txn, uint64_t next, uint64_t *first,
                   dfs_error_t *err);
/* *FIRST = lowest number from which all up to NEXT - 1 are there. */
int changes_last_gap (kv_t *kv, MDB_txn *txn, uint64_t next, uint64_t *first,
                      dfs_error_t *err);
/* From FIRST on, without gaps; returns the number. */
int changes_read (kv_t *kv, MDB_txn *txn, uint64_t first, store_change_t *out,
                  size_t max, dfs_error_t *err);

#endif
