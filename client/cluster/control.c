/* SPDX-License-Identifier: MPL-2.0 */
/* start, stop, restart, kill and env. */
#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosts.h"
#include "lifecycle.h"
#include "node.h"
#include "process.h"
#include "verbs.h"

#define START_MS 60000
#define STOP_MS  20000
#define GONE_MS  10000

enum { KEY_WAIT = 256, KEY_NAMED, KEY_ROLLING };

#define WAIT_OPTIONS                                                                   \
    {KEY_WAIT, "wait", "SECONDS",                                                      \
     "how long to wait (default: 60 to start, 20 to stop)"},                           \
        {NODE_HERE, "here", NULL, NODE_HERE_HELP},                                     \
    {                                                                                  \
        KEY_NAMED, "named", NULL, "with --here: the user named the nodes"              \
    }

const tool_option_t start_options[] = {
    WAIT_OPTIONS,
    {0, NULL, NULL, NULL},
};

const tool_option_t restart_options[] = {
    {KEY_ROLLING, "rolling", NULL, "one after the other, waiting for health between"},
    WAIT_OPTIONS,
    {0, NULL, NULL, NULL},
};

const tool_option_t here_options[] = {
    {NODE_HERE, "here", NULL, NODE_HERE_HELP},
    {0, NULL, NULL, NULL},
};

typedef struct call {
    nodes_t *nodes;
    unsigned wait_ms; /* 0: the default */
    bool rolling;
} call_t;

/* Reads the options of start, stop and restart. */
static call_t read_call (int argc, char **argv)
{
    const char *value;
    call_t call = {0};
    bool here = false, named = false;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == KEY_WAIT)
            call.wait_ms = (unsigned)tool_number ("--wait", value, 100000) * 1000;
        else if (key == NODE_HERE)
            here = true;
        else if (key == KEY_NAMED)
            named = true;
        else
            call.rolling = true;
    if (optind >= argc)
        tool_usage ("which cluster? DIR is missing");
    call.nodes = nodes_new (argv[optind], argv + optind + 1, argc - optind - 1, here);
    if (here)
        call.nodes->named = named;
    return call;
}

int verb_start (int argc, char **argv)
{
    call_t call = read_call (argc, argv);
    int status = lifecycle_start (call.nodes, call.wait_ms ? call.wait_ms : START_MS);
    nodes_destroy (&call.nodes);
    return status;
}

int verb_stop (int argc, char **argv)
{
    call_t call = read_call (argc, argv);
    int status = lifecycle_stop (call.nodes, call.wait_ms ? call.wait_ms : STOP_MS);
    nodes_destroy (&call.nodes);
    return status;
}

int verb_restart (int argc, char **argv)
{
    call_t call = read_call (argc, argv);
    unsigned stop_ms = call.wait_ms ? call.wait_ms : STOP_MS;
    unsigned start_ms = call.wait_ms ? call.wait_ms : START_MS;
    int status;
    if (call.rolling)
        status = lifecycle_roll (call.nodes, stop_ms, start_ms);
    else {
        status = lifecycle_stop (call.nodes, stop_ms);
        tool_worst (&status, lifecycle_start (call.nodes, start_ms));
    }
    nodes_destroy (&call.nodes);
    return status;
}

/* "9", "KILL" or "SIGKILL" as number; ends the program when it is none. */
static int signal_number (const char *name)
{
    const char *bare = strncasecmp (name, "SIG", 3) == 0 ? name + 3 : name;
    if (isdigit ((unsigned char)*name)) {
        int number = (int)tool_number ("SIGNAL", name, NSIG - 1);
        if (number > 0)
            return number;
    }
    for (int i = 1; i < NSIG; i++) {
        const char *abbreviation = sigabbrev_np (i);
        if (abbreviation && strcasecmp (abbreviation, bare) == 0)
            return i;
    }
    tool_usage ("'%s' is no signal", name);
}

static int kill_here (const nodes_t *nodes, const node_t *node, int number)
{
    const char *name = node->config->name;
    dfs_error_t err = {0};
    process_t p;
    int status = 0;
    if (!process_find (nodes->cluster, node, &p)) {
        tool_error (name, "is not running");
        return TOOL_EXIT_FAILED;
    }
    if (process_signal (&p, number, &err) < 0)
        status = tool_fail (name, &err);
    else if (number == SIGKILL) {
        /* The next command must not find it half there. */
        if (process_wait_gone (nodes->cluster, node, &p, GONE_MS))
            process_forget (nodes->cluster, node);
        else {
            tool_error (name, "process %d does not end", (int)p.pid);
            status = TOOL_EXIT_FAILED;
        }
    }
    if (status == 0)
        tool_say ("%s %s: sent SIG%s to process %d\n", node->role, name,
                  sigabbrev_np (number) ? sigabbrev_np (number) : "?", (int)p.pid);
    process_close (&p);
    return status;
}

int verb_kill (int argc, char **argv)
{
    bool here = node_read_here (argc, argv);
    tool_operands (argc, 2, 3);
    const char *signal_name = optind + 2 < argc ? argv[optind + 2] : "KILL";
    int number = signal_number (signal_name);
    nodes_t *nodes = nodes_new (argv[optind], argv + optind + 1, 1, here);
    const node_t *node = nodes->all;
    while (!node->chosen)
        node++;
    int status = node->local ? kill_here (nodes, node, number)
                             : hosts_do (nodes, NULL, "kill", "", signal_name, GONE_MS);
    nodes_destroy (&nodes);
    return status;
}

int verb_env (int argc, char **argv)
{
    tool_next (argc, argv, NULL);
    tool_operands (argc, 1, 1);
    cluster_t *cluster = node_cluster (argv[optind]);
    char *path = tool_quoted (cluster->path);
    printf ("export DFS_CONFIG=%s\n", path);
    free (path);
    cluster_destroy (&cluster);
    return 0;
}
