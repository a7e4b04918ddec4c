/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/chunks.h"
#include "broker/core/trim_private.h"

bool trim_busy (const core_t *core, const copykey_t *key)
{
    const chunk_t *chunk = chunks_find (core, key);

    return chunk && (!list_empty (&chunk->pins) || chunk->job);
}

/* Distinct domains, over all levels, of the N copies but the one at LEFT_OUT. */
static uint32_t spread (core_t *core, const candidate_t *candidate, uint32_t left_out)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < candidate->n; i++)
        for (uint32_t level = 0; i != left_out && level < DOMAIN_DEPTH; level++) {
            const worker_t *a = members_find (core, candidate->keepers[i].worker);
            bool first = a->path.depth > level;

            for (uint32_t k = 0; first && k < i; k++) {
                const worker_t *b = members_find (core, candidate->keepers[k].worker);

                if (k != left_out && b->path.depth > level &&
                    b->path.nodes[level] == a->path.nodes[level])
                    first = false;
            }
            sum += first;
        }
    return sum;
}

/* In millionths, without the copies that go with this batch: its next ones shall not
 * all be of the same worker. */
static uint64_t fill (const core_t *core, uint32_t id)
{
    const trim_t *self = core->trim;
    const worker_t *worker = members_find (core, id);
    uint64_t used = worker->beat.used, leaves = 0;
    uint64_t capacity = worker->beat.capacity >> 10;

    for (size_t i = 0; i < self->n_batch; i++)
        if (self->batch[i].victim == id)
            leaves += self->batch[i].length;
    used -= leaves < used ? leaves : used;
    return (used >> 10) * 1000000 / (capacity > 0 ? capacity : 1);
}

/* The copy without which the others stand best: of equals the one asked for, else that
 * of the fullest worker. */
static uint32_t choose_victim (core_t *core, const candidate_t *candidate)
{
    uint32_t best = UINT32_MAX, best_spread = 0;
    uint64_t best_fill = 0;

    for (uint32_t i = 0; i < candidate->n; i++) {
        const keeper_t *copy = &candidate->keepers[i];
        uint32_t left = spread (core, candidate, i);
        uint64_t full =
            copy->worker == candidate->source ? UINT64_MAX : fill (core, copy->worker);

        if (best != UINT32_MAX &&
            (left < best_spread || (left == best_spread && full <= best_fill)))
            continue;
        best = i;
        best_spread = left;
        best_fill = full;
    }
    return best;
}

void trim_consider (core_t *core, candidate_t *candidate, const core_chunk_t *found)
{
    uint32_t victim;

    candidate->want = found->replicas;
    candidate->length = found->length;
    candidate->n = 0;
    if (found->refs == 0 || found->replicas == 0)
        return;
    candidate->again = candidate->spoiled || trim_busy (core, &found->key);
    if (candidate->again)
        return;
    for (uint32_t i = 0; i < found->n_copies && i < CORE_COPIES; i++) {
        const core_copy_t *copy = &found->copies[i];

        if (!copy->damaged && worker_steady (members_find (core, copy->worker)))
            candidate->keepers[candidate->n++] =
                (keeper_t){.worker = copy->worker, .birth = copy->birth};
    }
    if (candidate->n + PLANTED (BUG_TRIM_ONE_TOO_MANY) <= candidate->want)
        return;
    /* More than is hashed in a while waits for the next batch. */
    if (core->trim->bytes > 0 && core->trim->bytes + found->length > BATCH_BYTES) {
        candidate->again = candidate->no_room = true;
        return;
    }
    core->trim->bytes += found->length;
    victim = choose_victim (core, candidate);
    candidate->victim = candidate->keepers[victim].worker;
    candidate->birth = candidate->keepers[victim].birth;
    candidate->keepers[victim] = candidate->keepers[--candidate->n];
}
