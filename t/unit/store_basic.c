/* SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/digest.h"
#include "t/lib/storetest.h"

#define KIB 1024
#define MIB (1024 * 1024)
enum { STORED = 1, GONE = 2, DAMAGED = 3, RENEWED = 4 };

static const size_t sizes[] = {0,     1,         100, 4096,    65535,   65536,
                               65537, 200 * KIB, MIB, MIB + 1, 4 * MIB, 4 * MIB + 77};
#define N_SIZES (sizeof sizes / sizeof sizes[0])

static void sizes_come_back_whole (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (size_t i = 0; i < N_SIZES; i++)
        assert_int_equal (storetest_put_wait (&t, i, sizes[i], 10), 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N_SIZES; i++)
            assert_int_equal (storetest_check (&t, i, sizes[i]), 0);
        store_disk_t disk;
        assert_int_equal (store_disks (t.store, &disk, 1), 1);
        assert_int_equal (disk.chunks, N_SIZES);
        assert_int_equal (disk.last_seq, N_SIZES);
        assert_int_equal (disk.first_seq, 1);
        storetest_close (&t);
        storetest_open (&t);
    }
    assert_int_equal (storetest_check (&t, 99, 5), DFS_ENOENT);
    storetest_end (&t);
}

static void changes_are_numbered (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (uint64_t i = 0; i < 50; i++)
        storetest_put (&t, i, 1000, 10);
    storetest_wait_all (&t);
    assert_int_equal (t.n_changes, 50);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal (t.changes[i].seq, i + 1);
        assert_int_equal (t.changes[i].upload, 5);
        assert_int_equal (t.changes[i].length, 1000);
    }
    store_change_t out[64];
    dfs_error_t err;
    assert_int_equal (store_changes (t.store, 0, 11, out, 20, &err), 20);
    assert_int_equal (out[0].seq, 11);
    assert_int_equal (copykey_cmp (&out[0].key, &t.changes[10].key), 0);
    storetest_close (&t);
    storetest_open (&t);
    assert_int_equal (store_changes (t.store, 0, 1, out, 64, &err), 50);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal (copykey_cmp (&out[i].key, &t.changes[i].key), 0);
    store_trim_changes (t.store, 0, 30);
    assert_int_equal (store_changes (t.store, 0, 30, out, 64, &err), DFS_ESTALE);
    assert_int_equal (store_changes (t.store, 0, 31, out, 64, &err), 20);
    assert_int_equal (store_changes (t.store, 0, 51, out, 64, &err), 0);
    storetest_end (&t);
}

static void births_renew_and_drops_respect_them (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 10), 0);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 10), DFS_EEXIST);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 9), DFS_EEXIST);
    assert_int_equal (storetest_count (&t, RENEWED), 0);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 20), DFS_EEXIST);
    assert_int_equal (storetest_count (&t, RENEWED), 1);
    assert_int_equal (storetest_put_wait (&t, 2, 300 * KIB, 10), 0);

    copykey_t key;
    free (storetest_chunk (1, 5000, &key, NULL));
    store_info_t info;
    dfs_error_t err;
    storetest_close (&t);
    storetest_open (&t);
    assert_int_equal (store_find (t.store, &key, &info, &err), 1);
    assert_int_equal (info.birth, 20);
    assert_int_equal (store_drop (t.store, &key, 20, &err), DFS_ECONFLICT);
    assert_int_equal (store_drop (t.store, &key, 21, &err), 0);
    assert_int_equal (store_find (t.store, &key, &info, &err), 0);
    storetest_wait_changes (&t, GONE, 1);
    assert_int_equal (store_drop (t.store, &key, 21, &err), DFS_ENOENT);
    assert_int_equal (storetest_check (&t, 1, 5000), DFS_ENOENT);
    assert_int_equal (storetest_check (&t, 2, 300 * KIB), 0);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 30), 0);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    storetest_end (&t);
}

/* A sender was told that the copy stays: a drop order of the time before may not take
 * it, even while the new birth is on its way to the disk. */
static void a_drop_sees_births_under_way (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    copykey_t key;
    dfs_error_t err;
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal (storetest_put_wait (&t, i, 5000, 10), 0);
        free (storetest_chunk (i, 5000, &key, NULL));
        int64_t cookie = storetest_put (&t, i, 5000, 20);
        assert_int_equal (store_drop (t.store, &key, 15, &err), DFS_ECONFLICT);
        assert_int_equal (storetest_wait (&t, cookie), DFS_EEXIST);
        assert_int_equal (storetest_check (&t, i, 5000), 0);
        assert_int_equal (store_drop (t.store, &key, 21, &err), 0);
    }
    storetest_end (&t);
}

/* Two senders of a copy renew it at the same time, in whatever order: it is as young as
 * the younger one was told. */
static void the_youngest_birth_stays (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    copykey_t key;
    store_info_t info;
    dfs_error_t err;
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal (storetest_put_wait (&t, i, 5000, 10), 0);
        int64_t younger = storetest_put (&t, i, 5000, 30);
        int64_t older = storetest_put (&t, i, 5000, 20);
        assert_int_equal (storetest_wait (&t, younger), DFS_EEXIST);
        assert_int_equal (storetest_wait (&t, older), DFS_EEXIST);
        free (storetest_chunk (i, 5000, &key, NULL));
        assert_int_equal (store_find (t.store, &key, &info, &err), 1);
        assert_int_equal (info.birth, 30);
    }
    storetest_close (&t);
    /* brokers hear of it in the order of the changes: never a lower one behind */
    for (uint64_t i = 0; i < 50; i++) {
        uint64_t told = 0;
        free (storetest_chunk (i, 5000, &key, NULL));
        for (size_t k = 0; k < t.n_changes; k++)
            if (copykey_cmp (&t.changes[k].key, &key) == 0) {
                assert_true (t.changes[k].birth >= told);
                told = t.changes[k].birth;
            }
        assert_int_equal (told, 30);
    }
    storetest_end (&t);
}

/* An append begun with an older grant is sealed behind one of the same chunk that was
 * begun later: the younger birth, which somebody counts on, stays, also when the store
 * is opened again. */
static void a_late_seal_makes_no_copy_older (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    uint32_t *crcs;
    store_new_t what = {.true_len = 300 * KIB, .stored_len = 300 * KIB, .birth = 10};
    uint8_t *data = storetest_chunk (2, 300 * KIB, &what.key, &crcs);
    dfs_error_t err;
    int64_t cookies[2];
    store_append_t *appends[2];
    for (int i = 0; i < 2; i++, what.birth += 10) {
        cookies[i] = storetest_cookie (&t);
        appends[i] = store_begin (t.store, &what, (uint64_t)cookies[i], &err);
        assert_non_null (appends[i]);
        assert_int_equal (store_write (appends[i], 0, data, 300 * KIB, crcs, &err), 0);
    }
    for (int i = 1; i >= 0; i--) {
        store_seal (&appends[i]);
        int rc = storetest_wait (&t, cookies[i]);
        assert_true (rc == 0 || rc == DFS_EEXIST);
    }
    assert_int_equal (store_drop (t.store, &what.key, 15, &err), DFS_ECONFLICT);
    storetest_close (&t);
    assert_true (t.n_changes > 0);
    for (size_t k = 0; k < t.n_changes; k++)
        assert_int_equal (t.changes[k].birth, 20);
    storetest_open (&t);
    assert_int_equal (store_drop (t.store, &what.key, 15, &err), DFS_ECONFLICT);
    assert_int_equal (storetest_check (&t, 2, 300 * KIB), 0);
    free (data);
    free (crcs);
    storetest_end (&t);
}

static void aborted_appends_leave_nothing (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    store_new_t what = {.true_len = 8 * MIB, .stored_len = 8 * MIB, .birth = 1};
    uint32_t *crcs;
    uint8_t *data = storetest_chunk (1, 8 * MIB, &what.key, &crcs);
    dfs_error_t err;
    store_append_t *append = store_begin (t.store, &what, 0, &err);
    assert_non_null (append);
    assert_int_equal (store_write (append, 0, data, MIB, crcs, &err), 0);
    assert_int_equal (store_write (append, 100, data, MIB, crcs, &err), DFS_EINVAL);
    store_abort (&append);
    assert_null (append);
    store_abort (&append);
    assert_int_equal (storetest_check (&t, 1, 8 * MIB), DFS_ENOENT);
    store_disk_t disk;
    for (int i = 0; i < 2000; i++) { /* what is under way ends first */
        store_disks (t.store, &disk, 1);
        if (disk.used < MIB)
            break;
        nanosleep (&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    }
    assert_true (disk.used < MIB);
    /* … and what comes behind it is found again. */
    assert_int_equal (storetest_put_wait (&t, 2, 10, 1), 0);
    storetest_close (&t);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 2, 10), 0);
    free (data);
    free (crcs);
    storetest_end (&t);
}

static void volumes_roll_and_many_small_ones_pack (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    t.config.volume_size = 2 * MIB;
    storetest_open (&t);
    for (uint64_t i = 0; i < 5000; i++)
        storetest_put (&t, i, 100, 1);
    for (uint64_t i = 0; i < 8; i++)
        storetest_put (&t, i, MIB - 5000, 1);
    storetest_wait_all (&t);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    assert_true (disk.used < 8 * MIB + 4 * MIB);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 5000; i += 7)
            assert_int_equal (storetest_check (&t, i, 100), 0);
        for (uint64_t i = 0; i < 8; i++)
            assert_int_equal (storetest_check (&t, i, MIB - 5000), 0);
        storetest_close (&t);
        storetest_open (&t);
    }
    char path[512];
    snprintf (path, sizeof path, "%s/volumes/00000004.vol", t.dirs[0]);
    assert_int_equal (access (path, F_OK), 0);
    storetest_end (&t);
}

static void inventory_lists_everything_once (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (uint64_t i = 0; i < 700; i++)
        storetest_put (&t, i, 50, 1);
    storetest_wait_all (&t);
    copykey_t key;
    dfs_error_t err;
    for (uint64_t i = 0; i < 10; i++) {
        free (storetest_chunk (i, 50, &key, NULL));
        assert_int_equal (store_drop (t.store, &key, 9, &err), 0);
    }
    storetest_wait_changes (&t, GONE, 10);
    store_info_t page[100];
    uint64_t seq = 0;
    size_t total = 0;
    copykey_t last;
    int n = store_inventory (t.store, 0, NULL, page, 100, &seq, &err);
    assert_int_equal (seq, 710);
    while (n > 0) {
        for (int i = 0; i < n; i++) {
            if (total > 0)
                assert_true (copykey_cmp (&last, &page[i].key) < 0);
            last = page[i].key;
            total++;
        }
        n = store_inventory (t.store, 0, &last, page, 100, NULL, &err);
    }
    assert_int_equal (n, 0);
    assert_int_equal (total, 690);
    storetest_end (&t);
}

static void several_disks_share_and_fail_alone (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 3);
    storetest_open (&t);
    for (uint64_t i = 0; i < 60; i++)
        storetest_put (&t, i, 100 * KIB, 1);
    storetest_wait_all (&t);
    store_disk_t disks[3];
    assert_int_equal (store_disks (t.store, disks, 3), 3);
    for (int i = 0; i < 3; i++)
        assert_true (disks[i].chunks > 5);
    storetest_close (&t);
    char path[512];
    char away[512];
    snprintf (path, sizeof path, "%s/dfs-mark", t.dirs[1]);
    snprintf (away, sizeof away, "%s/away", t.dirs[1]);
    assert_int_equal (rename (path, away), 0);
    storetest_open (&t);
    store_disks (t.store, disks, 3);
    assert_true (disks[0].usable && !disks[1].usable && disks[2].usable);
    assert_non_null (strstr (disks[1].trouble, t.dirs[1]));
    size_t found = 0;
    for (uint64_t i = 0; i < 60; i++)
        found += storetest_check (&t, i, 100 * KIB) == 0;
    assert_int_equal (found, disks[0].chunks + disks[2].chunks);
    storetest_end (&t);
}

static void foreign_and_used_directories_are_refused (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    dfs_error_t err = {0};
    assert_null (store_open (&t.config, &err));
    assert_int_equal (err.code, DFS_EINUSE);
    storetest_close (&t);
    t.config.cluster_id[0] = 1;
    assert_null (store_open (&t.config, &err));
    assert_int_equal (err.code, DFS_ECLUSTER);
    t.config.cluster_id[0] = 7;
    char path[512];
    snprintf (path, sizeof path, "%s/dfs-mark", t.dirs[0]);
    unlink (path);
    assert_null (store_open (&t.config, &err));
    assert_int_equal (err.code, DFS_ENOTMARKED);
    storetest_end (&t);
}

static void index_is_rebuilt_from_volumes (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    t.config.volume_size = 3 * MIB;
    storetest_open (&t);
    for (uint64_t i = 0; i < 300; i++)
        storetest_put (&t, i, 3000, 10);
    for (uint64_t i = 0; i < 6; i++)
        storetest_put (&t, i, MIB, 10);
    storetest_wait_all (&t);
    copykey_t key;
    dfs_error_t err;
    free (storetest_chunk (7, 3000, &key, NULL));
    assert_int_equal (store_drop (t.store, &key, 11, &err), 0);
    assert_int_equal (storetest_put_wait (&t, 8, 3000, 15), DFS_EEXIST);
    store_disk_t before;
    store_disks (t.store, &before, 1);
    storetest_close (&t);
    char path[512];
    snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
    assert_int_equal (unlink (path), 0);
    storetest_open (&t);
    store_disk_t after;
    store_disks (t.store, &after, 1);
    assert_int_equal (after.chunks, 305);
    assert_int_equal (after.last_seq, 308);
    assert_int_equal (after.first_seq, 1);
    assert_true (after.incarnation > before.incarnation);
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal (storetest_check (&t, i, 3000), i == 7 ? DFS_ENOENT : 0);
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal (storetest_check (&t, i, MIB), 0);
    store_info_t info;
    free (storetest_chunk (8, 3000, &key, NULL));
    assert_int_equal (store_find (t.store, &key, &info, &err), 1);
    assert_int_equal (info.birth, 15);
    storetest_end (&t);
}

static void partial_reads_cost_their_blocks (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    assert_int_equal (storetest_put_wait (&t, 1, MIB + 10, 1), 0);
    copykey_t key;
    uint32_t *want;
    uint8_t *data = storetest_chunk (1, MIB + 10, &key, &want);
    dfs_error_t err;
    store_chunk_t *chunk = store_open_chunk (t.store, &key, &err);
    assert_non_null (chunk);
    static uint8_t buf[2 * DIGEST_BLOCK];
    uint32_t crcs[2];
    assert_int_equal (
        store_read (chunk, 5 * DIGEST_BLOCK, buf, 2 * DIGEST_BLOCK, crcs, true, &err),
        0);
    assert_memory_equal (buf, data + 5 * DIGEST_BLOCK, sizeof buf);
    assert_memory_equal (crcs, want + 5, sizeof crcs);
    assert_int_equal (store_read (chunk, MIB, buf, 10, crcs, true, &err), 0);
    assert_int_equal (crcs[0], want[16]);
    assert_int_equal (store_read (chunk, MIB, buf, 11, crcs, true, &err), DFS_EINVAL);
    assert_int_equal (store_read (chunk, 10, buf, 10, crcs, true, &err), DFS_EINVAL);
    store_close_chunk (&chunk);
    uint64_t bytes = 0;
    assert_int_equal (store_verify (t.store, &key, &bytes, &err), 0);
    assert_int_equal (bytes, MIB + 10);
    store_info_t info;
    assert_int_equal (store_find (t.store, &key, &info, &err), 1);
    assert_true (info.verified_at > 0);
    free (data);
    free (want);
    storetest_end (&t);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (sizes_come_back_whole),
        cmocka_unit_test (changes_are_numbered),
        cmocka_unit_test (births_renew_and_drops_respect_them),
        cmocka_unit_test (a_drop_sees_births_under_way),
        cmocka_unit_test (the_youngest_birth_stays),
        cmocka_unit_test (a_late_seal_makes_no_copy_older),
        cmocka_unit_test (aborted_appends_leave_nothing),
        cmocka_unit_test (volumes_roll_and_many_small_ones_pack),
        cmocka_unit_test (inventory_lists_everything_once),
        cmocka_unit_test (several_disks_share_and_fail_alone),
        cmocka_unit_test (foreign_and_used_directories_are_refused),
        cmocka_unit_test (index_is_rebuilt_from_volumes),
        cmocka_unit_test (partial_reads_cost_their_blocks),
    };
    storetest_quiet ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_basic", tests, NULL, NULL);
}
