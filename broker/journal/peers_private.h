/* SPDX-License-Identifier: MPL-2.0 */
/* Shared by peers.c (the threads), peers_frames.c and peers_links.c (one connection to
 * each broker). */
#ifndef BROKER_JOURNAL_PEERS_PRIVATE_H
#define BROKER_JOURNAL_PEERS_PRIVATE_H

#include "peers.h"

/* As peers_send_on, to where a message of a ROUTER came from. */
int peers_route_on (void *sock, const peers_route_t *route, const char *own_name,
                    enum peers_kind kind, const void *bytes, size_t len);
/* As peers_receive_on, of a ROUTER; SECURE with the KEY that the connection proved. */
int peers_receive_from (void *sock, peers_message_t *message, bool *secure,
                        uint8_t key[32]);

/* --- one connection for sending --- */

typedef struct peer_item {
    struct peer_item *next;
    enum peers_kind kind;
    size_t len;
    uint8_t bytes[];
} peer_item_t;

typedef struct peer_link {
    char name[JOURNAL_NAME];
    uint8_t key[32];
    void *sock; /* NULL while the address is not known */
    void *monitor;
    char host[256];
    uint16_t port;
    bool up;
    uint64_t retry_at; /* ms, a new socket is made then; 0: not */
    peer_item_t *first;
    peer_item_t **end;
    size_t queued; /* bytes */
} peer_t;

typedef struct peer_env {
    void *zmq;
    const struct sock_identity *secret;
    const char *own_name;
} peer_env_t;

void peer_init (peer_t *self, const journal_broker_t *broker);
void peer_release (peer_t *self);
/* A new address, or none before. */
void peer_address (peer_t *self, const peer_env_t *env, const char *host,
                   uint16_t port);
void peer_send (peer_t *self, const peer_env_t *env, enum peers_kind kind,
                const void *bytes, size_t len);
/* Sends what waits; reads the monitor. */
void peer_work (peer_t *self, const peer_env_t *env, uint64_t now_ms);

#endif
