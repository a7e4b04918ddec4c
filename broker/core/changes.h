/* SPDX-License-Identifier: MPL-2.0 */
/* Change sequences of the workers' stores: handed to storage in order and without
 * repeats, acknowledged when applied; `stored`, `gone` and `damaged` reach the chunks
 * that the core follows at once. */
#ifndef BROKER_CORE_CHANGES_H
#define BROKER_CORE_CHANGES_H

#include "broker/core/members.h"

#define CHANGES_FIRST 1 /* pages of a listing that are taken before one is stored */

typedef struct changes changes_t;

changes_t *changes_new (void);
void changes_destroy (changes_t **self_p);
/* Storage knows nothing of STORE: it starts from nothing. */
void changes_reset (core_t *core, worker_t *worker, store_state_t *store);
void changes_event (core_t *core, const event_changes_t *changes);
void changes_applied (core_t *core, const event_applied_t *applied);

#endif
