/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of the copier, shared by copier.c (jobs and their queues), orders.c (what is
 * in the air) and others. */
#ifndef BROKER_CORE_COPIER_PRIVATE_H
#define BROKER_CORE_COPIER_PRIVATE_H

#include "broker/core/copier.h"
#include "broker/core/placement.h"

#define FAILED_OFTEN 8 /* then it waits as long as a stuck one */
/* So many failures, and how far away a target is does not count any more. */
#define BAD_WORKERS 4
#define LEAVES      4 /* drained workers that one chunk is counted for */

/* Queues in the order in which they are served. */
enum queue {
    QUEUE_RECHECK, /* something happened: sort it again */
    QUEUE_URGENT,
    QUEUE_ONE, /* live copy left */
    QUEUE_TWO,
    QUEUE_MORE,
    QUEUE_MOVE,   /* enough of them, at the wrong places */
    QUEUE_SERVED, /* the ones behind are not served */
    QUEUE_RUNNING = QUEUE_SERVED,
    QUEUE_FAILED, /* waits FAILED_LATER */
    QUEUE_STUCK, /* no source or no target for now; waits for a worker or STUCK_LATER */
    QUEUE_UNSURE, /* its last copies are where nothing was heard of lately */
    QUEUE_LOST,   /* no copy on any worker that is not dead */
    QUEUES,
};

/* Why a job is in QUEUE_STUCK, as far as an operator can do something about it. */
enum stuck {
    STUCK_OTHER,
    STUCK_FEW,  /* no worker is left that takes new copies and has none yet */
    STUCK_MOVE, /* the same, but it has enough copies */
    STUCK_ROOM, /* there are such, and none has enough room */
};

typedef struct job {
    chunk_t *chunk;
    uint32_t want;  /* copies on workers that stay */
    uint32_t apart; /* > 0: and one more, that shares less components with any */
    uint32_t need;  /* live ones, for redundancy: fewer than that is repair */
    bool repair;    /* references count on it */
    bool move;      /* some copies are to leave or stand too near together */
    bool urgent;
    bool lost;        /* it was when it was looked at last */
    enum stuck stuck; /* not STUCK_OTHER: counted, while it is in QUEUE_STUCK */
    uint32_t stuck_want;
    enum queue queue;
    list_t node;
    list_t orders;
    uint32_t n_orders;
    uint32_t leaves[LEAVES]; /* drained workers with a copy: counted there */
    uint32_t n_leaves;
    bool idle;       /* counted in idle_repairs, if it is one */
    uint32_t target; /* the only one for it, 0: any */
    uint64_t bytes;  /* counted as queued */
    uint32_t failures;
    uint64_t retry_at;
    uint64_t round;            /* of its queue when it was put there */
    uint32_t bad[BAD_WORKERS]; /* that failed lately */
    uint32_t next_bad;         /* slot of the next one */
} job_t;

typedef struct order {
    uint64_t id;
    job_t *job;
    uint32_t source;
    uint32_t target;
    uint64_t credit;
    list_t in_job;
    list_t in_source;
    list_t in_target;
} order_t;

struct copier {
    table_t *orders;
    list_t queues[QUEUES];
    size_t counts[QUEUES];
    size_t lost;           /* jobs that were so when they were looked at */
    uint64_t lost_changes; /* of which ones those are */
    size_t jobs;
    size_t repairs;      /* jobs that references count on */
    size_t moves;        /* other jobs that move copies */
    size_t idle_repairs; /* of the repairs, those that nothing can be done for */
    uint64_t bytes_queued;
    uint64_t bytes_idle;           /* of those, of jobs that nothing can be done for */
    uint64_t few[CORE_COPIES + 1]; /* STUCK_FEW, by the copies they shall have */
    uint64_t stuck_moves;
    uint64_t stuck_room;
    uint64_t done;
    uint64_t failed;
    uint64_t spreads; /* copies that stand apart from the others now */
    uint64_t hold_until;
    uint64_t timer;
    /* Changes of workers that may help jobs of each queue: those that were put there
     * before are looked at again. */
    uint64_t rounds[QUEUES];
    bool wake;
    /* bandwidth and progress */
    uint64_t tokens;
    uint64_t tokens_at;
    uint64_t rate; /* bytes per second, smoothed */
    uint64_t rate_bytes;
    uint64_t rate_at;
    uint64_t rate_since; /* without a pause: a young rate tells little */
};

/* Copies that count for JOB, and how many there shall be. */
uint32_t copier_counted (const core_t *core, const job_t *job);
uint32_t copier_wanted (const job_t *job);
/* At the end of QUEUE. */
void copier_enqueue (core_t *core, job_t *job, enum queue queue);
void copier_free_job (core_t *core, job_t *job);
/* JOB came to its queue (COMES) or leaves it: keeps the counts. */
void copier_count (copier_t *self, job_t *job, bool comes);
/* Counts JOB for the drained workers that have a copy of its chunk now; for nobody when
 * it ENDS. */
void copier_leaves (core_t *core, job_t *job, bool ends);
/* QUEUE is FAILED, STUCK or UNSURE: each has one length of waiting, so it is in order.
 */
void copier_wait_in (core_t *core, job_t *job, enum queue queue);
void copier_send_order (core_t *core, job_t *job, worker_t *source, worker_t *target,
                        uint64_t credit);
void copier_end_order (core_t *core, order_t *order);

/* copier_pick.c. The live holder with the least to do, and near TARGET (NULL: not known
 * yet); *BUSY when all have as much as they may. */
worker_t *copier_pick_source (core_t *core, const job_t *job, const worker_t *target,
                              uint32_t limit, bool *busy);
/* The one place that is wanted, if it takes anything. */
void copier_choose_target (core_t *core, const job_t *job, placement_t *ask);
/* Bytes that may be on their way to TARGET at once, beside clients. */
uint64_t copier_room (const core_t *core, const job_t *job, worker_t *source,
                      worker_t *target);
/* Bytes that may be sent now under the configured bandwidth. */
bool copier_bandwidth (core_t *core, uint64_t bytes);

#endif
