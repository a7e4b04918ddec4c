/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "raft_tail.h"

/* What an entry costs, with what malloc takes. */
static size_t cost (const wal_entry_t *entry)
{
    return entry->len + sizeof *entry + 16;
}

static void drop (raft_tail_t *self, wal_entry_t *entry)
{
    self->bytes -= cost (entry);
    free ((void *)(uintptr_t)entry->data);
}

void raft_tail_reset (raft_tail_t *self, uint64_t index)
{
    raft_tail_truncate (self, 0);
    self->first = index;
}

void raft_tail_release (raft_tail_t *self)
{
    raft_tail_truncate (self, 0);
    free (self->all);
    *self = (raft_tail_t){0};
}

const wal_entry_t *raft_tail_get (const raft_tail_t *self, uint64_t index)
{
    if (index < self->first || index - self->first >= self->n)
        return NULL;
    return &self->all[self->front + (size_t)(index - self->first)];
}

void raft_tail_push (raft_tail_t *self, const wal_entry_t *entry)
{
    assert (entry->index == self->first + self->n);
    if (self->front + self->n == self->cap) {
        if (self->front > self->n) {
            memmove (self->all, self->all + self->front, self->n * sizeof *self->all);
            self->front = 0;
        } else {
            self->cap = self->cap ? self->cap * 2 : 64;
            self->all = reallocarray (self->all, self->cap, sizeof *self->all);
            if (!self->all)
                abort ();
        }
    }
    wal_entry_t *copy = &self->all[self->front + self->n++];
    *copy = *entry;
    uint8_t *data = malloc (entry->len ? entry->len : 1);
    if (!data)
        abort ();
    if (entry->len)
        memcpy (data, entry->data, entry->len);
    copy->data = data;
    self->bytes += cost (copy);
}

void raft_tail_truncate (raft_tail_t *self, uint64_t index)
{
    while (self->n && raft_tail_last (self) >= index)
        drop (self, &self->all[self->front + --self->n]);
    if (self->n == 0)
        self->front = 0;
    if (index < self->first)
        self->first = index;
}

void raft_tail_evict (raft_tail_t *self, uint64_t index, size_t keep)
{
    while (self->n && self->first <= index && self->bytes > keep) {
        drop (self, &self->all[self->front++]);
        self->first++;
        self->n--;
    }
    if (self->n == 0)
        self->front = 0;
}
