/* SPDX-License-Identifier: MPL-2.0 */
/* Reads of the log for the thread that runs the consensus core, on a thread of their
 * own: that one waits a moment for an answer, but never as long as a slow disk takes.
 * What comes too late is kept until it is asked for again.
 *
 * Threads: one owner; `ready` is called on the reader's thread. */
#ifndef BROKER_JOURNAL_READER_H
#define BROKER_JOURNAL_READER_H

#include "wal.h"

typedef struct reader reader_t;

typedef struct reader_config {
    wal_t *wal; /* borrowed */
    /* What the owner did not wait for is here. */
    void (*ready) (void *arg);
    void *arg;
} reader_config_t;

reader_t *reader_new (const reader_config_t *config, dfs_error_t *err);
void reader_destroy (reader_t **self_p);

/* As wal_read; DFS_EAGAIN: ask again when it is ready. */
int reader_get (reader_t *self, uint64_t from, uint64_t to, size_t max_bytes,
                wal_entries_t *out, dfs_error_t *err);
/* A new round of the owner's work: it may wait again. */
void reader_round (reader_t *self);
/* Entries are being replaced: what was read before does not count. */
void reader_forget (reader_t *self);

#endif
