/* SPDX-License-Identifier: MPL-2.0 */
/* What brokers send each other: a thread with a ROUTER that hears the others and one
 * DEALER for each of them, which only sends. A message comes from the broker whose key
 * its connection has proved. Nothing is promised: what cannot be sent now, or is too
 * much for a peer, is dropped, and the consensus core asks again.
 *
 * Threads: peers_… from any. The callbacks come on its thread and must only
 * hand over. */
#ifndef BROKER_JOURNAL_PEERS_H
#define BROKER_JOURNAL_PEERS_H

#include "journal.h"

typedef struct peers peers_t;

#define PEERS_BYTES_MAX (1024 * 1024 + 256 * 1024) /* of one message */
#define PEERS_ROUTE     16

enum peers_kind {
    PEERS_PACKET = 1, /* of the consensus core */
    PEERS_HELLO = 2,
    PEERS_ASK = 3,   /* for a piece of a state: comes on a connection of its own... */
    PEERS_PIECE = 4, /* ...and is answered there */
};

/* Where an answer goes. */
typedef struct peers_route {
    uint8_t id[PEERS_ROUTE];
    size_t len;
} peers_route_t;

typedef struct peers_message {
    enum peers_kind kind;
    char name[JOURNAL_NAME]; /* of the sender, proved */
    peers_route_t route;
    uint8_t *bytes; /* owned by the receiver (free) */
    size_t len;
} peers_message_t;

typedef struct peers_config {
    journal_peers_t peers; /* strings and list are copied */
    const char *name;      /* own */
    void (*received) (peers_message_t *message, void *arg);
    void *arg;
} peers_config_t;

/* Binds; nothing is heard before peers_start, nor after peers_stop. */
peers_t *peers_new (const peers_config_t *config, dfs_error_t *err);
int peers_start (peers_t *self, dfs_error_t *err);
void peers_stop (peers_t *self);
void peers_destroy (peers_t **self_p);
uint16_t peers_port (const peers_t *self);
/* Another list of brokers. */
void peers_set (peers_t *self, const journal_broker_t *brokers, size_t n);

/* BYTES are copied. */
void peers_send (peers_t *self, const char *name, enum peers_kind kind,
                 const void *bytes, size_t len);
void peers_answer (peers_t *self, const peers_route_t *route, enum peers_kind kind,
                   const void *bytes, size_t len);

/* The frames of a message, for a socket of one's own (the lane). 0, or -1 with errno
 * EAGAIN: not now. */
int peers_send_on (void *sock, const char *own_name, enum peers_kind kind,
                   const void *bytes, size_t len);
/* The next message of a DEALER, without waiting: 1, 0 none, -1 one that is malformed
 * and gone. */
int peers_receive_on (void *sock, peers_message_t *message);

#endif
