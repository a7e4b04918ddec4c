/* SPDX-License-Identifier: MPL-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "client/cli/tool.h"
#include "common/clock.h"
#include "common/units.h"
#include "msgs/keys.h"
#include "hosts.h"
#include "lifecycle.h"
#include "process.h"
#include "program.h"

#define POLL_MS 10

int lifecycle_check_child (const cluster_t *cluster, node_t *node)
{
    int status;
    if (!node->child || waitpid (node->child, &status, WNOHANG) != node->child)
        return 0;
    char *words = program_last_words (cluster, node);
    if (WIFSIGNALED (status))
        tool_error (node->config->name, "killed by signal %d (%s)%s%s",
                    WTERMSIG (status), strsignal (WTERMSIG (status)),
                    *words ? ": " : "", words);
    else
        tool_error (node->config->name, "%s", *words ? words : "ended without a word");
    free (words);
    process_forget (cluster, node);
    node->child = 0;
    return WIFEXITED (status) && WEXITSTATUS (status) ? WEXITSTATUS (status)
                                                      : TOOL_EXIT_FAILED;
}

static bool is_ready (const cluster_t *cluster, const node_t *node)
{
    cluster_ready_t ready;
    return cluster_ready_read (cluster, node->config->name, &ready, NULL) == 0 &&
           ready.pid == node->child;
}

/* Waits for the ready files of the nodes of ROLE started. */
static int wait_ready (nodes_t *nodes, const char *role, uint64_t deadline)
{
    int status = 0;
    for (;;) {
        const node_t *missing = NULL;
        for (size_t i = 0; i < nodes->n; i++) {
            node_t *node = &nodes->all[i];
            if (!node->child || strcmp (node->role, role) ||
                is_ready (nodes->cluster, node))
                continue;
            int rc = lifecycle_check_child (nodes->cluster, node);
            tool_worst (&status, rc);
            if (rc == 0)
                missing = node;
        }
        if (!missing)
            return status;
        if (clock_mono () > deadline) {
            char *words = program_last_words (nodes->cluster, missing);
            tool_error (missing->config->name, "not serving in time%s%s",
                        *words ? "; its log ends: " : "", words);
            free (words);
            return dfs_error_status (DFS_ETIMEOUT);
        }
        process_pause (POLL_MS);
    }
}

/* The brokers know a worker by the public key beside the secret one: a worker with
 * another one would only wait. (A broker looks itself.) */
static int check_key (const cluster_t *cluster, const node_t *node, dfs_error_t *err)
{
    keypair_t own, known;
    const char *dir = cluster->keys_dir, *name = node->config->name;
    if (!cluster->secure || strcmp (node->role, "worker") ||
        keys_load_secret (dir, "worker", name, &own, NULL) < 0 ||
        keys_load_public (dir, "worker", name, &known, NULL) < 0)
        return 0; /* the worker says what is wrong */
    bool same = memcmp (own.public_key, known.public_key, sizeof own.public_key) == 0;
    memset (&own, 0, sizeof own);
    return same ? 0
                : fail (err, DFS_EAUTH,
                        "key %s/worker-%s_secret does not belong to %s/worker-%s", dir,
                        name, dir, name);
}

/* Starts one; *STARTED counts. */
static int start_node (nodes_t *nodes, node_t *node, size_t *started)
{
    dfs_error_t err = {0};
    process_t p;
    if (!node->local)
        return 0;
    if (process_find (nodes->cluster, node, &p)) {
        process_close (&p);
        if (nodes->named) {
            tool_error (node->config->name, "is running already (process %d)",
                        (int)p.pid);
            return TOOL_EXIT_FAILED;
        }
        if (nodes->here)
            tool_say ("%s %s: runs already (process %d)\n", node->role,
                      node->config->name, (int)p.pid);
        return 0;
    }
    if (check_key (nodes->cluster, node, &err) < 0 ||
        program_start (nodes->cluster, node, &err) < 0)
        return tool_fail (node->config->name, &err);
    (*started)++;
    return 0;
}

/* Those of ROLE on other hosts, which wait until their nodes serve. */
static int start_elsewhere (nodes_t *nodes, const char *role, unsigned timeout_ms)
{
    char options[64];
    size_t n;
    snprintf (options, sizeof options, "%s--wait %u", nodes->named ? "--named " : "",
              timeout_ms / 1000);
    remote_t *all = hosts_plan (nodes, role, "start", options, "", &n);
    int status = n ? hosts_run (all, n, timeout_ms) : 0;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < nodes->n && all[k].status == 0; i++) {
            node_t *node = &nodes->all[i];
            if (node->chosen && !node->local && strcmp (node->role, role) == 0 &&
                strcmp (node->config->host, all[k].host) == 0)
                node->started = true;
        }
    hosts_free (&all, n);
    return status;
}

static int start_role (nodes_t *nodes, const char *role, unsigned timeout_ms,
                       uint64_t deadline, size_t *started)
{
    int status = 0;
    for (size_t i = 0; i < nodes->n; i++)
        if (nodes->all[i].chosen && strcmp (nodes->all[i].role, role) == 0)
            tool_worst (&status, start_node (nodes, &nodes->all[i], started));
    tool_worst (&status, start_elsewhere (nodes, role, timeout_ms));
    tool_worst (&status, wait_ready (nodes, role, deadline));
    return status;
}

static void report (const nodes_t *nodes)
{
    for (size_t i = 0; i < nodes->n; i++) {
        const node_t *node = &nodes->all[i];
        char endpoint[320];
        if (node->child && !node->missing)
            tool_say ("%s %s: serving on %s (process %d)\n", node->role,
                      node->config->name,
                      node_endpoint (nodes->cluster, node, endpoint, sizeof endpoint),
                      (int)node->child);
    }
}

int lifecycle_start (nodes_t *nodes, unsigned timeout_ms)
{
    uint64_t deadline = clock_mono () + timeout_ms * MS;
    size_t started = 0;
    signal (SIGPIPE, SIG_IGN);
    int status = start_role (nodes, "broker", timeout_ms, deadline, &started);
    /* Without any broker a worker could only wait. With some of several all goes on:
     * the one that failed was named. */
    if (status && nodes->cluster->n_brokers > 1)
        deadline = clock_mono () + timeout_ms * MS;
    if (status == 0 || (nodes->cluster->n_brokers > 1 && serving_broker (nodes)))
        tool_worst (&status,
                    start_role (nodes, "worker", timeout_ms, deadline, &started));
    for (size_t i = 0; i < nodes->n; i++)
        started += nodes->all[i].started;
    if (status == 0 && started == 0 && !nodes->here) {
        tool_error (nodes->cluster->path, "every node is running already");
        return TOOL_EXIT_FAILED;
    }
    /* Whoever asked for it from another host waits for the whole. */
    if (started && !nodes->here)
        tool_worst (&status, serving_wait (nodes, deadline));
    report (nodes);
    return status;
}
