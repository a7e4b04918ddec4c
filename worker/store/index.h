/* SPDX-License-Identifier: MPL-2.0 */
/* The index of one disk: copy key -> entry, the changes by number, and how far the
 * volumes are in it. What is newer than the last checkpoint is held in memory; LMDB has
 * the checkpoint, committed with full sync, so after any crash it is a sound older
 * state and the tail of the volumes brings it up to date. It holds nothing that the
 * volumes do not: a damaged or missing one is made anew.
 *
 * Every call with the disk's lock held, except those that say otherwise. */
#ifndef WORKER_STORE_INDEX_H
#define WORKER_STORE_INDEX_H

#include "common/kv.h"
#include "worker/store/entry.h"
#include "worker/store/store.h"

typedef struct index index_t;

/* All batches below BATCH are in; the next item of the volumes stands at OFFSET. */
typedef struct position {
    uint32_t volume; /* 0: nothing yet */
    uint64_t offset;
    uint64_t batch;
    uint64_t next_seq;
} position_t;

/* What is known of a volume besides its file. */
typedef struct volume_stat {
    uint32_t number;
    uint64_t end;
    uint64_t live_bytes;
    uint64_t live_count;
} volume_stat_t;

/* DIR is made when absent. DFS_EDAMAGED: throw it away (index_wipe) and rebuild. */
index_t *index_open (const char *dir, const uint8_t disk_id[16], dfs_error_t *err);
void index_close (index_t **self_p);
/* Its file cannot be read any more (the disk went away): every call fails. Any thread.
 */
bool index_broken (const index_t *self);
/* Removes the files of a closed index. */
int index_wipe (const char *dir, dfs_error_t *err);

/* Of the last checkpoint. */
position_t index_position (const index_t *self);
/* Volume stats of the last checkpoint, ascending; returns owned (free). */
volume_stat_t *index_volumes (index_t *self, size_t *n, dfs_error_t *err);

/* 1 and *ENTRY (any state but NONE), 0, negative. */
int index_get (index_t *self, const copykey_t *key, entry_t *entry, dfs_error_t *err);
/* OLD is what index_get gave (NULL: nothing); ENTRY NULL removes. */
void index_put (index_t *self, const copykey_t *key, const entry_t *old,
                const entry_t *entry);
/* CHANGE carries the next number. */
void index_add_change (index_t *self, const store_change_t *change);
/* Entries and changes that wait for a checkpoint. */
size_t index_pending (const index_t *self);
uint64_t index_chunks (const index_t *self); /* live ones */

/* A checkpoint in three steps: freeze (locked; not while one is frozen that could not
 * be written: write that one again first), write (NOT locked, one thread), thaw
 * (locked). */
void index_freeze (index_t *self, const position_t *position,
                   const volume_stat_t *stats, size_t n);
int index_write (index_t *self, dfs_error_t *err);
void index_thaw (index_t *self, bool written);
bool index_frozen (const index_t *self);

uint64_t index_first_seq (const index_t *self);
/* At most MAX changes from FIRST on; returns the number, DFS_ESTALE below first_seq. */
int index_changes (index_t *self, uint64_t first, store_change_t *out, size_t max,
                   dfs_error_t *err);
void index_trim (index_t *self, uint64_t seq);
/* After a rebuild: changes above the last gap are what is known. NOT locked. */
int index_close_gaps (index_t *self, dfs_error_t *err);

/* Copies that went into quarantine before BEFORE (wall clock ns), the oldest first, of
 * the last checkpoint and still there. Returns the number put into KEYS and ENTRIES. */
int index_expired (index_t *self, uint64_t before, copykey_t *keys, entry_t *entries,
                   size_t max, dfs_error_t *err);

/* Entries of the last checkpoint in key order after AFTER (NULL: from the start), those
 * in memory laid over them. Locked. Returns the number put into KEYS and ENTRIES. */
int index_walk (index_t *self, const copykey_t *after, copykey_t *keys,
                entry_t *entries, size_t max, dfs_error_t *err);

#endif
