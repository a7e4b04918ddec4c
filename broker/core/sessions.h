/* SPDX-License-Identifier: MPL-2.0 */
/* Client sessions that are connected: what each has out and which workers serve it. */
#ifndef BROKER_CORE_SESSIONS_H
#define BROKER_CORE_SESSIONS_H

#include "broker/core/domains.h"
#include "broker/core/state.h"

typedef struct sessions sessions_t;

enum lane { LANE_SMALL, LANE_LARGE, LANE_REPAIR };

typedef struct session {
    uint64_t id;
    uint32_t user;
    uint8_t client_key[32];
    domain_path_t path;
    /* uploads (place.c, grants.c) */
    list_t requests;  /* Place */
    list_t parked[2]; /* pins that wait, by lane */
    list_t ring;      /* in the round of sessions with parked pins */
    size_t n_parked;
    size_t n_grants;
    uint64_t outstanding; /* bytes of credit */
    uint32_t patience;    /* factor of its grants' deadlines, 1 … 64 */
    bool busy;            /* counted as active */
    /* reads (route.c): workers that have orders of it */
    uint32_t *readers;
    size_t n_readers;
    size_t cap_readers;
} session_t;

sessions_t *sessions_new (void);
void sessions_destroy (sessions_t **self_p);
void sessions_open (core_t *core, const event_session_t *event);
void sessions_gone (core_t *core, uint64_t id);
/* Returns borrowed, valid until it is gone; NULL. */
session_t *sessions_find (const core_t *core, uint64_t id);
size_t sessions_count (const core_t *core);

#endif
