/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <assert.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/tool.h"
#include "common/resolve.h"
#include "node.h"

#define RESOLVE_MS       1000
#define RESOLVE_AGAIN_MS 50

bool node_read_here (int argc, char **argv)
{
    bool here = false;
    while (tool_next (argc, argv, NULL) != -1)
        here = true;
    return here;
}

char *node_path (const char *dir, const char *name, const char *suffix)
{
    char *path = NULL;
    if (asprintf (&path, "%s/%s%s", dir, name, suffix) < 0)
        abort ();
    return path;
}

cluster_t *node_cluster (const char *dir)
{
    struct stat st;
    dfs_error_t err = {0};
    if (stat (dir, &st) < 0)
        exit (tool_fail (dir, (fail_errno (&err, "%s", dir), &err)));
    char *path =
        S_ISDIR (st.st_mode) ? node_path (dir, "cluster", ".cfg") : strdup (dir);
    assert (path);
    cluster_t *cluster = NULL;
    if (access (path, F_OK) < 0)
        fail (&err, DFS_ENOENT,
              "%s: there is no cluster here (dfs-cluster init makes one)", path);
    else {
        /* Daemons are told the absolute path. */
        char *real = realpath (path, NULL);
        cluster = cluster_load (real ? real : path, &err);
        free (real);
    }
    free (path);
    if (!cluster)
        exit (tool_fail (NULL, &err));
    return cluster;
}

/* IPv4 or IPv6 ADDRESS, brackets or not, in one spelling. */
static int canonical (const char *address, char out[INET6_ADDRSTRLEN])
{
    struct in6_addr raw;
    char bare[INET6_ADDRSTRLEN + 2];
    size_t len = strlen (address);
    if (inet_pton (AF_INET, address, &raw) == 1)
        return inet_ntop (AF_INET, &raw, out, INET6_ADDRSTRLEN) ? 0 : -1;
    bool brackets = *address == '[' && len > 2;
    snprintf (bare, sizeof bare, "%.*s", (int)(brackets ? len - 2 : len),
              brackets ? address + 1 : address);
    if (inet_pton (AF_INET6, bare, &raw) == 1)
        return inet_ntop (AF_INET6, &raw, out, INET6_ADDRSTRLEN) ? 0 : -1;
    return -1;
}

/* Whether the numeric ADDRESS is one of this machine's. */
static bool is_own_address (const char *address)
{
    struct ifaddrs *interfaces = NULL;
    char wanted[INET6_ADDRSTRLEN], text[NI_MAXHOST];
    if (canonical (address, wanted) < 0)
        return false;
    bool own = strncmp (wanted, "127.", 4) == 0 || strcmp (wanted, "::1") == 0;
    if (own || getifaddrs (&interfaces) < 0)
        return own;
    for (const struct ifaddrs *i = interfaces; i && !own; i = i->ifa_next) {
        int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
        socklen_t len = family == AF_INET    ? sizeof (struct sockaddr_in)
                        : family == AF_INET6 ? sizeof (struct sockaddr_in6)
                                             : 0;
        own = len &&
              getnameinfo (i->ifa_addr, len, text, sizeof text, NULL, 0,
                           NI_NUMERICHOST) == 0 &&
              strcmp (text, wanted) == 0;
    }
    freeifaddrs (interfaces);
    return own;
}

bool node_is_local (const char *host)
{
    /* A name server that does not answer costs one second, not one for each name. */
    static int patience_ms = RESOLVE_MS;
    char own[256], address[64];
    if (gethostname (own, sizeof own) == 0 && strcmp (host, own) == 0)
        return true;
    dfs_error_t err = {0};
    int rc = resolve_host (host, address, sizeof address, patience_ms, &err);
    if (rc == DFS_ETIMEOUT)
        patience_ms = RESOLVE_AGAIN_MS;
    return rc == 0 && is_own_address (address);
}

static void add (nodes_t *self, const cluster_node_t *config, const char *role)
{
    node_t *node = &self->all[self->n];
    node->config = config;
    node->role = role;
    node->chosen = true;
    /* Often the same host again and again. */
    if (self->here)
        node->local = true;
    else if (self->n && strcmp (node[-1].config->host, config->host) == 0)
        node->local = node[-1].local;
    else
        node->local = node_is_local (config->host);
    self->n++;
}

nodes_t *nodes_new (const char *dir, char **names, int n, bool here)
{
    nodes_t *self = calloc (1, sizeof *self);
    assert (self);
    self->here = here;
    cluster_t *c = self->cluster = node_cluster (dir);
    self->all = calloc (c->n_brokers + c->n_workers, sizeof *self->all);
    assert (self->all);
    for (size_t i = 0; i < c->n_brokers; i++)
        add (self, &c->brokers[i], "broker");
    for (size_t i = 0; i < c->n_workers; i++)
        add (self, &c->workers[i], "worker");
    self->named = n > 0;
    for (size_t i = 0; i < self->n && self->named; i++)
        self->all[i].chosen = false;
    for (int k = 0; k < n; k++) {
        size_t i = 0;
        while (i < self->n && strcmp (self->all[i].config->name, names[k]))
            i++;
        if (i == self->n) {
            tool_error (names[k], "no such node in %s", c->path);
            exit (TOOL_EXIT_USAGE);
        }
        self->all[i].chosen = true;
    }
    return self;
}

void nodes_destroy (nodes_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    cluster_destroy (&(*self_p)->cluster);
    free ((*self_p)->all);
    free (*self_p);
    *self_p = NULL;
}

char *node_endpoint (const cluster_t *cluster, const node_t *node, char *buf,
                     size_t cap)
{
    cluster_ready_t ready;
    unsigned port = node->config->port;
    const char *host = node->config->host;
    if (!port && cluster_ready_read (cluster, node->config->name, &ready, NULL) == 0)
        port = ready.ports[0];
    bool bare6 = strchr (host, ':') && *host != '[';
    if (port)
        snprintf (buf, cap, bare6 ? "[%s]:%u" : "%s:%u", host, port);
    else
        snprintf (buf, cap, bare6 ? "[%s]:?" : "%s:?", host);
    return buf;
}
