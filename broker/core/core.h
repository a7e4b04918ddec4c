/* SPDX-License-Identifier: MPL-2.0 */
/* The heart of the broker as a state machine: membership, placement, tracking of
 * uploads, routing of reads, verification, repair. It does no I/O, has no clock and no
 * thread: time and facts come in events, wishes go out as actions, choices come from
 * one seed. One thread owns it. */
#ifndef BROKER_CORE_CORE_H
#define BROKER_CORE_CORE_H

#include "broker/core/event.h"

#define CORE_DOMAIN_LEVELS 8 /* components of a location that are looked at */

typedef struct core core_t;

typedef struct core_config {
    uint64_t seed;
    uint64_t now;                  /* monotonic, at the start */
    uint64_t heartbeat_ns;         /* 0: 500 ms */
    uint64_t heartbeat_timeout_ns; /* 0: 2.5 s */
    uint64_t probe_ns;             /* refused that long: dead; 0: 1 s */
    uint64_t upload_timeout_ns;    /* 0: 1 h */
    uint64_t repair_hold_ns;       /* 0: 10 min */
    uint64_t reclaim_grace_ns;     /* of condemned chunks; 0: upload_timeout_ns */
    uint64_t pass_ns;              /* between two looks at all chunks; 0: 1 h */
    uint64_t trim_delay_ns;        /* before a surplus copy is looked at; 0: 1 min */
    uint64_t repair_bandwidth;     /* bytes/s over the cluster, 0: no bound */
    uint64_t grant_wait_ns;        /* least time a grant has; 0: 5 s */
    uint64_t verify_wait_ns;       /* 0: 60 s */
    uint64_t ingest_window;        /* bytes per worker; 0: 96 MiB */
    uint64_t credit_max;           /* of one chunk; 0: 16 MiB */
    uint64_t credit_min;           /* of one chunk; 0: 1 MiB */
    uint64_t reserve_repair;       /* of a window; 0: 8 MiB */
    uint64_t reserve_small; /* of a window, for chunks up to credit_min; 0: 8 MiB */
    /* bounds of memory */
    uint32_t max_sessions;      /* 0: 65,536 */
    uint32_t max_pins;          /* chunks of uploads; 0: 1,000,000 */
    uint32_t max_parked;        /* items that wait for credit; 0: 65,536 */
    uint32_t max_requests;      /* Place, Commit, Fetch, Verify at once; 0: 16,384 */
    uint32_t max_repairs;       /* chunks to repair that are known at once; 0: 65,536 */
    uint32_t repair_per_worker; /* orders at once as a source or target; 0: 64 */
} core_config_t;

/* CONFIG is copied. Workers and policies come as events. */
core_t *core_new (const core_config_t *config);
void core_destroy (core_t **self_p);

/* Takes one event (and whatever has become due at its `now`) and appends to ACTIONS.
 * `now` never goes back. */
void core_step (core_t *self, const event_t *event, actions_t *actions);
/* When an EVENT_TICK is due; UINT64_MAX: never. */
uint64_t core_wake (const core_t *self);

/* --- what status shows --- */

#define CORE_ETA_UNKNOWN UINT64_MAX

enum core_health { HEALTH_OK, HEALTH_DEGRADED, HEALTH_CRITICAL };

typedef struct core_worker_status {
    uint32_t id;
    char name[CORE_NAME_MAX];
    char host[CORE_HOST_MAX];
    uint32_t port;
    char location[CORE_LOCATION_MAX];
    int state;
    int condition;
    uint64_t capacity;
    uint64_t used;
    uint64_t chunks;
    uint32_t cpu_permille;
    uint32_t disk_permille;
    uint64_t memory;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint32_t streams;
    uint32_t scrub_passes;
    uint64_t scrubbed;
    uint64_t scrub_damaged;
    char trouble[CORE_TROUBLE_MAX];
    uint64_t heard;     /* monotonic time of the last sign, 0 never */
    bool caught_up;     /* its changes are applied up to what it announced */
    bool behind;        /* it does not get there: nobody waits for that */
    bool drained;       /* draining, and nothing depends on its copies */
    uint32_t flaps;     /* times that it came and went, of late */
    uint64_t damped_ns; /* because of that it gets nothing new for so long */
    uint64_t granted;   /* bytes of its ingest window given out */
} core_worker_status_t;

typedef struct core_status {
    int health; /* enum core_health */
    uint64_t sessions;
    uint64_t uploads;
    uint64_t pins;
    uint64_t parked;
    uint64_t grants;
    uint64_t under_replicated; /* chunks with references, as far as scanned */
    uint64_t lost;
    uint64_t surplus; /* more copies than wanted, at the last look */
    uint64_t moves;   /* copies still to be made for drains */
    uint64_t crowded[CORE_DOMAIN_LEVELS]; /* chunks with copies in one domain of that
                                             level though there are others */
    uint64_t repair_queued;
    uint64_t repair_active;
    uint64_t repair_waiting; /* jobs that nothing can be done for now; of those, chunks
                                that no worker is left for, by the copies they shall
                                have, those that have enough, and those that fit on
                                none that may have them: */
    uint64_t waiting_few[CORE_COPIES + 1];
    uint64_t waiting_moves;
    uint64_t waiting_room;
    uint64_t repair_done;
    uint64_t repair_failed;
    uint64_t repair_bytes_per_second;
    uint64_t repair_eta_seconds; /* CORE_ETA_UNKNOWN: nobody can tell */
    bool repair_held;
    uint64_t repair_held_ns; /* so long from now */
    bool reclaim_waits; /* not everything is known, or this broker leads only now */
    uint64_t reclaim_condemned; /* chunks, since this broker leads */
    uint64_t reclaim_dropped;   /* copies */
    uint64_t trim_queued;
    uint64_t trimmed; /* copies */
    bool rebalancing;
    uint64_t rebalance_moves; /* under way */
    uint64_t rebalance_moved;
    uint64_t fill_mean;     /* thousandths of capacity, at the last look */
    uint64_t fill_farthest; /* from that */
    uint32_t fill_farthest_worker;
    uint64_t rebalance_looks; /* at these figures */
    bool rebalance_even;      /* it ended so, that long ago */
    bool rebalance_stuck;     /* or as even as domains and chunks allow */
    uint64_t rebalance_ended_ns;
    bool
        knows; /* what every worker that is not dead has: before, nothing is repaired */
    uint64_t takers; /* workers that take new copies */
    uint64_t directory_version;
    uint64_t reads; /* pieces ordered from workers */
    uint64_t reads_hedged;
    uint64_t reads_stolen;
    /* in memory */
    uint64_t memory_chunks; /* that something is going on with */
    uint64_t memory_timers;
    uint64_t memory_drops;
} core_status_t;

void core_status (const core_t *self, core_status_t *out);
/* Workers that are not removed, at most MAX; returns their number. */
size_t core_workers (const core_t *self, core_worker_status_t *out, size_t max);
/* Chunks without a live copy that files refer to, at most MAX; returns their number.
 * *CHANGES (may be NULL) is another number whenever they are others. */
size_t core_lost (const core_t *core, copykey_t *out, size_t max, uint64_t *changes);
/* State of a worker (enum worker_state), WORKER_REMOVED when not known; *NAME borrowed
 * until the next step, may be NULL. */
int core_worker_state (const core_t *self, uint32_t worker, const char **name);
/* Chunks that are still to be copied elsewhere because WORKER is drained, as far as
 * what it has was looked through. */
uint64_t core_worker_leaving (const core_t *self, uint32_t worker);
const char *core_health_name (int health);
/* May WORKER be removed? DFS_OK; DFS_ENOENT; DFS_EINUSE: data still depends on it. */
int core_may_remove (const core_t *core, uint32_t worker);

#endif
