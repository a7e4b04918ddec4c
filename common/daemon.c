/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"
#include "io.h"
#include "log.h"

int daemon_signals (void)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGINT);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGHUP);
    pthread_sigmask (SIG_BLOCK, &set, NULL);
    signal (SIGPIPE, SIG_IGN);
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
    return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* sd_notify (3): a datagram to the socket that systemd names. */
void daemon_notify (const char *state)
{
    const char *path = getenv ("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !path[0] || strlen (path) >= sizeof address.sun_path)
        return;
    size_t len = strlen (path);
    memcpy (address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t rc =
        sendto (fd, state, strlen (state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                (socklen_t)(offsetof (struct sockaddr_un, sun_path) + len));
    if (rc < 0)
        log_warn ("notify_failed", "err=%d", errno);
    close (fd);
}

enum { BEAT_NEVER, BEAT_NONE, BEAT_SEEN };
static atomic_int beat;

void daemon_beat (void)
{
    atomic_store_explicit (&beat, BEAT_SEEN, memory_order_relaxed);
}

/* Tells the watchdog that this daemon serves, if it has since the last time. */
static void feed_watchdog (void)
{
    int seen = BEAT_SEEN;

    if (atomic_compare_exchange_strong (&beat, &seen, BEAT_NONE) || seen == BEAT_NEVER)
        daemon_notify ("WATCHDOG=1");
    else
        log_warn ("watchdog", "err=\"nothing was served since it was fed last\"");
}

/* Waits for a signal that ends the daemon, or for FATAL_FD. */
static int wait_end (int signal_fd, int fatal_fd, void (*reload) (void *ctx), void *ctx,
                     dfs_error_t *err)
{
    /* systemd's watchdog wants a sign twice per period. */
    const char *usec = getenv ("WATCHDOG_USEC");
    int period = usec ? (int)(strtoul (usec, NULL, 10) / 2000) : -1;
    if (period == 0)
        period = 1;
    for (;;) {
        struct pollfd fds[2] = {
            {.fd = signal_fd, .events = POLLIN},
            {.fd = fatal_fd, .events = POLLIN},
        };
        int rc = poll (fds, 2, period);
        if (rc < 0 && errno != EINTR)
            return fail_errno (err, "poll");
        if (period > 0 && rc == 0)
            feed_watchdog ();
        if (rc <= 0)
            continue;
        if (fds[1].revents)
            return fail (err, DFS_EINTERNAL, "stopped by a failure; see the log");
        struct signalfd_siginfo info;
        while (read (signal_fd, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGHUP) {
                log_info ("reload", "from=%u", info.ssi_pid);
                if (reload)
                    reload (ctx);
                continue;
            }
            log_info ("stopping", "signal=%u from=%u", info.ssi_signo, info.ssi_pid);
            return DFS_OK;
        }
    }
}

int daemon_run (const daemon_module_t *modules, void *ctx, int signal_fd, int fatal_fd,
                const char *ready_path, const char *(*ready_text) (void *ctx),
                void (*reload) (void *ctx), dfs_error_t *err)
{
    int rc = DFS_OK;
    bool written = false;
    size_t n = 0;
    for (; modules[n].name && rc == 0; n++) {
        rc = modules[n].start (ctx, err);
        if (rc < 0) {
            wrap (err, "%s", modules[n].name);
            break;
        }
    }
    if (rc == 0 && ready_path) {
        const char *text = ready_text (ctx);
        rc = io_replace (ready_path, text, strlen (text), 0644, err);
        written = rc == DFS_OK;
    }
    if (rc == 0) {
        daemon_notify ("READY=1");
        log_info ("ready", NULL);
        rc = wait_end (signal_fd, fatal_fd, reload, ctx, err);
    }
    daemon_notify ("STOPPING=1");
    while (n > 0) {
        n--;
        modules[n].stop (ctx);
    }
    if (written) /* never that of the process which holds our directory */
        unlink (ready_path);
    if (rc == 0)
        log_info ("stopped", NULL);
    return rc;
}
