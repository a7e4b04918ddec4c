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

#define SECONDS 128

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
    /* by worker */
    bool *stored;       /* what is on the disks */
    uint8_t *disk;      /* on which */
    uint64_t *birth;    /* of what is stored */
    uint64_t *rotten;   /* since when what is stored is damaged; 0 not */
    uint32_t robbed;    /* copies that went with their disks */
    uint64_t robbed_at; /* the last one */
    /* the namespace's */
    bool recorded;
    uint64_t freed; /* log index, 0 not */
    uint64_t condemned;
    uint64_t since;  /* log time of either */
    uint64_t *limit; /* births before that count as gone; 0 none do */
    bool *trim;
} sim_chunk_t;

/* The location table of a broker. */
typedef struct sim_table {
    uint8_t *disk;         /* by chunk and worker: 1 + the disk, 0 none */
    uint64_t *birth;       /* likewise */
    uint64_t *mark;        /* by worker and disk */
    uint64_t *incarnation; /* likewise */
} sim_table_t;

typedef struct sim_disk {
    bool gone;
    uint64_t incarnation;
    core_change_t *changes; /* number i + 1 */
    size_t n_changes;
    size_t cap_changes;
    size_t first; /* oldest change kept */
    size_t sent;  /* on this connection */
    size_t acked;
    size_t acked_before; /* at the last heartbeat */
    bool listing;        /* a listing is on its way: */
    size_t page;         /* pages sent */
    size_t page_before;  /* at the last heartbeat */
    size_t given;        /* pages that may be sent */
    size_t at;           /* next chunk */
    size_t stands;       /* for that change */
} sim_disk_t;

typedef struct sim_worker {
    bool up;
    bool frozen; /* down, and its port answers */
    bool killed; /* down, and its port refuses */
    bool full;
    bool draining;
    uint64_t conn; /* 0: none */
    bool welcomed;
    uint64_t process;
    uint64_t term; /* the highest it has seen */
    sim_disk_t disks[WORLD_DISKS];
    uint64_t arrives; /* when its last message does: they keep their order */
    uint64_t beat;
    uint64_t used;
    uint32_t slow; /* times as long; 0: 1 */
} sim_worker_t;

typedef struct sim_core {
    core_t *core; /* NULL: none */
    actions_t *actions;
    uint64_t id; /* of this one: answers for an earlier one are dropped */
    uint64_t term;
    sim_table_t table;
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
    bool *bools; /* of all chunks, by worker */
    uint8_t *bytes;
    uint64_t *words;
    sim_worker_t workers[WORLD_WORKERS];
    sim_client_t clients[WORLD_CLIENTS];
    sim_table_t follower; /* of the broker that leads next: it may lag */
    bool clock_off;
    uint64_t off_since;
    int64_t skew;          /* of the leader's clock */
    uint64_t log_time;     /* so far */
    uint64_t storage_busy; /* storage answers in order */
    uint64_t second;
    uint64_t made[SECONDS]; /* grants and orders, by second */
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

/* Location tables: made empty, copied, freed; that of who asks now; by its number, NULL
 * when that one is gone. */
void table_make (const world_t *self, sim_table_t *table);
void table_copy (const world_t *self, sim_table_t *to, const sim_table_t *from);
void table_free (sim_table_t *table);
sim_table_t *world_table (world_t *self, uint64_t core);
uint64_t world_log_time (world_t *self);
/* A message gets lost. */
bool world_loses (world_t *self);
bool world_doubles (world_t *self);
/* A page of a listing cannot be read. */
bool world_garbles (world_t *self);
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
