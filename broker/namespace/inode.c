/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/namespace/inode.h"
#include "broker/namespace/past.h"
#include "broker/namespace/tables.h"

static int unpack (view_t *view, arena_t *arena, uint64_t id, const void *value,
                   size_t len, Dfs__RecInode **out, dfs_error_t *err)
{
    *out = dfs__rec_inode__unpack (arena_allocator (arena), len, value);
    if (!*out)
        return broken (view, err, DFS_EDAMAGED, "inode does not unpack", id);
    return 1;
}

int inode_read (view_t *view, arena_t *arena, uint64_t id, Dfs__RecInode **out,
                dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_id (key, id);
    const void *value;
    size_t len;
    int rc = table_fetch (view, T_INODE, key, n, &value, &len, err);
    if (rc > 0)
        rc = unpack (view, arena, id, value, len, out, err);
    if (rc < 0 || view->at == 0 || (rc > 0 && (*out)->since <= view->at))
        return rc;
    rc = past_find (view, T_PAST_INODE, key, n, view->at, &value, &len, err);
    if (rc > 0)
        rc = unpack (view, arena, id, value, len, out, err);
    if (rc > 0 && (*out)->since > view->at)
        return 0;
    return rc;
}

int inode_must (view_t *view, arena_t *arena, uint64_t id, Dfs__RecInode **out,
                dfs_error_t *err)
{
    int rc = inode_read (view, arena, id, out, err);
    if (rc == 0)
        return broken (view, err, DFS_EDAMAGED, "inode is missing", id);
    return rc < 0 ? rc : 0;
}

int inode_version (view_t *view, arena_t *arena, uint64_t id, uint64_t version,
                   Dfs__RecInode **out, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_id (key, id);
    const void *value;
    size_t len;
    int rc = table_fetch (view, T_INODE, key, n, &value, &len, err);
    if (rc > 0)
        rc = unpack (view, arena, id, value, len, out, err);
    if (rc < 0 || (rc > 0 && (*out)->version == version))
        return rc;
    rc = past_find (view, T_PAST_INODE, key, n, version, &value, &len, err);
    if (rc > 0)
        rc = unpack (view, arena, id, value, len, out, err);
    if (rc > 0 && (*out)->version != version)
        return 0;
    return rc;
}

void inode_init (op_t *op, Dfs__RecInode *rec, Dfs__FileType type, uint32_t mode,
                 uint32_t policy, uint64_t *id)
{
    dfs__rec_inode__init (rec);
    *id = op->ns->counters[C_NEXT_INODE]++;
    rec->type = type;
    rec->mode = mode & 07777;
    if (op->user)
        set_field (rec, uid, op->user);
    rec->nlink = 1;
    rec->mtime_ns = op->time;
    rec->ctime_ns = op->time;
    rec->version = op->index;
    rec->since = op->index;
    set_field (rec, policy, policy);
}

/* Totals of what is current. */
static void count (op_t *op, const Dfs__RecInode *rec, uint64_t by)
{
    uint64_t *counters = op->ns->counters;
    switch (rec->type) {
    case DFS__FILE_TYPE__FILE_DIRECTORY:
        counters[C_DIRECTORIES] += by;
        break;
    case DFS__FILE_TYPE__FILE_SYMLINK:
        counters[C_SYMLINKS] += by;
        break;
    default:
        counters[C_FILES] += by;
        counters[C_BYTES_LOGICAL] += by * rec->size;
    }
}

int inode_add (op_t *op, uint64_t id, const Dfs__RecInode *rec, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    count (op, rec, 1);
    return table_write (op, T_INODE, key, key_id (key, id), &rec->base, PUT_LAST, err);
}

/* Copies the current record to the past and takes it out of the totals. */
static int retire (op_t *op, uint64_t id, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_id (key, id);
    const void *value;
    size_t len;
    int rc = table_fetch (op->view, T_INODE, key, n, &value, &len, err);
    if (rc == 0)
        return broken (op->view, err, DFS_EDAMAGED, "inode is missing", id);
    Dfs__RecInode *old;
    if (rc > 0)
        rc = unpack (op->view, op->scratch, id, value, len, &old, err);
    if (rc < 0)
        return rc;
    count (op, old, -1ULL);
    return past_put (op, T_PAST_INODE, key, n, value, len, err);
}

int inode_replace (op_t *op, uint64_t id, Dfs__RecInode *rec, dfs_error_t *err)
{
    int rc = retire (op, id, err);
    if (rc < 0)
        return rc;
    rec->since = op->index;
    rec->ctime_ns = op->time;
    count (op, rec, 1);
    return inode_amend (op, id, rec, err);
}

int inode_amend (op_t *op, uint64_t id, const Dfs__RecInode *rec, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    return table_write (op, T_INODE, key, key_id (key, id), &rec->base, PUT_ANY, err);
}

int inode_unlink (op_t *op, uint64_t id, dfs_error_t *err)
{
    Dfs__RecInode *rec;
    int rc = inode_must (op->view, op->scratch, id, &rec, err);
    if (rc < 0)
        return rc;
    if (rec->nlink > 1) {
        rec->nlink--;
        rec->ctime_ns = op->time;
        return inode_amend (op, id, rec, err);
    }
    uint8_t key[KEY_MAX];
    rc = retire (op, id, err);
    return rc < 0 ? rc : table_del (op, T_INODE, key, key_id (key, id), err);
}

int inode_touch (op_t *op, uint64_t id, dfs_error_t *err)
{
    Dfs__RecInode *rec;
    int rc = inode_must (op->view, op->scratch, id, &rec, err);
    if (rc < 0)
        return rc;
    rec->mtime_ns = op->time;
    rec->ctime_ns = op->time;
    return inode_amend (op, id, rec, err);
}
