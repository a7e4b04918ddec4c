/* SPDX-License-Identifier: MPL-2.0 */
/* Finding and starting the daemons. Main thread. */
#ifndef CLUSTER_PROGRAM_H
#define CLUSTER_PROGRAM_H

#include "node.h"

/* dfs-ROLE beside this program, in the build tree it was built in, or on PATH. Returns
 * owned, NULL with the places tried. */
char *program_find (const char *role, dfs_error_t *err);
/* Where this program is, a build tree's .libs left out. Returns owned. */
char *program_directory (void);
/* Starts the daemon of NODE in a session of its own, its output appended to
 * logs/NAME.log; fills in child and log_start. */
int program_start (const cluster_t *cluster, node_t *node, dfs_error_t *err);
/* What the log has said last since the start: its err= when it has one, else the whole
 * line. Returns owned; "" when nothing. */
char *program_last_words (const cluster_t *cluster, const node_t *node);

#endif
