/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/dentry.h"
#include "broker/namespace/past.h"
#include "broker/namespace/tables.h"

int refuse (dfs_error_t *err, int code)
{
    return fail (err, code, "%s", dfs_error_text (code));
}

static int unpack (view_t *view, arena_t *arena, uint64_t parent, const void *value,
                   size_t len, Dfs__RecDentry **out, dfs_error_t *err)
{
    *out = dfs__rec_dentry__unpack (arena_allocator (arena), len, value);
    if (!*out)
        return broken (view, err, DFS_EDAMAGED, "dentry does not unpack", parent);
    return 1;
}

int dentry_read (view_t *view, arena_t *arena, uint64_t parent, const void *name,
                 size_t len, Dfs__RecDentry **out, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_dentry (key, parent, name, len);
    const void *value;
    size_t value_len;
    int rc = table_fetch (view, T_DENTRY, key, n, &value, &value_len, err);
    if (rc > 0)
        rc = unpack (view, arena, parent, value, value_len, out, err);
    if (rc < 0 || view->at == 0 || (rc > 0 && (*out)->since <= view->at))
        return rc;
    rc = past_find (view, T_PAST_DENTRY, key, n, view->at, &value, &value_len, err);
    if (rc > 0)
        rc = unpack (view, arena, parent, value, value_len, out, err);
    if (rc > 0 && (*out)->since > view->at)
        return 0;
    return rc;
}

int dentry_none (view_t *view, uint64_t dir, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    MDB_val k, v;
    int rc = table_seek (view, T_DENTRY, key, key_id (key, dir), &k, &v, err);
    if (rc <= 0)
        return rc < 0 ? rc : 1;
    return k.mv_size <= 8 || memcmp (k.mv_data, key, 8) != 0;
}

static int write_record (op_t *op, uint64_t parent, const void *name, size_t len,
                         uint64_t inode, Dfs__FileType type, enum put_how how,
                         dfs_error_t *err)
{
    Dfs__RecDentry rec = DFS__REC_DENTRY__INIT;
    rec.inode = inode;
    rec.type = type;
    rec.since = op->index;
    uint8_t key[KEY_MAX];
    size_t n = key_dentry (key, parent, name, len);
    return table_write (op, T_DENTRY, key, n, &rec.base, how, err);
}

int dentry_add (op_t *op, uint64_t parent, const void *name, size_t len, uint64_t inode,
                Dfs__FileType type, dfs_error_t *err)
{
    return write_record (op, parent, name, len, inode, type, PUT_NEW, err);
}

static int retire (op_t *op, const uint8_t *key, size_t n, dfs_error_t *err)
{
    const void *value;
    size_t len;
    int rc = table_fetch (op->view, T_DENTRY, key, n, &value, &len, err);
    if (rc == 0)
        return broken (op->view, err, DFS_EDAMAGED, "dentry is missing", get64 (key));
    return rc < 0 ? rc : past_put (op, T_PAST_DENTRY, key, n, value, len, err);
}

int dentry_remove (op_t *op, uint64_t parent, const void *name, size_t len,
                   dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_dentry (key, parent, name, len);
    int rc = retire (op, key, n, err);
    return rc < 0 ? rc : table_del (op, T_DENTRY, key, n, err);
}

int dentry_replace (op_t *op, uint64_t parent, const void *name, size_t len,
                    uint64_t inode, Dfs__FileType type, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_dentry (key, parent, name, len);
    int rc = retire (op, key, n, err);
    return rc < 0 ? rc
                  : write_record (op, parent, name, len, inode, type, PUT_ANY, err);
}
