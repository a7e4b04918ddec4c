/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/tool.h"
#include "hosts.h"

#define SSH_GRACE_MS 15000 /* above what the verb itself may take */

static bool is_meant (const node_t *node, const char *role)
{
    return node->chosen && !node->local && (!role || strcmp (role, node->role) == 0);
}

/* HOST NULL: this machine. */
static bool is_there (const node_t *node, const char *host, const char *role)
{
    if (!host)
        return node->chosen && node->local;
    return is_meant (node, role) && strcmp (node->config->host, host) == 0;
}

bool hosts_any (const nodes_t *nodes)
{
    for (size_t i = 0; i < nodes->n; i++)
        if (is_meant (&nodes->all[i], NULL))
            return true;
    return false;
}

/* The command for HOST. Returns owned. */
static char *command_for (const nodes_t *nodes, const char *host, const char *role,
                          const char *verb, const char *options, const char *tail)
{
    char *args = NULL, *path = tool_quoted (nodes->cluster->path);
    size_t len;
    FILE *file = open_memstream (&args, &len);
    assert (file);
    fprintf (file, "%s --here%s%s %s %s", verb, tool_common.quiet ? " -q" : "",
             tool_common.verbose ? " -v" : "", options, path);
    for (size_t i = 0; i < nodes->n; i++) {
        const node_t *node = &nodes->all[i];
        if (is_there (node, host, role))
            fprintf (file, " %s", node->config->name);
    }
    fprintf (file, " %s", tail);
    fclose (file);
    char *command = remote_command (nodes->cluster->dir, args);
    free (args);
    free (path);
    return command;
}

char *hosts_local_command (const nodes_t *nodes, const char *verb, const char *options)
{
    for (size_t i = 0; i < nodes->n; i++)
        if (is_there (&nodes->all[i], NULL, NULL))
            return command_for (nodes, NULL, NULL, verb, options, "");
    return NULL;
}

remote_t *hosts_plan (const nodes_t *nodes, const char *role, const char *verb,
                      const char *options, const char *tail, size_t *n)
{
    remote_t *all = calloc (nodes->n, sizeof *all);
    assert (all);
    *n = 0;
    for (size_t i = 0; i < nodes->n; i++) {
        const char *host = nodes->all[i].config->host;
        size_t k = 0;
        if (!is_meant (&nodes->all[i], role))
            continue;
        while (k < *n && strcmp (all[k].host, host))
            k++;
        if (k < *n)
            continue;
        all[k].host = host;
        all[k].command = command_for (nodes, host, role, verb, options, tail);
        (*n)++;
    }
    return all;
}

void hosts_free (remote_t **all_p, size_t n)
{
    for (size_t i = 0; *all_p && i < n; i++)
        remote_clear (&(*all_p)[i]);
    free (*all_p);
    *all_p = NULL;
}

int hosts_run (remote_t *all, size_t n, unsigned timeout_ms)
{
    int status = 0;
    remote_run (all, n, timeout_ms ? timeout_ms + SSH_GRACE_MS : 0);
    for (size_t i = 0; i < n; i++) {
        if (all[i].out_len)
            fwrite (all[i].out, 1, all[i].out_len, stdout);
        if (all[i].answered && all[i].err_len)
            fwrite (all[i].err, 1, all[i].err_len, stderr);
        tool_worst (&status, all[i].answered ? all[i].status : TOOL_EXIT_FAILED);
    }
    fflush (stdout);
    return status;
}

int hosts_do (const nodes_t *nodes, const char *role, const char *verb,
              const char *options, const char *tail, unsigned timeout_ms)
{
    size_t n;
    remote_t *all = hosts_plan (nodes, role, verb, options, tail, &n);
    int status = n ? hosts_run (all, n, timeout_ms) : 0;
    hosts_free (&all, n);
    return status;
}
