/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of reclaim, shared by reclaim.c (rounds and their proposals) and
 * reclaim_choose.c (what becomes of a condemned chunk). */
#ifndef BROKER_CORE_RECLAIM_PRIVATE_H
#define BROKER_CORE_RECLAIM_PRIVATE_H

#include "broker/core/reclaim.h"

#define ROUND_MAX     (60 * SEC)
#define ROUND_MIN     SEC
#define WAIT_LATER    SEC
#define ABANDONED_MAX 65536
#define PAGE          256
#define DROPS_MAX     131072 /* under way: more wait for those */

/* What the leader is at. */
enum reclaim_state {
    RECLAIM_IDLE,
    RECLAIM_FREE,      /* the list of free chunks is asked for */
    RECLAIM_CONDEMN,   /* proposed; goes on with the list */
    RECLAIM_CONDEMNED, /* the list of condemned chunks is asked for */
    RECLAIM_COPIES,    /* their copies are asked for */
    RECLAIM_DROP,      /* proposed */
    RECLAIM_FORGET,    /* proposed */
    RECLAIM_AGAIN,     /* proposed: condemned anew, for younger copies */
    RECLAIM_ABANDONED, /* chunks of uploads that ended are asked for */
    RECLAIM_UNKNOWN,   /* proposed: condemns them, or what workers have too much */
};

typedef struct abandoned {
    copykey_t key;
    uint64_t due;
} abandoned_t;

struct reclaim {
    bool hold_known;
    bool held;
    uint64_t hold_index;
    uint64_t since; /* this broker leads */
    uint64_t next;  /* round */
    uint64_t timer;
    enum reclaim_state state;
    uint64_t token;
    bool more;            /* in the list */
    core_reclaim_t after; /* where it goes on */
    /* The oldest condemned chunks may all wait for workers that are away: they are
     * passed over until a worker comes, goes or tells what it has. */
    bool barren;     /* so far this page has nothing else */
    bool all_barren; /* nor have the pages of this round before it */
    bool passed_known;
    core_reclaim_t passed; /* the last one that is passed over */
    core_reclaim_t last;   /* of this page */
    core_reclaim_t rows[PAGE];
    size_t n_rows;
    /* proposals of this page */
    core_reclaim_t *drops, *forgets, *agains;
    size_t n_drops, n_forgets, n_agains;
    size_t cap_drops, cap_forgets, cap_agains;
    abandoned_t *abandoned; /* a ring */
    size_t first, n_abandoned;
    bool wake;
    uint64_t condemned; /* since this broker leads */
    uint64_t dropped;
};

/* An upload, or somebody's repair, is at work on it. */
bool reclaim_in_use (const core_t *core, const copykey_t *key);
/* Copies of a chunk that was condemned at INDEX and is so still: adds to the proposals
 * of this page. */
void reclaim_consider (core_t *core, const core_chunk_t *found, uint64_t index);

#endif
