/* SPDX-License-Identifier: MPL-2.0 */
/* States that brokers, workers and status share. */
#ifndef MSGS_NODE_H
#define MSGS_NODE_H

enum worker_state {
    WORKER_JOINING,
    WORKER_UP,
    WORKER_SUSPECT,
    WORKER_DEAD,
    WORKER_DRAINING,
    WORKER_REMOVED,
};

enum worker_condition {
    CONDITION_OK,
    CONDITION_FULL,
    CONDITION_READ_ONLY,
    CONDITION_FAILING,
};

/* "joining", "up", …; "ok", "full", …. Returns borrowed, valid forever. */
const char *worker_state_name (int state);
const char *worker_condition_name (int condition);

#endif
