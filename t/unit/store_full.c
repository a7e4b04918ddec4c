/* SPDX-License-Identifier: MPL-2.0 */
/* A disk that is full: by what the store holds, and by what others put there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "msgs/node.h"
#include "t/lib/storetest.h"

#define KIB 1024
#define MIB (1024 * 1024)
enum { STORED = 1, GONE = 2 };

static bool own_mounts;

/* The capacity of the configuration stands in for a full file system. */
static void a_full_disk_refuses_then_recovers (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    uint64_t capacity = 16 * MIB;
    t.config.capacity = &capacity;
    t.config.volume_size = 4 * MIB;
    storetest_open (&t);
    uint64_t n = 0;
    int rc = 0;
    for (; n < 1000 && rc == 0; n++)
        rc = storetest_put_wait (&t, n, n % 2 ? 30 * KIB : 200 * KIB, 1);
    assert_int_equal (rc, DFS_ENOSPC);
    n--;
    assert_true (n > 100);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.condition, CONDITION_FULL);
    assert_true (disk.used <= capacity);
    dfs_error_t err;
    copykey_t key;
    for (uint64_t i = 0; i < n; i++)
        if (i % 4 < 3) { /* deleting always goes */
            free (storetest_chunk (i, i % 2 ? 30 * KIB : 200 * KIB, &key, NULL));
            assert_int_equal (store_drop (t.store, &key, 9, &err), 0);
        }
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    assert_int_equal (store_compact (t.store, 90, &err), 0);
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.condition, CONDITION_OK);
    assert_true (disk.used < capacity / 2);
    for (uint64_t i = 3; i < n; i += 4)
        assert_int_equal (storetest_check (&t, i, 30 * KIB), 0);
    assert_int_equal (storetest_put_wait (&t, 5000, 300 * KIB, 1), 0);
    storetest_end (&t);
}

/* What was dropped is kept for its grace, but not until puts are refused for it: the
 * oldest goes, and only as much as is needed. */
static void quarantine_does_not_fill_a_disk (void **state)
{
    (void)state;
    storetest_t t;
    storetest_init (&t, 1);
    uint64_t capacity = 64 * MIB;
    t.config.capacity = &capacity;
    t.config.grace = 3600ULL * 1000000000;
    t.config.grace_short = 1;
    storetest_open (&t);
    dfs_error_t err;
    copykey_t key;
    uint64_t n = 0;
    for (; n < 30; n++)
        assert_int_equal (storetest_put_wait (&t, n, MIB, 1), 0);
    for (uint64_t i = 0; i < 24; i++) {
        free (storetest_chunk (i, MIB, &key, NULL));
        assert_int_equal (store_drop (t.store, &key, 9, &err), 0);
    }
    storetest_wait_changes (&t, GONE, 24);
    int waits = 0;
    for (; n < 62; n++)
        while (storetest_put_wait (&t, n, MIB, 1) == DFS_ENOSPC) {
            assert_true (++waits < 300);
            nanosleep (&(struct timespec){.tv_nsec = 100000000}, NULL);
        }
    free (storetest_chunk (23, MIB, &key, NULL));
    assert_int_equal (store_restore (t.store, &key, &err), 0);
    free (storetest_chunk (0, MIB, &key, NULL));
    assert_int_equal (store_restore (t.store, &key, &err), DFS_ENOENT);
    for (uint64_t i = 24; i < n; i++)
        assert_int_equal (storetest_check (&t, i, MIB), 0);
    storetest_end (&t);
}

/* Bytes of a chunk under way that the file system has already given are not kept free
 * for it once more. */
static void written_bytes_are_not_promised_too (storetest_t *t)
{
    const size_t len = 24 * MIB;
    store_new_t what = {.true_len = len, .stored_len = len, .birth = 1};
    store_new_t next = {.true_len = len, .stored_len = len, .birth = 1};
    uint32_t *crcs;
    uint8_t *data = storetest_chunk (900, len, &what.key, &crcs);
    free (storetest_chunk (901, len, &next.key, NULL));
    dfs_error_t err;
    store_append_t *append = store_begin (t->store, &what, 0, &err);
    assert_non_null (append);
    assert_int_equal (store_write (append, 0, data, len, crcs, &err), 0);
    store_append_t *other = NULL;
    /* Until the writers have written it; and past the age of a look at the disk. */
    for (int i = 0; !other && i < 300; i++) {
        nanosleep (&(struct timespec){.tv_nsec = 150000000}, NULL);
        other = store_begin (t->store, &next, 0, &err);
    }
    assert_non_null (other);
    store_abort (&other);
    store_abort (&append);
    free (data);
    free (crcs);
}

/* --- a file system of 64 MiB --- */

typedef struct small {
    char root[40];
    char foreign[64]; /* somebody else's file */
    char *tmp;
} small_t;

static void begin_small (storetest_t *t, small_t *small)
{
    strcpy (small->root, "/tmp/dfs-small-XXXXXX");
    assert_non_null (mkdtemp (small->root));
    if (!own_mounts || mount ("tmpfs", small->root, "tmpfs", 0, "size=64m") < 0) {
        rmdir (small->root);
        skip (); /* not root */
    }
    snprintf (small->foreign, sizeof small->foreign, "%s/foreign", small->root);
    small->tmp = getenv ("TMPDIR") ? strdup (getenv ("TMPDIR")) : NULL;
    setenv ("TMPDIR", small->root, 1);
    storetest_init (t, 1);
}

static void end_small (storetest_t *t, small_t *small)
{
    storetest_end (t);
    unlink (small->foreign);
    assert_int_equal (umount (small->root), 0);
    rmdir (small->root);
    if (small->tmp)
        setenv ("TMPDIR", small->tmp, 1);
    else
        unsetenv ("TMPDIR");
    free (small->tmp);
}

/* Somebody else takes every byte that is left. */
static void take_the_rest (const small_t *small)
{
    static const uint8_t page[4096] = {1};
    int fd = open (small->foreign, O_CREAT | O_WRONLY | O_APPEND, 0600);
    assert_true (fd >= 0);
    while (write (fd, page, sizeof page) > 0)
        continue;
    close (fd);
}

/* Filled to the last byte by the store and by others, five times over. */
static void a_real_file_system_fills_and_empties (void **state)
{
    (void)state;
    storetest_t t;
    small_t small;
    begin_small (&t, &small);
    t.config.volume_size = 8 * MIB;
    storetest_open (&t);
    written_bytes_are_not_promised_too (&t);
    dfs_error_t err;
    copykey_t key;
    store_disk_t disk;
    for (uint64_t round = 0; round < 5; round++) {
        uint64_t base = 1000 * round;
        uint64_t n = 0;
        int rc;
        while ((rc = storetest_put_wait (&t, base + n, n % 3 ? n % 3 * 3000 : MIB,
                                         1)) == 0)
            n++;
        assert_int_equal (rc, DFS_ENOSPC);
        assert_true (n > 150);
        for (uint64_t i = 0; i < n; i++) {
            size_t len = i % 3 ? i % 3 * 3000 : MIB;
            assert_int_equal (storetest_check (&t, base + i, len), 0);
            free (storetest_chunk (base + i, len, &key, NULL));
            assert_int_equal (store_drop (t.store, &key, 9, &err), 0);
        }
        assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
        assert_int_equal (store_compact (t.store, 80, &err), 0);
        store_disks (t.store, &disk, 1);
        assert_int_equal (disk.chunks, 0);
        assert_true (disk.used < 2 * MIB);
    }
    /* Somebody else takes all of it, the reserve too. */
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 1), 0);
    take_the_rest (&small);
    nanosleep (&(struct timespec){.tv_nsec = 150000000}, NULL);
    assert_int_equal (storetest_put_wait (&t, 2, 5000, 1), DFS_ENOSPC);
    assert_int_equal (storetest_put_wait (&t, 3, 300 * KIB, 1), DFS_ENOSPC);
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.condition, CONDITION_FULL);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    unlink (small.foreign);
    nanosleep (&(struct timespec){.tv_nsec = 150000000}, NULL);
    assert_int_equal (storetest_put_wait (&t, 2, 5000, 1), 0);
    storetest_close (&t);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    assert_int_equal (storetest_check (&t, 2, 5000), 0);
    end_small (&t, &small);
}

static void wait_for_spare (storetest_t *t)
{
    char path[512];
    struct stat st = {0};
    snprintf (path, sizeof path, "%s/spare", t->dirs[0]);
    for (int i = 0; i < 3000 && st.st_blocks == 0; i++) {
        nanosleep (&(struct timespec){.tv_nsec = 10000000}, NULL);
        stat (path, &st);
    }
    assert_true (st.st_blocks > 0);
}

/* With no byte free in the file system, somebody else's doing: what is dropped goes,
 * its space comes back, the index is kept and made anew. */
static void a_spare_keeps_it_going (void **state)
{
    (void)state;
    enum { CHUNKS = 8 };
    storetest_t t;
    small_t small;
    dfs_error_t err;
    copykey_t key;
    store_disk_t disk;
    begin_small (&t, &small);
    storetest_open (&t);
    for (uint64_t i = 0; i < CHUNKS; i++)
        assert_int_equal (storetest_put_wait (&t, i, MIB, 1), 0);
    wait_for_spare (&t);
    take_the_rest (&small);
    for (uint64_t i = 0; i < CHUNKS; i += 2) {
        free (storetest_chunk (i, MIB, &key, NULL));
        assert_int_equal (store_drop (t.store, &key, 9, &err), 0);
    }
    storetest_wait_changes (&t, GONE, CHUNKS / 2);
    assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
    store_disks (t.store, &disk, 1);
    assert_true (disk.used < (CHUNKS / 2 + 1) * MIB);
    /* An index is missing, and there is nothing to make it from but the spare. */
    unlink (small.foreign);
    wait_for_spare (&t);
    storetest_close (&t);
    char path[512];
    snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
    assert_int_equal (unlink (path), 0);
    take_the_rest (&small);
    assert_int_equal (store_rebuild_index (t.dirs[0], &err), 0);
    storetest_open (&t);
    for (uint64_t i = 0; i < CHUNKS; i++)
        assert_int_equal (storetest_check (&t, i, MIB), i % 2 ? 0 : DFS_ENOENT);
    /* … and not even that: it says so, and nothing is lost. */
    storetest_close (&t);
    assert_int_equal (unlink (path), 0);
    take_the_rest (&small);
    assert_int_equal (store_rebuild_index (t.dirs[0], &err), DFS_ENOSPC);
    unlink (small.foreign);
    assert_int_equal (store_rebuild_index (t.dirs[0], &err), 0);
    storetest_open (&t);
    for (uint64_t i = 0; i < CHUNKS; i++)
        assert_int_equal (storetest_check (&t, i, MIB), i % 2 ? 0 : DFS_ENOENT);
    end_small (&t, &small);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_full_disk_refuses_then_recovers),
        cmocka_unit_test (quarantine_does_not_fill_a_disk),
        cmocka_unit_test (a_real_file_system_fills_and_empties),
        cmocka_unit_test (a_spare_keeps_it_going),
    };
    storetest_quiet ();
    /* A mount of our own goes with us, whatever happens. */
    own_mounts = unshare (CLONE_NEWNS) == 0 &&
                 mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_full", tests, NULL, NULL);
}
