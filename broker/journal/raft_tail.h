/* SPDX-License-Identifier: MPL-2.0 */
/* The last entries of the log in memory: those that may not be on disk yet, and what
 * followers will ask for next. Older ones are read from the disk. Threads: one owner.
 */
#ifndef BROKER_JOURNAL_RAFT_TAIL_H
#define BROKER_JOURNAL_RAFT_TAIL_H

#include "wal.h"

typedef struct raft_tail {
    uint64_t first; /* index of the first one here; next to come when empty */
    size_t n;
    size_t front;
    size_t cap;
    size_t bytes;
    wal_entry_t *all; /* own their data */
} raft_tail_t;

/* Empty, the next entry being INDEX. */
void raft_tail_reset (raft_tail_t *self, uint64_t index);
void raft_tail_release (raft_tail_t *self);
static inline uint64_t raft_tail_last (const raft_tail_t *self)
{
    return self->first + self->n - 1;
}
/* NULL when INDEX is not here. Borrowed until the tail changes. */
const wal_entry_t *raft_tail_get (const raft_tail_t *self, uint64_t index);
/* Copies ENTRY; its index is last + 1. */
void raft_tail_push (raft_tail_t *self, const wal_entry_t *entry);
/* Drops those from INDEX on (which may be before the first). */
void raft_tail_truncate (raft_tail_t *self, uint64_t index);
/* Drops from the front what is on disk (up to INDEX), while more than KEEP bytes stay.
 */
void raft_tail_evict (raft_tail_t *self, uint64_t index, size_t keep);

#endif
