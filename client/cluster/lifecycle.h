/* SPDX-License-Identifier: MPL-2.0 */
/* Starting and stopping chosen nodes. Each returns an exit status, having said on
 * stderr what failed. Main thread. */
#ifndef CLUSTER_LIFECYCLE_H
#define CLUSTER_LIFECYCLE_H

#include "node.h"

/* Returns when every chosen node is serving, or TIMEOUT_MS is over. */
int lifecycle_start (nodes_t *nodes, unsigned timeout_ms);
/* SIGTERM, and SIGKILL after TIMEOUT_MS. */
int lifecycle_stop (nodes_t *nodes, unsigned timeout_ms);
/* Restarts the chosen nodes one after the other, workers first; goes on only when the
 * cluster is healthy, and stops at the first failure. */
int lifecycle_roll (nodes_t *nodes, unsigned stop_ms, unsigned start_ms);
/* Waits until the brokers count as up every chosen worker that runs; the log of a
 * started one that ends meanwhile says why. DEADLINE is of the monotonic clock. */
int serving_wait (nodes_t *nodes, uint64_t deadline);
/* Whether some broker runs, or may run on another host. */
bool serving_broker (const nodes_t *nodes);
/* Checks on a started node: exit status when it has ended (said on stderr), else 0. */
int lifecycle_check_child (const cluster_t *cluster, node_t *node);

#endif
