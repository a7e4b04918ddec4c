/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "broker/namespace/past.h"
#include "broker/namespace/tables.h"

/* Names have no NUL, so a NUL between name and index keeps the order of names. */
static size_t past_prefix (enum table table, const void *key, size_t key_len,
                           uint8_t out[KEY_MAX])
{
    assert (key_len <= 8 + 255);
    memcpy (out, key, key_len);
    if (table == T_PAST_DENTRY)
        out[key_len++] = 0;
    return key_len;
}

int past_put (op_t *op, enum table table, const void *key, size_t key_len,
              const void *value, size_t len, dfs_error_t *err)
{
    uint8_t past[KEY_MAX];
    size_t n = past_prefix (table, key, key_len, past);
    put64 (past + n, ~op->index);
    void *copy = arena_dup (op->scratch, value, len);
    if (!copy)
        return broken (op->view, err, DFS_ENOMEM, "record too large", op->index);
    int rc = table_store (op, table, past, n + 8, copy, len, PUT_NEW, err);
    if (rc < 0)
        return rc;
    uint8_t log[KEY_MAX];
    put64 (log, op->index);
    log[8] = (uint8_t)table;
    memcpy (log + 9, key, key_len);
    Dfs__RecPast rec = DFS__REC_PAST__INIT;
    rec.time_ns = op->time;
    op->ns->counters[C_PAST]++;
    return table_write (op, T_PAST_LOG, log, 9 + key_len, &rec.base, PUT_NEW, err);
}

int past_find (view_t *view, enum table table, const void *key, size_t key_len,
               uint64_t at, const void **value, size_t *len, dfs_error_t *err)
{
    uint8_t past[KEY_MAX];
    size_t n = past_prefix (table, key, key_len, past);
    put64 (past + n, ~at);
    MDB_val k, v;
    int rc = table_before (view, table, past, n + 8, &k, &v, err);
    if (rc <= 0)
        return rc;
    if (k.mv_size != n + 8 || memcmp (k.mv_data, past, n) != 0)
        return 0;
    *value = v.mv_data;
    *len = v.mv_size;
    return 1;
}
