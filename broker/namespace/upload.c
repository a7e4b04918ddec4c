/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/dentry.h"
#include "broker/namespace/extent.h"
#include "broker/namespace/job.h"
#include "broker/namespace/tables.h"
#include "broker/namespace/tree.h"
#include "broker/namespace/upload.h"

static size_t key_staged (uint8_t key[KEY_MAX], uint64_t session, uint64_t id,
                          uint32_t page)
{
    put32 (key + key_pair (key, session, id), page);
    return 20;
}

static int read_upload (op_t *op, uint64_t id, Dfs__RecUpload **out, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    int rc = table_read (op->view, T_UPLOAD, key, key_pair (key, op->session, id),
                         &dfs__rec_upload__descriptor, op->scratch, out, err);
    if (rc > 0 && (*out)->closed)
        return fail (err, DFS_ESTALE, "upload is closed");
    return rc;
}

static int write_upload (op_t *op, uint64_t session, uint64_t id,
                         const Dfs__RecUpload *rec, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    return table_write (op, T_UPLOAD, key, key_pair (key, session, id), &rec->base,
                        PUT_ANY, err);
}

static int may_begin (op_t *op, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    key_id (key, op->session);
    MDB_cursor *cursor = table_cursor (op->view, T_UPLOAD, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    MDB_val k = {.mv_size = 8, .mv_data = key}, v;
    unsigned n = 0;
    int rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
    for (; rc == 0 && memcmp (k.mv_data, key, 8) == 0; n++)
        rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT);
    mdb_cursor_close (cursor);
    return n < UPLOADS_PER_SESSION ? 0
                                   : fail (err, DFS_EAGAIN, "too many uploads at once");
}

/* 1 when the page is there already with the same content. */
static int same_page (op_t *op, const uint8_t *key, size_t len, uint64_t offset,
                      const uint8_t hash[32], dfs_error_t *err)
{
    Dfs__RecStaged *old;
    int rc = table_read (op->view, T_STAGED, key, len, &dfs__rec_staged__descriptor,
                         op->scratch, &old, err);
    if (rc <= 0)
        return rc;
    if (old->offset != offset || old->hash.len != 32 ||
        memcmp (old->hash.data, hash, 32) != 0)
        return fail (err, DFS_EEXIST, "page was staged with other content");
    return 1;
}

int op_stage (op_t *op, const Dfs__OpStage *stage, dfs_error_t *err)
{
    if (stage->page >= UPLOAD_PAGES || stage->n_extents > PAGE_EXTENTS)
        return fail (err, DFS_ETOOBIG, "upload has too many pages or extents");
    if (stage->n_extents == 0)
        return fail (err, DFS_EINVAL, "page without extents");
    op->inl = stage->inline_;
    op->n_inl = stage->n_inline_;
    uint32_t policy = stage->policy ? stage->policy : 1;
    int rc = catalog_assign (&op->ns->catalog, policy, err);
    if (rc < 0)
        return rc;
    Dfs__RecUpload *old;
    rc = read_upload (op, stage->upload, &old, err);
    if (rc < 0)
        return rc;
    if (rc > 0 && old->policy != policy)
        return fail (err, DFS_EINVAL, "upload is under policy %u", old->policy);
    Dfs__RecExtent **extents;
    int rc2 = extents_pack (op, stage->extents, stage->n_extents, &extents, err);
    if (rc2 < 0)
        return rc2;
    for (size_t i = 0; i < stage->n_extents; i++)
        if (stage->extents[i]->has_digest && stage->extents[i]->digest.len != 32)
            return fail (err, DFS_EINVAL, "extent has no digest");
    uint64_t offset = stage->extents[0]->offset;
    uint8_t hash[32];
    tree_group (op->ns->digest, extents, stage->n_extents, hash);
    uint8_t key[KEY_MAX];
    size_t len = key_staged (key, op->session, stage->upload, stage->page);
    rc2 = rc ? same_page (op, key, len, offset, hash, err) : may_begin (op, err);
    if (rc2 != 0)
        return rc2 < 0 ? rc2 : 0;
    uint64_t end = offset;
    rc2 = extents_check (op, stage->extents, stage->n_extents, &end,
                         stage->placed_index, err);
    if (rc2 < 0)
        return rc2;

    Dfs__RecUpload upload = DFS__REC_UPLOAD__INIT;
    upload.pages = rc ? old->pages + 1 : 1;
    upload.created_ns = rc ? old->created_ns : op->time;
    upload.seen_ns = op->time;
    set_field (&upload, policy, policy);
    if (op->user)
        set_field (&upload, user, op->user);
    op->ns->counters[C_UPLOADS] += rc ? 0 : 1;
    branch_t leaf;
    rc2 = page_leaf (op, policy, extents, stage->n_extents, &leaf, err);
    if (rc2 < 0)
        return rc2;
    Dfs__RecStaged row = DFS__REC_STAGED__INIT;
    row.page = leaf.page;
    row.offset = offset;
    row.length = leaf.length;
    row.extents = (uint32_t)stage->n_extents;
    row.chunks = (uint32_t)extents_chunks (extents, stage->n_extents);
    row.hash.data = hash;
    row.hash.len = sizeof hash;
    rc2 = table_write (op, T_STAGED, key, len, &row.base, PUT_NEW, err);
    return rc2 < 0 ? rc2 : write_upload (op, op->session, stage->upload, &upload, err);
}

int upload_load (op_t *op, uint64_t id, staged_t *out, dfs_error_t *err)
{
    *out = (staged_t){.id = id};
    int rc = read_upload (op, id, &out->rec, err);
    if (rc <= 0)
        return rc < 0 ? rc : fail (err, DFS_ENOENT, "no such upload");
    out->rows = arena_alloc (op->scratch, out->rec->pages * sizeof *out->rows + 1);
    if (!out->rows)
        return refuse (err, DFS_ENOMEM);
    uint8_t key[KEY_MAX];
    for (uint32_t i = 0; i < out->rec->pages; i++) {
        Dfs__RecStaged *row;
        size_t len = key_staged (key, op->session, id, i);
        rc = table_read (op->view, T_STAGED, key, len, &dfs__rec_staged__descriptor,
                         op->scratch, &row, err);
        if (rc < 0)
            return rc;
        if (rc == 0 || row->offset != out->length)
            return fail (err, DFS_EINVAL, "upload has no page %u at offset %llu", i,
                         (unsigned long long)out->length);
        out->rows[out->n++] = row;
        out->length += row->length;
        out->extents += row->extents;
        out->chunks += row->chunks;
    }
    return 0;
}

/* Removes the row of PAGE, if there is one; 1 when there was. */
static int clear_row (op_t *op, uint64_t session, uint64_t id, uint32_t page,
                      bool release, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t len = key_staged (key, session, id, page);
    Dfs__RecStaged *row;
    int rc = table_read (op->view, T_STAGED, key, len, &dfs__rec_staged__descriptor,
                         op->scratch, &row, err);
    if (rc <= 0)
        return rc;
    rc = table_del (op, T_STAGED, key, len, err);
    if (rc == 0 && release)
        rc = page_release (op, row->page, err);
    return rc < 0 ? rc : 1;
}

/* Finds the lowest row at or behind KEY's page; 0 when the upload has none left. */
static int next_row (op_t *op, uint64_t session, uint64_t id, uint32_t *page,
                     dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t len = key_staged (key, session, id, *page);
    MDB_val k, v;
    int rc = table_seek (op->view, T_STAGED, key, len, &k, &v, err);
    if (rc <= 0)
        return rc;
    if (k.mv_size != len || memcmp (k.mv_data, key, 16) != 0)
        return 0;
    *page = get32 ((const uint8_t *)k.mv_data + 16);
    return 1;
}

static int forget (op_t *op, uint64_t session, uint64_t id, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    op->ns->counters[C_UPLOADS]--;
    return table_del (op, T_UPLOAD, key, key_pair (key, session, id), err);
}

/* Takes rows away until the limit; 1 when the upload is gone. */
static int clear (op_t *op, uint64_t session, uint64_t id, bool release,
                  dfs_error_t *err)
{
    uint32_t page = 0;
    while (op->records + 4 < op->limit) {
        int rc = next_row (op, session, id, &page, err);
        if (rc == 0) {
            rc = forget (op, session, id, err);
            return rc < 0 ? rc : 1;
        }
        if (rc > 0)
            rc = clear_row (op, session, id, page, release, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int finish (op_t *op, uint64_t session, uint64_t id, Dfs__RecUpload *rec,
                   bool release, dfs_error_t *err)
{
    if (rec->pages <= UPLOAD_INLINE_PAGES &&
        op->records + 2 * rec->pages + 4 < op->limit) {
        int rc = clear (op, session, id, release, err);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    set_field (rec, closed, true);
    if (!release)
        set_field (rec, committed, true);
    int rc = write_upload (op, session, id, rec, err);
    if (rc < 0)
        return rc;
    Dfs__RecJob job = DFS__REC_JOB__INIT;
    job.kind = DFS__JOB_KIND__JOB_UPLOAD;
    set_field (&job, session, session);
    set_field (&job, upload, id);
    set_field (&job, release, release);
    return job_add (op, &job, err);
}

int upload_commit (op_t *op, const staged_t *staged, dfs_error_t *err)
{
    return finish (op, op->session, staged->id, staged->rec, false, err);
}

int op_upload_drop (op_t *op, const Dfs__OpUploadDrop *drop, dfs_error_t *err)
{
    Dfs__RecUpload *rec;
    int rc = read_upload (op, drop->upload, &rec, err);
    if (rc == 0)
        return fail (err, DFS_ENOENT, "no such upload");
    return rc < 0 ? rc : finish (op, op->session, drop->upload, rec, true, err);
}

int upload_drop_session (op_t *op, uint64_t session, dfs_error_t *err)
{
    uint8_t from[KEY_MAX];
    uint64_t next = 0;
    for (;;) {
        size_t len = key_pair (from, session, next);
        MDB_val k, v;
        int rc = table_seek (op->view, T_UPLOAD, from, len, &k, &v, err);
        if (rc <= 0 || memcmp (k.mv_data, from, 8) != 0)
            return rc < 0 ? rc : 0;
        uint64_t id = get64 ((const uint8_t *)k.mv_data + 8);
        Dfs__RecUpload *rec = dfs__rec_upload__unpack (arena_allocator (op->scratch),
                                                       v.mv_size, v.mv_data);
        if (!rec)
            return broken (op->view, err, DFS_EDAMAGED, "upload does not unpack", id);
        if (!rec->closed) {
            if (op->records + 8 >= op->limit)
                return 1;
            if ((rc = finish (op, session, id, rec, true, err)) < 0)
                return rc;
        }
        if (id == UINT64_MAX)
            return 0;
        next = id + 1;
    }
}

int upload_clear (op_t *op, Dfs__RecJob *job, dfs_error_t *err)
{
    return clear (op, job->session, job->upload, job->release, err);
}
