/* SPDX-License-Identifier: MPL-2.0 */
/* A cluster on virtual time around the real core: fake workers, storage and clients,
 * one seed for everything. The invariants are asserted at each step; world_report names
 * the seed when one fails. One thread. */
#ifndef T_SIM_WORLD_H
#define T_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core/core.h"
#include "common/rng.h"
#include "common/units.h"

#define WORLD_WORKERS 1024
#define WORLD_DISKS   2 /* of each worker */
#define WORLD_CLIENTS 128

typedef struct world world_t;

/* The test that runs, for the command that replays a seed. */
extern const char *world_case;
/* A failure is what is looked for: it ends the process with status 1. */
extern bool world_hunts;

typedef struct world_config {
    uint64_t seed;
    size_t workers;
    size_t racks; /* 0: every worker is a domain of its own */
    size_t clients;
    size_t chunks;   /* of each client */
    uint64_t length; /* of a chunk; 0: random, up to 4 MiB */
    uint32_t replicas;
    uint32_t min_replicas;
    uint32_t shared;    /* percent of chunks that several clients send */
    uint32_t lost;      /* per mille of arriving chunks that vanish */
    uint32_t refused;   /* per mille that are refused */
    uint32_t dropped;   /* per mille of messages from and to workers that get lost */
    uint32_t doubled;   /* per mille that come twice */
    uint32_t garbled;   /* per mille of pages of listings that nobody can read */
    uint64_t capacity;  /* of a worker; 0: plenty */
    uint64_t window;    /* ingest window; 0: the core's default */
    bool fetch;         /* clients read back what they committed */
    core_config_t core; /* of reclaim and such; seed, now and window are set */
    uint32_t remove;    /* percent of clients that take their file away again */
    uint64_t think;     /* longest time until a client starts; 0: 100 ms */
    uint64_t lag;       /* of the broker that leads next, at most; 0: 4 s */
} world_config_t;

enum world_down {
    DOWN_KILLED,  /* connection closed, probes refused */
    DOWN_FROZEN,  /* says nothing, its port answers probes */
    DOWN_CUT_OFF, /* says nothing, probes get no answer */
};

enum world_back {
    BACK_WHOLE,   /* with its data and its changes */
    BACK_TRIMMED, /* with its data; sends a listing */
    BACK_EMPTY,   /* with a new disk */
};

world_t *world_new (const world_config_t *config);
void world_destroy (world_t **self_p);

/* Runs until UNTIL (ns since the start). */
void world_run (world_t *self, uint64_t until);
/* Runs until every client that has not vanished is done; asserts that this happens
 * before LIMIT. */
void world_finish (world_t *self, uint64_t limit);
uint64_t world_now (const world_t *self);
rng_t *world_rng (world_t *self);
core_t *world_core (world_t *self);

void world_down (world_t *self, size_t worker, enum world_down how);
void world_up (world_t *self, size_t worker, enum world_back how);
void world_drain (world_t *self, size_t worker, bool drain);
/* It may be removed: asserts that what was committed has its copies elsewhere. */
bool world_drained (world_t *self, size_t worker);
void world_full (world_t *self, size_t worker, bool full);
/* It takes TIMES as long to store, drop and hash. */
void world_slow (world_t *self, size_t worker, uint32_t times);
/* One disk of a worker that is up is gone, or comes back empty; the worker says so. */
void world_lose_disk (world_t *self, size_t worker, size_t disk, bool replaced);
/* The leader's clock has jumped, or is back. */
void world_clock (world_t *self, bool off);
/* Every worker of RACK is cut off, or back. */
void world_cut_rack (world_t *self, size_t rack, bool cut);
void world_vanish (world_t *self, size_t client);
/* Another core leads from now on; the one before goes on for LINGER without knowing. */
void world_new_leader (world_t *self, uint64_t linger);
void world_policy (world_t *self, uint32_t replicas);
/* One copy on WORKER, of a chunk with others, is damaged: nobody knows. */
void world_rot (world_t *self, size_t worker);
void world_rebalance (world_t *self);
/* An operator lets reclaim go on, if it is held. */
void world_resume (world_t *self);
/* Nothing is stored that nothing refers to, and no chunk has more copies than asked
 * for.
 */
bool world_is_lean (world_t *self);
void world_assert_lean (world_t *self);
/* How far the fullest or emptiest worker is from the mean, in thousandths. */
uint64_t world_unevenness (world_t *self);

/* Nothing is held any more: no grant, no parked item, no credit. */
void world_assert_idle (world_t *self);
/* Every committed chunk has COPIES copies on workers that are up. */
void world_assert_copies (world_t *self, size_t copies);
/* As the above, without asserting. */
bool world_has_copies (world_t *self, size_t copies);

typedef struct world_stats {
    uint64_t events;
    uint64_t trace; /* hash of all actions */
    uint64_t placed;
    uint64_t durable;
    uint64_t again;    /* Durables with a code */
    uint64_t refusals; /* Placed with a code */
    uint64_t missing;  /* commits refused */
    uint64_t committed;
    uint64_t fewer; /* grants with fewer targets than replicas */
    uint64_t replicated;
    uint64_t fetched;
    uint64_t refetched;
    uint64_t fetch_lost; /* answers DFS_ELOST */
    uint64_t most_granted;
    uint64_t trimmed;
    uint64_t condemned;
    uint64_t dropped; /* copies put away by workers */
    uint64_t forgotten;
    uint64_t removed;
    uint64_t holds;
    uint64_t proposals;
    uint64_t verifies; /* orders to hash */
    uint64_t rotten;
    uint64_t refused_old; /* orders of a term that is over */
    uint64_t lost;        /* messages */
    uint64_t doubled;
    uint64_t again_sent; /* changes that were sent once more */
    uint64_t listed;     /* listings that came to their end */
    uint64_t garbled;    /* pages of listings that nobody could read */
    uint64_t asked;      /* times that a worker asked for more pages */
    uint64_t disks_lost;
    uint64_t most_timers;
    uint64_t most_chunks; /* in the core's memory */
    int last_refusal;
} world_stats_t;
const world_stats_t *world_stats (const world_t *self);

#endif
