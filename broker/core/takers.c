/* SPDX-License-Identifier: MPL-2.0 */
/* Those that take new chunks, in order of where they stand: each domain is a run of
 * them, found by halving. */
#include <string.h>

#include "broker/core/members_private.h"

/* Compares the first DEPTH components. */
static int order_paths (const domain_path_t *a, const domain_path_t *b, uint32_t depth)
{
    /* Behind the last component there are zeros, and no domain has that number. */
    for (uint32_t i = 0; i < depth; i++)
        if (a->nodes[i] != b->nodes[i])
            return a->nodes[i] < b->nodes[i] ? -1 : 1;
    return 0;
}

/* The first that is not before PATH (its first DEPTH components) and ID. */
static size_t position (const members_t *self, const domain_path_t *path,
                        uint32_t depth, uint32_t id)
{
    size_t low = 0, high = self->n_placeable;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const worker_t *worker = self->placeable[middle];
        int order = order_paths (&worker->path, path, depth);

        if (order < 0 || (order == 0 && worker->member.id < id))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void takers_add (core_t *core, worker_t *worker)
{
    members_t *self = core->members;
    size_t at = position (self, &worker->path, DOMAIN_DEPTH, worker->member.id);
    void *data = self->placeable;

    core_grow (&data, &self->cap_placeable, self->n_placeable, sizeof (worker_t *));
    self->placeable = data;
    memmove (self->placeable + at + 1, self->placeable + at,
             (self->n_placeable - at) * sizeof (worker_t *));
    self->placeable[at] = worker;
    self->n_placeable++;
    worker->takes = true;
    domains_count (core->domains, &worker->path, 1);
}

void takers_remove (core_t *core, worker_t *worker)
{
    members_t *self = core->members;
    size_t at = position (self, &worker->path, DOMAIN_DEPTH, worker->member.id);

    self->n_placeable--;
    memmove (self->placeable + at, self->placeable + at + 1,
             (self->n_placeable - at) * sizeof (worker_t *));
    worker->takes = false;
    domains_count (core->domains, &worker->path, -1);
}

worker_t *const *members_placeable (const core_t *core, size_t *n)
{
    *n = core->members->n_placeable;
    return core->members->placeable;
}

size_t members_run (const core_t *core, const domain_path_t *path, uint32_t level,
                    size_t *n)
{
    *n = domains_size (core->domains, path->nodes[level]);
    return position (core->members, path, level + 1, 0);
}
