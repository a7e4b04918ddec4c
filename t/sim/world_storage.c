/* SPDX-License-Identifier: MPL-2.0 */
/* The location table and the chunk records, answered in order after a short while. */
#include <stdlib.h>
#include <string.h>

#include "common/dfs_error.h"
#include "t/sim/world_private.h"

#define PAGE_MAX 512

typedef struct ask {
    enum action_type type;
    uint64_t core; /* that asks */
    uint64_t token;
    uint32_t worker;
    uint64_t incarnation;
    uint64_t first_seq;
    bool inventory, inventory_begin, inventory_end;
    bool from_start;
    size_t after;
    size_t max;
    size_t n;
    const void *data; /* n keys, changes or pieces: what is behind this struct */
} ask_t;

static void fill (world_t *self, size_t id, core_chunk_t *out)
{
    const sim_chunk_t *chunk = &self->chunks[id];

    memset (out, 0, sizeof *out);
    out->key = world_key (id);
    out->refs = chunk->refs;
    out->length = chunk->length;
    out->replicas = chunk->refs > 0 ? self->config.replicas : 0;
    out->recorded = chunk->recorded;
    out->condemned = chunk->recorded ? chunk->condemned : self->forgotten;
    for (size_t w = 0; w < self->config.workers; w++)
        if (chunk->located[w] && chunk->lbirth[w] >= chunk->limit[w])
            out->copies[out->n_copies++] =
                (core_copy_t){(uint32_t)w + 1, chunk->lbirth[w], false};
}

static void answer_marks (world_t *self, const ask_t *ask)
{
    sim_worker_t *worker = &self->workers[ask->worker - 1];
    core_mark_t mark = {.incarnation = ask->incarnation};
    event_t event = {.type = EVENT_MARKS_FOUND};

    if (worker->mark_incarnation == ask->incarnation)
        mark.seq = worker->mark;
    event.u.marks = (event_marks_t){ask->token, &mark, 1, DFS_OK};
    world_answer (self, ask->core, &event);
}

static void apply_one (world_t *self, uint32_t worker, const core_change_t *change)
{
    sim_chunk_t *chunk = &self->chunks[world_chunk (self, &change->key)];

    chunk->located[worker - 1] =
        change->kind == CHANGE_STORED || change->kind == CHANGE_RENEWED;
    chunk->lbirth[worker - 1] = change->birth;
}

static void forget (world_t *self, uint32_t worker)
{
    for (size_t i = 0; i < self->n_chunks; i++)
        self->chunks[i].located[worker - 1] = false;
}

static void answer_apply (world_t *self, const ask_t *ask)
{
    sim_worker_t *worker = &self->workers[ask->worker - 1];
    event_t event = {.type = EVENT_LOCATIONS_APPLIED};
    event_applied_t *applied = &event.u.applied;
    const core_change_t *items = ask->data;

    applied->token = ask->token;
    if (worker->mark_incarnation != ask->incarnation) {
        forget (self, ask->worker);
        worker->mark_incarnation = ask->incarnation;
        worker->mark = 0;
    }
    if (ask->inventory_begin) {
        forget (self, ask->worker);
        worker->mark = 0;
    }
    if (!ask->inventory && ask->first_seq != worker->mark + 1) {
        applied->code = DFS_ESTALE;
    } else {
        for (size_t i = 0; i < ask->n; i++)
            apply_one (self, ask->worker, &items[i]);
        if (!ask->inventory)
            worker->mark = ask->first_seq + ask->n - 1;
        else if (ask->inventory_end)
            worker->mark = ask->first_seq;
    }
    applied->mark = worker->mark;
    world_answer (self, ask->core, &event);
}

static void answer_chunks (world_t *self, const ask_t *ask)
{
    core_chunk_t *chunks = calloc (ask->n + 1, sizeof *chunks);
    const copykey_t *keys = ask->data;
    event_t event = {.type = EVENT_CHUNKS_FOUND};

    for (size_t i = 0; i < ask->n; i++)
        fill (self, world_chunk (self, &keys[i]), &chunks[i]);
    event.u.chunks = (event_chunks_t){ask->token, DFS_OK, chunks, ask->n};
    world_answer (self, ask->core, &event);
    free (chunks);
}

static void answer_extents (world_t *self, const ask_t *ask)
{
    event_extent_t *extents = calloc (ask->n + 1, sizeof *extents);
    const event_piece_t *pieces = ask->data;
    event_t event = {.type = EVENT_EXTENTS_FOUND};

    for (size_t i = 0; i < ask->n; i++) {
        const sim_client_t *client = &self->clients[pieces[i].inode];

        fill (self, client->chunks[pieces[i].extent_offset], &extents[i].chunk);
    }
    event.u.extents = (event_extents_t){ask->token, DFS_OK, extents, ask->n};
    world_answer (self, ask->core, &event);
    free (extents);
}

static void answer_scan (world_t *self, const ask_t *ask)
{
    core_chunk_t *chunks = calloc (PAGE_MAX, sizeof *chunks);
    event_t event = {.type = EVENT_SCANNED};
    size_t n = 0, i;

    for (i = ask->from_start ? 0 : ask->after + 1; i < self->n_chunks && n < ask->max;
         i++)
        if (ask->worker == 0 ? self->chunks[i].refs > 0
                             : self->chunks[i].located[ask->worker - 1])
            fill (self, i, &chunks[n++]);
    event.u.scanned =
        (event_scanned_t){ask->token, DFS_OK, chunks, n, i < self->n_chunks};
    world_answer (self, ask->core, &event);
    free (chunks);
}

static void answer (world_t *self, void *arg)
{
    ask_t *ask = arg;

    switch (ask->type) {
    case ACTION_LOOKUP_MARKS:
        answer_marks (self, ask);
        break;
    case ACTION_LOCATIONS_APPLY:
        answer_apply (self, ask);
        break;
    case ACTION_LOOKUP_CHUNKS:
        answer_chunks (self, ask);
        break;
    case ACTION_LOOKUP_EXTENTS:
        answer_extents (self, ask);
        break;
    default:
        answer_scan (self, ask);
        break;
    }
}

bool world_storage_action (world_t *self, const action_t *action)
{
    ask_t ask = {.type = action->type}, *mine;
    size_t size = 0;

    switch (action->type) {
    case ACTION_LOOKUP_MARKS:
        ask.token = action->u.marks.token;
        ask.worker = action->u.marks.worker;
        ask.incarnation = action->u.marks.stores[0].incarnation;
        break;
    case ACTION_LOCATIONS_APPLY: {
        const action_apply_t *apply = &action->u.apply;

        ask.token = apply->token;
        ask.worker = apply->worker;
        ask.incarnation = apply->incarnation;
        ask.first_seq = apply->first_seq;
        ask.inventory = apply->inventory;
        ask.inventory_begin = apply->inventory_begin;
        ask.inventory_end = apply->inventory_end;
        ask.n = apply->n;
        ask.data = apply->items;
        size = apply->n * sizeof *apply->items;
        break;
    }
    case ACTION_LOOKUP_CHUNKS:
        ask.token = action->u.chunks.token;
        ask.n = action->u.chunks.n;
        ask.data = action->u.chunks.keys;
        size = ask.n * sizeof *action->u.chunks.keys;
        break;
    case ACTION_LOOKUP_EXTENTS:
        ask.token = action->u.extents.token;
        ask.n = action->u.extents.n;
        ask.data = action->u.extents.pieces;
        size = ask.n * sizeof *action->u.extents.pieces;
        break;
    case ACTION_SCAN_WORKER:
        ask.token = action->u.scan.token;
        ask.worker = action->u.scan.worker;
        ask.from_start = action->u.scan.from_start;
        if (!ask.from_start)
            ask.after = world_chunk (self, &action->u.scan.after);
        ask.max = action->u.scan.max < PAGE_MAX ? action->u.scan.max : PAGE_MAX;
        break;
    default:
        return false;
    }
    ask.core = self->asks->id;
    mine = malloc (sizeof *mine + size);
    if (size > 0)
        memcpy (mine + 1, ask.data, size);
    ask.data = mine + 1;
    *mine = ask;
    if (self->storage_busy < self->now)
        self->storage_busy = self->now;
    self->storage_busy += world_delay (self, 100000);
    world_at (self, self->storage_busy, answer, mine);
    return true;
}
