/* SPDX-License-Identifier: MPL-2.0 */
/* The conversation with all brokers: one DEALER each for control, a PUB for heartbeats,
 * a SUB for announcements, on one thread. Brokers may be away: it keeps trying, and
 * says hello anew after each connection. */
#ifndef WORKER_LINKS_BROKER_LINK_H
#define WORKER_LINKS_BROKER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msgs/cluster.h"
#include "msgs/sock.h"
#include "worker/links/access.h"
#include "worker/links/directory.h"
#include "worker/links/epoch.h"
#include "worker/links/notes.h"
#include "worker/store/store.h"

#define LINK_BROKERS 16 /* of a config, at most */

typedef struct broker_link broker_link_t;

typedef struct link_piece {
    uint64_t piece;
    copykey_t key;
    uint64_t offset;
    uint64_t length;
    bool keep; /* not to be given back */
} link_piece_t;

/* A broker's order, as plain values. */
typedef struct link_send {
    int link; /* answer through this one */
    uint64_t session;
    uint64_t trace;
    bool traced;               /* the client wants to hear where the time goes */
    const uint8_t *client_key; /* 32 bytes, or NULL */
    const link_piece_t *pieces;
    size_t n;
} link_send_t;

typedef struct link_replicate {
    int link;
    uint64_t order;
    uint64_t trace;
    copykey_t key;
    const uint8_t *grant;
    size_t grant_len;
} link_replicate_t;

typedef struct link_verify {
    int link;
    uint64_t order;
    uint64_t trace;
    bool peek; /* hash nothing */
    const copykey_t *keys;
    size_t n;
} link_verify_t;

/* What WORKER (0: not told) says of a chunk that was sent to it for UPLOAD (0: not
 * told, or an order): so much is consumed, or (CODE < 0) it is not taken. */
typedef struct link_answer {
    uint32_t worker;
    uint64_t upload;
    copykey_t key;
    uint64_t consumed;
    int code;
} link_answer_t;

typedef struct link_drop_item {
    copykey_t key;
    uint64_t birth_limit;
} link_drop_item_t;

typedef struct link_drop {
    int link;
    uint64_t order;
    uint64_t trace;
    const link_drop_item_t *items;
    size_t n;
} link_drop_t;

/* Who carries orders out. Called on the link thread; arguments are borrowed for the
 * call; they may not block. */
typedef struct link_orders {
    void (*send) (const link_send_t *order, void *arg);
    /* Pieces NULL, N 0: the session is gone. */
    void (*cancel) (uint64_t session, const uint64_t *pieces, size_t n, void *arg);
    /* Others are idle: give back pieces that wait, so many bytes at most. */
    void (*yield) (int link, uint64_t bytes, void *arg);
    void (*replicate) (const link_replicate_t *order, void *arg);
    void (*verify) (const link_verify_t *order, void *arg);
    void (*drop) (const link_drop_t *order, void *arg);
    void (*scrub) (void *arg); /* begin a pass */
    /* The receiver of a chunk that this worker sends has spoken. */
    void (*answer) (const link_answer_t *answer, void *arg);
    void *arg;
} link_orders_t;

/* What heartbeats tell beside the store's state. */
typedef struct link_load {
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t stream_queued;
    uint32_t streams;
    uint64_t cache_hits;
    uint64_t cache_misses;
} link_load_t;

typedef struct link_config {
    void *ctx;
    const sock_identity_t *identity;
    const cluster_t *cluster;
    const cluster_node_t *node; /* this worker */
    uint16_t port;              /* of the ingest, as bound */
    store_t *store;
    directory_t *directory;
    epoch_t *epoch;
    access_t *access; /* the link's while it lives */
    notes_t *notes;
    link_orders_t orders;
    void (*load) (link_load_t *load, void *arg); /* any moment, link thread */
    void *load_arg;
} link_config_t;

/* Starts the thread; what CONFIG points to is borrowed until destroy. */
broker_link_t *broker_link_new (const link_config_t *config, dfs_error_t *err);
/* Sends what is in the notes, then ends. */
void broker_link_destroy (broker_link_t **self_p);

/* Brokers that have welcomed this worker. Any thread. */
size_t broker_link_welcomed (broker_link_t *self);

#endif
