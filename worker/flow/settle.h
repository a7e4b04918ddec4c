/* SPDX-License-Identifier: MPL-2.0 */
/* What happens when the store has finished with a chunk: the next hop gets it, or its
 * sender hears why not. A settle is made by who appends and ended by the store's commit
 * thread. */
#ifndef WORKER_FLOW_SETTLE_H
#define WORKER_FLOW_SETTLE_H

#include "worker/flow/forward.h"
#include "worker/links/notes.h"

/* All settles of one worker. */
typedef struct settler settler_t;

typedef struct settle {
    settler_t *owner;
    forward_item_t *item; /* next hop, owned; NULL: none, or on its way already */
    uint64_t session;     /* of the sender */
    uint64_t upload;
    uint64_t trace;
    copykey_t key;
    bool traced;       /* the sender wants to hear where the time goes */
    uint64_t came_at;  /* its first frame … */
    uint64_t whole_at; /* … and its last; 0: not yet */
    uint64_t length;
} settle_t;

settler_t *settler_new (notes_t *notes);
/* No settle may be left. */
void settler_destroy (settler_t **self_p);
/* Where next hops go; NULL: nowhere any more (the worker ends). */
void settler_set_forward (settler_t *self, forward_t *forward);
/* How many are not ended. Any thread. */
size_t settler_pending (settler_t *self);
/* Sends a chunk on. Takes the item. */
void settler_forward (settler_t *self, forward_item_t **item_p);

/* Returns owned. */
settle_t *settle_new (settler_t *owner);
void settle_destroy (settle_t **self_p);
uint64_t settle_cookie (settle_t *self);
/* The store_done_f: takes the settle that COOKIE stands for. */
void settle_done (uint64_t cookie, int code, void *arg);
/* The copy was there before: reports it as stored and sends it on. Takes the settle. */
void settle_had (settle_t **self_p);

#endif
