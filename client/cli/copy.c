/* SPDX-License-Identifier: MPL-2.0 */
/* cp: moves no data, also with -r. */
#include <assert.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "paths.h"
#include "progress.h"
#include "verbs.h"

const tool_option_t cp_options[] = {
    {'r', "recursive", NULL, "directories with everything in them, file by file"},
    {'n', "no-clobber", NULL, "never replace a file (exit 4)"},
    {0, NULL, NULL, NULL},
};

/* A directory that was made. */
typedef struct later {
    char *path;
    uint64_t mtime_ns;
    struct later *next;
} later_t;

typedef struct copy {
    dfs_t *dfs;
    bool recursive, no_replace;
    const char *from, *to; /* tops of the tree under way */
    crew_t *crew;          /* of the tree under way */
    int status;
    later_t *later;
} copy_t;

static void copy_leaf (copy_t *copy, const char *from, const char *to,
                       const dfs_stat_t *st)
{
    dfs_error_t err = {0};
    int rc;
    if (st->type == DFS_SYMLINK)
        rc = dfs_symlink (copy->dfs, st->target ? st->target : "", to,
                          !copy->no_replace, &err);
    else
        rc = dfs_clone (copy->dfs, from, to, copy->no_replace, &err);
    if (rc < 0)
        tool_worst (&copy->status, tool_fail (from, &err));
}

/* What is copied into the directory TO changes its time: it gets the right one after.
 */
static void keep_time (copy_t *copy, const char *to, const dfs_stat_t *st)
{
    later_t *later = malloc (sizeof *later);
    assert (later);
    *later = (later_t){strdup (to), st->mtime_ns, copy->later};
    assert (later->path);
    copy->later = later;
}

static void set_times (copy_t *copy)
{
    crew_wait (copy->crew);
    while (copy->later) {
        later_t *later = copy->later;
        copy->later = later->next;
        change_attributes (copy->crew, &copy->status, later->path, UINT32_MAX,
                           later->mtime_ns);
        free (later->path);
        free (later);
    }
}

static int each (const char *rel, const dfs_stat_t *st, void *arg)
{
    copy_t *copy = arg;
    char *from = path_join (copy->from, rel), *to = path_join (copy->to, rel);
    dfs_error_t err = {0};
    int rc = 0;
    if (st->type == DFS_DIRECTORY) {
        rc = dfs_mkdir (copy->dfs, to, st->mode, true, &err);
        if (rc < 0)
            tool_worst (&copy->status, tool_fail (to, &err));
        else
            keep_time (copy, to, st);
    } else if (st->type == DFS_SYMLINK)
        change_symlink (copy->crew, &copy->status, st->target ? st->target : "", to,
                        st->mtime_ns, !copy->no_replace);
    else
        change_clone (copy->crew, &copy->status, from, to, copy->no_replace);
    free (from);
    free (to);
    return rc;
}

/* TO below FROM would never end. */
static bool is_inside (const char *to, const char *from)
{
    size_t len = strlen (from);
    return strcmp (from, "/") == 0 ||
           (strncmp (to, from, len) == 0 && (to[len] == '/' || to[len] == 0));
}

static void copy_tree (copy_t *copy, const char *from, const char *to,
                       const dfs_stat_t *st)
{
    dfs_error_t err = {0};
    dfs_list_options_t options = {.recursive = true};
    if (is_inside (to, from)) {
        tool_error (from, "cannot be copied into itself");
        tool_worst (&copy->status, dfs_error_status (DFS_ELOOP));
        return;
    }
    if (dfs_mkdir (copy->dfs, to, st->mode, true, &err) < 0) {
        tool_worst (&copy->status, tool_fail (to, &err));
        return;
    }
    copy->from = from;
    copy->to = to;
    /* A connection of its own: changes are made while it lists. */
    dfs_t *lister = tool_open ();
    copy->crew = crew_new ();
    keep_time (copy, to, st);
    if (dfs_list (lister, from, &options, each, copy, &err) < 0 && copy->status == 0)
        tool_worst (&copy->status, tool_fail (from, &err));
    set_times (copy);
    crew_destroy (&copy->crew);
    dfs_close (&lister);
}

static void copy_one (copy_t *copy, const char *operand, const target_t *target)
{
    char *from = path_remote (operand);
    char *to = target_for (target, path_last (from));
    dfs_stat_t st = {0};
    dfs_error_t err = {0};
    if (dfs_stat (copy->dfs, from, !copy->recursive, &st, &err) < 0)
        tool_worst (&copy->status, tool_fail (from, &err));
    else if (st.type != DFS_DIRECTORY)
        copy_leaf (copy, from, to, &st);
    else if (copy->recursive)
        copy_tree (copy, from, to, &st);
    else {
        tool_error (from, "is a directory (-r copies directories)");
        tool_worst (&copy->status, dfs_error_status (DFS_EISDIR));
    }
    dfs_stat_clear (&st);
    free (from);
    free (to);
}

int verb_cp (int argc, char **argv)
{
    copy_t copy = {0};
    target_t target = {0};
    dfs_error_t err = {0};
    int key;
    while ((key = tool_next (argc, argv, NULL)) != -1)
        if (key == 'r')
            copy.recursive = true;
        else
            copy.no_replace = true;
    tool_operands (argc, 2, INT32_MAX);
    int n = argc - optind - 1;
    const char *dest = argv[argc - 1];
    copy.dfs = tool_open ();
    if (target_remote (copy.dfs, dest, n > 1, &target, &err) < 0)
        copy.status = tool_fail (dest, &err);
    else
        for (int i = 0; i < n; i++)
            copy_one (&copy, argv[optind + i], &target);
    target_clear (&target);
    dfs_close (&copy.dfs);
    return copy.status;
}
