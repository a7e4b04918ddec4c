/* SPDX-License-Identifier: MPL-2.0 */
/* logs: the lines of all chosen nodes in the order of their time, and with -f those
 * that come. */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosts.h"
#include "node.h"
#include "process.h"
#include "verbs.h"

#define FOLLOW_MS 200
#define HOST_MS   60000

enum { KEY_REQUEST = 256 };

const tool_option_t log_options[] = {
    {'f', "follow", NULL, "go on with the lines that come"},
    {'n', "lines", "N", "only the last N lines"},
    {KEY_REQUEST, "request", "ID", "only the lines of this operation (req=ID)"},
    {NODE_HERE, "here", NULL, NODE_HERE_HELP},
    {0, NULL, NULL, NULL},
};

typedef struct call {
    bool follow, here;
    long lines;       /* -1: all */
    char request[24]; /* "req=…", empty: any */
} call_t;

typedef struct source {
    FILE *file; /* NULL: no log yet */
    char *path;
    char *line; /* read ahead, NULL at the end */
    size_t cap;
    const char *request; /* what its lines must hold, or "" */
} source_t;

/* Whether LINE has the word REQUEST. */
static bool is_wanted (const char *line, const char *request)
{
    const char *p = *request ? strstr (line, request) : NULL;
    return !*request || (p && p > line && p[-1] == ' ');
}

/* Reads the next whole line; half of one stays for later. */
static bool read_line (source_t *s)
{
    if (!s->file && (!s->path || !(s->file = fopen (s->path, "re"))))
        return false;
    clearerr (s->file);
    long at = ftell (s->file);
    ssize_t n = getline (&s->line, &s->cap, s->file);
    if (n > 0 && s->line[n - 1] == '\n')
        return true;
    fseek (s->file, at, SEEK_SET);
    free (s->line);
    s->line = NULL;
    s->cap = 0;
    return false;
}

static void advance (source_t *s)
{
    while (read_line (s) && !is_wanted (s->line, s->request))
        ;
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

static call_t read_call (int argc, char **argv)
{
    call_t call = {.lines = -1};
    const char *value;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == 'f')
            call.follow = true;
        else if (key == 'n')
            call.lines = (long)tool_number ("--lines", value, 10000000);
        else if (key == NODE_HERE)
            call.here = true;
        else {
            char *end;
            unsigned long long id = strtoull (value, &end, 16);
            if (*end || end == value || *value == '-')
                tool_usage ("--request: '%s' is not a hexadecimal number", value);
            snprintf (call.request, sizeof call.request, "req=%016llx", id);
        }
    if (optind >= argc)
        tool_usage ("which cluster? DIR is missing");
    return call;
}

/* Options for the same on another host. Returns BUF. */
static const char *options_text (const call_t *call, char *buf, size_t cap)
{
    int n = snprintf (buf, cap, "%s", call->follow ? "-f" : "");
    if (call->lines >= 0)
        n += snprintf (buf + n, cap - (size_t)n, " -n %ld", call->lines);
    if (*call->request)
        snprintf (buf + n, cap - (size_t)n, " --request %s", call->request + 4);
    return buf;
}

/* All hosts' lines as they come, this one's by a process of its own. */
static int follow_all (const nodes_t *nodes, const call_t *call)
{
    char options[96];
    size_t n;
    remote_t *all = hosts_plan (nodes, NULL, "logs",
                                options_text (call, options, sizeof options), "", &n);
    remote_t *more = calloc (n + 1, sizeof *more);
    assert (more);
    memcpy (more, all, n * sizeof *all);
    free (all);
    if ((more[n].command = hosts_local_command (nodes, "logs", options)))
        n++;
    for (size_t i = 0; i < n; i++)
        more[i].stream = true;
    int status = hosts_run (more, n, 0);
    hosts_free (&more, n);
    return status;
}

/* What the other hosts' logs say; *N of them. */
static remote_t *fetch (const nodes_t *nodes, const call_t *call, size_t *n,
                        int *status)
{
    char options[96];
    remote_t *all = hosts_plan (nodes, NULL, "logs",
                                options_text (call, options, sizeof options), "", n);
    if (*n)
        remote_run (all, *n, HOST_MS);
    for (size_t k = 0; k < *n; k++) {
        if (all[k].answered && all[k].err_len)
            fwrite (all[k].err, 1, all[k].err_len, stderr);
        tool_worst (status, all[k].answered ? all[k].status : TOOL_EXIT_FAILED);
    }
    return all;
}

static int print_logs (const nodes_t *nodes, const call_t *call)
{
    size_t n = 0, n_hosts;
    int status = 0;
    remote_t *hosts = fetch (nodes, call, &n_hosts, &status);
    source_t *all = calloc (nodes->n + n_hosts, sizeof *all);
    assert (all);
    for (size_t i = 0; i < nodes->n; i++)
        if (nodes->all[i].chosen && nodes->all[i].local) {
            all[n].request = call->request;
            all[n++].path =
                node_path (nodes->cluster->log_dir, nodes->all[i].config->name, ".log");
        }
    for (size_t k = 0; k < n_hosts; k++)
        if (hosts[k].out_len) {
            all[n].request = call->request;
            all[n++].file = fmemopen (hosts[k].out, hosts[k].out_len, "r");
        }
    if (call->lines >= 0)
        print_last (all, n, (size_t)call->lines);
    else
        print_all (all, n);
    for (size_t i = 0; i < n && nodes->named && !call->follow && !call->here; i++)
        if (!all[i].file) {
            tool_error (all[i].path, "%s", strerror (ENOENT));
            status = dfs_error_status (DFS_ENOENT);
        }
    while (call->follow && !ferror (stdout)) {
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
    hosts_free (&hosts, n_hosts);
    return status;
}

int verb_logs (int argc, char **argv)
{
    call_t call = read_call (argc, argv);
    nodes_t *nodes =
        nodes_new (argv[optind], argv + optind + 1, argc - optind - 1, call.here);
    int status = call.follow && hosts_any (nodes) ? follow_all (nodes, &call)
                                                  : print_logs (nodes, &call);
    nodes_destroy (&nodes);
    return status;
}
