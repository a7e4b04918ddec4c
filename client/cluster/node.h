/* SPDX-License-Identifier: MPL-2.0 */
/* The nodes of a cluster as dfs-cluster handles them: loaded from DIR/cluster.cfg,
 * chosen by name. Main thread. */
#ifndef CLUSTER_NODE_H
#define CLUSTER_NODE_H

#include <stdbool.h>
#include <sys/types.h>

#include "msgs/cluster.h"

typedef struct node {
    const cluster_node_t *config; /* borrowed from the cluster */
    const char *role;             /* "broker" or "worker" */
    bool local;                   /* its host is this machine */
    bool chosen;                  /* named by the user, or all were meant */
    pid_t child;                  /* started by this run of the program, else 0 */
    off_t log_start;              /* where its log stood then */
    bool started;                 /* on another host, by this run of the program */
    bool missing;                 /* started, and no broker counts it as up */
} node_t;

typedef struct nodes {
    cluster_t *cluster;
    node_t *all; /* brokers first */
    size_t n;
    bool named; /* the user named some */
    bool fresh; /* brokers were told just now of who is started: a refusal may pass */
    bool here;  /* we run for another host's dfs-cluster: all of them are ours */
} nodes_t;

/* The option with which a dfs-cluster is run by that of another host. */
enum { NODE_HERE = 512 };
#define NODE_HERE_HELP "the nodes named are on this machine, whatever `host` says"

/* Reads the options of a verb that has no other; whether it was there. */
bool node_read_here (int argc, char **argv);

/* DIR/cluster.cfg, or the file itself. Ends the program with a message on failure. */
cluster_t *node_cluster (const char *dir);
/* NAMES (N of them; none: all) choose. Unknown names end the program with 2. HERE:
 * whatever their `host` says, they are on this machine. */
nodes_t *nodes_new (const char *dir, char **names, int n, bool here);
void nodes_destroy (nodes_t **self_p);
/* Whether HOST is this machine. */
bool node_is_local (const char *host);
/* "127.0.0.1:9000": the port from the config or the ready file, "?" when it is not
 * known. Returns BUF. */
char *node_endpoint (const cluster_t *cluster, const node_t *node, char *buf,
                     size_t cap);
/* DIR/NAME + SUFFIX. Returns owned. */
char *node_path (const char *dir, const char *name, const char *suffix);

#endif
