/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/state_hash.h"
#include "broker/namespace/tables.h"

const char *const table_names[T_COUNT] = {
    "meta",     "inode",   "dentry",    "page",   "page_refs",  "reap",
    "chunk",    "inline",  "policy",    "member", "user",       "upload",
    "staged",   "session", "request",   "job",    "past_inode", "past_dentry",
    "past_log", "free",    "condemned", "drop",
};

uint8_t *put32 (uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32 (v);
    memcpy (p, &v, sizeof v);
    return p + sizeof v;
}

uint8_t *put64 (uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64 (v);
    memcpy (p, &v, sizeof v);
    return p + sizeof v;
}

uint32_t get32 (const uint8_t *p)
{
    uint32_t v;
    memcpy (&v, p, sizeof v);
    return __builtin_bswap32 (v);
}

uint64_t get64 (const uint8_t *p)
{
    uint64_t v;
    memcpy (&v, p, sizeof v);
    return __builtin_bswap64 (v);
}

size_t key_id (uint8_t key[KEY_MAX], uint64_t id)
{
    put64 (key, id);
    return 8;
}

size_t key_pair (uint8_t key[KEY_MAX], uint64_t a, uint64_t b)
{
    put64 (put64 (key, a), b);
    return 16;
}

size_t key_dentry (uint8_t key[KEY_MAX], uint64_t parent, const void *name, size_t len)
{
    assert (len <= 255);
    put64 (key, parent);
    memcpy (key + 8, name, len);
    return 8 + len;
}

int broken (view_t *view, dfs_error_t *err, int code, const char *what, uint64_t id)
{
    view->broken = true;
    return fail (err, code, "namespace: %s (%llu)", what, (unsigned long long)id);
}

/* LMDB does not write through the pointers it is given. */
static MDB_val borrow (const void *data, size_t len)
{
    union {
        const void *in;
        void *out;
    } p = {.in = data};
    return (MDB_val){.mv_size = len, .mv_data = p.out};
}

static int lmdb_failed (view_t *view, int rc, enum table table, dfs_error_t *err)
{
    view->broken = true;
    return kv_fail (err, rc, table_names[table]);
}

MDB_cursor *table_cursor (view_t *view, enum table table, dfs_error_t *err)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open (view->txn, kv_dbi (view->kv, table), &cursor);
    if (rc != 0) {
        lmdb_failed (view, rc, table, err);
        return NULL;
    }
    return cursor;
}

/* The cursor that the owner keeps for TABLE: a key beside the last one is found without
 * going down from the root, and what was found is changed in place. */
static MDB_cursor *kept_cursor (view_t *view, enum table table, dfs_error_t *err)
{
    if (!view->cursors[table])
        view->cursors[table] = table_cursor (view, table, err);
    return view->cursors[table];
}

int table_fetch (view_t *view, enum table table, const void *key, size_t key_len,
                 const void **value, size_t *len, dfs_error_t *err)
{
    MDB_val k = borrow (key, key_len);
    MDB_val v;
    int rc;
    if (view->cursors) {
        MDB_cursor *cursor = kept_cursor (view, table, err);
        if (!cursor)
            return err ? err->code : DFS_EINTERNAL;
        rc = mdb_cursor_get (cursor, &k, &v, MDB_SET);
    } else
        rc = mdb_get (view->txn, kv_dbi (view->kv, table), &k, &v);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return lmdb_failed (view, rc, table, err);
    *value = v.mv_data;
    *len = v.mv_size;
    return 1;
}

int table_read (view_t *view, enum table table, const void *key, size_t key_len,
                const ProtobufCMessageDescriptor *type, arena_t *arena, void *out,
                dfs_error_t *err)
{
    const void *value;
    size_t len;
    int rc = table_fetch (view, table, key, key_len, &value, &len, err);
    if (rc <= 0)
        return rc;
    ProtobufCMessage *message =
        protobuf_c_message_unpack (type, arena_allocator (arena), len, value);
    if (!message)
        return broken (view, err, DFS_EDAMAGED, table_names[table], key_len);
    memcpy (out, &message, sizeof message);
    return 1;
}

static MDB_cursor *borrow_cursor (view_t *view, enum table table, dfs_error_t *err)
{
    return view->cursors ? kept_cursor (view, table, err)
                         : table_cursor (view, table, err);
}

int table_seek (view_t *view, enum table table, const void *key, size_t key_len,
                MDB_val *found, MDB_val *value, dfs_error_t *err)
{
    MDB_cursor *cursor = borrow_cursor (view, table, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    *found = borrow (key, key_len);
    int rc = mdb_cursor_get (cursor, found, value, key_len ? MDB_SET_RANGE : MDB_FIRST);
    if (!view->cursors)
        mdb_cursor_close (cursor);
    if (rc == MDB_NOTFOUND)
        return 0;
    return rc ? lmdb_failed (view, rc, table, err) : 1;
}

int table_before (view_t *view, enum table table, const void *key, size_t key_len,
                  MDB_val *found, MDB_val *value, dfs_error_t *err)
{
    MDB_cursor *cursor = borrow_cursor (view, table, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    *found = borrow (key, key_len);
    int rc = mdb_cursor_get (cursor, found, value, MDB_SET_RANGE);
    rc =
        mdb_cursor_get (cursor, found, value, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
    if (!view->cursors)
        mdb_cursor_close (cursor);
    if (rc == MDB_NOTFOUND)
        return 0;
    return rc ? lmdb_failed (view, rc, table, err) : 1;
}

size_t table_size (view_t *view, enum table table)
{
    MDB_stat stat;
    int rc = mdb_stat (view->txn, kv_dbi (view->kv, table), &stat);
    assert (rc == 0);
    return stat.ms_entries;
}

int table_store (op_t *op, enum table table, const void *key, size_t key_len,
                 const void *value, size_t len, enum put_how how, dfs_error_t *err)
{
    view_t *view = op->view;
    namespace_t *ns = op->ns;
    MDB_cursor *cursor = kept_cursor (view, table, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    unsigned flags = MDB_NOOVERWRITE;
    if (how == PUT_LAST)
        flags |= MDB_APPEND;
    if (how == PUT_ANY) {
        const void *old;
        size_t old_len;
        int rc = table_fetch (view, table, key, key_len, &old, &old_len, err);
        if (rc < 0)
            return rc;
        if (rc > 0) {
            ns->sum -= state_hash_record (table, key, key_len, old, old_len);
            flags = MDB_CURRENT; /* the fetch left the cursor there */
        }
    }
    ns->sum += state_hash_record (table, key, key_len, value, len);
    MDB_val k = borrow (key, key_len);
    MDB_val v = borrow (value, len);
    int rc = mdb_cursor_put (cursor, &k, &v, flags);
    if (rc == MDB_KEYEXIST)
        return broken (view, err, DFS_EDAMAGED, table_names[table], op->index);
    if (rc != 0)
        return lmdb_failed (view, rc, table, err);
    op->records++;
    return 0;
}

int table_write (op_t *op, enum table table, const void *key, size_t key_len,
                 const ProtobufCMessage *message, enum put_how how, dfs_error_t *err)
{
    namespace_t *ns = op->ns;
    size_t len = protobuf_c_message_get_packed_size (message);
    if (len > ns->pack_cap) {
        free (ns->pack);
        ns->pack_cap = 2 * len;
        ns->pack = malloc (ns->pack_cap);
        assert (ns->pack);
    }
    protobuf_c_message_pack (message, ns->pack);
    return table_store (op, table, key, key_len, ns->pack, len, how, err);
}

int table_del (op_t *op, enum table table, const void *key, size_t key_len,
               dfs_error_t *err)
{
    const void *old;
    size_t len;
    int rc = table_fetch (op->view, table, key, key_len, &old, &len, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return broken (op->view, err, DFS_EDAMAGED, table_names[table], op->index);
    op->ns->sum -= state_hash_record (table, key, key_len, old, len);
    rc = mdb_cursor_del (op->view->cursors[table], 0);
    if (rc != 0)
        return lmdb_failed (op->view, rc, table, err);
    op->records++;
    return 0;
}
