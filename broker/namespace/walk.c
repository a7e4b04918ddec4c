/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/dentry.h"
#include "broker/namespace/inode.h"
#include "msgs/path.h"

#define PENDING_MAX (4 * PATH_MAX_LEN) /* path still to walk, symlinks expanded */

static bool is_dots (const char *name, size_t len)
{
    return (len == 1 && name[0] == '.') ||
           (len == 2 && name[0] == '.' && name[1] == '.');
}

static size_t component (const char *p, const char *end)
{
    const char *slash = memchr (p, '/', (size_t)(end - p));
    return slash ? (size_t)(slash - p) : (size_t)(end - p);
}

/* The walk stands in directory DIR without a name. */
static void stand (place_t *at, uint64_t dir)
{
    memset (at, 0, sizeof *at);
    at->inode = dir;
    at->type = DFS__FILE_TYPE__FILE_DIRECTORY;
    at->name = "";
}

/* Puts the target of the symlink INODE before what is left of the path. */
static int expand (view_t *view, arena_t *arena, uint64_t inode, const char **p,
                   const char **end, dfs_error_t *err)
{
    Dfs__RecInode *rec;
    int rc = inode_must (view, arena, inode, &rec, err);
    if (rc < 0)
        return rc;
    size_t left = (size_t)(*end - *p);
    size_t len = rec->target.len;
    if (len + 1 + left > PENDING_MAX)
        return refuse (err, DFS_ENAMETOOLONG);
    char *pending = arena_alloc (arena, len + 1 + left);
    if (!pending)
        return refuse (err, DFS_ENOMEM);
    memcpy (pending, rec->target.data, len);
    pending[len] = '/';
    memcpy (pending + len + 1, *p, left);
    *p = pending;
    *end = pending + len + 1 + left;
    return 0;
}

/* A directory on the way is missing: what is behind it must be plain names. */
static int leave_rest (const char *p, const char *end, place_t *out, dfs_error_t *err)
{
    out->rest = p;
    out->rest_len = (size_t)(end - p);
    while (p < end) {
        size_t n = component (p, end);
        if (is_dots (p, n))
            return refuse (err, DFS_ENOENT);
        if (n > NAME_MAX_LEN)
            return refuse (err, DFS_ENAMETOOLONG);
        p += n + (p + n < end);
    }
    return 0;
}

int walk (view_t *view, arena_t *arena, const void *path, size_t len, unsigned flags,
          place_t *out, dfs_error_t *err)
{
    char *normal = arena_alloc (arena, PATH_MAX_LEN + 1);
    if (!normal)
        return refuse (err, DFS_ENOMEM);
    int n = path_normalise (path, len, normal, err);
    if (n < 0)
        return n;
    const char *p = normal;
    const char *end = normal + n;
    unsigned links = 0;
    stand (out, ROOT_INODE);
    for (;;) {
        while (p < end && *p == '/')
            p++;
        if (p == end)
            return 0;
        if (out->type != DFS__FILE_TYPE__FILE_DIRECTORY)
            return refuse (err, DFS_ENOTDIR);
        const char *name = p;
        size_t name_len = component (p, end);
        p += name_len;
        while (p < end && *p == '/')
            p++;
        uint64_t dir = out->inode;
        if (is_dots (name, name_len)) { /* only targets of symlinks have them */
            if (name_len == 2) {
                Dfs__RecInode *rec;
                int rc = inode_must (view, arena, dir, &rec, err);
                if (rc < 0)
                    return rc;
                dir = rec->parent;
            }
            stand (out, dir);
            continue;
        }
        if (name_len > NAME_MAX_LEN)
            return refuse (err, DFS_ENAMETOOLONG);
        Dfs__RecDentry *dentry;
        int rc = dentry_read (view, arena, dir, name, name_len, &dentry, err);
        if (rc < 0)
            return rc;
        *out = (place_t){.parent = dir, .name = name, .name_len = name_len};
        if (rc == 0) {
            if (p == end)
                return 0;
            return flags & WALK_PARENTS ? leave_rest (p, end, out, err)
                                        : refuse (err, DFS_ENOENT);
        }
        out->inode = dentry->inode;
        out->type = dentry->type;
        if (out->type == DFS__FILE_TYPE__FILE_SYMLINK &&
            (p < end || flags & WALK_FOLLOW)) {
            if (++links > SYMLINKS_MAX)
                return refuse (err, DFS_ELOOP);
            rc = expand (view, arena, out->inode, &p, &end, err);
            if (rc < 0)
                return rc;
            stand (out, *p == '/' ? ROOT_INODE : dir);
        }
    }
}

int walk_existing (view_t *view, arena_t *arena, const void *path, size_t len,
                   unsigned flags, place_t *out, dfs_error_t *err)
{
    int rc = walk (view, arena, path, len, flags, out, err);
    if (rc < 0)
        return rc;
    return out->inode ? 0 : refuse (err, DFS_ENOENT);
}
