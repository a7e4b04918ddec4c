/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "envelope.h"
#include "frame.h"
#include "sock.h"

/* Works in 4.3.4; its header declares it only among the drafts. */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

/* One row per kind. -1 leaves ZeroMQ's default. Why the values are what they are:
 * doc/design/0002-sockets.md. */
typedef struct row {
    int type;
    bool server; /* binds: CURVE server with a ZAP domain */
    const char *domain;
    int send_hwm;
    int recv_hwm;
    int linger_ms;
    int reconnect_ms; /* -1: no reconnect (ZMQ_RECONNECT_IVL = -1) */
    int reconnect_max_ms;
    int64_t max_message;
    bool mandatory; /* ROUTER */
    bool immediate; /* queue only for a live connection */
} row_t;

#define CONTROL ENVELOPE_MAX
#define BULK    (FRAME_MAX + 4096)

/* A host that swallows packets is noticed after the first SYN was repeated once (after
 * 1 s), not when the kernel has given up (about 2 min). */
#define CONNECT_MS 2500

/* The receive mark of a CURVE server is never 1: such a connection stalls at its first
 * message (libzmq 4.3.4). */
static const row_t rows[SOCK_KINDS] = {
    [SOCK_FRONT] = {ZMQ_ROUTER, true, "front", 128, 1000, 500, 100, 5000, CONTROL, true,
                    false},
    [SOCK_BACK] = {ZMQ_ROUTER, true, "back", 10000, 10000, 500, 100, 5000, CONTROL,
                   true, false},
    [SOCK_PULSE] = {ZMQ_SUB, true, "pulse", 10, 1000, 0, 100, 5000, 64 * 1024, false,
                    false},
    [SOCK_ANNOUNCE] = {ZMQ_PUB, true, "announce", 10, 10, 0, 100, 5000, 64 * 1024,
                       false, false},
    [SOCK_PEERS] = {ZMQ_ROUTER, true, "peers", 16, 16, 0, 100, 5000, CONTROL + 4096,
                    true, false},
    [SOCK_PEER] = {ZMQ_DEALER, false, NULL, 16, 16, 0, 50, 500, CONTROL + 4096, false,
                   true},
    [SOCK_CLIENT] = {ZMQ_DEALER, false, NULL, 1000, 10000, 500, -1, 0, CONTROL, false,
                     true},
    [SOCK_WORKER] = {ZMQ_DEALER, false, NULL, 10000, 10000, 500, 100, 1000, CONTROL,
                     false, true},
    [SOCK_WORKER_PULSE] = {ZMQ_PUB, false, NULL, 10, 10, 0, 100, 1000, 64 * 1024, false,
                           false},
    [SOCK_LISTEN] = {ZMQ_SUB, false, NULL, 10, 100, 0, 100, 1000, 64 * 1024, false,
                     false},
    [SOCK_INGEST] = {ZMQ_PULL, true, "ingest", 4, 2, 0, 100, 5000, BULK, false, false},
    [SOCK_STREAM] = {ZMQ_PUSH, true, "stream", 64, 4, 0, 100, 5000, 64 * 1024, false,
                     false},
    [SOCK_FORWARD] = {ZMQ_PUSH, false, NULL, 4, 4, 0, 100, 1000, 64 * 1024, false,
                      true},
    [SOCK_UPLINK] = {ZMQ_PUSH, false, NULL, 4, 4, 0, -1, 0, 64 * 1024, false, true},
    [SOCK_STREAM_CLIENT] = {ZMQ_PULL, false, NULL, 4, 4, 0, -1, 0, BULK, false, false},
};

const char *sock_domain (enum sock_kind kind)
{
    return rows[kind].domain;
}

static int set_int (void *s, int option, int value)
{
    return zmq_setsockopt (s, option, &value, sizeof value);
}

/* Dead peers behind a silent network: the kernel finds them in about 20 s. ZMTP
 * heartbeats are never used: a socket that is stopped by its high-water mark loses its
 * connection by them, or aborts. */
static int set_keepalive (void *s)
{
    return set_int (s, ZMQ_TCP_KEEPALIVE, 1) < 0 ||
                   set_int (s, ZMQ_TCP_KEEPALIVE_IDLE, 10) < 0 ||
                   set_int (s, ZMQ_TCP_KEEPALIVE_INTVL, 3) < 0 ||
                   set_int (s, ZMQ_TCP_KEEPALIVE_CNT, 3) < 0
               ? -1
               : 0;
}

/* A connection through a network that has gone silent is given up soon. Among brokers
 * because the kernel's next attempt may come long after the network is back; by a
 * client because what it sends to a worker has to go to another one. (A worker that
 * lives and takes nothing for as long is no better.) */
static int set_impatient (void *s, enum sock_kind kind)
{
    if (kind == SOCK_UPLINK)
        return set_int (s, ZMQ_TCP_MAXRT, 8000);
    if (kind != SOCK_PEER)
        return 0;
    return set_int (s, ZMQ_TCP_MAXRT, 3000) < 0 ||
                   set_int (s, ZMQ_CONNECT_TIMEOUT, 1000) < 0
               ? -1
               : 0;
}

static int set_security (void *s, const row_t *row, const sock_identity_t *id,
                         const char *domain)
{
    if (!id || !id->secure)
        return 0;
    if (row->server) {
        const char *d = domain ? domain : row->domain;
        return set_int (s, ZMQ_CURVE_SERVER, 1) < 0 ||
                       zmq_setsockopt (s, ZMQ_CURVE_SECRETKEY, id->keys.secret_key,
                                       32) < 0 ||
                       zmq_setsockopt (s, ZMQ_ZAP_DOMAIN, d, strlen (d)) < 0 ||
                       set_int (s, ZMQ_ZAP_ENFORCE_DOMAIN, 1) < 0
                   ? -1
                   : 0;
    }
    return zmq_setsockopt (s, ZMQ_CURVE_PUBLICKEY, id->keys.public_key, 32) < 0 ||
                   zmq_setsockopt (s, ZMQ_CURVE_SECRETKEY, id->keys.secret_key, 32) < 0
               ? -1
               : 0;
}

/* What many senders at once can make an ingest hold is this and one frame more for
 * each; 1 stalls under CURVE (libzmq 4.3.4). */
static int receive_mark (enum sock_kind kind, const sock_identity_t *id)
{
    bool secure = id && id->secure;

    return kind == SOCK_INGEST && !secure ? 1 : rows[kind].recv_hwm;
}

void *sock_new (void *ctx, enum sock_kind kind, const sock_identity_t *id,
                const char *domain, dfs_error_t *err)
{
    const row_t *row = &rows[kind];
    void *s = zmq_socket (ctx, row->type);
    if (!s) {
        fail (err, DFS_ESYS, "make a socket: %s", zmq_strerror (errno));
        return NULL;
    }
    int rc = set_int (s, ZMQ_SNDHWM, row->send_hwm);
    if (rc == 0)
        rc = set_int (s, ZMQ_RCVHWM, receive_mark (kind, id));
    if (rc == 0)
        rc = set_int (s, ZMQ_LINGER, row->linger_ms);
    if (rc == 0)
        rc = set_int (s, ZMQ_IPV6, 1);
    if (rc == 0)
        rc = set_int (s, ZMQ_HANDSHAKE_IVL, 3000);
    if (rc == 0 && !row->server)
        rc = set_int (s, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    if (rc == 0)
        rc = set_int (s, ZMQ_BACKLOG, 512);
    if (rc == 0)
        rc = set_int (s, ZMQ_RECONNECT_IVL, row->reconnect_ms);
    if (rc == 0 && row->reconnect_ms > 0)
        rc = set_int (s, ZMQ_RECONNECT_IVL_MAX, row->reconnect_max_ms);
    if (rc == 0)
        rc = zmq_setsockopt (s, ZMQ_MAXMSGSIZE, &row->max_message,
                             sizeof row->max_message);
    if (rc == 0 && row->mandatory)
        rc = set_int (s, ZMQ_ROUTER_MANDATORY, 1);
    if (rc == 0 && row->immediate)
        rc = set_int (s, ZMQ_IMMEDIATE, 1);
    if (rc == 0 && row->type == ZMQ_SUB)
        rc = zmq_setsockopt (s, ZMQ_SUBSCRIBE, "", 0);
    if (rc == 0)
        rc = set_keepalive (s);
    if (rc == 0)
        rc = set_impatient (s, kind);
    if (rc == 0)
        rc = set_security (s, row, id, domain);
    if (rc < 0) {
        fail (err, DFS_ESYS, "set a socket's options: %s", zmq_strerror (errno));
        zmq_close (s);
        return NULL;
    }
    return s;
}

int sock_bind (void *sock, const char *host, uint16_t port, uint16_t *bound,
               dfs_error_t *err)
{
    char endpoint[256];
    if (port)
        snprintf (endpoint, sizeof endpoint, "tcp://%s:%u", host, port);
    else
        snprintf (endpoint, sizeof endpoint, "tcp://%s:*", host);
    /* A socket that was closed a moment ago may still hold the port: its close is done
     * by the I/O thread. */
    int rc = zmq_bind (sock, endpoint);
    for (int i = 0; rc < 0 && errno == EADDRINUSE && port && i < 20; i++) {
        nanosleep (&(struct timespec){.tv_nsec = 10000000}, NULL);
        rc = zmq_bind (sock, endpoint);
    }
    if (rc < 0 && errno == EADDRINUSE)
        return fail (err, DFS_EINUSE, "port %u of %s is taken by another program", port,
                     strcmp (host, "*") == 0 ? "this machine" : host);
    if (rc < 0)
        return fail (err, error_from_errno (errno), "bind %s: %s", endpoint,
                     zmq_strerror (errno));
    if (!bound)
        return DFS_OK;
    size_t len = sizeof endpoint;
    unsigned p = 0;
    rc = zmq_getsockopt (sock, ZMQ_LAST_ENDPOINT, endpoint, &len);
    const char *colon = rc == 0 ? strrchr (endpoint, ':') : NULL;
    if (!colon || sscanf (colon, ":%u", &p) != 1 || p == 0 || p > 65535)
        return fail (err, DFS_EINTERNAL, "cannot tell the port of %s", endpoint);
    *bound = (uint16_t)p;
    return DFS_OK;
}

int sock_connect (void *sock, const sock_identity_t *id, const char *host,
                  uint16_t port, const uint8_t server_key[32], dfs_error_t *err)
{
    char endpoint[256];
    snprintf (endpoint, sizeof endpoint, "tcp://%s:%u", host, port);
    if (id && id->secure) {
        if (!server_key)
            return fail (err, DFS_EAUTH, "%s: the peer's key is not known", endpoint);
        if (zmq_setsockopt (sock, ZMQ_CURVE_SERVERKEY, server_key, 32) < 0)
            return fail (err, DFS_ESYS, "%s: %s", endpoint, zmq_strerror (errno));
    }
    if (zmq_connect (sock, endpoint) < 0)
        return fail (err, DFS_ESYS, "connect %s: %s", endpoint, zmq_strerror (errno));
    return DFS_OK;
}

void sock_close (void **sock_p)
{
    if (*sock_p) {
        int rc = zmq_close (*sock_p);
        assert (rc == 0);
    }
    *sock_p = NULL;
}

void *sock_monitor (void *ctx, void *sock, int events, dfs_error_t *err)
{
    char endpoint[64];
    snprintf (endpoint, sizeof endpoint, "inproc://dfs-monitor-%p", sock);
    if (zmq_socket_monitor (sock, endpoint, events) < 0) {
        fail (err, DFS_ESYS, "monitor a socket: %s", zmq_strerror (errno));
        return NULL;
    }
    void *pair = zmq_socket (ctx, ZMQ_PAIR);
    int zero = 0;
    if (pair && zmq_setsockopt (pair, ZMQ_LINGER, &zero, sizeof zero) == 0 &&
        zmq_setsockopt (pair, ZMQ_RCVHWM, &zero, sizeof zero) == 0 &&
        zmq_connect (pair, endpoint) == 0)
        return pair;
    fail (err, DFS_ESYS, "monitor a socket: %s", zmq_strerror (errno));
    if (pair)
        zmq_close (pair);
    zmq_socket_monitor (sock, NULL, 0);
    return NULL;
}

void sock_monitor_close (void *sock, void **pair_p)
{
    if (!*pair_p)
        return;
    zmq_socket_monitor (sock, NULL, 0);
    zmq_close (*pair_p);
    *pair_p = NULL;
}

int sock_monitor_read (void *pair, sock_event_t *event)
{
    uint8_t head[6];
    int n = zmq_recv (pair, head, sizeof head, ZMQ_DONTWAIT);
    if (n < 0)
        return 0;
    uint16_t kind;
    int32_t value;
    memcpy (&kind, head, 2);
    memcpy (&value, head + 2, 4);
    event->event = kind;
    event->value = value;
    n = zmq_recv (pair, event->endpoint, sizeof event->endpoint - 1, ZMQ_DONTWAIT);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (len > sizeof event->endpoint - 1)
        len = sizeof event->endpoint - 1;
    event->endpoint[len] = 0;
    return 1;
}
