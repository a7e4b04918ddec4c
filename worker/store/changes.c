/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "worker/store/changes.h"
#include "worker/store/le.h"

#define CHANGE_PACKED 59
#define PRUNE_STEP    20000

void change_log_add (change_log_t *self, const store_change_t *change)
{
    if (self->n == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 64;
        self->v = realloc (self->v, self->cap * sizeof *self->v);
        assert (self->v);
    }
    self->v[self->n++] = *change;
}

size_t change_log_copy (const change_log_t *self, uint64_t first, store_change_t *out,
                        size_t max)
{
    if (self->n == 0 || first < self->v[0].seq || first - self->v[0].seq >= self->n)
        return 0;
    size_t at = (size_t)(first - self->v[0].seq);
    size_t n = self->n - at < max ? self->n - at : max;
    memcpy (out, self->v + at, n * sizeof *out);
    return n;
}

void change_log_free (change_log_t *self)
{
    free (self->v);
    *self = (change_log_t){0};
}

static void pack (const store_change_t *change, uint8_t out[CHANGE_PACKED])
{
    out[0] = (uint8_t)change->kind;
    copykey_pack (&change->key, out + 1);
    le_put64 (out + 39, change->birth);
    le_put64 (out + 47, change->length);
    uint32_t crc = digest_crc32c (0, out, 55);
    le_put32 (out + 55, digest_crc32c (crc, &change->seq, sizeof change->seq));
}

static int unpack (const MDB_val *k, const MDB_val *v, store_change_t *change,
                   dfs_error_t *err)
{
    const uint8_t *p = v->mv_data;
    if (k->mv_size != 8 || v->mv_size != CHANGE_PACKED)
        return fail (err, DFS_EDAMAGED, "change in the index is damaged");
    uint64_t be;
    memcpy (&be, k->mv_data, 8);
    *change = (store_change_t){.seq = be64toh (be), .kind = p[0]};
    copykey_unpack (p + 1, &change->key);
    change->birth = le_get64 (p + 39);
    change->length = le_get64 (p + 47);
    uint32_t crc = digest_crc32c (0, p, 55);
    if (le_get32 (p + 55) != digest_crc32c (crc, &change->seq, sizeof change->seq))
        return fail (err, DFS_EDAMAGED, "change in the index is damaged");
    return DFS_OK;
}

int changes_write (kv_t *kv, MDB_txn *txn, const change_log_t *log, dfs_error_t *err)
{
    for (size_t i = 0; i < log->n; i++) {
        uint64_t key = htobe64 (log->v[i].seq);
        uint8_t value[CHANGE_PACKED];
        pack (&log->v[i], value);
        int rc =
            kv_put (kv, txn, INDEX_CHANGES, &key, sizeof key, value, sizeof value, err);
        if (rc < 0)
            return rc;
    }
    return DFS_OK;
}

int changes_prune (kv_t *kv, MDB_txn *txn, uint64_t first, dfs_error_t *err)
{
    MDB_cursor *cur;
    int rc = mdb_cursor_open (txn, kv_dbi (kv, INDEX_CHANGES), &cur);
    if (rc != 0)
        return kv_fail (err, rc, "prune changes");
    MDB_val k, v;
    for (int i = 0; i < PRUNE_STEP; i++) {
        rc = mdb_cursor_get (cur, &k, &v, MDB_FIRST);
        uint64_t be = 0;
        if (rc == 0 && k.mv_size == 8)
            memcpy (&be, k.mv_data, 8);
        if (rc != 0 || be64toh (be) >= first)
            break;
        rc = mdb_cursor_del (cur, 0);
        if (rc != 0)
            break;
    }
    mdb_cursor_close (cur);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return kv_fail (err, rc, "prune changes");
    return DFS_OK;
}

int changes_first (kv_t *kv, MDB_txn *txn, uint64_t next, uint64_t *first,
                   dfs_error_t *err)
{
    MDB_cursor *cur;
    int rc = mdb_cursor_open (txn, kv_dbi (kv, INDEX_CHANGES), &cur);
    if (rc != 0)
        return kv_fail (err, rc, "read changes");
    MDB_val k, v;
    store_change_t change = {.seq = next};
    rc = mdb_cursor_get (cur, &k, &v, MDB_FIRST);
    int code = rc == 0 ? unpack (&k, &v, &change, err) : DFS_OK;
    mdb_cursor_close (cur);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return kv_fail (err, rc, "read changes");
    *first = change.seq;
    return code;
}

int changes_last_gap (kv_t *kv, MDB_txn *txn, uint64_t next, uint64_t *first,
                      dfs_error_t *err)
{
    MDB_cursor *cur;
    int rc = mdb_cursor_open (txn, kv_dbi (kv, INDEX_CHANGES), &cur);
    if (rc != 0)
        return kv_fail (err, rc, "read changes");
    MDB_val k, v;
    rc = mdb_cursor_get (cur, &k, &v, MDB_LAST);
    while (rc == 0) {
        uint64_t be = 0;
        if (k.mv_size == 8)
            memcpy (&be, k.mv_data, 8);
        if (be64toh (be) + 1 != next)
            break;
        next--;
        rc = mdb_cursor_get (cur, &k, &v, MDB_PREV);
    }
    mdb_cursor_close (cur);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return kv_fail (err, rc, "read changes");
    *first = next;
    return DFS_OK;
}

int changes_read (kv_t *kv, MDB_txn *txn, uint64_t first, store_change_t *out,
                  size_t max, dfs_error_t *err)
{
    MDB_cursor *cur;
    int rc = mdb_cursor_open (txn, kv_dbi (kv, INDEX_CHANGES), &cur);
    if (rc != 0)
        return kv_fail (err, rc, "read changes");
    uint64_t key = htobe64 (first);
    MDB_val k = {.mv_size = sizeof key, .mv_data = &key};
    MDB_val v;
    int n = 0;
    int code = DFS_OK;
    rc = mdb_cursor_get (cur, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && n < (int)max) {
        code = unpack (&k, &v, &out[n], err);
        if (code < 0 || out[n].seq != first + (uint64_t)n)
            break;
        n++;
        rc = mdb_cursor_get (cur, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close (cur);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return kv_fail (err, rc, "read changes");
    return code < 0 ? code : n;
}
