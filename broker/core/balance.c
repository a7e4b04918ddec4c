/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/balance.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/drops.h"
#include "broker/core/trim.h"

/* Fill in thousandths of a worker's capacity. */
#define FAR         50 /* from the mean: then it begins by itself */
#define NEAR        40 /* everybody is so near: done */
#define PAGE        256
#define MOVES_ASKED 64
#define MOVES_SLOW  8
#define BYTES_ASKED (256 * MIB)
#define BYTES_SLOW  (32 * MIB)
#define LOOK_ASKED  SEC
#define LOOK_SLOW   (60 * SEC)
#define PAUSE_MOST  (3600 * SEC)
#define LOST_AFTER  (600 * SEC) /* a move of which nothing was heard */

typedef struct move {
    copykey_t key;
    uint32_t source;
    uint32_t target;
    uint64_t bytes;
    uint64_t since;
} move_t;

typedef struct share {
    uint32_t worker;
    uint64_t bytes;
    uint64_t capacity;
} share_t;

struct balance {
    bool asked, active; /* an operator did; workers are too far apart */
    uint64_t next;
    uint64_t timer;
    bool wake;
    uint64_t bytes_token;
    uint64_t scan_token;
    share_t *shares;
    size_t n_shares;
    size_t cap_shares;
    uint64_t mean; /* thousandths */
    uint64_t farthest;
    uint32_t source;
    copykey_t after;
    bool started;   /* AFTER is a place in the source's list */
    bool fruitful;  /* this walk through it found something */
    bool wait;      /* for fresh figures */
    uint64_t pause; /* after a walk that found nothing */
    move_t moves[MOVES_ASKED];
    size_t n_moves;
    uint64_t moved;
};

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
    core->balance->next = core->now + LOOK_ASKED;
    set_timer (core, core->balance->next);
}

void balance_now (core_t *core)
{
    core->balance->asked = true;
    core->balance->pause = 0;
    core->balance->next = core->now;
    core->balance->wake = true;
}

/* --- figures --- */

static uint64_t permille (uint64_t bytes, uint64_t capacity)
{
    return capacity >> 10 > 0 ? (bytes >> 10) * 1000 / (capacity >> 10) : 1000;
}

static bool takes_part (const worker_t *worker)
{
    return worker->state == WORKER_UP && worker->told && worker->beat.capacity > 0;
}

static share_t *share_of (balance_t *self, uint32_t worker)
{
    for (size_t i = 0; i < self->n_shares; i++)
        if (self->shares[i].worker == worker)
            return &self->shares[i];
    return NULL;
}

/* What SHARE comes to when the moves that are under way are done. */
static uint64_t planned (const balance_t *self, const share_t *share)
{
    uint64_t bytes = share->bytes;

    for (size_t i = 0; i < self->n_moves; i++) {
        if (self->moves[i].target == share->worker)
            bytes += self->moves[i].bytes;
        else if (self->moves[i].source == share->worker)
            bytes -= self->moves[i].bytes < bytes ? self->moves[i].bytes : bytes;
    }
    return bytes;
}

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
        if (takes_part (all[i]))
            workers[m++] = all[i]->member.id;
    self->bytes_token = core_id (core);
    action = actions_add (core->out, ACTION_LOOKUP_BYTES);
    action->u.bytes.token = self->bytes_token;
    action->u.bytes.workers = workers;
    action->u.bytes.n = m;
}

static void take_shares (core_t *core, const event_bytes_t *found)
{
    balance_t *self = core->balance;
    uint64_t bytes = 0, capacity = 0;

    self->n_shares = 0;
    for (size_t i = 0; i < found->n; i++) {
        const worker_t *worker = members_find (core, found->rows[i].worker);
        void *data = self->shares;

        if (!worker || !takes_part (worker))
            continue;
        core_grow (&data, &self->cap_shares, self->n_shares, sizeof *self->shares);
        self->shares = data;
        self->shares[self->n_shares++] =
            (share_t){worker->member.id, found->rows[i].bytes, worker->beat.capacity};
        bytes += found->rows[i].bytes;
        capacity += worker->beat.capacity;
    }
    self->mean = permille (bytes, capacity);
}

/* The worker farthest from the mean, and the one from which the next copies go. */
static void judge (balance_t *self)
{
    uint64_t most = 0;
    uint32_t source = 0;

    self->farthest = 0;
    for (size_t i = 0; i < self->n_shares; i++) {
        const share_t *share = &self->shares[i];
        uint64_t now = permille (share->bytes, share->capacity);
        uint64_t then = permille (planned (self, share), share->capacity);
        uint64_t off = now > self->mean ? now - self->mean : self->mean - now;

        if (off > self->farthest)
            self->farthest = off;
        if (source == 0 || then > most) {
            source = share->worker;
            most = then;
        }
    }
    if (source != self->source)
        self->started = self->fruitful = false;
    self->source = source;
}

bool balance_bytes (core_t *core, const event_bytes_t *found)
{
    balance_t *self = core->balance;
    bool before = self->active;

    if (self->bytes_token == 0 || found->token != self->bytes_token)
        return false;
    self->bytes_token = 0;
    self->wait = false;
    take_shares (core, found);
    judge (self);
    self->active =
        self->n_shares > 1 && (self->farthest > (self->asked || before ? NEAR : FAR) ||
                               PLANTED (BUG_BALANCE_EVER));
    if (!self->active && self->n_moves == 0)
        self->asked = false;
    if (before != self->active)
        core_log (core, LOG_INFO, self->active ? "rebalance_begins" : "rebalance_ends",
                  "mean=%llu farthest=%llu moved=%llu", (unsigned long long)self->mean,
                  (unsigned long long)self->farthest, (unsigned long long)self->moved);
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
    if ((share = share_of (core->balance, move->source)))
        share->bytes -= move->bytes < share->bytes ? move->bytes : share->bytes;
    if ((share = share_of (core->balance, move->target)))
        share->bytes += move->bytes;
    core->balance->moved++;
    end_move (core, move);
}

/* Components that WORKER shares with the nearest copy but SOURCE's. */
static uint32_t nearness (const core_t *core, const core_chunk_t *found,
                          const worker_t *worker, uint32_t source)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < found->n_copies; i++) {
        const worker_t *other = members_find (core, found->copies[i].worker);
        uint32_t common;

        if (found->copies[i].worker == source || !other)
            continue;
        common = domains_common (&worker->path, &other->path);
        if (common > most)
            most = common;
    }
    return most;
}

static bool holds (const core_chunk_t *found, uint32_t worker)
{
    for (uint32_t i = 0; i < found->n_copies; i++)
        if (found->copies[i].worker == worker)
            return true;
    return false;
}

/* The emptiest worker that may have FOUND instead of the source: no nearer to the other
 * copies, and not fuller than the source afterwards. */
static uint32_t choose_target (core_t *core, const core_chunk_t *found)
{
    balance_t *self = core->balance;
    const worker_t *source = members_find (core, self->source);
    const share_t *from = share_of (self, self->source);
    uint64_t left, best_fill = UINT64_MAX;
    uint32_t best = 0;

    if (!source || !from)
        return 0;
    left = planned (self, from);
    left = permille (left > found->length ? left - found->length : 0, from->capacity);
    for (size_t i = 0; i < self->n_shares; i++) {
        const share_t *share = &self->shares[i];
        const worker_t *worker = members_find (core, share->worker);
        uint64_t then =
            permille (planned (self, share) + found->length, share->capacity);

        if (!worker || worker->place_pos == SIZE_MAX ||
            (then > left && !PLANTED (BUG_BALANCE_EVER)) || then >= best_fill ||
            holds (found, share->worker) ||
            nearness (core, found, worker, self->source) >
                nearness (core, found, source, self->source))
            continue;
        best = share->worker;
        best_fill = then;
    }
    return best;
}

/* All copies that it shall have are there, on workers to count on, and no more. */
static bool complete (const core_t *core, const core_chunk_t *found)
{
    if (found->refs == 0 || found->n_copies != found->replicas ||
        found->n_copies >= CORE_COPIES)
        return false;
    for (uint32_t i = 0; i < found->n_copies; i++)
        if (found->copies[i].damaged ||
            !worker_steady (members_find (core, found->copies[i].worker)))
            return false;
    return true;
}

static bool room (const core_t *core)
{
    const balance_t *self = core->balance;
    uint64_t bytes = 0;

    for (size_t i = 0; i < self->n_moves; i++)
        bytes += self->moves[i].bytes;
    return self->n_moves < (self->asked ? MOVES_ASKED : MOVES_SLOW) &&
           bytes < (self->asked ? BYTES_ASKED : BYTES_SLOW);
}

/* True when there is more to be moved. */
static bool look (core_t *core, const core_chunk_t *found)
{
    balance_t *self = core->balance;
    chunk_t *chunk;
    uint32_t target;

    if (!complete (core, found) || chunks_find (core, &found->key) ||
        find_move (self, &found->key))
        return true;
    target = choose_target (core, found);
    if (target == 0)
        return true;
    chunk = chunks_get (core, &found->key, found->length);
    chunks_merge (core, chunk, found);
    self->moves[self->n_moves++] = (move_t){.key = found->key,
                                            .source = self->source,
                                            .target = target,
                                            .bytes = found->length,
                                            .since = core->now};
    self->fruitful = true;
    copier_move (core, chunk, found->replicas + 1, target);
    judge (self);
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
        core_log (core, LOG_INFO, "rebalance_ends",
                  "farthest=%llu as_even_as_possible=1",
                  (unsigned long long)self->farthest);
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
}
