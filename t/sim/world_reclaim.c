/* SPDX-License-Identifier: MPL-2.0 */
/* The part of the namespace and its log that reclaim works with: references, free and
 * condemned chunks, copies that count as gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dfs_error.h"
#include "t/sim/world_private.h"

#define LOG_WRITE (2 * MS)
#define DECIDED   (2 * SEC)

typedef struct proposal {
    uint64_t core;
    uint64_t term;
    uint64_t token;
    int what;
    size_t n;
    core_reclaim_t items[];
} proposal_t;

typedef struct effects {
    core_effect_t *items;
    size_t n, cap;
} effects_t;

static void effect (effects_t *to, const world_t *self, int kind, size_t chunk,
                    uint32_t worker, uint64_t limit, bool trim)
{
    if (to->n == to->cap) {
        to->cap = to->cap ? 2 * to->cap : 16;
        to->items = realloc (to->items, to->cap * sizeof *to->items);
    }
    to->items[to->n++] =
        (core_effect_t){kind, world_key (chunk), self->log_index, worker, limit, trim};
}

/* Every core applies the log. */
static void tell_effects (world_t *self, effects_t *effects)
{
    event_t event = {.type = EVENT_EFFECTS, .u.effects = {effects->items, effects->n}};

    if (effects->n > 0) {
        world_feed (self, &event);
        if (self->old.core)
            world_answer (self, self->old.id, &event);
    }
    free (effects->items);
}

/* --- references --- */

bool world_may_commit (world_t *self, size_t c)
{
    const sim_client_t *client = &self->clients[c];

    for (size_t i = 0; i < client->n; i++) {
        const sim_chunk_t *chunk = &self->chunks[client->chunks[i]];

        if (chunk->recorded ? chunk->condemned > client->index
                            : client->index < self->forgotten)
            return false;
    }
    return true;
}

void world_take (world_t *self, size_t id)
{
    sim_chunk_t *chunk = &self->chunks[id];
    effects_t effects = {0};
    uint32_t n = 0;

    if (chunk->refs == 0 && chunk->condemned > 0)
        effect (&effects, self, CORE_LIFTED, id, 0, 0, false);
    chunk->recorded = true;
    chunk->refs++;
    chunk->freed = chunk->condemned = 0;
    /* What was acknowledged is there, and nothing is about to take all of it away. */
    for (size_t w = 0; w < self->config.workers; w++)
        n += chunk->stored[w] && chunk->birth[w] >= chunk->limit[w];
    CHECK (self, n >= 1 || chunk->robbed > 0);
    tell_effects (self, &effects);
}

void world_drop (world_t *self, size_t id)
{
    sim_chunk_t *chunk = &self->chunks[id];

    CHECK (self, chunk->refs > 0);
    if (--chunk->refs == 0) {
        chunk->freed = self->log_index;
        chunk->since = world_log_time (self);
    }
}

void world_check_gone (world_t *self, size_t id, size_t worker)
{
    const sim_chunk_t *chunk = &self->chunks[id];
    uint32_t n = 0;

    (void)worker;
    for (size_t w = 0; w < self->config.workers; w++)
        n += chunk->stored[w] && chunk->rotten[w] == 0;
    CHECK (self, chunk->refs == 0 || n >= 1);
    /* A trim never goes below what was asked for when it was decided: whoever died
     * since had a copy then. */
    CHECK (self, chunk->refs == 0 || n >= self->config.min_replicas ||
                     chunk->robbed > 0 || self->stats.rotten > 0);
}

/* --- entries --- */

static void condemn (world_t *self, size_t id, effects_t *effects)
{
    sim_chunk_t *chunk = &self->chunks[id];

    if (chunk->refs > 0 || chunk->condemned == self->log_index)
        return;
    chunk->recorded = true;
    chunk->freed = 0;
    chunk->condemned = self->log_index;
    chunk->since = world_log_time (self);
    self->stats.condemned++;
    effect (effects, self, CORE_CONDEMNED, id, 0, 0, false);
}

static void drop (world_t *self, size_t id, const core_reclaim_t *item,
                  effects_t *effects)
{
    sim_chunk_t *chunk = &self->chunks[id];
    size_t w = item->worker - 1;
    uint32_t keep = 0;
    /* A batch waits for those whose answer got lost. */
    uint64_t lately = self->config.dropped > 0 ? 150 * SEC : SEC;

    if (!item->trim) {
        if (chunk->refs > 0 || chunk->condemned == 0 || item->limit > chunk->condemned)
            return;
        CHECK (self, world_log_time (self) >=
                         chunk->since + self->config.core.reclaim_grace_ns);
    } else {
        for (uint32_t i = 0; i < item->n_keep; i++)
            keep +=
                chunk->limit[item->keep[i] - 1] == 0 && item->keep[i] != item->worker;
        if (chunk->refs == 0 || keep < self->config.replicas)
            return;
        /* What it counts on was hashed just now, and was whole. */
        for (uint32_t i = 0; i < item->n_keep; i++) {
            size_t k = item->keep[i] - 1;

            CHECK (self,
                   chunk->rotten[k] == 0 || chunk->rotten[k] + lately > self->now);
            CHECK (self, chunk->stored[k] || chunk->robbed > 0);
        }
        self->stats.trimmed++;
    }
    if (chunk->limit[w] >= item->limit)
        return;
    chunk->limit[w] = item->limit;
    chunk->trim[w] = item->trim;
    effect (effects, self, CORE_DROP, id, item->worker, item->limit, item->trim);
}

static void dropped (world_t *self, size_t id, const core_reclaim_t *item,
                     effects_t *effects)
{
    sim_chunk_t *chunk = &self->chunks[id];
    size_t w = item->worker - 1;

    if (chunk->limit[w] == 0 || chunk->limit[w] > item->limit)
        return;
    effect (effects, self, CORE_DROPPED, id, item->worker, chunk->limit[w], false);
    /* Confirmed is what was meant: no such copy is there any more. */
    CHECK (self, !chunk->stored[w] || chunk->birth[w] >= chunk->limit[w]);
    chunk->limit[w] = 0;
}

static void forget (world_t *self, size_t id, effects_t *effects)
{
    sim_chunk_t *chunk = &self->chunks[id];

    if (!chunk->recorded || chunk->refs > 0 || chunk->condemned == 0)
        return;
    for (size_t w = 0; w < self->config.workers; w++)
        if (chunk->limit[w] > 0)
            return;
    if (chunk->condemned > self->forgotten)
        self->forgotten = chunk->condemned;
    chunk->recorded = false;
    chunk->condemned = chunk->freed = 0;
    self->stats.forgotten++;
    effect (effects, self, CORE_FORGOTTEN, id, 0, 0, false);
}

static void apply (world_t *self, void *arg)
{
    const proposal_t *proposal = arg;
    event_t event = {.type = EVENT_PROPOSED};
    effects_t effects = {0};

    event.u.proposed.token = proposal->token;
    /* Only who leads is heard by the others. */
    if (proposal->term != self->leader.term) {
        event.u.proposed.code = DFS_ENOTLEADER;
        world_answer (self, proposal->core, &event);
        return;
    }
    self->log_index++;
    for (size_t i = 0; i < proposal->n; i++) {
        const core_reclaim_t *item = &proposal->items[i];
        size_t id = world_chunk (self, &item->key);

        switch (proposal->what) {
        case PROPOSE_CONDEMN:
            if (!self->held)
                condemn (self, id, &effects);
            break;
        case PROPOSE_DROP:
            if (!self->held || item->trim)
                drop (self, id, item, &effects);
            break;
        case PROPOSE_DROPPED:
            dropped (self, id, item, &effects);
            break;
        default:
            forget (self, id, &effects);
        }
    }
    if (proposal->what == PROPOSE_HOLD) {
        self->held = true;
        self->hold_index = self->log_index;
        self->stats.holds++;
        effect (&effects, self, CORE_HOLD, 0, 0, 0, false);
    }
    tell_effects (self, &effects);
    world_answer (self, proposal->core, &event);
}

static void propose (world_t *self, const action_propose_t *action)
{
    proposal_t *proposal =
        calloc (1, sizeof *proposal + action->n * sizeof *action->items);

    CHECK (self, action->n <= CORE_RECLAIM_ROWS);
    /* While the clock is in doubt nothing ends that log time decides; what was decided
     * before may still be on its way. */
    CHECK (self, !self->clock_off || self->now < self->off_since + DECIDED ||
                     action->n == 0 || action->what == PROPOSE_DROPPED ||
                     (action->what == PROPOSE_DROP && action->items[0].trim));
    proposal->core = self->asks->id;
    proposal->term = self->asks->term;
    proposal->token = action->token;
    proposal->what = action->what;
    proposal->n = action->n;
    if (action->n > 0)
        memcpy (proposal->items, action->items, action->n * sizeof *action->items);
    self->stats.proposals += action->n > 0;
    world_at (self,
              self->now +
                  world_delay (self, rng_below (&self->rng, 4) ? LOG_WRITE : 300 * MS),
              apply, proposal);
}

/* --- lists --- */

typedef struct ask {
    uint64_t core;
    action_reclaim_t what;
} ask_t;

static int compare (const core_reclaim_t *a, const core_reclaim_t *b, bool drops)
{
    int order = copykey_cmp (&a->key, &b->key);

    if (!drops && a->index != b->index)
        return a->index < b->index ? -1 : 1;
    if (order == 0 && drops && a->worker != b->worker)
        return a->worker < b->worker ? -1 : 1;
    return order;
}

static void add_row (core_reclaim_t *rows, size_t *n, size_t max, const ask_t *ask,
                     const core_reclaim_t *row, bool *more)
{
    bool drops = ask->what.list == CORE_LIST_DROPS;
    size_t i;

    if (!ask->what.from_start && compare (row, &ask->what.after, drops) <= 0)
        return;
    i = *n;
    if (*n == max) {
        *more = true;
        if (compare (row, &rows[max - 1], drops) > 0)
            return;
        i = max - 1;
    } else {
        (*n)++;
    }
    for (; i > 0 && compare (row, &rows[i - 1], drops) < 0; i--)
        rows[i] = rows[i - 1];
    rows[i] = *row;
}

static void answer_list (world_t *self, void *arg)
{
    const ask_t *ask = arg;
    size_t n = 0, max = ask->what.max;
    core_reclaim_t *rows = calloc (max + 1, sizeof *rows);
    event_t event = {.type = EVENT_RECLAIM_FOUND};
    bool more = false;

    for (size_t i = 0; i < self->n_chunks; i++) {
        const sim_chunk_t *chunk = &self->chunks[i];
        core_reclaim_t row = {.key = world_key (i), .time_ns = chunk->since};

        if (ask->what.list == CORE_LIST_DROPS) {
            for (size_t w = 0; w < self->config.workers; w++) {
                row.worker = (uint32_t)w + 1;
                row.limit = chunk->limit[w];
                row.trim = chunk->trim[w];
                if (row.limit > 0)
                    add_row (rows, &n, max, ask, &row, &more);
            }
            continue;
        }
        row.index = ask->what.list == CORE_LIST_FREE ? chunk->freed : chunk->condemned;
        if (row.index > 0 && chunk->refs == 0)
            add_row (rows, &n, max, ask, &row, &more);
    }
    event.u.reclaim = (event_reclaim_t){ask->what.token, DFS_OK,          rows, n, more,
                                        self->held,      self->hold_index};
    world_answer (self, ask->core, &event);
    free (rows);
}

typedef struct bytes_ask {
    uint64_t core;
    uint64_t token;
    size_t n;
    uint32_t workers[];
} bytes_ask_t;

static void answer_bytes (world_t *self, void *arg)
{
    const bytes_ask_t *ask = arg;
    core_bytes_t *rows = calloc (ask->n + 1, sizeof *rows);
    event_t event = {.type = EVENT_BYTES_FOUND, .u.bytes = {ask->token, rows, ask->n}};
    const sim_table_t *table = world_table (self, ask->core);

    for (size_t i = 0; table && i < ask->n; i++) {
        rows[i].worker = ask->workers[i];
        for (size_t k = 0; k < self->n_chunks; k++)
            if (table->disk[k * self->config.workers + ask->workers[i] - 1])
                rows[i].bytes += self->chunks[k].length;
    }
    world_answer (self, ask->core, &event);
    free (rows);
}

bool world_reclaim_action (world_t *self, const action_t *action)
{
    ask_t *ask;
    bytes_ask_t *bytes;

    switch (action->type) {
    case ACTION_PROPOSE:
        propose (self, &action->u.propose);
        return true;
    case ACTION_LOOKUP_RECLAIM:
        ask = calloc (1, sizeof *ask);
        ask->core = self->asks->id;
        ask->what = action->u.reclaim;
        if (self->storage_busy < self->now)
            self->storage_busy = self->now;
        self->storage_busy += world_delay (self, 100000);
        world_at (self, self->storage_busy, answer_list, ask);
        return true;
    case ACTION_LOOKUP_BYTES:
        bytes = calloc (1, sizeof *bytes +
                               action->u.bytes.n * sizeof *action->u.bytes.workers);
        bytes->core = self->asks->id;
        bytes->token = action->u.bytes.token;
        bytes->n = action->u.bytes.n;
        memcpy (bytes->workers, action->u.bytes.workers,
                bytes->n * sizeof *bytes->workers);
        world_at (self, self->now + world_delay (self, 100000), answer_bytes, bytes);
        return true;
    default:
        return false;
    }
}

/* --- asking --- */

void world_rot (world_t *self, size_t w)
{
    size_t first = rng_below (&self->rng, self->n_chunks);

    /* Best one that has copies to spare: somebody may let the good one go. */
    for (size_t i = 0; i < 2 * self->n_chunks; i++) {
        sim_chunk_t *chunk = &self->chunks[(first + i) % self->n_chunks];
        uint32_t good = 0, least = i < self->n_chunks ? self->config.replicas + 1 : 2;

        for (size_t k = 0; k < self->config.workers; k++)
            good += chunk->stored[k] && chunk->rotten[k] == 0 &&
                    chunk->birth[k] >= chunk->limit[k] && self->workers[k].up;
        if (chunk->refs == 0 || !chunk->stored[w] || chunk->rotten[w] > 0 ||
            good < least)
            continue;
        chunk->rotten[w] = self->now;
        self->stats.rotten++;
        return;
    }
}

void world_resume (world_t *self)
{
    effects_t effects = {0};

    if (!self->held)
        return;
    self->held = false;
    self->hold_index = ++self->log_index;
    effect (&effects, self, CORE_HOLD, 0, 0, 0, false);
    tell_effects (self, &effects);
}

void world_policy (world_t *self, uint32_t replicas)
{
    event_t event = {.type = EVENT_POLICY};

    self->log_index++;
    self->config.replicas = replicas;
    event.u.policy = (core_policy_t){1, replicas, self->config.min_replicas};
    world_feed (self, &event);
}

void world_rebalance (world_t *self)
{
    event_t event = {.type = EVENT_REBALANCE};

    world_feed (self, &event);
}

bool world_is_lean (world_t *self)
{
    for (size_t i = 0; i < self->n_chunks; i++) {
        size_t n = 0;

        for (size_t w = 0; w < self->config.workers; w++)
            n += self->chunks[i].stored[w];
        if (self->chunks[i].refs == 0 ? n > 0 : n > self->config.replicas)
            return false;
    }
    return true;
}

/* What is not as it should be, for a person. */
static void tell_surplus (const world_t *self)
{
    core_status_t status;

    core_status (self->leader.core, &status);
    fprintf (
        stderr,
        "# short %llu lost %llu surplus %llu moves %llu, to trim %llu, trimmed %llu, "
        "queued %llu, active %llu, held %d, waits %d, knows %d, chunks %llu, pins "
        "%llu\n",
        (unsigned long long)status.under_replicated, (unsigned long long)status.lost,
        (unsigned long long)status.surplus, (unsigned long long)status.moves,
        (unsigned long long)status.trim_queued, (unsigned long long)status.trimmed,
        (unsigned long long)status.repair_queued,
        (unsigned long long)status.repair_active, self->held, status.reclaim_waits,
        status.knows, (unsigned long long)status.memory_chunks,
        (unsigned long long)status.pins);
    for (size_t i = 0; i < self->n_chunks; i++) {
        const sim_chunk_t *chunk = &self->chunks[i];
        size_t n = 0;

        for (size_t w = 0; w < self->config.workers; w++)
            n += chunk->stored[w];
        if (chunk->refs == 0 ? n == 0 : n <= self->config.replicas)
            continue;
        fprintf (
            stderr, "# chunk %zu: refs %llu recorded %d freed %llu condemned %llu:", i,
            (unsigned long long)chunk->refs, chunk->recorded,
            (unsigned long long)chunk->freed, (unsigned long long)chunk->condemned);
        for (size_t w = 0; w < self->config.workers; w++)
            if (chunk->stored[w] ||
                self->leader.table.disk[i * self->config.workers + w])
                fprintf (stderr, " w%zu%s%s(born %llu, limit %llu)", w + 1,
                         chunk->stored[w] ? "" : " not stored",
                         self->leader.table.disk[i * self->config.workers + w]
                             ? ""
                             : " not located",
                         (unsigned long long)chunk->birth[w],
                         (unsigned long long)chunk->limit[w]);
        fprintf (stderr, "\n");
        break;
    }
}

void world_assert_lean (world_t *self)
{
    if (!world_is_lean (self))
        tell_surplus (self);
    CHECK (self, world_is_lean (self));
}

uint64_t world_unevenness (world_t *self)
{
    uint64_t total = 0, worst = 0;

    for (size_t w = 0; w < self->config.workers; w++)
        total += self->workers[w].used;
    for (size_t w = 0; w < self->config.workers; w++) {
        uint64_t mean = total / self->config.workers, used = self->workers[w].used;
        uint64_t off = used > mean ? used - mean : mean - used;

        if (off * 1000 / self->config.capacity > worst)
            worst = off * 1000 / self->config.capacity;
    }
    return worst;
}
