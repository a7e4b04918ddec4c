/* SPDX-License-Identifier: MPL-2.0 */
/* rm, mv, mkdir and rmdir. */
#include <assert.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "paths.h"
#include "verbs.h"

#define RM_BATCH 512

const tool_option_t rm_options[] = {
    {'r', "recursive", NULL, "directories with everything in them, at once"},
    {'f', "force", NULL, "what is not there is no error"},
    {0, NULL, NULL, NULL},
};

const tool_option_t move_options[] = {
    {'n', "no-clobber", NULL, "never replace anything (exit 4)"},
    {0, NULL, NULL, NULL},
};

const tool_option_t mkdir_options[] = {
    {'p', "parents", NULL, "missing ones above as well; being there is no error"},
    {'m', "mode", "MODE", "permission bits, octal (default: 755)"},
    {0, NULL, NULL, NULL},
};

typedef struct rm {
    dfs_t *dfs;
    bool force;
    int status;
    char *paths[RM_BATCH];
    size_t n;
} rm_t;

static void rm_report (rm_t *rm, const char *path, int code, const char *text)
{
    if (code >= 0 || (rm->force && code == DFS_ENOENT))
        return;
    if (code == DFS_EISDIR)
        text = "is a directory (-r removes directories)";
    tool_error (path, "%s", text);
    tool_worst (&rm->status, dfs_error_status (code));
}

static void rm_flush (rm_t *rm)
{
    int codes[RM_BATCH] = {0};
    dfs_error_t err = {0};
    if (rm->n == 0)
        return;
    int rc =
        dfs_unlink_many (rm->dfs, (const char *const *)rm->paths, rm->n, codes, &err);
    bool told = false;
    for (size_t i = 0; i < rm->n; i++) {
        told = told || codes[i] < 0;
        rm_report (rm, rm->paths[i], codes[i], dfs_error_text (codes[i]));
        free (rm->paths[i]);
    }
    if (rc < 0 && !told)
        tool_worst (&rm->status, tool_fail (NULL, &err));
    rm->n = 0;
}

int verb_rm (int argc, char **argv)
{
    rm_t *rm = calloc (1, sizeof *rm);
    assert (rm);
    bool recursive = false;
    int key;
    while ((key = tool_next (argc, argv, NULL)) != -1)
        if (key == 'r')
            recursive = true;
        else
            rm->force = true;
    tool_operands (argc, 1, INT32_MAX);
    rm->dfs = tool_open ();
    for (; optind < argc; optind++) {
        char *path = path_remote (argv[optind]);
        dfs_error_t err = {0};
        if (strcmp (path, "/") == 0) {
            tool_error (path, "the root stays");
            tool_worst (&rm->status, TOOL_EXIT_FAILED);
        } else if (recursive) {
            int rc = dfs_unlink (rm->dfs, path, true, &err);
            if (rc < 0 && !(rm->force && rc == DFS_ENOENT))
                tool_worst (&rm->status, tool_fail (path, &err));
        } else {
            rm->paths[rm->n++] = path;
            path = NULL;
            if (rm->n == RM_BATCH)
                rm_flush (rm);
        }
        free (path);
    }
    rm_flush (rm);
    int status = rm->status;
    dfs_close (&rm->dfs);
    free (rm);
    return status;
}

int verb_mv (int argc, char **argv)
{
    bool no_replace = false;
    target_t target = {0};
    dfs_error_t err = {0};
    while (tool_next (argc, argv, NULL) != -1)
        no_replace = true;
    tool_operands (argc, 2, INT32_MAX);
    int n = argc - optind - 1, status = 0;
    dfs_t *dfs = tool_open ();
    const char *dest = argv[argc - 1];
    /* `mv DIR NEW/` names a directory that is about to be. */
    int rc = target_remote (dfs, dest, n > 1, &target, &err);
    if (rc == DFS_ENOENT && n == 1 && !target.exists) {
        dfs_stat_t st = {0};
        char *from = path_remote (argv[optind]);
        if (dfs_stat (dfs, from, false, &st, NULL) == 0 && st.type == DFS_DIRECTORY)
            rc = 0;
        dfs_stat_clear (&st);
        free (from);
    }
    if (rc < 0)
        status = tool_fail (dest, &err);
    for (int i = 0; i < n && rc == 0; i++) {
        char *from = path_remote (argv[optind + i]);
        char *to = target_for (&target, path_last (from));
        if (dfs_rename (dfs, from, to, no_replace, &err) < 0)
            tool_worst (&status, tool_fail (from, &err));
        free (from);
        free (to);
    }
    target_clear (&target);
    dfs_close (&dfs);
    return status;
}

int verb_mkdir (int argc, char **argv)
{
    bool parents = false;
    uint32_t mode = 0755;
    const char *value;
    int key, status = 0;
    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == 'p')
            parents = true;
        else {
            char *end;
            unsigned long number = strtoul (value, &end, 8);
            if (!*value || *end || number > 07777)
                tool_usage ("--mode: '%s' is not an octal mode", value);
            mode = (uint32_t)number;
        }
    tool_operands (argc, 1, INT32_MAX);
    dfs_t *dfs = tool_open ();
    for (; optind < argc; optind++) {
        char *path = path_remote (argv[optind]);
        dfs_error_t err = {0};
        if (dfs_mkdir (dfs, path, mode, parents, &err) < 0)
            tool_worst (&status, tool_fail (path, &err));
        free (path);
    }
    dfs_close (&dfs);
    return status;
}

int verb_rmdir (int argc, char **argv)
{
    int status = 0;
    while (tool_next (argc, argv, NULL) != -1)
        continue;
    tool_operands (argc, 1, INT32_MAX);
    dfs_t *dfs = tool_open ();
    for (; optind < argc; optind++) {
        char *path = path_remote (argv[optind]);
        dfs_error_t err = {0};
        if (dfs_rmdir (dfs, path, &err) < 0)
            tool_worst (&status, tool_fail (path, &err));
        free (path);
    }
    dfs_close (&dfs);
    return status;
}
