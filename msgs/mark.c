/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/io.h"
#include "mark.h"

#define MARK_FILE "dfs-mark"
/* To who starts a node; only a person knows whether a disk is new. */
#define HINT "is its disk mounted? A new, empty one needs `dfs-cluster mark --new`"

static int mark_path (char *out, size_t cap, const char *dir, dfs_error_t *err)
{
    if (snprintf (out, cap, "%s/" MARK_FILE, dir) >= (int)cap)
        return fail (err, DFS_ENAMETOOLONG, "%s: path too long", dir);
    return DFS_OK;
}

/* mkdir -p; the new parent directories are made durable with their entries. */
static int make_dirs (const char *dir, dfs_error_t *err)
{
    char path[PATH_MAX];
    if (snprintf (path, sizeof path, "%s", dir) >= (int)sizeof path)
        return fail (err, DFS_ENAMETOOLONG, "%s: path too long", dir);
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char c = *p;
        *p = 0;
        struct stat st;
        if (stat (path, &st) < 0 && mkdir (path, 0700) < 0 && errno != EEXIST)
            return fail_errno (err, "make directory %s", path);
        *p = c;
        if (!c)
            return DFS_OK;
    }
}

int mark_create (const char *dir, const mark_t *mark, dfs_error_t *err)
{
    char path[PATH_MAX];
    int rc = mark_path (path, sizeof path, dir, err);
    if (rc == 0)
        rc = make_dirs (dir, err);
    if (rc < 0)
        return rc;
    if (access (path, F_OK) == 0)
        return fail (err, DFS_EEXIST,
                     "%s is marked already: it holds data of a cluster", dir);
    char cluster[33], disk[33], text[512];
    digest_hex (mark->cluster_id, 16, cluster);
    digest_hex (mark->disk_id, 16, disk);
    int n =
        snprintf (text, sizeof text, "dfs %u\ncluster %s\nrole %s\nnode %s\ndisk %s\n",
                  MARK_FORMAT, cluster, mark->role, mark->node, disk);
    return io_replace (path, text, (size_t)n, 0600, err);
}

int mark_read (const char *dir, mark_t *mark, dfs_error_t *err)
{
    char path[PATH_MAX];
    memset (mark, 0, sizeof *mark);
    int rc = mark_path (path, sizeof path, dir, err);
    if (rc < 0)
        return rc;
    if (access (dir, F_OK) < 0)
        return fail (err, DFS_ENOTMARKED, "%s does not exist (" HINT ")", dir);
    if (access (path, F_OK) < 0)
        return fail (err, DFS_ENOTMARKED, "%s has no mark of dfs in it (" HINT ")",
                     dir);
    void *data;
    size_t len;
    rc = io_slurp (path, 1024, &data, &len, err);
    if (rc < 0)
        return rc;
    char cluster[40], disk[40];
    int end = -1;
    int n = sscanf (data, "dfs %u\ncluster %39s\nrole %15s\nnode %63s\ndisk %39s\n%n",
                    &mark->format, cluster, mark->role, mark->node, disk, &end);
    if (n >= 1 && mark->format != MARK_FORMAT)
        rc = fail (err, DFS_EVERSION, "%s: format %u, this program knows %u", path,
                   mark->format, MARK_FORMAT);
    else if (n != 5 || end != (int)len ||
             digest_unhex (cluster, mark->cluster_id, 16) < 0 ||
             digest_unhex (disk, mark->disk_id, 16) < 0)
        rc = fail (err, DFS_EDAMAGED, "%s: not a mark of dfs", path);
    free (data);
    return rc;
}

int mark_expect (const char *dir, const uint8_t cluster_id[16], const char *role,
                 const char *node, mark_t *mark, dfs_error_t *err)
{
    int rc = mark_read (dir, mark, err);
    if (rc < 0)
        return rc;
    if (memcmp (mark->cluster_id, cluster_id, 16) != 0)
        return fail (err, DFS_ECLUSTER, "%s belongs to another cluster", dir);
    if (strcmp (mark->role, role) != 0 || strcmp (mark->node, node) != 0)
        return fail (err, DFS_ECLUSTER, "%s belongs to %s %s, not to %s %s", dir,
                     mark->role, mark->node, role, node);
    return DFS_OK;
}
