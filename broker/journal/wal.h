/* SPDX-License-Identifier: MPL-2.0 */
/* The write-ahead log: entries with consecutive indexes in segment files. One write and
 * one fdatasync make a group durable; any failure of either is final (nothing is
 * written any more, nothing is tried twice). Format: doc/format/journal.md.
 *
 * Threads: append, truncate, reset, trim and close belong to one writer; wal_read and
 * the questions may come from any thread meanwhile. */
#ifndef BROKER_JOURNAL_WAL_H
#define BROKER_JOURNAL_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#include "record.h"

typedef struct wal wal_t;

typedef struct wal_config {
    const char *dir;       /* exists */
    uint64_t segment_size; /* of new segments, a multiple of 4096, at least 8192 */
    bool unsynced;         /* no fdatasync of groups: only when asked for */
    bool exists;           /* there must be one already */
} wal_config_t;

typedef struct wal_entry {
    uint64_t index;
    uint64_t term;
    enum record_type type; /* COMMAND, BARRIER or CHANGE */
    uint32_t len;
    const void *data; /* borrowed */
} wal_entry_t;

/* Recovers the log in DIR, or makes an empty one when there is no segment. DFS_EDAMAGED
 * names segment and offset. */
wal_t *wal_open (const wal_config_t *config, dfs_error_t *err);
/* Leaves a mark, so that later damage to the last group is noticed, and closes. */
void wal_close (wal_t **self_p);

/* Appends the first *DONE >= 1 of N entries as one group, durable on return; the caller
 * goes on with the rest. The first index is wal_last + 1. DFS_ENOSPC (DFS_EQUOTA): no
 * room for another segment, nothing was written, try again later. DFS_ETOOBIG: does not
 * fit in a segment. Anything else is final. */
int wal_append (wal_t *self, const wal_entry_t *entries, size_t n, size_t *done,
                dfs_error_t *err);
/* Begins this writer's epoch now and not with its first record: *EPOCH is a number that
 * grows with each process. Durable on return. Errors as append. */
int wal_begin (wal_t *self, uint64_t *epoch, dfs_error_t *err);
/* Longest entry that fits. */
size_t wal_max_len (const wal_t *self);
/* False while there is known to be no room for another segment. */
bool wal_hopeful (wal_t *self);

/* Removes the entries from INDEX on; durable on return. Errors as append. */
int wal_truncate (wal_t *self, uint64_t index, dfs_error_t *err);
/* Empties the log: a snapshot holds everything up to INDEX, of TERM; the next entry is
 * INDEX + 1. Durable on return. Errors as append. */
int wal_reset (wal_t *self, uint64_t index, uint64_t term, dfs_error_t *err);
/* Forgets the entries up to INDEX (at most wal_last) and removes segments that only
 * hold such. */
void wal_trim (wal_t *self, uint64_t index);

/* First and last index; first = last + 1 when empty; 1, 0 when new. */
uint64_t wal_first (wal_t *self);
uint64_t wal_last (wal_t *self);
/* Term of the entry at INDEX or of the one before the first; 0 when not known. */
uint64_t wal_term (wal_t *self, uint64_t index);
/* Term and type of the entry at INDEX; false when it is not here. */
bool wal_look (wal_t *self, uint64_t index, uint64_t *term, enum record_type *type);
/* Bytes of disk in use. */
uint64_t wal_bytes (wal_t *self);
/* Index of the first entry that stays when the log is to take at most MAX bytes of
 * disk, but for its last segment. */
uint64_t wal_within (wal_t *self, uint64_t max);
/* Makes durable what a log without syncs has written so far; any thread. A failure is
 * final. */
int wal_sync (wal_t *self, dfs_error_t *err);

typedef struct wal_entries {
    size_t n;
    wal_entry_t *entries; /* with their data in one allocation */
} wal_entries_t;

/* Entries FROM…TO (both in the log, else DFS_ENOENT), but no more than MAX_BYTES of
 * data (one at least): *OUT is returned owned (wal_entries_free). DFS_EDAMAGED names
 * segment and offset. */
int wal_read (wal_t *self, uint64_t from, uint64_t to, size_t max_bytes,
              wal_entries_t *out, dfs_error_t *err);
void wal_entries_free (wal_entries_t *entries);

#endif
