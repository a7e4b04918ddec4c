/* SPDX-License-Identifier: MPL-2.0 */
/* What happens to a store whose files were changed behind its back, whose process was
 * killed. DFS_LONG=1 runs many more rounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/rng.h"
#include "msgs/node.h"
#include "t/lib/storetest.h"

#define KIB 1024
#define MIB (1024 * 1024)
enum { STORED = 1, GONE = 2, DAMAGED = 3, RENEWED = 4 };

static uint64_t rounds (uint64_t few, uint64_t many)
{
    return getenv ("DFS_LONG") ? many : few;
}

static size_t size_of (uint64_t i)
{
    return i % 5 == 0 ? 80 * KIB : 500 + 37 * i;
}

static void flip_in (const char *path, uint64_t from, rng_t *rng)
{
    int fd = open (path, O_RDWR);
    assert_true (fd >= 0);
    off_t size = lseek (fd, 0, SEEK_END);
    off_t at = (off_t)(from + rng_below (rng, (uint64_t)size - from));
    uint8_t b;
    assert_int_equal (pread (fd, &b, 1, at), 1);
    b ^= (uint8_t)(1 << rng_below (rng, 8));
    assert_int_equal (pwrite (fd, &b, 1, at), 1);
    close (fd);
}

enum { N = 60 };

/* Every chunk is whole, or is known to be bad or away; and when any is not whole, the
 * brokers hear of it: by a change or by a new incarnation. */
static void check_damage (storetest_t *t, uint64_t incarnation, size_t told,
                          size_t *hurt)
{
    dfs_error_t err;
    assert_true (store_scrub (t->store, UINT64_MAX, UINT64_MAX, &err) >= 0);
    size_t bad = 0;
    for (uint64_t i = 0; i < N; i++) {
        int rc = storetest_check (t, i, size_of (i));
        if (rc != DFS_OK)
            assert_true (rc == DFS_EDAMAGED || rc == DFS_ENOENT);
        bad += rc != DFS_OK;
    }
    store_disk_t disk;
    store_disks (t->store, &disk, 1);
    if (bad && disk.incarnation == incarnation)
        storetest_wait_changes (t, DAMAGED, told + bad);
    *hurt += bad;
}

static void flipped_bits_in_volumes_are_found (void **state)
{
    (void)state;
    rng_t rng;
    rng_seed (&rng, 11);
    size_t hurt = 0;
    for (uint64_t r = 0; r < rounds (12, 500); r++) {
        storetest_t t;
        storetest_init (&t, 1);
        storetest_open (&t);
        for (uint64_t i = 0; i < N; i++)
            storetest_put (&t, i, size_of (i), 1);
        storetest_wait_all (&t);
        store_disk_t disk;
        store_disks (t.store, &disk, 1);
        storetest_close (&t);
        char path[512];
        snprintf (path, sizeof path, "%s/volumes/00000001.vol", t.dirs[0]);
        for (int i = 0; i < 3; i++)
            flip_in (path, 0, &rng);
        if (r % 2) { /* without the index, too */
            snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
            unlink (path);
        }
        storetest_open (&t);
        check_damage (&t, disk.incarnation, 0, &hurt);
        /* Sent again, everything is whole. */
        for (uint64_t i = 0; i < N; i++)
            storetest_put (&t, i, size_of (i), 2);
        storetest_wait_all (&t);
        for (uint64_t i = 0; i < N; i++)
            assert_int_equal (storetest_check (&t, i, size_of (i)), 0);
        storetest_end (&t);
    }
    assert_true (hurt >= rounds (12, 500));
}

/* Values of the index carry a CRC; a bad one is never taken for a place, and the next
 * start makes the index anew. */
static void flipped_bits_in_the_index_are_found (void **state)
{
    (void)state;
    rng_t rng;
    rng_seed (&rng, 12);
    for (uint64_t r = 0; r < rounds (6, 200); r++) {
        storetest_t t;
        storetest_init (&t, 1);
        storetest_open (&t);
        for (uint64_t i = 0; i < N; i++)
            storetest_put (&t, i, size_of (i), 1);
        storetest_wait_all (&t);
        storetest_close (&t);
        char path[512];
        snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
        /* Somewhere in an entry's value: its key's domain and digest come before. */
        int fd = open (path, O_RDWR);
        static uint8_t map[4 * MIB];
        ssize_t len = pread (fd, map, sizeof map, 0);
        assert_true (len > 0);
        copykey_t key;
        uint8_t packed[COPYKEY_LEN];
        uint64_t victim = rng_below (&rng, N);
        free (storetest_chunk (victim, size_of (victim), &key, NULL));
        copykey_pack (&key, packed);
        size_t hits = 0;
        for (ssize_t at = 0; at + 200 < len; at++)
            if (memcmp (map + at, packed, sizeof packed) == 0) {
                size_t in = COPYKEY_LEN + (size_t)rng_below (&rng, 80);
                uint8_t b = (uint8_t)(map[at + (ssize_t)in] ^ 16);
                assert_int_equal (pwrite (fd, &b, 1, at + (off_t)in), 1);
                hits++;
            }
        close (fd);
        assert_true (hits > 0);
        storetest_open (&t);
        int rc = storetest_check (&t, victim, size_of (victim));
        assert_true (rc == DFS_OK || rc == DFS_EDAMAGED);
        storetest_close (&t);
        storetest_open (&t);
        for (uint64_t i = 0; i < N; i++)
            assert_int_equal (storetest_check (&t, i, size_of (i)), 0);
        storetest_end (&t);
    }
}

static void a_torn_tail_is_cut_and_the_rest_kept (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal (storetest_put_wait (&t, i, 9000, 1), 0);
    storetest_close (&t);
    char path[512];
    char index[512];
    snprintf (path, sizeof path, "%s/volumes/00000001.vol", t.dirs[0]);
    snprintf (index, sizeof index, "%s/index/data.mdb", t.dirs[0]);
    struct stat st;
    assert_int_equal (stat (path, &st), 0);
    assert_int_equal (truncate (path, st.st_size - 5000), 0);
    unlink (index);
    storetest_open (&t);
    for (uint64_t i = 0; i < 19; i++)
        assert_int_equal (storetest_check (&t, i, 9000), 0);
    assert_int_equal (storetest_check (&t, 19, 9000), DFS_ENOENT);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.last_seq, 19);
    assert_int_equal (storetest_put_wait (&t, 19, 9000, 1), 0);
    storetest_close (&t);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 19, 9000), 0);
    storetest_end (&t);
}

/* A child writes and tells which chunks were acknowledged; it is killed at a random
 * moment; the parent opens the store and looks. */
static void child (storetest_t *t, int fd, uint64_t from)
{
    storetest_open (t);
    for (uint64_t i = from;; i++) {
        int64_t cookies[8];
        for (uint64_t j = 0; j < 8; j++)
            cookies[j] = storetest_put (t, 8 * i + j, size_of ((8 * i + j) % N), 1);
        for (uint64_t j = 0; j < 8; j++) {
            uint64_t seed = 8 * i + j;
            if (storetest_wait (t, cookies[j]) == 0 &&
                write (fd, &seed, sizeof seed) != sizeof seed)
                _exit (1);
        }
        dfs_error_t err;
        copykey_t key;
        free (storetest_chunk (8 * i + 3, size_of ((8 * i + 3) % N), &key, NULL));
        uint64_t mark = 1ULL << 63 | (8 * i + 3);
        if (write (fd, &mark, sizeof mark) != sizeof mark)
            _exit (1);
        store_drop (t->store, &key, 9, &err);
        if (i % 16 == 9) {
            store_reclaim (t->store, UINT64_MAX, &err);
            store_compact (t->store, 70, &err);
        }
    }
}

static void kills_lose_nothing (void **state)
{
    (void)state;
    rng_t rng;
    rng_seed (&rng, rng_secret_u64 ());
    storetest_t t;
    storetest_init (&t, 1);
    t.config.volume_size = MIB;
    enum { MAX = 1 << 20 };
    uint8_t *acked = calloc (MAX, 1);
    uint64_t top = 0;
    uint64_t kills = rounds (6, 200);
    for (uint64_t r = 0; r < kills; r++) {
        int fds[2];
        assert_int_equal (pipe (fds), 0);
        pid_t pid = fork ();
        if (pid == 0) {
            close (fds[0]);
            child (&t, fds[1], top / 8 + 1);
            _exit (0);
        }
        close (fds[1]);
        /* Now and then it has stored something for sure, however busy the machine is.
         */
        uint64_t seed;
        bool told = r % 2 == 0 && read (fds[0], &seed, sizeof seed) == sizeof seed;
        struct timespec ts = {.tv_nsec = (long)(5000000 + rng_below (&rng, 60000000))};
        nanosleep (&ts, NULL);
        kill (pid, SIGKILL);
        while (told || read (fds[0], &seed, sizeof seed) == sizeof seed) {
            bool dropped = seed >> 63;
            told = false;
            seed &= MAX - 1;
            acked[seed] = dropped ? 2 : 1;
            top = seed > top ? seed : top;
        }
        close (fds[0]);
        assert_int_equal (waitpid (pid, NULL, 0), pid);
        storetest_open (&t);
        /* All of the newest, a sample of the old. */
        for (uint64_t i = 0; i <= top; i++)
            if (acked[i] == 1 && (i + 400 > top || i % 17 == r % 17))
                assert_int_equal (storetest_check (&t, i, size_of (i % N)), 0);
        storetest_close (&t);
    }
    print_message ("# %llu kills, %llu chunks\n", (unsigned long long)kills,
                   (unsigned long long)top);
    assert_true (top > 0);
    free (acked);
    storetest_end (&t);
}

/* A volume that is gone is not passed over: its chunks are reported, and the disk says
 * so to a person. */
static void a_volume_that_is_gone_is_told (void **state)
{
    static const char *const says[] = {"chunks were gone", "newest volume"};
    (void)state;
    storetest_t t;
    store_disk_t disk;
    char path[512];
    storetest_init (&t, 1);
    t.config.volume_size = 3 * MIB;
    storetest_open (&t);
    for (uint64_t i = 0; i < 9; i++)
        assert_int_equal (storetest_put_wait (&t, i, MIB, 1), 0);
    unsigned last = 1;
    for (;; last++) {
        snprintf (path, sizeof path, "%s/volumes/%08x.vol", t.dirs[0], last + 1);
        if (access (path, F_OK) < 0)
            break;
    }
    assert_true (last > 2);
    for (size_t i = 0; i < 2; i++) {
        storetest_close (&t);
        snprintf (path, sizeof path, "%s/volumes/%08x.vol", t.dirs[0], i ? last : 1);
        assert_int_equal (unlink (path), 0);
        storetest_open (&t);
        store_disks (t.store, &disk, 1);
        assert_int_equal (disk.condition, CONDITION_OK);
        assert_non_null (strstr (disk.trouble, says[i]));
    }
    storetest_end (&t);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (kills_lose_nothing), /* first: it forks */
        cmocka_unit_test (flipped_bits_in_volumes_are_found),
        cmocka_unit_test (flipped_bits_in_the_index_are_found),
        cmocka_unit_test (a_torn_tail_is_cut_and_the_rest_kept),
        cmocka_unit_test (a_volume_that_is_gone_is_told),
    };
    storetest_quiet ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_damage", tests, NULL, NULL);
}
