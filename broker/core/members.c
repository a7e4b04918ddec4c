/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/members.h"

#include "broker/core/changes.h"
#include "broker/core/scan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_EVERY  (200 * MS)
#define FLAP_WINDOW  (60 * SEC)
#define FLAP_FREE    2 /* times in a window that cost nothing */
#define FLAP_PENALTY (2 * SEC)
#define FLAP_LONGEST (60 * SEC)
#define SPARE_MIN    (64 * MIB) /* room that a worker must have to get new chunks */

struct members {
    table_t *by_id;
    worker_t **all;
    size_t n_all;
    size_t cap_all;
    worker_t **placeable;
    size_t n_placeable;
    size_t cap_placeable;
    size_t in_state[WORKER_REMOVED + 1];
    table_t *marks; /* token -> asked */
    uint64_t directory;
    bool directory_changed;
    bool announce;
    uint64_t announcement;
};

/* A hello whose marks are being looked up. */
typedef struct asked {
    uint64_t token;
    uint32_t worker;
    uint64_t conn;
} asked_t;

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

/* ---- questions ----------------------------------------------------------------------
 */

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

bool worker_caught_up (const worker_t *worker)
{
    if (!worker->said_hello)
        return false;
    for (size_t i = 0; i < worker->n_stores; i++) {
        const store_state_t *store = &worker->stores[i];

        if (!store->known || store->inventory || store->mark < store->goal)
            return false;
    }
    return true;
}

uint64_t worker_free (const worker_t *worker)
{
    uint64_t used = worker->beat.used + worker->granted;

    return worker->beat.capacity > used ? worker->beat.capacity - used : 0;
}

worker_t *const *members_all (const core_t *core, size_t *n)
{
    *n = core->members->n_all;
    return core->members->all;
}

worker_t *const *members_placeable (const core_t *core, size_t *n)
{
    *n = core->members->n_placeable;
    return core->members->placeable;
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

uint64_t members_directory (const core_t *core)
{
    return core->members->directory;
}

core_address_t members_address (core_t *core, const worker_t *worker)
{
    const core_member_t *member = &worker->member;
    core_address_t address = {
        .id = member->id,
        .name = actions_dup (core->out, member->name, strlen (member->name) + 1),
        .host = actions_dup (core->out, member->host, strlen (member->host) + 1),
        .location =
            actions_dup (core->out, member->location, strlen (member->location) + 1),
        .port = member->port,
        .state = worker->state,
    };

    memcpy (address.key, member->key, sizeof address.key);
    return address;
}

/* A failure domain is a whole location path. It vanished when every worker in it is
 * dead and the last one died after SINCE. Called on deaths only. */
void members_vanished (const core_t *core, uint64_t since, size_t *gone, size_t *all)
{
    enum { NONE, QUIET, LATE, ALIVE };
    const members_t *self = core->members;
    uint32_t limit = domains_limit (core->domains);
    uint8_t *seen = core_zalloc (limit);

    *all = *gone = 0;
    for (size_t i = 0; i < self->n_all; i++) {
        const worker_t *worker = self->all[i];
        uint32_t depth = worker->path.depth;
        uint8_t *at = &seen[depth > 0 ? worker->path.nodes[depth - 1] : 0];
        uint8_t is = worker->state != WORKER_DEAD ? ALIVE
                     : worker->since >= since     ? LATE
                                                  : QUIET;

        if (*at < is)
            *at = is;
    }
    for (uint32_t i = 0; i < limit; i++) {
        *all += seen[i] != NONE;
        *gone += seen[i] == LATE;
    }
    free (seen);
}

/* ---- who takes new chunks -----------------------------------------------------------
 */

static bool takes_new (const core_t *core, const worker_t *worker)
{
    uint64_t spare = worker->beat.capacity / 64;

    if (spare > SPARE_MIN)
        spare = SPARE_MIN;
    return worker->state == WORKER_UP && worker->condition == CONDITION_OK &&
           core->now >= worker->damped_until &&
           worker->beat.capacity > worker->beat.used + spare;
}

static void update_placeable (core_t *core, worker_t *worker)
{
    members_t *self = core->members;
    bool is = worker->place_pos != SIZE_MAX;
    bool should = takes_new (core, worker);

    if (is == should)
        return;
    if (should) {
        void *data = self->placeable;

        core_grow (&data, &self->cap_placeable, self->n_placeable, sizeof (worker_t *));
        self->placeable = data;
        worker->place_pos = self->n_placeable;
        self->placeable[self->n_placeable++] = worker;
        domains_count (core->domains, &worker->path, 1);
    } else {
        worker_t *last = self->placeable[--self->n_placeable];

        self->placeable[worker->place_pos] = last;
        last->place_pos = worker->place_pos;
        worker->place_pos = SIZE_MAX;
        domains_count (core->domains, &worker->path, -1);
    }
}

/* The domains count those that take new chunks: never change a path but here. */
static void set_location (core_t *core, worker_t *worker)
{
    bool counted = worker->place_pos != SIZE_MAX;

    if (counted)
        domains_count (core->domains, &worker->path, -1);
    worker->path = domains_path (core->domains, worker->member.location);
    if (counted)
        domains_count (core->domains, &worker->path, 1);
}

void members_condition (core_t *core, worker_t *worker, int condition)
{
    bool was = worker->place_pos != SIZE_MAX;

    if (worker->condition != condition)
        core_log (core, LOG_WARN, "worker_condition", "node=%s condition=%s",
                  worker->member.name, worker_condition_name (condition));
    worker->condition = condition;
    update_placeable (core, worker);
    if (was != (worker->place_pos != SIZE_MAX))
        core_worker_changed (core, worker, worker->state);
}

/* ---- states -------------------------------------------------------------------------
 */

/* When silence or a probe has to be looked at next. */
static uint64_t next_look (const core_t *core, const worker_t *worker)
{
    const core_config_t *config = &core->config;
    uint64_t interval =
        worker->beat.interval_ns > 0 ? worker->beat.interval_ns : config->heartbeat_ns;
    uint64_t next;

    switch (worker->state) {
    case WORKER_UP:
    case WORKER_DRAINING:
        next = worker->heard + 2 * interval + interval / 4 + 1;
        if (worker->damped_until > core->now && worker->damped_until < next)
            next = worker->damped_until;
        return next;
    case WORKER_JOINING:
    case WORKER_SUSPECT:
        next = worker->state == WORKER_JOINING
                   ? worker->since + 2 * config->heartbeat_timeout_ns
                   : worker->heard + config->heartbeat_timeout_ns;
        if (worker->state == WORKER_SUSPECT && worker->conn == 0 &&
            worker->probe == 0 && worker->probe_next < next)
            next = worker->probe_next;
        return next;
    default:
        return UINT64_MAX;
    }
}

static void set_timer (core_t *core, worker_t *worker)
{
    uint64_t next = next_look (core, worker);

    if (next == UINT64_MAX)
        return;
    if (next <= core->now)
        next = core->now + 1;
    /* A later deadline is found when the earlier one runs out. */
    if (worker->timer > core->now && worker->timer <= next)
        return;
    worker->timer = next;
    core_timer (core, next, TIMER_WORKER, worker->member.id);
}

static void set_state (core_t *core, worker_t *worker, int state)
{
    members_t *self = core->members;
    int before = worker->state;

    if (state == WORKER_UP && worker->member.draining)
        state = WORKER_DRAINING;
    if (state == before)
        return;
    self->in_state[before]--;
    self->in_state[state]++;
    worker->state = state;
    worker->since = core->now;
    self->directory++;
    self->directory_changed = true;
    if (before == WORKER_DEAD || state == WORKER_DEAD)
        self->announce = true;
    core_log (core, state == WORKER_DEAD ? LOG_WARN : LOG_INFO, "worker_state",
              "node=%s state=%s before=%s", worker->member.name,
              worker_state_name (state), worker_state_name (before));
    if (state == WORKER_SUSPECT) {
        worker->refused_since = 0;
        worker->probe_next = core->now;
        worker->flap_at = core->now;
        worker->flaps++;
    } else if (worker_live (worker)) {
        worker->probe = 0;
        if (worker->flaps > FLAP_FREE) {
            uint64_t wait = FLAP_PENALTY << (worker->flaps - FLAP_FREE - 1 > 5
                                                 ? 5
                                                 : worker->flaps - FLAP_FREE - 1);

            worker->damped_until =
                core->now + (wait < FLAP_LONGEST ? wait : FLAP_LONGEST);
            core_log (core, LOG_WARN, "worker_flaps", "node=%s times=%u",
                      worker->member.name, worker->flaps);
        }
    }
    update_placeable (core, worker);
    set_timer (core, worker);
    core_worker_changed (core, worker, before);
}

static void send_probe (core_t *core, worker_t *worker)
{
    action_t *action = actions_add (core->out, ACTION_PROBE);
    const core_member_t *member = &worker->member;

    worker->probe = core_id (core);
    worker->probe_next = core->now + PROBE_EVERY;
    action->u.probe.worker = member->id;
    action->u.probe.probe = worker->probe;
    action->u.probe.host =
        actions_dup (core->out, member->host, strlen (member->host) + 1);
    action->u.probe.port = member->port;
    action->u.probe.timeout_ns = core->config.probe_ns / 2;
}

void members_timer (core_t *core, uint32_t id)
{
    worker_t *worker = members_find (core, id);
    const core_config_t *config = &core->config;

    if (!worker || worker->timer > core->now)
        return;
    worker->timer = 0;
    if (core->now >= worker->damped_until && worker->place_pos == SIZE_MAX &&
        takes_new (core, worker)) {
        update_placeable (core, worker);
        core_worker_changed (core, worker, worker->state);
    }
    switch (worker->state) {
    case WORKER_UP:
    case WORKER_DRAINING: {
        uint64_t interval = worker->beat.interval_ns > 0 ? worker->beat.interval_ns
                                                         : config->heartbeat_ns;

        if (core->now > worker->heard + 2 * interval + interval / 4)
            set_state (core, worker, WORKER_SUSPECT);
        break;
    }
    case WORKER_JOINING:
        if (core->now >= worker->since + 2 * config->heartbeat_timeout_ns)
            set_state (core, worker, WORKER_DEAD);
        break;
    case WORKER_SUSPECT:
        if (core->now >= worker->heard + config->heartbeat_timeout_ns)
            set_state (core, worker, WORKER_DEAD);
        else if (worker->conn == 0 && worker->probe == 0 &&
                 core->now >= worker->probe_next)
            send_probe (core, worker);
        break;
    default:
        break;
    }
    set_timer (core, worker);
}

void members_probe (core_t *core, const event_probe_t *probe)
{
    worker_t *worker = members_find (core, probe->worker);

    if (!worker || worker->probe == 0 || worker->probe != probe->probe)
        return;
    worker->probe = 0;
    if (worker->state != WORKER_SUSPECT || worker->conn != 0)
        return;
    if (probe->outcome != PROBE_REFUSED)
        worker->refused_since = 0;
    else if (worker->refused_since == 0)
        /* A connection that closed counts as the first refusal. */
        worker->refused_since = worker->since;
    if (worker->refused_since > 0 &&
        core->now >= worker->refused_since + core->config.probe_ns)
        set_state (core, worker, WORKER_DEAD);
    else
        set_timer (core, worker);
}

/* A sign of life: brings back who is welcome on a connection that stands. */
static void heard (core_t *core, worker_t *worker)
{
    worker->heard = core->now;
    if (worker->flaps > 0 && core->now > worker->flap_at + FLAP_WINDOW) {
        worker->flaps /= 2;
        worker->flap_at = core->now;
    }
    if (worker->welcomed && worker->conn != 0 && !worker_live (worker))
        set_state (core, worker, WORKER_UP);
}

void members_heard (core_t *core, uint32_t id)
{
    worker_t *worker = members_find (core, id);

    if (worker)
        heard (core, worker);
}

void members_heartbeat (core_t *core, const event_heartbeat_t *beat)
{
    worker_t *worker = members_find (core, beat->worker);

    if (!worker ||
        (worker->incarnation != 0 && beat->incarnation != worker->incarnation))
        return;
    worker->beat = *beat;
    worker->beat.stores = NULL;
    worker->beat.n_stores = 0;
    worker->beaten = true;
    worker->ordered = 0;
    for (size_t i = 0; i < beat->n_stores && beat->stores; i++)
        for (size_t k = 0; k < worker->n_stores; k++) {
            core_store_t *store = &worker->stores[k].store;

            if (memcmp (store->id, beat->stores[i].id, sizeof store->id) == 0 &&
                store->incarnation == beat->stores[i].incarnation &&
                store->last_seq < beat->stores[i].last_seq)
                store->last_seq = beat->stores[i].last_seq;
        }
    heard (core, worker);
    members_condition (core, worker, beat->condition);
}

/* ---- membership ---------------------------------------------------------------------
 */

static void copy_text (char *to, size_t cap, const char *from)
{
    snprintf (to, cap, "%s", from);
}

static worker_t *add_worker (core_t *core, const core_member_t *member)
{
    members_t *self = core->members;
    worker_t *worker = core_zalloc (sizeof *worker);
    void *data = self->all;

    worker->member = *member;
    worker->state = WORKER_JOINING;
    worker->since = core->now;
    worker->place_pos = SIZE_MAX;
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

    if (worker->conn != 0) {
        action_t *action = actions_add (core->out, ACTION_CLOSE);

        action->u.close.worker = id;
        action->u.close.conn = worker->conn;
        worker->conn = 0;
    }
    set_state (core, worker, WORKER_REMOVED);
    self->in_state[WORKER_REMOVED]--;
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

void members_member (core_t *core, const core_member_t *member)
{
    worker_t *worker = members_find (core, member->id);

    core->members->directory++;
    core->members->directory_changed = true;
    if (member->removed) {
        if (worker)
            remove_worker (core, worker);
        return;
    }
    if (!worker) {
        worker = add_worker (core, member);
    } else if (worker->conn != 0) {
        /* What the running process says of its address is younger than the record. */
        core_member_t old = worker->member;

        worker->member = *member;
        copy_text (worker->member.host, sizeof worker->member.host, old.host);
        worker->member.port = old.port;
    } else {
        worker->member = *member;
    }
    set_location (core, worker);
    if (worker->state == WORKER_DRAINING && !member->draining)
        set_state (core, worker, WORKER_UP);
    else if (worker->state == WORKER_UP && member->draining)
        set_state (core, worker, WORKER_DRAINING);
    set_timer (core, worker);
}

void members_closed (core_t *core, uint32_t id, uint64_t conn)
{
    worker_t *worker = members_find (core, id);

    if (!worker || worker->conn != conn)
        return;
    worker->conn = 0;
    worker->welcomed = false;
    if (worker_live (worker))
        set_state (core, worker, WORKER_SUSPECT);
    if (worker->state == WORKER_SUSPECT && worker->probe == 0)
        send_probe (core, worker);
    set_timer (core, worker);
}

static void close_conn (core_t *core, uint32_t id, uint64_t conn)
{
    action_t *action = actions_add (core->out, ACTION_CLOSE);

    action->u.close.worker = id;
    action->u.close.conn = conn;
}

/* A store that it had at its last hello is not there, or has lost its content. */
static bool lost_store (const worker_t *worker, const event_hello_t *hello)
{
    for (size_t i = 0; i < worker->n_stores; i++) {
        const core_store_t *old = &worker->stores[i].store;
        size_t k = 0;

        while (k < hello->n_stores &&
               (memcmp (old->id, hello->stores[k].id, sizeof old->id) != 0 ||
                old->incarnation != hello->stores[k].incarnation))
            k++;
        if (k == hello->n_stores)
            return true;
    }
    return false;
}

void members_hello (core_t *core, const event_hello_t *hello)
{
    members_t *self = core->members;
    worker_t *worker = members_find (core, hello->worker);
    action_t *action;
    asked_t *asked;

    if (!worker || hello->n_stores > CORE_STORES) {
        close_conn (core, hello->worker, hello->conn);
        return;
    }
    if (worker->conn != 0 && worker->conn != hello->conn)
        close_conn (core, hello->worker, worker->conn);
    /* A new process has forgotten its grants and streams. */
    if (worker->incarnation != 0 && worker->incarnation != hello->incarnation &&
        worker_live (worker))
        set_state (core, worker, WORKER_SUSPECT);
    worker->conn = hello->conn;
    worker->welcomed = false;
    worker->incarnation = hello->incarnation;
    if (hello->host)
        copy_text (worker->member.host, sizeof worker->member.host, hello->host);
    if (hello->port > 0)
        worker->member.port = hello->port;
    if (hello->location) {
        copy_text (worker->member.location, sizeof worker->member.location,
                   hello->location);
        set_location (core, worker);
    }
    self->directory++;
    self->directory_changed = true;
    if (lost_store (worker, hello)) {
        worker->epoch++;
        scan_all (core);
        core_log (core, LOG_WARN, "worker_lost_store", "node=%s", worker->member.name);
    }
    worker->n_stores = hello->n_stores;
    memset (worker->stores, 0, sizeof worker->stores);
    if (!worker->beaten)
        memset (&worker->beat, 0, sizeof worker->beat);
    worker->beat.capacity = worker->beat.used = worker->beat.chunks = 0;
    for (size_t i = 0; i < hello->n_stores; i++) {
        worker->stores[i].store = hello->stores[i];
        worker->stores[i].goal = hello->stores[i].last_seq;
        worker->beat.capacity += hello->stores[i].capacity;
        worker->beat.used += hello->stores[i].used;
        worker->beat.chunks += hello->stores[i].chunks;
    }
    worker->heard = core->now;
    worker->said_hello = true;

    asked = core_zalloc (sizeof *asked);
    asked->token = core_id (core);
    asked->worker = hello->worker;
    asked->conn = hello->conn;
    table_put (self->marks, table_hash (asked->token), asked);
    action = actions_add (core->out, ACTION_LOOKUP_MARKS);
    action->u.marks.token = asked->token;
    action->u.marks.worker = hello->worker;
    action->u.marks.n = hello->n_stores;
    action->u.marks.stores =
        actions_dup (core->out, hello->stores, hello->n_stores * sizeof *hello->stores);
    set_timer (core, worker);
}

void members_marks (core_t *core, const event_marks_t *marks)
{
    asked_t *asked =
        table_remove (core->members->marks, table_hash (marks->token), &marks->token);
    worker_t *worker;
    core_mark_t *out;
    action_t *action;

    if (!asked)
        return;
    worker = members_find (core, asked->worker);
    if (!worker || worker->conn != asked->conn) {
        free (asked);
        return;
    }
    free (asked);
    action = actions_add (core->out, ACTION_WELCOME);
    out = actions_alloc (core->out, worker->n_stores * sizeof *out);
    for (size_t i = 0; i < worker->n_stores; i++) {
        store_state_t *store = &worker->stores[i];

        memcpy (out[i].id, store->store.id, sizeof out[i].id);
        out[i].incarnation = store->store.incarnation;
        out[i].seq = i < marks->n ? marks->marks[i].seq : 0;
        store->mark = store->sent = out[i].seq;
        store->known = true;
    }
    action->u.welcome.worker = worker->member.id;
    action->u.welcome.conn = worker->conn;
    action->u.welcome.marks = out;
    action->u.welcome.n = worker->n_stores;
    worker->welcomed = true;
    worker->heard = core->now;
    /* Storage forgets what an earlier incarnation of an unknown store had. */
    for (size_t i = 0; i < worker->n_stores; i++)
        if (worker->stores[i].mark == 0)
            changes_reset (core, worker, &worker->stores[i]);
    if (!worker_live (worker))
        set_state (core, worker, WORKER_UP);
}

/* ---- telling others -----------------------------------------------------------------
 */

static void send_announcement (core_t *core)
{
    members_t *self = core->members;
    action_t *action = actions_add (core->out, ACTION_ANNOUNCE);
    uint32_t *lost =
        actions_alloc (core->out, self->in_state[WORKER_DEAD] * sizeof *lost);
    size_t n = 0;

    for (size_t i = 0; i < self->n_all && n < self->in_state[WORKER_DEAD]; i++)
        if (self->all[i]->state == WORKER_DEAD)
            lost[n++] = self->all[i]->member.id;
    action->u.announce.number = ++self->announcement;
    action->u.announce.directory_version = self->directory;
    action->u.announce.lost = lost;
    action->u.announce.n_lost = n;
}

void members_announce_timer (core_t *core)
{
    core->members->announce = true;
    core_timer (core, core->now + core->config.heartbeat_ns, TIMER_ANNOUNCE, 0);
}

void members_flush (core_t *core)
{
    members_t *self = core->members;

    if (self->directory_changed) {
        action_t *action = actions_add (core->out, ACTION_DIRECTORY);
        core_address_t *workers =
            actions_alloc (core->out, self->n_all * sizeof *workers);

        for (size_t i = 0; i < self->n_all; i++)
            workers[i] = members_address (core, self->all[i]);
        action->u.directory.version = self->directory;
        action->u.directory.workers = workers;
        action->u.directory.n = self->n_all;
        self->directory_changed = false;
    }
    if (self->announce) {
        self->announce = false;
        send_announcement (core);
    }
}
