/* SPDX-License-Identifier: MPL-2.0 */
/* The replicated log: propose entries, hear which are committed. With one broker it is
 * a cluster of one voter on the same write-ahead log. The journal runs threads of its
 * own; journal_… may be called from any one thread at a time, callbacks run on the
 * journal's thread and must only hand over (no blocking, no call back into the
 * journal). */
#ifndef BROKER_JOURNAL_JOURNAL_H
#define BROKER_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

typedef struct journal journal_t;

enum journal_role { JOURNAL_FOLLOWER, JOURNAL_CANDIDATE, JOURNAL_LEADER };

typedef struct journal_entry {
    uint64_t index;
    uint64_t term;
    const void *data; /* borrowed during the callback */
    size_t len;
    uint64_t cookie; /* of the proposal when made here in this run, else 0 */
} journal_entry_t;

typedef struct journal_events {
    /* Committed entries in order, each exactly once in a run, starting behind `applied`
     * of the config. A batch is what one fsync covered. */
    void (*committed) (const journal_entry_t *entries, size_t n, void *arg);
    /* Proposals that will never commit (lost leadership). */
    void (*dropped) (const uint64_t *cookies, size_t n, int code, void *arg);
    void (*role) (enum journal_role role, uint64_t term, const char *leader, void *arg);
    /* Answer to journal_read_point: reads at INDEX or later are linearizable; code < 0
     * when that could not be confirmed. */
    void (*read_point) (uint64_t cookie, int code, uint64_t index, void *arg);
    /* A write or fsync failed: nothing more will be committed by this process. */
    void (*failed) (const dfs_error_t *err, void *arg);
    void *arg;
} journal_events_t;

typedef struct journal_config {
    const char *dir;  /* marked data directory; the log is in DIR/journal */
    uint64_t applied; /* durable applied index of the namespace: replay starts behind */
    uint64_t segment_size;  /* 0: 64 MiB */
    uint64_t trailing;      /* entries kept behind the trim point; 0: 16384 */
    bool memory_durability; /* no fsync: only when asked for */
    journal_events_t events;
} journal_config_t;

/* Opens the log (recovers a torn tail; refuses damage in the middle with DFS_EDAMAGED
 * naming segment and offset) and starts. Committed entries behind `applied` are
 * delivered before the role becomes leader. */
journal_t *journal_open (const journal_config_t *config, dfs_error_t *err);
/* Writes what was proposed, then stops. */
void journal_close (journal_t **self_p);

typedef struct journal_proposal {
    const void *data; /* copied */
    size_t len;       /* at most 1 MiB */
    uint64_t cookie;
} journal_proposal_t;

/* Proposes N entries as one batch, in order. DFS_EAGAIN when too much is in flight (64
 * MiB), DFS_ENOTLEADER. */
int journal_propose (journal_t *self, const journal_proposal_t *proposals, size_t n,
                     dfs_error_t *err);
void journal_read_point (journal_t *self, uint64_t cookie);
/* The namespace has INDEX on its own disk: the log may be trimmed up to it. */
void journal_applied (journal_t *self, uint64_t index);

typedef struct journal_stats {
    uint64_t term;
    uint64_t first_index;
    uint64_t last_index;
    uint64_t committed;
    enum journal_role role;
    char leader[64];
} journal_stats_t;
void journal_stats (journal_t *self, journal_stats_t *out);

#endif
