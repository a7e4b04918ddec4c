/* SPDX-License-Identifier: MPL-2.0 */
/* OpPrune: past records that are old enough, as the policy of each says, go for good,
 * with what they refer to. */
#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/ops.h"
#include "broker/namespace/page.h"
#include "broker/namespace/past.h"
#include "broker/namespace/tables.h"

enum {
    PRUNE_MIN = 16,
    PRUNE_LOOKED = 2048, /* in one search for what is due */
};

/* How long what the past log names at LOG is kept: the policy of the file counts. One
 * whose file is not known any more is kept as the default says. */
static int history_of (view_t *view, const catalog_t *catalog, arena_t *arena,
                       const uint8_t *log, size_t len, uint64_t *out, dfs_error_t *err)
{
    uint64_t index = get64 (log);
    uint8_t key[KEY_MAX];
    size_t n = len - 9;
    const void *value;
    size_t value_len;
    Dfs__RecInode *rec = NULL;
    memcpy (key, log + 9, n);
    int rc = past_find (view, (enum table)log[8], key, n, index - 1, &value, &value_len,
                        err);
    if (rc > 0 && log[8] == T_PAST_DENTRY) {
        Dfs__RecDentry *dentry =
            dfs__rec_dentry__unpack (arena_allocator (arena), value_len, value);
        if (!dentry)
            return broken (view, err, DFS_EDAMAGED, "past name does not unpack", index);
        n = key_id (key, dentry->inode);
        rc = table_fetch (view, T_INODE, key, n, &value, &value_len, err);
        if (rc == 0)
            rc = past_find (view, T_PAST_INODE, key, n, index - 1, &value, &value_len,
                            err);
    }
    if (rc < 0)
        return rc;
    if (rc > 0) {
        rec = dfs__rec_inode__unpack (arena_allocator (arena), value_len, value);
        if (!rec)
            return broken (view, err, DFS_EDAMAGED, "past inode does not unpack",
                           index);
    }
    const Dfs__Policy *policy =
        rec && rec->has_policy ? catalog_policy (catalog, rec->policy) : NULL;
    if (!policy)
        policy = catalog_policy (catalog, 1);
    *out = policy ? policy->history_ns : UINT64_MAX;
    return 0;
}

/* Whether a record of the past log is old enough at NOW. */
static int is_due (view_t *view, const catalog_t *catalog, arena_t *arena,
                   const MDB_val *k, const Dfs__RecPast *rec, uint64_t now,
                   dfs_error_t *err)
{
    uint64_t history = 0;
    const uint8_t *log = k->mv_data;
    if (k->mv_size < 9 + 8 || k->mv_size > KEY_MAX - 16 ||
        (log[8] != T_PAST_INODE && log[8] != T_PAST_DENTRY))
        return broken (view, err, DFS_EDAMAGED, "past log is malformed", 0);
    int rc = history_of (view, catalog, arena, log, k->mv_size, &history, err);
    return rc < 0 ? rc : now > history && rec->time_ns < now - history;
}

static uint64_t shortest_history (const catalog_t *catalog)
{
    uint64_t shortest = UINT64_MAX;
    for (size_t i = 0; i < catalog->n_policies; i++)
        if (catalog->policies[i]->history_ns < shortest)
            shortest = catalog->policies[i]->history_ns;
    return shortest;
}

/* The past log from AT on. */
static int next_past (view_t *view, const namespace_place_t *at, MDB_val *k, MDB_val *v,
                      dfs_error_t *err)
{
    return table_seek (view, T_PAST_LOG, at->len ? at->key : NULL, at->len, k, v, err);
}

static void go_behind (namespace_place_t *at, const MDB_val *k)
{
    memcpy (at->key, k->mv_data, k->mv_size);
    at->key[k->mv_size] = 0;
    at->len = k->mv_size + 1;
}

bool namespace_prune_due (namespace_t *self, uint64_t now, namespace_place_t *at)
{
    MDB_val k, v;
    if (state_begin (self, NULL) < 0)
        return false;
    if (table_size (&self->view, T_REAP) > 0)
        return true;
    uint64_t shortest = shortest_history (&self->catalog);
    for (int i = 0; i < PRUNE_LOOKED; i++) {
        int rc = next_past (&self->view, at, &k, &v, NULL);
        arena_reset (self->leaf);
        Dfs__RecPast *rec = rc > 0
                                ? dfs__rec_past__unpack (arena_allocator (self->leaf),
                                                         v.mv_size, v.mv_data)
                                : NULL;
        if (!rec || now <= shortest || rec->time_ns >= now - shortest) {
            at->len = 0;
            return false;
        }
        rc = is_due (&self->view, &self->catalog, self->leaf, &k, rec, now, NULL);
        if (rc != 0)
            return rc > 0;
        go_behind (at, &k);
    }
    return false;
}

/* KEY of the log names the past record: table, then its key without the index. */
static int prune_one (op_t *op, const uint8_t *log, size_t len, dfs_error_t *err)
{
    uint64_t index = get64 (log);
    enum table table = (enum table)log[8];
    uint8_t key[KEY_MAX];
    size_t n = len - 9;
    memcpy (key, log + 9, n);
    if (table == T_PAST_DENTRY)
        key[n++] = 0;
    else if (table != T_PAST_INODE)
        return broken (op->view, err, DFS_EDAMAGED, "past log is malformed", index);
    put64 (key + n, ~index);
    n += 8;
    uint64_t root = 0;
    int rc;
    if (table == T_PAST_INODE) {
        Dfs__RecInode *rec;
        rc = table_read (op->view, table, key, n, &dfs__rec_inode__descriptor,
                         op->ns->leaf, &rec, err);
        if (rc == 0)
            return broken (op->view, err, DFS_EDAMAGED, "past inode is missing", index);
        if (rc < 0)
            return rc;
        root = rec->root;
    }
    rc = table_del (op, table, key, n, err);
    if (rc == 0)
        rc = table_del (op, T_PAST_LOG, log, len, err);
    op->ns->counters[C_PAST]--;
    return rc < 0 ? rc : page_release (op, root, err);
}

int op_prune (op_t *op, const Dfs__OpPrune *prune, dfs_error_t *err)
{
    if (prune->max_records < PRUNE_MIN || prune->max_records > ENTRY_RECORDS)
        return fail (err, DFS_EINVAL, "a prune takes %d to %d records", PRUNE_MIN,
                     ENTRY_RECORDS);
    op->limit = prune->max_records;
    namespace_place_t at = {.len = prune->has_from ? prune->from.len : 0};
    if (at.len > sizeof at.key)
        return fail (err, DFS_EINVAL, "place in the past is too long");
    if (at.len > 0)
        memcpy (at.key, prune->from.data, at.len);
    int rc = page_reap (op, err);
    while (rc == 0 && op->records + 3 <= op->limit) {
        MDB_val k, v;
        rc = next_past (op->view, &at, &k, &v, err);
        if (rc <= 0)
            return rc;
        arena_reset (op->ns->leaf);
        Dfs__RecPast *rec = dfs__rec_past__unpack (arena_allocator (op->ns->leaf),
                                                   v.mv_size, v.mv_data);
        if (!rec || k.mv_size < 9 + 8 || k.mv_size > KEY_MAX - 16)
            return broken (op->view, err, DFS_EDAMAGED, "past log is malformed",
                           op->index);
        if (rec->time_ns > prune->up_to_time_ns)
            return 0;
        if (prune->has_now_ns) {
            rc = is_due (op->view, &op->ns->catalog, op->ns->leaf, &k, rec,
                         prune->now_ns, err);
            if (rc < 0)
                return rc;
            if (rc == 0) { /* nothing is written, but no past makes it endless */
                op->records++;
                go_behind (&at, &k);
                continue;
            }
        }
        uint8_t log[KEY_MAX];
        size_t len = k.mv_size;
        memcpy (log, k.mv_data, len);
        rc = prune_one (op, log, len, err);
    }
    return rc;
}
