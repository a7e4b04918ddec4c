/* SPDX-License-Identifier: MPL-2.0 */
/* admin brokers: who they are, another one leads, one that lost its disk comes back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "output.h"
#include "verbs.h"

#define TRANSFERS 3

static int list (void)
{
    dfs_status_t status;
    dfs_error_t err = {0};
    dfs_t *dfs = status_ask (&status, &err);

    if (!dfs)
        return tool_fail (NULL, &err);
    if (tool_common.json)
        out_json (out_brokers_json (&status));
    else
        out_brokers (&status);
    dfs_status_clear (&status);
    dfs_close (&dfs);
    return 0;
}

/* The follower that has most; false: there is none. */
static bool pick (dfs_t *dfs, char *name, size_t cap, dfs_error_t *err)
{
    dfs_status_t status;
    const dfs_broker_info_t *best = NULL;

    if (dfs_status (dfs, &status, err) < 0)
        return false;
    for (size_t i = 0; i < status.n_brokers; i++) {
        const dfs_broker_info_t *b = &status.brokers[i];
        if (b->voter && strcmp (b->role, "follower") == 0 &&
            (!best || b->log_index > best->log_index))
            best = b;
    }
    if (best)
        snprintf (name, cap, "%s", best->name);
    dfs_status_clear (&status);
    return best != NULL;
}

/* One with much to do may be too late for the first. */
static int try_transfer (dfs_t *dfs, const char *to, dfs_error_t *err)
{
    int rc = DFS_EUNAVAIL;

    for (int i = 0; i < TRANSFERS && rc == DFS_EUNAVAIL; i++)
        rc = dfs_broker_transfer (dfs, to, err);
    return rc;
}

static int transfer (const char *to)
{
    char name[64];
    dfs_error_t err = {0};
    dfs_t *dfs = tool_open ();
    int status = 0;

    if (!to && !pick (dfs, name, sizeof name, &err)) {
        if (err.code == 0) {
            tool_error (NULL, "there is no other broker that could lead");
            status = dfs_error_status (DFS_EUNAVAIL);
        } else
            status = tool_fail (NULL, &err);
    } else if (try_transfer (dfs, to ? to : name, &err) < 0)
        status = tool_fail (to ? to : name, &err);
    else
        tool_say ("%s leads\n", to ? to : name);
    dfs_close (&dfs);
    return status;
}

static int show_progress (void *arg)
{
    const char *name = arg;

    tool_say ("%s is being taken in\n", name);
    return 0;
}

static int replace (char *name)
{
    dfs_error_t err = {0};
    dfs_t *dfs = tool_open ();
    int status = 0;

    if (dfs_broker_replace (dfs, name, show_progress, name, &err) < 0)
        status = tool_fail (name, &err);
    else
        tool_say ("%s has everything, and votes\n", name);
    dfs_close (&dfs);
    return status;
}

int admin_brokers (char **operands, int n)
{
    if (n == 0)
        return list ();
    if (strcmp (operands[0], "transfer") == 0 && n <= 2)
        return transfer (n == 2 ? operands[1] : NULL);
    if (strcmp (operands[0], "replace") == 0 && n == 2)
        return replace (operands[1]);
    tool_usage ("brokers [transfer [NAME] | replace NAME]");
}
