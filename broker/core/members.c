/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/members.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/members_private.h"

#define SPARE_MIN  (64 * MIB) /* room that a worker must have to get new chunks */
#define READING    (1 * MIB)  /* a large file's reader asks for more than that ahead */
#define GAPS_MOST  8
#define BEHIND_AGO (60 * SEC) /* without anything of it that could be used */

static bool match_worker (const void *entry, const void *key)
{
    return ((const worker_t *)entry)->member.id == *(const uint32_t *)key;
}

static bool match_asked (const void *entry, const void *key)
{
    return ((const asked_t *)entry)->token == *(const uint64_t *)key;
}

members_t *members_new (core_t *core)
{
    members_t *self = core_zalloc (sizeof *self);

    self->by_id = table_new (match_worker);
    self->marks = table_new (match_asked);
    core_timer (core, core->now + core->config.heartbeat_ns, TIMER_ANNOUNCE, 0);
    return self;
}

void members_destroy (members_t **self_p)
{
    members_t *self = *self_p;
    size_t cursor = 0;
    asked_t *asked;

    if (!self)
        return;
    for (size_t i = 0; i < self->n_all; i++)
        free (self->all[i]);
    while ((asked = table_next (self->marks, &cursor)))
        free (asked);
    table_destroy (&self->by_id);
    table_destroy (&self->marks);
    free (self->all);
    free (self->placeable);
    free (self);
    *self_p = NULL;
}

/* --- questions --- */

worker_t *members_find (const core_t *core, uint32_t id)
{
    return table_get (core->members->by_id, table_hash (id), &id);
}

bool worker_live (const worker_t *worker)
{
    return worker->state == WORKER_UP || worker->state == WORKER_DRAINING;
}

bool worker_unsure (const worker_t *worker)
{
    return worker->state == WORKER_SUSPECT || worker->state == WORKER_JOINING;
}

bool worker_there (const worker_t *worker)
{
    return worker_live (worker) || (worker_unsure (worker) && worker->seen);
}

bool worker_steady (const worker_t *worker)
{
    return worker && worker_live (worker) && worker->told && worker_stays (worker);
}

bool worker_stays (const worker_t *worker)
{
    return (worker_live (worker) || worker_unsure (worker)) &&
           !worker->member.draining && worker->beat.condition != CONDITION_FAILING;
}

bool worker_caught_up (const worker_t *worker)
{
    if (!worker->said_hello)
        return false;
    for (size_t i = 0; i < worker->n_stores; i++) {
        const store_state_t *store = &worker->stores[i];

        if (!store->known || store->inventory || store->listing ||
            store->mark < store->goal)
            return false;
    }
    return true;
}

void worker_look_told (core_t *core, worker_t *worker)
{
    if (worker->told || !worker->welcomed)
        return;
    for (size_t i = 0; i < worker->n_stores; i++) {
        const store_state_t *store = &worker->stores[i];

        if (!store->known || store->listing || store->sent < store->goal)
            return;
    }
    worker->told = worker->known = true;
    core_worker_changed (core, worker, worker->state);
}

/* What it announced and has not told yet may be that copies are gone. */
void worker_must_tell (worker_t *worker)
{
    for (size_t i = 0; i < worker->n_stores; i++) {
        store_state_t *store = &worker->stores[i];

        if (store->goal < store->store.last_seq)
            store->goal = store->store.last_seq;
        if (store->sent < store->goal)
            worker->told = false;
    }
}

/* Who is away when a term begins has to tell when it is back, on whatever connection.
 */
static void term_begins (worker_t *worker)
{
    worker->told = worker->told && worker_live (worker);
    worker_must_tell (worker);
    worker->known = worker->told;
}

void members_term (core_t *core)
{
    const members_t *self = core->members;

    for (size_t i = 0; i < self->n_all; i++)
        term_begins (self->all[i]);
}

bool members_all_known (const core_t *core)
{
    const members_t *self = core->members;

    for (size_t i = 0; i < self->n_all; i++)
        if (!self->all[i]->known ||
            (worker_live (self->all[i]) && !worker_caught_up (self->all[i])))
            return false;
    return self->n_all > 0;
}

bool worker_behind (const core_t *core, const worker_t *worker)
{
    if (worker_caught_up (worker))
        return false;
    for (size_t i = 0; i < worker->n_stores; i++) {
        const store_state_t *store = &worker->stores[i];

        if (store->gaps >= GAPS_MOST || core->now > store->moved + BEHIND_AGO)
            return true;
    }
    return false;
}

bool members_caught_up (const core_t *core)
{
    const members_t *self = core->members;

    for (size_t i = 0; i < self->n_all; i++)
        if (self->all[i]->state != WORKER_DEAD && !worker_caught_up (self->all[i]) &&
            !worker_behind (core, self->all[i]))
            return false;
    return self->n_all > 0;
}

uint64_t worker_free (const worker_t *worker)
{
    uint64_t used = worker->beat.used + worker->granted;

    return worker->beat.capacity > used ? worker->beat.capacity - used : 0;
}

uint64_t worker_sending (const worker_t *worker)
{
    return worker->beat.stream_queued + worker->ordered;
}

bool worker_read_from (const worker_t *worker)
{
    return worker_sending (worker) >= READING;
}

worker_t *const *members_all (const core_t *core, size_t *n)
{
    *n = core->members->n_all;
    return core->members->all;
}

size_t members_in_state (const core_t *core, enum worker_state state)
{
    return core->members->in_state[state];
}

size_t members_unsure (const core_t *core)
{
    return core->members->in_state[WORKER_SUSPECT] +
           core->members->in_state[WORKER_JOINING];
}

bool members_may_return (const core_t *core)
{
    return members_unsure (core) > 0 || core->members->n_damped > 0;
}

size_t members_drained (const core_t *core)
{
    return core->members->n_drained;
}

uint64_t members_directory (const core_t *core)
{
    return core->members->directory;
}

/* --- who takes new chunks --- */

static bool takes_new (const core_t *core, const worker_t *worker)
{
    uint64_t spare = worker->beat.capacity / 64;

    if (spare > SPARE_MIN)
        spare = SPARE_MIN;
    return worker->state == WORKER_UP && worker->condition == CONDITION_OK &&
           core->now >= worker->damped_until &&
           worker->beat.capacity > worker->beat.used + spare;
}

bool members_update_placeable (core_t *core, worker_t *worker)
{
    members_t *self = core->members;
    bool should = takes_new (core, worker);
    bool damped = worker->state == WORKER_UP && core->now < worker->damped_until;

    self->n_damped += damped;
    self->n_damped -= worker->damped;
    worker->damped = damped;
    if (worker->takes == should)
        return false;
    if (should)
        takers_add (core, worker);
    else
        takers_remove (core, worker);
    return true;
}

void members_set_location (core_t *core, worker_t *worker)
{
    bool takes = worker->takes;

    core->members->levels_stale = true;
    if (takes)
        takers_remove (core, worker);
    worker->path = domains_path (core->domains, worker->member.location);
    if (takes)
        takers_add (core, worker);
}

void members_condition (core_t *core, worker_t *worker, int condition)
{
    if (worker->condition != condition)
        core_log (core, LOG_WARN, "worker_condition", "node=%s condition=%s",
                  worker->member.name, worker_condition_name (condition));
    worker->condition = condition;
    if (members_update_placeable (core, worker))
        core_worker_changed (core, worker, worker->state);
}

void members_forget_work (core_t *core)
{
    const members_t *self = core->members;

    for (size_t i = 0; i < self->n_all; i++) {
        worker_t *worker = self->all[i];

        list_init (&worker->slots);
        list_init (&worker->orders);
        list_init (&worker->sources);
        worker->granted = worker->ordered = worker->copying_bytes = 0;
        worker->copying_from = worker->copying_to = 0;
        worker->looked_through = false;
        worker->leaving = 0;
    }
}

/* --- membership --- */

static worker_t *add_worker (core_t *core, const core_member_t *member)
{
    members_t *self = core->members;
    worker_t *worker = core_zalloc (sizeof *worker);
    void *data = self->all;

    worker->member = *member;
    worker->state = WORKER_JOINING;
    worker->since = core->now;
    list_init (&worker->slots);
    list_init (&worker->orders);
    list_init (&worker->sources);
    core_grow (&data, &self->cap_all, self->n_all, sizeof (worker_t *));
    self->all = data;
    self->all[self->n_all++] = worker;
    self->in_state[worker->state]++;
    table_put (self->by_id, table_hash (member->id), worker);
    return worker;
}

static void remove_worker (core_t *core, worker_t *worker)
{
    members_t *self = core->members;
    uint32_t id = worker->member.id;

    self->levels_stale = true;

    if (worker->conn != 0) {
        members_close (core, id, worker->conn);
        worker->conn = 0;
    }
    members_set_state (core, worker, WORKER_REMOVED);
    self->in_state[WORKER_REMOVED]--;
    self->n_drained -= worker->member.draining;
    table_remove (self->by_id, table_hash (id), &id);
    for (size_t i = 0; i < self->n_all; i++)
        if (self->all[i] == worker) {
            self->all[i] = self->all[--self->n_all];
            break;
        }
    assert (list_empty (&worker->slots) && list_empty (&worker->orders) &&
            list_empty (&worker->sources));
    free (worker);
}

static bool same_member (const core_member_t *a, const core_member_t *b)
{
    return strcmp (a->name, b->name) == 0 && strcmp (a->host, b->host) == 0 &&
           strcmp (a->location, b->location) == 0 && a->port == b->port &&
           memcmp (a->key, b->key, sizeof a->key) == 0 && a->removed == b->removed &&
           a->draining == b->draining;
}

void members_member (core_t *core, const core_member_t *member)
{
    worker_t *worker = members_find (core, member->id);
    core_member_t next = *member;

    if (member->removed && !worker)
        return;
    /* What the running process says of its address is younger than the record. */
    if (worker && worker->conn != 0) {
        memcpy (next.host, worker->member.host, sizeof next.host);
        next.port = worker->member.port;
        if (worker->placed)
            memcpy (next.location, worker->member.location, sizeof next.location);
    }
    /* The whole directory is told whenever any of it changed. */
    if (worker && same_member (&worker->member, &next))
        return;
    core->members->directory++;
    core->members->directory_changed = true;
    if (member->removed) {
        remove_worker (core, worker);
        return;
    }
    if (!worker)
        worker = add_worker (core, member);
    else
        core->members->n_drained -= worker->member.draining;
    core->members->n_drained += next.draining;
    worker->member = next;
    members_set_location (core, worker);
    if (worker->state == WORKER_DRAINING && !member->draining)
        members_set_state (core, worker, WORKER_UP);
    else if (worker->state == WORKER_UP && member->draining)
        members_set_state (core, worker, WORKER_DRAINING);
    members_set_timer (core, worker);
}
