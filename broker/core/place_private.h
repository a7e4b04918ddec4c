/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of place, shared by place.c (requests and decisions) and parking.c (those that
 * wait). */
#ifndef BROKER_CORE_PLACE_PRIVATE_H
#define BROKER_CORE_PLACE_PRIVATE_H

#include "broker/core/place.h"

/* A Place that is not answered whole. */
typedef struct request {
    uint64_t token; /* of its look-up */
    uint64_t session;
    uint64_t seq;
    uint64_t upload;
    size_t waiting;       /* pins without an answer */
    core_placed_t *ready; /* answers of this step */
    size_t n_ready;
    size_t cap_ready;
    list_t in_session;
    list_t dirty; /* something to send */
} request_t;

struct place {
    table_t *requests; /* by token */
    list_t dirty;
    list_t ring; /* sessions with parked pins */
    size_t parked;
    size_t active;
    bool wake;
    uint64_t timer; /* when a TIMER_RETRY runs out, 0 none */
};

/* Answers PIN if that is possible now: true; else it is parked: false. */
bool place_try (core_t *core, pin_t *pin, session_t *session);
void place_park (core_t *core, pin_t *pin, session_t *session);
/* Does nothing when it is not parked. */
void place_unpark (core_t *core, pin_t *pin);
/* Parked items are tried at WHEN at the latest. */
void place_set_timer (core_t *core, uint64_t when);

#endif
