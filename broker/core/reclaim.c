/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/reclaim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/drops.h"
#include "broker/core/reclaim_private.h"
#include "broker/core/unknown.h"

reclaim_t *reclaim_new (void)
{
    reclaim_t *self = core_zalloc (sizeof *self);

    self->abandoned = core_zalloc (ABANDONED_MAX * sizeof *self->abandoned);
    return self;
}

void reclaim_destroy (reclaim_t **self_p)
{
    reclaim_t *self = *self_p;

    if (!self)
        return;
    free (self->drops);
    free (self->forgets);
    free (self->agains);
    free (self->abandoned);
    free (self);
    *self_p = NULL;
}

bool reclaim_held (const core_t *core)
{
    return core->reclaim->held || !core->reclaim->hold_known;
}

static void set_timer (core_t *core, uint64_t when)
{
    reclaim_t *self = core->reclaim;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_RECLAIM, 0);
}

void reclaim_timer (core_t *core)
{
    reclaim_t *self = core->reclaim;

    if (self->timer > core->now)
        return;
    self->timer = 0;
    self->wake = true;
}

void reclaim_wake (core_t *core)
{
    core->reclaim->wake = true;
}

static uint64_t round_every (const core_t *core)
{
    uint64_t every = core->config.reclaim_grace_ns / 4;

    return every < ROUND_MIN ? ROUND_MIN : every > ROUND_MAX ? ROUND_MAX : every;
}

/* --- asking --- */

static void ask_list (core_t *core, enum reclaim_state state, bool from_start)
{
    reclaim_t *self = core->reclaim;
    action_t *action = actions_add (core->out, ACTION_LOOKUP_RECLAIM);

    self->state = state;
    self->token = core_id (core);
    action->u.reclaim.token = self->token;
    action->u.reclaim.list =
        state == RECLAIM_FREE ? CORE_LIST_FREE : CORE_LIST_CONDEMNED;
    action->u.reclaim.from_start = from_start;
    action->u.reclaim.after = self->after;
    action->u.reclaim.max = PAGE;
}

static void ask_copies (core_t *core, enum reclaim_state state)
{
    reclaim_t *self = core->reclaim;
    copykey_t *keys = actions_alloc (core->out, self->n_rows * sizeof *keys + 1);
    action_t *action = actions_add (core->out, ACTION_LOOKUP_CHUNKS);

    for (size_t i = 0; i < self->n_rows; i++)
        keys[i] = self->rows[i].key;
    self->state = state;
    self->token = core_id (core);
    action->u.chunks.token = self->token;
    action->u.chunks.keys = keys;
    action->u.chunks.n = self->n_rows;
}

/* The list from its start, behind what waits for workers that are away. */
static void ask_condemned (core_t *core)
{
    reclaim_t *self = core->reclaim;

    self->all_barren = true;
    if (self->passed_known)
        self->after = self->passed;
    ask_list (core, RECLAIM_CONDEMNED, !self->passed_known);
}

void reclaim_worker_changed (core_t *core)
{
    if (PLANTED (BUG_PASSED_OVER))
        return;
    core->reclaim->passed_known = core->reclaim->all_barren = false;
}

static void propose (core_t *core, enum reclaim_state state, enum core_proposal what,
                     const core_reclaim_t *items, size_t n)
{
    reclaim_t *self = core->reclaim;
    action_t *action = actions_add (core->out, ACTION_PROPOSE);

    self->state = state;
    self->token = core_id (core);
    action->u.propose.token = self->token;
    action->u.propose.what = what;
    action->u.propose.items = actions_dup (core->out, items, n * sizeof *items);
    action->u.propose.n = n;
}

static void rest (core_t *core)
{
    reclaim_t *self = core->reclaim;

    self->state = RECLAIM_IDLE;
    self->wake = true;
}

/* The round begins anew later: something failed. */
static void give_up (core_t *core)
{
    reclaim_t *self = core->reclaim;

    self->state = RECLAIM_IDLE;
    self->next = core->now + round_every (core);
    set_timer (core, self->next);
}

/* --- condemning --- */

static void found_free (core_t *core, const event_reclaim_t *found)
{
    reclaim_t *self = core->reclaim;

    self->n_rows = 0;
    for (size_t i = 0; i < found->n && i < PAGE; i++) {
        chunk_t *chunk = chunks_find (core, &found->rows[i].key);

        if (chunk)
            copier_unwanted (core, chunk);
        if (!reclaim_in_use (core, &found->rows[i].key))
            self->rows[self->n_rows++] = found->rows[i];
    }
    self->more = found->more && found->n > 0;
    if (self->more)
        self->after = found->rows[found->n - 1];
    if (self->n_rows > 0)
        propose (core, RECLAIM_CONDEMN, PROPOSE_CONDEMN, self->rows, self->n_rows);
    else if (self->more)
        ask_list (core, RECLAIM_FREE, false);
    else
        ask_condemned (core);
}

/* --- dropping --- */

static void end_page (reclaim_t *self)
{
    self->all_barren &= self->barren;
    if (!self->all_barren)
        return;
    self->passed_known = true;
    self->passed = self->last;
}

static void found_condemned (core_t *core, const event_reclaim_t *found)
{
    reclaim_t *self = core->reclaim;
    bool young = false;

    self->n_rows = 0;
    self->barren = true;
    for (size_t i = 0; i < found->n && i < PAGE; i++) {
        const core_reclaim_t *row = &found->rows[i];

        young = row->time_ns + core->config.reclaim_grace_ns > core->log_time &&
                !PLANTED (BUG_NO_GRACE);
        if (young)
            break;
        self->last = *row;
        if (reclaim_in_use (core, &row->key))
            self->barren = false;
        else
            self->rows[self->n_rows++] = *row;
    }
    self->all_barren &= self->barren;
    self->more = found->more && found->n > 0 && !young &&
                 drops_under_way (core) + PAGE * CORE_COPIES < DROPS_MAX;
    if (self->more)
        self->after = found->rows[found->n - 1];
    if (self->n_rows > 0)
        ask_copies (core, RECLAIM_COPIES);
    else if (self->more)
        ask_list (core, RECLAIM_CONDEMNED, false);
    else
        rest (core);
}

/* What the page came to, one proposal after the other. */
static void go_on (core_t *core)
{
    reclaim_t *self = core->reclaim;
    size_t n;

    if (self->n_drops > 0) {
        n = self->n_drops < CORE_RECLAIM_ROWS ? self->n_drops : CORE_RECLAIM_ROWS;
        self->n_drops -= n;
        self->dropped += n;
        propose (core, RECLAIM_DROP, PROPOSE_DROP, self->drops + self->n_drops, n);
    } else if (self->n_forgets > 0) {
        n = self->n_forgets;
        self->n_forgets = 0;
        propose (core, RECLAIM_FORGET, PROPOSE_FORGET, self->forgets, n);
    } else if (self->n_agains > 0) {
        n = self->n_agains;
        self->n_agains = 0;
        propose (core, RECLAIM_AGAIN, PROPOSE_CONDEMN, self->agains, n);
    } else if (self->more) {
        ask_list (core, RECLAIM_CONDEMNED, false);
    } else {
        rest (core);
    }
}

/* --- what uploads left behind --- */

void reclaim_abandoned (core_t *core, const copykey_t *key, bool in_flight)
{
    reclaim_t *self = core->reclaim;
    uint64_t due = core->now + (in_flight ? core->config.upload_timeout_ns : 0);

    if (!core->leader || self->n_abandoned == ABANDONED_MAX)
        return;
    self->abandoned[(self->first + self->n_abandoned++) % ABANDONED_MAX] =
        (abandoned_t){*key, due};
}

static bool ask_abandoned (core_t *core)
{
    reclaim_t *self = core->reclaim;

    self->n_rows = 0;
    /* One that is not due yet is looked at in its turn; a later one waits behind it. */
    while (self->n_abandoned > 0 && self->n_rows < PAGE) {
        abandoned_t *next = &self->abandoned[self->first];

        if (next->due > core->now)
            break;
        memset (&self->rows[self->n_rows], 0, sizeof self->rows[0]);
        self->rows[self->n_rows++].key = next->key;
        self->first = (self->first + 1) % ABANDONED_MAX;
        self->n_abandoned--;
    }
    if (self->n_rows == 0)
        return false;
    ask_copies (core, RECLAIM_ABANDONED);
    return true;
}

static void found_abandoned (core_t *core, const event_chunks_t *found)
{
    reclaim_t *self = core->reclaim;

    self->n_rows = 0;
    for (size_t i = 0; i < found->n && i < PAGE; i++) {
        const core_chunk_t *chunk = &found->chunks[i];

        if (chunk->recorded || chunk->n_copies == 0 ||
            reclaim_in_use (core, &chunk->key))
            continue;
        memset (&self->rows[self->n_rows], 0, sizeof self->rows[0]);
        self->rows[self->n_rows].key = chunk->key;
        self->rows[self->n_rows++].length = chunk->length;
    }
    if (self->n_rows > 0)
        propose (core, RECLAIM_UNKNOWN, PROPOSE_CONDEMN, self->rows, self->n_rows);
    else
        rest (core);
}

/* --- events --- */

bool reclaim_found (core_t *core, const event_reclaim_t *found)
{
    reclaim_t *self = core->reclaim;

    if (self->token == 0 || found->token != self->token)
        return false;
    self->token = 0;
    self->held = found->held;
    self->hold_index = found->hold_index;
    self->hold_known = true;
    if (!self->held)
        drops_wake (core);
    if (found->code != DFS_OK || self->held)
        give_up (core);
    else if (self->state == RECLAIM_FREE)
        found_free (core, found);
    else if (self->state == RECLAIM_CONDEMNED)
        found_condemned (core, found);
    else
        rest (core);
    return true;
}

bool reclaim_chunks (core_t *core, const event_chunks_t *found)
{
    reclaim_t *self = core->reclaim;

    if (self->token == 0 || found->token != self->token)
        return false;
    self->token = 0;
    if (found->code != DFS_OK || reclaim_held (core)) {
        give_up (core);
    } else if (self->state == RECLAIM_ABANDONED) {
        found_abandoned (core, found);
    } else {
        self->n_drops = self->n_forgets = self->n_agains = 0;
        for (size_t i = 0; i < found->n && i < self->n_rows; i++)
            reclaim_consider (core, &found->chunks[i], self->rows[i].index);
        end_page (self);
        go_on (core);
    }
    return true;
}

bool reclaim_scanned (core_t *core, const event_scanned_t *found)
{
    return unknown_scanned (core, found);
}

bool reclaim_proposed (core_t *core, const event_proposed_t *event)
{
    reclaim_t *self = core->reclaim;

    if (self->token == 0 || event->token != self->token)
        return unknown_proposed (core, event);
    self->token = 0;
    if (event->code != DFS_OK || reclaim_held (core)) {
        give_up (core);
        return true;
    }
    switch (self->state) {
    case RECLAIM_CONDEMN:
        self->condemned += self->n_rows;
        if (self->more)
            ask_list (core, RECLAIM_FREE, false);
        else
            ask_condemned (core);
        break;
    case RECLAIM_DROP:
    case RECLAIM_FORGET:
    case RECLAIM_AGAIN:
        go_on (core);
        break;
    default:
        rest (core);
    }
    return true;
}

/* The answers that are out were given under a condemnation that is over, or before one:
 * whoever has them asks again. */
static void mark (core_t *core, const copykey_t *key, uint64_t index)
{
    chunk_t *chunk = chunks_find (core, key);

    if (chunk)
        chunk_condemn (core, chunk, index);
}

void reclaim_effect (core_t *core, const core_effect_t *effect)
{
    switch (effect->kind) {
    case CORE_CONDEMNED:
        mark (core, &effect->key, effect->index);
        break;
    case CORE_LIFTED:
        mark (core, &effect->key, 0);
        break;
    case CORE_DROP:
    case CORE_DROPPED:
        drops_effect (core, effect);
        break;
    case CORE_HOLD:
        /* Read again before anything else is done. */
        core->reclaim->hold_known = false;
        core->reclaim->next = core->now;
        core->reclaim->wake = true;
        break;
    default:
        break;
    }
}

void reclaim_begin (core_t *core)
{
    reclaim_t *self = core->reclaim;

    self->since = core->now;
    self->wake = true;
    unknown_begin (core);
}

void reclaim_status (const core_t *core, core_status_t *out)
{
    out->reclaim_condemned = core->reclaim->condemned;
    out->reclaim_dropped = core->reclaim->dropped;
    out->reclaim_waits =
        core->leader && !core->reclaim->held &&
        (core->now < core->reclaim->since + core->config.upload_timeout_ns ||
         !members_all_known (core) || core->clock_off);
}

/* --- rounds --- */

/* Enough is known to say that nothing refers to a chunk, and where its copies are. */
static bool may_act (core_t *core)
{
    uint64_t from = core->reclaim->since + core->config.upload_timeout_ns;

    if (core->now < from) {
        set_timer (core, from);
        return false;
    }
    if (members_all_known (core) && drops_loaded (core) &&
        (!core->clock_off || PLANTED (BUG_CLOCK)))
        return true;
    set_timer (core, core->now + WAIT_LATER);
    return false;
}

void reclaim_flush (core_t *core)
{
    reclaim_t *self = core->reclaim;

    if (!self->wake || !core->leader)
        return;
    self->wake = false;
    if (self->state != RECLAIM_IDLE)
        return;
    if (!self->hold_known) {
        ask_list (core, RECLAIM_UNKNOWN, true);
        return;
    }
    if (self->held || !may_act (core))
        return;
    if (ask_abandoned (core))
        return;
    if (core->now >= self->next) {
        self->next = core->now + round_every (core);
        set_timer (core, self->next);
        ask_list (core, RECLAIM_FREE, true);
        return;
    }
    set_timer (core, self->next);
    unknown_go (core, self->hold_index);
}
