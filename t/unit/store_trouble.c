/* SPDX-License-Identifier: MPL-2.0 */
/* One disk of several in trouble: pulled, so that its mapped index cannot be read; hung
 * in the middle of a write. The others go on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/io.h"
#include "msgs/node.h"
#include "t/lib/storetest.h"
#include "worker/store/store_private.h"

#define KIB 1024
enum { STORED = 1 };

static void pause_a_little (void)
{
    nanosleep (&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* On which disk a chunk is. */
static uint32_t disk_of (storetest_t *t, uint64_t seed, size_t len)
{
    copykey_t key;
    dfs_error_t err;
    store_info_t info;
    free (storetest_chunk (seed, len, &key, NULL));
    assert_int_equal (store_find (t->store, &key, &info, &err), 1);
    return info.disk;
}

/* A file that is cut short under its mapping is read as one whose disk was pulled. */
static void a_pulled_disk_takes_only_its_own (void **state)
{
    (void)state;
    enum { N = 3000, LEN = 300 };
    storetest_t t;
    dfs_error_t err;
    storetest_init (&t, 2);
    storetest_open (&t);
    uint8_t at[N];
    size_t n[2] = {0, 0};
    for (uint64_t i = 0; i < N; i++) {
        storetest_put (&t, i, LEN, 1);
        if (i % 50 == 49)
            storetest_wait_all (&t);
    }
    for (uint64_t i = 0; i < N; i++)
        n[at[i] = (uint8_t)disk_of (&t, i, LEN)]++;
    assert_true (n[0] > 100 && n[1] > 100);
    for (uint32_t d = 0; d < 2; d++)
        assert_int_equal (store_inventory (t.store, d, NULL, NULL, 0, NULL, &err), 0);
    char path[512];
    snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
    assert_int_equal (truncate (path, 0), 0);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal (storetest_check (&t, i, LEN), at[i] == 0 ? DFS_EIO : 0);
    store_disk_t disks[2];
    assert_int_equal (store_disks (t.store, disks, 2), 2);
    assert_int_equal (disks[0].condition, CONDITION_FAILING);
    assert_non_null (strstr (disks[0].trouble, "index"));
    assert_int_equal (disks[1].condition, CONDITION_OK);
    assert_true (store_give_up (t.store));
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal (storetest_check (&t, i, LEN), at[i] == 0 ? DFS_ENOENT : 0);
    assert_int_equal (storetest_put_wait (&t, N, LEN, 1), 0);
    assert_int_equal (disk_of (&t, N, LEN), 1);
    /* With the next start it is made anew, and nothing is lost. */
    storetest_close (&t);
    storetest_open (&t);
    for (uint64_t i = 0; i <= N; i++)
        assert_int_equal (storetest_check (&t, i, LEN), 0);
    storetest_end (&t);
}

/* --- a disk that hangs --- */

static struct {
    char dir[300];
    atomic_bool on;
    atomic_uint met;
} hang;

static int before (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int n,
                   void *arg)
{
    (void)path, (void)path2, (void)offset, (void)len, (void)iov, (void)n, (void)arg;
    if (op != IO_PWRITE || !atomic_load (&hang.on))
        return 0;
    char link[64];
    char name[PATH_MAX] = "";
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink (link, name, sizeof name - 1) < 0 ||
        strncmp (name, hang.dir, strlen (hang.dir)) != 0)
        return 0;
    atomic_fetch_add (&hang.met, 1);
    while (atomic_load (&hang.on))
        pause_a_little ();
    return 0;
}

/* A disk that is slow on a busy machine is refused, too: not what is tested here. */
static void put (storetest_t *t, uint64_t seed, size_t len)
{
    int rc;
    do
        rc = storetest_put_wait (t, seed, len, 1);
    while (rc == DFS_ETIMEOUT);
    assert_int_equal (rc, 0);
}

/* Its writes do not end for as long as the others are fed: who waited for them would
 * wait for ever. */
static void a_hung_disk_holds_nobody_up (void **state)
{
    (void)state;
    static const io_hook_t hook = {.before = before};
    enum { N = 40, LARGE = 300 * KIB, SMALL = 2000 };
    storetest_t t;
    io_set_hook (&hook);
    storetest_init (&t, 2);
    snprintf (hang.dir, sizeof hang.dir, "%s/", t.dirs[0]);
    storetest_open (&t);
    /* Disk 1 is the fuller one: the next chunk goes to disk 0. */
    while (storetest_put_wait (&t, 1000 + t.asked, LARGE, 1) == 0 &&
           disk_of (&t, 1000 + t.asked - 1, LARGE) == 0)
        continue;
    atomic_store (&hang.on, true);
    uint64_t first = 1;
    for (uint64_t i = first; i < N; i++)
        put (&t, i, i % 2 ? LARGE : SMALL);
    assert_true (atomic_load (&hang.met) > 0); /* it did hang */
    for (uint64_t i = first; i < N; i++) {
        assert_int_equal (disk_of (&t, i, i % 2 ? LARGE : SMALL), 1);
        assert_int_equal (storetest_check (&t, i, i % 2 ? LARGE : SMALL), 0);
    }
    atomic_store (&hang.on, false);
    /* It answers again: nothing is left of what was given up, and it takes chunks. */
    store_disk_t disks[2];
    for (int i = 0; i < 60000; i++) {
        store_disks (t.store, disks, 2);
        if (disks[0].condition == CONDITION_OK && disks[0].used <= 2 * LARGE)
            break;
        pause_a_little ();
    }
    assert_int_equal (disks[0].condition, CONDITION_OK);
    assert_true (disks[0].used <= 2 * LARGE);
    uint64_t end = N;
    do {
        pause_a_little ();
        assert_in_range (end, N, N + 400);
        assert_int_equal (storetest_put_wait (&t, end, LARGE, 1), 0);
    } while (disk_of (&t, end++, LARGE) != 0);
    storetest_close (&t);
    storetest_open (&t);
    for (uint64_t i = first; i < end; i++)
        assert_int_equal (storetest_check (&t, i, i % 2 || i >= N ? LARGE : SMALL), 0);
    storetest_end (&t);
    io_set_hook (NULL);
}

static atomic_int slow_writes;

static int slow_down (enum io_op op, int fd, const char *path, const char *path2,
                      uint64_t offset, uint64_t len, const struct iovec *iov, int n,
                      void *arg)
{
    (void)fd, (void)path, (void)path2, (void)offset, (void)len, (void)iov, (void)n;
    (void)arg;
    if (op == IO_PWRITE && atomic_fetch_sub (&slow_writes, 1) > 0)
        nanosleep (&(struct timespec){.tv_nsec = 900000000}, NULL);
    return 0;
}

/* All are slow at the same time: that is no reason to refuse a chunk. */
static void disks_that_are_only_slow_are_asked_again (void **state)
{
    (void)state;
    static const io_hook_t hook = {.before = slow_down};
    storetest_t t;
    io_set_hook (&hook);
    storetest_init (&t, 2);
    storetest_open (&t);
    atomic_store (&slow_writes, 2);
    assert_int_equal (storetest_put_wait (&t, 1, 300 * KIB, 1), 0);
    assert_true (atomic_load (&slow_writes) <= 0);
    assert_int_equal (storetest_put_wait (&t, 2, 3000, 1), 0);
    for (uint64_t i = 1; i < 3; i++)
        assert_int_equal (storetest_check (&t, i, i == 1 ? 300 * KIB : 3000), 0);
    storetest_end (&t);
    io_set_hook (NULL);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_pulled_disk_takes_only_its_own),
        cmocka_unit_test (a_hung_disk_holds_nobody_up),
        cmocka_unit_test (disks_that_are_only_slow_are_asked_again),
    };
    storetest_quiet ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_trouble", tests, NULL, NULL);
}
