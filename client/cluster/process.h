/* SPDX-License-Identifier: MPL-2.0 */
/* The process of a node. Its pid comes from the ready file or from the file that start
 * leaves, and is believed only when /proc says that this very node runs there (program,
 * config file and node name), so a pid in use again is never killed; a pidfd taken
 * before the check makes that safe against the process ending in between. Main thread.
 */
#ifndef CLUSTER_PROCESS_H
#define CLUSTER_PROCESS_H

#include "node.h"

typedef struct process {
    pid_t pid;
    int fd;     /* pidfd, -1 where the kernel has none */
    bool ready; /* its ready file is there */
} process_t;

/* Returns whether NODE runs; fills P then (process_close). */
bool process_find (const cluster_t *cluster, const node_t *node, process_t *p);
/* Whether PID is that node. */
bool process_is (const cluster_t *cluster, const node_t *node, pid_t pid);
void process_close (process_t *p);
int process_signal (const process_t *p, int number, dfs_error_t *err);
/* Waits until it is gone; false at the deadline. */
bool process_wait_gone (const cluster_t *cluster, const node_t *node,
                        const process_t *p, unsigned ms);
/* Remembers the pid of a node that is not ready yet, in run/NAME.pid. */
int process_remember (const cluster_t *cluster, const node_t *node, pid_t pid,
                      dfs_error_t *err);
/* Removes what a dead node left in run/. */
void process_forget (const cluster_t *cluster, const node_t *node);
/* Sleeps for MS. */
void process_pause (unsigned ms);

#endif
