/* SPDX-License-Identifier: MPL-2.0 */
/* Commands on other hosts: the ordinary ssh client with its config and agent ($DFS_SSH
 * names another one), all hosts at the same time. Main thread. */
#ifndef CLUSTER_REMOTE_H
#define CLUSTER_REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

typedef struct remote {
    const char *host; /* borrowed; NULL: this machine, without ssh */
    char *command;    /* for the host's shell; owned */
    char *input;      /* local shell command whose output it reads, or NULL; owned */
    bool stream;      /* its output goes to stdout line by line, nothing is kept */
    char *out, *err;  /* what it said, with a NUL behind; owned */
    size_t out_len, err_len;
    bool answered;
    int status; /* exit status; 255 when it did not answer */
    /* Of the run. */
    int pid, fds[2];
} remote_t;

/* Runs all N; those that are not done in TIMEOUT_MS (0: no bound) count as silent.
 * Names each host that did not answer on stderr. */
void remote_run (remote_t *all, size_t n, unsigned timeout_ms);
void remote_clear (remote_t *self);
/* `dfs-cluster ARGS` as a command for the shell of a host that has the cluster in DIR:
 * from DIR/bin, from PATH, or where this program is. ARGS are quoted already. Returns
 * owned. */
char *remote_command (const char *dir, const char *args);

#endif
