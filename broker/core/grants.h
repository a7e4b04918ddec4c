/* SPDX-License-Identifier: MPL-2.0 */
/* Grants that are out: which workers were to get a chunk, what of their credit is
 * taken, when it counts as lost; and what follows: durable, mended worker to worker, or
 * to be placed again. */
#ifndef BROKER_CORE_GRANTS_H
#define BROKER_CORE_GRANTS_H

#include "broker/core/placement.h"
#include "broker/core/uploads.h"

typedef struct grants grants_t;

grants_t *grants_new (void);
void grants_destroy (grants_t **self_p);

/* Gives PIN a grant for the chosen targets and fills the answer. */
void grants_give (core_t *core, pin_t *pin, session_t *session,
                  const placement_t *chosen, core_placed_t *answer);
/* Takes back what PIN has (if it has): credit returns. */
void grants_end (core_t *core, pin_t *pin);
/* The copies of PIN's chunk changed. May free the pin. */
void grants_look (core_t *core, pin_t *pin);

/* The client has to place PIN's chunk again; frees the pin. */
void grants_give_up (core_t *core, pin_t *pin, int code);

void grants_refused (core_t *core, const event_refused_t *event);
void grants_progress (core_t *core, const event_progress_t *event);
void grants_timer (core_t *core, uint64_t id);
/* WORKER has told what it has: what was stored at its hello may be waited for. */
void grants_worker_told (core_t *core, worker_t *worker);
/* WORKER is no longer live. */
void grants_worker_down (core_t *core, worker_t *worker);
/* Sends the Durables of this step, one message per session. */
void grants_flush (core_t *core);
size_t grants_count (const core_t *core);

#endif
