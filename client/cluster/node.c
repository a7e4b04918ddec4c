/* SPDX-License-Identifier: MPL-2.0 */
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
#include "node.h"

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

static bool same_address (const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET) {
        struct sockaddr_in x, y;
        memcpy (&x, a, sizeof x);
        memcpy (&y, b, sizeof y);
        return x.sin_addr.s_addr == y.sin_addr.s_addr;
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 x, y;
        memcpy (&x, a, sizeof x);
        memcpy (&y, b, sizeof y);
        return memcmp (&x.sin6_addr, &y.sin6_addr, sizeof x.sin6_addr) == 0;
    }
    return false;
}

static bool is_loopback (const struct sockaddr *a)
{
    struct sockaddr_in in;
    if (a->sa_family != AF_INET)
        return false;
    memcpy (&in, a, sizeof in);
    return (ntohl (in.sin_addr.s_addr) >> 24) == 127;
}

bool node_is_local (const char *host)
{
    char bare[256], own[256];
    size_t len = strlen (host);
    if (*host == '[' && len > 2 && host[len - 1] == ']')
        snprintf (bare, sizeof bare, "%.*s", (int)(len - 2), host + 1);
    else
        snprintf (bare, sizeof bare, "%s", host);
    if (gethostname (own, sizeof own) == 0 && strcmp (bare, own) == 0)
        return true;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo (bare, NULL, &hints, &found) != 0)
        return false;
    struct ifaddrs *interfaces = NULL;
    bool local = false;
    if (getifaddrs (&interfaces) < 0)
        interfaces = NULL;
    for (const struct addrinfo *a = found; a && !local; a = a->ai_next) {
        local = is_loopback (a->ai_addr);
        for (const struct ifaddrs *i = interfaces; i && !local; i = i->ifa_next)
            local = i->ifa_addr && same_address (a->ai_addr, i->ifa_addr);
    }
    if (interfaces)
        freeifaddrs (interfaces);
    freeaddrinfo (found);
    return local;
}

static void add (nodes_t *self, const cluster_node_t *config, const char *role)
{
    node_t *node = &self->all[self->n];
    node->config = config;
    node->role = role;
    node->chosen = true;
    /* Mostly the same host again and again. */
    if (self->n && strcmp (node[-1].config->host, config->host) == 0)
        node->local = node[-1].local;
    else
        node->local = node_is_local (config->host);
    self->n++;
}

nodes_t *nodes_new (const char *dir, char **names, int n)
{
    nodes_t *self = calloc (1, sizeof *self);
    assert (self);
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
