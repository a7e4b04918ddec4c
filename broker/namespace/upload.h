/* SPDX-License-Identifier: MPL-2.0 */
/* Staged uploads: pages of a long extent list that hold their references before the
 * commit names them. An upload belongs to its session. */
#ifndef BROKER_NAMESPACE_UPLOAD_H
#define BROKER_NAMESPACE_UPLOAD_H

#include "broker/namespace/page.h"

typedef struct staged {
    uint64_t id;
    Dfs__RecUpload *rec;
    Dfs__RecStaged **rows;
    size_t n;
    uint64_t length;
    uint64_t extents;
    uint64_t chunks;
} staged_t;

int op_stage (op_t *op, const Dfs__OpStage *stage, dfs_error_t *err);
int op_upload_drop (op_t *op, const Dfs__OpUploadDrop *drop, dfs_error_t *err);

/* All pages, without a gap from offset 0 on; changes nothing. */
int upload_load (op_t *op, uint64_t id, staged_t *out, dfs_error_t *err);
/* Its records go, at once or by a job; the references of its pages go to the caller. */
int upload_commit (op_t *op, const staged_t *staged, dfs_error_t *err);
/* Drops every upload of SESSION; 1 when there are more than one entry may take away. */
int upload_drop_session (op_t *op, uint64_t session, dfs_error_t *err);
/* A step of the job that clears an upload's records; 1 when it is done. */
int upload_clear (op_t *op, Dfs__RecJob *job, dfs_error_t *err);

#endif
