/* SPDX-License-Identifier: MPL-2.0 */
/* The chosen nodes that are on other hosts, one command for each host: the same verb of
 * dfs-cluster, told which of its nodes are meant, does there what it does here. */
#ifndef CLUSTER_HOSTS_H
#define CLUSTER_HOSTS_H

#include "node.h"
#include "remote.h"

/* Whether any chosen node is on another host. */
bool hosts_any (const nodes_t *nodes);
/* One for each host with chosen nodes of ROLE (NULL: of any): `VERB --here OPTIONS DIR
 * NODE… TAIL`; OPTIONS and TAIL may be "". Returns owned (hosts_free). */
remote_t *hosts_plan (const nodes_t *nodes, const char *role, const char *verb,
                      const char *options, const char *tail, size_t *n);
/* The same for the chosen nodes of this machine, as another process of it; NULL when
 * there are none. */
char *hosts_local_command (const nodes_t *nodes, const char *verb, const char *options);
void hosts_free (remote_t **all_p, size_t n);
/* Runs them and passes on what they say; returns the first failure, a host that does
 * not answer being TOOL_EXIT_FAILED. */
int hosts_run (remote_t *all, size_t n, unsigned timeout_ms);
/* All of that. */
int hosts_do (const nodes_t *nodes, const char *role, const char *verb,
              const char *options, const char *tail, unsigned timeout_ms);

#endif
