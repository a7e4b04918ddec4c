/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks that something is going on with: uploads pin them, the copier wants more
 * copies of them. Each knows its copies: those that storage told of, and what workers
 * have reported since. A chunk lives while anybody uses it. */
#ifndef BROKER_CORE_CHUNKS_H
#define BROKER_CORE_CHUNKS_H

#include "broker/core/members.h"

typedef struct chunks chunks_t;

enum holder_state {
    HOLDER_GOOD,
    HOLDER_DAMAGED,
    HOLDER_GONE, /* reported gone: an older answer of storage does not bring it back */
};

typedef struct holder {
    uint32_t worker;
    uint32_t state; /* enum holder_state */
    uint64_t birth;
    uint32_t
        epoch; /* of the worker's stores then: a disk that is lost takes it along */
} holder_t;

typedef struct chunk {
    copykey_t key;
    uint64_t length;
    uint32_t
        replicas; /* that the policies ask for which refer to it, as far as known */
    bool sure;    /* a worker that stored it told LENGTH; else a client claims it */
    holder_t *holders;
    size_t n_holders;
    size_t cap_holders;
    list_t pins;        /* of uploads */
    struct job *job;    /* the copier's, NULL none */
    uint32_t held;      /* functions on the stack that still need it */
    bool looked_up;     /* storage has told of its copies */
    uint64_t condemned; /* copies born before that do not count for uploads; 0 */
} chunk_t;

chunks_t *chunks_new (void);
void chunks_destroy (chunks_t **self_p);
size_t chunks_count (const core_t *core);

chunk_t *chunks_find (const core_t *core, const copykey_t *key);
/* The chunk, made if need be. */
chunk_t *chunks_get (core_t *core, const copykey_t *key, uint64_t length);
/* Frees it if nobody uses it. */
void chunks_release (core_t *core, chunk_t *chunk);
/* What storage answered. */
void chunks_merge (core_t *core, chunk_t *chunk, const core_chunk_t *found);
/* A worker reported a change; tells uploads and copier. */
void chunks_change (core_t *core, const worker_t *worker, const core_change_t *change);
/* CHUNK was condemned by the entry at INDEX; 0: it is not condemned any more. */
void chunk_condemn (core_t *core, chunk_t *chunk, uint64_t index);
/* LENGTH is not what CHUNK is known to have. */
bool chunk_differs (const chunk_t *chunk, uint64_t length);

/* Good copies born after the condemnation, on live workers that have told what they
 * have. */
uint32_t chunk_live (const core_t *core, const chunk_t *chunk);
/* As chunk_live, without those on workers that are drained. */
uint32_t chunk_staying (const core_t *core, const chunk_t *chunk);
/* As chunk_live, with those on workers that may be back at any moment. */
uint32_t chunk_present (const core_t *core, const chunk_t *chunk);
/* Good copies that a commit counts: on workers that are there. */
uint32_t chunk_durable (const core_t *core, const chunk_t *chunk);
/* Good copies on live workers that have not told yet what they have: they may be out of
 * date. */
uint32_t chunk_untold (const core_t *core, const chunk_t *chunk);
/* WORKER has a good copy of it. */
bool chunk_on (const core_t *core, const chunk_t *chunk, uint32_t worker);
/* Members with a good copy, at most MAX, whatever their state. */
size_t chunk_workers (const core_t *core, const chunk_t *chunk, uint32_t *out,
                      size_t max);
/* Storage has told of its copies, and no disk went away since. */
bool chunk_known (const core_t *core, const chunk_t *chunk);

#endif
