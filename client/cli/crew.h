/* SPDX-License-Identifier: MPL-2.0 */
/* Threads with a connection each, for calls of libdfs that do one thing at a time when
 * there are many things to do: their commits then share the broker's journal writes.
 * The order of jobs is not kept. Owned by the main thread. */
#ifndef CLI_CREW_H
#define CLI_CREW_H

#include "client/lib/dfs.h"

typedef struct crew crew_t;

/* The first member of a job of the caller's own. */
typedef struct crew_job {
    void (*run) (struct crew_job *job, dfs_t *dfs); /* in a thread of the crew */
    /* In the main thread, from within crew_add or crew_wait; frees the job. */
    void (*done) (struct crew_job *job);
    struct crew_job *next;
} crew_job_t;

/* Threads start, and connect, as jobs come. */
crew_t *crew_new (void);
/* Waits for all jobs. */
void crew_destroy (crew_t **self_p);
/* Takes JOB; waits while too many are waiting. */
void crew_add (crew_t *self, crew_job_t *job);
/* Returns when every job is done. */
void crew_wait (crew_t *self);

#endif
