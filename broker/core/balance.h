/* SPDX-License-Identifier: MPL-2.0 */
/* Evens out how full workers are: copies of chunks go from those that are fuller than
 * the mean to those that are emptier, each as a copy, a hash and a logged drop, a few
 * at a time, until every worker is within a few points of the mean. By itself slowly;
 * at once and faster when an operator asks. */
#ifndef BROKER_CORE_BALANCE_H
#define BROKER_CORE_BALANCE_H

#include "broker/core/members.h"

typedef struct balance balance_t;

balance_t *balance_new (void);
void balance_destroy (balance_t **self_p);

/* This broker leads. */
void balance_begin (core_t *core);
/* An operator asks for it. */
void balance_now (core_t *core);
/* A copy of KEY that was made for a move is there, or will not come. */
void balance_copied (core_t *core, const copykey_t *key, bool made);
/* The move of KEY is over: its source was let go (DONE), or stays. */
void balance_moved (core_t *core, const copykey_t *key, bool done);
/* Each true when it was one of ours. */
bool balance_bytes (core_t *core, const event_bytes_t *found);
bool balance_scanned (core_t *core, const event_scanned_t *found);
void balance_timer (core_t *core);
void balance_flush (core_t *core);
void balance_status (const core_t *core, core_status_t *out);

#endif
