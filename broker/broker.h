/* SPDX-License-Identifier: MPL-2.0 */
/* The parts of a broker put together: namespace, links, journal, in the order in which
 * they start, and what each calls of the others. Owned by the main thread. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "common/daemon.h"
#include "msgs/cluster.h"

typedef struct broker broker_t;

/* CLUSTER and NODE (one of its brokers) are borrowed; ZMQ is the ZeroMQ context. LEVEL
 * (enum log_level) overrides what the config says of the log, -1: does not. */
broker_t *broker_new (void *zmq, const cluster_t *cluster, const cluster_node_t *node,
                      int level);
void broker_destroy (broker_t **self_p);

/* Table for daemon_run; the context of its functions is the broker. */
extern const daemon_module_t broker_modules[];
/* Text of the ready file; a function for daemon_run. */
const char *broker_ready (void *self);
/* Reads the config again: log level, brokers and their keys; for daemon_run. */
void broker_reload (void *self);
/* Becomes readable when a thread gave up. */
int broker_fatal_fd (const broker_t *self);

/* Looks at the keys and the mark of its data directory, if that is on this host. */
int broker_check (const cluster_t *cluster, const cluster_node_t *node,
                  dfs_error_t *err);
/* Verifies the namespace of a broker that does not run, and prints each fault; returns
 * how many there are. */
int broker_fsck (const cluster_t *cluster, const cluster_node_t *node,
                 dfs_error_t *err);

#endif
