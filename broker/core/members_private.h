/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of members, shared by its files: members.c (who is one), hello.c
 * (connections), liveness.c (states), directory.c (what others are told). */
#ifndef BROKER_CORE_MEMBERS_PRIVATE_H
#define BROKER_CORE_MEMBERS_PRIVATE_H

#include "broker/core/members.h"

struct members {
    table_t *by_id;
    worker_t **all;
    size_t n_all;
    size_t cap_all;
    worker_t **placeable; /* in order of where they stand (takers.c) */
    size_t n_placeable;
    size_t cap_placeable;
    size_t in_state[WORKER_REMOVED + 1];
    size_t n_damped;  /* up, and get nothing new for a while */
    size_t n_drained; /* are to be emptied */
    table_t *marks;   /* token -> asked */
    uint64_t directory;
    bool directory_changed; /* an address: sent at once, others send there */
    bool states_changed;    /* only states: sent with the next announcement */
    bool announce;
    bool levels_stale;
    uint32_t levels[DOMAIN_DEPTH]; /* domains that members which stay stand in */
    uint64_t announcement;
};

/* A hello whose marks are being looked up. */
typedef struct asked {
    uint64_t token;
    uint32_t worker;
    uint64_t conn;
    bool later;
} asked_t;

void members_set_state (core_t *core, worker_t *worker, int state);
/* Looks at the worker again when its state may have to change. */
void members_set_timer (core_t *core, worker_t *worker);
/* Probes its ingest port now. */
void members_send_probe (core_t *core, worker_t *worker);
/* True when it has begun or ceased to take new chunks. */
bool members_update_placeable (core_t *core, worker_t *worker);
/* takers.c: WORKER takes new chunks from now on, or no more. Its path is what it was.
 */
void takers_add (core_t *core, worker_t *worker);
void takers_remove (core_t *core, worker_t *worker);
/* LOCATION of its member record is new. The domains count those that take new chunks:
 * a path never changes but here. */
void members_set_location (core_t *core, worker_t *worker);
/* What it has announced so far is to come before it counts as told. */
void worker_must_tell (worker_t *worker);
/* Asks the reactor to close a connection. */
void members_close (core_t *core, uint32_t id, uint64_t conn);

#endif
