/* SPDX-License-Identifier: MPL-2.0 */
/* Directories are made by a crew while files are stored (which make what is missing
 * above them); symlinks follow when all directories are there, and directories get
 * their mode and time when everything in them is stored: what is put into one changes
 * its time. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "change.h"
#include "common/filetime.h"
#include "paths.h"
#include "progress.h"
#include "put_tree.h"
#include "tool.h"
#include "walk.h"

/* What must wait for files and directories: a symlink, or the end of a directory. */
typedef struct later {
    char *path;
    char *target; /* NULL: a directory */
    uint32_t mode;
    uint64_t mtime_ns;
    struct later *next;
} later_t;

typedef struct tree {
    put_batch_t *batch;
    const char *dest;
    crew_t *crew;
    later_t *first, **last;
    size_t n_later;
    int status; /* of what was changed for entries below the source */
} tree_t;

static void trouble (void *arg, const char *path, int errnum)
{
    tree_t *tree = arg;
    tool_error (path, "%s", strerror (errnum));
    tool_worst (&tree->batch->status, TOOL_EXIT_FAILED);
}

static void add_later (tree_t *tree, later_t what)
{
    later_t *later = malloc (sizeof *later);
    assert (later);
    *later = what;
    later->next = NULL;
    *tree->last = later;
    tree->last = &later->next;
    tree->n_later++;
}

static void do_later (tree_t *tree, const later_t *later)
{
    int *status = &tree->status;
    if (later->target)
        change_symlink (tree->crew, status, later->target, later->path, later->mtime_ns,
                        (tree->batch->options.flags & DFS_PUT_REPLACE) != 0);
    else
        change_attributes (tree->crew, status, later->path, later->mode,
                           later->mtime_ns);
}

/* Everything met so far is stored: what waited for it is done, symlinks first. */
static void settle (tree_t *tree)
{
    put_batch_flush (tree->batch);
    crew_wait (tree->crew);
    for (later_t *l = tree->first; l && !tree->batch->canceled; l = l->next)
        if (l->target)
            do_later (tree, l);
    crew_wait (tree->crew);
    for (later_t *l; (l = tree->first);) {
        tree->first = l->next;
        if (!l->target && !tree->batch->canceled) {
            /* What is below one that nobody may search must be done before. */
            if (!(l->mode & 0100))
                crew_wait (tree->crew);
            do_later (tree, l);
        }
        free (l->path);
        free (l->target);
        free (l);
    }
    tree->last = &tree->first;
    tree->n_later = 0;
}

static int go_on (tree_t *tree)
{
    if (tree->n_later >= PUT_BATCH)
        settle (tree);
    return tree->batch->canceled || progress_interrupted () ? -1 : 0;
}

static int enter (void *arg, const char *path, const char *rel, const struct stat *st)
{
    tree_t *tree = arg;
    dfs_error_t err = {0};
    (void)path;
    char *dest = path_join (tree->dest, rel);
    int rc = 0;
    /* The top one at once: without it nothing has a place. One that is there already is
     * fine. */
    if (*rel)
        change_mkdir (tree->crew, &tree->status, dest, st->st_mode & 07777);
    else if (strcmp (dest, "/") &&
             dfs_mkdir (tree->batch->dfs, dest, st->st_mode & 07777, true, &err) < 0) {
        tool_worst (&tree->batch->status, tool_fail (dest, &err));
        rc = WALK_SKIP;
    }
    free (dest);
    return rc ? rc : go_on (tree);
}

static int leave (void *arg, const char *path, const char *rel, const struct stat *st)
{
    tree_t *tree = arg;
    (void)path;
    char *dest = path_join (tree->dest, rel);
    if (strcmp (dest, "/") == 0)
        free (dest);
    else
        add_later (tree, (later_t){.path = dest,
                                   .mode = st->st_mode & 07777,
                                   .mtime_ns = filetime_pack (st->st_mtim)});
    return go_on (tree);
}

static void put_symlink (tree_t *tree, const char *path, const char *dest,
                         const struct stat *st)
{
    char target[PATH_MAX];
    ssize_t n = readlink (path, target, sizeof target - 1);
    if (n < 0) {
        trouble (tree, path, errno);
        return;
    }
    target[n] = 0;
    later_t later = {.path = strdup (dest),
                     .target = strdup (target),
                     .mtime_ns = filetime_pack (st->st_mtim)};
    assert (later.path && later.target);
    add_later (tree, later);
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
        put_symlink (tree, path, dest, st);
    else if (!S_ISREG (st->st_mode)) {
        tool_error (path, "is %s, which cannot be stored", kind_of (st->st_mode));
        tool_worst (&tree->batch->status, TOOL_EXIT_FAILED);
    } else if (faccessat (AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
        trouble (tree, path, errno);
    else
        put_batch_add (tree->batch, path, -1, dest, 0);
    free (dest);
    return go_on (tree);
}

void put_tree (put_batch_t *batch, const char *source, const char *dest)
{
    tree_t tree = {.batch = batch, .dest = dest, .crew = crew_new ()};
    int flags = batch->options.flags;
    tree.last = &tree.first;
    /* The files before this tree keep their own way. */
    put_batch_flush (batch);
    batch->tree = true;
    batch->options.flags |= DFS_PUT_PARENTS;
    walk_visitor_t visitor = {enter, leave, item, trouble, &tree};
    walk (source, &visitor);
    settle (&tree);
    crew_destroy (&tree.crew);
    /* One of many: neither is the command wrong, nor its source missing. */
    if (tree.status == TOOL_EXIT_USAGE || tree.status == dfs_error_status (DFS_ENOENT))
        tree.status = TOOL_EXIT_FAILED;
    tool_worst (&batch->status, tree.status);
    batch->options.flags = flags;
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
