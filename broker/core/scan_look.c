/* SPDX-License-Identifier: MPL-2.0 */
/* What is found: too few copies, too many, too near together. */
#include "broker/core/copier.h"
#include "broker/core/scan_private.h"
#include "broker/core/trim.h"
#include "broker/core/uploads.h"

/* Good copies on workers that are there, or may be back at any moment; *STAY gets the
 * N_STAY workers among them that are not drained. */
static uint32_t present_copies (const core_t *core, const core_chunk_t *found,
                                const worker_t **stay, uint32_t *n_stay)
{
    uint32_t n = 0;

    *n_stay = 0;
    for (size_t i = 0; i < found->n_copies; i++) {
        const worker_t *worker = members_find (core, found->copies[i].worker);

        if (!worker || found->copies[i].damaged ||
            !(worker_live (worker) || worker_unsure (worker)))
            continue;
        n++;
        if (worker_stays (worker))
            stay[(*n_stay)++] = worker;
    }
    return n;
}

/* Domains of LEVEL that the N workers stand in. */
static uint32_t domains_of (const worker_t *const *workers, uint32_t n, uint32_t level)
{
    uint32_t distinct = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = 0;

        if (workers[i]->path.depth <= level)
            continue;
        while (k < i &&
               (workers[k]->path.depth <= level ||
                workers[k]->path.nodes[level] != workers[i]->path.nodes[level]))
            k++;
        distinct += k == i;
    }
    return distinct;
}

/* Copies should stand in as many domains of each level as there are. True when one more
 * copy would mend a level where they do not; *COMMON gets how many components it may
 * share with the others for that. */
static bool crowded (core_t *core, const worker_t *const *workers, uint32_t n,
                     uint32_t want, uint32_t *common)
{
    scan_t *self = core->scan;
    bool mend = false;

    for (uint32_t level = 0; level < DOMAIN_DEPTH; level++) {
        uint32_t all = members_domains (core, level);
        uint32_t have = domains_of (workers, n, level);

        if (have >= all || have >= want)
            continue;
        if (self->scanning_all)
            self->tally.crowded[level]++;
        if (domains_at (core->domains, level) > have) {
            mend = true;
            *common = level;
        }
    }
    return mend;
}

void scan_look (core_t *core, const core_chunk_t *found)
{
    scan_t *self = core->scan;
    chunk_t *chunk = chunks_find (core, &found->key);
    const worker_t *stay[CORE_COPIES];
    uint32_t n_stay, common = 0, want = found->replicas;
    bool spread = false;
    uint32_t present = present_copies (core, found, stay, &n_stay);

    if (found->refs == 0) {
        uint32_t promise = 0; /* by uploads that are not committed yet */

        for (list_t *node = chunk ? chunk->pins.next : NULL;
             chunk && node != &chunk->pins; node = node->next) {
            const pin_t *pin = LIST_OF (node, pin_t, in_chunk);

            if (pin->state == PIN_DURABLE && pin->promise > promise)
                promise = pin->promise;
        }
        if (promise > 0 && chunk_live (core, chunk) > 0 &&
            chunk_present (core, chunk) < promise)
            copier_want (core, chunk, promise, COPY_URGENT);
        else if (chunk && found->recorded)
            copier_unwanted (core, chunk);
        return;
    }
    if (n_stay > want) {
        self->tally.surplus += self->scanning_all;
        trim_note (core, &found->key, 0);
    }
    if (chunk && chunk->job) {
        chunks_merge (core, chunk, found);
        copier_settle (core, chunk, want);
    }
    if (present >= want) {
        /* One too many goes first: what is left stands better then. */
        spread = n_stay >= want && crowded (core, stay, n_stay, want, &common) &&
                 n_stay == want;
        self->tally.spread += spread;
        if (!spread && n_stay >= want)
            return;
    }
    if (!(chunk && chunk->job) && copier_full (core) && present > 1) {
        self->again = true;
        return;
    }
    chunk = chunks_get (core, &found->key, found->length);
    chunks_merge (core, chunk, found);
    if (spread)
        copier_spread (core, chunk, want, common);
    else
        copier_want (core, chunk, want, present >= want ? COPY_MOVE : COPY_REPAIR);
}
