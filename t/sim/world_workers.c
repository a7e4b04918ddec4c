/* SPDX-License-Identifier: MPL-2.0 */
/* Fake workers: hello, heartbeats, numbered changes, ingest and forwarding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dfs_error.h"
#include "t/sim/world_private.h"

#define NET       (200 * 1000ULL) /* ns */
#define DISK      (3 * MS)
#define BANDWIDTH (200 * MIB) /* bytes a second */

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
    core_store_t store;
    size_t n;
    core_change_t items[];
} said_msg_t;

typedef struct arriving {
    grant_t grant;
    size_t chunk;
    uint32_t hop;
    uint64_t session;
    bool on_disk; /* read and hashed; now it is durable */
    uint64_t process;
} arriving_t;

/* --- to the core --- */

static void arrive (world_t *self, void *arg)
{
    said_msg_t *msg = arg;

    if (msg->what == SAID_CHANGES)
        msg->event.u.changes.items = msg->items;
    if (msg->what == SAID_VERIFIED)
        msg->event.u.order.verified = (const void *)msg->items;
    if (msg->what == SAID_HELLO)
        msg->event.u.hello.stores = &msg->store;
    world_feed (self, &msg->event);
    /* Heartbeats reach who led before as well. */
    if (msg->what == SAID_BEAT && self->old.core)
        world_answer (self, self->old.id, &msg->event);
}

/* Messages of a connection keep their order; heartbeats go another way. */
static void say (world_t *self, size_t w, said_msg_t *msg)
{
    sim_worker_t *worker = &self->workers[w];
    uint64_t when = self->now + world_delay (self, NET);

    if (msg->what != SAID_BEAT) {
        if (when <= worker->arrives)
            when = worker->arrives + 1;
        worker->arrives = when;
    }
    world_at (self, when, arrive, msg);
}

static said_msg_t *new_msg (enum said what, enum event_type type, size_t n)
{
    said_msg_t *msg = calloc (1, sizeof *msg + n * sizeof msg->items[0]);

    msg->what = what;
    msg->event.type = type;
    msg->n = n;
    return msg;
}

static core_store_t store_of (const world_t *self, size_t w)
{
    const sim_worker_t *worker = &self->workers[w];
    core_store_t store = {
        .incarnation = worker->incarnation,
        .first_seq = worker->first + 1,
        .last_seq = worker->n_changes,
        .capacity = self->config.capacity ? self->config.capacity : 1000 * GIB,
        .used = worker->used,
    };

    store.id[0] = (uint8_t)(w + 1);
    return store;
}

static void say_hello (world_t *self, size_t w)
{
    sim_worker_t *worker = &self->workers[w];
    said_msg_t *msg = new_msg (SAID_HELLO, EVENT_WORKER_HELLO, 0);

    worker->conn = ++self->conns;
    worker->welcomed = false;
    msg->store = store_of (self, w);
    msg->event.u.hello.worker = (uint32_t)w + 1;
    msg->event.u.hello.conn = worker->conn;
    msg->event.u.hello.incarnation = worker->process;
    msg->event.u.hello.n_stores = 1;
    say (self, w, msg);
}

static void say_changes (world_t *self, size_t w)
{
    sim_worker_t *worker = &self->workers[w];

    while (worker->up && worker->welcomed && worker->sent < worker->n_changes) {
        size_t n = worker->n_changes - worker->sent;
        said_msg_t *msg;

        if (n > 50)
            n = 50;
        msg = new_msg (SAID_CHANGES, EVENT_CHANGES, n);
        memcpy (msg->items, &worker->changes[worker->sent], n * sizeof msg->items[0]);
        msg->event.u.changes.worker = (uint32_t)w + 1;
        msg->event.u.changes.conn = worker->conn;
        msg->event.u.changes.store[0] = (uint8_t)(w + 1);
        msg->event.u.changes.incarnation = worker->incarnation;
        msg->event.u.changes.first_seq = worker->sent + 1;
        msg->event.u.changes.last_seq = worker->n_changes;
        msg->event.u.changes.n = n;
        worker->sent += n;
        say (self, w, msg);
    }
}

static void say_inventory (world_t *self, size_t w)
{
    sim_worker_t *worker = &self->workers[w];
    size_t i = 0, page = 0;
    bool end = false;

    while (!end) {
        said_msg_t *msg = new_msg (SAID_CHANGES, EVENT_CHANGES, 20);
        event_changes_t *changes = &msg->event.u.changes;

        for (; i < self->n_chunks && changes->n < 20; i++)
            if (self->chunks[i].stored[w])
                msg->items[changes->n++] = (core_change_t){CHANGE_STORED, world_key (i),
                                                           self->chunks[i].birth[w],
                                                           self->chunks[i].length, 0};
        end = i == self->n_chunks;
        changes->worker = (uint32_t)w + 1;
        changes->conn = worker->conn;
        changes->store[0] = (uint8_t)(w + 1);
        changes->incarnation = worker->incarnation;
        changes->inventory = true;
        changes->inventory_end = end;
        changes->first_seq = end ? worker->n_changes : page++;
        changes->last_seq = worker->n_changes;
        say (self, w, msg);
    }
    worker->sent = worker->n_changes;
}

typedef struct beat_arg {
    size_t worker;
    uint64_t process;
} beat_arg_t;

static void beat (world_t *self, void *arg)
{
    beat_arg_t *mine = arg, *next;
    size_t w = mine->worker;
    sim_worker_t *worker = &self->workers[w];
    said_msg_t *msg;

    if (worker->process != mine->process)
        return;
    next = malloc (sizeof *next);
    *next = *mine;
    world_at (self, self->now + 490 * MS + rng_below (&self->rng, 20 * MS), beat, next);
    if (!worker->up)
        return;
    msg = new_msg (SAID_BEAT, EVENT_HEARTBEAT, 0);
    msg->event.u.heartbeat.worker = (uint32_t)w + 1;
    msg->event.u.heartbeat.incarnation = worker->process;
    msg->event.u.heartbeat.number = ++worker->beat;
    msg->event.u.heartbeat.capacity = store_of (self, w).capacity;
    msg->event.u.heartbeat.used = worker->used;
    msg->event.u.heartbeat.condition = worker->full ? CONDITION_FULL : CONDITION_OK;
    say (self, w, msg);
}

static void begin (world_t *self, size_t w)
{
    sim_worker_t *worker = &self->workers[w];
    beat_arg_t *arg = malloc (sizeof *arg);

    worker->up = true;
    worker->frozen = worker->killed = false;
    worker->process = rng_next (&self->rng) | 1;
    say_hello (self, w);
    *arg = (beat_arg_t){w, worker->process};
    world_at (self, self->now + rng_below (&self->rng, 500 * MS), beat, arg);
}

void world_workers_greet (world_t *self)
{
    for (size_t w = 0; w < self->config.workers; w++)
        if (self->workers[w].up)
            say_hello (self, w);
}

void world_workers_start (world_t *self)
{
    for (size_t w = 0; w < self->config.workers; w++) {
        self->workers[w].incarnation = 1;
        begin (self, w);
    }
}

/* --- faults --- */

void world_down (world_t *self, size_t w, enum world_down how)
{
    sim_worker_t *worker = &self->workers[w];

    if (!worker->up)
        return;
    worker->up = false;
    worker->frozen = how == DOWN_FROZEN;
    worker->killed = how == DOWN_KILLED;
    if (how == DOWN_KILLED) {
        said_msg_t *msg = new_msg (SAID_CLOSED, EVENT_WORKER_CLOSED, 0);

        msg->event.u.worker.id = (uint32_t)w + 1;
        msg->event.u.worker.conn = worker->conn;
        say (self, w, msg);
    }
}

void world_up (world_t *self, size_t w, enum world_back how)
{
    sim_worker_t *worker = &self->workers[w];

    if (worker->up)
        return;
    if (how == BACK_TRIMMED)
        worker->first = worker->n_changes;
    if (how == BACK_EMPTY) {
        self->emptied = true;
        for (size_t i = 0; i < self->n_chunks; i++)
            self->chunks[i].stored[w] = false;
        worker->incarnation++;
        worker->n_changes = worker->first = 0;
        worker->used = 0;
    }
    begin (self, w);
}

void world_full (world_t *self, size_t w, bool full)
{
    self->workers[w].full = full;
}

/* --- chunks --- */

static void store (world_t *self, size_t w, const arriving_t *in)
{
    sim_worker_t *worker = &self->workers[w];

    sim_chunk_t *chunk = &self->chunks[in->chunk];
    uint64_t birth = in->grant.birth;
    core_change_t change;

    if (chunk->stored[w] && chunk->birth[w] > birth)
        birth = chunk->birth[w];
    change = (core_change_t){chunk->stored[w] ? CHANGE_RENEWED : CHANGE_STORED,
                             in->grant.key, birth, in->grant.length, in->grant.upload};
    if (!chunk->stored[w])
        worker->used += in->grant.length;
    chunk->stored[w] = true;
    chunk->rotten[w] = 0;
    chunk->birth[w] = birth;
    world_say_change (self, w, &change);
}

void world_say_change (world_t *self, size_t w, const core_change_t *change)
{
    sim_worker_t *worker = &self->workers[w];

    if (worker->n_changes == worker->cap_changes) {
        worker->cap_changes = worker->cap_changes ? 2 * worker->cap_changes : 64;
        worker->changes =
            realloc (worker->changes, worker->cap_changes * sizeof *worker->changes);
    }
    worker->changes[worker->n_changes++] = *change;
    say_changes (self, w);
}

static void refuse (world_t *self, size_t w, const arriving_t *in, int code)
{
    said_msg_t *msg = new_msg (SAID_REFUSED, EVENT_REFUSED, 0);

    msg->event.u.refused.worker = (uint32_t)w + 1;
    msg->event.u.refused.session = in->session;
    msg->event.u.refused.upload = in->grant.upload;
    msg->event.u.refused.key = in->grant.key;
    msg->event.u.refused.code = code;
    say (self, w, msg);
}

static void take (world_t *self, void *arg)
{
    arriving_t *in = arg;
    size_t w = in->grant.targets[in->hop] - 1;
    sim_worker_t *worker = &self->workers[w];
    arriving_t *next;

    if (!worker->up)
        return;
    if (!in->on_disk) {
        CHECK (self, in->grant.key.digest[8] == world_key (in->chunk).digest[8]);
        if (worker->full) {
            refuse (self, w, in, DFS_ENOSPC);
            return;
        }
        if (rng_below (&self->rng, 1000) < self->config.refused) {
            refuse (self, w, in, DFS_EAGAIN);
            return;
        }
        if (rng_below (&self->rng, 1000) < self->config.lost)
            return;
        next = malloc (sizeof *next);
        *next = *in;
        next->on_disk = true;
        next->process = worker->process;
        world_at (self, self->now + world_delay (self, DISK), take, next);
        return;
    }
    if (in->process != worker->process)
        return;
    store (self, w, in);
    if (in->hop + 1 < in->grant.n_targets)
        world_deliver (self, self->now, &in->grant, in->chunk, in->hop + 1, 0);
}

void world_deliver (world_t *self, uint64_t when, const grant_t *grant, size_t chunk,
                    uint32_t hop, uint64_t session)
{
    arriving_t *in = calloc (1, sizeof *in);

    in->grant = *grant;
    in->chunk = chunk;
    in->hop = hop;
    in->session = session;
    when += world_delay (self, NET + grant->length * SEC / BANDWIDTH);
    world_at (self, when, take, in);
}

/* --- orders --- */

static void probed (world_t *self, void *arg)
{
    world_feed (self, arg);
}

static void probe (world_t *self, const action_probe_t *probe)
{
    const sim_worker_t *worker = &self->workers[probe->worker - 1];
    event_t *event = calloc (1, sizeof *event);
    uint64_t wait = NET;

    event->type = EVENT_PROBE_RESULT;
    event->u.probe.worker = probe->worker;
    event->u.probe.probe = probe->probe;
    event->u.probe.outcome = worker->up || worker->frozen ? PROBE_OPEN
                             : worker->killed             ? PROBE_REFUSED
                                                          : PROBE_SILENT;
    if (event->u.probe.outcome == PROBE_SILENT)
        wait = probe->timeout_ns;
    world_at (self, self->now + world_delay (self, wait), probed, event);
}

/* A worker takes no order of a leader whose term is over. */
static bool world_old_order (world_t *self, size_t w)
{
    if (self->asks->term >= self->workers[w].term)
        return false;
    self->stats.refused_old++;
    return true;
}

static void verify (world_t *self, const action_verify_order_t *order)
{
    size_t w = order->worker - 1;
    said_msg_t *msg;

    if (world_old_order (self, w) || !self->workers[w].up)
        return;
    msg = calloc (1, sizeof *msg + order->n * sizeof (core_verified_t));
    msg->what = SAID_VERIFIED;
    msg->event.type = EVENT_ORDER_RESULT;
    msg->event.u.order.worker = order->worker;
    msg->event.u.order.order = order->order;
    msg->event.u.order.n = order->n;
    for (size_t i = 0; i < order->n; i++) {
        core_verified_t *out = &((core_verified_t *)(void *)msg->items)[i];
        size_t chunk = world_chunk (self, &order->keys[i]);

        *out = (core_verified_t){.key = order->keys[i],
                                 .code = self->chunks[chunk].stored[w] ? DFS_OK
                                                                       : DFS_ENOENT};
        if (self->chunks[chunk].stored[w] && self->chunks[chunk].rotten[w] > 0) {
            core_change_t change = {CHANGE_DAMAGED, order->keys[i],
                                    self->chunks[chunk].birth[w], 0, 0};

            out->code = DFS_EDAMAGED;
            self->chunks[chunk].stored[w] = false;
            self->chunks[chunk].rotten[w] = 0;
            world_say_change (self, w, &change);
        }
    }
    say (self, w, msg);
}

typedef struct leaving {
    size_t worker;
    size_t chunk;
    uint64_t process;
    uint64_t limit;
} leaving_t;

/* It is durable that the copy went, unless the process ended before. */
static void put_away (world_t *self, void *arg)
{
    const leaving_t *leaving = arg;
    size_t w = leaving->worker, chunk = leaving->chunk;
    core_change_t change = {CHANGE_GONE, world_key (chunk),
                            self->chunks[chunk].birth[w], 0, 0};

    if (!self->workers[w].up || self->workers[w].process != leaving->process ||
        !self->chunks[chunk].stored[w] ||
        self->chunks[chunk].birth[w] >= leaving->limit)
        return;
    self->chunks[chunk].stored[w] = false;
    self->chunks[chunk].rotten[w] = 0;
    self->workers[w].used -= self->chunks[chunk].length;
    self->stats.dropped++;
    world_check_gone (self, chunk, w);
    world_say_change (self, w, &change);
}

static void leave (world_t *self, size_t w, size_t chunk, uint64_t limit)
{
    leaving_t *leaving = calloc (1, sizeof *leaving);

    *leaving = (leaving_t){w, chunk, self->workers[w].process, limit};
    world_at (self, self->now + world_delay (self, DISK), put_away, leaving);
}

typedef struct dropping {
    uint64_t order;
    size_t worker;
    uint64_t process;
    size_t n;
    core_reclaim_t items[];
} dropping_t;

static void drop (world_t *self, void *arg)
{
    dropping_t *order = arg;
    size_t w = order->worker;
    said_msg_t *msg;

    if (!self->workers[w].up || self->workers[w].process != order->process)
        return;
    msg = calloc (1, sizeof *msg + order->n * sizeof (core_verified_t));
    msg->what = SAID_VERIFIED;
    msg->event.type = EVENT_ORDER_RESULT;
    msg->event.u.order.worker = (uint32_t)w + 1;
    msg->event.u.order.order = order->order;
    msg->event.u.order.n = order->n;
    for (size_t i = 0; i < order->n; i++) {
        core_verified_t *out = &((core_verified_t *)(void *)msg->items)[i];
        size_t chunk = world_chunk (self, &order->items[i].key);

        *out = (core_verified_t){.key = order->items[i].key};
        if (!self->chunks[chunk].stored[w])
            out->code = DFS_ENOENT;
        else if (self->chunks[chunk].birth[w] >= order->items[i].limit)
            out->code = DFS_ECONFLICT;
        else
            leave (self, w, chunk, order->items[i].limit);
    }
    say (self, w, msg);
}

/* It may take its time: a re-sent copy comes before a late drop. */
static void order_drop (world_t *self, const action_drop_order_t *order)
{
    size_t w = order->worker - 1;
    dropping_t *later;

    for (size_t i = 0; i < order->n; i++) {
        size_t chunk = world_chunk (self, &order->items[i].key);

        CHECK (self, self->asks->term < self->workers[w].term ||
                         self->chunks[chunk].limit[w] >= order->items[i].limit);
    }
    if (world_old_order (self, w))
        return;
    later = calloc (1, sizeof *later + order->n * sizeof order->items[0]);
    later->order = order->order;
    later->worker = w;
    later->process = self->workers[w].process;
    later->n = order->n;
    memcpy (later->items, order->items, order->n * sizeof order->items[0]);
    world_at (self,
              self->now + world_delay (self, rng_below (&self->rng, 4) ? DISK : SEC),
              drop, later);
}

static void replicate (world_t *self, const action_replicate_t *order)
{
    size_t w = order->worker - 1, chunk = world_chunk (self, &order->grant.key);
    said_msg_t *msg;

    if (world_old_order (self, w))
        return;
    CHECK (self, order->grant.targets[0] != order->worker);
    CHECK (self,
           order->n_targets == 1 && order->targets[0].id == order->grant.targets[0]);
    self->stats.replicated++;
    if (!self->workers[w].up)
        return;
    msg = new_msg (SAID_RESULT, EVENT_ORDER_RESULT, 0);
    msg->event.u.order.worker = order->worker;
    msg->event.u.order.order = order->order;
    if (self->chunks[chunk].stored[w])
        world_deliver (self, self->now, &order->grant, chunk, 0, 0);
    else
        msg->event.u.order.code = DFS_ENOENT;
    say (self, w, msg);
}

static void welcome (world_t *self, const action_welcome_t *welcome)
{
    size_t w = welcome->worker - 1;
    sim_worker_t *worker = &self->workers[w];

    if (!worker->up || worker->conn != welcome->conn)
        return;
    worker->welcomed = true;
    if (self->asks->term > worker->term)
        worker->term = self->asks->term;
    CHECK (self, welcome->n == 1);
    worker->sent = welcome->marks[0].seq;
    CHECK (self, worker->sent <= worker->n_changes);
    if (worker->sent < worker->first)
        say_inventory (self, w);
    else
        say_changes (self, w);
}

static void send (world_t *self, const action_send_t *send)
{
    const sim_worker_t *worker = &self->workers[send->worker - 1];
    int state = core_worker_state (self->asks->core, send->worker, NULL);

    CHECK (self, state == WORKER_UP || state == WORKER_DRAINING);
    for (size_t i = 0; i < send->n; i++) {
        size_t chunk = world_chunk (self, &send->pieces[i].key);

        if (worker->up && self->chunks[chunk].stored[send->worker - 1])
            world_piece (self, send->session - 1, (size_t)send->pieces[i].piece);
    }
}

bool world_worker_action (world_t *self, const action_t *action)
{
    switch (action->type) {
    case ACTION_WELCOME:
        welcome (self, &action->u.welcome);
        return true;
    case ACTION_REPLICATE:
        replicate (self, &action->u.replicate);
        return true;
    case ACTION_PROBE:
        probe (self, &action->u.probe);
        return true;
    case ACTION_SEND_ORDER:
        send (self, &action->u.send);
        return true;
    case ACTION_CLOSE: {
        sim_worker_t *worker = &self->workers[action->u.close.worker - 1];

        if (worker->up && worker->conn == action->u.close.conn)
            say_hello (self, action->u.close.worker - 1);
        return true;
    }
    case ACTION_VERIFY_ORDER:
        verify (self, &action->u.verify_order);
        return true;
    case ACTION_DROP_ORDER:
        order_drop (self, &action->u.drop_order);
        return true;
    case ACTION_CHANGES_ACK:
    case ACTION_CANCEL_ORDER:
    case ACTION_YIELD_ORDER:
    case ACTION_DIRECTORY:
    case ACTION_ANNOUNCE:
        return true;
    case ACTION_LOG:
        if (getenv ("SIM_LOG"))
            fprintf (stderr, "%9.3f term=%llu %s %s\n", (double)self->now / 1e9,
                     (unsigned long long)self->asks->term, action->u.log.event,
                     action->u.log.text);
        return true;
    default:
        return false;
    }
}
