/* SPDX-License-Identifier: MPL-2.0 */
/* The log's own state, for the files of which it is made: wal.c (writing), wal_open.c
 * (recovery), wal_read.c. */
#ifndef BROKER_JOURNAL_WAL_PRIVATE_H
#define BROKER_JOURNAL_WAL_PRIVATE_H

#include <limits.h>
#include <pthread.h>

#include "places.h"
#include "segment.h"
#include "spare.h"
#include "wal.h"

struct wal {
    char dir[PATH_MAX];
    bool unsynced;
    bool opened;    /* this writer's epoch has begun */
    uint32_t epoch; /* of this writer */
    bool started;   /* recovery met a record: the first index is known */
    uint64_t end;   /* next offset in the last segment */
    uint8_t *group; /* what is being written, GROUP_CAP bytes */
    size_t group_cap;
    uint64_t segment_size;
    dfs_error_t failed; /* code 0 while all is well */
    spare_t *spare;
    pthread_mutex_t lock; /* guards the rest against readers */
    segment_t **segments; /* those in use, oldest first, numbers without a gap */
    size_t n_segments;
    uint64_t synced; /* segments before this one are, without `unsynced` all */
    places_t places;
};

/* The segment that is written. */
static inline segment_t *wal_current (const wal_t *self)
{
    return self->segments[self->n_segments - 1];
}

/* Takes SEGMENT as the last one. */
void wal_push_segment (wal_t *self, segment_t *segment);

/* Recovers the log from the files in its directory, or makes a new one (unless EXISTS);
 * starts the helper. */
int wal_recover (wal_t *self, bool exists, dfs_error_t *err);

#endif
