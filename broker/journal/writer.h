/* SPDX-License-Identifier: MPL-2.0 */
/* The thread that writes the log. What is ordered while it writes goes into its next
 * group: one write and one sync for all of it. With no room on the disk it waits for
 * some; any other failure is final. Threads: one owner gives orders; `done` and
 * `failed` are called on the writer's thread. */
#ifndef BROKER_JOURNAL_WRITER_H
#define BROKER_JOURNAL_WRITER_H

#include "point.h"
#include "wal.h"

typedef struct writer writer_t;

typedef struct writer_config {
    wal_t *wal;      /* borrowed; appended to by this thread alone */
    const char *dir; /* for the point; borrowed */
    /* N more appends (calls of writer_append), in order, are durable. */
    void (*done) (size_t n, void *arg);
    /* The point that was ordered is durable, or (not SAVED) there is no room for it. */
    void (*point_done) (bool saved, void *arg);
    void (*failed) (const dfs_error_t *err, void *arg);
    void *arg;
} writer_config_t;

writer_t *writer_new (const writer_config_t *config, dfs_error_t *err);
/* Does what was ordered (unless there is no room for it), ends the thread. */
void writer_destroy (writer_t **self_p);

/* The log from the index of the first of N >= 1 entries on becomes these; copied. */
void writer_append (writer_t *self, const wal_entry_t *entries, size_t n);
/* Keeps POINT for the next start; one at a time. */
void writer_point (writer_t *self, const point_t *point);
/* Entries up to INDEX are not needed any more. */
void writer_trim (writer_t *self, uint64_t index);
/* Nothing is ordered and not done: the owner may use the log itself. */
bool writer_idle (writer_t *self);
/* True while orders wait for room on the disk. */
bool writer_stuck (writer_t *self);

#endif
