/* SPDX-License-Identifier: MPL-2.0 */
/* Reclaim, compaction, scrub, and the offline tools. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/rng.h"
#include "t/lib/storetest.h"

#define KIB 1024
#define MIB (1024 * 1024)
enum { STORED = 1, GONE = 2, DAMAGED = 3, RENEWED = 4 };

static void drop (storetest_t *t, uint64_t seed, size_t len)
{
    copykey_t key;
    dfs_error_t err;
    free (storetest_chunk (seed, len, &key, NULL));
    assert_int_equal (store_drop (t->store, &key, UINT64_MAX, &err), 0);
}

static uint64_t used (storetest_t *t)
{
    store_disk_t disk;
    store_disks (t->store, &disk, 1);
    return disk.used;
}

static bool volume_exists (storetest_t *t, unsigned number)
{
    char path[512];
    snprintf (path, sizeof path, "%s/volumes/%08x.vol", t->dirs[0], number);
    return access (path, F_OK) == 0;
}

static void reopen (storetest_t *t, bool wipe_index)
{
    storetest_close (t);
    if (wipe_index) {
        char path[512];
        snprintf (path, sizeof path, "%s/index/data.mdb", t->dirs[0]);
        assert_int_equal (unlink (path), 0);
    }
    storetest_open (t);
}

static void copy_file (const char *from, const char *to)
{
    char buf[65536];
    ssize_t n;
    int in = open (from, O_RDONLY), out = open (to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true (in >= 0 && out >= 0);
    while ((n = read (in, buf, sizeof buf)) > 0)
        assert_int_equal (write (out, buf, (size_t)n), n);
    assert_int_equal (n, 0);
    close (in);
    close (out);
}

static void quarantine_is_reversible_then_space_returns (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal (storetest_put_wait (&t, i, MIB, 1), 0);
    for (uint64_t i = 0; i < 8; i++)
        drop (&t, i, MIB);
    storetest_wait_changes (&t, GONE, 8);
    uint64_t before = used (&t);
    dfs_error_t err;
    /* Their grace is not over. */
    assert_int_equal (store_reclaim (t.store, clock_wall () - 3600000000000ULL, &err),
                      0);
    assert_int_equal (used (&t), before);
    copykey_t key;
    free (storetest_chunk (3, MIB, &key, NULL));
    assert_int_equal (store_restore (t.store, &key, &err), 0);
    storetest_wait_changes (&t, STORED, 9);
    assert_int_equal (storetest_check (&t, 3, MIB), 0);
    reopen (&t, false);
    assert_int_equal (storetest_check (&t, 3, MIB), 0);
    assert_int_equal (storetest_check (&t, 4, MIB), DFS_ENOENT);
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_true (used (&t) < 2 * MIB);
    free (storetest_chunk (4, MIB, &key, NULL));
    assert_int_equal (store_restore (t.store, &key, &err), DFS_ENOENT);
    reopen (&t, false);
    assert_int_equal (storetest_check (&t, 3, MIB), 0);
    assert_true (used (&t) < 2 * MIB);
    reopen (&t, true);
    assert_int_equal (storetest_check (&t, 3, MIB), 0);
    for (uint64_t i = 0; i < 8; i++)
        if (i != 3)
            assert_int_equal (storetest_check (&t, i, MIB), DFS_ENOENT);
    storetest_end (&t);
}

/* The index as it was before a crash says again what may be reclaimed. */
static void space_comes_back_once (void **state)
{
    (void)state;
    storetest_t t;
    char index[300], kept[300];
    dfs_error_t err;
    storetest_init (&t, 1);
    storetest_open (&t);
    snprintf (index, sizeof index, "%s/index/data.mdb", t.dirs[0]);
    snprintf (kept, sizeof kept, "%s/kept.mdb", t.root);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal (storetest_put_wait (&t, i, MIB, 1), 0);
    for (uint64_t i = 0; i < 6; i++)
        drop (&t, i, MIB);
    storetest_wait_changes (&t, GONE, 6);
    storetest_close (&t);
    copy_file (index, kept);
    storetest_open (&t);
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    uint64_t after = used (&t);
    assert_in_range (after, 2 * MIB, 3 * MIB);
    storetest_close (&t);
    copy_file (kept, index);
    storetest_open (&t);
    after = used (&t);
    assert_in_range (after, 2 * MIB, 3 * MIB);
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_int_equal (used (&t), after);
    assert_int_equal (storetest_check (&t, 6, MIB), 0);
    assert_int_equal (storetest_check (&t, 7, MIB), 0);
    storetest_end (&t);
}

static void open_chunks_outlive_drop_and_reclaim (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    assert_int_equal (storetest_put_wait (&t, 1, 300 * KIB, 1), 0);
    copykey_t key;
    uint8_t *data = storetest_chunk (1, 300 * KIB, &key, NULL);
    dfs_error_t err;
    store_chunk_t *chunk = store_open_chunk (t.store, &key, &err);
    drop (&t, 1, 300 * KIB);
    storetest_wait_changes (&t, GONE, 1);
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    uint8_t *got = malloc (300 * KIB);
    assert_int_equal (store_read (chunk, 0, got, 300 * KIB, NULL, true, &err), 0);
    assert_memory_equal (got, data, 300 * KIB);
    uint64_t before = used (&t);
    store_close_chunk (&chunk);
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_true (used (&t) < before);
    free (got);
    free (data);
    storetest_end (&t);
}

/* Chunk sizes of the compaction test: packed and in extents. */
static size_t size_of (uint64_t i)
{
    return i % 4 == 0 ? 100 * KIB : 2000 + i;
}

static void sparse_volumes_are_compacted (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    t.config.volume_size = MIB;
    t.config.compact_rate = 1; /* leave it to the test */
    storetest_open (&t);
    enum { N = 200 };
    for (uint64_t i = 0; i < N; i++)
        assert_true (storetest_put (&t, i, size_of (i), 5) >= 0);
    storetest_wait_all (&t);
    assert_int_equal (storetest_put_wait (&t, 7, size_of (7), 50), DFS_EEXIST);
    size_t gone = 0;
    for (uint64_t i = 0; i < N; i++)
        if (i % 8 > 1 && i != 7) {
            drop (&t, i, size_of (i));
            gone++;
        }
    storetest_wait_changes (&t, GONE, gone);
    dfs_error_t err;
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    uint64_t before = used (&t);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    uint64_t last_seq = disk.last_seq;
    assert_int_equal (store_compact (t.store, 100, &err), 0);
    assert_true (used (&t) < before);
    assert_false (volume_exists (&t, 1));
    assert_false (volume_exists (&t, 2));
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.last_seq, last_seq); /* moving is no change */
    for (int round = 0; round < 4; round++) {
        for (uint64_t i = 0; i < N; i++)
            assert_int_equal (storetest_check (&t, i, size_of (i)),
                              i % 8 > 1 && i != 7 ? DFS_ENOENT : 0);
        store_info_t info;
        copykey_t key;
        free (storetest_chunk (7, size_of (7), &key, NULL));
        assert_int_equal (store_find (t.store, &key, &info, &err), 1);
        assert_int_equal (info.birth, 50);
        store_disks (t.store, &disk, 1);
        assert_int_equal (disk.chunks, N - gone);
        reopen (&t, round == 1);
        if (round == 1)
            assert_int_equal (store_compact (t.store, 100, &err), 0);
    }
    storetest_end (&t);
}

static void an_empty_store_shrinks_to_one_volume (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    t.config.volume_size = MIB;
    storetest_open (&t);
    for (uint64_t i = 0; i < 60; i++)
        storetest_put (&t, i, 60 * KIB, 5);
    storetest_wait_all (&t);
    for (uint64_t i = 0; i < 60; i++)
        drop (&t, i, 60 * KIB);
    storetest_wait_changes (&t, GONE, 60);
    dfs_error_t err;
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_int_equal (store_compact (t.store, 50, &err), 0);
    assert_true (used (&t) <= MIB + 4096);
    assert_int_equal (storetest_put_wait (&t, 1, 100, 9), 0);
    reopen (&t, true);
    assert_int_equal (storetest_check (&t, 1, 100), 0);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.chunks, 1);
    assert_int_equal (disk.last_seq, 121);
    storetest_end (&t);
}

/* The seal of a chunk may stand in another volume than its bytes; compacted in vain
 * while the chunk was in quarantine, that volume goes, too, when the chunk does. */
static void a_volume_of_seals_goes_with_their_chunks (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    t.config.volume_size = MIB;
    t.config.compact_rate = 1; /* leave it to the test */
    storetest_open (&t);
    const size_t len = 900 * KIB;
    store_new_t what = {.true_len = len, .stored_len = len, .birth = 1};
    uint32_t *crcs;
    uint8_t *data = storetest_chunk (1, len, &what.key, &crcs);
    store_new_t next = {.true_len = len, .stored_len = len, .birth = 1};
    free (storetest_chunk (2, len, &next.key, NULL));
    dfs_error_t err;
    uint64_t cookie = (uint64_t)storetest_cookie (&t);
    store_append_t *append = store_begin (t.store, &what, cookie, &err);
    store_append_t *other = store_begin (t.store, &next, 0, &err); /* volume 2 */
    assert_int_equal (store_write (append, 0, data, len, crcs, &err), 0);
    store_seal (&append);
    assert_int_equal (storetest_wait (&t, (int64_t)cookie), 0);
    store_abort (&other);
    free (data);
    free (crcs);
    drop (&t, 1, len);
    storetest_wait_changes (&t, GONE, 1);
    assert_int_equal (storetest_put_wait (&t, 3, len, 1), 0); /* volume 3 */
    assert_int_equal (store_compact (t.store, 100, &err), 0);
    assert_true (volume_exists (&t, 1) && volume_exists (&t, 2));
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_int_equal (store_compact (t.store, 50, &err), 0);
    assert_false (volume_exists (&t, 1));
    assert_false (volume_exists (&t, 2));
    assert_int_equal (storetest_check (&t, 3, len), 0);
    storetest_end (&t);
}

static void flip (storetest_t *t, unsigned volume, uint64_t offset)
{
    char path[512];
    snprintf (path, sizeof path, "%s/volumes/%08x.vol", t->dirs[0], volume);
    int fd = open (path, O_RDWR);
    uint8_t b;
    assert_true (fd >= 0);
    assert_int_equal (pread (fd, &b, 1, (off_t)offset), 1);
    b ^= 4;
    assert_int_equal (pwrite (fd, &b, 1, (off_t)offset), 1);
    fsync (fd);
    close (fd);
}

static void scrub_finds_flipped_bits (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal (storetest_put_wait (&t, i, i < 20 ? 5000 : 100 * KIB, 5), 0);
    dfs_error_t err;
    assert_int_equal (store_scrub (t.store, UINT64_MAX, UINT64_MAX, &err), 1);
    store_scrub_t scrub;
    store_scrub_state (t.store, &scrub);
    assert_int_equal (scrub.chunks, 40);
    assert_int_equal (scrub.damaged, 0);
    assert_int_equal (scrub.rounds, 1);
    /* What was verified lately is not read again. */
    assert_int_equal (
        store_scrub (t.store, UINT64_MAX, clock_wall () - 60000000000ULL, &err), 1);
    store_scrub_state (t.store, &scrub);
    assert_int_equal (scrub.chunks, 40);
    /* One chunk per batch and each batch a page: 20 small ones, 8 KiB each. */
    flip (&t, 1, 4096 + 3 * 8192 + 1000);
    flip (&t, 1, 4096 + 20 * 8192 + 4096 + 70000);
    for (int i = 0; i < 100; i++) {
        int rc = store_scrub (t.store, 64 * KIB, UINT64_MAX, &err);
        assert_true (rc >= 0);
        if (rc == 1)
            break;
    }
    store_scrub_state (t.store, &scrub);
    assert_int_equal (scrub.damaged, 2);
    storetest_wait_changes (&t, DAMAGED, 2);
    assert_int_equal (storetest_check (&t, 3, 5000), DFS_EDAMAGED);
    assert_int_equal (storetest_check (&t, 20, 100 * KIB), DFS_EDAMAGED);
    assert_int_equal (storetest_check (&t, 4, 5000), 0);
    /* A good copy sent again takes its place. */
    assert_int_equal (storetest_put_wait (&t, 3, 5000, 6), 0);
    assert_int_equal (storetest_check (&t, 3, 5000), 0);
    reopen (&t, true);
    assert_int_equal (storetest_check (&t, 3, 5000), 0);
    assert_int_equal (storetest_check (&t, 20, 100 * KIB), DFS_EDAMAGED);
    storetest_end (&t);
}

static void dump_and_rebuild_offline (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 5), 0);
    assert_int_equal (storetest_put_wait (&t, 2, 200 * KIB, 5), 0);
    drop (&t, 1, 5000);
    storetest_wait_changes (&t, GONE, 1);
    dfs_error_t err = {0};
    assert_int_equal (store_rebuild_index (t.dirs[0], &err), DFS_EINUSE);
    storetest_close (&t);
    assert_int_equal (store_rebuild_index (t.dirs[0], &err), 0);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream (&text, &len);
    assert_int_equal (store_dump (t.dirs[0], out, &err), 0);
    fclose (out);
    assert_non_null (strstr (text, "volume 00000001"));
    assert_non_null (strstr (text, "batch 1 records=1"));
    assert_non_null (strstr (text, "chunk    seq=1"));
    assert_non_null (strstr (text, "seal     seq=2"));
    assert_non_null (strstr (text, "gone     seq=3"));
    assert_non_null (strstr (text, "extent reserved"));
    assert_null (strstr (text, "BAD"));
    free (text);
    flip (&t, 1, 4096 + 2000);
    out = open_memstream (&text, &len);
    assert_int_equal (store_dump (t.dirs[0], out, &err), 0);
    fclose (out);
    assert_non_null (strstr (text, "BAD-CRC"));
    free (text);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 2, 200 * KIB), 0);
    storetest_end (&t);
}

static void format_refuses_what_it_would_destroy (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 5), 0);
    dfs_error_t err;
    const uint8_t *id = t.config.cluster_id;
    assert_int_equal (store_format (t.dirs[0], id, "w1", true, &err), DFS_EINUSE);
    storetest_close (&t);
    assert_int_equal (store_format (t.dirs[0], id, "w1", false, &err), DFS_EEXIST);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    storetest_close (&t);
    assert_int_equal (store_format (t.dirs[0], id, "w1", true, &err), 0);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 1, 5000), DFS_ENOENT);
    storetest_close (&t);
    char path[512];
    snprintf (path, sizeof path, "%s/other", t.root);
    mkdir (path, 0700);
    char file[600];
    snprintf (file, sizeof file, "%s/precious", path);
    close (open (file, O_CREAT | O_WRONLY, 0600));
    assert_int_equal (store_format (path, id, "w1", false, &err), DFS_ENOTEMPTY);
    assert_int_equal (store_format (path, id, "w1", true, &err), 0);
    assert_int_equal (access (file, F_OK), 0);
    storetest_end (&t);
}

static void lost_volumes_are_reported (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    t.config.volume_size = MIB;
    storetest_open (&t);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal (storetest_put_wait (&t, i, 100 * KIB, 5), 0);
    storetest_close (&t);
    char path[512];
    snprintf (path, sizeof path, "%s/volumes/00000001.vol", t.dirs[0]);
    assert_int_equal (unlink (path), 0);
    storetest_open (&t);
    size_t left = 0;
    for (uint64_t i = 0; i < 30; i++)
        left += storetest_check (&t, i, 100 * KIB) == 0;
    assert_true (left > 0 && left < 30);
    storetest_wait_changes (&t, GONE, 30 - left);
    snprintf (path, sizeof path, "%s/volumes/00000002.vol", t.dirs[0]);
    storetest_close (&t);
    assert_int_equal (truncate (path, 500 * KIB), 0);
    storetest_open (&t);
    size_t then = 0;
    for (uint64_t i = 0; i < 30; i++)
        then += storetest_check (&t, i, 100 * KIB) == 0;
    assert_true (then < left);
    storetest_wait_changes (&t, GONE, 30 - then);
    storetest_end (&t);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (quarantine_is_reversible_then_space_returns),
        cmocka_unit_test (space_comes_back_once),
        cmocka_unit_test (open_chunks_outlive_drop_and_reclaim),
        cmocka_unit_test (sparse_volumes_are_compacted),
        cmocka_unit_test (an_empty_store_shrinks_to_one_volume),
        cmocka_unit_test (a_volume_of_seals_goes_with_their_chunks),
        cmocka_unit_test (scrub_finds_flipped_bits),
        cmocka_unit_test (dump_and_rebuild_offline),
        cmocka_unit_test (format_refuses_what_it_would_destroy),
        cmocka_unit_test (lost_volumes_are_reported),
    };
    storetest_quiet ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_tend", tests, NULL, NULL);
}
