/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/drops.h"
#include "broker/core/reclaim_private.h"

bool reclaim_in_use (const core_t *core, const copykey_t *key)
{
    return chunks_find (core, key) != NULL;
}

static core_reclaim_t *grow (core_reclaim_t **list, size_t *n, size_t *cap)
{
    void *data = *list;

    core_grow (&data, cap, *n, sizeof **list);
    *list = data;
    memset (&(*list)[*n], 0, sizeof **list);
    return &(*list)[(*n)++];
}

void reclaim_consider (core_t *core, const core_chunk_t *found, uint64_t index)
{
    reclaim_t *self = core->reclaim;
    bool younger = false, older = false;

    if (found->refs > 0 || found->condemned != index)
        return;
    if (reclaim_in_use (core, &found->key)) {
        self->barren = false;
        return;
    }
    for (uint32_t i = 0; i < found->n_copies && i < CORE_COPIES; i++) {
        const core_copy_t *copy = &found->copies[i];
        const worker_t *worker = members_find (core, copy->worker);
        core_reclaim_t *drop;

        if (!worker || copy->damaged)
            continue;
        if (copy->birth >= index) {
            younger = true;
            continue;
        }
        /* What is on a worker that is away is dropped when it is back. */
        older = true;
        if (!worker_live (worker))
            continue;
        self->barren = false;
        drop = grow (&self->drops, &self->n_drops, &self->cap_drops);
        drop->key = found->key;
        drop->worker = copy->worker;
        drop->limit = index;
    }
    if (older || drops_any (core, &found->key)) {
        self->barren &= !drops_any_live (core, &found->key);
        return;
    }
    self->barren = false;
    if (younger) {
        core_reclaim_t *again =
            grow (&self->agains, &self->n_agains, &self->cap_agains);

        again->key = found->key;
        again->length = found->length;
    } else {
        grow (&self->forgets, &self->n_forgets, &self->cap_forgets)->key = found->key;
    }
}
