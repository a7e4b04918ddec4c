/* SPDX-License-Identifier: MPL-2.0 */
/* What the hosts of a cluster need before their nodes can start. Main thread. */
#ifndef CLUSTER_DEPLOY_H
#define CLUSTER_DEPLOY_H

#include "node.h"

/* Gives the hosts of the chosen nodes config, keys and marks and, unless PREFIX is
 * NULL, the programs installed under TREE/PREFIX. Unchooses nodes whose host failed.
 * Returns an exit status. */
int deploy_hosts (nodes_t *nodes, const char *prefix, const char *tree);

#endif
