/* SPDX-License-Identifier: MPL-2.0 */
/* A core with a few workers for unit tests: events by hand, actions looked up by type.
 */
#ifndef T_UNIT_CORE_CLUSTER_H
#define T_UNIT_CORE_CLUSTER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "broker/core/core.h"
#include "common/dfs_error.h"
#include "common/units.h"

typedef struct cluster_core {
    core_t *core;
    actions_t *actions; /* of the last step */
    uint64_t now;
    uint64_t index;
    size_t workers;
    action_scan_t scan; /* the last page that was asked for */
} cluster_core_t;

/* N workers "w1"… that are up, each of CAPACITY bytes (0: plenty), policy 1 with
 * REPLICAS and MIN, session 1 open. LOCATIONS may be NULL: each is a domain. */
void cluster_make (cluster_core_t *self, const core_config_t *config, size_t n,
                   uint32_t replicas, uint32_t min, const char *const *locations);
void cluster_free (cluster_core_t *self);
/* One step; forgets the actions of the one before. */
void cluster_step (cluster_core_t *self, event_t event);
/* Lets AFTER ns pass, with heartbeats of the workers that are set in ALIVE; actions of
 * all steps are kept. */
void cluster_pass (cluster_core_t *self, uint64_t after, uint64_t alive);
/* The I-th action of TYPE of the last step (or pass); NULL. */
const action_t *cluster_action (const cluster_core_t *self, enum action_type type,
                                size_t i);
size_t cluster_count (const cluster_core_t *self, enum action_type type);
/* As cluster_action, must be there. */
const action_t *cluster_want (const cluster_core_t *self, enum action_type type);

void cluster_member (cluster_core_t *self, uint32_t id, const char *location,
                     bool draining, bool removed);
void cluster_hello (cluster_core_t *self, uint32_t id, uint64_t conn, uint64_t process,
                    uint64_t capacity);
/* hello, marks, first heartbeat */
void cluster_join (cluster_core_t *self, uint32_t id, uint64_t capacity);
void cluster_beat (cluster_core_t *self, uint32_t id, int condition, uint64_t used,
                   uint64_t queued);
void cluster_closed (cluster_core_t *self, uint32_t id);
int cluster_state (const cluster_core_t *self, uint32_t id);

copykey_t cluster_key (uint64_t number);
/* One chunk of LENGTH, session 1, upload 7, request SEQ; then the look-up's answer with
 * copies on the workers of COPIES (bits from 1). */
void cluster_place (cluster_core_t *self, uint64_t seq, uint64_t number,
                    uint64_t length, uint32_t avoid);
void cluster_found (cluster_core_t *self, uint64_t token, uint64_t number,
                    uint64_t length, uint64_t refs, uint64_t copies,
                    uint64_t condemned);
/* place, found with nothing, and the one answer. */
const core_placed_t *cluster_put (cluster_core_t *self, uint64_t number,
                                  uint64_t length);
/* The page that was asked for: nothing in it, and no more. */
void cluster_scanned (cluster_core_t *self);
/* WORKER reports a change of chunk NUMBER, with the right number in its sequence. */
void cluster_change (cluster_core_t *self, uint32_t worker, int kind, uint64_t number,
                     uint64_t length);

#endif
