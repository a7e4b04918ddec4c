/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of trim, shared by trim.c (the list and its batches) and trim_choose.c (which
 * copy of a chunk may go). */
#ifndef BROKER_CORE_TRIM_PRIVATE_H
#define BROKER_CORE_TRIM_PRIVATE_H

#include "broker/core/trim.h"

#define WAITING_MAX 65536 /* more are found by the next pass over all chunks */
#define BATCH       128
#define BATCH_BYTES (256 * MIB) /* hashed by each worker at most */
#define HASH_WAIT   (120 * SEC)
#define LOOK_LATER  (500 * MS) /* while the cluster has something better to do */

enum batch_state { BATCH_NONE, BATCH_LOOKUP, BATCH_HASH, BATCH_PROPOSED };

/* A chunk that waits its turn. */
typedef struct surplus {
    copykey_t key;
    uint32_t source;
    uint64_t due;
    list_t node;
} surplus_t;

/* One copy of a chunk in the batch. */
typedef struct keeper {
    uint32_t worker;
    uint64_t birth;
    bool whole;     /* hashed on order, since the surplus was seen */
    uint32_t epoch; /* of the worker's stores then: another disk is another copy */
} keeper_t;

typedef struct candidate {
    copykey_t key;
    uint32_t source;
    uint32_t want;
    uint32_t victim; /* 0: nothing can go */
    uint64_t birth;  /* of the victim's copy */
    uint64_t length; /* of the chunk */
    bool spoiled;    /* something happened to it */
    keeper_t keepers[CORE_COPIES];
    uint32_t n;
    bool again;   /* it could not be decided this time */
    bool no_room; /* because others are hashed first */
    bool gone;    /* the entry says so */
    bool noted;   /* it was seen again meanwhile */
    uint32_t next_source;
} candidate_t;

typedef struct hashing {
    uint64_t order;
    uint32_t worker;
    size_t waiting;
} hashing_t;

struct trim {
    table_t *by_key;
    list_t now;   /* moves that nothing is known to stand against */
    list_t later; /* in order of their due */
    enum batch_state state;
    candidate_t batch[BATCH];
    size_t n_batch;
    uint64_t bytes;    /* that each worker has to hash for it */
    uint64_t token;    /* of the look-up or the proposal */
    uint64_t deadline; /* of the hashing */
    hashing_t *hashing;
    size_t n_hashing;
    size_t cap_hashing;
    uint64_t timer;
    bool wake;
    uint64_t recount_at;
    bool recount; /* copies went since the last pass over all chunks */
    uint64_t done;
};

/* Somebody has a use for the chunk that this one does not know of. */
bool trim_busy (const core_t *core, const copykey_t *key);
/* What FOUND says of the candidate: the copies to count on, and the one to go. */
void trim_consider (core_t *core, candidate_t *candidate, const core_chunk_t *found);

#endif
