/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/core/drops_private.h"
#include "broker/core/reclaim.h"

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
    queue->order = queue->check = 0;
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
        drop_t *drop = drops_find (core, &event->verified[i].key, event->worker);
        int code = event->verified[i].code;

        /* Not there, or a younger copy. One that it has just put away is confirmed by
         * the change that follows, when that is durable. */
        if (drop && drop->state == DROP_ORDERED &&
            (PLANTED (BUG_NO_CONFIRMATION) || code == DFS_ENOENT ||
             code == DFS_ECONFLICT || code == DFS_EDAMAGED))
            drops_confirmed (core, drop);
    }
    core->drops->wake = true;
    return true;
}

static void fill_item (core_reclaim_t *item, const drop_t *drop)
{
    memset (item, 0, sizeof *item);
    item->key = drop->key;
    item->limit = drop->limit + (PLANTED (BUG_LIMIT_TOO_HIGH) ? 1000 : 0);
}

static size_t take (drop_queue_t *queue, bool trim, core_reclaim_t *items, size_t n)
{
    list_t *waiting = &queue->waiting[trim];

    for (; !list_empty (waiting) && n < CORE_DROP_ITEMS; n++) {
        drop_t *drop = LIST_OF (waiting->next, drop_t, node);

        fill_item (&items[n], drop);
        list_remove (&drop->node);
        drop->state = DROP_ORDERED;
        list_push (&queue->ordered, &drop->node);
    }
    return n;
}

/* N surplus copies are in ITEMS already. */
static void send_order (core_t *core, drop_queue_t *queue, core_reclaim_t *items,
                        size_t n)
{
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

/* A copy was one too many when the entry was made. Whether the others are still there
 * is looked at before it goes: the last one stays where it is. False when there is
 * nothing to be looked at now. */
static bool check_others (core_t *core, drop_queue_t *queue)
{
    core_reclaim_t *items;
    copykey_t *keys;
    action_t *action;
    size_t n;

    if (core->now < queue->check_at || list_empty (&queue->waiting[1]))
        return false;
    items = actions_alloc (core->out, CORE_DROP_ITEMS * sizeof *items);
    keys = actions_alloc (core->out, CORE_DROP_ITEMS * sizeof *keys);
    n = take (queue, true, items, 0);
    for (size_t i = 0; i < n; i++)
        keys[i] = items[i].key;
    queue->order = 0; /* an answer that is late speaks of other copies */
    queue->check = core_id (core);
    queue->deadline = core->now + ANSWER_WAIT;
    set_timer (core, queue->deadline);
    action = actions_add (core->out, ACTION_LOOKUP_CHUNKS);
    action->u.chunks.token = queue->check;
    action->u.chunks.keys = keys;
    action->u.chunks.n = n;
    return true;
}

/* Some other worker that is there has a good copy. */
static bool others_live (const core_t *core, const core_chunk_t *found, uint32_t id)
{
    for (size_t i = 0; i < found->n_copies; i++) {
        const core_copy_t *copy = &found->copies[i];
        const worker_t *worker = members_find (core, copy->worker);

        if (worker && copy->worker != id && !copy->damaged && worker_live (worker) &&
            worker->told &&
            copy->birth >= drops_limit (core, &found->key, copy->worker))
            return true;
    }
    return false;
}

bool drops_checked (core_t *core, const event_chunks_t *found)
{
    drop_queue_t *queue = NULL, *next;
    core_reclaim_t *items;
    size_t cursor = 0, n = 0, held = 0;
    uint32_t id;

    while (!queue && (next = table_next (core->drops->queues, &cursor)))
        if (next->check != 0 && next->check == found->token)
            queue = next;
    if (!queue)
        return false;
    queue->check = 0;
    if (found->code != DFS_OK) {
        take_back (core, queue);
        return true;
    }
    id = queue->worker;
    items = actions_alloc (core->out, CORE_DROP_ITEMS * sizeof *items);
    for (size_t i = 0; i < found->n; i++) {
        drop_t *drop = drops_find (core, &found->chunks[i].key, id);

        if (!drop || drop->state != DROP_ORDERED)
            continue;
        if (found->chunks[i].refs == 0 || others_live (core, &found->chunks[i], id)) {
            fill_item (&items[n++], drop);
            continue;
        }
        list_remove (&drop->node);
        drop->state = DROP_WAITING;
        list_push (&queue->waiting[1], &drop->node);
        held++;
    }
    if (held > 0) {
        core_log (core, LOG_WARN, "trim_held", "node=%u chunks=%zu", id, held);
        queue->check_at = core->now + HELD_LATER;
        set_timer (core, queue->check_at);
    }
    send_order (core, queue, items, n);
    return true;
}

/* A worker that is no member any more has nothing that counts. */
static void give_up (core_t *core, drop_queue_t *queue)
{
    while (queue->n > 0) {
        list_t *from = !list_empty (&queue->waiting[0])   ? &queue->waiting[0]
                       : !list_empty (&queue->waiting[1]) ? &queue->waiting[1]
                                                          : &queue->ordered;
        bool last = queue->n == 1;

        drops_confirmed (core, LIST_OF (from->next, drop_t, node));
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
        if (!check_others (core, queue))
            send_order (
                core, queue,
                actions_alloc (core->out, CORE_DROP_ITEMS * sizeof (core_reclaim_t)),
                0);
    }
    if (!list_empty (&self->done) && self->proposal == 0 &&
        core->now >= self->propose_at)
        propose (core);
}
