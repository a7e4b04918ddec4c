/* SPDX-License-Identifier: MPL-2.0 */
/* Every socket of the system, by kind: one table holds its ZeroMQ type and options
 * (high water marks, linger, message bound, reconnect, keepalive, CURVE, ZAP domain),
 * so that no caller sets one by hand. Sockets are plain libzmq sockets of the context
 * given; each belongs to one thread. */
#ifndef MSGS_SOCK_H
#define MSGS_SOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "common/error.h"
#include "keys.h"

enum sock_kind {
    SOCK_FRONT,         /* broker ROUTER, bind: clients */
    SOCK_BACK,          /* broker ROUTER, bind: workers */
    SOCK_PULSE,         /* broker SUB, bind: heartbeats */
    SOCK_ANNOUNCE,      /* broker PUB, bind */
    SOCK_PEERS,         /* broker ROUTER, bind: brokers */
    SOCK_PEER,          /* broker DEALER, connect: another broker */
    SOCK_CLIENT,        /* client DEALER, connect: front */
    SOCK_WORKER,        /* worker DEALER, connect: back */
    SOCK_WORKER_PULSE,  /* worker PUB, connect: pulse */
    SOCK_LISTEN,        /* worker or client SUB, connect: announce */
    SOCK_INGEST,        /* worker PULL, bind */
    SOCK_STREAM,        /* worker PUSH, bind, one per client session */
    SOCK_FORWARD,       /* worker PUSH, connect: an ingest */
    SOCK_UPLINK,        /* client PUSH, connect: an ingest */
    SOCK_STREAM_CLIENT, /* client PULL, connect: streams */
    SOCK_KINDS
};

/* What a process is on the wire. SECURE false: no CURVE at all (security = none). */
typedef struct sock_identity {
    bool secure;
    keypair_t keys; /* own */
} sock_identity_t;

/* Makes a socket with the options of KIND. Binding sockets get the ZAP domain DOMAIN
 * (NULL: the kind's own name: "front", "back", …). Returns owned (zmq_close), NULL on
 * failure. */
void *sock_new (void *ctx, enum sock_kind kind, const sock_identity_t *id,
                const char *domain, dfs_error_t *err);
/* Binds to HOST ("*": all, else a numeric address) and PORT (0: the kernel picks);
 * *BOUND gets the port. DFS_EINUSE names host and port. */
int sock_bind (void *sock, const char *host, uint16_t port, uint16_t *bound,
               dfs_error_t *err);
/* Connects to HOST (numeric) and PORT; SERVER_KEY is the peer's CURVE key (NULL without
 * security). May be called again with another peer where the pattern allows it. */
int sock_connect (void *sock, const sock_identity_t *id, const char *host,
                  uint16_t port, const uint8_t server_key[32], dfs_error_t *err);
/* Closes and NULLs; NULL is fine. */
void sock_close (void **sock_p);
/* ZAP domain of a kind. */
const char *sock_domain (enum sock_kind kind);

/* Monitoring: a PAIR that delivers the socket's events (borrowed until
 * sock_monitor_close). Read with sock_monitor_read until it gives 0. */
void *sock_monitor (void *ctx, void *sock, int events, dfs_error_t *err);
void sock_monitor_close (void *sock, void **pair_p);
typedef struct sock_event {
    int event; /* ZMQ_EVENT_… */
    int value; /* fd, errno, or ZAP status */
    char endpoint[128];
} sock_event_t;
/* 1 when an event was read (does not block), 0 when there is none. */
int sock_monitor_read (void *pair, sock_event_t *event);

#endif
