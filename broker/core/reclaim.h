/* SPDX-License-Identifier: MPL-2.0 */
/* Gives back what nothing refers to: free chunks are condemned, and when their grace is
 * over their copies are dropped and their records forgotten, each by an entry. What
 * workers have that the namespace does not know goes the same way, slowly, and if there
 * is much of it nothing goes any more until an operator says so. Any doubt stops
 * reclaim. */
#ifndef BROKER_CORE_RECLAIM_H
#define BROKER_CORE_RECLAIM_H

#include "broker/core/members.h"

typedef struct reclaim reclaim_t;

reclaim_t *reclaim_new (void);
void reclaim_destroy (reclaim_t **self_p);

/* This broker leads. */
void reclaim_begin (core_t *core);
/* Held by an entry: nothing is dropped but surplus copies. */
bool reclaim_held (const core_t *core);
void reclaim_effect (core_t *core, const core_effect_t *effect);
/* An upload ended without a commit that names KEY: nobody may refer to it. IN_FLIGHT:
 * copies of it may still come. */
void reclaim_abandoned (core_t *core, const copykey_t *key, bool in_flight);
/* Each true when it was one of ours. */
bool reclaim_found (core_t *core, const event_reclaim_t *found);
bool reclaim_chunks (core_t *core, const event_chunks_t *found);
bool reclaim_scanned (core_t *core, const event_scanned_t *found);
bool reclaim_proposed (core_t *core, const event_proposed_t *event);
/* A worker is there, is not any more, or has told what it has. */
void reclaim_worker_changed (core_t *core);
void reclaim_timer (core_t *core);
/* Looks again at what is to be done, in this step. */
void reclaim_wake (core_t *core);
void reclaim_flush (core_t *core);
void reclaim_status (const core_t *core, core_status_t *out);

#endif
