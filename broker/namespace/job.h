/* SPDX-License-Identifier: MPL-2.0 */
/* Work that is too large for one entry: visible at once, finished by OpJobStep entries,
 * each bounded. A job knows where it is, so a step may end anywhere. */
#ifndef BROKER_NAMESPACE_JOB_H
#define BROKER_NAMESPACE_JOB_H

#include "broker/namespace/state.h"

/* Adds JOB; the result names it. */
int job_add (op_t *op, Dfs__RecJob *job, dfs_error_t *err);
int op_job_step (op_t *op, const Dfs__OpJobStep *step, dfs_error_t *err);
/* Removes the detached directory ROOT with all below it: small trees at once, others
 * by a job. */
int job_remove_tree (op_t *op, uint64_t root, dfs_error_t *err);

#endif
