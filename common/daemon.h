/* SPDX-License-Identifier: MPL-2.0 */
/* What a daemon's main () is made of: a table of modules started in order and stopped
 * in reverse, signals by signalfd, the ready file, sd_notify. Main thread only, but for
 * daemon_beat. */
#ifndef COMMON_DAEMON_H
#define COMMON_DAEMON_H

#include "error.h"

typedef struct daemon_module {
    const char *name;
    int (*start) (void *ctx, dfs_error_t *err);
    void (*stop) (void *ctx);
} daemon_module_t;

/* Call first in main (), before any thread: blocks SIGINT, SIGTERM, SIGHUP, ignores
 * SIGPIPE, raises RLIMIT_NOFILE to its hard limit. Returns a signalfd. */
int daemon_signals (void);

/* Starts MODULES (ended by name NULL); on failure stops those started. Then writes
 * READY_TEXT to READY_PATH (NULL: none) by rename, tells systemd, and waits on
 * SIGNAL_FD until SIGINT or SIGTERM; SIGHUP calls RELOAD (may be NULL). FATAL_FD (-1:
 * none) becoming readable is a failure reported by a module: leave with DFS_EINTERNAL.
 * Then stops in reverse and removes READY_PATH. Returns 0 or the code of the failure.
 */
int daemon_run (const daemon_module_t *modules, void *ctx, int signal_fd, int fatal_fd,
                const char *ready_path, const char *(*ready_text) (void *ctx),
                void (*reload) (void *ctx), dfs_error_t *err);

/* A sign of life of the thread that serves: its loop calls this on every turn, at least
 * once a second. From the first one on, systemd's watchdog is fed only while they come,
 * so a daemon that hangs is started anew. Any thread. */
void daemon_beat (void);

/* Sends STATE ("READY=1") to $NOTIFY_SOCKET, if set. */
void daemon_notify (const char *state);

#endif
