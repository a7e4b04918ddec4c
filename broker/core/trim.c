/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/trim.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/balance.h"
#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/drops.h"
#include "broker/core/scan.h"
#include "broker/core/trim_private.h"

static bool match_surplus (const void *entry, const void *key)
{
    return copykey_cmp (&((const surplus_t *)entry)->key, key) == 0;
}

trim_t *trim_new (void)
{
    trim_t *self = core_zalloc (sizeof *self);

    self->by_key = table_new (match_surplus);
    list_init (&self->now);
    list_init (&self->later);
    return self;
}

void trim_destroy (trim_t **self_p)
{
    size_t cursor = 0;
    surplus_t *item;

    if (!*self_p)
        return;
    while ((item = table_next ((*self_p)->by_key, &cursor)))
        free (item);
    table_destroy (&(*self_p)->by_key);
    free ((*self_p)->hashing);
    free (*self_p);
    *self_p = NULL;
}

size_t trim_count (const core_t *core)
{
    return table_count (core->trim->by_key) + core->trim->n_batch;
}

uint64_t trim_done (const core_t *core)
{
    return core->trim->done;
}

static void set_timer (core_t *core, uint64_t when)
{
    trim_t *self = core->trim;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_TRIM, 0);
}

void trim_timer (core_t *core)
{
    trim_t *self = core->trim;

    if (self->timer > core->now)
        return;
    self->timer = 0;
    self->wake = true;
}

static candidate_t *in_batch (trim_t *self, const copykey_t *key)
{
    for (size_t i = 0; i < self->n_batch; i++)
        if (copykey_cmp (&self->batch[i].key, key) == 0)
            return &self->batch[i];
    return NULL;
}

/* Looked at after WAIT: 0 or trim_delay_ns, so that the list is in order. */
static void note (core_t *core, const copykey_t *key, uint32_t source, uint64_t wait)
{
    trim_t *self = core->trim;
    surplus_t *item = table_get (self->by_key, copykey_hash (key), key);
    candidate_t *candidate = item ? NULL : in_batch (self, key);

    if (candidate) {
        candidate->noted = true;
        candidate->next_source = source > 0 ? source : candidate->next_source;
    }
    if (candidate || (item && (source == 0 || item->source != 0)))
        return;
    if (!item) {
        if (table_count (self->by_key) >= WAITING_MAX)
            return;
        item = core_zalloc (sizeof *item);
        item->key = *key;
        list_init (&item->node);
        table_put (self->by_key, copykey_hash (key), item);
    }
    list_remove (&item->node);
    item->source = source;
    item->due = core->now + wait;
    list_push (wait == 0 ? &self->now : &self->later, &item->node);
    self->wake = true;
}

void trim_note (core_t *core, const copykey_t *key, uint32_t source)
{
    note (core, key, source, source > 0 ? 0 : core->config.trim_delay_ns);
}

void trim_chunk_changed (core_t *core, const copykey_t *key)
{
    candidate_t *candidate;

    if (core->trim->n_batch == 0)
        return;
    candidate = in_batch (core->trim, key);
    if (candidate)
        candidate->spoiled = true;
}

/* --- the batch --- */

static void end_batch (core_t *core)
{
    trim_t *self = core->trim;

    size_t n = self->n_batch;

    self->n_batch = 0;
    for (size_t i = 0; i < n; i++) {
        candidate_t *candidate = &self->batch[i];
        bool now = candidate->next_source > 0;

        /* A move that could not be decided stays one. What stood in its way may last:
         * only one that the batch had no room for is looked at again at once. */
        if (candidate->source > 0 && candidate->again && candidate->next_source == 0) {
            candidate->next_source = candidate->source;
            now = candidate->no_room;
        } else if (candidate->source > 0)
            balance_moved (core, &candidate->key,
                           candidate->gone && candidate->victim == candidate->source);
        if (candidate->again || candidate->noted)
            note (core, &candidate->key, candidate->next_source,
                  now ? 0 : core->config.trim_delay_ns);
    }
    self->n_hashing = 0;
    self->token = 0;
    self->state = BATCH_NONE;
    self->wake = true;
}

static bool take (core_t *core, list_t *from)
{
    trim_t *self = core->trim;
    surplus_t *item;

    if (list_empty (from) || self->n_batch == BATCH)
        return false;
    item = LIST_OF (from->next, surplus_t, node);
    if (item->due > core->now) {
        set_timer (core, item->due);
        return false;
    }
    self->batch[self->n_batch++] =
        (candidate_t){.key = item->key, .source = item->source};
    list_remove (&item->node);
    table_remove (self->by_key, copykey_hash (&item->key), &item->key);
    free (item);
    return true;
}

static void begin_batch (core_t *core)
{
    trim_t *self = core->trim;
    copykey_t *keys;
    action_t *action;

    while (take (core, &self->now))
        ;
    while (take (core, &self->later))
        ;
    if (self->n_batch == 0)
        return;
    keys = actions_alloc (core->out, self->n_batch * sizeof *keys);
    for (size_t i = 0; i < self->n_batch; i++)
        keys[i] = self->batch[i].key;
    self->state = BATCH_LOOKUP;
    self->bytes = 0;
    self->token = core_id (core);
    action = actions_add (core->out, ACTION_LOOKUP_CHUNKS);
    action->u.chunks.token = self->token;
    action->u.chunks.keys = keys;
    action->u.chunks.n = self->n_batch;
}

static hashing_t *hashing_at (trim_t *self, uint32_t worker)
{
    void *data = self->hashing;

    for (size_t i = 0; i < self->n_hashing; i++)
        if (self->hashing[i].worker == worker)
            return &self->hashing[i];
    core_grow (&data, &self->cap_hashing, self->n_hashing, sizeof *self->hashing);
    self->hashing = data;
    self->hashing[self->n_hashing] = (hashing_t){.worker = worker};
    return &self->hashing[self->n_hashing++];
}

static void order_hashing (core_t *core)
{
    trim_t *self = core->trim;

    for (size_t i = 0; i < self->n_batch; i++)
        for (uint32_t k = 0; self->batch[i].victim > 0 && k < self->batch[i].n; k++)
            hashing_at (self, self->batch[i].keepers[k].worker)->waiting++;
    for (size_t h = 0; h < self->n_hashing; h++) {
        hashing_t *hashing = &self->hashing[h];
        copykey_t *keys = actions_alloc (core->out, hashing->waiting * sizeof *keys);
        action_t *action = actions_add (core->out, ACTION_VERIFY_ORDER);
        size_t n = 0;

        for (size_t i = 0; i < self->n_batch; i++)
            for (uint32_t k = 0; self->batch[i].victim > 0 && k < self->batch[i].n; k++)
                if (self->batch[i].keepers[k].worker == hashing->worker)
                    keys[n++] = self->batch[i].key;
        hashing->order = core_id (core);
        action->u.verify_order.order = hashing->order;
        action->u.verify_order.worker = hashing->worker;
        action->u.verify_order.keys = keys;
        action->u.verify_order.n = n;
    }
    self->state = BATCH_HASH;
    self->deadline = core->now + HASH_WAIT;
    set_timer (core, self->deadline);
    self->wake = true;
}

bool trim_found (core_t *core, const event_chunks_t *found)
{
    trim_t *self = core->trim;

    if (self->state != BATCH_LOOKUP || found->token != self->token)
        return false;
    for (size_t i = 0; i < found->n && i < self->n_batch; i++)
        trim_consider (core, &self->batch[i], &found->chunks[i]);
    order_hashing (core);
    for (size_t i = 0; PLANTED (BUG_TRIM_UNHASHED) && i < self->n_batch; i++)
        for (uint32_t k = 0; k < self->batch[i].n; k++)
            self->batch[i].keepers[k].whole = true;
    if (PLANTED (BUG_TRIM_UNHASHED))
        self->n_hashing = 0;
    return true;
}

bool trim_result (core_t *core, const event_order_t *event)
{
    trim_t *self = core->trim;
    hashing_t *hashing = NULL;
    const worker_t *worker = members_find (core, event->worker);

    for (size_t h = 0; self->state == BATCH_HASH && h < self->n_hashing; h++)
        if (self->hashing[h].order == event->order &&
            self->hashing[h].worker == event->worker)
            hashing = &self->hashing[h];
    if (!hashing)
        return false;
    for (size_t i = 0; i < event->n && hashing->waiting > 0; i++) {
        candidate_t *candidate = in_batch (self, &event->verified[i].key);

        hashing->waiting--;
        for (uint32_t k = 0; candidate && k < candidate->n; k++)
            if (candidate->keepers[k].worker == event->worker && worker) {
                candidate->keepers[k].whole = event->verified[i].code == DFS_OK;
                candidate->keepers[k].epoch = worker->epoch;
            }
    }
    if (event->code != DFS_OK)
        hashing->waiting = 0;
    if (event->n > 0)
        self->deadline = core->now + HASH_WAIT;
    self->wake = true;
    return true;
}

static bool hashed (const trim_t *self, uint64_t now)
{
    for (size_t h = 0; h < self->n_hashing; h++)
        if (self->hashing[h].waiting > 0)
            return now >= self->deadline;
    return true;
}

void trim_worker_down (core_t *core, const worker_t *worker)
{
    trim_t *self = core->trim;

    for (size_t h = 0; h < self->n_hashing; h++)
        if (self->hashing[h].worker == worker->member.id)
            self->hashing[h].waiting = 0;
    /* It may come back with another disk. */
    for (size_t i = 0; i < self->n_batch; i++)
        for (uint32_t k = 0; k < self->batch[i].n; k++)
            if (self->batch[i].keepers[k].worker == worker->member.id)
                self->batch[i].spoiled = true;
    self->wake = true;
}

/* The copies that are known to be whole, on workers to count on, are enough. */
static bool may_go (core_t *core, candidate_t *candidate, core_reclaim_t *out)
{
    memset (out, 0, sizeof *out);
    if (candidate->victim == 0)
        return false;
    candidate->again = true;
    if (candidate->spoiled || trim_busy (core, &candidate->key))
        return false;
    out->key = candidate->key;
    out->worker = candidate->victim;
    out->limit = candidate->birth + 1;
    out->trim = true;
    for (uint32_t k = 0; k < candidate->n; k++) {
        const keeper_t *keeper = &candidate->keepers[k];
        const worker_t *worker = members_find (core, keeper->worker);

        if (keeper->whole && worker_steady (worker) &&
            (keeper->epoch == worker->epoch || PLANTED (BUG_TRIM_UNHASHED)))
            out->keep[out->n_keep++] = keeper->worker;
    }
    candidate->again = out->n_keep + PLANTED (BUG_TRIM_ONE_TOO_MANY) < candidate->want;
    return !candidate->again;
}

static void propose (core_t *core)
{
    trim_t *self = core->trim;
    core_reclaim_t *items =
        actions_alloc (core->out, self->n_batch * sizeof *items + 1);
    action_t *action;
    size_t n = 0;

    for (size_t i = 0; i < self->n_batch; i++)
        n += may_go (core, &self->batch[i], &items[n]);
    if (n == 0) {
        end_batch (core);
        return;
    }
    self->state = BATCH_PROPOSED;
    self->token = core_id (core);
    self->recount = true;
    action = actions_add (core->out, ACTION_PROPOSE);
    action->u.propose.token = self->token;
    action->u.propose.what = PROPOSE_DROP;
    action->u.propose.items = items;
    action->u.propose.n = n;
}

bool trim_proposed (core_t *core, const event_proposed_t *event)
{
    trim_t *self = core->trim;

    if (self->state != BATCH_PROPOSED || event->token != self->token)
        return false;
    /* The entry passes over what does not hold any more when it is applied. */
    for (size_t i = 0; i < self->n_batch; i++) {
        candidate_t *candidate = &self->batch[i];

        if (candidate->victim == 0 || candidate->again)
            continue;
        candidate->gone = drops_limit (core, &candidate->key, candidate->victim) > 0;
        candidate->again = !candidate->gone;
        self->done += candidate->gone;
    }
    end_batch (core);
    return true;
}

/* Nothing is missing anywhere, and everybody has told what there is. */
static bool calm (const core_t *core)
{
    core_status_t status = {0};

    copier_status (core, &status);
    return copier_busy (core) == 0 && !status.repair_held && members_all_known (core) &&
           drops_loaded (core);
}

void trim_flush (core_t *core)
{
    trim_t *self = core->trim;

    if (!self->wake || !core->leader)
        return;
    self->wake = false;
    if (self->state == BATCH_HASH) {
        if (hashed (self, core->now))
            propose (core);
        else
            set_timer (core, self->deadline);
    }
    if (self->state != BATCH_NONE)
        return;
    if (list_empty (&self->now) && list_empty (&self->later)) {
        /* What the last pass counted has changed. */
        if (self->recount && core->now >= self->recount_at) {
            self->recount = false;
            self->recount_at = core->now + scan_pause (core);
            scan_all (core);
        } else if (self->recount) {
            set_timer (core, self->recount_at);
        }
        return;
    }
    if (!calm (core)) {
        set_timer (core, core->now + LOOK_LATER);
        return;
    }
    begin_batch (core);
}
