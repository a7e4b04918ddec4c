/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/drops_private.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/reclaim.h"
#include "broker/core/uploads.h"
#include "broker/core/verify.h"

typedef struct copy_id {
    const copykey_t *key;
    uint32_t worker;
} copy_id_t;

static bool match_drop (const void *entry, const void *key)
{
    const drop_t *drop = entry;
    const copy_id_t *id = key;

    return drop->worker == id->worker && copykey_cmp (&drop->key, id->key) == 0;
}

static bool match_queue (const void *entry, const void *key)
{
    return ((const drop_queue_t *)entry)->worker == *(const uint32_t *)key;
}

static uint64_t hash_copy (const copykey_t *key, uint32_t worker)
{
    return copykey_hash (key) ^ table_hash (worker);
}

drops_t *drops_new (void)
{
    drops_t *self = core_zalloc (sizeof *self);

    self->by_copy = table_new (match_drop);
    self->queues = table_new (match_queue);
    list_init (&self->done);
    return self;
}

void drops_destroy (drops_t **self_p)
{
    drops_t *self = *self_p;
    size_t cursor;
    drop_t *drop;
    drop_queue_t *queue;

    if (!self)
        return;
    for (cursor = 0; (drop = table_next (self->by_copy, &cursor));)
        free (drop);
    for (cursor = 0; (queue = table_next (self->queues, &cursor));)
        free (queue);
    table_destroy (&self->by_copy);
    table_destroy (&self->queues);
    free (self);
    *self_p = NULL;
}

drop_t *drops_find (const core_t *core, const copykey_t *key, uint32_t worker)
{
    copy_id_t id = {key, worker};

    return table_get (core->drops->by_copy, hash_copy (key, worker), &id);
}

uint64_t drops_limit (const core_t *core, const copykey_t *key, uint32_t worker)
{
    const drop_t *drop;

    if (table_count (core->drops->by_copy) == 0)
        return 0;
    drop = drops_find (core, key, worker);
    return drop ? drop->limit : 0;
}

static bool any_of (const core_t *core, const copykey_t *key, bool live)
{
    size_t n;
    worker_t *const *all = members_all (core, &n);

    if (table_count (core->drops->by_copy) == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((!live || worker_live (all[i])) &&
            drops_find (core, key, all[i]->member.id))
            return true;
    return false;
}

bool drops_any (const core_t *core, const copykey_t *key)
{
    return any_of (core, key, false);
}

bool drops_any_live (const core_t *core, const copykey_t *key)
{
    return any_of (core, key, true);
}

size_t drops_count (const core_t *core)
{
    return table_count (core->drops->by_copy);
}

size_t drops_under_way (const core_t *core)
{
    size_t cursor = 0, n = 0;
    const drop_queue_t *queue;

    while ((queue = table_next (core->drops->queues, &cursor))) {
        const worker_t *worker = members_find (core, queue->worker);

        n += worker && worker_live (worker) ? queue->n : 0;
    }
    return n;
}

bool drops_loaded (const core_t *core)
{
    return core->drops->loaded;
}

/* --- the list --- */

static drop_queue_t *queue_of (core_t *core, uint32_t worker)
{
    drops_t *self = core->drops;
    drop_queue_t *queue = table_get (self->queues, table_hash (worker), &worker);

    if (!queue) {
        queue = core_zalloc (sizeof *queue);
        queue->worker = worker;
        list_init (&queue->waiting[0]);
        list_init (&queue->waiting[1]);
        list_init (&queue->ordered);
        table_put (self->queues, table_hash (worker), queue);
    }
    return queue;
}

static void leave_queue (core_t *core, drop_t *drop)
{
    drop_queue_t *queue;

    list_remove (&drop->node);
    if (drop->state == DROP_DONE)
        return; /* in no queue any more */
    queue = queue_of (core, drop->worker);
    if (--queue->n == 0) {
        uint32_t worker = drop->worker;

        table_remove (core->drops->queues, table_hash (worker), &worker);
        free (queue);
    }
}

static void enqueue (core_t *core, drop_t *drop)
{
    drop_queue_t *queue = queue_of (core, drop->worker);

    drop->state = DROP_WAITING;
    list_push (&queue->waiting[drop->trim], &drop->node);
    queue->n++;
    core->drops->wake = true;
}

void drops_confirmed (core_t *core, drop_t *drop)
{
    if (drop->state == DROP_DONE)
        return;
    leave_queue (core, drop);
    drop->state = DROP_DONE;
    list_push (&core->drops->done, &drop->node);
    core->drops->wake = true;
}

/* Its copies are looked at as they count from now on. */
static void recount (core_t *core, const copykey_t *key, uint32_t worker)
{
    chunk_t *chunk = chunks_find (core, key);

    if (!chunk)
        return;
    chunk->held++;
    copier_chunk_changed (core, chunk, worker);
    uploads_chunk_changed (core, chunk);
    chunk->held--;
    chunks_release (core, chunk);
}

static void add (core_t *core, const copykey_t *key, uint32_t worker, uint64_t limit,
                 bool trim)
{
    drop_t *drop = drops_find (core, key, worker);

    if (drop && drop->limit >= limit)
        return;
    if (drop) {
        leave_queue (core, drop);
    } else {
        drop = core_zalloc (sizeof *drop);
        drop->key = *key;
        drop->worker = worker;
        list_init (&drop->node);
        table_put (core->drops->by_copy, hash_copy (key, worker), drop);
    }
    drop->limit = limit;
    drop->trim = trim;
    enqueue (core, drop);
}

void drops_effect (core_t *core, const core_effect_t *effect)
{
    copy_id_t id = {&effect->key, effect->worker};
    drop_t *drop;

    verify_dropped (core, &effect->key, effect->worker);
    if (effect->kind == CORE_DROP) {
        add (core, &effect->key, effect->worker, effect->limit, effect->trim);
        recount (core, &effect->key, effect->worker);
        return;
    }
    drop = drops_find (core, &effect->key, effect->worker);
    if (!drop || drop->limit > effect->limit)
        return;
    table_remove (core->drops->by_copy, hash_copy (id.key, id.worker), &id);
    leave_queue (core, drop);
    free (drop);
}

void drops_gone (core_t *core, const copykey_t *key, uint32_t worker)
{
    drop_t *drop;
    const worker_t *member;

    if (table_count (core->drops->by_copy) == 0)
        return;
    drop = drops_find (core, key, worker);
    member = members_find (core, worker);
    /* What it says on the way to the present may be of a copy before. */
    if (drop && member && member->told)
        drops_confirmed (core, drop);
}

/* --- loading --- */

static void ask_page (core_t *core, const core_reclaim_t *after)
{
    action_t *action = actions_add (core->out, ACTION_LOOKUP_RECLAIM);

    core->drops->load_token = core_id (core);
    action->u.reclaim.token = core->drops->load_token;
    action->u.reclaim.list = CORE_LIST_DROPS;
    action->u.reclaim.from_start = !after;
    if (after)
        action->u.reclaim.after = *after;
    action->u.reclaim.max = CORE_RECLAIM_ROWS;
}

void drops_begin (core_t *core)
{
    core->drops->loaded = false;
    ask_page (core, NULL);
}

bool drops_found (core_t *core, const event_reclaim_t *found)
{
    drops_t *self = core->drops;

    if (self->load_token == 0 || found->token != self->load_token)
        return false;
    self->load_token = 0;
    for (size_t i = 0; i < found->n; i++) {
        const core_reclaim_t *row = &found->rows[i];

        add (core, &row->key, row->worker, row->limit, row->trim);
        recount (core, &row->key, row->worker);
    }
    if (found->code != DFS_OK)
        ask_page (core, NULL);
    else if (found->more && found->n > 0)
        ask_page (core, &found->rows[found->n - 1]);
    else
        self->loaded = true;
    return true;
}
