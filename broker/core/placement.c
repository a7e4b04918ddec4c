/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/placement.h"

#include <string.h>

#define SCAN_ALL 32 /* so many workers are all looked at */
#define SAMPLE   12 /* of more, so many at random */

/* Best candidate so far: the fewer components shared with those that have a copy, the
 * better; equals by weighted lot. */
typedef struct best {
    worker_t *worker;
    uint32_t common;
    uint64_t weight; /* sum of the equals' weights */
} best_t;

static bool contains (const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static uint64_t weight (const worker_t *worker)
{
    uint64_t room = (worker_free (worker) >> 20) + 1;
    uint32_t busy = worker->beat.disk_permille < 900 ? worker->beat.disk_permille : 900;

    if (room > 1U << 24)
        room = 1U << 24;
    return room * (1000 - busy) / (16 + (worker->granted >> 20)) + 1;
}

/* Components that WORKER shares with the nearest of those that have a copy. */
static uint32_t nearness (const core_t *core, const placement_t *ask, size_t n_chosen,
                          const worker_t *worker)
{
    uint32_t common = 0;

    if (ask->anywhere)
        return 0;
    for (size_t i = 0; i < ask->n_taken; i++) {
        const worker_t *other = members_find (core, ask->taken[i]);
        uint32_t c;

        /* A copy that is gone, or leaves, does not say where the next one goes. */
        if (!other || !worker_stays (other))
            continue;
        c = domains_common (&worker->path, &other->path);
        if (c > common)
            common = c;
    }
    for (size_t i = 0; i < n_chosen; i++) {
        uint32_t c = domains_common (&worker->path, &ask->chosen[i]->path);

        if (c > common)
            common = c;
    }
    return common;
}

static bool suits (placement_t *ask, size_t n_chosen, const worker_t *worker,
                   bool avoid)
{
    uint32_t id = worker->member.id;

    if (contains (ask->taken, ask->n_taken, id))
        return false;
    for (size_t i = 0; i < n_chosen; i++)
        if (ask->chosen[i] == worker)
            return false;
    if (avoid && contains (ask->avoid, ask->n_avoid, id))
        return false;
    if (worker_free (worker) < ask->length) {
        ask->full = true;
        return false;
    }
    return true;
}

/* Looks at WORKER: into BEST when it has credit, else into POOR. */
static void consider (core_t *core, placement_t *ask, size_t n_chosen, worker_t *worker,
                      best_t *best, best_t *poor)
{
    uint32_t common = nearness (core, ask, n_chosen, worker);
    bool rich = credit_fits (core, worker, ask->lane, ask->credit) &&
                (ask->busy_to == 0 || worker->copying_to < ask->busy_to);
    best_t *side = rich ? best : poor;
    uint64_t w = weight (worker);

    if (ask->apart > 0 && common >= ask->apart)
        return;
    if (side->worker && common > side->common)
        return;
    if (!side->worker || common < side->common)
        *side = (best_t){.common = common};
    side->weight += w;
    if (!side->worker || rng_below (&core->rng, side->weight) < w)
        side->worker = worker;
}

/* Components that the best possible worker shares with those that have a copy, at
 * least: level D is free of them if some worker lies outside all of their domains. */
static uint32_t least_common (core_t *core, const placement_t *ask, size_t n_chosen,
                              size_t n_workers)
{
    for (uint32_t d = 0; d < DOMAIN_DEPTH; d++) {
        uint32_t seen[CORE_COPIES + GRANT_TARGETS];
        size_t n_seen = 0, covered = 0;

        for (size_t i = 0; i < ask->n_taken + n_chosen; i++) {
            const worker_t *other = i < ask->n_taken
                                        ? members_find (core, ask->taken[i])
                                        : ask->chosen[i - ask->n_taken];

            if (!other || other->path.depth <= d || !worker_stays (other) ||
                contains (seen, n_seen, other->path.nodes[d]) ||
                n_seen == sizeof seen / sizeof seen[0])
                continue;
            seen[n_seen++] = other->path.nodes[d];
            covered += domains_size (core->domains, other->path.nodes[d]);
        }
        if (covered < n_workers)
            return d;
    }
    return DOMAIN_DEPTH;
}

/* One more target, or NULL. */
static worker_t *choose_one (core_t *core, placement_t *ask, size_t n_chosen,
                             bool avoid, bool *exists)
{
    size_t n;
    worker_t *const *workers = members_placeable (core, &n);
    best_t best = {0}, poor = {0};

    *exists = false;
    if (n > SCAN_ALL)
        for (size_t i = 0; i < SAMPLE; i++) {
            worker_t *worker = workers[rng_below (&core->rng, n)];

            if (suits (ask, n_chosen, worker, avoid))
                consider (core, ask, n_chosen, worker, &best, &poor);
        }
    /* A sample that met nobody far enough away does not prove that there is nobody. */
    if (n <= SCAN_ALL || !best.worker ||
        best.common > least_common (core, ask, n_chosen, n)) {
        best = poor = (best_t){0};
        for (size_t i = 0; i < n; i++)
            if (suits (ask, n_chosen, workers[i], avoid))
                consider (core, ask, n_chosen, workers[i], &best, &poor);
    }
    *exists = best.worker || poor.worker;
    if (poor.worker && (!best.worker || poor.common < best.common)) {
        ask->starved = true;
        return NULL;
    }
    return best.worker;
}

void placement_choose (core_t *core, placement_t *ask)
{
    ask->n_chosen = 0;
    ask->eligible = 0;
    ask->starved = false;
    ask->full = false;
    while (ask->n_chosen < ask->n) {
        bool exists;
        worker_t *worker = choose_one (core, ask, ask->n_chosen, true, &exists);

        if (!exists && ask->n_avoid > 0)
            worker = choose_one (core, ask, ask->n_chosen, false, &exists);
        if (!worker)
            break;
        ask->chosen[ask->n_chosen++] = worker;
    }
    ask->eligible = ask->n_chosen;
    if (ask->starved)
        ask->eligible++;
}
