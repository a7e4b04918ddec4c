/* SPDX-License-Identifier: MPL-2.0 */
/* What the core orders fake workers to do, and what they do: probes, copies to hash, to
 * make and to drop; welcomes, pieces for clients. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dfs_error.h"
#include "t/sim/world_workers.h"

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
    msg->n = order->n;
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
    worker_say (self, w, msg);
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
    world_at (self, self->now + worker_disk_time (self, w, DISK), put_away, leaving);
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
    msg->n = order->n;
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
    worker_say (self, w, msg);
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
    msg = worker_msg (SAID_RESULT, EVENT_ORDER_RESULT, 0);
    msg->event.u.order.worker = order->worker;
    msg->event.u.order.order = order->order;
    if (self->chunks[chunk].stored[w])
        world_deliver (self, self->now, &order->grant, chunk, 0, 0);
    else
        msg->event.u.order.code = DFS_ENOENT;
    worker_say (self, w, msg);
}

typedef struct telling {
    size_t worker;
    uint64_t conn;
} telling_t;

/* What happened since the marks of the welcome. */
static void tell (world_t *self, void *arg)
{
    const telling_t *telling = arg;
    sim_worker_t *worker = &self->workers[telling->worker];

    if (!worker->up || worker->conn != telling->conn)
        return;
    worker->welcomed = true;
    for (size_t d = 0; d < WORLD_DISKS; d++) {
        sim_disk_t *disk = &worker->disks[d];

        if (disk->gone)
            continue;
        if (disk->sent < disk->first)
            worker_list (self, telling->worker, d);
        else
            worker_changes (self, telling->worker, d);
    }
}

static void welcome (world_t *self, const action_welcome_t *welcome)
{
    size_t w = welcome->worker - 1;
    sim_worker_t *worker = &self->workers[w];
    telling_t *telling;

    if (!worker->up || worker->conn != welcome->conn)
        return;
    if (self->asks->term > worker->term)
        worker->term = self->asks->term;
    for (size_t i = 0; i < welcome->n; i++) {
        size_t d = welcome->marks[i].id[1] - 1;
        sim_disk_t *disk = &worker->disks[d];

        CHECK (self, welcome->marks[i].incarnation == disk->incarnation);
        disk->sent = disk->acked = disk->acked_before = welcome->marks[i].seq;
        disk->listing = false;
        disk->given = welcome->marks[i].pages;
        CHECK (self, disk->sent <= disk->n_changes);
    }
    telling = malloc (sizeof *telling);
    *telling = (telling_t){w, welcome->conn};
    /* There may be much of it. */
    world_at (self,
              self->now + (self->asks->term > 1 && (self->config.lag > 0 ||
                                                    rng_below (&self->rng, 4) == 0)
                               ? rng_below (&self->rng, 4 * SEC)
                               : 1),
              tell, telling);
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

static void to_worker (world_t *self, const action_t *action)
{
    switch (action->type) {
    case ACTION_REPLICATE:
        replicate (self, &action->u.replicate);
        break;
    case ACTION_VERIFY_ORDER:
        self->stats.verifies++;
        verify (self, &action->u.verify_order);
        break;
    case ACTION_DROP_ORDER:
        order_drop (self, &action->u.drop_order);
        break;
    default:
        worker_acknowledged (self, &action->u.ack);
        break;
    }
}

bool world_worker_action (world_t *self, const action_t *action)
{
    switch (action->type) {
    case ACTION_WELCOME:
        welcome (self, &action->u.welcome);
        return true;
    case ACTION_REPLICATE:
    case ACTION_VERIFY_ORDER:
    case ACTION_DROP_ORDER:
    case ACTION_CHANGES_ACK:
        if (world_loses (self))
            return true;
        to_worker (self, action);
        if (world_doubles (self))
            to_worker (self, action);
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
            worker_hello (self, action->u.close.worker - 1);
        return true;
    }
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
