/* SPDX-License-Identifier: MPL-2.0 */
/* Which broker to talk to: goes round the brokers of cluster.cfg, prefers the one that
 * was named leader, and finds its address, port and key. One thread. */
#ifndef CLIENT_LIB_LEADER_H
#define CLIENT_LIB_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "msgs/cluster.h"

typedef struct leader leader_t;

typedef struct leader_address {
    const char *name; /* borrowed from the cluster */
    char host[128];   /* numeric */
    uint16_t port;
    uint8_t key[32]; /* with security */
} leader_address_t;

/* Borrows CLUSTER. */
leader_t *leader_new (const cluster_t *cluster);
void leader_destroy (leader_t **self_p);
/* The broker to try now. Resolves its name (at most 2 s) and reads its port again,
 * since a restarted broker may have another. */
int leader_pick (leader_t *self, leader_address_t *address, dfs_error_t *err);
/* The one picked last did not answer (SILENT: it is left alone for a second, when there
 * are others), or does not lead: WHY. */
void leader_failed (leader_t *self, const char *why, bool silent);
/* What a handshake with the one picked last says of the key that we have for it;
 * NOTHING when it was not there at all. Returns true when no broker has its key, as far
 * as can be told: each failed several times in a row and never succeeded. What accepts
 * connections for a broker that is down, and closes them, looks the same. */
enum leader_key { LEADER_KEY_NOTHING, LEADER_KEY_RIGHT, LEADER_KEY_DOUBTFUL };
bool leader_key (leader_t *self, enum leader_key key);
/* NAME leads, the one picked last says. Returns 1 when that is another one that was not
 * silent just now, which is the next to be picked, else 0. */
int leader_hint (leader_t *self, const char *name);
size_t leader_brokers (const leader_t *self);
/* What each of several said or did last, into TEXT. */
void leader_why (const leader_t *self, char *text, size_t cap);

#endif
