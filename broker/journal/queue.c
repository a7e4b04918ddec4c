/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define KEEP_BYTES (4 * 1024 * 1024)
#define KEEP_ITEMS (64 * 1024)

static void *grown (void *old, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return old;
    size_t more = *cap ? *cap * 2 : 256;
    *cap = more > need ? more : need;
    void *p = reallocarray (old, *cap, size);
    if (!p)
        abort ();
    return p;
}

void queue_push (queue_t *self, const journal_proposal_t *proposal)
{
    self->bytes = grown (self->bytes, &self->cap, self->len + proposal->len, 1);
    self->items = grown (self->items, &self->n_cap, self->n + 1, sizeof *self->items);
    if (proposal->len)
        memcpy (self->bytes + self->len, proposal->data, proposal->len);
    self->items[self->n++] =
        (queue_item_t){self->len, (uint32_t)proposal->len, proposal->cookie};
    self->len += proposal->len;
}

void queue_push_read (queue_t *self, uint64_t cookie)
{
    self->reads =
        grown (self->reads, &self->reads_cap, self->n_reads + 1, sizeof *self->reads);
    self->reads[self->n_reads++] = cookie;
}

void queue_clear (queue_t *self)
{
    if (self->cap > KEEP_BYTES || self->n_cap > KEEP_ITEMS) {
        queue_release (self);
        return;
    }
    self->len = self->n = self->n_reads = 0;
}

void queue_release (queue_t *self)
{
    free (self->bytes);
    free (self->items);
    free (self->reads);
    *self = (queue_t){0};
}
