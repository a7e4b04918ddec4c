/* SPDX-License-Identifier: MPL-2.0 */
/* start, stop, restart, kill and env. */
#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lifecycle.h"
#include "node.h"
#include "process.h"
#include "verbs.h"

#define START_MS 60000
#define STOP_MS  20000
#define GONE_MS  10000

enum { KEY_WAIT = 256 };

const tool_option_t start_options[] = {
    {KEY_WAIT, "wait", "SECONDS",
     "how long to wait (default: 60 to start, 20 to stop)"},
    {0, NULL, NULL, NULL},
};

/* Reads the options of start, stop and restart; 0: the default. */
static unsigned read_wait (int argc, char **argv)
{
    const char *value;
    unsigned ms = 0;
    while (tool_next (argc, argv, &value) != -1)
        ms = (unsigned)tool_number ("--wait", value, 100000) * 1000;
    if (optind >= argc)
        tool_usage ("which cluster? DIR is missing");
    return ms;
}

int verb_start (int argc, char **argv)
{
    unsigned ms = read_wait (argc, argv);
    nodes_t *nodes = nodes_new (argv[optind], argv + optind + 1, argc - optind - 1);
    int status = lifecycle_start (nodes, ms ? ms : START_MS);
    nodes_destroy (&nodes);
    return status;
}

int verb_stop (int argc, char **argv)
{
    unsigned ms = read_wait (argc, argv);
    nodes_t *nodes = nodes_new (argv[optind], argv + optind + 1, argc - optind - 1);
    int status = lifecycle_stop (nodes, ms ? ms : STOP_MS);
    nodes_destroy (&nodes);
    return status;
}

int verb_restart (int argc, char **argv)
{
    unsigned ms = read_wait (argc, argv);
    nodes_t *nodes = nodes_new (argv[optind], argv + optind + 1, argc - optind - 1);
    int status = lifecycle_stop (nodes, ms ? ms : STOP_MS);
    tool_worst (&status, lifecycle_start (nodes, ms ? ms : START_MS));
    nodes_destroy (&nodes);
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

int verb_kill (int argc, char **argv)
{
    tool_next (argc, argv, NULL);
    tool_operands (argc, 2, 3);
    const char *name = argv[optind + 1];
    int number = signal_number (optind + 2 < argc ? argv[optind + 2] : "KILL");
    nodes_t *nodes = nodes_new (argv[optind], argv + optind + 1, 1);
    const node_t *node = nodes->all;
    while (!node->chosen)
        node++;
    dfs_error_t err = {0};
    process_t p;
    int status = 0;
    if (!process_find (nodes->cluster, node, &p)) {
        tool_error (name, node->local ? "is not running" : "runs on another machine");
        status = TOOL_EXIT_FAILED;
    } else {
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
    }
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
