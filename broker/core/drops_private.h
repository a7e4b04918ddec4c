/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of drops, shared by drops.c (the list) and drops_orders.c (what workers are
 * told, and what they confirm). */
#ifndef BROKER_CORE_DROPS_PRIVATE_H
#define BROKER_CORE_DROPS_PRIVATE_H

#include "broker/core/drops.h"

#define ANSWER_WAIT (10 * SEC) /* for an order, and for the change that confirms it */
#define RETRY_LATER (2 * SEC)
#define HELD_LATER  (10 * SEC)

enum drop_state {
    DROP_WAITING, /* to be sent */
    DROP_ORDERED, /* in the check or the order that is out, or its confirmation is on
                     the way */
    DROP_DONE,    /* confirmed, to be proposed */
};

typedef struct drop {
    copykey_t key;
    uint32_t worker;
    uint64_t limit;
    bool trim;
    enum drop_state state;
    list_t node; /* in its queue, or among those that are done */
} drop_t;

/* What is out for one worker. */
typedef struct drop_queue {
    uint32_t worker;
    size_t n;          /* in all lists */
    list_t waiting[2]; /* 1: surplus copies, which no hold stops */
    list_t ordered;
    uint64_t check_at; /* some are the last copies: looked at again then */
    uint64_t check;    /* whether other copies are live, 0: none is out */
    uint64_t order;    /* 0: none is out */
    uint64_t deadline; /* of what was ordered */
    uint64_t retry_at;
} drop_queue_t;

struct drops {
    table_t *by_copy;
    table_t *queues; /* by worker */
    list_t done;
    uint64_t load_token;
    bool loaded;
    uint64_t proposal; /* token, 0: none is out */
    uint64_t propose_at;
    uint64_t timer;
    bool wake;
};

drop_t *drops_find (const core_t *core, const copykey_t *key, uint32_t worker);
/* The worker has said that it is gone: an entry will say so, too. */
void drops_confirmed (core_t *core, drop_t *drop);

#endif
