/* SPDX-License-Identifier: MPL-2.0 */
/* Copies that count as gone by an entry of the log, until their workers have confirmed
 * it: nobody counts on them, and the leader tells the workers. What is confirmed is
 * taken off the list by another entry. */
#ifndef BROKER_CORE_DROPS_H
#define BROKER_CORE_DROPS_H

#include "broker/core/members.h"

typedef struct drops drops_t;

drops_t *drops_new (void);
void drops_destroy (drops_t **self_p);

/* This broker leads: asks for the list. */
void drops_begin (core_t *core);
/* The whole list is known. */
bool drops_loaded (const core_t *core);
/* Copies of KEY on WORKER born before this index count as gone; 0: none do. */
uint64_t drops_limit (const core_t *core, const copykey_t *key, uint32_t worker);
/* A copy of KEY on any member counts as gone and is not confirmed. */
bool drops_any (const core_t *core, const copykey_t *key);
/* One of a worker that is there: it is about to be confirmed. */
bool drops_any_live (const core_t *core, const copykey_t *key);
/* Those of workers that are there. */
size_t drops_under_way (const core_t *core);
size_t drops_count (const core_t *core);

void drops_effect (core_t *core, const core_effect_t *effect);
/* WORKER reported that its copy of KEY is gone. */
void drops_gone (core_t *core, const copykey_t *key, uint32_t worker);
/* Each true when it was one of ours. */
bool drops_found (core_t *core, const event_reclaim_t *found);
bool drops_checked (core_t *core, const event_chunks_t *found);
bool drops_result (core_t *core, const event_order_t *event);
bool drops_proposed (core_t *core, const event_proposed_t *event);
void drops_worker_changed (core_t *core, const worker_t *worker);
void drops_timer (core_t *core);
/* What a hold kept back may be sent. */
void drops_wake (core_t *core);
/* Sends what can be sent; at the end of each step. */
void drops_flush (core_t *core);

#endif
