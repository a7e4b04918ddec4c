/* SPDX-License-Identifier: MPL-2.0 */
/* One core of the consensus library, broker 1, driven by hand: the test is its clock,
 * its disk and the other brokers. */
#ifndef T_UNIT_RAFT_HAND_H
#define T_UNIT_RAFT_HAND_H

#include "broker/journal/raft_guards.h"
#include "broker/journal/raft_private.h"

typedef struct hand {
    struct raft r;
    struct raft_update u; /* of the last step */
    raft_time now;
    uint8_t *conf; /* the last configuration made, encoded */
    size_t conf_len;
} hand_t;

extern hand_t hand;

/* Makes hand.conf: of brokers 1 to N, all voters. */
void hand_conf (size_t n);
/* Broker 1 of N, in TERM, with the configuration and entries of TERMS (0 ends). */
void hand_begin (size_t n, raft_term term, const raft_term *terms);
void hand_end (void);
/* Makes it the leader of the next term. */
void hand_lead (void);
/* Its entries up to INDEX are on disk. */
void hand_persisted (raft_index index);
int hand_step (struct raft_event *event);
int hand_receive (struct raft_message *m, raft_id from);

/* An entry, and messages of others. */
struct raft_entry hand_command (raft_term term);
struct raft_message hand_result (raft_term term, raft_index rejected, raft_index last);
struct raft_message hand_append (raft_term term, raft_index prev, raft_term prev_term,
                                 raft_index commit, struct raft_entry *entries,
                                 unsigned n);
struct raft_message hand_vote (raft_term term, raft_index last, raft_term last_term,
                               bool pre_vote);

/* Of a group of tests. */
int hand_teardown (void **state);

#endif
