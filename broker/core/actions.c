/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/event.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/list.h"
#include "broker/core/memory.h"

#define BLOCK (64 * 1024)

typedef struct block {
    struct block *next;
    size_t size;
    size_t used;
    _Alignas(16) char bytes[];
} block_t;

struct actions {
    action_t *items;
    size_t n;
    size_t cap;
    block_t *blocks; /* the first one is being filled */
};

actions_t *actions_new (void)
{
    return core_zalloc (sizeof (actions_t));
}

static void free_blocks (block_t *block)
{
    while (block) {
        block_t *next = block->next;

        free (block);
        block = next;
    }
}

void actions_destroy (actions_t **self_p)
{
    if (!*self_p)
        return;
    free_blocks ((*self_p)->blocks);
    free ((*self_p)->items);
    free (*self_p);
    *self_p = NULL;
}

size_t actions_count (const actions_t *self)
{
    return self->n;
}

const action_t *actions_at (const actions_t *self, size_t i)
{
    return &self->items[i];
}

void actions_reset (actions_t *self)
{
    block_t *keep = self->blocks;

    self->n = 0;
    if (!keep)
        return;
    /* One block of usual size stays; whatever a large step needed goes back. */
    free_blocks (keep->next);
    keep->next = NULL;
    keep->used = 0;
    if (keep->size > BLOCK) {
        free (keep);
        self->blocks = NULL;
    }
}

action_t *actions_add (actions_t *self, enum action_type type)
{
    void *items = self->items;
    action_t *action;

    core_grow (&items, &self->cap, self->n, sizeof *self->items);
    self->items = items;
    action = &self->items[self->n++];
    memset (action, 0, sizeof *action);
    action->type = type;
    return action;
}

void *actions_alloc (actions_t *self, size_t size)
{
    block_t *block = self->blocks;
    void *data;

    size = (size + 15) & ~(size_t)15;
    if (!block || block->size - block->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;

        block = core_zalloc (sizeof *block + room);
        block->size = room;
        block->next = self->blocks;
        self->blocks = block;
    }
    data = block->bytes + block->used;
    block->used += size;
    memset (data, 0, size);
    return data;
}

void *actions_dup (actions_t *self, const void *data, size_t size)
{
    void *copy = actions_alloc (self, size);

    if (size > 0)
        memcpy (copy, data, size);
    return copy;
}
