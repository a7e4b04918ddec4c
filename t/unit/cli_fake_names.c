/* SPDX-License-Identifier: MPL-2.0 */
/* The fake namespace: stat, lists, directories, links, attributes. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_fake_private.h"

static void fill (dfs_stat_t *st, const struct stat *s, const char *path)
{
    memset (st, 0, sizeof *st);
    st->type = S_ISDIR (s->st_mode)   ? DFS_DIRECTORY
               : S_ISLNK (s->st_mode) ? DFS_SYMLINK
                                      : DFS_FILE;
    st->mode = s->st_mode & 07777;
    st->nlink = (uint32_t)s->st_nlink;
    st->size = S_ISREG (s->st_mode) ? (uint64_t)s->st_size : 0;
    st->mtime_ns =
        (uint64_t)s->st_mtim.tv_sec * 1000000000u + (uint64_t)s->st_mtim.tv_nsec;
    st->version = VERSION;
    st->chunks = (st->size + 4095) / 4096;
    st->chunk_size = 4096;
    st->replicas = 2;
    strcpy (st->owner, "admin");
    if (st->type == DFS_SYMLINK) {
        st->target = calloc (1, PATH_MAX);
        assert (st->target && readlink (path, st->target, PATH_MAX - 1) >= 0);
    }
}

int dfs_stat (dfs_t *dfs, const char *path, bool follow, dfs_stat_t *st,
              dfs_error_t *err)
{
    struct stat s;
    (void)dfs;
    const char *at = fake_path (path);
    if ((follow ? stat : lstat) (at, &s) < 0)
        return fake_errno (err, path);
    fill (st, &s, at);
    return 0;
}

void dfs_stat_clear (dfs_stat_t *st)
{
    free (st->target);
    memset (st, 0, sizeof *st);
}

static int list (const char *dir, const char *rel, const dfs_list_options_t *options,
                 int (*each) (const char *path, const dfs_stat_t *st, void *arg),
                 void *arg)
{
    struct dirent **entries;
    int n = scandir (dir, &entries, NULL, alphasort), rc = 0;
    assert (n >= 0);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char path[PATH_MAX], below[PATH_MAX];
        if (rc == 0 && strcmp (name, ".") && strcmp (name, "..")) {
            struct stat s;
            dfs_stat_t st;
            snprintf (path, sizeof path, "%s/%s", dir, name);
            snprintf (below, sizeof below, "%s%s%s", rel, *rel ? "/" : "", name);
            assert (lstat (path, &s) == 0);
            fill (&st, &s, path);
            if (!options->pattern || fnmatch (options->pattern, name, 0) == 0)
                rc = each (below, &st, arg);
            if (rc == 0 && options->recursive && st.type == DFS_DIRECTORY)
                rc = list (path, below, options, each, arg);
            dfs_stat_clear (&st);
        }
        free (entries[i]);
    }
    free (entries);
    return rc;
}

int dfs_list (dfs_t *dfs, const char *path, const dfs_list_options_t *options,
              int (*each) (const char *path, const dfs_stat_t *st, void *arg),
              void *arg, dfs_error_t *err)
{
    char top[2 * PATH_MAX];
    struct stat s;
    (void)dfs;
    snprintf (top, sizeof top, "%s", fake_path (path));
    if (stat (top, &s) < 0)
        return fake_errno (err, path);
    if (options && options->content) { /* what it holds is half of its length */
        options->content (7, 2, false, arg);
        options->content (7, 2, false, arg);
        options->content (8, 1, true, arg);
    }
    return list (top, "", options, each, arg);
}

void fake_parents (const char *path)
{
    char above[PATH_MAX];
    snprintf (above, sizeof above, "%s", path);
    for (char *p = above + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir (fake_path (above), 0755);
            *p = '/';
        }
}

int dfs_mkdir (dfs_t *dfs, const char *path, uint32_t mode, bool parents,
               dfs_error_t *err)
{
    (void)dfs;
    fake_trace ("mkdir %s %o%s", path, mode, parents ? " parents" : "");
    if (parents)
        fake_parents (path);
    if (mkdir (fake_path (path), 0755) < 0 && !(parents && errno == EEXIST))
        return fake_errno (err, path);
    return 0;
}

int dfs_rmdir (dfs_t *dfs, const char *path, dfs_error_t *err)
{
    (void)dfs;
    return rmdir (fake_path (path)) < 0 ? fake_errno (err, path) : 0;
}

int dfs_unlink (dfs_t *dfs, const char *path, bool recursive, dfs_error_t *err)
{
    (void)dfs;
    fake_trace ("unlink %s%s", path, recursive ? " recursive" : "");
    struct stat s;
    if (lstat (fake_path (path), &s) < 0)
        return fake_errno (err, path);
    if (S_ISDIR (s.st_mode) && !recursive)
        return fail (err, DFS_EISDIR, "%s: is a directory", path);
    return 0;
}

int dfs_unlink_many (dfs_t *dfs, const char *const *paths, size_t n, int *codes,
                     dfs_error_t *err)
{
    int first = 0;
    for (size_t i = 0; i < n; i++) {
        codes[i] = dfs_unlink (dfs, paths[i], false, err);
        if (first == 0)
            first = codes[i];
    }
    return first;
}

int dfs_rename (dfs_t *dfs, const char *from, const char *to, bool no_replace,
                dfs_error_t *err)
{
    (void)dfs;
    fake_trace ("rename %s %s%s", from, to, no_replace ? " no_replace" : "");
    return rename (fake_path (from), fake_path (to)) < 0 ? fake_errno (err, from) : 0;
}

int dfs_clone (dfs_t *dfs, const char *from, const char *to, bool no_replace,
               dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("clone %s %s%s", from, to, no_replace ? " no_replace" : "");
    return 0;
}

int dfs_symlink (dfs_t *dfs, const char *target, const char *path, bool replace,
                 dfs_error_t *err)
{
    (void)dfs;
    fake_trace ("symlink %s %s%s", target, path, replace ? " replace" : "");
    if (replace)
        unlink (fake_path (path));
    return symlink (target, fake_path (path)) < 0 ? fake_errno (err, path) : 0;
}

int dfs_setattr (dfs_t *dfs, const char *path, uint32_t mode, uint64_t mtime_ns,
                 dfs_error_t *err)
{
    (void)dfs;
    struct timespec times[2] = {
        {0, UTIME_OMIT},
        {(time_t)(mtime_ns / 1000000000u), (long)(mtime_ns % 1000000000u)}};
    fake_trace ("setattr %s %o", path, mode);
    if ((mode != UINT32_MAX && chmod (fake_path (path), mode) < 0) ||
        utimensat (AT_FDCWD, fake_path (path), times, AT_SYMLINK_NOFOLLOW) < 0)
        return fake_errno (err, path);
    return 0;
}
