/* SPDX-License-Identifier: MPL-2.0 */
/* Brokers on virtual time: their drivers, disks and network, everything decided by a
 * seed. What may happen: packets lost, doubled, late, out of order; links cut in one or
 * both ways; brokers crash and lose what was not synced; slow disks; snapshots that
 * fail half way; leaders told to hand over; brokers that join, become voters and leave.
 *
 * What is checked at each step: one leader per term; what is committed at an index is
 * the same on every broker, for ever, and durable on a majority; equal state after
 * equal entries; a read point is not older than anything acknowledged before it was
 * asked for. At the end the network heals, and all must agree and go on. One thread. */
#ifndef T_SIM_RAFT_WORLD_H
#define T_SIM_RAFT_WORLD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct world_config {
    uint64_t seed;
    unsigned brokers; /* at most 7 */
    unsigned voters;  /* of them, at the start; the others have nothing */
    unsigned commits; /* faults end after so many */
    bool churn;       /* change who is a voter */
    /* Faults that the checks must notice. */
    bool lying_disk; /* says "durable" before it is so */
    bool lost_votes; /* a crash forgets term and vote */
} world_config_t;

/* What happened, added up. */
typedef struct world_count {
    uint64_t commits, elections, crashes, cuts, packets, lost, doubled, late, replaced,
        snapshots, installs, failed_installs, transfers, changes, reads, stalls,
        late_reads;
} world_count_t;

/* 0; or -1 and WHY (at least 400 bytes). 1: safe, but not all had caught up a minute
 * after the network healed. */
int world_run (const world_config_t *config, world_count_t *count, char *why);

#endif
