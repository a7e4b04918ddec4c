/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/presence.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io.h"
#include "common/resolve.h"

#define RESOLVE_MS 500
#define CONNECT_MS 300
#define PID_MAX    64 /* bytes of a file with a process id */

static bool is_alive (long pid)
{
    return pid > 0 && pid <= INT32_MAX && (kill ((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* Whether a process of the broker is here: one that serves or ends (run/NAME.ready), or
 * one that was started and is not ready yet (run/NAME.pid). */
static bool is_here (const cluster_t *cluster, const cluster_node_t *broker)
{
    cluster_ready_t ready;
    char *path = NULL;
    void *text = NULL;
    size_t len = 0;
    long pid = 0;

    if (cluster_ready_read (cluster, broker->name, &ready, NULL) == 0 &&
        is_alive (ready.pid))
        return true;
    if (asprintf (&path, "%s/%s.pid", cluster->run_dir, broker->name) < 0)
        abort ();
    if (io_slurp (path, PID_MAX, &text, &len, NULL) == 0)
        pid = strtol (text, NULL, 10);
    free (text);
    free (path);
    return is_alive (pid);
}

static struct addrinfo *numeric (const char *host, uint16_t port)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *info = NULL;
    char bare[128], service[16];
    size_t len = strlen (host);
    bool brackets = *host == '[' && len > 2;

    snprintf (bare, sizeof bare, "%.*s", (int)(brackets ? len - 2 : len),
              brackets ? host + 1 : host);
    snprintf (service, sizeof service, "%u", port);
    return getaddrinfo (bare, service, &hints, &info) == 0 ? info : NULL;
}

static bool refuses (const struct addrinfo *info)
{
    int fd = socket (info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t len = sizeof error;

    if (fd < 0)
        return false;
    if (connect (fd, info->ai_addr, info->ai_addrlen) < 0)
        error = errno;
    if (error == EINPROGRESS) {
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        error = 0;
        if (poll (&item, 1, CONNECT_MS) == 1)
            getsockopt (fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    close (fd);
    return error == ECONNREFUSED;
}

/* Whether INFO is an address of this machine: only then it can be bound. */
static bool is_own (const struct addrinfo *info)
{
    struct sockaddr_storage address;
    memcpy (&address, info->ai_addr, info->ai_addrlen);
    if (info->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = 0;
    else
        ((struct sockaddr_in *)&address)->sin_port = 0;
    int fd = socket (info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool own = fd >= 0 && bind (fd, (struct sockaddr *)&address, info->ai_addrlen) == 0;
    if (fd >= 0)
        close (fd);
    return own;
}

static enum presence look (const cluster_t *cluster, const cluster_node_t *broker)
{
    uint16_t port;
    char host[128];

    if (is_here (cluster, broker))
        return PRESENCE_MAYBE;
    /* The kernel picks its port, and whoever reads that is on its machine. */
    if (cluster_broker_port (cluster, broker, 0, &port, NULL) < 0)
        return PRESENCE_NONE;
    if (resolve_host (broker->host, host, sizeof host, RESOLVE_MS, NULL) < 0)
        return PRESENCE_MAYBE;
    struct addrinfo *info = numeric (host, port);
    enum presence found = PRESENCE_MAYBE;
    if (info && refuses (info))
        found = is_own (info) ? PRESENCE_NONE : PRESENCE_REFUSED;
    if (info)
        freeaddrinfo (info);
    return found;
}

enum presence presence_look (const cluster_t *cluster)
{
    enum presence most = PRESENCE_NONE;

    for (size_t i = 0; i < cluster->n_brokers && most < PRESENCE_MAYBE; i++) {
        enum presence one = look (cluster, &cluster->brokers[i]);
        if (one > most)
            most = one;
    }
    return most;
}
