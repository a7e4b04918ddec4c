/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "client/cli/tool.h"
#include "common/clock.h"
#include "common/units.h"
#include "hosts.h"
#include "lifecycle.h"
#include "process.h"

#define KILL_WAIT_MS 10000

/* Waits for one; *STATUS is set when it had to be killed or cannot be. */
static void await (const cluster_t *cluster, const node_t *node, process_t *p,
                   uint64_t deadline, int *status)
{
    uint64_t now = clock_mono ();
    unsigned rest = now >= deadline ? 0 : (unsigned)((deadline - now) / MS);
    dfs_error_t err = {0};
    if (process_wait_gone (cluster, node, p, rest))
        tool_say ("%s %s: stopped\n", node->role, node->config->name);
    else {
        tool_error (node->config->name,
                    "did not stop in time: killing process %d (SIGKILL)", (int)p->pid);
        tool_worst (status, TOOL_EXIT_FAILED);
        if (process_signal (p, SIGKILL, &err) < 0)
            tool_fail (node->config->name, &err);
        else if (!process_wait_gone (cluster, node, p, KILL_WAIT_MS))
            tool_error (node->config->name, "process %d does not end", (int)p->pid);
        else
            process_forget (cluster, node);
        return;
    }
    process_forget (cluster, node);
}

static int stop_here (nodes_t *nodes, unsigned timeout_ms)
{
    uint64_t deadline = clock_mono () + timeout_ms * MS;
    process_t *all = calloc (nodes->n, sizeof *all);
    assert (all);
    int status = 0;
    size_t n = 0;
    /* Brokers come first: they would take the workers' leaving for deaths. */
    for (size_t i = 0; i < nodes->n; i++) {
        const node_t *node = &nodes->all[i];
        dfs_error_t err = {0};
        all[i].fd = -1;
        if (!node->chosen)
            continue;
        if (!node->local)
            continue;
        if (!process_find (nodes->cluster, node, &all[i])) {
            if (nodes->named)
                tool_say ("%s %s: was not running\n", node->role, node->config->name);
            process_forget (nodes->cluster, node);
            continue;
        }
        n++;
        if (process_signal (&all[i], SIGTERM, &err) < 0) {
            tool_worst (&status, tool_fail (node->config->name, &err));
            process_close (&all[i]);
            all[i].pid = 0;
        }
    }
    for (size_t i = 0; i < nodes->n; i++)
        if (all[i].pid) {
            await (nodes->cluster, &nodes->all[i], &all[i], deadline, &status);
            process_close (&all[i]);
        }
    free (all);
    if (n == 0 && !nodes->named && !nodes->here && !hosts_any (nodes))
        tool_say ("nothing was running\n");
    return status;
}

static int stop_elsewhere (const nodes_t *nodes, const char *role, unsigned timeout_ms)
{
    char options[64];
    snprintf (options, sizeof options, "%s--wait %u", nodes->named ? "--named " : "",
              timeout_ms / 1000);
    return hosts_do (nodes, role, "stop", options, "", timeout_ms);
}

int lifecycle_stop (nodes_t *nodes, unsigned timeout_ms)
{
    int status = stop_elsewhere (nodes, "broker", timeout_ms);
    tool_worst (&status, stop_here (nodes, timeout_ms));
    tool_worst (&status, stop_elsewhere (nodes, "worker", timeout_ms));
    return status;
}
