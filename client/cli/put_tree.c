/* SPDX-License-Identifier: MPL-2.0 */
/* Directories are made when they are met, and get their mode and time when everything
 * in them is stored: what is put into a directory changes its time. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/units.h"
#include "paths.h"
#include "progress.h"
#include "put_tree.h"
#include "tool.h"
#include "walk.h"

/* A directory whose files may still be in the batch. */
typedef struct done {
    char *path;
    uint32_t mode;
    uint64_t mtime_ns;
    struct done *next;
} done_t;

typedef struct tree {
    put_batch_t *batch;
    const char *dest;
    done_t *first, **last; /* deepest first */
} tree_t;

static uint64_t mtime_of (const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * SEC + (uint64_t)st->st_mtim.tv_nsec;
}

static void trouble (void *arg, const char *path, int errnum)
{
    tree_t *tree = arg;
    tool_error (path, "%s", strerror (errnum));
    tool_worst (&tree->batch->status, TOOL_EXIT_FAILED);
}

static void finish_directories (tree_t *tree)
{
    for (done_t *d; (d = tree->first);) {
        dfs_error_t err = {0};
        tree->first = d->next;
        if (!tree->batch->canceled &&
            dfs_setattr (tree->batch->dfs, d->path, d->mode, d->mtime_ns, &err) < 0)
            tool_worst (&tree->batch->status, tool_fail (d->path, &err));
        free (d->path);
        free (d);
    }
    tree->last = &tree->first;
}

static int enter (void *arg, const char *path, const char *rel, const struct stat *st)
{
    tree_t *tree = arg;
    dfs_error_t err = {0};
    (void)path;
    char *dest = path_join (tree->dest, rel);
    int rc = 0;
    /* parents: a directory that is there already is fine. */
    if (strcmp (dest, "/") &&
        dfs_mkdir (tree->batch->dfs, dest, st->st_mode & 07777, true, &err) < 0) {
        tool_worst (&tree->batch->status, tool_fail (dest, &err));
        rc = WALK_SKIP;
    }
    free (dest);
    return progress_interrupted () ? -1 : rc;
}

static int leave (void *arg, const char *path, const char *rel, const struct stat *st)
{
    tree_t *tree = arg;
    (void)path;
    done_t *d = calloc (1, sizeof *d);
    assert (d);
    d->path = path_join (tree->dest, rel);
    d->mode = st->st_mode & 07777;
    d->mtime_ns = mtime_of (st);
    if (strcmp (d->path, "/") == 0) {
        free (d->path);
        free (d);
        return 0;
    }
    *tree->last = d;
    tree->last = &d->next;
    if (tree->batch->n == 0)
        finish_directories (tree);
    return 0;
}

static void put_symlink (tree_t *tree, const char *path, const char *dest)
{
    char target[PATH_MAX];
    dfs_error_t err = {0};
    ssize_t n = readlink (path, target, sizeof target - 1);
    if (n < 0) {
        trouble (tree, path, errno);
        return;
    }
    target[n] = 0;
    bool replace = (tree->batch->options.flags & DFS_PUT_REPLACE) != 0;
    if (dfs_symlink (tree->batch->dfs, target, dest, replace, &err) < 0)
        tool_worst (&tree->batch->status, tool_fail (dest, &err));
}

static const char *kind_of (mode_t mode)
{
    return S_ISSOCK (mode)   ? "a socket"
           : S_ISFIFO (mode) ? "a fifo"
           : S_ISCHR (mode)  ? "a character device"
           : S_ISBLK (mode)  ? "a block device"
                             : "no file";
}

static int item (void *arg, const char *path, const char *rel, const struct stat *st)
{
    tree_t *tree = arg;
    char *dest = path_join (tree->dest, rel);
    if (S_ISLNK (st->st_mode))
        put_symlink (tree, path, dest);
    else if (!S_ISREG (st->st_mode)) {
        tool_error (path, "is %s, which cannot be stored", kind_of (st->st_mode));
        tool_worst (&tree->batch->status, TOOL_EXIT_FAILED);
    } else if (faccessat (AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
        trouble (tree, path, errno);
    else
        put_batch_add (tree->batch, path, -1, dest, 0);
    free (dest);
    if (tree->batch->n == 0)
        finish_directories (tree);
    return tree->batch->canceled || progress_interrupted ();
}

void put_tree (put_batch_t *batch, const char *source, const char *dest)
{
    tree_t tree = {.batch = batch, .dest = dest};
    tree.last = &tree.first;
    /* Only what belongs to this tree may stand before its directories. */
    put_batch_flush (batch);
    batch->tree = true;
    walk_visitor_t visitor = {enter, leave, item, trouble, &tree};
    walk (source, &visitor);
    put_batch_flush (batch);
    finish_directories (&tree);
    batch->tree = false;
}

/* --- measuring --- */

typedef struct sums {
    uint64_t bytes, files;
} sums_t;

static int pass (void *arg, const char *path, const char *rel, const struct stat *st)
{
    (void)arg;
    (void)path;
    (void)rel;
    (void)st;
    return progress_interrupted ();
}

static int count (void *arg, const char *path, const char *rel, const struct stat *st)
{
    sums_t *sums = arg;
    (void)path;
    (void)rel;
    if (S_ISREG (st->st_mode)) {
        sums->files++;
        sums->bytes += (uint64_t)st->st_size;
    }
    return progress_interrupted ();
}

static void ignore (void *arg, const char *path, int errnum)
{
    (void)arg;
    (void)path;
    (void)errnum;
}

void put_tree_measure (const char *source, uint64_t *bytes, uint64_t *files)
{
    sums_t sums = {0};
    walk_visitor_t visitor = {pass, pass, count, ignore, &sums};
    walk (source, &visitor);
    *bytes += sums.bytes;
    *files += sums.files;
}
