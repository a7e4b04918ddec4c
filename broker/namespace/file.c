/* SPDX-License-Identifier: MPL-2.0 */
/* OpCommit: makes, replaces or appends to a file. */
#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/extent.h"
#include "broker/namespace/ops.h"
#include "broker/namespace/page.h"
#include "broker/namespace/tree.h"
#include "broker/namespace/upload.h"

#define REHASH_MAX 65536 /* extents read again for the tree hash of one commit */

typedef struct plan {
    const Dfs__OpCommit *commit;
    place_t at;
    Dfs__RecInode *old; /* the file that is there, or NULL */
    bool append;        /* to OLD */
    uint32_t policy;
    bool has_upload;
    bool remake; /* staged pages are under another policy */
    staged_t staged;
    Dfs__RecExtent **extents; /* of the entry */
    size_t n;
    Dfs__RecInode hashes; /* chain and tree of the outcome */
} plan_t;

/* Whether the name may be committed to, by what is there. */
static int plan_target (op_t *op, plan_t *plan, dfs_error_t *err)
{
    const Dfs__OpCommit *c = plan->commit;
    if (!c->create && !c->replace && !c->append)
        return fail (err, DFS_EINVAL,
                     "commit neither creates nor replaces nor appends");
    int rc = walk (op->view, op->scratch, c->path.data, c->path.len,
                   c->make_parents ? WALK_PARENTS : 0, &plan->at, err);
    if (rc < 0)
        return rc;
    const place_t *at = &plan->at;
    if (!at->inode) {
        if (!c->create)
            return refuse (err, DFS_ENOENT);
        return c->has_expected_version && c->expected_version
                   ? refuse (err, DFS_ECONFLICT)
                   : 0;
    }
    if (at->type == DFS__FILE_TYPE__FILE_DIRECTORY)
        return refuse (err, DFS_EISDIR);
    rc = inode_must (op->view, op->scratch, at->inode, &plan->old, err);
    if (rc < 0)
        return rc;
    if (!c->replace && !c->append)
        return refuse (err, DFS_EEXIST);
    rc = check_version (plan->old, c->has_expected_version, c->expected_version, err);
    if (rc < 0)
        return rc;
    if (at->type == DFS__FILE_TYPE__FILE_REGULAR) {
        plan->append = c->append;
        return 0;
    }
    if (c->append)
        return fail (err, DFS_EINVAL, "not a regular file");
    plan->old = NULL; /* a symlink is not written through: the file takes its name */
    return 0;
}

/* Whether chunks placed for another policy are enough for POLICY: which one a file is
 * to have may have changed since its client looked. */
static int placed_enough (op_t *op, const Dfs__OpCommit *c, const Dfs__Policy *policy,
                          dfs_error_t *err)
{
    uint32_t id = c->placed_policy ? c->placed_policy : c->policy ? c->policy : 1;
    const Dfs__Policy *placed = catalog_policy (&op->ns->catalog, id);
    if (!placed)
        return fail (err, DFS_EINVAL, "no policy %u", id);
    if ((c->n_extents == 0 && !c->has_upload) ||
        (policy->replicas <= placed->replicas &&
         policy->min_replicas <= placed->min_replicas))
        return 0;
    return fail (err, DFS_EPOLICY, "placed for %u copies, to be kept as %u",
                 placed->replicas, policy->replicas);
}

static int plan_policy (op_t *op, plan_t *plan, dfs_error_t *err)
{
    if (plan->append)
        plan->policy = plan->old->policy;
    else if (plan->commit->policy) {
        plan->policy = plan->commit->policy;
        int rc = catalog_assign (&op->ns->catalog, plan->policy, err);
        if (rc < 0)
            return rc;
    } else if (plan->old) /* replacing its content changes nothing else about a file */
        plan->policy = plan->old->policy;
    else {
        int rc = inherited_policy (op, &plan->at, &plan->policy, err);
        if (rc < 0)
            return rc;
    }
    const Dfs__Policy *policy = catalog_policy (&op->ns->catalog, plan->policy);
    if (!policy)
        return fail (err, DFS_EINVAL, "no policy %u", plan->policy);
    return placed_enough (op, plan->commit, policy, err);
}

static int plan_content (op_t *op, plan_t *plan, dfs_error_t *err)
{
    const Dfs__OpCommit *c = plan->commit;
    op->inl = c->inline_;
    op->n_inl = c->n_inline_;
    int rc;
    plan->has_upload = c->has_upload;
    if (c->has_upload) {
        rc = upload_load (op, c->upload, &plan->staged, err);
        if (rc < 0)
            return rc;
        plan->remake = plan->staged.n && plan->staged.rec->policy != plan->policy;
        if (plan->remake && plan->staged.extents + c->n_extents > REMAKE_EXTENTS)
            return fail (err, DFS_EINVAL, "upload was staged under policy %u, not %u",
                         plan->staged.rec->policy, plan->policy);
    }
    uint64_t end = plan->staged.length;
    rc = extents_check (op, c->extents, c->n_extents, &end, c->placed_index, err);
    if (rc < 0)
        return rc;
    if (end != c->size)
        return fail (err, DFS_EINVAL, "extents cover %llu bytes, not %llu",
                     (unsigned long long)end, (unsigned long long)c->size);
    if (plan->append && end > INT64_MAX - plan->old->size)
        return refuse (err, DFS_ETOOBIG);
    plan->n = c->n_extents;
    return extents_pack (op, c->extents, c->n_extents, &plan->extents, err);
}

/* The tree hash needs the extents of the group that an append goes on with, and those
 * staged pages that are not groups of their own. */
static int plan_hash (op_t *op, plan_t *plan, dfs_error_t *err)
{
    tree_t tree;
    uint64_t before = plan->append ? plan->old->extents : 0;
    tree_start (&tree, op->ns->digest, plan->append ? &plan->old->chain : NULL,
                before / TREE_GROUP);
    Dfs__RecExtent **list;
    size_t n;
    uint64_t offset;
    int rc;
    if (before % TREE_GROUP) {
        rc = page_extents (op->view, op->scratch, plan->old->root, PAGE_BY_NUMBER,
                           before - before % TREE_GROUP, TREE_GROUP, &list, &n, &offset,
                           err);
        if (rc < 0)
            return rc;
        tree_add (&tree, list, n);
    }
    uint64_t again = 0;
    for (size_t i = 0; i < plan->staged.n; i++) {
        const Dfs__RecStaged *row = plan->staged.rows[i];
        if (tree.n == 0 && row->extents == TREE_GROUP) {
            tree_add_group (&tree, row->hash.data);
            continue;
        }
        again += row->extents;
        if (again > REHASH_MAX)
            return fail (err, DFS_ETOOBIG, "staged pages are not full");
        rc = page_extents (op->view, op->scratch, row->page, PAGE_BY_NUMBER, 0,
                           PAGE_EXTENTS, &list, &n, &offset, err);
        if (rc < 0)
            return rc;
        tree_add (&tree, list, n);
    }
    tree_add (&tree, plan->extents, plan->n);
    return tree_finish (&tree, op->scratch, &plan->hashes, err);
}

/* Staged pages of another policy are made anew, and the old ones let go. */
static int remake_staged (op_t *op, plan_t *plan, branch_t *leaves, size_t *n,
                          dfs_error_t *err)
{
    for (size_t i = 0; i < plan->staged.n; i++) {
        Dfs__RecExtent **list;
        size_t m;
        uint64_t offset, id = plan->staged.rows[i]->page;
        int rc = page_extents (op->view, op->scratch, id, PAGE_BY_NUMBER, 0,
                               PAGE_EXTENTS, &list, &m, &offset, err);
        if (rc == 0)
            rc = page_leaf (op, plan->policy, list, m, &leaves[(*n)++], err);
        if (rc == 0)
            rc = page_release (op, id, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Room for every leaf of the outcome; those of an old file come first. */
static int plan_leaves (op_t *op, plan_t *plan, branch_t **leaves, size_t *n_old,
                        dfs_error_t *err)
{
    *n_old = 0;
    *leaves = arena_alloc (op->scratch, (UPLOAD_PAGES + 64) * sizeof **leaves);
    if (!*leaves)
        return refuse (err, DFS_ENOMEM);
    if (!plan->append || plan->staged.n == 0)
        return 0;
    int rc = page_leaf_branches (op->view, op->scratch, plan->old->root, *leaves,
                                 UPLOAD_PAGES / 2, n_old, err);
    if (rc == 0 && *n_old + plan->staged.n > UPLOAD_PAGES)
        return fail (err, DFS_ETOOBIG, "file would have too many pages");
    return rc;
}

static int make_pages (op_t *op, plan_t *plan, branch_t *leaves, size_t n,
                       uint64_t *root, dfs_error_t *err)
{
    branch_t whole;
    int rc = 0;
    if (plan->append && plan->staged.n == 0) {
        if (plan->n == 0 && (*root = plan->old->root)) /* nothing to add */
            return page_share (op, *root, err);
        rc = page_append (op, plan->policy, plan->old->root, plan->extents, plan->n,
                          &whole, err);
        *root = whole.page;
        return rc;
    }
    for (size_t i = 0; i < n; i++) /* leaves of the old file */
        if ((rc = page_share (op, leaves[i].page, err)) < 0)
            return rc;
    if (plan->remake)
        rc = remake_staged (op, plan, leaves, &n, err);
    else
        for (size_t i = 0; i < plan->staged.n; i++) {
            const Dfs__RecStaged *row = plan->staged.rows[i];
            leaves[n++] = (branch_t){row->page, row->length, row->extents};
        }
    if (rc == 0)
        rc = page_leaves (op, plan->policy, plan->extents, plan->n, leaves, &n, err);
    if (rc == 0)
        rc = page_build (op, leaves, n, &whole, err);
    if (rc == 0)
        *root = whole.page;
    return rc;
}

static void set_content (plan_t *plan, uint64_t root, Dfs__RecInode *rec)
{
    bool append = plan->append;
    uint64_t chunks = plan->staged.chunks + extents_chunks (plan->extents, plan->n);
    uint64_t extents = plan->staged.extents + plan->n;
    set_field (rec, size, plan->commit->size + (append ? plan->old->size : 0));
    set_field (rec, extents, extents + (append ? plan->old->extents : 0));
    set_field (rec, chunks, chunks + (append ? plan->old->chunks : 0));
    rec->has_root = root != 0;
    rec->root = root;
    rec->has_chain = plan->hashes.has_chain;
    rec->chain = plan->hashes.chain;
    rec->has_tree = 1;
    rec->tree = plan->hashes.tree;
    set_field (rec, policy, plan->policy);
}

int op_commit (op_t *op, const Dfs__OpCommit *commit, dfs_error_t *err)
{
    plan_t plan = {.commit = commit};
    branch_t *leaves = NULL;
    size_t n_old = 0;
    int rc = plan_target (op, &plan, err);
    if (rc == 0)
        rc = plan_policy (op, &plan, err);
    if (rc == 0)
        rc = plan_content (op, &plan, err);
    if (rc == 0)
        rc = plan_hash (op, &plan, err);
    if (rc == 0)
        rc = plan_leaves (op, &plan, &leaves, &n_old, err);
    if (rc < 0)
        return rc;

    uint64_t root = 0;
    rc = make_parents (op, &plan.at, err);
    if (rc == 0)
        rc = make_pages (op, &plan, leaves, n_old, &root, err);
    if (rc == 0 && plan.has_upload)
        rc = upload_commit (op, &plan.staged, err);
    if (rc < 0)
        return rc;
    Dfs__RecInode fresh;
    Dfs__RecInode *rec = plan.old ? plan.old : &fresh;
    uint64_t id = plan.at.inode;
    if (!plan.old)
        inode_init (op, rec, DFS__FILE_TYPE__FILE_REGULAR, 0644, plan.policy, &id);
    set_content (&plan, root, rec);
    rec->version = op->index;
    rec->mtime_ns = commit->has_mtime_ns ? commit->mtime_ns : op->time;
    if (commit->has_mode)
        rec->mode = commit->mode & 07777;
    answer (op, id, rec);
    if (plan.old)
        return inode_replace (op, id, rec, err);
    rc = inode_add (op, id, rec, err);
    return rc < 0 ? rc : place_inode (op, &plan.at, id, rec->type, err);
}
