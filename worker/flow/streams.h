/* SPDX-License-Identifier: MPL-2.0 */
/* Sends pieces of chunks to clients: one thread pumps all stream sessions in turn, a
 * frame each, from one window of buffers. Orders come from any thread. */
#ifndef WORKER_FLOW_STREAMS_H
#define WORKER_FLOW_STREAMS_H

#include "worker/flow/session.h"

typedef struct streams streams_t;

typedef struct streams_config {
    void *ctx;
    const sock_identity_t *identity;
    zap_t *zap;
    store_t *store;
    notes_t *notes;
    const char *bind;
    uint16_t port_lo; /* 0: the kernel picks */
    uint16_t port_hi;
} streams_config_t;

/* An order to send pieces of chunks to one session, or to stop that. */
typedef struct stream_order {
    bool cancel;    /* only these pieces; the whole session when there are none */
    uint64_t yield; /* no session's: give back so many bytes that wait */
    int orderer;    /* number of the link it came from */
    uint64_t session;
    bool has_key;
    uint8_t client_key[32];
    size_t n;
    stream_piece_t pieces[];
} stream_order_t;

typedef struct streams_stats {
    uint64_t bytes; /* sent since the start */
    uint64_t queued;
    uint32_t sessions;
} streams_stats_t;

/* Starts the thread. What CONFIG points to is borrowed until destroy. */
streams_t *streams_new (const streams_config_t *config, dfs_error_t *err);
/* Closes all sessions and ends the thread. */
void streams_destroy (streams_t **self_p);

/* Returns owned, room for N pieces, zeroed. */
stream_order_t *stream_order_new (size_t n);
/* Takes the order. Any thread. */
void streams_order (streams_t *self, stream_order_t **order_p);
/* Any thread. */
void streams_stats (streams_t *self, streams_stats_t *stats);

#endif
