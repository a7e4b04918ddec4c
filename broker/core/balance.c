/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "broker/core/balance_private.h"
#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/drops.h"
#include "broker/core/place.h"
#include "broker/core/trim.h"

balance_t *balance_new (void)
{
    return core_zalloc (sizeof (balance_t));
}

void balance_destroy (balance_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->shares);
    free (*self_p);
    *self_p = NULL;
}

static void set_timer (core_t *core, uint64_t when)
{
    balance_t *self = core->balance;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_BALANCE, 0);
}

void balance_timer (core_t *core)
{
    balance_t *self = core->balance;

    if (self->timer > core->now)
        return;
    self->timer = 0;
    self->wake = true;
}

void balance_begin (core_t *core)
{
    balance_t *self = core->balance;

    self->said = false;
    self->end = END_NONE;
    self->next = core->now + LOOK_ASKED;
    set_timer (core, self->next);
}

void balance_now (core_t *core)
{
    core->balance->asked = true;
    core->balance->pause = 0;
    core->balance->next = core->now;
    core->balance->wake = true;
}

/* --- figures --- */

static void ask_bytes (core_t *core)
{
    balance_t *self = core->balance;
    action_t *action;
    uint32_t *workers;
    worker_t *const *all;
    size_t n, m = 0;

    all = members_all (core, &n);
    workers = actions_alloc (core->out, n * sizeof *workers + 1);
    for (size_t i = 0; i < n; i++)
        if (balance_takes_part (all[i]))
            workers[m++] = all[i]->member.id;
    self->bytes_token = core_id (core);
    action = actions_add (core->out, ACTION_LOOKUP_BYTES);
    action->u.bytes.token = self->bytes_token;
    action->u.bytes.workers = workers;
    action->u.bytes.n = m;
}

/* Said once: a later walk that finds nothing to move is no news. */
static void ended (core_t *core, enum balance_end how)
{
    balance_t *self = core->balance;

    if (self->end == how && !self->said)
        return;
    core_log (core, LOG_INFO, "rebalance_ends",
              "mean=%llu farthest=%llu moved=%llu as_even_as_possible=%d",
              (unsigned long long)self->mean, (unsigned long long)self->farthest,
              (unsigned long long)self->moved, how == END_STUCK);
    self->said = false;
    self->end = how;
    self->ended_at = core->now;
}

bool balance_bytes (core_t *core, const event_bytes_t *found)
{
    balance_t *self = core->balance;
    bool before = self->active;

    if (self->bytes_token == 0 || found->token != self->bytes_token)
        return false;
    self->bytes_token = 0;
    self->wait = false;
    balance_take_shares (core, found);
    balance_judge (self);
    self->active =
        self->n_shares > 1 && (self->farthest > (self->asked || before ? NEAR : FAR) ||
                               PLANTED (BUG_BALANCE_EVER));
    self->looks++;
    if (!self->active && self->n_moves == 0) {
        self->asked = false;
        if (self->said || self->end == END_STUCK)
            ended (core, END_EVEN);
    }
    self->next =
        core->now + (self->active || self->n_moves > 0 ? LOOK_ASKED : LOOK_SLOW);
    set_timer (core, self->next);
    self->wake = true;
    return true;
}

/* --- moves --- */

static move_t *find_move (balance_t *self, const copykey_t *key)
{
    for (size_t i = 0; i < self->n_moves; i++)
        if (copykey_cmp (&self->moves[i].key, key) == 0)
            return &self->moves[i];
    return NULL;
}

static void end_move (core_t *core, move_t *move)
{
    balance_t *self = core->balance;

    *move = self->moves[--self->n_moves];
    self->wake = true;
}

void balance_copied (core_t *core, const copykey_t *key, bool made)
{
    move_t *move = find_move (core->balance, key);

    if (!move)
        return;
    move->since = core->now;
    if (made)
        trim_note (core, key, move->source);
    else
        end_move (core, move);
}

void balance_moved (core_t *core, const copykey_t *key, bool done)
{
    move_t *move = find_move (core->balance, key);
    share_t *share;

    if (!move)
        return;
    if (!done) {
        end_move (core, move);
        return;
    }
    /* The figures are older than this. */
    if ((share = balance_share (core->balance, move->source)))
        share->bytes -= move->bytes < share->bytes ? move->bytes : share->bytes;
    if ((share = balance_share (core->balance, move->target)))
        share->bytes += move->bytes;
    core->balance->moved++;
    end_move (core, move);
}

static bool room (const core_t *core)
{
    const balance_t *self = core->balance;
    uint64_t bytes = 0;

    for (size_t i = 0; i < self->n_moves; i++)
        bytes += self->moves[i].bytes;
    return self->n_moves < (self->asked ? MOVES_ASKED : MOVES_SLOW) &&
           bytes < (self->asked ? BYTES_ASKED : BYTES_SLOW) &&
           (self->asked || core->now >= self->paced);
}

static bool clients_busy (const core_t *core)
{
    size_t n;
    worker_t *const *all = members_all (core, &n);

    if (place_active (core) > 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (worker_read_from (all[i]))
            return true;
    return false;
}

/* By itself it is no hurry: LENGTH more bytes are moved, the next ones when these could
 * be through. */
static void pace (core_t *core, uint64_t length)
{
    balance_t *self = core->balance;
    uint64_t rate = RATE_SLOW * self->n_shares;

    if (clients_busy (core))
        rate /= RATE_BUSY;
    if (self->paced < core->now)
        self->paced = core->now;
    if (rate > 0)
        self->paced += length * SEC / rate;
}

/* True when there is more to be moved. */
static bool look (core_t *core, const core_chunk_t *found)
{
    balance_t *self = core->balance;
    chunk_t *chunk;
    uint32_t target;

    if (!balance_complete (core, found) || chunks_find (core, &found->key) ||
        find_move (self, &found->key))
        return true;
    target = balance_target (core, found);
    if (target == 0)
        return true;
    if (!self->said) {
        self->said = true;
        self->end = END_NONE;
        core_log (core, LOG_INFO, "rebalance_begins", "mean=%llu farthest=%llu",
                  (unsigned long long)self->mean, (unsigned long long)self->farthest);
    }
    if (!self->asked)
        pace (core, found->length);
    chunk = chunks_get (core, &found->key, found->length);
    chunks_merge (core, chunk, found);
    self->moves[self->n_moves++] = (move_t){.key = found->key,
                                            .source = self->source,
                                            .target = target,
                                            .bytes = found->length,
                                            .since = core->now};
    self->fruitful = true;
    copier_move (core, chunk, found->replicas + 1, target);
    balance_judge (self);
    return room (core);
}

bool balance_scanned (core_t *core, const event_scanned_t *found)
{
    balance_t *self = core->balance;
    uint32_t source = self->source;

    if (self->scan_token == 0 || found->token != self->scan_token)
        return false;
    self->scan_token = 0;
    self->wake = true;
    for (size_t i = 0; i < found->n; i++) {
        bool more = look (core, &found->chunks[i]);

        self->after = found->chunks[i].key;
        self->started = true;
        /* Another one is the fullest now. */
        if (!more || self->source != source) {
            self->started = self->source == source;
            return true;
        }
    }
    if (found->code == DFS_OK && found->more && found->n > 0)
        return true;
    /* At the end: once more from the start, unless there was nothing to be had. */
    self->started = false;
    self->wait = !self->fruitful;
    if (self->wait && self->n_moves == 0) {
        /* As even as domains and chunks allow: looked at again later. */
        if (self->pause < PAUSE_MOST)
            self->pause = self->pause > 0 ? 2 * self->pause : LOOK_SLOW;
        ended (core, END_STUCK);
        self->active = self->asked = false;
        self->next = core->now + self->pause;
        set_timer (core, self->next);
    }
    if (self->fruitful)
        self->pause = 0;
    self->fruitful = false;
    return true;
}

static bool calm (const core_t *core)
{
    core_status_t status = {0};

    copier_status (core, &status);
    return copier_busy (core) == 0 && !status.repair_held && members_all_known (core) &&
           drops_loaded (core);
}

static void forget_lost (core_t *core)
{
    balance_t *self = core->balance;

    for (size_t i = 0; i < self->n_moves;)
        if (core->now > self->moves[i].since + LOST_AFTER)
            end_move (core, &self->moves[i]);
        else
            i++;
}

void balance_flush (core_t *core)
{
    balance_t *self = core->balance;
    action_t *action;

    if (!self->wake || !core->leader)
        return;
    self->wake = false;
    if (self->bytes_token || self->scan_token)
        return;
    if (!calm (core)) {
        set_timer (core, core->now + LOOK_ASKED);
        return;
    }
    if (core->now >= self->next) {
        forget_lost (core);
        ask_bytes (core);
        return;
    }
    set_timer (core, self->next);
    if (self->active && !self->asked && self->paced > core->now)
        set_timer (core, self->paced);
    if (!self->active || self->wait || self->source == 0 || !room (core))
        return;
    action = actions_add (core->out, ACTION_SCAN_WORKER);
    self->scan_token = core_id (core);
    action->u.scan.token = self->scan_token;
    action->u.scan.worker = self->source;
    action->u.scan.from_start = !self->started;
    action->u.scan.after = self->after;
    action->u.scan.max = PAGE;
}

void balance_status (const core_t *core, core_status_t *out)
{
    const balance_t *self = core->balance;

    out->rebalancing = self->asked || self->active;
    out->rebalance_moves = self->n_moves;
    out->rebalance_moved = self->moved;
    out->fill_mean = self->mean;
    out->fill_farthest = self->farthest;
    out->fill_farthest_worker = self->farthest_worker;
    out->rebalance_looks = self->looks;
    out->rebalance_even = self->end == END_EVEN;
    out->rebalance_stuck = self->end == END_STUCK;
    out->rebalance_ended_ns = self->end == END_NONE ? 0 : core->now - self->ended_at;
}
