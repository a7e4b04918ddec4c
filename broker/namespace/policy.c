/* SPDX-License-Identifier: MPL-2.0 */
/* A policy goes in two entries. After the first nothing is put under it that was not
 * under it before; then somebody looks whether anything is; the second takes it away.
 */
#include "broker/namespace/policy.h"

#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/readers.h"
#include "broker/namespace/tables.h"

#define HIGHEST     "policies" /* key in meta: RecCount */
#define HIGHEST_LEN 8

int policy_highest (view_t *view, arena_t *arena, uint32_t *out, dfs_error_t *err)
{
    Dfs__RecCount *rec;
    int rc = table_read (view, T_META, HIGHEST, HIGHEST_LEN,
                         &dfs__rec_count__descriptor, arena, &rec, err);
    *out = rc > 0 ? (uint32_t)rec->count : 0;
    return rc < 0 ? rc : 0;
}

static int mark (op_t *op, const Dfs__Policy *policy, bool removing, dfs_error_t *err)
{
    Dfs__Policy changed = *policy;
    changed.has_removing = removing;
    changed.removing = removing ? op->index : 0;
    int rc = catalog_write (op, T_POLICY, policy->id, &changed.base, err);
    return rc < 0 ? rc : catalog_reload (op, err);
}

static int take_away (op_t *op, const Dfs__Policy *policy, dfs_error_t *err)
{
    Dfs__RecCount rec = DFS__REC_COUNT__INIT;
    uint32_t highest;
    uint8_t key[4];
    int rc = policy_highest (op->view, op->scratch, &highest, err);
    if (rc < 0)
        return rc;
    put32 (key, policy->id);
    rec.count = policy->id > highest ? policy->id : highest;
    rc = table_write (op, T_META, HIGHEST, HIGHEST_LEN, &rec.base, PUT_ANY, err);
    if (rc == 0)
        rc = table_del (op, T_POLICY, key, sizeof key, err);
    return rc < 0 ? rc : catalog_reload (op, err);
}

int op_policy_remove (op_t *op, const Dfs__OpPolicyRemove *remove, dfs_error_t *err)
{
    const Dfs__Policy *policy = catalog_policy (&op->ns->catalog, remove->id);
    if (!policy)
        return fail (err, DFS_ENOENT, "no policy %u", remove->id);
    if (policy->id == 1)
        return fail (err, DFS_EINVAL, "the default policy stays");
    if (remove->step == DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_BEGIN)
        return policy->removing ? 0 : mark (op, policy, true, err);
    /* Somebody may have changed it meanwhile, and then put something under it. */
    if (policy->removing == 0 || policy->removing != remove->begun)
        return fail (err, DFS_ECONFLICT, "policy %u was changed meanwhile", policy->id);
    if (remove->step == DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_CANCEL)
        return mark (op, policy, false, err);
    return take_away (op, policy, err);
}

/* --- what is under a policy --- */

/* In this order: what is under a policy moves from one table to another behind it. */
static const enum table looked[] = {T_UPLOAD, T_INODE, T_PAST_INODE, T_CHUNK};
enum { LOOKED = sizeof looked / sizeof looked[0] };

static const ProtobufCMessageDescriptor *type_of (enum table table)
{
    return table == T_UPLOAD  ? &dfs__rec_upload__descriptor
           : table == T_CHUNK ? &dfs__rec_chunk__descriptor
                              : &dfs__rec_inode__descriptor;
}

static void count_one (policy_use_t *use, enum table table, const void *rec)
{
    const Dfs__RecInode *inode = rec;
    const Dfs__RecUpload *upload = rec;
    const Dfs__RecChunk *chunk = rec;
    switch (table) {
    case T_UPLOAD:
        use->uploads += upload->policy == use->policy;
        break;
    case T_CHUNK:
        for (size_t i = 0; i < chunk->n_policy; i++)
            use->chunks += chunk->policy[i] == use->policy;
        break;
    case T_PAST_INODE:
        use->past += inode->policy == use->policy;
        break;
    default:
        if (inode->policy != use->policy)
            break;
        if (inode->type == DFS__FILE_TYPE__FILE_DIRECTORY)
            use->directories++;
        else
            use->files++;
    }
}

/* At most *MAX records of a table from the place in USE on; 1: there are more. */
static int look (policy_use_t *use, view_t *view, arena_t *arena, size_t *max,
                 dfs_error_t *err)
{
    enum table table = looked[use->table];
    MDB_cursor *cursor = table_cursor (view, table, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    MDB_val k = {.mv_size = use->at.len, .mv_data = use->at.key}, v;
    int rc = mdb_cursor_get (cursor, &k, &v, use->at.len ? MDB_SET_RANGE : MDB_FIRST);
    for (; rc == 0 && *max > 0;
         (*max)--, rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) {
        arena_reset (arena);
        void *rec = protobuf_c_message_unpack (type_of (table), arena_allocator (arena),
                                               v.mv_size, v.mv_data);
        if (!rec) {
            mdb_cursor_close (cursor);
            return broken (view, err, DFS_EDAMAGED, table_names[table], 0);
        }
        count_one (use, table, rec);
    }
    if (rc == 0 && k.mv_size <= sizeof use->at.key) {
        use->at.len = k.mv_size;
        memcpy (use->at.key, k.mv_data, k.mv_size);
    }
    mdb_cursor_close (cursor);
    if (rc == 0)
        return 1;
    return rc == MDB_NOTFOUND ? 0 : kv_fail (err, rc, table_names[table]);
}

int namespace_policy_use (namespace_reader_t *self, policy_use_t *use, size_t max,
                          dfs_error_t *err)
{
    snapshot_t snapshot;
    int rc = reader_take (self, 0, &snapshot, err);
    if (rc < 0)
        return rc;
    if (use->table == 0 && use->at.len == 0) {
        const Dfs__Policy *policy = catalog_policy (snapshot.view.catalog, use->policy);
        use->removing = policy ? policy->removing : 0;
    }
    rc = 0;
    while (rc == 0 && use->table < LOOKED) {
        rc = look (use, &snapshot.view, reader_scratch (self), &max, err);
        if (rc == 0) {
            use->table++;
            use->at.len = 0;
        }
    }
    reader_give (self, &snapshot, false);
    return rc;
}
