/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/dentry.h"
#include "broker/namespace/inode.h"
#include "broker/namespace/job.h"
#include "broker/namespace/tables.h"
#include "broker/namespace/upload.h"

enum {
    REMOVE_RECORDS = 6, /* that taking one name away writes, at most */
    STEP_MIN = 16,
};

static int write_job (op_t *op, uint64_t id, const Dfs__RecJob *job, enum put_how how,
                      dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    return table_write (op, T_JOB, key, key_id (key, id), &job->base, how, err);
}

int job_add (op_t *op, Dfs__RecJob *job, dfs_error_t *err)
{
    uint64_t id = op->ns->counters[C_NEXT_JOB]++;
    op->ns->counters[C_JOBS]++;
    job->index = op->index;
    set_field (op->result, job, id);
    return write_job (op, id, job, PUT_NEW, err);
}

/* Takes the first name of DIR away, or goes down into it: *DIR is then the directory
 * below. 1 when DIR has no names. */
static int remove_first (op_t *op, uint64_t *dir, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    MDB_val k, v;
    int rc = table_seek (op->view, T_DENTRY, key, key_id (key, *dir), &k, &v, err);
    if (rc < 0)
        return rc;
    if (rc == 0 || k.mv_size <= 8 || memcmp (k.mv_data, key, 8) != 0)
        return 1;
    size_t len = k.mv_size - 8;
    if (len > 255)
        return broken (op->view, err, DFS_EDAMAGED, "name is too long", *dir);
    uint8_t name[255];
    memcpy (name, (const uint8_t *)k.mv_data + 8, len);
    Dfs__RecDentry *dentry =
        dfs__rec_dentry__unpack (arena_allocator (op->scratch), v.mv_size, v.mv_data);
    if (!dentry)
        return broken (op->view, err, DFS_EDAMAGED, "dentry does not unpack", *dir);
    if (dentry->type == DFS__FILE_TYPE__FILE_DIRECTORY) {
        rc = dentry_none (op->view, dentry->inode, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            op->records++; /* nothing is written, but no depth must make it endless */
            *dir = dentry->inode;
            return 0;
        }
    }
    rc = dentry_remove (op, *dir, name, len, err);
    return rc < 0 ? rc : inode_unlink (op, dentry->inode, err);
}

/* Goes on below ROOT at *CURRENT until the limit; 1 when ROOT itself is gone. */
static int remove_below (op_t *op, uint64_t root, uint64_t *current, dfs_error_t *err)
{
    while (op->records + REMOVE_RECORDS <= op->limit) {
        int rc = remove_first (op, current, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        if (*current == root) {
            rc = inode_unlink (op, root, err);
            return rc < 0 ? rc : 1;
        }
        Dfs__RecInode *rec;
        rc = inode_must (op->view, op->scratch, *current, &rec, err);
        if (rc < 0)
            return rc;
        *current = rec->parent;
    }
    return 0;
}

int job_remove_tree (op_t *op, uint64_t root, dfs_error_t *err)
{
    unsigned limit = op->limit;
    uint64_t current = root;
    op->limit = REMOVE_AT_ONCE;
    int rc = remove_below (op, root, &current, err);
    op->limit = limit;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    Dfs__RecJob job = DFS__REC_JOB__INIT;
    job.kind = DFS__JOB_KIND__JOB_REMOVE_TREE;
    set_field (&job, root, root);
    set_field (&job, current, current);
    return job_add (op, &job, err);
}

int op_job_step (op_t *op, const Dfs__OpJobStep *step, dfs_error_t *err)
{
    if (step->max_records < STEP_MIN || step->max_records > ENTRY_RECORDS)
        return fail (err, DFS_EINVAL, "a step takes %d to %d records", STEP_MIN,
                     ENTRY_RECORDS);
    uint8_t key[KEY_MAX];
    size_t len = key_id (key, step->job);
    Dfs__RecJob *job;
    int rc = table_read (op->view, T_JOB, key, len, &dfs__rec_job__descriptor,
                         op->scratch, &job, err);
    if (rc == 0)
        return fail (err, DFS_ENOENT, "no such job");
    if (rc < 0)
        return rc;
    op->limit = step->max_records - 1; /* and the job's own record */
    switch (job->kind) {
    case DFS__JOB_KIND__JOB_REMOVE_TREE:
        rc = remove_below (op, job->root, &job->current, err);
        break;
    case DFS__JOB_KIND__JOB_UPLOAD:
        rc = upload_clear (op, job, err);
        break;
    default:
        return broken (op->view, err, DFS_EVERSION, "job of an unknown kind",
                       step->job);
    }
    if (rc < 0)
        return rc;
    if (rc > 0) {
        op->ns->counters[C_JOBS]--;
        return table_del (op, T_JOB, key, len, err);
    }
    set_field (job, done, job->done + op->records);
    set_field (op->result, job, step->job);
    return write_job (op, step->job, job, PUT_ANY, err);
}
