/* SPDX-License-Identifier: MPL-2.0 */
#include "t/unit/core_cluster.h"

#include <stdio.h>
#include <string.h>

static uint64_t sequences[65];

const action_t *cluster_action (const cluster_core_t *self, enum action_type type,
                                size_t i)
{
    for (size_t k = 0; k < actions_count (self->actions); k++)
        if (actions_at (self->actions, k)->type == type && i-- == 0)
            return actions_at (self->actions, k);
    return NULL;
}

size_t cluster_count (const cluster_core_t *self, enum action_type type)
{
    size_t n = 0;

    while (cluster_action (self, type, n))
        n++;
    return n;
}

const action_t *cluster_want (const cluster_core_t *self, enum action_type type)
{
    const action_t *action = cluster_action (self, type, 0);

    if (!action)
        print_error ("no action of type %d\n", (int)type);
    assert_non_null (action);
    return action;
}

static void quiet_step (cluster_core_t *self, event_t event)
{
    const action_t *scan;

    event.now = self->now;
    event.log_time = 1000000 * SEC + self->now;
    event.log_index = self->index;
    core_step (self->core, &event, self->actions);
    for (size_t i = 0; (scan = cluster_action (self, ACTION_SCAN_WORKER, i)); i++)
        self->scan = scan->u.scan;
}

void cluster_step (cluster_core_t *self, event_t event)
{
    actions_reset (self->actions);
    quiet_step (self, event);
}

static event_t beat_event (uint32_t id)
{
    event_t event = {.type = EVENT_HEARTBEAT};

    event.u.heartbeat.worker = id;
    event.u.heartbeat.incarnation = id + 1000;
    event.u.heartbeat.capacity = 100 * GIB;
    return event;
}

void cluster_pass (cluster_core_t *self, uint64_t after, uint64_t alive)
{
    uint64_t end = self->now + after, beat = self->now;

    actions_reset (self->actions);
    for (;;) {
        uint64_t wake = core_wake (self->core);

        if (wake < self->now)
            wake = self->now;
        if (beat > end && wake > end)
            break;
        if (beat <= wake) {
            self->now = beat;
            for (uint32_t id = 1; id <= self->workers; id++)
                if (alive >> id & 1)
                    quiet_step (self, beat_event (id));
            beat += 500 * MS;
        } else {
            self->now = wake;
            quiet_step (self, (event_t){.type = EVENT_TICK});
        }
    }
    self->now = end;
}

void cluster_member (cluster_core_t *self, uint32_t id, const char *location,
                     bool draining, bool removed)
{
    event_t event = {.type = EVENT_MEMBER};
    core_member_t *member = &event.u.member;

    member->id = id;
    snprintf (member->name, sizeof member->name, "w%u", id);
    snprintf (member->host, sizeof member->host, "host%u", id);
    if (location)
        snprintf (member->location, sizeof member->location, "%s", location);
    else
        snprintf (member->location, sizeof member->location, "local/w%u", id);
    member->port = 7000 + id;
    member->draining = draining;
    member->removed = removed;
    cluster_step (self, event);
}

void cluster_hello (cluster_core_t *self, uint32_t id, uint64_t conn, uint64_t process,
                    uint64_t capacity)
{
    core_store_t store = {.incarnation = 1, .capacity = capacity};
    event_t event = {.type = EVENT_WORKER_HELLO};

    store.id[0] = (uint8_t)id;
    store.last_seq = sequences[id];
    event.u.hello.worker = id;
    event.u.hello.conn = conn;
    event.u.hello.incarnation = process;
    event.u.hello.stores = &store;
    event.u.hello.n_stores = 1;
    cluster_step (self, event);
}

void cluster_join (cluster_core_t *self, uint32_t id, uint64_t capacity)
{
    core_mark_t mark = {.incarnation = 1, .seq = sequences[id]};
    event_t event = {.type = EVENT_MARKS_FOUND};

    cluster_hello (self, id, id, id + 1000, capacity ? capacity : 100 * GIB);
    event.u.marks.token = cluster_want (self, ACTION_LOOKUP_MARKS)->u.marks.token;
    event.u.marks.marks = &mark;
    event.u.marks.n = 1;
    cluster_step (self, event);
}

void cluster_beat (cluster_core_t *self, uint32_t id, int condition, uint64_t used,
                   uint64_t queued)
{
    event_t event = beat_event (id);

    event.u.heartbeat.condition = condition;
    event.u.heartbeat.used = used;
    event.u.heartbeat.stream_queued = queued;
    cluster_step (self, event);
}

void cluster_closed (cluster_core_t *self, uint32_t id)
{
    cluster_step (self, (event_t){.type = EVENT_WORKER_CLOSED, .u.worker = {id, id}});
}

int cluster_state (const cluster_core_t *self, uint32_t id)
{
    return core_worker_state (self->core, id, NULL);
}

void cluster_make (cluster_core_t *self, const core_config_t *config, size_t n,
                   uint32_t replicas, uint32_t min, const char *const *locations)
{
    core_config_t mine = config ? *config : (core_config_t){.seed = 1};
    event_t event = {.type = EVENT_POLICY, .u.policy = {1, replicas, min}};

    memset (self, 0, sizeof *self);
    memset (sequences, 0, sizeof sequences);
    self->now = mine.now = SEC;
    self->index = 100;
    self->workers = n;
    self->core = core_new (&mine);
    self->actions = actions_new ();
    cluster_step (self, event);
    cluster_step (self, (event_t){.type = EVENT_ROLE, .u.role = {true, 3, 9}});
    for (uint32_t id = 1; id <= n; id++)
        cluster_member (self, id, locations ? locations[id - 1] : NULL, false, false);
    for (uint32_t id = 1; id <= n; id++)
        cluster_join (self, id, 0);
    cluster_scanned (self);
    cluster_step (self, (event_t){.type = EVENT_SESSION_OPEN, .u.session = {.id = 1}});
}

void cluster_scanned (cluster_core_t *self)
{
    event_t event = {.type = EVENT_SCANNED};

    event.u.scanned.token = self->scan.token;
    cluster_step (self, event);
}

void cluster_free (cluster_core_t *self)
{
    core_destroy (&self->core);
    actions_destroy (&self->actions);
}

copykey_t cluster_key (uint64_t number)
{
    copykey_t key = {0};

    for (int i = 0; i < 8; i++)
        key.digest[i] = (uint8_t)(number * 0x9e3779b97f4a7c15ULL >> (8 * i));
    return key;
}

void cluster_place (cluster_core_t *self, uint64_t seq, uint64_t number,
                    uint64_t length, uint32_t avoid)
{
    event_place_item_t item = {
        .key = cluster_key (number), .length = length, .avoid = &avoid};
    event_t event = {.type = EVENT_PLACE, .u.place = {1, seq, 7, 0, &item, 1}};

    item.n_avoid = avoid ? 1 : 0;
    cluster_step (self, event);
}

void cluster_found (cluster_core_t *self, uint64_t token, uint64_t number,
                    uint64_t length, uint64_t refs, uint64_t copies, uint64_t condemned)
{
    core_chunk_t chunk = {.key = cluster_key (number),
                          .refs = refs,
                          .length = length,
                          .replicas = refs ? 2 : 0,
                          .condemned = condemned};
    event_t event = {.type = EVENT_CHUNKS_FOUND,
                     .u.chunks = {token, DFS_OK, &chunk, 1}};

    for (uint32_t id = 1; id < 64; id++)
        if (copies >> id & 1)
            chunk.copies[chunk.n_copies++] = (core_copy_t){id, 50, false};
    cluster_step (self, event);
}

const core_placed_t *cluster_put (cluster_core_t *self, uint64_t number,
                                  uint64_t length)
{
    const action_placed_t *placed;

    cluster_place (self, number, number, length, 0);
    cluster_found (self, cluster_want (self, ACTION_LOOKUP_CHUNKS)->u.chunks.token,
                   number, length, 0, 0, 0);
    placed = &cluster_want (self, ACTION_PLACED)->u.placed;
    assert_int_equal (placed->n, 1);
    assert_true (placed->last);
    assert_int_equal (placed->seq, number);
    return &placed->items[0];
}

void cluster_change (cluster_core_t *self, uint32_t worker, int kind, uint64_t number,
                     uint64_t length)
{
    core_change_t change = {kind, cluster_key (number), self->index, length, 7};
    event_t event = {.type = EVENT_CHANGES};

    event.u.changes.worker = worker;
    event.u.changes.conn = worker;
    event.u.changes.store[0] = (uint8_t)worker;
    event.u.changes.incarnation = 1;
    event.u.changes.first_seq = ++sequences[worker];
    event.u.changes.items = &change;
    event.u.changes.n = 1;
    cluster_step (self, event);
}
