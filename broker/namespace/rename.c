/* SPDX-License-Identifier: MPL-2.0 */
/* OpRename: two names change, whatever hangs below them. */
#include "broker/namespace/ops.h"

/* DFS_ELOOP when directory ID is DIR or above it. */
static int check_above (op_t *op, uint64_t id, uint64_t dir, dfs_error_t *err)
{
    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        if (dir == id)
            return fail (err, DFS_ELOOP, "a directory cannot move into itself");
        if (dir == ROOT_INODE)
            return 0;
        Dfs__RecInode *rec;
        int rc = inode_must (op->view, op->scratch, dir, &rec, err);
        if (rc < 0)
            return rc;
        dir = rec->parent;
    }
    return refuse (err, DFS_ENAMETOOLONG);
}

/* Whether what is at TO may be replaced by what is at FROM. */
static int check_target (op_t *op, const place_t *from, const place_t *to,
                         dfs_error_t *err)
{
    bool from_dir = from->type == DFS__FILE_TYPE__FILE_DIRECTORY;
    bool to_dir = to->type == DFS__FILE_TYPE__FILE_DIRECTORY;
    if (from_dir && !to_dir)
        return refuse (err, DFS_ENOTDIR);
    if (!from_dir && to_dir)
        return refuse (err, DFS_EISDIR);
    if (!to_dir)
        return 0;
    int rc = dentry_none (op->view, to->inode, err);
    return rc == 0 ? refuse (err, DFS_ENOTEMPTY) : rc < 0 ? rc : 0;
}

int op_rename (op_t *op, const Dfs__OpRename *rename, dfs_error_t *err)
{
    place_t from, to;
    Dfs__RecInode *rec;
    int rc = walk_existing (op->view, op->scratch, rename->from.data, rename->from.len,
                            0, &from, err);
    if (rc == 0)
        rc = walk (op->view, op->scratch, rename->to.data, rename->to.len, 0, &to, err);
    if (rc == 0)
        rc = inode_must (op->view, op->scratch, from.inode, &rec, err);
    if (rc < 0)
        return rc;
    if (from.name_len == 0 || to.name_len == 0)
        return fail (err, DFS_EINVAL, "the root cannot be moved or replaced");
    rc = check_version (rec, rename->has_expected_version, rename->expected_version,
                        err);
    if (rc < 0)
        return rc;
    if (to.inode && rename->no_replace)
        return refuse (err, DFS_EEXIST);
    if (from.type == DFS__FILE_TYPE__FILE_DIRECTORY && to.inode != from.inode &&
        (rc = check_above (op, from.inode, to.parent, err)) < 0)
        return rc;
    answer (op, from.inode, rec);
    if (to.inode == from.inode) /* the same name, or two names of one file */
        return 0;
    if (to.inode && (rc = check_target (op, &from, &to, err)) < 0)
        return rc;

    rc = dentry_remove (op, from.parent, from.name, from.name_len, err);
    if (rc == 0 && from.parent != to.parent)
        rc = inode_touch (op, from.parent, err);
    if (rc == 0 && from.type == DFS__FILE_TYPE__FILE_DIRECTORY &&
        from.parent != to.parent) {
        set_field (rec, parent, to.parent);
        rec->ctime_ns = op->time;
        rc = inode_amend (op, from.inode, rec, err);
    }
    return rc < 0 ? rc : place_inode (op, &to, from.inode, from.type, err);
}
