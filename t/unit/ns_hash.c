/* SPDX-License-Identifier: MPL-2.0 */
/* The state hash: what the log says of it is compared, and records that were altered
 * behind the broker's back are found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/tables.h"
#include "ns_fixture.h"

static int apply_raw (ns_fixture_t *fx, uint64_t index, const void *data, size_t len,
                      dfs_error_t *err)
{
    Dfs__OpResult *result;
    return namespace_apply (fx->ns, index, 1, data, len, fx->arena, &result, err);
}

static size_t pack_entry (const Dfs__Entry *entry, uint8_t *out)
{
    return dfs__entry__pack (entry, out);
}

static void a_hash_of_the_log_is_compared (void **state)
{
    ns_fixture_t *fx = *state;
    namespace_check_t check;
    dfs_error_t err;
    uint8_t data[200], hash[16];
    Dfs__OpRmdir rmdir = DFS__OP_RMDIR__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_RMDIR;
    op.rmdir = &rmdir;
    ns_text (&rmdir.path, "/x");
    Dfs__Entry entry = DFS__ENTRY__INIT;
    entry.version = 1;
    entry.time_ns = fx->time + SECOND;
    entry.op = &op;
    set_field (&entry, hash_index, namespace_applied (fx->ns));
    namespace_hash (fx->ns, hash);
    entry.has_hash = 1;
    entry.hash.data = hash;
    entry.hash.len = 16;
    assert_ok (namespace_commit (fx->ns, NULL));
    uint64_t index = namespace_applied (fx->ns);
    size_t len = pack_entry (&entry, data);
    assert_ok (apply_raw (fx, index + 1, data, len, &err));
    assert_code (apply_raw (fx, index + 1, data, len, &err), DFS_EINTERNAL);
    assert_ok (apply_raw (fx, index + 2, "", 0, &err)); /* the journal's own */
    assert_int_equal (namespace_applied (fx->ns), index + 2);
    hash[5] ^= 1;
    assert_true (namespace_checked (fx->ns, &check));
    assert_int_equal (check.index, index);
    assert_memory_equal (check.own, check.said, 16);
    assert_false (namespace_checked (fx->ns, &check)); /* once */
    len = pack_entry (&entry, data);
    assert_ok (apply_raw (fx, index + 3, data, len, &err));
    assert_true (namespace_checked (fx->ns, &check));
    assert_int_equal (check.index, index);
    assert_memory_not_equal (check.own, check.said, 16);
    /* what is not remembered is not compared */
    entry.hash_index = index + 2;
    len = pack_entry (&entry, data);
    ns_reopen (fx, true);
    index = namespace_applied (fx->ns);
    assert_ok (apply_raw (fx, index + 1, data, len, &err));
    assert_false (namespace_checked (fx->ns, &check));
    ns_reopen (fx, false);
    index = namespace_applied (fx->ns);
    /* entries of later versions are not guessed at */
    entry.version = 2;
    entry.has_hash = 0;
    len = pack_entry (&entry, data);
    assert_code (apply_raw (fx, index + 1, data, len, &err), DFS_EVERSION);
    ns_reopen (fx, false);
    assert_code (apply_raw (fx, index + 1, "\xff\xff", 2, &err), DFS_EDAMAGED);
    ns_reopen (fx, false);
}

/* A byte of a record is another one, as if the disk had done it. */
static void alter_record (ns_fixture_t *fx)
{
    char dir[4200];
    dfs_error_t err;
    MDB_cursor *cursor;
    MDB_val k, v;
    uint8_t value[4096];
    snprintf (dir, sizeof dir, "%s/namespace", fx->dir);
    kv_t *kv = kv_open (dir, table_names, T_COUNT, 1ULL << 40, 0, &err);
    assert_non_null (kv);
    MDB_txn *txn = kv_begin (kv, true, &err);
    assert_int_equal (mdb_cursor_open (txn, kv_dbi (kv, T_DENTRY), &cursor), 0);
    assert_int_equal (mdb_cursor_get (cursor, &k, &v, MDB_FIRST), 0);
    assert_true (v.mv_size > 0 && v.mv_size <= sizeof value);
    memcpy (value, v.mv_data, v.mv_size);
    value[v.mv_size - 1] ^= 1;
    v.mv_data = value;
    assert_int_equal (mdb_cursor_put (cursor, &k, &v, MDB_CURRENT), 0);
    mdb_cursor_close (cursor);
    assert_ok (kv_commit (kv, &txn, &err));
    kv_close (&kv);
}

static void altered_records_are_found (void **state)
{
    ns_fixture_t *fx = *state;
    dfs_error_t err;
    atomic_bool stop = false;
    assert_ok (ns_put (fx, "c", "/a", "A"));
    assert_ok (namespace_commit (fx->ns, NULL));
    assert_int_equal (namespace_scan (fx->ns, &stop, &err), 0);
    assert_ok (ns_put (fx, "c", "/b", "B")); /* not committed: not looked at */
    assert_int_equal (namespace_scan (fx->ns, &stop, &err), 0);
    namespace_close (&fx->ns);
    alter_record (fx);
    fx->ns = namespace_open (fx->dir, &err);
    assert_non_null (fx->ns);
    assert_int_equal (namespace_scan (fx->ns, &stop, &err), 1);
    stop = true;
    assert_code (namespace_scan (fx->ns, &stop, &err), DFS_ECANCELED);
    namespace_close (&fx->ns);
    alter_record (fx); /* and back: the fixture looks at it all */
    fx->ns = namespace_open (fx->dir, &err);
    stop = false;
    assert_int_equal (namespace_scan (fx->ns, &stop, &err), 0);
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_hash_of_the_log_is_compared),
        TEST (altered_records_are_found),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace hash", tests, NULL, NULL);
}
