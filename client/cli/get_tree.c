/* SPDX-License-Identifier: MPL-2.0 */
/* The listing runs on a connection of its own, so that its entries need not be kept
 * while the files are fetched. Directories are open to us while we write into them and
 * get their mode and time at the end, deepest first. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/filetime.h"
#include "get_tree.h"
#include "paths.h"
#include "progress.h"
#include "tool.h"

/* A directory to be finished. */
typedef struct made {
    char *path;
    uint32_t mode;
    uint64_t mtime_ns;
    struct made *next; /* made before it */
} made_t;

typedef struct tree {
    get_batch_t *batch;
    const char *source, *dest;
    made_t *last;
    char *skip; /* below this (relative) nothing can be written */
} tree_t;

static void local_error (tree_t *tree, const char *path)
{
    dfs_error_t err = {0};
    int status = dfs_error_status (fail_errno (&err, "%s", path));
    tool_fail (path, &err);
    tool_worst (&tree->batch->status, status);
}

static void times_of (uint64_t mtime_ns, struct timespec times[2])
{
    times[0] = (struct timespec){0, UTIME_OMIT};
    times[1] = filetime_unpack (mtime_ns);
}

/* A symlink in the way is not followed: the stored tree says what is a directory. ROOT
 * is what the user named, though. */
static bool make_directory (tree_t *tree, const char *path, const dfs_stat_t *st,
                            bool root)
{
    struct stat there;
    if (mkdir (path, 0700) < 0) {
        int saved = errno;
        if (saved != EEXIST || (root ? stat : lstat) (path, &there) < 0 ||
            !S_ISDIR (there.st_mode)) {
            errno = saved == EEXIST ? ENOTDIR : saved;
            local_error (tree, path);
            return false;
        }
        if ((there.st_mode & 0700) != 0700)
            chmod (path, (there.st_mode | 0700) & 07777);
    }
    made_t *made = calloc (1, sizeof *made);
    assert (made);
    made->path = strdup (path);
    assert (made->path);
    made->mode = st->mode & 01777;
    made->mtime_ns = st->mtime_ns;
    made->next = tree->last;
    tree->last = made;
    return true;
}

static void make_symlink (tree_t *tree, const char *path, const dfs_stat_t *st)
{
    dfs_error_t err;

    if (path_symlink (st->target ? st->target : "", path, st->mtime_ns, &err) < 0)
        tool_worst (&tree->batch->status, tool_fail (NULL, &err));
}

static bool is_below (const char *path, const char *top)
{
    size_t len = strlen (top);
    return strncmp (path, top, len) == 0 && path[len] == '/';
}

static int each (const char *rel, const dfs_stat_t *st, void *arg)
{
    tree_t *tree = arg;
    if (tree->skip && is_below (rel, tree->skip))
        return 0;
    char *local = path_join (tree->dest, rel);
    char *remote = path_join (tree->source, rel);
    switch (st->type) {
    case DFS_DIRECTORY:
        if (!make_directory (tree, local, st, false)) {
            free (tree->skip);
            tree->skip = strdup (rel);
            assert (tree->skip);
        }
        break;
    case DFS_SYMLINK:
        make_symlink (tree, local, st);
        break;
    case DFS_FILE:
        get_batch_add (tree->batch, remote, local, -1, 0, UINT64_MAX);
        break;
    case DFS_SPECIAL:
    case DFS_NONE:
        tool_error (remote, "is no file, directory or symlink");
        tool_worst (&tree->batch->status, TOOL_EXIT_FAILED);
        break;
    }
    free (local);
    free (remote);
    return tree->batch->canceled || progress_interrupted () ? DFS_ECANCELED : 0;
}

static int measure (const char *rel, const dfs_stat_t *st, void *arg)
{
    get_batch_t *batch = arg;
    (void)rel;
    if (st->type == DFS_FILE) {
        batch->files_total++;
        batch->bytes_total += st->size;
    }
    return progress_interrupted () ? DFS_ECANCELED : 0;
}

static void finish_directories (tree_t *tree)
{
    for (made_t *made; (made = tree->last);) {
        struct timespec times[2];
        tree->last = made->next;
        times_of (made->mtime_ns, times);
        if (chmod (made->path, made->mode) < 0 ||
            utimensat (AT_FDCWD, made->path, times, 0) < 0)
            local_error (tree, made->path);
        free (made->path);
        free (made);
    }
}

void get_tree (get_batch_t *batch, const char *source, const dfs_stat_t *st,
               const char *dest)
{
    tree_t tree = {.batch = batch, .source = source, .dest = dest};
    dfs_list_options_t options = {.recursive = true};
    dfs_error_t err = {0};
    get_batch_flush (batch);
    if (!make_directory (&tree, dest, st, true))
        return;
    dfs_t *lister = tool_open ();
    int rc = 0;
    if (!tool_common.quiet && isatty (STDERR_FILENO))
        rc = dfs_list (lister, source, &options, measure, batch, &err);
    if (rc == 0)
        rc = dfs_list (lister, source, &options, each, &tree, &err);
    get_batch_flush (batch);
    if (rc < 0 && !batch->canceled && !progress_interrupted ()) {
        err.code = rc;
        tool_worst (&batch->status, tool_fail (source, &err));
    }
    dfs_close (&lister);
    finish_directories (&tree);
    free (tree.skip);
}
