/* SPDX-License-Identifier: MPL-2.0 */
/* Work stealing: a worker with little to send gets some of what waits at a busy one.
 * The busy one gives back what it has not begun, the last first; each piece goes to the
 * least busy holder of its chunk, once, and its client hears who sends it now. */
#ifndef BROKER_CORE_STEAL_H
#define BROKER_CORE_STEAL_H

#include "broker/core/members.h"
#include "broker/core/sessions.h"

typedef struct steal steal_t;

steal_t *steal_new (void);
void steal_destroy (steal_t **self_p);

/* A heartbeat of WORKER was taken in. */
void steal_beat (core_t *core, uint32_t worker);
void steal_yielded (core_t *core, const event_yielded_t *event);
/* False: it was not asked for here. */
bool steal_found (core_t *core, const event_chunks_t *found);
void steal_status (const core_t *core, core_status_t *out);

#endif
