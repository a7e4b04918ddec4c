/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/chunks.h"

#include <stdlib.h>

#include "broker/core/copier.h"
#include "broker/core/drops.h"
#include "broker/core/grants.h"
#include "broker/core/scan.h"
#include "broker/core/trim.h"
#include "broker/core/uploads.h"

struct chunks {
    table_t *by_key;
};

static bool match_chunk (const void *entry, const void *key)
{
    return copykey_cmp (&((const chunk_t *)entry)->key, key) == 0;
}

chunks_t *chunks_new (void)
{
    chunks_t *self = core_zalloc (sizeof *self);

    self->by_key = table_new (match_chunk);
    return self;
}

static void free_chunk (chunk_t *chunk)
{
    free (chunk->holders);
    free (chunk);
}

void chunks_destroy (chunks_t **self_p)
{
    size_t cursor = 0;
    chunk_t *chunk;

    if (!*self_p)
        return;
    while ((chunk = table_next ((*self_p)->by_key, &cursor)))
        free_chunk (chunk);
    table_destroy (&(*self_p)->by_key);
    free (*self_p);
    *self_p = NULL;
}

size_t chunks_count (const core_t *core)
{
    return table_count (core->chunks->by_key);
}

chunk_t *chunks_find (const core_t *core, const copykey_t *key)
{
    return table_get (core->chunks->by_key, copykey_hash (key), key);
}

chunk_t *chunks_get (core_t *core, const copykey_t *key, uint64_t length)
{
    chunk_t *chunk = chunks_find (core, key);

    if (!chunk) {
        chunk = core_zalloc (sizeof *chunk);
        chunk->key = *key;
        chunk->length = length;
        list_init (&chunk->pins);
        table_put (core->chunks->by_key, copykey_hash (key), chunk);
    }
    return chunk;
}

void chunks_release (core_t *core, chunk_t *chunk)
{
    if (!list_empty (&chunk->pins) || chunk->job || chunk->held > 0 ||
        PLANTED (BUG_LEAK))
        return;
    /* A copy that came late may be one too many. */
    if (core->leader && policies_find (core, POLICY_DEFAULT)) {
        uint32_t enough = policies_find (core, POLICY_DEFAULT)->replicas;

        if (enough < chunk->replicas)
            enough = chunk->replicas;
        if (chunk_staying (core, chunk) > enough)
            scan_check (core, &chunk->key);
    }
    table_remove (core->chunks->by_key, copykey_hash (&chunk->key), &chunk->key);
    free_chunk (chunk);
}

static holder_t *find_holder (const chunk_t *chunk, uint32_t worker)
{
    for (size_t i = 0; i < chunk->n_holders; i++)
        if (chunk->holders[i].worker == worker)
            return &chunk->holders[i];
    return NULL;
}

static holder_t *get_holder (chunk_t *chunk, uint32_t worker)
{
    holder_t *holder = find_holder (chunk, worker);
    void *data = chunk->holders;

    if (holder)
        return holder;
    core_grow (&data, &chunk->cap_holders, chunk->n_holders, sizeof *chunk->holders);
    chunk->holders = data;
    holder = &chunk->holders[chunk->n_holders++];
    *holder = (holder_t){.worker = worker};
    return holder;
}

static void learn_length (chunk_t *chunk, uint64_t length)
{
    if (length == 0)
        return;
    chunk->length = length;
    chunk->sure = true;
}

bool chunk_differs (const chunk_t *chunk, uint64_t length)
{
    return chunk->sure && chunk->length != length;
}

void chunks_merge (core_t *core, chunk_t *chunk, const core_chunk_t *found)
{
    /* What was heard of a chunk in use is younger than what is known of those that have
     * no record. */
    if (found->recorded || !chunk->looked_up)
        chunk->condemned =
            found->recorded || !PLANTED (BUG_STALE) ? found->condemned : 0;
    chunk->looked_up = true;
    chunk->replicas = found->replicas;
    if (found->refs > 0 || found->n_copies > 0)
        learn_length (chunk, found->length);
    for (size_t i = 0; i < found->n_copies; i++) {
        const core_copy_t *copy = &found->copies[i];
        const worker_t *worker = members_find (core, copy->worker);
        holder_t *holder = find_holder (chunk, copy->worker);

        /* What the worker itself said meanwhile is younger. */
        if (!worker || (holder && holder->epoch == worker->epoch))
            continue;
        holder = get_holder (chunk, copy->worker);
        holder->state = copy->damaged ? HOLDER_DAMAGED : HOLDER_GOOD;
        holder->birth = copy->birth;
        holder->epoch = worker->epoch;
    }
}

void chunks_change (core_t *core, const worker_t *worker, const core_change_t *change)
{
    chunk_t *chunk = chunks_find (core, &change->key);
    holder_t *holder;

    trim_chunk_changed (core, &change->key);
    if (change->kind == CHANGE_GONE)
        drops_gone (core, &change->key, worker->member.id);
    if (!chunk) {
        /* One that nobody waits for any more may be one too many. */
        if (change->kind == CHANGE_GONE || change->kind == CHANGE_DAMAGED ||
            (change->kind == CHANGE_STORED && worker->told))
            scan_check (core, &change->key);
        return;
    }
    holder = get_holder (chunk, worker->member.id);
    holder->epoch = worker->epoch;
    switch (change->kind) {
    case CHANGE_STORED:
    case CHANGE_RENEWED:
        holder->state = HOLDER_GOOD;
        holder->birth = change->birth;
        learn_length (chunk, change->length);
        break;
    case CHANGE_DAMAGED:
        holder->state = HOLDER_DAMAGED;
        break;
    default:
        holder->state = HOLDER_GONE;
        break;
    }
    if (holder->state != HOLDER_GOOD)
        scan_check (core, &change->key);
    chunk->held++;
    copier_chunk_changed (core, chunk, worker->member.id);
    uploads_chunk_changed (core, chunk);
    chunk->held--;
    chunks_release (core, chunk);
}

/* The member that has a good copy by HOLDER, NULL when it has not. */
static const worker_t *good (const core_t *core, const chunk_t *chunk,
                             const holder_t *holder)
{
    const worker_t *worker = members_find (core, holder->worker);

    if (!worker || holder->state != HOLDER_GOOD || holder->epoch != worker->epoch ||
        holder->birth < chunk->condemned ||
        holder->birth < drops_limit (core, &chunk->key, holder->worker))
        return NULL;
    return worker;
}

uint32_t chunk_live (const core_t *core, const chunk_t *chunk)
{
    uint32_t n = 0;

    for (size_t i = 0; i < chunk->n_holders; i++) {
        const worker_t *worker = good (core, chunk, &chunk->holders[i]);

        n += worker && worker_live (worker) && (worker->told || PLANTED (BUG_STALE));
    }
    return n;
}

void chunk_condemn (core_t *core, chunk_t *chunk, uint64_t index)
{
    list_t *node;

    chunk->condemned = index;
    if (index == 0)
        return;
    chunk->held++;
    copier_unwanted (core, chunk);
    chunk->held--;
    /* What is sent under a grant of before does not count: the client places it again.
     * What was answered as durable is found at the commit. */
    chunk->held++;
    for (node = chunk->pins.next; node != &chunk->pins;) {
        pin_t *pin = LIST_OF (node, pin_t, in_chunk);

        node = node->next;
        if (pin->state == PIN_SENT || pin->state == PIN_MENDING)
            grants_give_up (core, pin, DFS_EAGAIN);
    }
    chunk->held--;
    chunks_release (core, chunk);
}

uint32_t chunk_untold (const core_t *core, const chunk_t *chunk)
{
    uint32_t n = 0;

    for (size_t i = 0; i < chunk->n_holders; i++) {
        const worker_t *worker = good (core, chunk, &chunk->holders[i]);

        n += worker && worker_live (worker) && !worker->told;
    }
    return n;
}

uint32_t chunk_staying (const core_t *core, const chunk_t *chunk)
{
    uint32_t n = 0;

    for (size_t i = 0; i < chunk->n_holders; i++) {
        const worker_t *worker = good (core, chunk, &chunk->holders[i]);

        n += worker && worker_live (worker) && worker->told && worker_stays (worker);
    }
    return n;
}

uint32_t chunk_present (const core_t *core, const chunk_t *chunk)
{
    uint32_t n = 0;

    for (size_t i = 0; i < chunk->n_holders; i++) {
        const worker_t *worker = good (core, chunk, &chunk->holders[i]);

        n += worker && (worker_live (worker) || worker_unsure (worker));
    }
    return n;
}

uint32_t chunk_durable (const core_t *core, const chunk_t *chunk)
{
    uint32_t n = 0;

    for (size_t i = 0; i < chunk->n_holders; i++) {
        const worker_t *worker = good (core, chunk, &chunk->holders[i]);

        n += worker && worker_there (worker);
    }
    return n;
}

bool chunk_on (const core_t *core, const chunk_t *chunk, uint32_t worker)
{
    const holder_t *holder = find_holder (chunk, worker);

    return holder && good (core, chunk, holder);
}

size_t chunk_workers (const core_t *core, const chunk_t *chunk, uint32_t *out,
                      size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < chunk->n_holders && n < max; i++)
        if (good (core, chunk, &chunk->holders[i]))
            out[n++] = chunk->holders[i].worker;
    return n;
}

bool chunk_known (const core_t *core, const chunk_t *chunk)
{
    for (size_t i = 0; i < chunk->n_holders; i++) {
        const worker_t *worker = members_find (core, chunk->holders[i].worker);

        if (worker && worker->epoch != chunk->holders[i].epoch)
            return false;
    }
    return chunk->looked_up;
}
