/* SPDX-License-Identifier: MPL-2.0 */
/* The whole namespace as one file: copied while it is in use, and put in the place of
 * another. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/state.h"
#include "broker/namespace/tables.h"
#include "common/io.h"

#define DATA_FILE "data.mdb"

static int read_state (const MDB_val *value, const char *path, uint64_t *index,
                       dfs_error_t *err)
{
    Dfs__RecState *state =
        dfs__rec_state__unpack (NULL, value->mv_size, value->mv_data);
    int rc = DFS_OK;
    if (!state)
        return fail (err, DFS_EDAMAGED, "%s: state record is malformed", path);
    if (state->format != FORMAT_VERSION)
        rc = fail (err, DFS_EVERSION, "%s: namespace has format %u, not %d", path,
                   state->format, FORMAT_VERSION);
    *index = state->applied;
    dfs__rec_state__free_unpacked (state, NULL);
    return rc;
}

static int read_cluster (const MDB_val *value, const char *path, uint8_t id[16],
                         dfs_error_t *err)
{
    Dfs__RecSeed *seed = dfs__rec_seed__unpack (NULL, value->mv_size, value->mv_data);
    if (!seed || seed->cluster_id.len != 16) {
        if (seed)
            dfs__rec_seed__free_unpacked (seed, NULL);
        return fail (err, DFS_EDAMAGED, "%s: seed record is malformed", path);
    }
    memcpy (id, seed->cluster_id.data, 16);
    dfs__rec_seed__free_unpacked (seed, NULL);
    return DFS_OK;
}

/* What the environment that is the file PATH says of itself. */
static int read_file (MDB_env *env, const char *path, uint64_t *index, uint8_t id[16],
                      dfs_error_t *err)
{
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    MDB_val key = {5, (void *)"state"}, seed = {4, (void *)"seed"}, value;
    int rc = mdb_env_set_maxdbs (env, T_COUNT);
    if (rc == 0)
        rc = mdb_env_open (env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = mdb_txn_begin (env, NULL, MDB_RDONLY, &txn);
    if (rc == 0)
        rc = mdb_dbi_open (txn, table_names[T_META], 0, &dbi);
    if (rc == 0)
        rc = mdb_get (txn, dbi, &key, &value);
    int code =
        rc == 0 ? read_state (&value, path, index, err) : kv_fail (err, rc, path);
    if (code == DFS_OK && id) {
        memset (id, 0, 16);
        rc = mdb_get (txn, dbi, &seed, &value);
        if (rc == 0)
            code = read_cluster (&value, path, id, err);
        else if (rc != MDB_NOTFOUND)
            code = kv_fail (err, rc, path);
    }
    if (txn)
        mdb_txn_abort (txn);
    return code;
}

int namespace_file_index (const char *path, uint64_t *index, uint8_t cluster_id[16],
                          dfs_error_t *err)
{
    MDB_env *env;
    int rc = mdb_env_create (&env);
    if (rc != 0)
        return kv_fail (err, rc, path);
    rc = read_file (env, path, index, cluster_id, err);
    mdb_env_close (env);
    return rc;
}

int namespace_copy (namespace_t *self, const char *path, uint64_t *index,
                    dfs_error_t *err)
{
    int fd = io_open (path, O_WRONLY | O_CREAT | O_TRUNC, 0600, err);
    if (fd < 0)
        return fd;
    int rc = mdb_env_copyfd2 (kv_env (self->view.kv), fd, MDB_CP_COMPACT);
    int code = rc == 0 ? io_fsync (fd, err) : kv_fail (err, rc, path);
    io_close (fd);
    if (code == DFS_OK)
        code = namespace_file_index (path, index, NULL, err);
    return code;
}

int namespace_put (const char *dir, const char *path, dfs_error_t *err)
{
    char *where = NULL, *file = NULL;
    if (asprintf (&where, "%s/namespace", dir) < 0 ||
        asprintf (&file, "%s/" DATA_FILE, where) < 0)
        abort ();
    int rc = io_rename (path, file, err);
    if (rc == DFS_OK)
        rc = io_sync_dir (where, err);
    free (where);
    free (file);
    return rc;
}
