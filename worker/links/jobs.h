/* SPDX-License-Identifier: MPL-2.0 */
/* A thread that takes jobs one after the other, for what may wait for a disk or a name
 * server and has no business in a reactor. */
#ifndef WORKER_LINKS_JOBS_H
#define WORKER_LINKS_JOBS_H

#include "common/error.h"

typedef struct jobs jobs_t;

/* WORK gets each job (and takes it) on the thread; FREE_JOB what is left at the end. */
jobs_t *jobs_new (void (*work) (void *job, void *arg), void (*free_job) (void *job),
                  void *arg, dfs_error_t *err);
/* Waits for the job in work. */
void jobs_destroy (jobs_t **self_p);
/* Takes the job. Any thread. */
void jobs_push (jobs_t *self, void *job);

#endif
