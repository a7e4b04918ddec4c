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
    bool stored[WORLD_WORKERS];     /* what is on the disks */
    bool located[WORLD_WORKERS];    /* what the location table says */
    uint64_t birth[WORLD_WORKERS];  /* of what is stored */
    uint64_t lbirth[WORLD_WORKERS]; /* of what is located */
    uint64_t rotten[WORLD_WORKERS]; /* since when what is stored is damaged; 0 not */
    /* the namespace's */
    bool recorded;
    uint64_t freed; /* log index, 0 not */
    uint64_t condemned;
    uint64_t since;                /* log time of either */
    uint64_t limit[WORLD_WORKERS]; /* births before that count as gone; 0 none do */
    bool trim[WORLD_WORKERS];
} sim_chunk_t;

typedef struct sim_worker {
    bool up;
    bool frozen; /* down, and its port answers */
    bool killed; /* down, and its port refuses */
    bool full;
    bool draining;
    uint64_t conn; /* 0: none */
    bool welcomed;
    uint64_t process;
    uint64_t term;          /* the highest it has seen */
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

typedef struct sim_core {
    core_t *core; /* NULL: none */
    actions_t *actions;
    uint64_t id; /* of this one: answers for an earlier one are dropped */
    uint64_t term;
} sim_core_t;

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
    bool begun;
    bool vanished;
    bool waiting; /* a retry is due */
    bool done;
    bool removed;   /* it took its file away again */
    uint64_t index; /* lowest at which its chunks were answered */
    size_t places;  /* out */
} sim_client_t;

struct world {
    world_config_t config;
    rng_t rng;
    uint64_t now;
    uint64_t serial;
    later_t *later;
    size_t n_later;
    size_t cap_later;
    sim_core_t leader;
    sim_core_t old;   /* one that does not know yet that it leads no more */
    sim_core_t *asks; /* whose actions are being carried out */
    uint64_t cores;   /* made so far */
    bool held;
    uint64_t hold_index;
    uint64_t forgotten; /* highest index of a condemnation whose record is gone */
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
/* To the leader; to a core that asked, if it still is there. */
void world_feed (world_t *self, event_t *event);
void world_answer (world_t *self, uint64_t core, event_t *event);
copykey_t world_key (size_t chunk);
size_t world_chunk (const world_t *self, const copykey_t *key);

bool world_reclaim_action (world_t *self, const action_t *action);
/* A reference more or less, by the entry that is applied now. */
void world_take (world_t *self, size_t chunk);
void world_drop (world_t *self, size_t chunk);
/* Chunks of the client may be committed; else they are to be placed again. */
bool world_may_commit (world_t *self, size_t client);
/* The copy of WORKER is away now: what has references must have others. */
void world_check_gone (world_t *self, size_t chunk, size_t worker);
void world_say_change (world_t *self, size_t w, const core_change_t *change);
/* Each returns whether the action was for it. */
bool world_storage_action (world_t *self, const action_t *action);
bool world_worker_action (world_t *self, const action_t *action);
void world_client_action (world_t *self, const action_t *action);

void world_workers_start (world_t *self);
/* Another core leads: they say hello, and clients begin sessions with it. */
void world_workers_greet (world_t *self);
void world_clients_greet (world_t *self);
void world_clients_start (world_t *self);
void world_clients_free (world_t *self);
bool world_clients_done (const world_t *self);
/* A chunk arrives at the target HOP of GRANT. */
void world_deliver (world_t *self, uint64_t when, const grant_t *grant, size_t chunk,
                    uint32_t hop, uint64_t session);
/* WORKER sends a piece to CLIENT. */
void world_piece (world_t *self, size_t client, size_t chunk_index);

#endif
