/* SPDX-License-Identifier: MPL-2.0 */
/* A store that format 1 wrote is opened by every later version. DFS_GOLDEN=DIR writes a
 * new one there (a format that changes gets files of its own, beside these). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/io.h"
#include "t/lib/storetest.h"

enum { GONE = 2, RENEWED = 4 };

static const char *const files[] = {"dfs-mark", "store-state", "volumes/00000001.vol"};

static void copy (const char *from_dir, const char *to_dir)
{
    char path[1024];
    snprintf (path, sizeof path, "%s/volumes", to_dir);
    mkdir (path, 0700);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        void *data;
        size_t len;
        dfs_error_t err;
        snprintf (path, sizeof path, "%s/%s", from_dir, files[i]);
        assert_int_equal (io_slurp (path, 1 << 20, &data, &len, &err), 0);
        snprintf (path, sizeof path, "%s/%s", to_dir, files[i]);
        unlink (path);
        assert_int_equal (io_replace (path, data, len, 0600, &err), 0);
        free (data);
    }
}

static void make (const char *dir)
{
    storetest_t t;
    storetest_init (&t, 1);
    storetest_open (&t);
    for (uint64_t i = 0; i < 4; i++)
        storetest_put_wait (&t, i, 100 * i, 5);
    storetest_put_wait (&t, 4, 70000, 5);
    storetest_put_wait (&t, 1, 100, 8);
    copykey_t key;
    dfs_error_t err;
    free (storetest_chunk (2, 200, &key, NULL));
    store_drop (t.store, &key, 9, &err);
    storetest_wait_changes (&t, GONE, 1);
    storetest_close (&t);
    mkdir (dir, 0755);
    copy (t.dirs[0], dir);
    storetest_end (&t);
}

static void format_1_opens (void **state)
{
    (void)state;
    const char *srcdir = getenv ("srcdir");
    char golden[1024];
    snprintf (golden, sizeof golden, "%s/t/data/store-1", srcdir ? srcdir : "..");
    storetest_t t;
    storetest_init (&t, 1);
    copy (golden, t.dirs[0]);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 0, 0), 0);
    assert_int_equal (storetest_check (&t, 1, 100), 0);
    assert_int_equal (storetest_check (&t, 2, 200), DFS_ENOENT);
    assert_int_equal (storetest_check (&t, 3, 300), 0);
    assert_int_equal (storetest_check (&t, 4, 70000), 0);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.last_seq, 7);
    assert_int_equal (disk.first_seq, 1);
    assert_int_equal (disk.chunks, 4);
    store_info_t info;
    copykey_t key;
    dfs_error_t err;
    free (storetest_chunk (1, 100, &key, NULL));
    assert_int_equal (store_find (t.store, &key, &info, &err), 1);
    assert_int_equal (info.birth, 8);
    assert_int_equal (storetest_put_wait (&t, 9, 5000, 9), 0);
    storetest_end (&t);
}

int main (void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test (format_1_opens)};
    storetest_quiet ();
    if (getenv ("DFS_GOLDEN")) {
        make (getenv ("DFS_GOLDEN"));
        return 0;
    }
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_golden", tests, NULL, NULL);
}
