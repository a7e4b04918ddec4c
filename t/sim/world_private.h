/* SPDX-License-Identifier: MPL-2.0 */
/* What the parts of the simulated cluster share. */
#ifndef T_SIM_WORLD_PRIVATE_H
#define T_SIM_WORLD_PRIVATE_H

#include "t/sim/world.h"

#define CHECK(self, what)                                                              \
    do {                                                                               \
        if (!(what))                                                                   \
            world_fail (self, #what, __FILE__, __LINE__);                              \
    } while (0)

typedef void (world_f) (world_t *self, void *arg);

typedef struct later {
    uint64_t when;
    uint64_t serial;
    world_f *fn;
    void *arg; /* owned */
} later_t;

typedef struct sim_chunk {
    uint64_t length;
    uint64_t refs;
    bool stored[WORLD_WORKERS];  /* what is on the disks */
    bool located[WORLD_WORKERS]; /* what the location table says */
} sim_chunk_t;

typedef struct sim_worker {
    bool up;
    bool frozen; /* down, and its port answers */
    bool killed; /* down, and its port refuses */
    bool full;
    uint64_t conn; /* 0: none */
    bool welcomed;
    uint64_t process;
    uint64_t incarnation;   /* of its store */
    core_change_t *changes; /* number i + 1 */
    size_t n_changes;
    size_t cap_changes;
    size_t first;     /* oldest change kept */
    size_t sent;      /* on this connection */
    uint64_t arrives; /* when its last message does: they keep their order */
    uint64_t beat;
    uint64_t used;
    /* the location table's */
    uint64_t mark;
    uint64_t mark_incarnation;
} sim_worker_t;

enum sim_step { STEP_TODO, STEP_PLACING, STEP_SENT, STEP_DURABLE };

typedef struct sim_client {
    uint64_t session;
    uint64_t upload;
    size_t n;
    size_t *chunks;
    enum sim_step *steps;
    uint32_t *avoid; /* of a piece that did not come */
    bool *fetched;
    bool committing;
    bool committed;
    bool vanished;
    bool waiting; /* a retry is due */
    bool done;
    size_t places; /* out */
} sim_client_t;

struct world {
    world_config_t config;
    rng_t rng;
    uint64_t now;
    uint64_t serial;
    later_t *later;
    size_t n_later;
    size_t cap_later;
    core_t *core;
    actions_t *actions;
    uint64_t log_index;
    uint64_t conns;
    sim_chunk_t *chunks;
    size_t n_chunks;
    sim_worker_t workers[WORLD_WORKERS];
    sim_client_t clients[WORLD_CLIENTS];
    bool emptied;          /* a disk was replaced: the core cannot know at once */
    uint64_t storage_busy; /* storage answers in order */
    world_stats_t stats;
};

void world_fail (const world_t *self, const char *what, const char *file, int line)
    __attribute__ ((noreturn));
/* Calls FN at WHEN and frees ARG afterwards. */
void world_at (world_t *self, uint64_t when, world_f *fn, void *arg);
uint64_t world_delay (world_t *self, uint64_t mean);
void world_feed (world_t *self, event_t *event);
copykey_t world_key (size_t chunk);
size_t world_chunk (const world_t *self, const copykey_t *key);

/* Each returns whether the action was for it. */
bool world_storage_action (world_t *self, const action_t *action);
bool world_worker_action (world_t *self, const action_t *action);
void world_client_action (world_t *self, const action_t *action);

void world_workers_start (world_t *self);
void world_clients_start (world_t *self);
void world_clients_free (world_t *self);
bool world_clients_done (const world_t *self);
/* A chunk arrives at the target HOP of GRANT. */
void world_deliver (world_t *self, uint64_t when, const grant_t *grant, size_t chunk,
                    uint32_t hop, uint64_t session);
/* WORKER sends a piece to CLIENT. */
void world_piece (world_t *self, size_t client, size_t chunk_index);

#endif
