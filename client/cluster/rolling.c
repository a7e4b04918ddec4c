/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/tool.h"
#include "client/lib/dfs.h"
#include "common/clock.h"
#include "common/units.h"
#include "lifecycle.h"
#include "process.h"

#define POLL_MS 200
#define ASK_MS  5000

/* Until every chunk has its copies and nobody is missing. */
static int wait_health (const nodes_t *nodes, unsigned timeout_ms)
{
    uint64_t end = clock_mono () + timeout_ms * MS;
    dfs_options_t options = {.config = nodes->cluster->path, .timeout_ms = ASK_MS};
    char why[512] = "";
    do {
        dfs_error_t err = {0};
        dfs_status_t status;
        memset (&status, 0, sizeof status);
        dfs_t *dfs = dfs_open (&options, &err);
        int rc = dfs ? dfs_status (dfs, &status, &err) : -1;
        bool healthy = rc == 0 && strcmp (status.health, "ok") == 0;
        if (rc == 0)
            snprintf (why, sizeof why, "health is %s", status.health);
        else
            snprintf (why, sizeof why, "%s", err.text);
        dfs_status_clear (&status);
        dfs_close (&dfs);
        if (healthy)
            return 0;
        process_pause (POLL_MS);
    } while (clock_mono () < end);
    tool_error (NULL, "the cluster is not healthy in time: %s", why);
    return dfs_error_status (DFS_ETIMEOUT);
}

static int roll_role (nodes_t *nodes, const bool *wanted, const char *role,
                      unsigned stop_ms, unsigned start_ms)
{
    int status = 0;
    for (size_t i = 0; i < nodes->n && status == 0; i++) {
        node_t *node = &nodes->all[i];
        if (!wanted[i] || strcmp (node->role, role))
            continue;
        if ((status = wait_health (nodes, start_ms)))
            break;
        node->chosen = true;
        status = lifecycle_stop (nodes, stop_ms);
        if (status == 0)
            status = lifecycle_start (nodes, start_ms);
        node->chosen = false;
        node->child = 0;
        node->started = false;
        node->missing = false;
    }
    return status;
}

int lifecycle_roll (nodes_t *nodes, unsigned stop_ms, unsigned start_ms)
{
    bool *wanted = calloc (nodes->n, sizeof *wanted);
    assert (wanted);
    for (size_t i = 0; i < nodes->n; i++) {
        wanted[i] = nodes->all[i].chosen;
        nodes->all[i].chosen = false;
    }
    int status = roll_role (nodes, wanted, "worker", stop_ms, start_ms);
    if (status == 0)
        status = roll_role (nodes, wanted, "broker", stop_ms, start_ms);
    if (status == 0)
        status = wait_health (nodes, start_ms);
    free (wanted);
    return status;
}
