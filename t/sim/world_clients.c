/* SPDX-License-Identifier: MPL-2.0 */
/* Fake clients: each places its chunks, sends them, commits, and may read them back. */
#include <stdlib.h>
#include <string.h>

#include "common/dfs_error.h"
#include "t/sim/world_private.h"

#define NET     (200 * 1000ULL)
#define BATCH   32
#define PATIENT (2 * SEC) /* for a piece */

typedef struct whose {
    size_t client;
    uint64_t seq;
} whose_t;

static void go_on (world_t *self, size_t c);

static void retry (world_t *self, void *arg)
{
    size_t c = ((whose_t *)arg)->client;

    self->clients[c].waiting = false;
    go_on (self, c);
}

static void later (world_t *self, size_t c, uint64_t wait)
{
    whose_t *arg;

    if (self->clients[c].waiting)
        return;
    self->clients[c].waiting = true;
    arg = calloc (1, sizeof *arg);
    arg->client = c;
    world_at (self, self->now + wait, retry, arg);
}

/* --- writing --- */

static void place (world_t *self, size_t c)
{
    sim_client_t *client = &self->clients[c];
    event_place_item_t items[BATCH];
    event_t event = {.type = EVENT_PLACE};
    size_t n = 0;

    memset (items, 0, sizeof items);
    for (size_t i = 0; i < client->n && n < BATCH; i++) {
        if (client->steps[i] != STEP_TODO)
            continue;
        client->steps[i] = STEP_PLACING;
        items[n].key = world_key (client->chunks[i]);
        items[n++].length = self->chunks[client->chunks[i]].length;
    }
    if (n == 0)
        return;
    client->places++;
    event.u.place =
        (event_place_t){client->session, client->places, client->upload, 1, items, n};
    world_feed (self, &event);
}

static void commit (world_t *self, size_t c)
{
    sim_client_t *client = &self->clients[c];
    copykey_t *keys = calloc (client->n + 1, sizeof *keys);
    uint64_t *lengths = calloc (client->n + 1, sizeof *lengths);
    event_t event = {.type = EVENT_COMMIT};

    client->committing = true;
    for (size_t i = 0; i < client->n; i++) {
        keys[i] = world_key (client->chunks[i]);
        lengths[i] = self->chunks[client->chunks[i]].length;
    }
    event.u.commit = (event_commit_t){client->session, c, 1, keys, client->n, lengths};
    world_feed (self, &event);
    free (keys);
    free (lengths);
}

/* --- reading --- */

static void fetch (world_t *self, size_t c)
{
    sim_client_t *client = &self->clients[c];
    event_piece_t pieces[BATCH];
    event_t event = {.type = EVENT_FETCH};
    size_t n = 0;

    memset (pieces, 0, sizeof pieces);
    for (size_t i = 0; i < client->n && n < BATCH; i++) {
        if (client->fetched[i])
            continue;
        pieces[n].piece = i;
        pieces[n].inode = c;
        pieces[n].extent_offset = i;
        pieces[n].length = self->chunks[client->chunks[i]].length;
        if (client->avoid[i] != 0)
            pieces[n].avoid[pieces[n].n_avoid++] = client->avoid[i];
        n++;
    }
    if (n == 0) {
        client->done = true;
        return;
    }
    event.u.fetch = (event_fetch_t){client->session, 1, pieces, n};
    world_feed (self, &event);
    later (self, c, PATIENT);
}

typedef struct piece_arg {
    size_t client;
    size_t index;
} piece_arg_t;

static void got_piece (world_t *self, void *arg)
{
    piece_arg_t *piece = arg;
    sim_client_t *client = &self->clients[piece->client];
    bool all = true;

    if (client->vanished || client->fetched[piece->index])
        return;
    client->fetched[piece->index] = true;
    self->stats.fetched++;
    for (size_t i = 0; i < client->n; i++)
        all = all && client->fetched[i];
    if (all)
        client->done = true;
    else if (self->stats.fetched % BATCH == 0)
        later (self, piece->client, MS);
}

void world_piece (world_t *self, size_t c, size_t index)
{
    piece_arg_t *arg = calloc (1, sizeof *arg);

    *arg = (piece_arg_t){c, index};
    world_at (self, self->now + world_delay (self, 5 * MS), got_piece, arg);
}

static void fetching (world_t *self, const action_fetching_t *action)
{
    sim_client_t *client = &self->clients[action->session - 1];

    CHECK (self, !client->vanished);
    for (size_t i = 0; i < action->n; i++) {
        const core_fetching_t *piece = &action->pieces[i];

        CHECK (self, piece->worker != 0 || piece->code < 0);
        /* Tried again elsewhere when it does not come, from anybody when nobody else
         * has it. */
        if (piece->worker != 0 && client->avoid[piece->piece] != 0)
            self->stats.refetched++;
        client->avoid[piece->piece] = piece->worker;
        self->stats.fetch_lost += piece->code == DFS_ELOST;
    }
}

/* --- going on --- */

static void go_on (world_t *self, size_t c)
{
    sim_client_t *client = &self->clients[c];
    bool all = true, todo = false;

    if (client->vanished || client->done)
        return;
    if (client->committed) {
        if (self->config.fetch)
            fetch (self, c);
        else
            client->done = true;
        return;
    }
    for (size_t i = 0; i < client->n; i++) {
        all = all && client->steps[i] == STEP_DURABLE;
        todo = todo || client->steps[i] == STEP_TODO;
    }
    if (all && !client->committing)
        commit (self, c);
    else if (todo)
        place (self, c);
}

static size_t index_of (world_t *self, const sim_client_t *client, const copykey_t *key)
{
    size_t chunk = world_chunk (self, key);

    for (size_t i = 0; i < client->n; i++)
        if (client->chunks[i] == chunk)
            return i;
    world_fail (self, "an answer for a chunk nobody asked for", __FILE__, __LINE__);
}

static void check_grant (world_t *self, const core_placed_t *item)
{
    const grant_t *grant = &item->grant;

    CHECK (self, grant->n_targets >= 1 && grant->n_targets <= self->config.replicas);
    CHECK (self, item->copies >= self->config.min_replicas);
    CHECK (self, item->credit <= 16 * MIB && item->credit < grant->length);
    if (item->copies < self->config.replicas)
        self->stats.fewer++;
    for (uint32_t i = 0; i < grant->n_targets; i++) {
        CHECK (self, core_worker_state (self->asks->core, grant->targets[i], NULL) ==
                         WORKER_UP);
        for (uint32_t k = 0; k < i; k++)
            CHECK (self, grant->targets[i] != grant->targets[k]);
    }
}

static void placed (world_t *self, const action_placed_t *action)
{
    size_t c = action->session - 1;
    sim_client_t *client = &self->clients[c];

    CHECK (self, !client->vanished);
    for (size_t i = 0; i < action->n; i++) {
        const core_placed_t *item = &action->items[i];
        size_t at = index_of (self, client, &item->key);

        CHECK (self, client->steps[at] == STEP_PLACING);
        self->stats.placed++;
        if (item->index < client->index)
            client->index = item->index;
        if (item->code < 0) {
            self->stats.refusals++;
            self->stats.last_refusal = item->code;
            client->steps[at] = STEP_TODO;
            later (self, c, 300 * MS);
        } else if (item->have) {
            client->steps[at] = STEP_DURABLE;
            later (self, c, MS);
        } else {
            client->steps[at] = STEP_SENT;
            check_grant (self, item);
            world_deliver (self, self->now + rng_below (&self->rng, 20 * MS),
                           &item->grant, client->chunks[at], 0, client->session);
        }
    }
    if (action->last)
        later (self, c, MS);
}

/* What the core calls durable is on that many disks. */
static void check_durable (world_t *self, size_t chunk, uint32_t copies)
{
    uint32_t n = 0;

    for (size_t w = 0; w < self->config.workers; w++)
        n += self->chunks[chunk].stored[w] &&
             self->chunks[chunk].birth[w] >= self->chunks[chunk].limit[w];
    CHECK (self, copies >= self->config.min_replicas);
    /* That a disk is gone the core cannot know at once. */
    CHECK (self, n >= copies || (self->chunks[chunk].robbed > 0 &&
                                 self->chunks[chunk].robbed_at + SEC > self->now));
}

static void durable (world_t *self, const action_durable_t *action)
{
    size_t c = action->session - 1;
    sim_client_t *client = &self->clients[c];

    CHECK (self, !client->vanished);
    for (size_t i = 0; i < action->n; i++) {
        const core_durable_t *item = &action->items[i];
        size_t at = index_of (self, client, &item->key);

        CHECK (self, client->steps[at] == STEP_SENT);
        if (item->code < 0) {
            self->stats.again++;
            client->steps[at] = STEP_TODO;
        } else {
            self->stats.durable++;
            client->steps[at] = STEP_DURABLE;
            check_durable (self, client->chunks[at], item->copies);
        }
    }
    later (self, c, MS);
}

/* The file goes, and its history with it. */
static void take_away (world_t *self, void *arg)
{
    sim_client_t *client = &self->clients[((whose_t *)arg)->client];

    self->log_index++;
    self->stats.removed++;
    client->removed = client->done = true;
    for (size_t i = 0; i < client->n; i++)
        world_drop (self, client->chunks[i]);
}

static void remove_later (world_t *self, size_t c)
{
    whose_t *arg = calloc (1, sizeof *arg);

    arg->client = c;
    world_at (self, self->now + rng_below (&self->rng, 5 * SEC), take_away, arg);
}

static void committed (world_t *self, void *arg)
{
    size_t c = ((whose_t *)arg)->client;
    sim_client_t *client = &self->clients[c];
    copykey_t *keys = calloc (client->n + 1, sizeof *keys);
    event_t event = {.type = EVENT_COMMITTED};

    /* Asked for twice, over a change of leader: decided once. */
    if (client->committed) {
        free (keys);
        return;
    }
    self->log_index++;
    for (size_t i = 0; i < client->n; i++)
        keys[i] = world_key (client->chunks[i]);
    /* Refused at apply: all of it is placed again, so that one index stands for it. */
    if (client->vanished || !world_may_commit (self, c)) {
        self->stats.missing++;
        client->index = UINT64_MAX;
        client->committing = false;
        for (size_t i = 0; i < client->n; i++)
            client->steps[i] = STEP_TODO;
        free (keys);
        later (self, c, 10 * MS);
        return;
    }
    for (size_t i = 0; i < client->n; i++)
        world_take (self, client->chunks[i]);
    event.u.committed = (event_committed_t){client->session, keys, client->n};
    world_feed (self, &event);
    free (keys);
    self->stats.committed++;
    client->committed = true;
    if (rng_below (&self->rng, 100) < self->config.remove)
        remove_later (self, c);
    go_on (self, c);
}

void world_client_action (world_t *self, const action_t *action)
{
    switch (action->type) {
    case ACTION_PLACED:
        placed (self, &action->u.placed);
        break;
    case ACTION_DURABLE:
        durable (self, &action->u.durable);
        break;
    case ACTION_FETCHING:
        fetching (self, &action->u.fetching);
        break;
    case ACTION_COMMIT_OK: {
        whose_t *arg = calloc (1, sizeof *arg);

        arg->client = action->u.commit_ok.token;
        for (size_t i = 0; i < self->clients[arg->client].n; i++)
            check_durable (self, self->clients[arg->client].chunks[i],
                           action->u.commit_ok.copies);
        world_at (self, self->now + world_delay (self, MS), committed, arg);
        break;
    }
    case ACTION_COMMIT_REFUSED: {
        sim_client_t *client = &self->clients[action->u.commit_refused.token];

        self->stats.missing++;
        client->committing = false;
        for (size_t i = 0; i < action->u.commit_refused.n; i++)
            client
                ->steps[index_of (self, client, &action->u.commit_refused.missing[i])] =
                STEP_TODO;
        later (self, action->u.commit_refused.token, 10 * MS);
        break;
    }
    default:
        world_fail (self, "an action nobody knows", __FILE__, __LINE__);
    }
}

/* --- life --- */

static void start (world_t *self, void *arg)
{
    size_t c = ((whose_t *)arg)->client;
    event_t event = {.type = EVENT_SESSION_OPEN};

    if (self->clients[c].vanished)
        return;
    self->clients[c].begun = true;
    event.u.session.id = self->clients[c].session;
    world_feed (self, &event);
    go_on (self, c);
}

void world_clients_start (world_t *self)
{
    const world_config_t *config = &self->config;
    size_t next = 0;

    for (size_t c = 0; c < config->clients; c++) {
        sim_client_t *client = &self->clients[c];
        whose_t *arg = calloc (1, sizeof *arg);

        client->session = c + 1;
        client->index = UINT64_MAX;
        client->upload = 100 + c;
        client->n = config->chunks;
        client->chunks = calloc (client->n + 1, sizeof *client->chunks);
        client->steps = calloc (client->n + 1, sizeof *client->steps);
        client->avoid = calloc (client->n + 1, sizeof *client->avoid);
        client->fetched = calloc (client->n + 1, sizeof *client->fetched);
        for (size_t i = 0; i < client->n; i++, next++) {
            client->chunks[i] = next;
            /* The same place in another client's list: no chunk twice in one. */
            if (c > 0 && rng_below (&self->rng, 100) < config->shared)
                client->chunks[i] = rng_below (&self->rng, c) * client->n + i;
        }
        arg->client = c;
        world_at (self,
                  1 + rng_below (&self->rng, config->think ? config->think : 100 * MS),
                  start, arg);
    }
}

void world_clients_free (world_t *self)
{
    for (size_t c = 0; c < self->config.clients; c++) {
        free (self->clients[c].chunks);
        free (self->clients[c].steps);
        free (self->clients[c].avoid);
        free (self->clients[c].fetched);
    }
}

/* What was asked of another leader is asked again. */
void world_clients_greet (world_t *self)
{
    for (size_t c = 0; c < self->config.clients; c++) {
        sim_client_t *client = &self->clients[c];
        event_t event = {.type = EVENT_SESSION_OPEN};

        if (client->vanished || client->done || !client->begun)
            continue;
        event.u.session.id = client->session;
        world_feed (self, &event);
        for (size_t i = 0; i < client->n; i++)
            if (client->steps[i] != STEP_DURABLE)
                client->steps[i] = STEP_TODO;
        client->committing = client->committed;
        later (self, c, MS);
    }
}

bool world_clients_done (const world_t *self)
{
    for (size_t c = 0; c < self->config.clients; c++)
        if (!self->clients[c].done && !self->clients[c].vanished)
            return false;
    return true;
}

void world_vanish (world_t *self, size_t c)
{
    event_t event = {.type = EVENT_SESSION_GONE};

    if (self->clients[c].vanished || self->clients[c].done)
        return;
    self->clients[c].vanished = true;
    event.u.session.id = self->clients[c].session;
    world_feed (self, &event);
}
