/* SPDX-License-Identifier: MPL-2.0 */
/* Space that no copy needs comes back, wherever it is: replaced copies, twins of one
 * batch, small chunks of the active volume. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/io.h"
#include "t/lib/storetest.h"
#include "worker/store/store_private.h"

#define KIB 1024
#define MIB (1024 * 1024)
enum { STORED = 1, GONE = 2 };

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

static unsigned last_volume (storetest_t *t)
{
    unsigned last = 0;
    for (unsigned i = 1; i < 10000; i++) {
        char path[512];
        snprintf (path, sizeof path, "%s/volumes/%08x.vol", t->dirs[0], i);
        last = access (path, F_OK) == 0 ? i : last;
    }
    return last;
}

/* So small that next to nothing is allocated ahead. */
static const uint64_t capacity = 64 * MIB;

static void init (storetest_t *t)
{
    storetest_init (t, 1);
    t->config.capacity = &capacity;
}

static uint64_t allocated (storetest_t *t)
{
    uint64_t sum = 0;
    for (unsigned i = 1; i <= last_volume (t); i++) {
        char path[512];
        struct stat st;
        snprintf (path, sizeof path, "%s/volumes/%08x.vol", t->dirs[0], i);
        sum += stat (path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
    }
    return sum;
}

/* What the file system says; the store's own count must not be far from it, but for
 * moments in which space is taken or given back. */
static uint64_t held (storetest_t *t)
{
    uint64_t sum = 0;
    bool near = false;
    for (int i = 0; i < 3000 && !near; i++) {
        if (i)
            nanosleep (&(struct timespec){.tv_nsec = 10000000}, NULL);
        sum = allocated (t);
        uint64_t own = used (t);
        near = own + 64 * KIB >= sum && sum + 64 * KIB >= own;
    }
    assert_true (near);
    return sum;
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

/* Stored, dropped, stored again before the grace is over, several times: there is one
 * copy, and it takes the space of one. */
static void replaced_copies_give_their_space_back (void **state)
{
    (void)state;
    storetest_t t;
    init (&t);
    storetest_open (&t);
    for (int round = 0; round < 6; round++) {
        for (uint64_t i = 0; i < 4; i++)
            assert_int_equal (storetest_put_wait (&t, i, MIB, 1), 0);
        for (uint64_t i = 0; round < 5 && i < 4; i++)
            drop (&t, i, MIB);
        if (round < 5)
            storetest_wait_changes (&t, GONE, 4 * ((size_t)round + 1));
    }
    assert_true (held (&t) < 4 * MIB + 300 * KIB);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 4; i++)
            assert_int_equal (storetest_check (&t, i, MIB), 0);
        reopen (&t, round == 1);
        assert_true (held (&t) < 4 * MIB + 300 * KIB);
    }
    storetest_end (&t);
}

/* Who reads the replaced copy reads on; its space comes back with the last of them. */
static void a_replaced_copy_waits_for_its_readers (void **state)
{
    (void)state;
    storetest_t t;
    init (&t);
    storetest_open (&t);
    assert_int_equal (storetest_put_wait (&t, 1, MIB, 1), 0);
    copykey_t key;
    dfs_error_t err;
    uint8_t *data = storetest_chunk (1, MIB, &key, NULL);
    uint8_t *got = malloc (MIB);
    store_chunk_t *readers[2];
    for (int i = 0; i < 2; i++)
        readers[i] = store_open_chunk (t.store, &key, &err);
    drop (&t, 1, MIB);
    assert_int_equal (storetest_put_wait (&t, 1, MIB, 2), 0);
    for (int i = 0; i < 2; i++) {
        assert_true (held (&t) > 2 * MIB);
        memset (got, 0, MIB);
        assert_int_equal (store_read (readers[i], 0, got, MIB, NULL, true, &err), 0);
        assert_memory_equal (got, data, MIB);
        store_close_chunk (&readers[i]);
    }
    assert_true (held (&t) < MIB + 100 * KIB);
    assert_int_equal (storetest_check (&t, 1, MIB), 0);
    free (got);
    free (data);
    storetest_end (&t);
}

static struct {
    atomic_bool on;
    atomic_bool met;
} hold;

static void pause_a_little (void)
{
    nanosleep (&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static int hold_syncs (enum io_op op, int fd, const char *path, const char *path2,
                       uint64_t offset, uint64_t len, const struct iovec *iov, int n,
                       void *arg)
{
    (void)fd, (void)path, (void)path2, (void)offset, (void)len, (void)iov, (void)n;
    (void)arg;
    while (op == IO_FDATASYNC && atomic_load (&hold.on)) {
        atomic_store (&hold.met, true);
        pause_a_little ();
    }
    return 0;
}

/* Two senders of one chunk, sealed in one batch. As long as that batch is the last one
 * a crash would have it checked with all that it seals: nothing of it goes before. */
static void twins_of_one_batch_stay_until_another_follows (void **state)
{
    (void)state;
    static const io_hook_t hook = {.before = hold_syncs};
    storetest_t t;
    io_set_hook (&hook);
    init (&t);
    storetest_open (&t);
    store_new_t what = {.true_len = MIB, .stored_len = MIB, .birth = 1};
    uint32_t *crcs;
    uint8_t *data = storetest_chunk (1, MIB, &what.key, &crcs);
    dfs_error_t err;
    store_append_t *appends[2];
    int64_t cookies[2];
    for (int i = 0; i < 2; i++) {
        cookies[i] = storetest_cookie (&t);
        appends[i] = store_begin (t.store, &what, (uint64_t)cookies[i], &err);
        assert_int_equal (store_write (appends[i], 0, data, MIB, crcs, &err), 0);
    }
    disk_t *disk = t.store->disks[0];
    atomic_store (&hold.on, true);
    int64_t first = storetest_put (&t, 2, 100, 1);
    while (!atomic_load (&hold.met))
        pause_a_little ();
    /* Both wait for the batch that is being synced. */
    for (int i = 0; i < 2; i++)
        store_seal (&appends[i]);
    for (size_t n = 0; n < 2; pause_a_little ()) {
        pthread_mutex_lock (&disk->lock);
        n = disk->fill.n;
        pthread_mutex_unlock (&disk->lock);
    }
    atomic_store (&hold.on, false);
    assert_int_equal (storetest_wait (&t, first), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal (storetest_wait (&t, cookies[i]), 0);
    assert_int_equal (disk->next_batch, 3);
    assert_true (held (&t) > 2 * MIB);
    /* As after a crash: the index knows nothing of it. */
    reopen (&t, true);
    assert_int_equal (storetest_check (&t, 1, MIB), 0);
    assert_int_equal (storetest_check (&t, 2, 100), 0);
    free (data);
    free (crcs);
    storetest_end (&t);
    io_set_hook (NULL);
}

/* Small chunks leave no holes: when most of the active volume is dead, another one
 * begins and that one goes. */
static void a_sparse_active_volume_is_left (void **state)
{
    (void)state;
    storetest_t t;
    init (&t);
    t.config.compact_rate = 1; /* leave it to the test */
    storetest_open (&t);
    enum { N = 400, LEN = 20000 };
    for (uint64_t i = 0; i < N; i++)
        storetest_put (&t, i, LEN, 1);
    storetest_wait_all (&t);
    assert_true (held (&t) > N * LEN);
    for (uint64_t i = 0; i < N; i++)
        if (i % 4)
            drop (&t, i, LEN);
    storetest_wait_changes (&t, GONE, N - N / 4);
    dfs_error_t err;
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_int_equal (store_compact (t.store, 50, &err), 0);
    assert_true (held (&t) < N / 4 * LEN + 200 * KIB);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < N; i++)
            assert_int_equal (storetest_check (&t, i, LEN), i % 4 ? DFS_ENOENT : 0);
        reopen (&t, round == 1);
    }
    /* And the last of them: nothing else is written meanwhile. */
    for (uint64_t i = 0; i < N; i += 4)
        drop (&t, i, LEN);
    storetest_wait_changes (&t, GONE, N);
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_int_equal (store_compact (t.store, 50, &err), 0);
    assert_true (held (&t) < 200 * KIB);
    storetest_end (&t);
}

/* Notes about copies that stay elsewhere are no reason to move on for ever. */
static void a_volume_of_notes_is_not_left_again_and_again (void **state)
{
    (void)state;
    storetest_t t;
    init (&t);
    t.config.compact_rate = 1;
    storetest_open (&t);
    enum { N = 30000 };
    dfs_error_t err;
    for (uint64_t i = 0; i < N; i++)
        storetest_put (&t, i, 10, 1);
    storetest_wait_all (&t);
    disk_t *disk = t.store->disks[0];
    pthread_mutex_lock (&disk->lock);
    assert_int_equal (volume_roll (disk, &err), 0);
    commit_push (disk);
    pthread_mutex_unlock (&disk->lock);
    for (uint64_t i = 0; i < N; i++)
        storetest_put (&t, i, 10, 2); /* renewed: 3 MB of notes */
    storetest_wait_all (&t);
    unsigned before = last_volume (&t);
    for (int round = 0; round < 8; round++)
        assert_true (disk_compact (disk, UINT64_MAX, 50, UINT32_MAX, &err) >= 0);
    assert_true (last_volume (&t) <= before + 1);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < N; i += 97) {
            store_info_t info;
            copykey_t key;
            free (storetest_chunk (i, 10, &key, NULL));
            assert_int_equal (store_find (t.store, &key, &info, &err), 1);
            assert_int_equal (info.birth, 2);
        }
        reopen (&t, true);
    }
    storetest_end (&t);
}

/* A stream of large chunks has space allocated ahead of it; what it does not take is
 * given back when the store closes or starts again. */
static void space_ahead_is_given_back (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (uint64_t i = 0; i < 9; i++)
        assert_int_equal (storetest_put_wait (&t, i, MIB, 1), 0);
    disk_t *disk = t.store->disks[0];
    if (disk->active->scattered || disk_capacity (disk) < 4096ULL * MIB) {
        storetest_end (&t);
        skip (); /* nothing is allocated here */
    }
    assert_true (disk->active->allocated > disk->active->end);
    char path[512];
    snprintf (path, sizeof path, "%s/volumes/00000001.vol", t.dirs[0]);
    struct stat st;
    assert_int_equal (stat (path, &st), 0);
    assert_true ((uint64_t)st.st_size > disk->active->end);
    uint64_t end = disk->active->end;
    for (int round = 0; round < 2; round++) {
        storetest_close (&t);
        assert_int_equal (stat (path, &st), 0);
        assert_int_equal (st.st_size, end);
        if (round == 0) /* as if it had been killed before */
            assert_int_equal (truncate (path, (off_t)end + 5 * MIB), 0);
        storetest_open (&t);
        held (&t);
        for (uint64_t i = 0; i < 9; i++)
            assert_int_equal (storetest_check (&t, i, MIB), 0);
    }
    storetest_end (&t);
}

static atomic_uint operations;
static atomic_uint_fast64_t produced; /* chunks put so far */
static atomic_uint_fast64_t expected; /* … before the disk has synced */

/* A disk that takes as long as it takes to put 2000 chunks, whatever the machine. */
static int count_operation (enum io_op op, int fd, const char *path, const char *path2,
                            uint64_t offset, uint64_t len, const struct iovec *iov,
                            int n, void *arg)
{
    (void)fd, (void)path, (void)path2, (void)offset, (void)len, (void)iov;
    (void)n, (void)arg;
    atomic_fetch_add (&operations, 1);
    while (op == IO_FDATASYNC && atomic_load (&produced) < atomic_load (&expected))
        pause_a_little ();
    if (op == IO_FDATASYNC && atomic_load (&expected))
        atomic_store (&expected, atomic_load (&produced) + 2000);
    return 0;
}

/* Very many tiny chunks take one file, little more than their records, and few calls of
 * the system. DFS_LONG=1: as many as a hundred thousand. */
static void tiny_chunks_cost_what_they_weigh (void **state)
{
    (void)state;
    static const io_hook_t hook = {.before = count_operation};
    uint64_t n = getenv ("DFS_LONG") ? 100000 : 20000;
    storetest_t t;
    io_set_hook (&hook);
    storetest_init (&t, 1);
    storetest_open (&t);
    atomic_store (&operations, 0);
    atomic_store (&produced, 0);
    atomic_store (&expected, 2000);
    for (uint64_t i = 0; i < n; i++) {
        storetest_put (&t, i, 100, 1);
        atomic_fetch_add (&produced, 1);
    }
    atomic_store (&expected, 0);
    storetest_wait_all (&t);
    unsigned ops = atomic_load (&operations);
    uint64_t bytes = held (&t);
    print_message ("# %llu chunks of 100 bytes: %llu KiB, %u calls\n",
                   (unsigned long long)n, (unsigned long long)bytes / KIB, ops);
    assert_true (bytes < n * 230);
    assert_true (ops < n / 100);
    assert_int_equal (last_volume (&t), 1);
    storetest_end (&t);
    io_set_hook (NULL);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (replaced_copies_give_their_space_back),
        cmocka_unit_test (a_replaced_copy_waits_for_its_readers),
        cmocka_unit_test (twins_of_one_batch_stay_until_another_follows),
        cmocka_unit_test (a_sparse_active_volume_is_left),
        cmocka_unit_test (a_volume_of_notes_is_not_left_again_and_again),
        cmocka_unit_test (space_ahead_is_given_back),
        cmocka_unit_test (tiny_chunks_cost_what_they_weigh),
    };
    storetest_quiet ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_space", tests, NULL, NULL);
}
