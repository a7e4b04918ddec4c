/* SPDX-License-Identifier: MPL-2.0 */
/* OpMkdir, OpRmdir, OpUnlink, OpSymlink, OpLink, and what they share. */
#include <string.h>

#include "broker/namespace/job.h"
#include "broker/namespace/ops.h"

void answer (op_t *op, uint64_t id, const Dfs__RecInode *rec)
{
    set_field (op->result, version, rec->version);
    set_field (op->result, inode, id);
    set_field (op->result, size, rec->size);
}

int check_version (const Dfs__RecInode *rec, bool asked, uint64_t version,
                   dfs_error_t *err)
{
    if (asked && rec->version != version)
        return fail (err, DFS_ECONFLICT, "version is %llu, not %llu",
                     (unsigned long long)rec->version, (unsigned long long)version);
    return 0;
}

int inherited_policy (op_t *op, place_t *at, uint32_t *policy, dfs_error_t *err)
{
    int rc = 0;
    if (!at->dir)
        rc = inode_must (op->view, op->scratch, at->parent, &at->dir, err);
    if (rc == 0)
        *policy = at->dir->policy;
    return rc;
}

/* Names in the directory of AT changed. */
static int touch_parent (op_t *op, const place_t *at, dfs_error_t *err)
{
    Dfs__RecInode *rec = at->dir;
    int rc = 0;
    if (!rec)
        rc = inode_must (op->view, op->scratch, at->parent, &rec, err);
    if (rc < 0)
        return rc;
    rec->mtime_ns = op->time;
    rec->ctime_ns = op->time;
    return inode_amend (op, at->parent, rec, err);
}

static int make_directory (op_t *op, uint64_t parent, const char *name, size_t len,
                           uint32_t mode, uint32_t policy, const uint64_t *mtime_ns,
                           uint64_t *id, dfs_error_t *err)
{
    Dfs__RecInode rec;
    inode_init (op, &rec, DFS__FILE_TYPE__FILE_DIRECTORY, mode, policy, id);
    set_field (&rec, parent, parent);
    if (mtime_ns)
        rec.mtime_ns = *mtime_ns;
    answer (op, *id, &rec);
    int rc = inode_add (op, *id, &rec, err);
    return rc < 0 ? rc : dentry_add (op, parent, name, len, *id, rec.type, err);
}

int make_parents (op_t *op, place_t *at, dfs_error_t *err)
{
    if (at->rest_len == 0)
        return 0;
    uint32_t policy;
    int rc = inherited_policy (op, at, &policy, err);
    if (rc == 0)
        rc = touch_parent (op, at, err);
    const char *end = at->rest + at->rest_len;
    while (rc == 0 && at->rest < end) {
        uint64_t id;
        rc = make_directory (op, at->parent, at->name, at->name_len, 0755, policy, NULL,
                             &id, err);
        at->parent = id;
        at->name = at->rest;
        const char *slash = memchr (at->rest, '/', (size_t)(end - at->rest));
        at->rest = slash ? slash : end;
        at->name_len = (size_t)(at->rest - at->name);
        while (at->rest < end && *at->rest == '/')
            at->rest++;
    }
    at->rest_len = 0;
    at->dir = NULL;
    return rc;
}

int place_inode (op_t *op, const place_t *at, uint64_t id, Dfs__FileType type,
                 dfs_error_t *err)
{
    int rc;
    if (at->inode) {
        rc = dentry_replace (op, at->parent, at->name, at->name_len, id, type, err);
        if (rc == 0)
            rc = inode_unlink (op, at->inode, err);
    } else
        rc = dentry_add (op, at->parent, at->name, at->name_len, id, type, err);
    return rc < 0 ? rc : touch_parent (op, at, err);
}

int op_mkdir (op_t *op, const Dfs__OpMkdir *mkdir, dfs_error_t *err)
{
    place_t at;
    int rc = walk (op->view, op->scratch, mkdir->path.data, mkdir->path.len,
                   mkdir->parents ? WALK_PARENTS | WALK_FOLLOW : 0, &at, err);
    if (rc < 0)
        return rc;
    if (at.inode) {
        if (!mkdir->parents || at.type != DFS__FILE_TYPE__FILE_DIRECTORY)
            return refuse (err, DFS_EEXIST);
        Dfs__RecInode *rec;
        rc = inode_must (op->view, op->scratch, at.inode, &rec, err);
        if (rc == 0)
            answer (op, at.inode, rec);
        return rc;
    }
    uint32_t policy;
    uint64_t id;
    rc = make_parents (op, &at, err);
    if (rc == 0)
        rc = inherited_policy (op, &at, &policy, err);
    if (rc == 0)
        rc = make_directory (op, at.parent, at.name, at.name_len,
                             mkdir->has_mode ? mkdir->mode : 0755, policy,
                             mkdir->has_mtime_ns ? &mkdir->mtime_ns : NULL, &id, err);
    return rc < 0 ? rc : touch_parent (op, &at, err);
}

/* Takes the name AT away; its inode loses a name. */
static int take_away (op_t *op, const place_t *at, dfs_error_t *err)
{
    int rc = dentry_remove (op, at->parent, at->name, at->name_len, err);
    if (rc == 0)
        rc = touch_parent (op, at, err);
    return rc < 0 ? rc : inode_unlink (op, at->inode, err);
}

int op_rmdir (op_t *op, const Dfs__OpRmdir *rmdir, dfs_error_t *err)
{
    place_t at;
    int rc = walk_existing (op->view, op->scratch, rmdir->path.data, rmdir->path.len, 0,
                            &at, err);
    if (rc < 0)
        return rc;
    if (at.type != DFS__FILE_TYPE__FILE_DIRECTORY)
        return refuse (err, DFS_ENOTDIR);
    if (at.name_len == 0)
        return fail (err, DFS_EINVAL, "the root cannot be removed");
    rc = dentry_none (op->view, at.inode, err);
    if (rc == 0)
        return refuse (err, DFS_ENOTEMPTY);
    return rc < 0 ? rc : take_away (op, &at, err);
}

int op_unlink (op_t *op, const Dfs__OpUnlink *unlink, dfs_error_t *err)
{
    place_t at;
    Dfs__RecInode *rec;
    int rc = walk_existing (op->view, op->scratch, unlink->path.data, unlink->path.len,
                            0, &at, err);
    if (rc == 0)
        rc = inode_must (op->view, op->scratch, at.inode, &rec, err);
    if (rc < 0)
        return rc;
    bool directory = at.type == DFS__FILE_TYPE__FILE_DIRECTORY;
    if (at.name_len == 0)
        return fail (err, DFS_EINVAL, "the root cannot be removed");
    if (directory && !unlink->recursive)
        return refuse (err, DFS_EISDIR);
    rc = check_version (rec, unlink->has_expected_version, unlink->expected_version,
                        err);
    if (rc < 0)
        return rc;
    answer (op, at.inode, rec);
    op->result->version = op->index;
    if (!directory)
        return take_away (op, &at, err);
    rc = dentry_remove (op, at.parent, at.name, at.name_len, err);
    if (rc == 0)
        rc = touch_parent (op, &at, err);
    return rc < 0 ? rc : job_remove_tree (op, at.inode, err);
}

int op_symlink (op_t *op, const Dfs__OpSymlink *symlink, dfs_error_t *err)
{
    size_t len = symlink->target.len;
    if (len == 0 || len > TARGET_MAX || memchr (symlink->target.data, 0, len))
        return fail (err, len > TARGET_MAX ? DFS_ENAMETOOLONG : DFS_EINVAL,
                     "bad target of a symlink");
    place_t at;
    int rc = walk (op->view, op->scratch, symlink->path.data, symlink->path.len, 0, &at,
                   err);
    if (rc < 0)
        return rc;
    if (at.inode && (!symlink->replace || at.type == DFS__FILE_TYPE__FILE_DIRECTORY))
        return refuse (err, DFS_EEXIST);
    uint32_t policy;
    rc = inherited_policy (op, &at, &policy, err);
    if (rc < 0)
        return rc;
    Dfs__RecInode rec;
    uint64_t id;
    inode_init (op, &rec, DFS__FILE_TYPE__FILE_SYMLINK, 0777, policy, &id);
    set_field (&rec, target, symlink->target);
    set_field (&rec, size, len);
    if (symlink->has_mtime_ns)
        rec.mtime_ns = symlink->mtime_ns;
    answer (op, id, &rec);
    rc = inode_add (op, id, &rec, err);
    return rc < 0 ? rc : place_inode (op, &at, id, rec.type, err);
}

int op_link (op_t *op, const Dfs__OpLink *link, dfs_error_t *err)
{
    place_t from, to;
    Dfs__RecInode *rec;
    int rc = walk_existing (op->view, op->scratch, link->from.data, link->from.len, 0,
                            &from, err);
    if (rc == 0)
        rc = walk (op->view, op->scratch, link->to.data, link->to.len, 0, &to, err);
    if (rc == 0)
        rc = inode_must (op->view, op->scratch, from.inode, &rec, err);
    if (rc < 0)
        return rc;
    if (from.type == DFS__FILE_TYPE__FILE_DIRECTORY)
        return refuse (err, DFS_EISDIR);
    if (to.inode)
        return refuse (err, DFS_EEXIST);
    rec->nlink++;
    rec->ctime_ns = op->time;
    answer (op, from.inode, rec);
    rc = inode_amend (op, from.inode, rec, err);
    return rc < 0 ? rc : place_inode (op, &to, from.inode, from.type, err);
}
