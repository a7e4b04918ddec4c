/* SPDX-License-Identifier: MPL-2.0 */
/* How full workers are, and which copy goes where. */
#include "broker/core/balance_private.h"

static uint64_t permille (uint64_t bytes, uint64_t capacity)
{
    return capacity >> 10 > 0 ? (bytes >> 10) * 1000 / (capacity >> 10) : 1000;
}

bool balance_takes_part (const worker_t *worker)
{
    return worker->state == WORKER_UP && worker->told && worker->beat.capacity > 0;
}

share_t *balance_share (balance_t *self, uint32_t worker)
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

void balance_take_shares (core_t *core, const event_bytes_t *found)
{
    balance_t *self = core->balance;
    uint64_t bytes = 0, capacity = 0;

    self->n_shares = 0;
    for (size_t i = 0; i < found->n; i++) {
        const worker_t *worker = members_find (core, found->rows[i].worker);
        void *data = self->shares;

        if (!worker || !balance_takes_part (worker))
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

void balance_judge (balance_t *self)
{
    uint64_t most = 0;
    uint32_t source = 0;

    self->farthest = 0;
    self->farthest_worker = 0;
    for (size_t i = 0; i < self->n_shares; i++) {
        const share_t *share = &self->shares[i];
        uint64_t now = permille (share->bytes, share->capacity);
        uint64_t then = permille (planned (self, share), share->capacity);
        uint64_t off = now > self->mean ? now - self->mean : self->mean - now;

        if (off >= self->farthest) {
            self->farthest = off;
            self->farthest_worker = share->worker;
        }
        if (source == 0 || then > most) {
            source = share->worker;
            most = then;
        }
    }
    if (source != self->source)
        self->started = self->fruitful = false;
    self->source = source;
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

uint32_t balance_target (core_t *core, const core_chunk_t *found)
{
    balance_t *self = core->balance;
    const worker_t *source = members_find (core, self->source);
    const share_t *from = balance_share (self, self->source);
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

        if (!worker || !worker->takes || (then > left && !PLANTED (BUG_BALANCE_EVER)) ||
            then >= best_fill || holds (found, share->worker) ||
            nearness (core, found, worker, self->source) >
                nearness (core, found, source, self->source))
            continue;
        best = share->worker;
        best_fill = then;
    }
    return best;
}

bool balance_complete (const core_t *core, const core_chunk_t *found)
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
