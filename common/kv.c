/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kv.h"

#define MAX_TABLES  32
#define MAX_READERS 126

struct kv {
    MDB_env *env;
    size_t n;
    MDB_dbi dbi[MAX_TABLES];
};

static int (*commit_hook) (void *arg);
static void *commit_hook_arg;

void kv_set_hook (int (*before_commit) (void *arg), void *arg)
{
    commit_hook = before_commit;
    commit_hook_arg = arg;
}

int kv_fail (dfs_error_t *err, int rc, const char *what)
{
    if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
        rc == MDB_PANIC)
        return fail (err, DFS_EDAMAGED, "%s: %s", what, mdb_strerror (rc));
    if (rc == MDB_VERSION_MISMATCH)
        return fail (err, DFS_EVERSION, "%s: %s", what, mdb_strerror (rc));
    if (rc == MDB_MAP_FULL)
        return fail (err, DFS_ENOSPC, "%s: %s", what, mdb_strerror (rc));
    if (rc > 0) {
        errno = rc;
        return fail_errno (err, "%s", what);
    }
    return fail (err, DFS_EINTERNAL, "%s: %s", what, mdb_strerror (rc));
}

kv_t *kv_open (const char *dir, const char *const *tables, size_t n, uint64_t map_size,
               int flags, dfs_error_t *err)
{
    assert (n <= MAX_TABLES);
    kv_t *self = calloc (1, sizeof *self);
    assert (self);
    self->n = n;
    if (!(flags & KV_READONLY) && mkdir (dir, 0700) < 0 && errno != EEXIST) {
        fail_errno (err, "make directory %s", dir);
        free (self);
        return NULL;
    }
    int rc = mdb_env_create (&self->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs (self->env, MAX_TABLES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders (self->env, MAX_READERS);
    if (rc == 0)
        rc = mdb_env_set_mapsize (self->env, map_size);
    unsigned env_flags = MDB_NOTLS | MDB_NORDAHEAD;
    if (flags & KV_NOSYNC)
        env_flags |= MDB_NOSYNC;
    if (flags & KV_READONLY)
        env_flags |= MDB_RDONLY | MDB_NOLOCK;
    if (rc == 0)
        rc = mdb_env_open (self->env, dir, env_flags, 0600);
    MDB_txn *txn = NULL;
    if (rc == 0)
        rc =
            mdb_txn_begin (self->env, NULL, flags & KV_READONLY ? MDB_RDONLY : 0, &txn);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = mdb_dbi_open (txn, tables[i], flags & KV_READONLY ? 0 : MDB_CREATE,
                           &self->dbi[i]);
    if (rc == 0)
        rc = mdb_txn_commit (txn);
    else if (txn)
        mdb_txn_abort (txn);
    if (rc != 0) {
        kv_fail (err, rc, dir);
        kv_close (&self);
    }
    return self;
}

void kv_close (kv_t **self_p)
{
    kv_t *self = *self_p;
    if (!self)
        return;
    if (self->env)
        mdb_env_close (self->env);
    free (self);
    *self_p = NULL;
}

MDB_env *kv_env (kv_t *self)
{
    return self->env;
}

MDB_dbi kv_dbi (kv_t *self, size_t table)
{
    assert (table < self->n);
    return self->dbi[table];
}

MDB_txn *kv_begin (kv_t *self, bool write, dfs_error_t *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin (self->env, NULL, write ? 0 : MDB_RDONLY, &txn);
    if (rc != 0) {
        kv_fail (err, rc, "begin transaction");
        return NULL;
    }
    return txn;
}

int kv_commit (kv_t *self, MDB_txn **txn_p, dfs_error_t *err)
{
    (void)self;
    int rc = commit_hook ? commit_hook (commit_hook_arg) : 0;
    if (rc != 0)
        mdb_txn_abort (*txn_p);
    else
        rc = mdb_txn_commit (*txn_p);
    *txn_p = NULL;
    return rc ? kv_fail (err, rc, "commit transaction") : DFS_OK;
}

void kv_abort (MDB_txn **txn_p)
{
    if (*txn_p)
        mdb_txn_abort (*txn_p);
    *txn_p = NULL;
}

int kv_sync (kv_t *self, dfs_error_t *err)
{
    int rc = commit_hook ? commit_hook (commit_hook_arg) : 0;
    if (rc == 0)
        rc = mdb_env_sync (self->env, 1);
    return rc ? kv_fail (err, rc, "sync") : DFS_OK;
}

/* LMDB does not write through the pointers it is given. */
static MDB_val borrow (const void *data, size_t len)
{
    union {
        const void *in;
        void *out;
    } p = {.in = data};
    return (MDB_val){.mv_size = len, .mv_data = p.out};
}

int kv_get (kv_t *self, MDB_txn *txn, size_t table, const void *key, size_t key_len,
            const void **value, size_t *len, dfs_error_t *err)
{
    MDB_val k = borrow (key, key_len);
    MDB_val v;
    int rc = mdb_get (txn, self->dbi[table], &k, &v);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return kv_fail (err, rc, "get");
    *value = v.mv_data;
    *len = v.mv_size;
    return 1;
}

int kv_put (kv_t *self, MDB_txn *txn, size_t table, const void *key, size_t key_len,
            const void *value, size_t len, dfs_error_t *err)
{
    MDB_val k = borrow (key, key_len);
    MDB_val v = borrow (value, len);
    int rc = mdb_put (txn, self->dbi[table], &k, &v, 0);
    return rc ? kv_fail (err, rc, "put") : DFS_OK;
}

int kv_del (kv_t *self, MDB_txn *txn, size_t table, const void *key, size_t key_len,
            dfs_error_t *err)
{
    MDB_val k = borrow (key, key_len);
    int rc = mdb_del (txn, self->dbi[table], &k, NULL);
    if (rc == MDB_NOTFOUND)
        return 0;
    return rc ? kv_fail (err, rc, "delete") : 1;
}
