/* SPDX-License-Identifier: MPL-2.0 */
/* OpClone and OpSetattr. */
#include "broker/namespace/catalog.h"
#include "broker/namespace/ops.h"
#include "broker/namespace/page.h"

int remake_pages (op_t *op, const Dfs__RecInode *rec, uint32_t policy, uint64_t *root,
                  dfs_error_t *err)
{
    if (rec->extents > REMAKE_EXTENTS)
        return fail (err, DFS_ETOOBIG,
                     "file has too many extents to change its policy");
    Dfs__RecExtent **list;
    size_t n, n_leaves = 0;
    uint64_t offset;
    int rc = page_extents (op->view, op->scratch, rec->root, PAGE_BY_NUMBER, 0,
                           REMAKE_EXTENTS, &list, &n, &offset, err);
    branch_t leaves[REMAKE_EXTENTS / PAGE_EXTENTS], whole = {0};
    if (rc == 0)
        rc = page_leaves (op, policy, list, n, leaves, &n_leaves, err);
    if (rc == 0)
        rc = page_build (op, leaves, n_leaves, &whole, err);
    *root = whole.page;
    return rc;
}

int op_clone (op_t *op, const Dfs__OpClone *clone, dfs_error_t *err)
{
    place_t from, to;
    int rc = walk_existing (op->view, op->scratch, clone->from.data, clone->from.len,
                            WALK_FOLLOW, &from, err);
    if (rc == 0)
        rc = walk (op->view, op->scratch, clone->to.data, clone->to.len, 0, &to, err);
    if (rc < 0)
        return rc;
    if (from.type == DFS__FILE_TYPE__FILE_DIRECTORY ||
        to.type == DFS__FILE_TYPE__FILE_DIRECTORY)
        return refuse (err, DFS_EISDIR);
    Dfs__RecInode *rec;
    rc = inode_must (op->view, op->scratch, from.inode, &rec, err);
    if (rc == 0)
        rc = check_version (rec, clone->has_expected_version, clone->expected_version,
                            err);
    if (rc < 0)
        return rc;
    if (to.inode && clone->no_replace)
        return refuse (err, DFS_EEXIST);
    if (to.inode == from.inode)
        return fail (err, DFS_EINVAL, "source and target are the same file");
    if (rec->root && (rc = page_share (op, rec->root, err)) < 0)
        return rc;
    Dfs__RecInode copy;
    uint64_t id;
    inode_init (op, &copy, rec->type, rec->mode, rec->policy, &id);
    set_field (&copy, size, rec->size);
    set_field (&copy, extents, rec->extents);
    set_field (&copy, chunks, rec->chunks);
    copy.has_root = rec->root != 0;
    copy.root = rec->root;
    copy.has_chain = rec->has_chain;
    copy.chain = rec->chain;
    copy.has_tree = rec->has_tree;
    copy.tree = rec->tree;
    copy.mtime_ns = rec->mtime_ns;
    copy.n_xattrs = rec->n_xattrs;
    copy.xattrs = rec->xattrs;
    answer (op, id, &copy);
    rc = inode_add (op, id, &copy, err);
    return rc < 0 ? rc : place_inode (op, &to, id, copy.type, err);
}

int op_setattr (op_t *op, const Dfs__OpSetattr *setattr, dfs_error_t *err)
{
    place_t at;
    Dfs__RecInode *rec;
    int rc = walk_existing (op->view, op->scratch, setattr->path.data,
                            setattr->path.len, 0, &at, err);
    if (rc == 0)
        rc = inode_must (op->view, op->scratch, at.inode, &rec, err);
    if (rc < 0)
        return rc;
    uint64_t root = rec->root;
    bool remake = false;
    if (setattr->has_policy) {
        rc = catalog_assign (&op->ns->catalog, setattr->policy, err);
        if (rc < 0)
            return rc;
        remake = root && setattr->policy != rec->policy;
    }
    rc = 0;
    if (remake)
        rc = remake_pages (op, rec, setattr->policy, &root, err);
    else if (root)
        rc = page_share (op, root, err); /* the past record keeps its own */
    if (rc < 0)
        return rc;
    rec->root = root;
    if (setattr->has_mode)
        rec->mode = setattr->mode & 07777;
    if (setattr->has_uid)
        set_field (rec, uid, setattr->uid);
    if (setattr->has_gid)
        set_field (rec, gid, setattr->gid);
    if (setattr->has_mtime_ns)
        rec->mtime_ns = setattr->mtime_ns;
    if (setattr->has_policy)
        set_field (rec, policy, setattr->policy);
    answer (op, at.inode, rec);
    return inode_replace (op, at.inode, rec, err);
}
