/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/filetime.h"
#include "common/rng.h"
#include "msgs/path.h"
#include "paths.h"
#include "tool.h"

char *path_remote (const char *operand)
{
    dfs_error_t err = {0};
    char *given = path_join (*operand == '/' ? "" : "/", operand);
    char *out = malloc (PATH_MAX_LEN + 1);
    assert (out);
    const char *from = *operand == '/' ? operand : given;
    if (*operand == 0)
        fail (&err, DFS_EINVAL, "empty path");
    if (err.code < 0 || path_normalise (from, strlen (from), out, &err) < 0)
        exit (tool_fail (operand, &err));
    free (given);
    return out;
}

bool path_means_directory (const char *operand)
{
    size_t len = strlen (operand);
    return len > 0 && operand[len - 1] == '/';
}

char *path_join (const char *dir, const char *name)
{
    size_t len = strlen (dir);
    bool slash = len && dir[len - 1] == '/';
    char *path = malloc (len + strlen (name) + 2);
    assert (path);
    strcpy (path, dir);
    if (*name) {
        if (!slash)
            strcat (path, "/");
        strcat (path, name);
    }
    return path;
}

const char *path_last (const char *path)
{
    const char *slash = strrchr (path, '/');
    return slash ? slash + 1 : path;
}

char *path_local_name (const char *operand)
{
    size_t len = strlen (operand);
    while (len && operand[len - 1] == '/')
        len--;
    size_t from = len;
    while (from && operand[from - 1] != '/')
        from--;
    char *name = strndup (operand + from, len - from);
    assert (name);
    if (strcmp (name, ".") == 0 || strcmp (name, "..") == 0)
        *name = 0;
    return name;
}

static int refuse_target (const char *operand, bool exists, bool many, dfs_error_t *err)
{
    return exists ? fail (err, DFS_ENOTDIR, "%s: not a directory%s", operand,
                          many ? ", but there are several things to put there" : "")
                  : fail (err, DFS_ENOENT, "%s: no such directory", operand);
}

int target_remote (dfs_t *dfs, const char *operand, bool many, target_t *target,
                   dfs_error_t *err)
{
    memset (target, 0, sizeof *target);
    target->path = path_remote (operand);
    bool needed = many || path_means_directory (operand);
    if (strcmp (target->path, "/") == 0) {
        target->exists = target->into = true;
        return 0;
    }
    dfs_stat_t st = {0};
    int rc = dfs_stat (dfs, target->path, true, &st, err);
    if (rc < 0 && rc != DFS_ENOENT && rc != DFS_ENOTDIR)
        return rc;
    if (rc == 0) {
        target->exists = true;
        target->into = st.type == DFS_DIRECTORY;
        dfs_stat_clear (&st);
    }
    if (needed && !target->into)
        return refuse_target (operand, target->exists, many, err);
    return 0;
}

int target_local (const char *operand, bool many, target_t *target, dfs_error_t *err)
{
    struct stat st;
    memset (target, 0, sizeof *target);
    target->path = strdup (operand);
    assert (target->path);
    if (stat (operand, &st) == 0) {
        target->exists = true;
        target->into = S_ISDIR (st.st_mode);
    } else if (errno == ENOTDIR && path_means_directory (operand))
        target->exists = true; /* what is named there, or on the way, is none */
    else if (errno != ENOENT && errno != ENOTDIR)
        return fail_errno (err, "%s", operand);
    if ((many || path_means_directory (operand)) && !target->into)
        return refuse_target (operand, target->exists, many, err);
    return 0;
}

int path_symlink (const char *target, const char *path, uint64_t mtime_ns,
                  dfs_error_t *err)
{
    const char *name = strrchr (path, '/');
    size_t dir = name ? (size_t)(name + 1 - path) : 0, size = dir + 32;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    char *temp = malloc (size);
    int rc = 0;

    assert (temp);
    if (mtime_ns != UINT64_MAX)
        times[1] = filetime_unpack (mtime_ns);
    snprintf (temp, size, "%.*s.dfs-%016llx", (int)dir, path,
              (unsigned long long)rng_secret_u64 ());
    if (symlink (target, temp) < 0)
        rc = fail_errno (err, "%s", path);
    else if (utimensat (AT_FDCWD, temp, times, AT_SYMLINK_NOFOLLOW) < 0 ||
             rename (temp, path) < 0) {
        rc = fail_errno (err, "%s", path);
        unlink (temp);
    }
    free (temp);
    return rc;
}

char *target_for (const target_t *target, const char *name)
{
    return path_join (target->path, target->into ? name : "");
}

void target_clear (target_t *target)
{
    free (target->path);
    target->path = NULL;
}
