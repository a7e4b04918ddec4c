/* SPDX-License-Identifier: MPL-2.0 */
/* What fake workers say: hello, numbered changes, listings by page, heartbeats. */
#include <stdlib.h>
#include <string.h>

#include "t/sim/world_workers.h"

#define LISTING_PAGE   20
#define LISTING_WINDOW 4

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

void worker_say (world_t *self, size_t w, said_msg_t *msg)
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

said_msg_t *worker_msg (enum said what, enum event_type type, size_t n)
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

void worker_hello (world_t *self, size_t w)
{
    sim_worker_t *worker = &self->workers[w];
    said_msg_t *msg = worker_msg (SAID_HELLO, EVENT_WORKER_HELLO, 0);
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
    worker_say (self, w, msg);
}

void worker_changes (world_t *self, size_t w, size_t d)
{
    sim_worker_t *worker = &self->workers[w];
    sim_disk_t *disk = &worker->disks[d];

    while (worker->up && worker->welcomed && !disk->gone && !disk->listing &&
           disk->sent < disk->n_changes) {
        size_t n = disk->n_changes - disk->sent;
        said_msg_t *msg;

        if (n > 50)
            n = 50;
        msg = worker_msg (SAID_CHANGES, EVENT_CHANGES, n);
        memcpy (msg->items, &disk->changes[disk->sent], n * sizeof msg->items[0]);
        msg->event.u.changes.worker = (uint32_t)w + 1;
        msg->event.u.changes.conn = worker->conn;
        name_disk (w, d, msg->event.u.changes.store);
        msg->event.u.changes.incarnation = disk->incarnation;
        msg->event.u.changes.first_seq = disk->sent + 1;
        msg->event.u.changes.last_seq = disk->n_changes;
        msg->event.u.changes.n = n;
        disk->sent += n;
        worker_say (self, w, msg);
    }
}

/* The next page of a listing; or a question whether it may be sent. A page may be
 * garbled: then the last one is known to have come, and others vanish. */
static void say_page (world_t *self, size_t w, size_t d, bool question)
{
    sim_worker_t *worker = &self->workers[w];
    sim_disk_t *disk = &worker->disks[d];
    said_msg_t *msg = worker_msg (SAID_CHANGES, EVENT_CHANGES, LISTING_PAGE);
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
        worker_say (self, w, msg);
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
    worker_say (self, w, msg);
}

/* All pages that may be sent; what happened meanwhile comes behind the last one. */
static void say_pages (world_t *self, size_t w, size_t d)
{
    sim_disk_t *disk = &self->workers[w].disks[d];

    while (disk->listing && disk->page < disk->given)
        say_page (self, w, d, false);
    if (!disk->listing)
        worker_changes (self, w, d);
}

void worker_list (world_t *self, size_t w, size_t d)
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
            worker_changes (self, w, d);
        }
        disk->acked_before = disk->acked;
    }
}

void worker_acknowledged (world_t *self, const action_ack_t *ack)
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
    msg = worker_msg (SAID_BEAT, EVENT_HEARTBEAT, 0);
    msg->event.u.heartbeat.worker = (uint32_t)w + 1;
    msg->event.u.heartbeat.incarnation = worker->process;
    msg->event.u.heartbeat.number = ++worker->beat;
    msg->event.u.heartbeat.capacity = capacity_of (self);
    msg->event.u.heartbeat.used = worker->used;
    msg->event.u.heartbeat.condition = worker->full ? CONDITION_FULL : CONDITION_OK;
    worker_say (self, w, msg);
}

void worker_begin (world_t *self, size_t w)
{
    sim_worker_t *worker = &self->workers[w];
    beat_arg_t *arg = malloc (sizeof *arg);

    worker->up = true;
    worker->frozen = worker->killed = false;
    worker->process = rng_next (&self->rng) | 1;
    worker_hello (self, w);
    *arg = (beat_arg_t){w, worker->process};
    world_at (self, self->now + rng_below (&self->rng, 500 * MS), beat, arg);
}

void world_workers_greet (world_t *self)
{
    for (size_t w = 0; w < self->config.workers; w++)
        if (self->workers[w].up)
            worker_hello (self, w);
}

void world_workers_start (world_t *self)
{
    for (size_t w = 0; w < self->config.workers; w++) {
        for (size_t d = 0; d < WORLD_DISKS; d++)
            self->workers[w].disks[d].incarnation = 1;
        worker_begin (self, w);
    }
}
