/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/store/batch.h"

void batch_init (batch_t *self, uint32_t seed)
{
    *self = (batch_t){.seed = seed, .len = BATCH_HEAD_PACKED};
}

void batch_free (batch_t *self)
{
    free (self->buf);
    free (self->items);
    batch_init (self, self->seed);
}

void batch_reset (batch_t *self)
{
    self->len = BATCH_HEAD_PACKED;
    self->n = 0;
}

bool batch_takes (const batch_t *self, size_t len)
{
    return self->n == 0 || self->len + len <= BATCH_FULL;
}

/* Room for LEN more bytes and the padding of the batch. */
static void grow (batch_t *self, size_t len)
{
    size_t need = (size_t)volume_align (self->len + len);
    if (need > self->cap) {
        size_t cap = self->cap ? self->cap : 64 * 1024;
        while (cap < need)
            cap *= 2;
        self->buf = realloc (self->buf, cap);
        assert (self->buf);
        self->cap = cap;
    }
    if (self->n == self->cap_items) {
        self->cap_items = self->cap_items ? 2 * self->cap_items : 64;
        self->items = realloc (self->items, self->cap_items * sizeof *self->items);
        assert (self->items);
    }
}

void batch_space (batch_t *self)
{
    grow (self, 0);
}

batch_item_t *batch_add (batch_t *self, const record_t *rec, const uint32_t *crcs,
                         const void *payload)
{
    size_t bytes = record_payload (rec);
    grow (self, record_head_len (rec->n_crcs) + bytes);
    batch_item_t *item = &self->items[self->n++];
    *item = (batch_item_t){.rec = *rec, .at = self->len};
    item->rec.head_len =
        (uint32_t)record_pack (rec, crcs, self->seed, self->buf + self->len);
    item->rec.crcs = NULL;
    item->crc0 = rec->n_crcs ? crcs[0] : 0;
    self->len += item->rec.head_len;
    if (bytes)
        memcpy (self->buf + self->len, payload, bytes);
    self->len += bytes;
    return item;
}

uint64_t batch_number (batch_t *self, uint64_t seq)
{
    for (size_t i = 0; i < self->n; i++) {
        batch_item_t *item = &self->items[i];
        if (item->rec.bits & RECORD_MOVED)
            continue;
        item->rec.seq = seq++;
        record_set_seq (self->buf + item->at, item->rec.seq, self->seed);
    }
    return seq;
}

static void append_item (batch_t *to, const batch_item_t *item, const uint8_t *packed)
{
    size_t len = item->rec.head_len + record_payload (&item->rec);
    grow (to, len);
    batch_item_t *copy = &to->items[to->n++];
    *copy = *item;
    copy->at = to->len;
    memmove (to->buf + to->len, packed, len);
    to->len += len;
}

void batch_join (batch_t *self, const batch_t *other)
{
    for (size_t i = 0; i < other->n; i++)
        append_item (self, &other->items[i], other->buf + other->items[i].at);
}

void batch_split (batch_t *self, bool (*drop) (const batch_item_t *item), batch_t *out)
{
    size_t n = self->n;
    batch_reset (self);
    /* Kept records slide towards the start, so a copy never meets one yet to be read.
     */
    for (size_t i = 0; i < n; i++) {
        batch_item_t item = self->items[i];
        append_item (drop (&item) ? out : self, &item, self->buf + item.at);
    }
}
