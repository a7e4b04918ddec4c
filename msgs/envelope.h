/* SPDX-License-Identifier: MPL-2.0 */
/* Sending and receiving control envelopes on ROUTER, DEALER, PUB and SUB sockets. One
 * envelope is one frame, packed straight into a zmq_msg_t; a ROUTER has the routing id
 * before it, PUB and SUB a topic of one byte. */
#ifndef MSGS_ENVELOPE_H
#define MSGS_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"
#include "msgs/control.pb-c.h"

#define ENVELOPE_VERSION 1
#define ENVELOPE_MAX     (1024 * 1024)     /* packed bytes, both directions */
#define ENVELOPE_ARENA   (8 * 1024 * 1024) /* budget for unpacking one */
#define ROUTE_MAX        16

/* Who sent a message on a ROUTER. */
typedef struct route {
    uint8_t len;
    uint8_t id[ROUTE_MAX];
} route_t;

typedef struct envelope_from {
    route_t route; /* ROUTER only */
    int fd;        /* connection (ZMQ_SRCFD); equals the monitor's value */
    bool has_key;
    uint8_t key[32]; /* proved by CURVE */
    char topic;      /* SUB only */
} envelope_from_t;

/* Sends ENV to ROUTE (ROUTER), with TOPIC (PUB, else 0). Never blocks: DFS_EAGAIN when
 * the peer's queue is full, DFS_EUNAVAIL when it is gone, DFS_ETOOBIG past
 * ENVELOPE_MAX. Fills in ENV->version. */
int envelope_send (void *sock, const route_t *route, char topic, Dfs__Envelope *env);
/* Receives one without blocking into ARENA (the caller resets it). Returns 1 and *ENV
 * (valid until the reset), 0 when nothing is there, DFS_EPROTO for what is no envelope
 * of ours (FROM is filled; the message is gone), other negative codes for a broken
 * socket. KIND_ROUTER tells whether a routing id comes first; TOPIC whether a topic
 * does. */
int envelope_recv (void *sock, bool kind_router, bool topic, arena_t *arena,
                   envelope_from_t *from, Dfs__Envelope **env, dfs_error_t *err);
/* Sets up ENV as the answer to ASKED (seq, session, trace). */
void envelope_answer (Dfs__Envelope *env, const Dfs__Envelope *asked);

/* Name of ENV's body in the protocol; static. */
const char *envelope_kind (const Dfs__Envelope *env);

#endif
