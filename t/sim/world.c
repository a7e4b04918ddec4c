/* SPDX-License-Identifier: MPL-2.0 */
#include "t/sim/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/dfs_error.h"
#include "t/sim/world_private.h"

/* --- time --- */

const char *world_case = "*";
bool world_hunts;

void world_fail (const world_t *self, const char *what, const char *file, int line)
{
    if (world_hunts)
        _exit (1);
    fprintf (stderr, "# %s:%d: %s (seed %llu, time %.3f s, event %llu)\n", file, line,
             what, (unsigned long long)self->config.seed, (double)self->now / 1e9,
             (unsigned long long)self->stats.events);
    fprintf (stderr, "# again: SIM_CASE=%s SIM_SEED=%llu SIM_SEEDS=1 %s\n", world_case,
             (unsigned long long)self->config.seed, program_invocation_name);
    abort ();
}

void world_at (world_t *self, uint64_t when, world_f *fn, void *arg)
{
    size_t i;

    if (self->n_later == self->cap_later) {
        self->cap_later = self->cap_later ? self->cap_later * 2 : 256;
        self->later = realloc (self->later, self->cap_later * sizeof *self->later);
    }
    i = self->n_later++;
    while (i > 0 && self->later[(i - 1) / 2].when > when) {
        self->later[i] = self->later[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    self->later[i] = (later_t){when, ++self->serial, fn, arg};
}

static bool before (const later_t *a, const later_t *b)
{
    return a->when != b->when ? a->when < b->when : a->serial < b->serial;
}

static later_t pop (world_t *self)
{
    later_t top = self->later[0];
    later_t last = self->later[--self->n_later];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= self->n_later)
            break;
        if (child + 1 < self->n_later &&
            before (&self->later[child + 1], &self->later[child]))
            child++;
        if (!before (&self->later[child], &last))
            break;
        self->later[i] = self->later[child];
        i = child;
    }
    if (self->n_later > 0)
        self->later[i] = last;
    return top;
}

/* A delay around MEAN. */
uint64_t world_delay (world_t *self, uint64_t mean)
{
    return mean / 2 + rng_below (&self->rng, mean + 1);
}

/* --- the core --- */

static void mix (world_t *self, uint64_t value)
{
    self->stats.trace = (self->stats.trace ^ value) * 0x100000001b3ULL;
    self->stats.trace ^= self->stats.trace >> 29;
}

static void check_windows (world_t *self)
{
    static core_worker_status_t status[WORLD_WORKERS];
    uint64_t window = self->config.window ? self->config.window : 96 * MIB;
    size_t n = core_workers (self->leader.core, status, WORLD_WORKERS);

    for (size_t i = 0; i < n; i++) {
        if (status[i].granted > self->stats.most_granted)
            self->stats.most_granted = status[i].granted;
        CHECK (self, status[i].granted <= window);
    }
}

/* Grants and orders of the last minutes: the deadline of one that is done stays until
 * it is over. */
static uint64_t recent (world_t *self)
{
    uint64_t all = self->stats.placed + self->stats.replicated + self->stats.verifies;

    for (; self->second < self->now / SEC; self->second++)
        self->made[(self->second + 1) % SECONDS] = all;
    return all -
           (self->second < SECONDS ? 0 : self->made[(self->second + 1) % SECONDS]);
}

/* What the core holds is what it has to do, with a little on top. */
static void check_memory (world_t *self)
{
    core_status_t status;
    uint64_t work;

    core_status (self->leader.core, &status);
    work = status.pins + status.grants + status.parked + status.repair_queued +
           status.repair_active + status.trim_queued + status.sessions +
           status.repair_waiting + status.lost + status.rebalance_moves;
    if (status.memory_timers > self->stats.most_timers)
        self->stats.most_timers = status.memory_timers;
    if (status.memory_chunks > self->stats.most_chunks)
        self->stats.most_chunks = status.memory_chunks;
    CHECK (self, status.memory_timers <=
                     256 + 16 * self->config.workers + 8 * work + 2 * recent (self));
    CHECK (self, status.memory_chunks <= 64 + 2 * work);
    CHECK (self, status.memory_drops <= self->n_chunks * self->config.workers);
}

/* Log time goes on with the leader's clock, and never back. */
uint64_t world_log_time (world_t *self)
{
    uint64_t now = (uint64_t)((int64_t)(1000 * SEC + self->now) + self->skew);

    if (now > self->log_time)
        self->log_time = now;
    return self->log_time;
}

bool world_loses (world_t *self)
{
    bool is =
        self->config.dropped > 0 && rng_below (&self->rng, 1000) < self->config.dropped;

    self->stats.lost += is;
    return is;
}

bool world_garbles (world_t *self)
{
    bool is =
        self->config.garbled > 0 && rng_below (&self->rng, 1000) < self->config.garbled;

    self->stats.garbled += is;
    return is;
}

bool world_doubles (world_t *self)
{
    bool is =
        self->config.doubled > 0 && rng_below (&self->rng, 1000) < self->config.doubled;

    self->stats.doubled += is;
    return is;
}

void world_clock (world_t *self, bool off)
{
    event_t event = {.type = EVENT_TICK};

    if (off && !self->clock_off)
        self->off_since = self->now;
    self->clock_off = off;
    world_feed (self, &event);
}

static void feed (world_t *self, sim_core_t *to, event_t *event)
{
    event->now = self->now;
    event->log_time = world_log_time (self);
    event->log_index = self->log_index;
    event->clock_off = self->clock_off;
    self->stats.events++;
    core_step (to->core, event, to->actions);
    self->asks = to;
    for (size_t i = 0; i < actions_count (to->actions); i++) {
        const action_t *action = actions_at (to->actions, i);

        mix (self, self->now ^ (uint64_t)action->type << 56);
        if (action->type == ACTION_PLACED)
            for (size_t k = 0; k < action->u.placed.n; k++)
                mix (self, action->u.placed.items[k].grant.targets[0] +
                               action->u.placed.items[k].credit);
        if (!world_storage_action (self, action) &&
            !world_reclaim_action (self, action) &&
            !world_worker_action (self, action) && to == &self->leader)
            world_client_action (self, action);
    }
    actions_reset (to->actions);
    if (self->stats.events % (1 + self->config.workers / 16) == 0) {
        check_windows (self);
        check_memory (self);
    }
}

void world_feed (world_t *self, event_t *event)
{
    feed (self, &self->leader, event);
}

void world_answer (world_t *self, uint64_t core, event_t *event)
{
    if (self->leader.id == core)
        feed (self, &self->leader, event);
    else if (self->old.core && self->old.id == core)
        feed (self, &self->old, event);
}

static void begin_core (world_t *self, sim_core_t *to, uint64_t term)
{
    core_config_t core = self->config.core;

    core.seed = self->config.seed + term;
    core.ingest_window = self->config.window;
    core.now = self->now;
    to->core = core_new (&core);
    to->actions = actions_new ();
    to->id = ++self->cores;
    to->term = term;
    table_make (self, &to->table);
    if (self->follower.disk)
        table_copy (self, &to->table, &self->follower);
}

static void end_core (sim_core_t *core)
{
    actions_destroy (&core->actions);
    core_destroy (&core->core);
    table_free (&core->table);
}

void world_run (world_t *self, uint64_t until)
{
    for (;;) {
        uint64_t wake = core_wake (self->leader.core);
        uint64_t old = self->old.core ? core_wake (self->old.core) : UINT64_MAX;
        uint64_t next = self->n_later > 0 ? self->later[0].when : UINT64_MAX;

        if (wake < self->now)
            wake = self->now;
        if (old < self->now)
            old = self->now;
        if (old < wake && old < next && old <= until) {
            event_t event = {.type = EVENT_TICK};

            self->now = old;
            feed (self, &self->old, &event);
            continue;
        }
        if (wake < next && wake <= until) {
            event_t event = {.type = EVENT_TICK};

            self->now = wake;
            world_feed (self, &event);
            continue;
        }
        if (next > until)
            break;
        later_t later = pop (self);

        if (later.when > self->now)
            self->now = later.when;
        later.fn (self, later.arg);
        free (later.arg);
    }
    self->now = until;
}

void world_finish (world_t *self, uint64_t limit)
{
    while (!world_clients_done (self)) {
        CHECK (self, self->now < limit);
        world_run (self, self->now + 50 * MS);
    }
}

uint64_t world_now (const world_t *self)
{
    return self->now;
}

rng_t *world_rng (world_t *self)
{
    return &self->rng;
}

core_t *world_core (world_t *self)
{
    return self->leader.core;
}

const world_stats_t *world_stats (const world_t *self)
{
    return &self->stats;
}

/* --- making --- */

static void tell_member (world_t *self, size_t i, bool draining)
{
    event_t event = {.type = EVENT_MEMBER};
    core_member_t *member = &event.u.member;

    member->id = (uint32_t)i + 1;
    snprintf (member->name, sizeof member->name, "w%zu", i + 1);
    snprintf (member->host, sizeof member->host, "10.0.0.%zu", i + 1);
    member->port = 7000;
    member->draining = draining;
    if (self->config.racks > 0)
        snprintf (member->location, sizeof member->location, "dc/r%zu/h%zu",
                  i % self->config.racks, i);
    else
        snprintf (member->location, sizeof member->location, "local/w%zu", i);
    world_feed (self, &event);
}

void world_drain (world_t *self, size_t worker, bool drain)
{
    self->workers[worker].draining = drain;
    tell_member (self, worker, drain);
}

bool world_drained (world_t *self, size_t worker)
{
    if (core_may_remove (self->leader.core, (uint32_t)worker + 1) != DFS_OK)
        return false;
    for (size_t i = 0; i < self->n_chunks; i++) {
        size_t n = 0;

        for (size_t w = 0; w < self->config.workers; w++)
            n += w != worker && self->chunks[i].stored[w];
        CHECK (self, self->chunks[i].refs == 0 || n >= self->config.replicas);
    }
    return true;
}

static void add_members (world_t *self)
{
    event_t event = {.type = EVENT_POLICY};

    event.u.policy =
        (core_policy_t){1, self->config.replicas, self->config.min_replicas};
    world_feed (self, &event);
    event = (event_t){.type = EVENT_ROLE, .u.role = {true, 1, self->leader.term}};
    world_feed (self, &event);
    for (size_t i = 0; i < self->config.workers; i++)
        tell_member (self, i, self->workers[i].draining);
}

/* What chunks know by worker, in a few pieces of memory. */
static void make_copies (world_t *self)
{
    size_t w = self->config.workers, all = (self->n_chunks + 1) * w;

    self->bools = calloc (2 * all, sizeof *self->bools);
    self->bytes = calloc (all, sizeof *self->bytes);
    self->words = calloc (3 * all, sizeof *self->words);
    for (size_t i = 0; i < self->n_chunks; i++) {
        sim_chunk_t *chunk = &self->chunks[i];

        chunk->stored = self->bools + i * w;
        chunk->trim = self->bools + all + i * w;
        chunk->disk = self->bytes + i * w;
        chunk->birth = self->words + i * w;
        chunk->rotten = self->words + all + i * w;
        chunk->limit = self->words + 2 * all + i * w;
    }
}

/* The broker that would lead next has what the leader has, some time later. */
static void follow (world_t *self, void *arg)
{
    (void)arg;
    table_copy (self, &self->follower, &self->leader.table);
    world_at (self,
              self->now +
                  rng_below (&self->rng, self->config.lag ? self->config.lag : 4 * SEC),
              follow, NULL);
}

world_t *world_new (const world_config_t *config)
{
    world_t *self = calloc (1, sizeof *self);

    self->config = *config;
    rng_seed (&self->rng, config->seed * 7919 + 1);
    self->log_index = 10;
    self->n_chunks = config->clients * config->chunks;
    self->chunks = calloc (self->n_chunks + 1, sizeof *self->chunks);
    for (size_t i = 0; i < self->n_chunks; i++)
        self->chunks[i].length =
            config->length > 0 ? config->length : 1 + rng_below (&self->rng, 4 * MIB);
    make_copies (self);
    begin_core (self, &self->leader, 1);
    table_make (self, &self->follower);
    follow (self, NULL);
    add_members (self);
    world_workers_start (self);
    world_clients_start (self);
    return self;
}

static void end_old (world_t *self, void *arg)
{
    (void)arg;
    if (self->old.core)
        end_core (&self->old);
}

void world_new_leader (world_t *self, uint64_t linger)
{
    if (self->old.core)
        end_core (&self->old);
    self->old = self->leader;
    self->log_index++;
    begin_core (self, &self->leader, self->old.term + 1);
    self->skew = (int64_t)rng_below (&self->rng, 4 * SEC) - (int64_t)(2 * SEC);
    self->clock_off = false;
    if (linger == 0)
        end_core (&self->old);
    else
        world_at (self, self->now + linger, end_old, NULL);
    add_members (self);
    world_workers_greet (self);
    world_clients_greet (self);
}

void world_destroy (world_t **self_p)
{
    world_t *self = *self_p;

    if (!self)
        return;
    while (self->n_later > 0)
        free (pop (self).arg);
    free (self->later);
    for (size_t i = 0; i < self->config.workers; i++)
        for (size_t d = 0; d < WORLD_DISKS; d++)
            free (self->workers[i].disks[d].changes);
    free (self->bools);
    free (self->bytes);
    free (self->words);
    table_free (&self->follower);
    world_clients_free (self);
    free (self->chunks);
    if (self->old.core)
        end_core (&self->old);
    end_core (&self->leader);
    free (self);
    *self_p = NULL;
}

/* --- asserting --- */

void world_assert_idle (world_t *self)
{
    static core_worker_status_t status[WORLD_WORKERS];
    core_status_t core;
    size_t n = core_workers (self->leader.core, status, WORLD_WORKERS);

    core_status (self->leader.core, &core);
    CHECK (self, core.grants == 0);
    CHECK (self, core.parked == 0);
    CHECK (self, core.repair_active == 0);
    CHECK (self, core.memory_chunks <=
                     core.pins + core.trim_queued + core.under_replicated + core.moves);
    for (size_t i = 0; i < n; i++)
        CHECK (self, status[i].granted == 0);
}

bool world_has_copies (world_t *self, size_t copies)
{
    for (size_t i = 0; i < self->n_chunks; i++) {
        size_t n = 0;

        if (self->chunks[i].refs == 0)
            continue;
        for (size_t w = 0; w < self->config.workers; w++)
            if (self->workers[w].up)
                n += self->chunks[i].stored[w];
        if (n < copies)
            return false;
    }
    return true;
}

void world_assert_copies (world_t *self, size_t copies)
{
    CHECK (self, world_has_copies (self, copies));
}

copykey_t world_key (size_t chunk)
{
    copykey_t key = {0};
    uint64_t id = chunk + 1;
    uint64_t hash = (id ^ id << 29) * 0x9e3779b97f4a7c15ULL;

    for (int i = 0; i < 8; i++) {
        key.digest[i] = (uint8_t)(hash >> (8 * i));
        key.digest[8 + i] = (uint8_t)(id >> (8 * i));
    }
    return key;
}

size_t world_chunk (const world_t *self, const copykey_t *key)
{
    uint64_t id = 0;

    for (int i = 7; i >= 0; i--)
        id = id << 8 | key->digest[8 + i];
    CHECK (self, id > 0 && id <= self->n_chunks);
    return (size_t)id - 1;
}
