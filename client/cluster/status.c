/* SPDX-License-Identifier: MPL-2.0 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/output.h"
#include "client/cli/table.h"
#include "client/lib/dfs.h"
#include "node.h"
#include "process.h"
#include "verbs.h"

#define ASK_MS 5000

typedef struct view {
    const node_t *node;
    pid_t pid; /* 0: does not run */
    bool ready;
    char endpoint[320];
} view_t;

static view_t look (const nodes_t *nodes, const node_t *node)
{
    view_t view = {.node = node};
    process_t p;
    if (node->local && process_find (nodes->cluster, node, &p)) {
        view.pid = p.pid;
        view.ready = p.ready;
        process_close (&p);
    }
    node_endpoint (nodes->cluster, node, view.endpoint, sizeof view.endpoint);
    return view;
}

static const char *state_of (const view_t *view)
{
    if (!view->node->local)
        return "elsewhere";
    return !view->pid ? "stopped" : view->ready ? "running" : "starting";
}

static json_t *node_json (const view_t *view)
{
    json_t *o = json_object ();
    json_object_set_new (o, "name", out_text (view->node->config->name));
    json_object_set_new (o, "role", out_text (view->node->role));
    json_object_set_new (o, "host", out_text (view->node->config->host));
    json_object_set_new (o, "endpoint", out_text (view->endpoint));
    json_object_set_new (o, "state", out_text (state_of (view)));
    json_object_set_new (o, "pid", view->pid ? json_integer (view->pid) : json_null ());
    json_t *data = json_array ();
    for (size_t i = 0; i < view->node->config->n_data; i++)
        json_array_append_new (data, out_text (view->node->config->data[i]));
    json_object_set_new (o, "data", data);
    return o;
}

static void print_json (const nodes_t *nodes, const dfs_status_t *status,
                        const char *reason)
{
    json_t *o = json_object (), *array = json_array ();
    json_object_set_new (o, "cluster", out_text (nodes->cluster->name));
    json_object_set_new (o, "config", out_text (nodes->cluster->path));
    for (size_t i = 0; i < nodes->n; i++) {
        view_t view = look (nodes, &nodes->all[i]);
        json_array_append_new (array, node_json (&view));
    }
    json_object_set_new (o, "nodes", array);
    json_object_set_new (o, "status", status ? out_status_json (status) : json_null ());
    if (!status)
        json_object_set_new (o, "reason", out_text (reason));
    out_json (o);
}

static void print_text (const nodes_t *nodes, const dfs_status_t *status,
                        const char *reason)
{
    table_t *table = table_new ("llllr", stdout);
    table_row (table, "NODE", "ROLE", "STATE", "ENDPOINT", "PROCESS", NULL);
    for (size_t i = 0; i < nodes->n; i++) {
        view_t view = look (nodes, &nodes->all[i]);
        table_row (table, view.node->config->name, view.node->role, state_of (&view),
                   view.endpoint, NULL);
        if (view.pid)
            table_add (table, "%d", (int)view.pid);
        else
            table_add (table, "-");
    }
    table_destroy (&table);
    printf ("\n");
    if (status)
        out_status (status);
    else
        printf ("cluster %s: %s\n", nodes->cluster->name, reason);
}

int verb_status (int argc, char **argv)
{
    tool_next (argc, argv, NULL);
    tool_operands (argc, 1, 1);
    nodes_t *nodes = nodes_new (argv[optind], NULL, 0);
    dfs_options_t options = {.config = nodes->cluster->path, .timeout_ms = ASK_MS};
    dfs_error_t err = {0};
    dfs_status_t status;
    size_t brokers = 0;
    memset (&status, 0, sizeof status);
    for (size_t i = 0; i < nodes->n; i++) {
        const node_t *node = &nodes->all[i];
        if (strcmp (node->role, "broker") == 0)
            brokers += !node->local || look (nodes, node).ready;
    }
    dfs_t *dfs = NULL;
    if (brokers == 0)
        fail (&err, DFS_EUNAVAIL, "no broker is running");
    else
        dfs = dfs_open (&options, &err);
    bool answered = dfs && dfs_status (dfs, &status, &err) == 0;
    if (tool_common.json)
        print_json (nodes, answered ? &status : NULL, err.text);
    else
        print_text (nodes, answered ? &status : NULL, err.text);
    dfs_status_clear (&status);
    dfs_close (&dfs);
    nodes_destroy (&nodes);
    return 0;
}
