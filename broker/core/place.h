/* SPDX-License-Identifier: MPL-2.0 */
/* Place: for each chunk of an upload, "have it" or "send it to these". Looks copies up,
 * chooses targets, and lets items wait (bounded, fairly between sessions) while credit
 * is out or workers may be back at any moment. */
#ifndef BROKER_CORE_PLACE_H
#define BROKER_CORE_PLACE_H

#include "broker/core/uploads.h"

typedef struct place place_t;

place_t *place_new (void);
void place_destroy (place_t **self_p);

void place_event (core_t *core, const event_place_t *event);
/* True when the token was one of ours. */
bool place_found (core_t *core, const event_chunks_t *found);
void place_session_gone (core_t *core, session_t *session);
/* PIN will not be answered any more (it goes away). */
void place_forget (core_t *core, pin_t *pin);
/* Credit came back or a worker changed: parked items are tried at the end of the step.
 */
void place_wake (core_t *core);
void place_retry (core_t *core);
void place_timer (core_t *core);
/* Sends the answers of this step. */
void place_flush (core_t *core);
/* The session uploads or has stopped: keeps the number of active ones. */
void place_busy (core_t *core, session_t *session);
size_t place_active (const core_t *core);
size_t place_parked (const core_t *core);

#endif
