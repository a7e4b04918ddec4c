/* SPDX-License-Identifier: MPL-2.0 */
/* The last snapshot as the journal knows it (file `point`): up to where the state
 * machine holds what the log has forgotten, and who the voters were then. Written whole
 * by rename. `point.next` is one whose state is being installed. Threads: any. */
#ifndef BROKER_JOURNAL_POINT_H
#define BROKER_JOURNAL_POINT_H

#include "raft_driver.h"

typedef struct point {
    raft_point_t at;
    uint64_t state; /* the state machine may be ahead of the log up to here */
} point_t;

#define POINT_FILE "point"
#define POINT_NEXT "point.next"

/* 1 when there is one in DIR, 0 when there is none (POINT is zero), DFS_EDAMAGED. */
int point_load (const char *dir, const char *file, point_t *point, dfs_error_t *err);
/* Durable on return. */
int point_save (const char *dir, const char *file, const point_t *point,
                dfs_error_t *err);
/* point.next becomes the point, durably; or is forgotten. */
int point_commit (const char *dir, dfs_error_t *err);
int point_forget (const char *dir, dfs_error_t *err);

#endif
