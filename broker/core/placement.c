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

/* What is worked on: who has a copy, or gets one. One that is gone, or leaves, does not
 * say where the next one goes. */
typedef struct search {
    placement_t *ask;
    const worker_t *near[CORE_COPIES + GRANT_TARGETS];
    size_t n_near;
    size_t n_chosen;
} search_t;

/* Neighbours in the array of those that take chunks. */
typedef struct run {
    size_t first;
    size_t n;
} run_t;

typedef struct runs {
    run_t of[CORE_COPIES + GRANT_TARGETS]; /* in order */
    size_t n;
    size_t workers; /* in all of them */
} runs_t;

/* Components that WORKER shares with the nearest of those that have a copy. */
static uint32_t nearness (const search_t *search, const worker_t *worker)
{
    uint32_t common = 0;

    if (search->ask->anywhere)
        return 0;
    for (size_t i = 0; i < search->n_near; i++) {
        uint32_t c = domains_common (&worker->path, &search->near[i]->path);

        if (c > common)
            common = c;
    }
    return common;
}

static bool suits (const search_t *search, const worker_t *worker, bool avoid)
{
    placement_t *ask = search->ask;
    uint32_t id = worker->member.id;

    if (contains (ask->taken, ask->n_taken, id))
        return false;
    for (size_t i = 0; i < search->n_chosen; i++)
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
static void consider (core_t *core, const search_t *search, worker_t *worker,
                      best_t *best, best_t *poor)
{
    const placement_t *ask = search->ask;
    uint32_t common = nearness (search, worker);
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

/* The domains of LEVEL that those with a copy stand in. */
static void find_runs (const core_t *core, const search_t *search, uint32_t level,
                       runs_t *out)
{
    uint32_t seen[CORE_COPIES + GRANT_TARGETS];

    out->n = out->workers = 0;
    for (size_t i = 0; i < search->n_near; i++) {
        const domain_path_t *path = &search->near[i]->path;
        size_t at = out->n;
        run_t run;

        if (path->depth <= level || contains (seen, out->n, path->nodes[level]))
            continue;
        seen[out->n++] = path->nodes[level];
        run.first = members_run (core, path, level, &run.n);
        for (; at > 0 && out->of[at - 1].first > run.first; at--)
            out->of[at] = out->of[at - 1];
        out->of[at] = run;
        out->workers += run.n;
    }
}

/* Components that the best possible worker shares with those that have a copy, at
 * least: level D is free of them if some of the N workers lie outside all of their
 * domains. Those are the ones that are not in RUNS. */
static uint32_t least_common (const core_t *core, const search_t *search, size_t n,
                              runs_t *runs)
{
    uint32_t d = 0;

    runs->n = runs->workers = 0;
    if (search->ask->anywhere)
        return 0;
    for (; d < DOMAIN_DEPTH; d++) {
        find_runs (core, search, d, runs);
        if (runs->workers < n)
            return d;
    }
    runs->n = runs->workers = 0;
    return d;
}

/* One of the N workers that are not in RUNS, by lot. */
static worker_t *draw (core_t *core, worker_t *const *workers, size_t n,
                       const runs_t *runs)
{
    size_t at = rng_below (&core->rng, n - runs->workers);

    for (size_t i = 0; i < runs->n && at >= runs->of[i].first; i++)
        at += runs->of[i].n;
    return workers[at];
}

/* One more target, or NULL. Of many workers a few of the right ones are looked at: when
 * none of those has credit hardly any other has, and credit that comes back is told. */
static worker_t *choose_one (core_t *core, const search_t *search, bool avoid,
                             bool *exists)
{
    placement_t *ask = search->ask;
    size_t n;
    worker_t *const *workers = members_placeable (core, &n);
    best_t best = {0}, poor = {0};

    *exists = false;
    if (n > SCAN_ALL) {
        runs_t runs;
        uint32_t least = least_common (core, search, n, &runs);

        if (ask->apart > 0 && least >= ask->apart)
            return NULL;
        for (size_t i = 0; i < SAMPLE; i++) {
            worker_t *worker = draw (core, workers, n, &runs);

            if (suits (search, worker, avoid))
                consider (core, search, worker, &best, &poor);
        }
    }
    /* A sample that met nobody does not prove that there is nobody. */
    if (n <= SCAN_ALL || !(best.worker || poor.worker)) {
        best = poor = (best_t){0};
        for (size_t i = 0; i < n; i++)
            if (suits (search, workers[i], avoid))
                consider (core, search, workers[i], &best, &poor);
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
    search_t search = {.ask = ask};

    ask->n_chosen = 0;
    ask->eligible = 0;
    ask->starved = false;
    ask->full = false;
    for (size_t i = 0; i < ask->n_taken && search.n_near < CORE_COPIES; i++) {
        const worker_t *worker = members_find (core, ask->taken[i]);

        if (worker && worker_stays (worker))
            search.near[search.n_near++] = worker;
    }
    while (ask->n_chosen < ask->n) {
        bool exists;
        worker_t *worker = choose_one (core, &search, true, &exists);

        if (!exists && ask->n_avoid > 0)
            worker = choose_one (core, &search, false, &exists);
        if (!worker)
            break;
        ask->chosen[ask->n_chosen++] = worker;
        search.near[search.n_near++] = worker;
        search.n_chosen++;
    }
    ask->eligible = ask->n_chosen;
    if (ask->starved)
        ask->eligible++;
}
