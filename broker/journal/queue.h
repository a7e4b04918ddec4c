/* SPDX-License-Identifier: MPL-2.0 */
/* Proposals on their way to the log: their bytes in one growing block, their lengths
 * and cookies beside it. Two of them take turns: one is filled while the other is
 * written. Threads: the owner's lock. */
#ifndef BROKER_JOURNAL_QUEUE_H
#define BROKER_JOURNAL_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "journal.h"

/* What a proposal costs beside its data, so that many empty ones are bounded too. */
#define QUEUE_OVERHEAD 64

typedef struct queue_item {
    size_t offset;
    uint32_t len;
    uint64_t cookie;
} queue_item_t;

typedef struct queue {
    uint8_t *bytes;
    size_t len;
    size_t cap;
    queue_item_t *items;
    size_t n;
    size_t n_cap;
    uint64_t *reads; /* cookies of journal_read_point */
    size_t n_reads;
    size_t reads_cap;
} queue_t;

void queue_push (queue_t *self, const journal_proposal_t *proposal);
void queue_push_read (queue_t *self, uint64_t cookie);
/* Empties it; gives back memory that a burst left. */
void queue_clear (queue_t *self);
void queue_release (queue_t *self);
static inline size_t queue_weight (const queue_t *self)
{
    return self->len + self->n * QUEUE_OVERHEAD;
}

#endif
