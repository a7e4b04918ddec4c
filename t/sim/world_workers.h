/* SPDX-License-Identifier: MPL-2.0 */
/* What the parts of a fake worker share. W is its index, D that of a disk. */
#ifndef T_SIM_WORLD_WORKERS_H
#define T_SIM_WORLD_WORKERS_H

#include "t/sim/world_private.h"

#define NET  (200 * 1000ULL) /* ns */
#define DISK (3 * MS)

enum said {
    SAID_HELLO,
    SAID_CHANGES,
    SAID_BEAT,
    SAID_REFUSED,
    SAID_RESULT,
    SAID_VERIFIED,
    SAID_CLOSED
};

typedef struct said_msg {
    enum said what;
    size_t worker;
    uint64_t conn;
    uint64_t process;
    event_t event;
    core_store_t stores[WORLD_DISKS];
    size_t n;
    core_change_t items[]; /* or core_verified_t, N of them */
} said_msg_t;

/* A message with room for N items; owned. */
said_msg_t *worker_msg (enum said what, enum event_type type, size_t n);
/* Takes MSG. Messages of a connection keep their order; heartbeats go another way. Some
 * get lost, some come twice; not what belongs to a connection itself, nor a listing:
 * they are lost only with it. */
void worker_say (world_t *self, size_t w, said_msg_t *msg);
/* On a new connection. */
void worker_hello (world_t *self, size_t w);
/* What was not said yet of what happened on a disk; all that is on it, by page. */
void worker_changes (world_t *self, size_t w, size_t d);
void worker_list (world_t *self, size_t w, size_t d);
void worker_acknowledged (world_t *self, const action_ack_t *ack);
/* A new process of it. */
void worker_begin (world_t *self, size_t w);
/* What its disk takes for what takes MEAN when it is well. */
uint64_t worker_disk_time (world_t *self, size_t w, uint64_t mean);

#endif
