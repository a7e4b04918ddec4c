/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "common/io.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif

#define READY_MAX 4096

char *cluster_find (const char *given, dfs_error_t *err)
{
    const char *env = getenv ("DFS_CONFIG");
    const char *from = given ? "--config" : "$DFS_CONFIG";
    if (!given && env && *env)
        given = env;
    if (given) {
        if (access (given, R_OK) < 0) {
            fail (err, DFS_ECONFIG, "%s (%s): %s", given, from, strerror (errno));
            return NULL;
        }
        char *path = strdup (given);
        assert (path);
        return path;
    }
    const char *home = getenv ("HOME");
    char *own = NULL;
    if (home && *home) {
        if (asprintf (&own, "%s/.config/dfs/cluster.cfg", home) < 0)
            abort ();
        if (access (own, R_OK) == 0)
            return own;
    }
    const char *site = SYSCONFDIR "/dfs/cluster.cfg";
    char *path = NULL;
    if (access (site, R_OK) == 0) {
        path = strdup (site);
        assert (path);
    } else
        fail (err, DFS_ECONFIG,
              "no cluster.cfg: neither --config nor $DFS_CONFIG is given, and there is "
              "no %s%s%s",
              own ? own : "", own ? " or " : "", site);
    free (own);
    return path;
}

static const cluster_node_t *find (const cluster_node_t *nodes, size_t n,
                                   const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp (nodes[i].name, name) == 0)
            return &nodes[i];
    return NULL;
}

const cluster_node_t *cluster_broker (const cluster_t *self, const char *name)
{
    return find (self->brokers, self->n_brokers, name);
}

const cluster_node_t *cluster_worker (const cluster_t *self, const char *name)
{
    return find (self->workers, self->n_workers, name);
}

/* Reads "pid P\nports A B C D E\n". */
static bool parse_ready (const char *text, cluster_ready_t *ready)
{
    long pid = 0;
    int used = 0;
    memset (ready, 0, sizeof *ready);
    if (sscanf (text, "pid %ld\nports%n", &pid, &used) != 1 || used == 0 || pid <= 0 ||
        pid > INT32_MAX)
        return false;
    ready->pid = (int)pid;
    const char *p = text + used;
    while (ready->n_ports < 5 && *p == ' ') {
        char *end;
        unsigned long port = strtoul (p + 1, &end, 10);
        if (end == p + 1 || port == 0 || port > UINT16_MAX)
            return false;
        ready->ports[ready->n_ports++] = (uint16_t)port;
        p = end;
    }
    return ready->n_ports > 0 && *p == '\n';
}

int cluster_ready_read (const cluster_t *self, const char *node, cluster_ready_t *ready,
                        dfs_error_t *err)
{
    char *path = NULL;
    void *text = NULL;
    size_t len = 0;
    if (asprintf (&path, "%s/%s.ready", self->run_dir, node) < 0)
        abort ();
    int rc = io_slurp (path, READY_MAX, &text, &len, err);
    if (rc == DFS_ENOENT)
        rc = fail (err, DFS_EUNAVAIL, "%s is not running (there is no %s)", node, path);
    else if (rc == 0 && !parse_ready (text, ready))
        rc = fail (err, DFS_EUNAVAIL, "%s: not a ready file", path);
    free (text);
    free (path);
    return rc;
}

int cluster_broker_port (const cluster_t *self, const cluster_node_t *broker, int i,
                         uint16_t *port, dfs_error_t *err)
{
    assert (i >= 0 && i < 5);
    if (broker->port) {
        *port = (uint16_t)(broker->port + i);
        return 0;
    }
    cluster_ready_t ready;
    int rc = cluster_ready_read (self, broker->name, &ready, err);
    if (rc < 0)
        return rc;
    if ((size_t)i >= ready.n_ports)
        return fail (err, DFS_EUNAVAIL, "%s: its ready file names %zu ports",
                     broker->name, ready.n_ports);
    *port = ready.ports[i];
    return 0;
}
