/* SPDX-License-Identifier: MPL-2.0 */
/* The parts of a worker put together: store, tables, flows, links, in the order in
 * which they start. Owned by the main thread. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/daemon.h"
#include "msgs/cluster.h"
#include "msgs/sock.h"
#include "worker/links/broker_link.h"

typedef struct worker worker_t;

/* CLUSTER and NODE (one of its workers) are borrowed; CTX is the ZeroMQ context. LEVEL
 * (enum log_level) overrides what the config says of the log, -1: does not. */
worker_t *worker_new (void *ctx, const cluster_t *cluster, const cluster_node_t *node,
                      int level);
void worker_destroy (worker_t **self_p);

/* Checks marks and loads keys: what must be right before anything is touched. */
int worker_check (worker_t *self, dfs_error_t *err);

/* Table for daemon_run; the context of its functions is the worker. */
extern const daemon_module_t worker_modules[];
/* Text of the ready file; a function for daemon_run. */
const char *worker_ready (void *self);

/* Reads the config again: log level, cache and scrub rate; a function for daemon_run. */
void worker_reload (void *self);

uint16_t worker_port (const worker_t *self);
size_t worker_welcomed (worker_t *self);

#endif
