/* SPDX-License-Identifier: MPL-2.0 */
/* A dfs-broker of its own for a test: temporary cluster, kernel-picked ports, peers
 * that speak the protocol. Failures are cmocka's. One thread. */
#ifndef T_UNIT_BROKER_RIG_H
#define T_UNIT_BROKER_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/arena.h"
#include "msgs/cluster.h"
#include "msgs/envelope.h"
#include "msgs/sock.h"

#define RIG_WAIT_MS 10000

typedef struct rig {
    char dir[256];
    char config[300];
    bool secure;
    cluster_t *cluster;
    cluster_ready_t ready;
    keypair_t broker_key;
    pid_t pid; /* 0: not running */
    void *zmq;
} rig_t;

/* Makes cluster.cfg, keys and marked directories. */
rig_t *rig_new (bool secure, unsigned workers, unsigned replicas);
/* Kills what runs, removes everything. */
void rig_destroy (rig_t **self_p);
/* For a test's teardown: ends what a failed test left running. */
int rig_cleanup (void **state);
/* Adds a worker's section and key, as dfs-cluster add-worker does. */
void rig_add_worker (rig_t *self, const char *name);
/* Spawns the broker; stderr goes to DIR/log. rig_start waits until it is ready. */
void rig_spawn (rig_t *self);
void rig_start (rig_t *self);
/* Sends SIGNAL and waits for the end; returns the wait status. */
int rig_stop (rig_t *self, int signal);
/* Waits for the end of a broker that ends by itself. */
int rig_wait (rig_t *self);
/* The log holds TEXT. */
bool rig_logged (const rig_t *self, const char *text);

/* Writes raw bytes to a port of this machine. */
void rig_throw (uint16_t port, const void *data, size_t len);

/* --- a peer: DEALER to front (role user) or back (role worker) --- */

typedef struct peer {
    rig_t *rig;
    void *sock;
    sock_identity_t id;
    arena_t *arena; /* of the last answer */
    uint64_t seq;
    uint64_t session;
} peer_t;

/* Connects with the key of ROLE (worker or user) and NAME. */
peer_t *peer_new (rig_t *rig, const char *role, const char *name);
/* With another key, to another of the broker's ports. */
peer_t *peer_new_with (rig_t *rig, enum sock_kind kind, int port, const keypair_t *key);
void peer_destroy (peer_t **self_p);
/* Sends with the next sequence number; returns that. */
uint64_t peer_send (peer_t *self, Dfs__Envelope *env);
/* Next message within WAIT_MS, or NULL. Good until the next call. */
Dfs__Envelope *peer_recv (peer_t *self, int wait_ms);
/* Sends, and returns the message with that sequence number (fails the test if it does
 * not come). */
Dfs__Envelope *peer_ask (peer_t *self, Dfs__Envelope *env);
/* A client's hello that must be welcomed; keeps the session. RESUME 0: a new one. */
void peer_hello (peer_t *self, uint64_t resume);
/* Code of a hello whose fields are as given. */
int peer_hello_code (peer_t *self, const uint8_t cluster_id[16], uint32_t version,
                     Dfs__Role role, const char *name, uint64_t resume);
/* mkdir under a request number: its result code; VERSION may be NULL. */
int peer_mkdir (peer_t *self, uint64_t request, const char *path, uint64_t *version);
/* Code of a stat. */
int peer_stat (peer_t *self, const char *path);

#endif
