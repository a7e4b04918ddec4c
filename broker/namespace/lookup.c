/* SPDX-License-Identifier: MPL-2.0 */
/* Point look-ups of the owner's thread: they see everything applied. */
#include <string.h>

#include "broker/namespace/attributes.h"
#include "broker/namespace/catalog.h"
#include "broker/namespace/chunk.h"
#include "broker/namespace/dentry.h"
#include "broker/namespace/extent.h"
#include "broker/namespace/inode.h"
#include "broker/namespace/page.h"
#include "broker/namespace/tables.h"

static int ready (namespace_t *ns, dfs_error_t *err)
{
    if (ns->view.broken)
        return fail (err, DFS_EINTERNAL, "namespace failed before");
    int rc = state_begin (ns, err);
    if (rc < 0)
        return rc;
    arena_reset (ns->scratch);
    return ns->seeded ? 0 : fail (err, DFS_EUNAVAIL, "the cluster is not seeded yet");
}

int namespace_stat (namespace_t *self, const void *path, size_t len, bool follow,
                    arena_t *arena, Dfs__Attr **attr, dfs_error_t *err)
{
    int rc = ready (self, err);
    return rc < 0 ? rc
                  : attributes_stat (&self->view, self->scratch, path, len, follow,
                                     arena, attr, err);
}

int namespace_stat_at (namespace_t *self, uint64_t index, const void *path, size_t len,
                       bool follow, arena_t *arena, Dfs__Attr **attr, dfs_error_t *err)
{
    int rc = ready (self, err);
    if (rc < 0)
        return rc;
    self->view.at = index;
    rc = attributes_stat (&self->view, self->scratch, path, len, follow, arena, attr,
                          err);
    self->view.at = 0;
    return rc;
}

/* Copies N records from file offset OFFSET on to ARENA; those that reach past SIZE are
 * of a later version and do not occur in a tree of this one. */
static int copy_extents (arena_t *arena, Dfs__RecExtent *const *recs, size_t n,
                         uint64_t offset, Dfs__Extent ***out, dfs_error_t *err)
{
    Dfs__Extent *list = arena_alloc (arena, n * sizeof *list + 1);
    *out = arena_alloc (arena, n * sizeof **out + 1);
    if (!list || !*out)
        return refuse (err, DFS_ENOMEM);
    for (size_t i = 0; i < n; i++) {
        Dfs__Extent *e = (*out)[i] = &list[i];
        extent_unpack (recs[i], offset, e);
        offset += e->length;
        if (e->has_digest && !(e->digest.data = arena_dup (arena, e->digest.data, 32)))
            return refuse (err, DFS_ENOMEM);
    }
    return 0;
}

int namespace_extents (namespace_t *self, uint64_t inode, uint64_t version,
                       uint64_t offset, size_t max, arena_t *arena,
                       Dfs__Extent ***extents, size_t *n, bool *more, dfs_error_t *err)
{
    *n = 0;
    *more = false;
    int rc = ready (self, err);
    if (rc < 0)
        return rc;
    Dfs__RecInode *rec;
    rc = inode_version (&self->view, self->scratch, inode, version, &rec, err);
    if (rc == 0)
        return fail (err, DFS_ESTALE, "version %llu is gone",
                     (unsigned long long)version);
    Dfs__RecExtent **recs;
    uint64_t start;
    size_t found;
    if (max > COMMIT_EXTENTS)
        max = COMMIT_EXTENTS;
    if (rc > 0)
        rc = page_extents (&self->view, self->scratch, rec->root, PAGE_BY_OFFSET,
                           offset, max + 1, &recs, &found, &start, err);
    if (rc < 0)
        return rc;
    *more = found > max;
    *n = *more ? max : found;
    return copy_extents (arena, recs, *n, start, extents, err);
}

int namespace_inline (namespace_t *self, const uint8_t digest[32], const void **data,
                      size_t *len, dfs_error_t *err)
{
    int rc = ready (self, err);
    return rc < 0
               ? rc
               : inline_read (&self->view, self->scratch, digest, data, len, NULL, err);
}

int namespace_chunk (namespace_t *self, const copykey_t *key, chunk_facts_t *facts,
                     dfs_error_t *err)
{
    memset (facts, 0, sizeof *facts);
    int rc = ready (self, err);
    if (rc < 0)
        return rc;
    Dfs__RecChunk *rec;
    rc = chunk_read (&self->view, self->scratch, key, &rec, err);
    if (rc > 0)
        chunk_describe (&self->view, rec, facts);
    return rc;
}

int namespace_policy (namespace_t *self, uint32_t id, arena_t *arena, Dfs__Policy **out,
                      dfs_error_t *err)
{
    uint8_t key[4];
    put32 (key, id);
    int rc = ready (self, err);
    return rc < 0 ? rc
                  : table_read (&self->view, T_POLICY, key, sizeof key,
                                &dfs__policy__descriptor, arena, out, err);
}

int namespace_members (namespace_t *self, arena_t *arena, Dfs__Member ***out, size_t *n,
                       dfs_error_t *err)
{
    void **all = NULL;
    *n = 0;
    int rc = state_begin (self, err);
    if (rc == 0)
        rc = catalog_all (&self->view, T_MEMBER, &dfs__member__descriptor, arena,
                          MEMBERS_MAX, &all, n, err);
    memcpy (out, &all, sizeof all);
    return rc;
}

int namespace_policies (namespace_t *self, arena_t *arena, Dfs__Policy ***out,
                        size_t *n, dfs_error_t *err)
{
    void **all = NULL;
    *n = 0;
    int rc = state_begin (self, err);
    if (rc == 0)
        rc = catalog_all (&self->view, T_POLICY, &dfs__policy__descriptor, arena,
                          POLICIES_MAX, &all, n, err);
    memcpy (out, &all, sizeof all);
    return rc;
}

int namespace_users (namespace_t *self, arena_t *arena, Dfs__User ***out, size_t *n,
                     dfs_error_t *err)
{
    void **all = NULL;
    *n = 0;
    int rc = state_begin (self, err);
    if (rc == 0)
        rc = catalog_all (&self->view, T_USER, &dfs__user__descriptor, arena, USERS_MAX,
                          &all, n, err);
    memcpy (out, &all, sizeof all);
    return rc;
}

uint64_t namespace_next_job (namespace_t *self)
{
    MDB_val k, v;
    if (self->counters[C_JOBS] == 0 || state_begin (self, NULL) < 0 ||
        table_seek (&self->view, T_JOB, NULL, 0, &k, &v, NULL) <= 0)
        return 0;
    return get64 (k.mv_data);
}

int namespace_remembered (namespace_t *self, uint64_t session, uint64_t request,
                          arena_t *arena, Dfs__OpResult **result, dfs_error_t *err)
{
    const void *value;
    size_t len;
    uint8_t key[KEY_MAX];
    int rc = ready (self, err);
    if (rc == 0)
        rc = table_fetch (&self->view, T_REQUEST, key, key_pair (key, session, request),
                          &value, &len, err);
    if (rc <= 0)
        return rc;
    *result = dfs__op_result__unpack (arena_allocator (arena), len, value);
    return *result ? 1 : fail (err, DFS_EDAMAGED, "remembered result does not unpack");
}

size_t namespace_idle_sessions (namespace_t *self, uint64_t time_ns, uint64_t *from,
                                uint64_t *out, size_t max)
{
    uint8_t key[KEY_MAX];
    size_t n = 0, looked = 0;
    if (state_begin (self, NULL) < 0)
        return 0;
    MDB_cursor *cursor = table_cursor (&self->view, T_SESSION, NULL);
    if (!cursor)
        return 0;
    MDB_val k = {.mv_size = key_id (key, *from), .mv_data = key}, v;
    uint64_t tombstone = time_ns > TOMBSTONE_NS ? time_ns - TOMBSTONE_NS : 0;
    int rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
    for (; rc == 0 && n < max && looked < SESSIONS_LOOKED; looked++) {
        if (looked % 256 == 0)
            arena_reset (self->scratch);
        Dfs__RecSession *rec = dfs__rec_session__unpack (
            arena_allocator (self->scratch), v.mv_size, v.mv_data);
        if (rec && rec->seen_ns < (rec->expired ? tombstone : time_ns))
            out[n++] = get64 (k.mv_data);
        rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT);
    }
    *from = rc == 0 ? get64 (k.mv_data) : 0;
    mdb_cursor_close (cursor);
    return n;
}

uint64_t namespace_oldest_past (namespace_t *self)
{
    MDB_val k, v;
    if (state_begin (self, NULL) < 0)
        return UINT64_MAX;
    if (table_size (&self->view, T_REAP) > 0)
        return 0;
    if (table_seek (&self->view, T_PAST_LOG, NULL, 0, &k, &v, NULL) <= 0)
        return UINT64_MAX;
    Dfs__RecPast *rec = dfs__rec_past__unpack (NULL, v.mv_size, v.mv_data);
    uint64_t time = rec ? rec->time_ns : 0;
    if (rec)
        dfs__rec_past__free_unpacked (rec, NULL);
    return time;
}
