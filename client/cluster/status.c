/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/output.h"
#include "client/cli/table.h"
#include "client/lib/dfs.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/io.h"
#include "common/units.h"
#include "common/zpl.h"
#include "hosts.h"
#include "node.h"
#include "process.h"
#include "verbs.h"

#define ASK_MS  5000
#define HOST_MS 15000

typedef struct view {
    const node_t *node;
    long pid; /* 0: does not run */
    const char *state;
    char endpoint[320];
    bool differs; /* its host's config file is not ours */
} view_t;

/* SHA-256 of the config file in hex. */
static void config_hash (const cluster_t *cluster, char out[2 * DIGEST_LEN + 1])
{
    void *text = NULL;
    size_t len = 0;
    uint8_t digest[DIGEST_LEN];
    *out = 0;
    if (io_slurp (cluster->path, ZPL_FILE_MAX, &text, &len, NULL) == 0) {
        digest_sha256 (text, len, digest);
        digest_hex (digest, sizeof digest, out);
    }
    free (text);
}

static view_t look (const nodes_t *nodes, const node_t *node)
{
    view_t view = {.node = node, .state = "stopped"};
    process_t p;
    if (!node->local)
        view.state = "silent";
    else if (process_find (nodes->cluster, node, &p)) {
        view.pid = p.pid;
        char why[600];
        view.state = cluster_refused_read (nodes->cluster, node->config->name, p.pid,
                                           why, sizeof why)
                         ? "refused"
                     : p.ready ? "running"
                               : "starting";
        process_close (&p);
    }
    node_endpoint (nodes->cluster, node, view.endpoint, sizeof view.endpoint);
    return view;
}

/* What another host said of its node O. */
static void take_over (view_t *view, const json_t *o)
{
    static const char *const states[] = {"stopped", "starting", "running", "refused"};
    const char *state = json_string_value (json_object_get (o, "state"));
    const char *endpoint = json_string_value (json_object_get (o, "endpoint"));
    for (size_t i = 0; state && i < sizeof states / sizeof *states; i++)
        if (strcmp (state, states[i]) == 0)
            view->state = states[i];
    view->pid = (long)json_integer_value (json_object_get (o, "pid"));
    if (endpoint)
        snprintf (view->endpoint, sizeof view->endpoint, "%s", endpoint);
}

/* Fills in what the hosts of the nodes elsewhere say. */
static int look_elsewhere (const nodes_t *nodes, view_t *views)
{
    char own[2 * DIGEST_LEN + 1];
    size_t n;
    int status = 0;
    remote_t *all = hosts_plan (nodes, NULL, "status", "--json", "", &n);
    config_hash (nodes->cluster, own);
    if (n)
        remote_run (all, n, HOST_MS);
    for (size_t k = 0; k < n; k++) {
        json_t *o = all[k].out ? json_loads (all[k].out, 0, NULL) : NULL;
        const char *hash = json_string_value (json_object_get (o, "config_sha256"));
        const json_t *array = json_object_get (o, "nodes");
        if (!o && all[k].answered)
            fprintf (stderr, "%s", all[k].err_len ? all[k].err : "");
        if (!o)
            tool_worst (&status, TOOL_EXIT_FAILED);
        for (size_t i = 0; o && i < nodes->n; i++) {
            if (strcmp (nodes->all[i].config->host, all[k].host))
                continue;
            views[i].differs = !hash || strcmp (hash, own);
            for (size_t j = 0; j < json_array_size (array); j++) {
                const json_t *item = json_array_get (array, j);
                const char *name = json_string_value (json_object_get (item, "name"));
                if (name && strcmp (name, nodes->all[i].config->name) == 0)
                    take_over (&views[i], item);
            }
        }
        json_decref (o);
    }
    hosts_free (&all, n);
    return status;
}

static json_t *node_json (const view_t *view)
{
    json_t *o = json_object ();
    json_object_set_new (o, "name", out_text (view->node->config->name));
    json_object_set_new (o, "role", out_text (view->node->role));
    json_object_set_new (o, "host", out_text (view->node->config->host));
    json_object_set_new (o, "endpoint", out_text (view->endpoint));
    json_object_set_new (o, "state", out_text (view->state));
    json_object_set_new (o, "pid", view->pid ? json_integer (view->pid) : json_null ());
    json_object_set_new (o, "config_differs", json_boolean (view->differs));
    json_t *data = json_array ();
    for (size_t i = 0; i < view->node->config->n_data; i++)
        json_array_append_new (data, out_text (view->node->config->data[i]));
    json_object_set_new (o, "data", data);
    return o;
}

static void print_json (const nodes_t *nodes, const view_t *views,
                        const dfs_status_t *status, const char *reason)
{
    json_t *o = json_object (), *array = json_array ();
    char hash[2 * DIGEST_LEN + 1];
    config_hash (nodes->cluster, hash);
    json_object_set_new (o, "cluster", out_text (nodes->cluster->name));
    json_object_set_new (o, "config", out_text (nodes->cluster->path));
    json_object_set_new (o, "config_sha256", out_text (hash));
    for (size_t i = 0; i < nodes->n; i++)
        if (nodes->all[i].chosen)
            json_array_append_new (array, node_json (&views[i]));
    json_object_set_new (o, "nodes", array);
    json_object_set_new (o, "status", status ? out_status_json (status) : json_null ());
    if (!status && reason)
        json_object_set_new (o, "reason", out_text (reason));
    out_json (o);
}

static void print_text (const nodes_t *nodes, const view_t *views,
                        const dfs_status_t *status, const char *reason)
{
    table_t *table = table_new ("llllr", stdout);
    table_row (table, "NODE", "ROLE", "STATE", "ENDPOINT", "PROCESS", NULL);
    for (size_t i = 0; i < nodes->n; i++) {
        const view_t *view = &views[i];
        if (!nodes->all[i].chosen)
            continue;
        table_row (table, view->node->config->name, view->node->role, view->state,
                   view->endpoint, NULL);
        if (view->pid)
            table_add (table, "%ld", view->pid);
        else
            table_add (table, "-");
    }
    table_destroy (&table);
    for (size_t i = 0; i < nodes->n; i++)
        if (views[i].differs && (i == 0 || strcmp (nodes->all[i - 1].config->host,
                                                   nodes->all[i].config->host)))
            printf ("the config file on %s differs from %s (dfs-cluster deploy)\n",
                    nodes->all[i].config->host, nodes->cluster->path);
    printf ("\n");
    if (status)
        out_status (status);
    else
        printf ("cluster %s: %s\n", nodes->cluster->name, reason);
}

/* Asks the brokers, when one of them may run. */
static bool ask (const nodes_t *nodes, const view_t *views, dfs_status_t *status,
                 dfs_error_t *err)
{
    dfs_options_t options = {.config = nodes->cluster->path, .timeout_ms = ASK_MS};
    bool runs = false;
    for (size_t i = 0; i < nodes->n; i++)
        if (strcmp (nodes->all[i].role, "broker") == 0 &&
            strcmp (views[i].state, "stopped"))
            runs = true;
    if (!runs) {
        fail (err, DFS_EUNAVAIL, "no broker is running");
        return false;
    }
    uint64_t begun = clock_mono ();
    dfs_t *dfs = dfs_open (&options, err);
    bool answered = dfs && dfs_status (dfs, status, err) == 0;
    dfs_close (&dfs);
    /* When none leads, any broker tells what it knows, if there is one. */
    if (!answered && clock_mono () - begun >= ASK_MS * MS &&
        nodes->cluster->n_brokers > 1) {
        dfs_error_t why = {0};
        options.stale = true;
        dfs = dfs_open (&options, &why);
        answered = dfs && dfs_status (dfs, status, &why) == 0;
        dfs_close (&dfs);
    }
    return answered;
}

int verb_status (int argc, char **argv)
{
    bool here = node_read_here (argc, argv);
    tool_operands (argc, 1, here ? INT_MAX : 1);
    nodes_t *nodes =
        nodes_new (argv[optind], argv + optind + 1, argc - optind - 1, here);
    dfs_error_t err = {0};
    dfs_status_t status;
    memset (&status, 0, sizeof status);
    view_t *views = calloc (nodes->n, sizeof *views);
    assert (views);
    for (size_t i = 0; i < nodes->n; i++)
        views[i] = look (nodes, &nodes->all[i]);
    int rc = look_elsewhere (nodes, views);
    bool answered = !here && ask (nodes, views, &status, &err);
    const char *reason = here ? NULL : err.text;
    if (tool_common.json)
        print_json (nodes, views, answered ? &status : NULL, reason);
    else
        print_text (nodes, views, answered ? &status : NULL, here ? "" : reason);
    if (!here && !answered)
        tool_worst (&rc, dfs_error_status (err.code));
    dfs_status_clear (&status);
    free (views);
    nodes_destroy (&nodes);
    return rc;
}
