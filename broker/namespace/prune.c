/* SPDX-License-Identifier: MPL-2.0 */
/* OpPrune: past records that are old enough go for good, with what they refer to. */
#include <string.h>

#include "broker/namespace/ops.h"
#include "broker/namespace/page.h"
#include "broker/namespace/tables.h"

#define PRUNE_MIN 16

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
                         op->scratch, &rec, err);
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
    int rc = page_reap (op, err);
    while (rc == 0 && op->records + 3 <= op->limit) {
        MDB_val k, v;
        rc = table_seek (op->view, T_PAST_LOG, NULL, 0, &k, &v, err);
        if (rc <= 0)
            return rc;
        Dfs__RecPast *rec =
            dfs__rec_past__unpack (arena_allocator (op->scratch), v.mv_size, v.mv_data);
        if (!rec || k.mv_size < 9 + 8 || k.mv_size > KEY_MAX - 16)
            return broken (op->view, err, DFS_EDAMAGED, "past log is malformed",
                           op->index);
        if (rec->time_ns > prune->up_to_time_ns)
            return 0;
        uint8_t log[KEY_MAX];
        size_t len = k.mv_size;
        memcpy (log, k.mv_data, len);
        rc = prune_one (op, log, len, err);
    }
    return rc;
}
