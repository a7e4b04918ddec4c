/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/trace.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define HOPS 256

struct trace {
    uint64_t begun;
    size_t n;
    dfs_hop_t hops[HOPS];
};

trace_t *trace_new (void)
{
    trace_t *self = calloc (1, sizeof *self);
    assert (self);
    return self;
}

void trace_destroy (trace_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

void trace_begin (trace_t *self)
{
    self->begun = clock_mono ();
    self->n = 0;
}

void trace_add (trace_t *self, const char *node, const char *step, uint64_t ns,
                uint64_t bytes)
{
    size_t i = 0;

    if (!self)
        return;
    if (!node)
        node = "client";
    while (i < self->n && (strcmp (self->hops[i].node, node) != 0 ||
                           strcmp (self->hops[i].step, step) != 0))
        i++;
    if (i == HOPS)
        return;
    dfs_hop_t *hop = &self->hops[i];
    if (i == self->n) {
        self->n++;
        memset (hop, 0, sizeof *hop);
        snprintf (hop->node, sizeof hop->node, "%s", node);
        snprintf (hop->step, sizeof hop->step, "%s", step);
    }
    hop->times++;
    hop->ns += ns;
    hop->bytes += bytes;
    if (ns > hop->longest_ns)
        hop->longest_ns = ns;
}

void trace_since (trace_t *self, const char *step, uint64_t since, uint64_t bytes)
{
    if (self && since)
        trace_add (self, NULL, step, clock_mono () - since, bytes);
}

uint64_t trace_times (const trace_t *self, const char *step)
{
    uint64_t times = 0;

    for (size_t i = 0; i < self->n; i++)
        if (strcmp (self->hops[i].step, step) == 0)
            times += self->hops[i].times;
    return times;
}

const dfs_hop_t *trace_hops (const trace_t *self, size_t *n, uint64_t *ns)
{
    *n = self->n;
    *ns = clock_mono () - self->begun;
    return self->hops;
}
