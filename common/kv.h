/* SPDX-License-Identifier: MPL-2.0 */
/* LMDB with our errors: environments, tables, cursors. One write transaction at a time
 * and only from the thread that owns the environment; read transactions per thread. */
#ifndef COMMON_KV_H
#define COMMON_KV_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef struct kv kv_t;

enum kv_flags {
    KV_NOSYNC = 1,   /* commits are not fsynced: for what can be rebuilt */
    KV_READONLY = 2, /* no write, no lock file needed */
};

/* Opens or makes the environment in directory DIR with TABLES (n names, each at most 32
 * bytes) and a sparse map of MAP_SIZE bytes. Table i is addressed by its number. */
kv_t *kv_open (const char *dir, const char *const *tables, size_t n, uint64_t map_size,
               int flags, dfs_error_t *err);
void kv_close (kv_t **self_p);
MDB_env *kv_env (kv_t *self);
MDB_dbi kv_dbi (kv_t *self, size_t table);

/* Transactions. kv_begin returns NULL on failure. kv_commit consumes the transaction in
 * any case. */
MDB_txn *kv_begin (kv_t *self, bool write, dfs_error_t *err);
int kv_commit (kv_t *self, MDB_txn **txn_p, dfs_error_t *err);
void kv_abort (MDB_txn **txn_p);
/* Makes NOSYNC commits durable. */
int kv_sync (kv_t *self, dfs_error_t *err);

/* Returns 1 found, 0 not found, negative on failure. VALUE is borrowed, valid until the
 * next write in this transaction or its end. */
int kv_get (kv_t *self, MDB_txn *txn, size_t table, const void *key, size_t key_len,
            const void **value, size_t *len, dfs_error_t *err);
int kv_put (kv_t *self, MDB_txn *txn, size_t table, const void *key, size_t key_len,
            const void *value, size_t len, dfs_error_t *err);
/* Returns 1 deleted, 0 was not there. */
int kv_del (kv_t *self, MDB_txn *txn, size_t table, const void *key, size_t key_len,
            dfs_error_t *err);

/* Called before each commit and sync, for fault tests: returns 0 or an errno. */
void kv_set_hook (int (*before_commit) (void *arg), void *arg);
/* DFS_E code and text for an LMDB result. */
int kv_fail (dfs_error_t *err, int rc, const char *what);

#endif
