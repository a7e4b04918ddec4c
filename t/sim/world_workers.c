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

#define LISTING_PAGE   20
#define LISTING_WINDOW 4

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
        msg->event.u.hello.stores = msg->stores;
    world_feed (self, &msg->event);
    /* Heartbeats reach who led before as well. */
    if (msg->what == SAID_BEAT && self->old.core)
        world_answer (self, self->old.id, &msg->event);
}

static size_t size_of (const said_msg_t *msg)
{
    size_t item =
        msg->what == SAID_VERIFIED ? sizeof (core_verified_t) : sizeof (core_change_t);

    return sizeof *msg + msg->n * item;
}

/* Messages of a connection keep their order; heartbeats go another way. Some get lost,
 * some come twice; not what belongs to a connection itself, nor a listing: they are
 * lost only with it. */
static void say (world_t *self, size_t w, said_msg_t *msg)
{
    sim_worker_t *worker = &self->workers[w];
    uint64_t when = self->now + world_delay (self, NET);
    bool frail = msg->what != SAID_HELLO && msg->what != SAID_CLOSED &&
                 !(msg->what == SAID_CHANGES && msg->event.u.changes.inventory);

    if (frail && world_loses (self)) {
        free (msg);
        return;
    }
    if (msg->what != SAID_BEAT) {
        if (when <= worker->arrives)
            when = worker->arrives + 1;
        worker->arrives = when;
    }
    if (frail && world_doubles (self)) {
        said_msg_t *twin = malloc (size_of (msg));

        memcpy (twin, msg, size_of (msg));
        world_at (self, when + rng_below (&self->rng, 50 * MS), arrive, twin);
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

static void name_disk (size_t w, size_t d, uint8_t id[16])
{
    id[0] = (uint8_t)(1 + ((w + 1) & 0x7f));
    id[1] = (uint8_t)(d + 1);
}

static uint64_t capacity_of (const world_t *self)
{
    return self->config.capacity ? self->config.capacity : 1000 * GIB;
}

static core_store_t store_of (const world_t *self, size_t w, size_t d)
{
    const sim_worker_t *worker = &self->workers[w];
    const sim_disk_t *disk = &worker->disks[d];
    core_store_t store = {
        .incarnation = disk->incarnation,
        .first_seq = disk->first + 1,
        .last_seq = disk->n_changes,
        .capacity = capacity_of (self) / WORLD_DISKS,
        .used = worker->used / WORLD_DISKS,
    };

    name_disk (w, d, store.id);
    return store;
}

static void say_hello (world_t *self, size_t w)
{
    sim_worker_t *worker = &self->workers[w];
    said_msg_t *msg = new_msg (SAID_HELLO, EVENT_WORKER_HELLO, 0);
    size_t n = 0;

    worker->conn = ++self->conns;
    worker->welcomed = false;
    for (size_t d = 0; d < WORLD_DISKS; d++)
        if (!worker->disks[d].gone)
            msg->stores[n++] = store_of (self, w, d);
    msg->event.u.hello.worker = (uint32_t)w + 1;
    msg->event.u.hello.conn = worker->conn;
    msg->event.u.hello.incarnation = worker->process;
    msg->event.u.hello.n_stores = n;
    say (self, w, msg);
}

static void say_changes (world_t *self, size_t w, size_t d)
{
    sim_worker_t *worker = &self->workers[w];
    sim_disk_t *disk = &worker->disks[d];

    while (worker->up && worker->welcomed && !disk->gone && !disk->listing &&
           disk->sent < disk->n_changes) {
        size_t n = disk->n_changes - disk->sent;
        said_msg_t *msg;

        if (n > 50)
            n = 50;
        msg = new_msg (SAID_CHANGES, EVENT_CHANGES, n);
        memcpy (msg->items, &disk->changes[disk->sent], n * sizeof msg->items[0]);
        msg->event.u.changes.worker = (uint32_t)w + 1;
        msg->event.u.changes.conn = worker->conn;
        name_disk (w, d, msg->event.u.changes.store);
        msg->event.u.changes.incarnation = disk->incarnation;
        msg->event.u.changes.first_seq = disk->sent + 1;
        msg->event.u.changes.last_seq = disk->n_changes;
        msg->event.u.changes.n = n;
        disk->sent += n;
        say (self, w, msg);
    }
}

/* The next page of a listing; or a question whether it may be sent. A page may be
 * garbled: then the last one is known to have come, and others vanish. */
static void say_page (world_t *self, size_t w, size_t d, bool question)
{
    sim_worker_t *worker = &self->workers[w];
    sim_disk_t *disk = &worker->disks[d];
    said_msg_t *msg = new_msg (SAID_CHANGES, EVENT_CHANGES, LISTING_PAGE);
    event_changes_t *changes = &msg->event.u.changes;
    size_t i = disk->at;

    for (; !question && i < self->n_chunks && changes->n < LISTING_PAGE; i++)
        if (self->chunks[i].stored[w] && self->chunks[i].disk[w] == d)
            msg->items[changes->n++] =
                (core_change_t){CHANGE_STORED, world_key (i), self->chunks[i].birth[w],
                                self->chunks[i].length, 0};
    changes->worker = (uint32_t)w + 1;
    changes->conn = worker->conn;
    name_disk (w, d, changes->store);
    changes->incarnation = disk->incarnation;
    changes->inventory = changes->counted = true;
    changes->inventory_end = !question && i == self->n_chunks;
    changes->page = disk->page;
    changes->first_seq = changes->inventory_end ? disk->stands : disk->page;
    changes->last_seq = disk->n_changes;
    if (question) {
        self->stats.asked++;
        say (self, w, msg);
        return;
    }
    disk->page++;
    disk->at = i;
    if (changes->inventory_end) {
        disk->listing = false;
        disk->sent = disk->acked = disk->acked_before = disk->stands;
        self->stats.listed++;
    }
    if (world_garbles (self)) {
        if (!changes->inventory_end) {
            free (msg);
            return;
        }
        changes->unreadable = true;
    }
    say (self, w, msg);
}

/* All pages that may be sent; what happened meanwhile comes behind the last one. */
static void say_pages (world_t *self, size_t w, size_t d)
{
    sim_disk_t *disk = &self->workers[w].disks[d];

    while (disk->listing && disk->page < disk->given)
        say_page (self, w, d, false);
    if (!disk->listing)
        say_changes (self, w, d);
}

static void say_inventory (world_t *self, size_t w, size_t d)
{
    sim_disk_t *disk = &self->workers[w].disks[d];

    disk->listing = true;
    disk->page = disk->page_before = disk->at = 0;
    disk->stands = disk->n_changes;
    say_pages (self, w, d);
}

/* What no acknowledgement has come for since the last heartbeat is sent once more. */
static void say_again (world_t *self, size_t w)
{
    for (size_t d = 0; d < WORLD_DISKS; d++) {
        sim_disk_t *disk = &self->workers[w].disks[d];

        if (disk->listing) {
            if (disk->page == disk->page_before && disk->page == disk->given)
                say_page (self, w, d, true);
            disk->page_before = disk->page;
            continue;
        }
        if (disk->acked == disk->acked_before && disk->acked < disk->sent &&
            disk->acked >= disk->first) {
            disk->sent = disk->acked;
            self->stats.again_sent++;
            say_changes (self, w, d);
        }
        disk->acked_before = disk->acked;
    }
}

static void acknowledged (world_t *self, const action_ack_t *ack)
{
    sim_worker_t *worker = &self->workers[ack->worker - 1];
    sim_disk_t *disk = &worker->disks[ack->mark.id[1] - 1];

    if (!worker->up || worker->conn != ack->conn ||
        disk->incarnation != ack->mark.incarnation)
        return;
    if (ack->mark.pages > 0) {
        if (disk->listing && ack->mark.pages > disk->given) {
            CHECK (self, ack->mark.pages <= disk->page + LISTING_WINDOW);
            disk->given = ack->mark.pages;
            say_pages (self, (size_t)ack->worker - 1, (size_t)ack->mark.id[1] - 1);
        }
    } else if (ack->mark.seq > disk->acked)
        disk->acked = ack->mark.seq;
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
    if (worker->beat % 2 == 0)
        say_again (self, w);
    msg = new_msg (SAID_BEAT, EVENT_HEARTBEAT, 0);
    msg->event.u.heartbeat.worker = (uint32_t)w + 1;
    msg->event.u.heartbeat.incarnation = worker->process;
    msg->event.u.heartbeat.number = ++worker->beat;
    msg->event.u.heartbeat.capacity = capacity_of (self);
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
        for (size_t d = 0; d < WORLD_DISKS; d++)
            self->workers[w].disks[d].incarnation = 1;
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

/* What was on a disk is not there any more. */
static void empty_disk (world_t *self, size_t w, size_t d)
{
    sim_disk_t *disk = &self->workers[w].disks[d];

    for (size_t i = 0; i < self->n_chunks; i++) {
        sim_chunk_t *chunk = &self->chunks[i];

        if (!chunk->stored[w] || chunk->disk[w] != d)
            continue;
        chunk->stored[w] = false;
        chunk->rotten[w] = 0;
        chunk->robbed++;
        chunk->robbed_at = self->now;
        self->workers[w].used -= chunk->length;
    }
    disk->incarnation++;
    disk->n_changes = disk->first = disk->sent = disk->acked = 0;
    disk->listing = false;
}

void world_up (world_t *self, size_t w, enum world_back how)
{
    sim_worker_t *worker = &self->workers[w];

    if (worker->up)
        return;
    for (size_t d = 0; d < WORLD_DISKS; d++) {
        if (how == BACK_TRIMMED)
            worker->disks[d].first = worker->disks[d].n_changes;
        if (how == BACK_EMPTY) {
            empty_disk (self, w, d);
            worker->disks[d].gone = false;
        }
    }
    begin (self, w);
}

void world_lose_disk (world_t *self, size_t w, size_t d, bool replaced)
{
    sim_worker_t *worker = &self->workers[w];
    size_t left = 0;

    for (size_t k = 0; k < WORLD_DISKS; k++)
        left += k != d && !worker->disks[k].gone;
    if (!worker->up || left == 0)
        return;
    self->stats.disks_lost++;
    empty_disk (self, w, d);
    worker->disks[d].gone = !replaced;
    /* Its process may go on, or start anew. */
    if (rng_below (&self->rng, 2)) {
        world_down (self, w, DOWN_KILLED);
        begin (self, w);
    } else {
        say_hello (self, w);
    }
}

void world_slow (world_t *self, size_t w, uint32_t times)
{
    self->workers[w].slow = times;
}

/* What the disk of W takes MEAN for when it is well. */
static uint64_t disk_time (world_t *self, size_t w, uint64_t mean)
{
    uint32_t slow = self->workers[w].slow;

    return world_delay (self, mean * (slow ? slow : 1));
}

void world_cut_rack (world_t *self, size_t rack, bool cut)
{
    for (size_t w = 0; w < self->config.workers; w++)
        if (self->config.racks > 0 && w % self->config.racks == rack) {
            if (cut)
                world_down (self, w, DOWN_CUT_OFF);
            else
                world_up (self, w, BACK_WHOLE);
        }
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
    if (!chunk->stored[w]) {
        worker->used += in->grant.length;
        chunk->disk[w] = (uint8_t)(in->chunk % WORLD_DISKS);
        if (worker->disks[chunk->disk[w]].gone)
            chunk->disk[w] = (uint8_t)((chunk->disk[w] + 1) % WORLD_DISKS);
    }
    chunk->stored[w] = true;
    chunk->rotten[w] = 0;
    chunk->birth[w] = birth;
    world_say_change (self, w, &change);
}

void world_say_change (world_t *self, size_t w, const core_change_t *change)
{
    size_t d = self->chunks[world_chunk (self, &change->key)].disk[w];
    sim_disk_t *disk = &self->workers[w].disks[d];

    if (disk->n_changes == disk->cap_changes) {
        disk->cap_changes = disk->cap_changes ? 2 * disk->cap_changes : 64;
        disk->changes =
            realloc (disk->changes, disk->cap_changes * sizeof *disk->changes);
    }
    disk->changes[disk->n_changes++] = *change;
    say_changes (self, w, d);
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
        world_at (self, self->now + disk_time (self, w, DISK), take, next);
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
    world_at (self, self->now + disk_time (self, w, DISK), put_away, leaving);
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
            say_inventory (self, telling->worker, d);
        else
            say_changes (self, telling->worker, d);
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
        acknowledged (self, &action->u.ack);
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
            say_hello (self, action->u.close.worker - 1);
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
