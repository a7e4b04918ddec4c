/* SPDX-License-Identifier: MPL-2.0 */
/* stat and du. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/units.h"
#include "output.h"
#include "paths.h"
#include "table.h"
#include "verbs.h"

const tool_option_t stat_options[] = {
    {'L', "dereference", NULL, "what a symlink points to, not itself"},
    {TOOL_STALE, "stale", NULL, TOOL_STALE_HELP},
    {0, NULL, NULL, NULL},
};

static json_t *stat_json (const char *path, const dfs_stat_t *st)
{
    char time[64], hex[65], mode[16];
    json_t *o = out_stat_json (path, st);
    json_object_set_new (o, "chunks", out_number (st->chunks));
    json_object_set_new (o, "replicas", out_number (st->replicas));
    json_object_set_new (o, "chunk_size", out_number (st->chunk_size));
    json_object_set_new (o, "owner", out_text (st->owner));
    snprintf (mode, sizeof mode, "%04o", st->mode & 07777);
    json_object_set_new (o, "mode", json_string (mode));
    digest_hex (st->sha256_tree, sizeof st->sha256_tree, hex);
    json_object_set_new (o, "sha256_tree",
                         st->has_tree ? json_string (hex) : json_null ());
    json_object_set_new (o, "inode", out_number (st->inode));
    json_object_set_new (o, "links", out_number (st->nlink));
    json_object_set_new (o, "ctime",
                         json_string (out_time_json (st->ctime_ns, time, sizeof time)));
    return o;
}

static void stat_text (const char *path, const dfs_stat_t *st)
{
    char time[64], hex[65], mode[11], size[32];
    char *shown = tool_shown (path);
    printf ("%s: %s", shown, out_type_name (st->type));
    free (shown);
    if (st->target) {
        shown = tool_shown (st->target);
        printf (" to %s", shown);
        free (shown);
    }
    printf ("\n  mode      %s (%04o), owner %s\n", out_mode (st, mode),
            st->mode & 07777, *st->owner ? st->owner : "-");
    printf ("  modified  %s\n", out_time (st->mtime_ns, time, sizeof time));
    printf ("  version   %" PRIu64 ", inode %" PRIu64 ", links %u\n", st->version,
            st->inode, st->nlink);
    if (st->type != DFS_FILE)
        return;
    printf ("  size      %" PRIu64, st->size);
    if (st->size >= 1024)
        printf (" (%s)", units_format_size (size, sizeof size, st->size));
    printf ("\n  stored    %" PRIu64 " chunk%s of at most %s, %u cop%s\n", st->chunks,
            st->chunks == 1 ? "" : "s",
            units_format_size (size, sizeof size, st->chunk_size), st->replicas,
            st->replicas == 1 ? "y" : "ies");
    if (st->has_tree) {
        digest_hex (st->sha256_tree, sizeof st->sha256_tree, hex);
        printf ("  tree      %s\n", hex);
    }
}

int verb_stat (int argc, char **argv)
{
    bool follow = false;
    int status = 0;
    out_array_t array = {0};
    while (tool_next (argc, argv, NULL) != -1)
        follow = true;
    tool_operands (argc, 1, INT32_MAX);
    int n = argc - optind;
    dfs_t *dfs = tool_open ();
    for (int i = 0; i < n; i++) {
        char *path = path_remote (argv[optind + i]);
        bool link = follow || path_means_directory (argv[optind + i]);
        dfs_stat_t st = {0};
        dfs_error_t err = {0};
        if (dfs_stat (dfs, path, link, &st, &err) < 0)
            tool_worst (&status, tool_fail (path, &err));
        else if (!tool_common.json)
            stat_text (path, &st);
        else if (n == 1)
            out_json (stat_json (path, &st));
        else
            out_array_add (&array, stat_json (path, &st));
        dfs_stat_clear (&st);
        free (path);
    }
    if (tool_common.json && n > 1)
        out_array_end (&array);
    dfs_close (&dfs);
    return status;
}

/* --- du --- */

typedef struct sums {
    uint64_t files, directories, chunks, bytes;
} sums_t;

static void add (sums_t *sums, const dfs_stat_t *st)
{
    sums->files += st->type == DFS_FILE;
    sums->directories += st->type == DFS_DIRECTORY;
    if (st->type == DFS_FILE) {
        sums->chunks += st->chunks;
        sums->bytes += st->size;
    }
}

static int each (const char *rel, const dfs_stat_t *st, void *arg)
{
    (void)rel;
    add (arg, st);
    return 0;
}

static int measure (dfs_t *dfs, const char *path, sums_t *sums, dfs_error_t *err)
{
    dfs_stat_t st = {0};
    dfs_list_options_t options = {.recursive = true};
    int rc = dfs_stat (dfs, path, true, &st, err);
    if (rc < 0)
        return rc;
    add (sums, &st);
    if (st.type == DFS_DIRECTORY)
        rc = dfs_list (dfs, path, &options, each, sums, err);
    dfs_stat_clear (&st);
    return rc;
}

static void du_show (const char *path, const sums_t *sums, table_t *table,
                     out_array_t *array)
{
    char size[32];
    if (tool_common.json) {
        json_t *o = json_object ();
        json_object_set_new (o, "path", out_text (path));
        json_object_set_new (o, "bytes", out_number (sums->bytes));
        json_object_set_new (o, "files", out_number (sums->files));
        json_object_set_new (o, "directories", out_number (sums->directories));
        json_object_set_new (o, "chunks", out_number (sums->chunks));
        out_array_add (array, o);
        return;
    }
    char *shown = tool_shown (path);
    table_add (table, "%s", units_format_size (size, sizeof size, sums->bytes));
    table_add (table, "%" PRIu64, sums->bytes);
    table_add (table, "%" PRIu64, sums->files);
    table_add (table, "%" PRIu64, sums->directories);
    table_add (table, "%s", shown);
    free (shown);
}

int verb_du (int argc, char **argv)
{
    static char root[] = "/";
    char *nothing[] = {root};
    int status = 0;
    while (tool_next (argc, argv, NULL) != -1)
        continue;
    int n = argc - optind;
    char **operands = n ? argv + optind : nothing;
    out_array_t array = {0};
    dfs_t *dfs = tool_open ();
    table_t *table = NULL;
    for (int i = 0; i < (n ? n : 1); i++) {
        char *path = path_remote (operands[i]);
        sums_t sums = {0};
        dfs_error_t err = {0};
        if (measure (dfs, path, &sums, &err) < 0)
            tool_worst (&status, tool_fail (path, &err));
        else {
            if (!table && !tool_common.json) {
                table = table_new ("rrrrl", stdout);
                table_row (table, "SIZE", "BYTES", "FILES", "DIRS", "PATH", NULL);
            }
            du_show (path, &sums, table, &array);
        }
        free (path);
    }
    table_destroy (&table);
    if (tool_common.json)
        out_array_end (&array);
    dfs_close (&dfs);
    return status;
}
