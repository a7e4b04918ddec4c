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
    size_t n_disks;
    uint8_t disks[WORLD_DISKS]; /* 1 + number; marks: all that the worker has */
    uint64_t incarnations[WORLD_DISKS];
    uint64_t first_seq;
    bool inventory, inventory_begin, inventory_end;
    bool from_start;
    size_t after;
    size_t max;
    size_t n;
    const void *data; /* n keys, changes or pieces: what is behind this struct */
} ask_t;

/* --- location tables --- */

static size_t cell (const world_t *self, size_t chunk, size_t worker)
{
    return chunk * self->config.workers + worker;
}

void table_make (const world_t *self, sim_table_t *table)
{
    size_t all = (self->n_chunks + 1) * self->config.workers;
    size_t disks = self->config.workers * WORLD_DISKS;

    table->disk = calloc (all, sizeof *table->disk);
    table->birth = calloc (all, sizeof *table->birth);
    table->mark = calloc (disks, sizeof *table->mark);
    table->incarnation = calloc (disks, sizeof *table->incarnation);
}

void table_copy (const world_t *self, sim_table_t *to, const sim_table_t *from)
{
    size_t all = (self->n_chunks + 1) * self->config.workers;
    size_t disks = self->config.workers * WORLD_DISKS;

    memcpy (to->disk, from->disk, all * sizeof *to->disk);
    memcpy (to->birth, from->birth, all * sizeof *to->birth);
    memcpy (to->mark, from->mark, disks * sizeof *to->mark);
    memcpy (to->incarnation, from->incarnation, disks * sizeof *to->incarnation);
}

void table_free (sim_table_t *table)
{
    free (table->disk);
    free (table->birth);
    free (table->mark);
    free (table->incarnation);
    memset (table, 0, sizeof *table);
}

sim_table_t *world_table (world_t *self, uint64_t core)
{
    if (self->leader.id == core)
        return &self->leader.table;
    return self->old.core && self->old.id == core ? &self->old.table : NULL;
}

/* Everything that TABLE has of the disk is gone. */
static void forget (const world_t *self, sim_table_t *table, uint32_t worker,
                    uint8_t disk)
{
    for (size_t i = 0; i < self->n_chunks; i++)
        if (table->disk[cell (self, i, worker - 1)] == disk)
            table->disk[cell (self, i, worker - 1)] = 0;
    table->mark[(worker - 1) * WORLD_DISKS + disk - 1] = 0;
}

static void apply_one (world_t *self, sim_table_t *table, uint32_t worker, uint8_t disk,
                       const core_change_t *change)
{
    size_t at = cell (self, world_chunk (self, &change->key), worker - 1);

    if (change->kind == CHANGE_STORED || change->kind == CHANGE_RENEWED) {
        table->disk[at] = disk;
        table->birth[at] = change->birth;
    } else if (table->disk[at] == disk) {
        table->disk[at] = 0;
    }
}

/* --- answers --- */

static void fill (world_t *self, const sim_table_t *table, size_t id, core_chunk_t *out)
{
    const sim_chunk_t *chunk = &self->chunks[id];

    memset (out, 0, sizeof *out);
    out->key = world_key (id);
    out->refs = chunk->refs;
    out->length = chunk->length;
    out->replicas = chunk->refs > 0 ? self->config.replicas : 0;
    out->recorded = chunk->recorded;
    out->condemned = chunk->recorded ? chunk->condemned : self->forgotten;
    for (size_t w = 0; w < self->config.workers && out->n_copies < CORE_COPIES; w++)
        if (table->disk[cell (self, id, w)] > 0 &&
            table->birth[cell (self, id, w)] >= chunk->limit[w])
            out->copies[out->n_copies++] =
                (core_copy_t){(uint32_t)w + 1, table->birth[cell (self, id, w)], false};
}

static void answer_marks (world_t *self, sim_table_t *table, const ask_t *ask)
{
    core_mark_t marks[WORLD_DISKS];
    event_t event = {.type = EVENT_MARKS_FOUND};

    memset (marks, 0, sizeof marks);
    for (uint8_t disk = 1; disk <= WORLD_DISKS; disk++) {
        size_t at = (ask->worker - 1) * WORLD_DISKS + disk - 1, i = 0;

        while (i < ask->n_disks && ask->disks[i] != disk)
            i++;
        /* Copies on disks that are not named, or in another incarnation, are gone. */
        if (i == ask->n_disks || table->incarnation[at] != ask->incarnations[i])
            forget (self, table, ask->worker, disk);
        if (i == ask->n_disks)
            continue;
        marks[i].id[0] = (uint8_t)(1 + (ask->worker & 0x7f));
        marks[i].id[1] = disk;
        marks[i].incarnation = ask->incarnations[i];
        marks[i].seq = table->mark[at];
    }
    event.u.marks = (event_marks_t){ask->token, marks, ask->n_disks, DFS_OK};
    world_answer (self, ask->core, &event);
}

static void answer_apply (world_t *self, sim_table_t *table, const ask_t *ask)
{
    event_t event = {.type = EVENT_LOCATIONS_APPLIED};
    event_applied_t *applied = &event.u.applied;
    const core_change_t *items = ask->data;
    uint8_t disk = ask->disks[0];
    size_t at = (ask->worker - 1) * WORLD_DISKS + disk - 1;

    applied->token = ask->token;
    if (table->incarnation[at] != ask->incarnations[0]) {
        forget (self, table, ask->worker, disk);
        table->incarnation[at] = ask->incarnations[0];
    }
    if (ask->inventory_begin)
        forget (self, table, ask->worker, disk);
    if (!ask->inventory && ask->first_seq != table->mark[at] + 1) {
        applied->code = DFS_ESTALE;
    } else {
        for (size_t i = 0; i < ask->n; i++)
            apply_one (self, table, ask->worker, disk, &items[i]);
        if (!ask->inventory)
            table->mark[at] = ask->first_seq + ask->n - 1;
        else if (ask->inventory_end)
            table->mark[at] = ask->first_seq;
    }
    applied->mark = table->mark[at];
    world_answer (self, ask->core, &event);
}

static void answer_chunks (world_t *self, const sim_table_t *table, const ask_t *ask)
{
    core_chunk_t *chunks = calloc (ask->n + 1, sizeof *chunks);
    const copykey_t *keys = ask->data;
    event_t event = {.type = EVENT_CHUNKS_FOUND};

    for (size_t i = 0; i < ask->n; i++)
        fill (self, table, world_chunk (self, &keys[i]), &chunks[i]);
    event.u.chunks = (event_chunks_t){ask->token, DFS_OK, chunks, ask->n};
    world_answer (self, ask->core, &event);
    free (chunks);
}

static void answer_extents (world_t *self, const sim_table_t *table, const ask_t *ask)
{
    event_extent_t *extents = calloc (ask->n + 1, sizeof *extents);
    const event_piece_t *pieces = ask->data;
    event_t event = {.type = EVENT_EXTENTS_FOUND};

    for (size_t i = 0; i < ask->n; i++) {
        const sim_client_t *client = &self->clients[pieces[i].inode];

        fill (self, table, client->chunks[pieces[i].extent_offset], &extents[i].chunk);
    }
    event.u.extents = (event_extents_t){ask->token, DFS_OK, extents, ask->n};
    world_answer (self, ask->core, &event);
    free (extents);
}

static void answer_scan (world_t *self, const sim_table_t *table, const ask_t *ask)
{
    core_chunk_t *chunks = calloc (PAGE_MAX, sizeof *chunks);
    event_t event = {.type = EVENT_SCANNED};
    size_t n = 0, i;

    for (i = ask->from_start ? 0 : ask->after + 1; i < self->n_chunks && n < ask->max;
         i++)
        if (ask->worker == 0 ? self->chunks[i].refs > 0
                             : table->disk[cell (self, i, ask->worker - 1)] > 0)
            fill (self, table, i, &chunks[n++]);
    event.u.scanned =
        (event_scanned_t){ask->token, DFS_OK, chunks, n, i < self->n_chunks};
    world_answer (self, ask->core, &event);
    free (chunks);
}

static void answer (world_t *self, void *arg)
{
    ask_t *ask = arg;
    sim_table_t *table = world_table (self, ask->core);

    if (!table)
        return;
    switch (ask->type) {
    case ACTION_LOOKUP_MARKS:
        answer_marks (self, table, ask);
        break;
    case ACTION_LOCATIONS_APPLY:
        answer_apply (self, table, ask);
        break;
    case ACTION_LOOKUP_CHUNKS:
        answer_chunks (self, table, ask);
        break;
    case ACTION_LOOKUP_EXTENTS:
        answer_extents (self, table, ask);
        break;
    default:
        answer_scan (self, table, ask);
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
        ask.n_disks = action->u.marks.n;
        for (size_t i = 0; i < ask.n_disks && i < WORLD_DISKS; i++) {
            ask.disks[i] = action->u.marks.stores[i].id[1];
            ask.incarnations[i] = action->u.marks.stores[i].incarnation;
        }
        break;
    case ACTION_LOCATIONS_APPLY: {
        const action_apply_t *apply = &action->u.apply;

        ask.token = apply->token;
        ask.worker = apply->worker;
        ask.disks[0] = apply->store[1];
        ask.incarnations[0] = apply->incarnation;
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
