/* SPDX-License-Identifier: MPL-2.0 */
/* ls and find. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "paths.h"
#include "table.h"
#include "verbs.h"

const tool_option_t ls_options[] = {
    {'l', "long", NULL, "mode, copies, owner, size, time and version as well"},
    {'R', "recursive", NULL, "everything below, too"},
    {'d', "directory", NULL, "directories themselves, not what is in them"},
    {TOOL_STALE, "stale", NULL, TOOL_STALE_HELP},
    {0, NULL, NULL, NULL},
};

typedef struct lister {
    dfs_t *dfs;
    bool details, whole_paths, itself;
    dfs_list_options_t options;
    const char *top; /* listed now */
    table_t *table;
    out_array_t json;
    int status;
} lister_t;

/* NAME is what a person sees of PATH. */
static void show (lister_t *lister, const char *path, const char *name,
                  const dfs_stat_t *st)
{
    if (tool_common.json) {
        out_array_add (&lister->json, out_stat_json (path, st));
        return;
    }
    char *shown = tool_shown (name);
    if (lister->details) {
        char mode[11], time[32];
        table_add (lister->table, "%s", out_mode (st, mode));
        if (st->type == DFS_FILE)
            table_add (lister->table, "%u", st->replicas);
        else
            table_add (lister->table, "-");
        table_add (lister->table, "%s", *st->owner ? st->owner : "-");
        table_add (lister->table, "%" PRIu64, st->size);
        table_add (lister->table, "%s", out_time (st->mtime_ns, time, sizeof time));
        table_add (lister->table, "%" PRIu64, st->version);
        if (st->type == DFS_SYMLINK && st->target) {
            char *target = tool_shown (st->target);
            table_add (lister->table, "%s -> %s", shown, target);
            free (target);
        } else
            table_add (lister->table, "%s%s", shown,
                       st->type == DFS_DIRECTORY ? "/" : "");
    } else
        printf ("%s%s\n", shown,
                st->type == DFS_DIRECTORY && name[strlen (name) - 1] != '/' ? "/" : "");
    free (shown);
}

static int each (const char *rel, const dfs_stat_t *st, void *arg)
{
    lister_t *lister = arg;
    char *path = path_join (lister->top, rel);
    show (lister, path, lister->whole_paths ? path : rel, st);
    free (path);
    return ferror (stdout) ? DFS_EIO : 0;
}

static void list_one (lister_t *lister, const char *operand)
{
    char *path = path_remote (operand);
    dfs_stat_t st = {0};
    dfs_error_t err = {0};
    /* As ls(1): "dir/" and a symlink to a directory list it, unless -l shows the link.
     */
    bool follow = !lister->details || path_means_directory (operand);
    int rc = dfs_stat (lister->dfs, path, follow && !lister->itself, &st, &err);
    lister->top = path;
    if (rc == 0 && (st.type != DFS_DIRECTORY || lister->itself))
        show (lister, path, path, &st);
    else if (rc == 0)
        rc = dfs_list (lister->dfs, path, &lister->options, each, lister, &err);
    if (rc < 0)
        tool_worst (&lister->status, tool_fail (path, &err));
    dfs_stat_clear (&st);
    free (path);
}

static int run (lister_t *lister, char **operands, int n)
{
    lister->dfs = tool_open ();
    if (lister->details && !tool_common.json)
        lister->table = table_new ("lrlrlrl", stdout);
    for (int i = 0; i < n; i++)
        list_one (lister, operands[i]);
    table_destroy (&lister->table);
    if (tool_common.json)
        out_array_end (&lister->json);
    dfs_close (&lister->dfs);
    return lister->status;
}

int verb_ls (int argc, char **argv)
{
    static char root[] = "/";
    char *nothing[] = {root};
    lister_t lister = {0};
    int key;
    while ((key = tool_next (argc, argv, NULL)) != -1)
        switch (key) {
        case 'l':
            lister.details = true;
            break;
        case 'R':
            lister.options.recursive = true;
            break;
        case 'd':
            lister.itself = true;
            break;
        default:
            break;
        }
    int n = argc - optind;
    lister.whole_paths = n > 1;
    lister.options.brief = !lister.details && !tool_common.json;
    return n ? run (&lister, argv + optind, n) : run (&lister, nothing, 1);
}

/* A pattern is matched with names, so it has no '/': what begins with one is a
 * directory, on either side of it. */
static void take_pattern (char **operands, int n, const char **pattern)
{
    int at = 0;
    while (at < n - 1 && operands[at][0] == '/')
        at++;
    *pattern = operands[at];
    memmove (&operands[at], &operands[at + 1], (size_t)(n - 1 - at) * sizeof *operands);
}

int verb_find (int argc, char **argv)
{
    static char root[] = "/";
    char *nothing[] = {root};
    lister_t lister = {.whole_paths = true, .options = {.recursive = true}};
    while (tool_next (argc, argv, NULL) != -1)
        lister.details = true;
    tool_operands (argc, 1, INT32_MAX);
    int n = argc - optind;
    take_pattern (argv + optind, n, &lister.options.pattern);
    lister.options.brief = !lister.details && !tool_common.json;
    return n > 1 ? run (&lister, argv + optind, n - 1) : run (&lister, nothing, 1);
}
