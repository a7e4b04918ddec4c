/* SPDX-License-Identifier: MPL-2.0 */
/* logs: the lines of all chosen nodes in the order of their time, and with -f those
 * that come. */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "process.h"
#include "verbs.h"

#define FOLLOW_MS 200

const tool_option_t log_options[] = {
    {'f', "follow", NULL, "go on with the lines that come"},
    {'n', "lines", "N", "only the last N lines"},
    {0, NULL, NULL, NULL},
};

typedef struct source {
    FILE *file; /* NULL: no log yet */
    char *path;
    char *line; /* read ahead, NULL at the end */
    size_t cap;
} source_t;

/* Reads the next whole line; half of one stays for later. */
static void advance (source_t *s)
{
    if (!s->file && !(s->file = fopen (s->path, "re")))
        return;
    clearerr (s->file);
    long at = ftell (s->file);
    ssize_t n = getline (&s->line, &s->cap, s->file);
    if (n > 0 && s->line[n - 1] == '\n')
        return;
    fseek (s->file, at, SEEK_SET);
    free (s->line);
    s->line = NULL;
    s->cap = 0;
}

/* Lines begin with their time, so the smallest is the oldest. */
static source_t *oldest (source_t *all, size_t n)
{
    source_t *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (all[i].line && (!best || strcmp (all[i].line, best->line) < 0))
            best = &all[i];
    return best;
}

static void print_all (source_t *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!all[i].line)
            advance (&all[i]);
    for (source_t *s; (s = oldest (all, n)); advance (s))
        fputs (s->line, stdout);
    fflush (stdout);
}

/* Keeps the last MAX lines and prints them. */
static void print_last (source_t *all, size_t n, size_t max)
{
    char **ring = calloc (max ? max : 1, sizeof *ring);
    size_t count = 0;
    assert (ring);
    for (size_t i = 0; i < n; i++)
        advance (&all[i]);
    for (source_t *s; (s = oldest (all, n)); advance (s)) {
        if (max == 0)
            continue;
        char **slot = &ring[count++ % max];
        free (*slot);
        *slot = s->line;
        s->line = NULL;
        s->cap = 0;
    }
    size_t first = count > max ? count - max : 0;
    for (size_t i = first; i < count; i++) {
        fputs (ring[i % max], stdout);
        free (ring[i % max]);
    }
    free (ring);
    fflush (stdout);
}

int verb_logs (int argc, char **argv)
{
    const char *value;
    bool follow = false;
    long lines = -1;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == 'f')
            follow = true;
        else
            lines = (long)tool_number ("--lines", value, 10000000);
    if (optind >= argc)
        tool_usage ("which cluster? DIR is missing");
    nodes_t *nodes = nodes_new (argv[optind], argv + optind + 1, argc - optind - 1);
    source_t *all = calloc (nodes->n, sizeof *all);
    assert (all);
    size_t n = 0;
    for (size_t i = 0; i < nodes->n; i++)
        if (nodes->all[i].chosen)
            all[n++].path =
                node_path (nodes->cluster->log_dir, nodes->all[i].config->name, ".log");
    if (lines >= 0)
        print_last (all, n, (size_t)lines);
    else
        print_all (all, n);
    int status = 0;
    for (size_t i = 0; i < n && nodes->named && !follow; i++)
        if (!all[i].file) {
            tool_error (all[i].path, "%s", strerror (ENOENT));
            status = dfs_error_status (DFS_ENOENT);
        }
    while (follow && !ferror (stdout)) {
        process_pause (FOLLOW_MS);
        print_all (all, n);
    }
    for (size_t i = 0; i < n; i++) {
        if (all[i].file)
            fclose (all[i].file);
        free (all[i].path);
        free (all[i].line);
    }
    free (all);
    nodes_destroy (&nodes);
    return status;
}
