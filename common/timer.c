/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "timer.h"

typedef struct item {
    uint64_t when;
    uint64_t order; /* equal deadlines pop in the order they were added */
    uint64_t id;
    uint32_t kind;
} item_t;

struct timer_heap {
    item_t *items;
    size_t n;
    size_t cap;
    uint64_t order;
};

timer_heap_t *timer_heap_new (void)
{
    timer_heap_t *self = calloc (1, sizeof *self);
    assert (self);
    return self;
}

void timer_heap_destroy (timer_heap_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->items);
    free (*self_p);
    *self_p = NULL;
}

static int before (const item_t *a, const item_t *b)
{
    return a->when != b->when ? a->when < b->when : a->order < b->order;
}

void timer_heap_add (timer_heap_t *self, uint64_t when, uint32_t kind, uint64_t id)
{
    if (self->n == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 64;
        self->items = realloc (self->items, self->cap * sizeof *self->items);
        assert (self->items);
    }
    item_t item = {.when = when, .order = self->order++, .id = id, .kind = kind};
    size_t i = self->n++;
    while (i > 0 && before (&item, &self->items[(i - 1) / 2])) {
        self->items[i] = self->items[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    self->items[i] = item;
}

int timer_heap_pop (timer_heap_t *self, uint64_t now, uint32_t *kind, uint64_t *id)
{
    if (self->n == 0 || self->items[0].when > now)
        return 0;
    *kind = self->items[0].kind;
    *id = self->items[0].id;
    item_t last = self->items[--self->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= self->n)
            break;
        if (child + 1 < self->n &&
            before (&self->items[child + 1], &self->items[child]))
            child++;
        if (!before (&self->items[child], &last))
            break;
        self->items[i] = self->items[child];
        i = child;
    }
    if (self->n)
        self->items[i] = last;
    return 1;
}

uint64_t timer_heap_next (const timer_heap_t *self)
{
    return self->n ? self->items[0].when : UINT64_MAX;
}

uint64_t timer_heap_size (const timer_heap_t *self)
{
    return self->n;
}
