/* SPDX-License-Identifier: MPL-2.0 */
/* Whole states between brokers, on connections of their own: the one that lacks a state
 * asks for it piece by piece, so that it can go on after an interruption, and neither
 * side hurries at the cost of the log.
 *
 * Threads: lane_… from any; it runs two of its own, one to give and one to get. */
#ifndef BROKER_JOURNAL_LANE_H
#define BROKER_JOURNAL_LANE_H

#include "peers.h"
#include "point.h"

typedef struct lane lane_t;

typedef struct lane_config {
    const char *data; /* directory for the files */
    const char *dir;  /* of the journal: point.next */
    const char *name; /* own */
    peers_t *peers;   /* borrowed; answers go by it */
    journal_peers_t hooks;
    /* The state of the point that was asked for is in place, up to STATE, and
     * point.next says so; or it is not (CODE < 0), and nothing has changed, or (FATAL)
     * nobody knows. */
    void (*fetched) (int code, uint64_t state, const dfs_error_t *err, void *arg);
    void (*fatal) (const dfs_error_t *err, void *arg);
    void *arg;
} lane_config_t;

lane_t *lane_new (const lane_config_t *config, dfs_error_t *err);
void lane_destroy (lane_t **self_p);

/* A question for a piece, or (of a peer in the list) anything of that kind; takes it.
 */
void lane_ask (lane_t *self, peers_message_t *message);
/* Gets the state of POINT, or a later one, from broker NAME, whose key is KEY. One at a
 * time. */
void lane_fetch (lane_t *self, const raft_point_t *point, const char *name,
                 const uint8_t key[32]);
/* Nobody waits any more for what is being fetched: unless all of it is here already,
 * `fetched` says soon that it is not. */
void lane_give_up (lane_t *self);
/* True while somebody gets a state here: its log must not be trimmed too soon. */
bool lane_giving (lane_t *self);
/* How much of how much was given to NAME lately; false: nothing. */
bool lane_given (lane_t *self, const char *name, uint64_t *sent, uint64_t *total);

#endif
