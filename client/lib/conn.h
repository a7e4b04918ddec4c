/* SPDX-License-Identifier: MPL-2.0 */
/* The connection to a broker: a DEALER that says hello first on each new connection,
 * resumes its session, and is made anew whenever it breaks. One thread. */
#ifndef CLIENT_LIB_CONN_H
#define CLIENT_LIB_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "common/arena.h"
#include "common/error.h"
#include "msgs/cluster.h"
#include "msgs/control.pb-c.h"
#include "msgs/sock.h"

typedef struct conn conn_t;

/* What the welcome said. */
typedef struct conn_facts {
    uint64_t session;
    uint64_t chunk_size;
    uint32_t policy;
    uint32_t replicas;
    uint64_t inline_max;
    uint32_t max_place;
    bool policies; /* there are several */
} conn_facts_t;

enum conn_news {
    CONN_NOTHING,
    CONN_UP,     /* welcomed: what was not answered must be sent again */
    CONN_DOWN,   /* lost; it is tried again without end */
    CONN_FAILED, /* refused for good: see conn_failure */
};

/* Borrows everything. STALE: reads that may be old do, any broker is good. */
conn_t *conn_new (void *ctx, const cluster_t *cluster, const sock_identity_t *id,
                  const char *user, bool stale);
void conn_destroy (conn_t **self_p);

/* FRESH says, before each hello, whether nothing is under way in the session: then the
 * connection gets a new one (the old one may have expired meanwhile). UNSURE: something
 * was sent that may be done, which only the same session can tell. */
void conn_set_fresh (conn_t *self, bool (*fresh) (void *arg),
                     bool (*unsure) (void *arg), void *arg);

bool conn_up (const conn_t *self);
/* The broker tried last is not there, as far as can be seen from here. */
bool conn_absent (const conn_t *self);
const conn_facts_t *conn_facts (const conn_t *self);
/* Policies were made since the welcome: conn_facts says so from now on. */
void conn_ask_policies (conn_t *self);
/* A call of the library begins: what the connection was used for before is over. */
void conn_begin (conn_t *self);
/* Something was sent since then. */
bool conn_used (const conn_t *self);
/* Counts welcomes. */
uint64_t conn_welcomes (const conn_t *self);
/* The session is gone: the next conn_tick ends the connection, and a new one begins. */
void conn_renew (conn_t *self);
/* Sends MSG (consumed on success) without waiting; DFS_EAGAIN when that cannot be now.
 */
int conn_send (conn_t *self, zmq_msg_t *msg);
/* Next message into ARENA, 0 when there is none; DFS_EPROTO for garbage. Hello, welcome
 * and their like are not shown. *NEWS tells what they did. */
int conn_recv (conn_t *self, arena_t *arena, Dfs__Envelope **env, enum conn_news *news);
/* Looks at what happened to the connection, and connects again when it is time. */
enum conn_news conn_tick (conn_t *self, uint64_t now);
/* When conn_tick wants to be called at the latest. */
uint64_t conn_next (const conn_t *self);
/* Appends what to poll (at most 2). */
int conn_poll (conn_t *self, zmq_pollitem_t *items);
/* Why it is down, or was refused for good. */
int conn_failure (const conn_t *self, dfs_error_t *err);
#endif
