/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/attributes.h"
#include "broker/namespace/catalog.h"
#include "broker/namespace/dentry.h"
#include "broker/namespace/extent.h"
#include "broker/namespace/inode.h"
#include "broker/namespace/page.h"

void attributes_fill (const view_t *view, uint64_t id, const Dfs__RecInode *rec,
                      Dfs__Attr *out)
{
    dfs__attr__init (out);
    out->inode = id;
    out->type = rec->type;
    out->mode = rec->mode;
    out->size = rec->size;
    out->mtime_ns = rec->mtime_ns;
    out->version = rec->version;
    set_field (out, uid, rec->uid);
    set_field (out, gid, rec->gid);
    set_field (out, nlink, rec->nlink);
    set_field (out, ctime_ns, rec->ctime_ns);
    set_field (out, policy, rec->policy);
    const Dfs__Policy *policy = catalog_policy (view->catalog, rec->policy);
    if (policy) {
        set_field (out, replicas, policy->replicas);
        set_field (out, chunk_size, policy->chunk_size);
    }
    const Dfs__User *user = catalog_user (view->catalog, rec->uid);
    if (user)
        out->owner = user->name;
    if (rec->type == DFS__FILE_TYPE__FILE_REGULAR)
        set_field (out, chunks, rec->chunks);
    if (rec->has_target)
        set_field (out, target, rec->target);
    if (rec->has_tree)
        set_field (out, sha256_tree, rec->tree);
}

int attributes_new (const view_t *view, arena_t *arena, uint64_t id,
                    const Dfs__RecInode *rec, Dfs__Attr **out, dfs_error_t *err)
{
    Dfs__Attr *attr = *out = arena_alloc (arena, sizeof *attr);
    if (!attr)
        return refuse (err, DFS_ENOMEM);
    attributes_fill (view, id, rec, attr);
    if (attr->owner != protobuf_c_empty_string && attr->owner)
        attr->owner = arena_dup (arena, attr->owner, strlen (attr->owner));
    if (attr->has_target)
        attr->target.data = arena_dup (arena, attr->target.data, attr->target.len);
    if (attr->has_sha256_tree)
        attr->sha256_tree.data =
            arena_dup (arena, attr->sha256_tree.data, attr->sha256_tree.len);
    if ((attr->has_target && !attr->target.data) ||
        (attr->has_sha256_tree && !attr->sha256_tree.data))
        return refuse (err, DFS_ENOMEM);
    return 0;
}

/* A file is cut as its writer wanted; what its policy says holds for those of one chunk
 * that is no longer. */
static int cut_as (view_t *view, arena_t *scratch, const Dfs__RecInode *rec,
                   Dfs__Attr *out, dfs_error_t *err)
{
    Dfs__RecExtent **extents;
    uint64_t offset, longest = 0;
    size_t n;
    if (rec->type != DFS__FILE_TYPE__FILE_REGULAR || rec->root == 0 ||
        (rec->chunks <= 1 && rec->size <= out->chunk_size))
        return 0;
    int rc = page_extents (view, scratch, rec->root, PAGE_BY_NUMBER, 0, 2, &extents, &n,
                           &offset, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (extent_kind (extents[i]) == DFS__EXTENT_KIND__EXTENT_CHUNK &&
            extent_chunk_length (extents[i]) > longest)
            longest = extent_chunk_length (extents[i]);
    if (longest > 0)
        set_field (out, chunk_size, longest);
    return rc;
}

int attributes_stat (view_t *view, arena_t *scratch, const void *path, size_t len,
                     bool follow, arena_t *arena, Dfs__Attr **attr, dfs_error_t *err)
{
    place_t at;
    int rc =
        walk_existing (view, scratch, path, len, follow ? WALK_FOLLOW : 0, &at, err);
    if (rc < 0)
        return rc;
    Dfs__RecInode *rec;
    rc = inode_must (view, scratch, at.inode, &rec, err);
    if (rc == 0)
        rc = attributes_new (view, arena, at.inode, rec, attr, err);
    return rc < 0 ? rc : cut_as (view, scratch, rec, *attr, err);
}
