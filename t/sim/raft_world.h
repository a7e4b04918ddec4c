/* SPDX-License-Identifier: MPL-2.0 */
/* Brokers on virtual time: their drivers, disks and network, everything decided by a
 * seed. What may happen: packets lost, doubled, late, out of order; links cut in one or
 * both ways; brokers crash and lose what was not synced, the last write torn; processes
 * that stand still, clocks that jump; disks that are slow, full, hang, fail, or forget
 * what they held: one record, or all, and then the broker is replaced; snapshots that
 * fail half way, or bring more than they promise; a state machine that does not come
 * along; leaders told to hand over; brokers that join, become voters and leave.
 *
 * What is checked at each step: one leader per term; what is committed at an index is
 * the same on every broker, for ever, and durable on a majority; equal state after
 * equal entries; a read point is not older than anything acknowledged before it was
 * asked for. At the end the network heals, and all must agree and go on. One thread. */
#ifndef T_SIM_RAFT_WORLD_H
#define T_SIM_RAFT_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* Bugs, put in place of the code that does it right. */
enum plant {
    PLANT_NONE,
    PLANT_EARLY_ACK,   /* entries count as durable before they are written */
    PLANT_UNCOMMITTED, /* what is durable here is applied */
    PLANT_OLD_TERMS,   /* entries of old terms are committed by counting copies */
    PLANT_NO_TERMS,    /* a follower does not look at the term of the entry before */
    PLANT_OLD_WRITES,  /* G7: a write of entries that were replaced counts for others */
    PLANT_SAME_TERM,   /* G12: a sole voter leads again in its old term */
    PLANT_NO_PINGS,    /* reads are not confirmed by a majority */
};

typedef struct world_config {
    uint64_t seed;
    unsigned brokers; /* at most 7 */
    unsigned voters;  /* of them, at the start; the others have nothing */
    unsigned commits; /* faults end after so many */
    bool churn;       /* change who is a voter */
    bool disks;       /* they fill up, hang, fail */
    bool clocks;      /* they jump; processes stand still */
    bool replace; /* brokers lose data and are replaced, while there are spare ones */
    /* Faults that the checks must notice. */
    enum plant plant;
    bool lying_disk; /* says "durable" before it is so */
    bool lost_votes; /* a crash forgets term and vote */
} world_config_t;

/* What happened, added up. */
typedef struct world_count {
    uint64_t commits, elections, crashes, cuts, packets, lost, doubled, late, replaced,
        snapshots, installs, failed_installs, transfers, changes, reads, stalls,
        late_reads, hangs, fulls, disk_errors, flips, torn, jumps, pauses, one_way,
        lost_brokers, replaced_brokers, skips, stands;
} world_count_t;

/* 0; or -1 and WHY (at least 400 bytes). 1: safe, but not all had caught up a minute
 * after the network healed. */
int world_run (const world_config_t *config, world_count_t *count, char *why);

#endif
