/* SPDX-License-Identifier: MPL-2.0 */
/* A few threads for work that must not hold up the event loop: hashing, checking,
 * files. Jobs start in the order they were submitted; finished ones are collected by
 * the owner, many at once. Owned by one thread; run () is called in others. */
#ifndef CLIENT_LIB_POOL_H
#define CLIENT_LIB_POOL_H

#include <stddef.h>

#include "common/digest.h"
#include "common/error.h"

typedef struct pool pool_t;

/* Part of the owner's object. The pool touches it from submit until it is collected. */
typedef struct job {
    struct job *next;
    /* DIGEST is the thread's own. */
    void (*run) (struct job *job, digest_t *digest);
    /* Called by the owner's thread, in pool_collect. */
    void (*done) (struct job *job, void *arg);
} job_t;

pool_t *pool_new (size_t threads, dfs_error_t *err);
/* Waits for what runs; nothing may be queued (assert). */
void pool_destroy (pool_t **self_p);
/* eventfd, readable when jobs have finished. */
int pool_fd (const pool_t *self);
/* At most N jobs run at once from now on (0: as many as there are threads). */
void pool_limit (pool_t *self, size_t n);
/* Queues a chain of jobs (linked by next). */
void pool_submit (pool_t *self, job_t *jobs);
/* Calls done () of each finished job; returns their number. */
size_t pool_collect (pool_t *self, void *arg);
/* Jobs submitted and not collected. */
size_t pool_pending (const pool_t *self);
/* Takes back what has not started: a chain, never run. */
job_t *pool_revoke (pool_t *self);
/* Waits until something has finished (or nothing is pending). */
void pool_wait (pool_t *self);

#endif
