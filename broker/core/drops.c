/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/drops.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/reclaim.h"
#include "broker/core/uploads.h"

#define ANSWER_WAIT (10 * SEC) /* for an order, and for the change that confirms it */
#define RETRY_LATER (2 * SEC)

enum drop_state {
    DROP_WAITING, /* to be sent */
    DROP_ORDERED, /* in the order that is out, or its confirmation is on the way */
    DROP_DONE,    /* confirmed, to be proposed */
};

typedef struct drop {
    copykey_t key;
    uint32_t worker;
    uint64_t limit;
    bool trim;
    enum drop_state state;
    list_t node; /* in its queue, or among those that are done */
} drop_t;

/* What is out for one worker. */
typedef struct drop_queue {
    uint32_t worker;
    size_t n;          /* in all lists */
    list_t waiting[2]; /* 1: surplus copies, which no hold stops */
    list_t ordered;
    uint64_t order;    /* 0: none is out */
    uint64_t deadline; /* of what was ordered */
    uint64_t retry_at;
} drop_queue_t;

struct drops {
    table_t *by_copy;
    table_t *queues; /* by worker */
    list_t done;
    uint64_t load_token;
    bool loaded;
    uint64_t proposal; /* token, 0: none is out */
    uint64_t propose_at;
    uint64_t timer;
    bool wake;
};

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

static drop_t *find (const core_t *core, const copykey_t *key, uint32_t worker)
{
    copy_id_t id = {key, worker};

    return table_get (core->drops->by_copy, hash_copy (key, worker), &id);
}

uint64_t drops_limit (const core_t *core, const copykey_t *key, uint32_t worker)
{
    const drop_t *drop;

    if (table_count (core->drops->by_copy) == 0)
        return 0;
    drop = find (core, key, worker);
    return drop ? drop->limit : 0;
}

bool drops_any (const core_t *core, const copykey_t *key)
{
    size_t n;
    worker_t *const *all = members_all (core, &n);

    if (table_count (core->drops->by_copy) == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (find (core, key, all[i]->member.id))
            return true;
    return false;
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

static void confirmed (core_t *core, drop_t *drop)
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
    drop_t *drop = find (core, key, worker);

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

    if (effect->kind == CORE_DROP) {
        add (core, &effect->key, effect->worker, effect->limit, effect->trim);
        recount (core, &effect->key, effect->worker);
        return;
    }
    drop = find (core, &effect->key, effect->worker);
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
    drop = find (core, key, worker);
    member = members_find (core, worker);
    /* What it says on the way to the present may be of a copy before. */
    if (drop && member && member->told)
        confirmed (core, drop);
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

/* --- orders --- */

static void set_timer (core_t *core, uint64_t when)
{
    drops_t *self = core->drops;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_DROPS, 0);
}

void drops_timer (core_t *core)
{
    drops_t *self = core->drops;

    if (self->timer > core->now)
        return;
    self->timer = 0;
    self->wake = true;
}

void drops_wake (core_t *core)
{
    core->drops->wake = true;
}

/* What was ordered and is not confirmed is told again. */
static void take_back (core_t *core, drop_queue_t *queue)
{
    queue->order = 0;
    while (!list_empty (&queue->ordered)) {
        drop_t *drop = LIST_OF (queue->ordered.next, drop_t, node);

        list_remove (&drop->node);
        drop->state = DROP_WAITING;
        list_push (&queue->waiting[drop->trim], &drop->node);
    }
    queue->retry_at = core->now + RETRY_LATER;
    set_timer (core, queue->retry_at);
}

bool drops_result (core_t *core, const event_order_t *event)
{
    drop_queue_t *queue =
        table_get (core->drops->queues, table_hash (event->worker), &event->worker);

    if (!queue || queue->order == 0 || queue->order != event->order)
        return false;
    if (event->code != DFS_OK) {
        take_back (core, queue);
        return true;
    }
    for (size_t i = 0; i < event->n; i++) {
        drop_t *drop = find (core, &event->verified[i].key, event->worker);
        int code = event->verified[i].code;

        /* Not there, or a younger copy. One that it has just put away is confirmed by
         * the change that follows, when that is durable. */
        if (drop && drop->state == DROP_ORDERED &&
            (PLANTED (BUG_NO_CONFIRMATION) || code == DFS_ENOENT ||
             code == DFS_ECONFLICT || code == DFS_EDAMAGED))
            confirmed (core, drop);
    }
    core->drops->wake = true;
    return true;
}

static size_t take (drop_queue_t *queue, bool trim, core_reclaim_t *items, size_t n)
{
    list_t *waiting = &queue->waiting[trim];

    for (; !list_empty (waiting) && n < CORE_DROP_ITEMS; n++) {
        drop_t *drop = LIST_OF (waiting->next, drop_t, node);

        memset (&items[n], 0, sizeof items[n]);
        items[n].key = drop->key;
        items[n].limit = drop->limit + (PLANTED (BUG_LIMIT_TOO_HIGH) ? 1000 : 0);
        list_remove (&drop->node);
        drop->state = DROP_ORDERED;
        list_push (&queue->ordered, &drop->node);
    }
    return n;
}

static void send_order (core_t *core, drop_queue_t *queue)
{
    core_reclaim_t *items = actions_alloc (core->out, CORE_DROP_ITEMS * sizeof *items);
    size_t n = take (queue, true, items, 0);
    action_t *action;

    if (!reclaim_held (core))
        n = take (queue, false, items, n);
    if (n == 0)
        return;
    queue->order = core_id (core);
    queue->deadline = core->now + ANSWER_WAIT;
    set_timer (core, queue->deadline);
    action = actions_add (core->out, ACTION_DROP_ORDER);
    action->u.drop_order.order = queue->order;
    action->u.drop_order.worker = queue->worker;
    action->u.drop_order.items = items;
    action->u.drop_order.n = n;
}

/* A worker that is no member any more has nothing that counts. */
static void give_up (core_t *core, drop_queue_t *queue)
{
    while (queue->n > 0) {
        list_t *from = !list_empty (&queue->waiting[0])   ? &queue->waiting[0]
                       : !list_empty (&queue->waiting[1]) ? &queue->waiting[1]
                                                          : &queue->ordered;
        bool last = queue->n == 1;

        confirmed (core, LIST_OF (from->next, drop_t, node));
        if (last)
            return;
    }
}

void drops_worker_changed (core_t *core, const worker_t *worker)
{
    uint32_t id = worker->member.id;
    drop_queue_t *queue = table_get (core->drops->queues, table_hash (id), &id);

    if (!queue)
        return;
    if (worker->state == WORKER_REMOVED)
        give_up (core, queue);
    else if (!worker_live (worker))
        take_back (core, queue);
    core->drops->wake = true;
}

/* --- confirming --- */

static void propose (core_t *core)
{
    drops_t *self = core->drops;
    core_reclaim_t *items =
        actions_alloc (core->out, CORE_RECLAIM_ROWS * sizeof *items);
    action_t *action;
    size_t n = 0;

    for (list_t *node = self->done.next; node != &self->done && n < CORE_RECLAIM_ROWS;
         node = node->next) {
        const drop_t *drop = LIST_OF (node, drop_t, node);

        memset (&items[n], 0, sizeof items[n]);
        items[n].key = drop->key;
        items[n].worker = drop->worker;
        items[n++].limit = drop->limit;
    }
    self->proposal = core_id (core);
    action = actions_add (core->out, ACTION_PROPOSE);
    action->u.propose.token = self->proposal;
    action->u.propose.what = PROPOSE_DROPPED;
    action->u.propose.items = items;
    action->u.propose.n = n;
}

bool drops_proposed (core_t *core, const event_proposed_t *event)
{
    drops_t *self = core->drops;

    if (self->proposal == 0 || event->token != self->proposal)
        return false;
    self->proposal = 0;
    if (event->code != DFS_OK) {
        self->propose_at = core->now + RETRY_LATER;
        set_timer (core, self->propose_at);
    }
    self->wake = true;
    return true;
}

void drops_flush (core_t *core)
{
    drops_t *self = core->drops;
    size_t cursor = 0;
    drop_queue_t *queue;

    if (!self->wake || !core->leader)
        return;
    self->wake = false;
    while ((queue = table_next (self->queues, &cursor))) {
        const worker_t *worker = members_find (core, queue->worker);

        if (!list_empty (&queue->ordered)) {
            if (core->now >= queue->deadline)
                take_back (core, queue);
            else
                set_timer (core, queue->deadline);
            continue;
        }
        if (!worker && drops_loaded (core)) {
            give_up (core, queue);
            cursor = 0;
            continue;
        }
        if (!worker || !worker_live (worker) || !worker->told ||
            core->now < queue->retry_at) {
            if (worker && core->now < queue->retry_at)
                set_timer (core, queue->retry_at);
            continue;
        }
        send_order (core, queue);
    }
    if (!list_empty (&self->done) && self->proposal == 0 &&
        core->now >= self->propose_at)
        propose (core);
}
