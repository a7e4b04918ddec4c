/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of balance, shared by balance.c (when copies are moved, and how many at once)
 * and balance_choose.c (figures; which copy goes where). */
#ifndef BROKER_CORE_BALANCE_PRIVATE_H
#define BROKER_CORE_BALANCE_PRIVATE_H

#include "broker/core/balance.h"

/* Fill in thousandths of a worker's capacity. */
#define FAR         50 /* from the mean: then it begins by itself */
#define NEAR        40 /* everybody is so near: done */
#define PAGE        256
#define MOVES_ASKED 64
#define MOVES_SLOW  8
#define BYTES_ASKED (256 * MIB)
#define BYTES_SLOW  (32 * MIB)
#define RATE_SLOW   (2 * MIB) /* bytes/s for each worker, by itself */
#define RATE_BUSY   8         /* of that, a so-manieth while clients are busy */
#define LOOK_ASKED  SEC
#define LOOK_SLOW   (60 * SEC)
#define PAUSE_MOST  (3600 * SEC)
#define LOST_AFTER  (600 * SEC) /* a move of which nothing was heard */

typedef struct move {
    copykey_t key;
    uint32_t source;
    uint32_t target;
    uint64_t bytes;
    uint64_t since;
} move_t;

typedef struct share {
    uint32_t worker;
    uint64_t bytes;
    uint64_t capacity;
} share_t;

/* How it ended last. */
enum balance_end {
    END_NONE,
    END_EVEN,
    END_STUCK, /* as even as domains and chunks allow */
};

struct balance {
    bool asked, active; /* an operator did; workers are too far apart */
    uint64_t next;
    uint64_t timer;
    bool wake;
    uint64_t bytes_token;
    uint64_t scan_token;
    share_t *shares;
    size_t n_shares;
    size_t cap_shares;
    uint64_t mean; /* thousandths */
    uint64_t farthest;
    uint32_t farthest_worker;
    uint64_t looks;
    enum balance_end end; /* while nothing is moved */
    uint64_t ended_at;
    bool said;      /* that it began */
    uint64_t paced; /* by itself, no copy is moved before */
    uint32_t source;
    copykey_t after;
    bool started;   /* AFTER is a place in the source's list */
    bool fruitful;  /* this walk through it found something */
    bool wait;      /* for fresh figures */
    uint64_t pause; /* after a walk that found nothing */
    move_t moves[MOVES_ASKED];
    size_t n_moves;
    uint64_t moved;
};

/* It counts for the mean. */
bool balance_takes_part (const worker_t *worker);
/* NULL: it does not take part. */
share_t *balance_share (balance_t *self, uint32_t worker);
void balance_take_shares (core_t *core, const event_bytes_t *found);
/* The worker farthest from the mean, and the one from which the next copies go. */
void balance_judge (balance_t *self);
/* The emptiest worker that may have FOUND instead of the source: no nearer to the other
 * copies, and not fuller than the source afterwards; 0 none. */
uint32_t balance_target (core_t *core, const core_chunk_t *found);
/* All copies that it shall have are there, on workers to count on, and no more. */
bool balance_complete (const core_t *core, const core_chunk_t *found);

#endif
