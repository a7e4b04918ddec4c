/* SPDX-License-Identifier: MPL-2.0 */
/* A directory becomes an empty disk of a worker, while nobody has it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/rng.h"
#include "msgs/mark.h"
#include "worker/store/index.h"
#include "worker/store/store.h"

static int lock_dir (const char *dir, dfs_error_t *err)
{
    char path[4096];
    snprintf (path, sizeof path, "%s/dfs-lock", dir);
    return io_lock (path, err);
}

static int is_ours (const struct dirent *de)
{
    size_t len = strlen (de->d_name);
    return (len > 4 && strcmp (de->d_name + len - 4, ".vol") == 0) ||
           (len > 4 && strcmp (de->d_name + len - 4, ".mdb") == 0);
}

/* Removes our files from a sub-directory, and it when it is empty then. */
static int clear (const char *dir, const char *sub, dfs_error_t *err)
{
    char path[4096];
    snprintf (path, sizeof path, "%s/%s", dir, sub);
    struct dirent **names;
    int n = scandir (path, &names, is_ours, NULL);
    int rc = DFS_OK;
    for (int i = 0; i < n; i++) {
        char file[5000];
        snprintf (file, sizeof file, "%s/%.255s", path, names[i]->d_name);
        if (rc == 0)
            rc = io_unlink (file, err);
        free (names[i]);
    }
    if (n >= 0)
        free (names);
    rmdir (path);
    return rc;
}

static int wipe (const char *dir, dfs_error_t *err)
{
    int lock = lock_dir (dir, err);
    if (lock < 0)
        return lock;
    static const char *const files[] = {"store-state", "index-bad", "spare", "dfs-mark"};
    int rc = clear (dir, "volumes", err);
    if (rc == 0)
        rc = clear (dir, "index", err);
    for (size_t i = 0; rc == 0 && i < sizeof files / sizeof files[0]; i++) {
        char path[4096];
        snprintf (path, sizeof path, "%s/%s", dir, files[i]);
        dfs_error_t mine = {0};
        rc = io_unlink (path, &mine);
        if (rc == DFS_ENOENT)
            rc = DFS_OK;
        if (rc < 0)
            fail (err, rc, "%s", mine.text);
    }
    io_close (lock);
    return rc < 0 ? rc : io_sync_dir (dir, err);
}

static int is_content (const struct dirent *de)
{
    return strcmp (de->d_name, ".") != 0 && strcmp (de->d_name, "..") != 0 &&
           strcmp (de->d_name, "lost+found") != 0 &&
           strcmp (de->d_name, "dfs-lock") != 0;
}

static bool is_empty (const char *dir)
{
    struct dirent **names;
    int n = scandir (dir, &names, is_content, NULL);
    for (int i = 0; i < n; i++)
        free (names[i]);
    if (n >= 0)
        free (names);
    return n <= 0;
}

int store_format (const char *dir, const uint8_t cluster_id[16], const char *node,
                  bool force, dfs_error_t *err)
{
    mark_t old;
    dfs_error_t mine = {0};
    int rc = mark_read (dir, &old, &mine);
    if (rc == DFS_OK && !force)
        return fail (err, DFS_EEXIST, "%s is marked for %s already", dir, old.node);
    if (rc < 0 && rc != DFS_ENOTMARKED && !force)
        return fail (err, rc, "%s", mine.text);
    if (rc == DFS_ENOTMARKED && !force && !is_empty (dir))
        return fail (err, DFS_ENOTEMPTY, "%s holds files that are not ours", dir);
    if (force && access (dir, F_OK) == 0) {
        rc = wipe (dir, err);
        if (rc < 0)
            return rc;
    }
    mark_t mark = {.role = "worker", .format = MARK_FORMAT};
    memcpy (mark.cluster_id, cluster_id, sizeof mark.cluster_id);
    rng_secret (mark.disk_id, sizeof mark.disk_id);
    if (snprintf (mark.node, sizeof mark.node, "%s", node) >= (int)sizeof mark.node)
        return fail (err, DFS_EINVAL, "node name %s is too long", node);
    return mark_create (dir, &mark, err);
}
