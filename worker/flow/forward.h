/* SPDX-License-Identifier: MPL-2.0 */
/* Sends stored chunks on to other workers: the next hop of an upload's chain, or a copy
 * on a broker's order. What waits is a reference: to the messages that the bytes came
 * in, within a budget, else to stored bytes; so receiving never waits for forwarding.
 * One thread, one PUSH per target; requests come from any thread. */
#ifndef WORKER_FLOW_FORWARD_H
#define WORKER_FLOW_FORWARD_H

#include <zmq.h>

#include "msgs/frame.h"
#include "msgs/sock.h"
#include "worker/links/broker_link.h"
#include "worker/links/directory.h"
#include "worker/links/notes.h"
#include "worker/store/store.h"

typedef struct forward forward_t;

typedef struct forward_config {
    void *ctx;
    const sock_identity_t *identity;
    directory_t *directory;
    store_t *store;
    notes_t *notes;
    uint64_t patience_ns; /* a target out of reach so long fails; 0: 3 s */
} forward_config_t;

/* Bytes of one frame, by reference to the message that they came in. */
typedef struct forward_body {
    zmq_msg_t msg;
    uint32_t n_crcs;
    uint32_t crcs[FRAME_BLOCKS];
} forward_body_t;

/* One chunk to send to one worker. */
typedef struct forward_item {
    uint32_t target;  /* member id */
    uint8_t hop;      /* of the receiver */
    int orderer;      /* link to answer an order through */
    uint64_t session; /* who sent it here: hears of a failure; 0 for orders */
    uint64_t upload;
    uint64_t order; /* 0: hop of an upload */
    uint64_t trace;
    bool traced;        /* the client wants to hear where the time goes */
    uint64_t queued_at; /* set by forward_queue */
    copykey_t key;
    uint32_t grant_len;
    uint8_t grant[FRAME_GRANT_MAX];
    uint64_t stored_len;
    /* The frames as they came, while there is room for them; else it is read from the
     * store. */
    size_t reserved; /* bytes of the budget */
    size_t n_bodies;
    forward_body_t *bodies;
    /* Internal. */
    struct forward_item *next;
    store_chunk_t *chunk;
    size_t next_body;
    uint64_t sent;
    uint64_t consumed;
    uint64_t sent_at;
    unsigned tries;
} forward_item_t;

forward_t *forward_new (const forward_config_t *config, dfs_error_t *err);
/* Ends the thread; what waits is dropped: a broker that misses the copy orders it anew.
 */
void forward_destroy (forward_t **self_p);

/* Returns owned, zeroed. */
forward_item_t *forward_item_new (void);
void forward_item_destroy (forward_item_t **item_p);
/* Takes STORED_LEN bytes of the budget for frames that are kept as they come; false
 * when there is no room. An item without its frames is read from the store, so it may
 * be queued only when it is there. */
bool forward_item_reserve (forward_item_t *item);
/* The next frame and its bytes (another reference to BODY). */
void forward_item_keep (forward_item_t *item, zmq_msg_t *body, const frame_t *frame);
void forward_item_drop_bodies (forward_item_t *item);
/* Takes the item. Any thread. */
void forward_queue (forward_t *self, forward_item_t **item_p);
/* A receiver has consumed so many bytes of a chunk, or does not take it. Any thread. */
void forward_answer (forward_t *self, const link_answer_t *answer);
/* Bytes sent since the start. */
uint64_t forward_bytes (forward_t *self);

#endif
