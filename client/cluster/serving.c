/* SPDX-License-Identifier: MPL-2.0 */
/* Asks the brokers, through libdfs, whether workers are up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/tool.h"
#include "client/lib/dfs.h"
#include "common/clock.h"
#include "common/units.h"
#include "hosts.h"
#include "lifecycle.h"
#include "process.h"

#define POLL_MS   30
#define RETURN_MS 5000 /* that a running worker has to find its new broker */

bool serving_broker (const nodes_t *nodes)
{
    for (size_t i = 0; i < nodes->n; i++) {
        process_t p;
        if (strcmp (nodes->all[i].role, "broker"))
            continue;
        if (!nodes->all[i].local)
            return true; /* likely: dfs_open tells */
        if (process_find (nodes->cluster, &nodes->all[i], &p)) {
            process_close (&p);
            return true;
        }
    }
    return false;
}

static const char *state_of (const dfs_status_t *status, const char *name)
{
    for (size_t i = 0; i < status->n_workers; i++)
        if (strcmp (status->workers[i].name, name) == 0)
            return status->workers[i].state;
    return "not known to the broker";
}

/* A worker that drains, or was removed, is where it should be. */
static bool is_settled (const char *state)
{
    return strcmp (state, "up") == 0 || strcmp (state, "draining") == 0 ||
           strcmp (state, "removed") == 0;
}

static bool is_worker (const node_t *node)
{
    return strcmp (node->role, "worker") == 0;
}

/* A worker that ran before its broker was started: it comes back by itself. */
static bool is_returning (const nodes_t *nodes, const node_t *node)
{
    process_t p;
    if (!is_worker (node) || node->child || !node->local ||
        !process_find (nodes->cluster, node, &p))
        return false;
    process_close (&p);
    return p.ready;
}

/* One question. Returns the first worker that we wait for and that is not up, NULL when
 * all are; its state goes to STATE. */
static const node_t *first_missing (dfs_t *dfs, nodes_t *nodes, bool returning,
                                    char *state, size_t cap, dfs_error_t *err)
{
    dfs_status_t status;
    const node_t *missing = NULL;
    memset (&status, 0, sizeof status);
    int rc = dfs_status (dfs, &status, err);
    for (size_t i = 0; i < nodes->n; i++) {
        node_t *node = &nodes->all[i];
        node->missing = false;
        if (!((node->child || node->started) && is_worker (node)) &&
            !(returning && is_returning (nodes, node)))
            continue;
        const char *now = rc < 0 ? err->text : state_of (&status, node->config->name);
        if (rc < 0 || !is_settled (now)) {
            node->missing = true;
            if (missing)
                continue;
            snprintf (state, cap, "%s", now);
            missing = node;
        }
    }
    if (rc == 0)
        dfs_status_clear (&status);
    return missing;
}

/* No use to wait for them: no broker lets them in. Exit status, said on stderr. */
static int check_refused (const nodes_t *nodes)
{
    int status = 0;
    for (size_t i = 0; i < nodes->n && !nodes->fresh; i++) {
        const node_t *node = &nodes->all[i];
        dfs_error_t err = {0};
        char text[600];
        if (!node->missing || !node->child ||
            !cluster_refused_read (nodes->cluster, node->config->name, node->child,
                                   text, sizeof text))
            continue;
        fail (&err, DFS_EAUTH, "%s", text);
        tool_worst (&status, tool_fail (node->config->name, &err));
    }
    return status;
}

static uint32_t rest_ms (uint64_t deadline)
{
    uint64_t now = clock_mono ();
    return now >= deadline ? 1 : (uint32_t)((deadline - now) / MS) + 1;
}

static int wait_all (dfs_t *dfs, nodes_t *nodes, bool broker_started, uint64_t deadline)
{
    uint64_t patience = clock_mono () + RETURN_MS * MS;
    int status = 0;
    for (;;) {
        char state[512] = "";
        dfs_error_t err = {0};
        bool returning = broker_started && clock_mono () < patience;
        const node_t *missing =
            first_missing (dfs, nodes, returning, state, sizeof state, &err);
        for (size_t i = 0; i < nodes->n; i++)
            tool_worst (&status,
                        lifecycle_check_child (nodes->cluster, &nodes->all[i]));
        tool_worst (&status, check_refused (nodes));
        if (!missing || status)
            return status;
        if (clock_mono () > deadline) {
            tool_error (missing->config->name, "is not up in time: %s", state);
            return dfs_error_status (DFS_ETIMEOUT);
        }
        process_pause (POLL_MS);
    }
}

int serving_wait (nodes_t *nodes, uint64_t deadline)
{
    bool broker_started = false;
    for (size_t i = 0; i < nodes->n; i++)
        if ((nodes->all[i].child || nodes->all[i].started) &&
            !is_worker (&nodes->all[i]))
            broker_started = true;
    if (!serving_broker (nodes))
        return 0;
    uint32_t wait_ms = rest_ms (deadline);
    /* Only workers were started: a broker on another host may be down on purpose. */
    if (!broker_started && hosts_any (nodes) && wait_ms > RETURN_MS)
        wait_ms = RETURN_MS;
    dfs_options_t options = {.config = nodes->cluster->path, .timeout_ms = wait_ms};
    dfs_error_t err = {0};
    dfs_t *dfs = dfs_open (&options, &err);
    if (!dfs) {
        for (size_t i = 0; i < nodes->n; i++)
            nodes->all[i].missing = is_worker (&nodes->all[i]);
        return tool_fail (NULL, &err);
    }
    int status = wait_all (dfs, nodes, broker_started, deadline);
    dfs_close (&dfs);
    return status;
}
