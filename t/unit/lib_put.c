/* SPDX-License-Identifier: MPL-2.0 */
/* put of libdfs against a cluster that misbehaves on purpose. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib_world.h"

static void test_put_sizes (void **state)
{
    world_t *world = *state;
    static const size_t sizes[] = {0,      1,       4096,          65535,
                                   65536,  65537,   262143,        262144,
                                   262145, 1048577, 3 * 262144 + 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char dest[32];
        dfs_put_item_t item;
        uint8_t *data = bytes_of (sizes[i], i + 1);
        snprintf (dest, sizeof dest, "/f%zu", sizes[i]);
        write_file (path_in (world, "src"), data, sizes[i]);
        assert_int_equal (put_one (world, path_in (world, "src"), dest, &item), 0);
        assert_int_equal (item.size, sizes[i]);
        assert_true (item.version > 0);
        assert_int_equal (fake_file (world->fake, dest, strlen (dest))->mode, 0640);
        assert_stored (world, dest, data, sizes[i]);
        free (data);
    }
}

static void test_put_large_chunks (void **state)
{
    world_t *world = *state;
    size_t len = 70 * 1024 * 1024 + 12345;
    uint8_t *data = bytes_of (len, 5);
    dfs_put_options_t options = {.chunk_size = 64 * 1024 * 1024};
    dfs_put_item_t item = {.source = path_in (world, "src"),
                           .fd = -1,
                           .dest = "/big",
                           .mode = UINT32_MAX,
                           .mtime_ns = UINT64_MAX};
    dfs_error_t err;

    write_file (item.source, data, len);
    world->fake->knobs.credit = 4 * 1024 * 1024;
    assert_int_equal (dfs_put (world->dfs, &item, 1, &options, &err), 0);
    assert_stored (world, "/big", data, len);
    assert_int_equal (world->fake->counts.credit_violations, 0);
    free (data);
}

static void test_put_same_bytes_once (void **state)
{
    world_t *world = *state;
    size_t len = 4 * 262144;
    uint8_t *data = calloc (1, len); /* four equal chunks */
    dfs_put_item_t item;

    write_file (path_in (world, "src"), data, len);
    assert_int_equal (put_one (world, path_in (world, "src"), "/a", &item), 0);
    assert_int_equal (world->fake->counts.bytes_in, 262144);
    assert_int_equal (put_one (world, path_in (world, "src"), "/b", &item), 0);
    assert_int_equal (world->fake->counts.bytes_in, 262144);
    assert_stored (world, "/b", data, len);
    free (data);
}

static void test_put_many_small (void **state)
{
    world_t *world = *state;
    enum { N = 2000 };
    dfs_put_item_t *items = calloc (N, sizeof *items);
    char (*names)[2][100] = calloc (N, sizeof *names);
    dfs_error_t err;

    for (unsigned i = 0; i < N; i++) {
        snprintf (names[i][0], 100, "%s/s%u", world->dir, i);
        snprintf (names[i][1], 100, "/d/s%u", i);
        write_file (names[i][0], &i, sizeof i);
        items[i] = (dfs_put_item_t){.source = names[i][0],
                                    .fd = -1,
                                    .dest = names[i][1],
                                    .mode = 0600,
                                    .mtime_ns = 7};
    }
    world->fake->knobs.delay_us = 2000;
    unlink (names[77][0]); /* one fails, the others go on */
    assert_int_equal (dfs_put (world->dfs, items, N, NULL, &err), DFS_ENOENT);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal (items[i].code, i == 77 ? DFS_ENOENT : 0);
        if (i != 77)
            assert_stored (world, names[i][1], (uint8_t *)&i, sizeof i);
    }
    free (items);
    free (names);
}

static void test_put_inline (void **state)
{
    world_t *world = *state;
    dfs_error_t err;
    dfs_put_item_t item;

    world->fake->knobs.inline_max = 4096;
    dfs_close (&world->dfs); /* the welcome tells */
    dfs_options_t options = {.config = world->fake->config, .timeout_ms = 60000};
    world->dfs = dfs_open (&options, &err);
    write_file (path_in (world, "src"), "hello", 5);
    assert_int_equal (put_one (world, path_in (world, "src"), "/in", &item), 0);
    assert_int_equal (world->fake->counts.places, 0);
    assert_stored (world, "/in", (const uint8_t *)"hello", 5);
    dfs_get_item_t got;
    assert_int_equal (get_one (world, "/in", path_in (world, "out"), &got), 0);
    assert_int_equal (world->fake->counts.fetches, 0);
    assert_file (path_in (world, "out"), (const uint8_t *)"hello", 5);
}

static void test_put_refused_and_lost (void **state)
{
    world_t *world = *state;
    world->fake->knobs.refuse_chunk = 3;
    world->fake->knobs.lose_durable = 3;
    put_and_compare (world, 20 * 262144 + 1);
    assert_int_equal (world->fake->knobs.refuse_chunk, 0);
    assert_int_equal (world->fake->knobs.lose_durable, 0);
    assert_int_equal (world->fake->counts.not_avoided, 0);
}

static void test_put_missing (void **state)
{
    world_t *world = *state;
    world->fake->knobs.missing = 2;
    put_and_compare (world, 5 * 262144 + 1);
    assert_int_equal (world->fake->knobs.missing, 0);
}

static void test_put_staged (void **state)
{
    world_t *world = *state;
    dfs_put_options_t options = {.chunk_size = 65536};
    size_t len = 1200 * 65536 + 5; /* three pages of extents */
    uint8_t *data = bytes_of (len, 3);
    dfs_error_t err;
    dfs_put_item_t item = {.source = path_in (world, "src"),
                           .fd = -1,
                           .dest = "/long",
                           .mode = UINT32_MAX,
                           .mtime_ns = UINT64_MAX};

    write_file (item.source, data, len);
    world->fake->knobs.missing = 1; /* of a page */
    assert_int_equal (dfs_put (world->dfs, &item, 1, &options, &err), 0);
    assert_int_equal (world->fake->counts.stages, 2);
    assert_stored (world, "/long", data, len);
    world->fake->knobs.extent_page = 100;
    dfs_get_item_t got;
    assert_int_equal (get_one (world, "/long", path_in (world, "out"), &got), 0);
    assert_file (path_in (world, "out"), data, len);
    free (data);
}

/* Called before each reading of a file, with the place; in any thread. */
static void (*before_read) (off_t offset);
static world_t *reader_world;

ssize_t pread (int fd, void *buf, size_t len, off_t offset)
{
    if (before_read)
        before_read (offset);
    return syscall (SYS_pread64, fd, buf, len, offset);
}

/* Waits until VALUE is LEAST or more; not for ever, for where one thread does all the
 * readings it never is. */
static void wait_for (atomic_uint *value, unsigned least)
{
    for (int i = 0; i < 10000 && *value < least; i++)
        usleep (1000);
}

static atomic_uint reread;

/* The last chunk is read while the first is being read again... */
static void hold_readings (off_t offset)
{
    static atomic_uint first;

    if (offset > 0)
        wait_for (&reread, 1);
    else if (first++ > 0) {
        reread = 1;
        /* ...which goes on when the last one was sent to its worker. */
        wait_for (&reader_world->fake->counts.frames_in, 2);
    }
}

/* What is read again is read from the file that was opened, though all of it has been
 * read once. */
static void test_put_reread (void **state)
{
    reader_world = *state;
    reader_world->fake->knobs.lose_durable = 1;
    before_read = hold_readings;
    put_and_compare (reader_world, 2 * 262144);
    before_read = NULL;
    assert_int_equal (reread, 1);
    assert_int_equal (reader_world->fake->counts.frames_in, 3);
}

/* One chunk that needs all the memory there is, and small files behind it. */
static void test_put_greedy (void **state)
{
    enum { SMALL = 300 };
    world_t *world = *state;
    size_t len = (64 << 20);
    uint8_t *data = bytes_of (len, 17);
    static dfs_put_item_t items[SMALL + 1];
    static char names[SMALL + 1][16];
    dfs_put_options_t options = {.chunk_size = (64 << 20)};
    dfs_error_t err;

    char big[128], small[128];
    snprintf (big, sizeof big, "%s", path_in (world, "big"));
    snprintf (small, sizeof small, "%s", path_in (world, "small"));
    write_file (big, data, len);
    write_file (small, data, 5000);
    for (int i = 0; i <= SMALL; i++) {
        snprintf (names[i], sizeof names[i], "/n%d", i);
        items[i] = (dfs_put_item_t){.source = i ? small : big,
                                    .fd = -1,
                                    .dest = names[i],
                                    .mode = UINT32_MAX,
                                    .mtime_ns = UINT64_MAX};
    }
    assert_int_equal (dfs_put (world->dfs, items, SMALL + 1, &options, &err), 0);
    assert_stored (world, "/n0", data, len);
    assert_stored (world, "/n300", data, 5000);
    free (data);
}

static void *feed (void *arg)
{
    int fd = *(int *)arg;
    uint8_t *data = bytes_of (3000000, 8);
    for (size_t at = 0; at < 3000000;) {
        ssize_t n = write (fd, data + at, 3000000 - at < 7777 ? 3000000 - at : 7777);
        assert_true (n > 0);
        at += (size_t)n;
    }
    close (fd);
    free (data);
    return NULL;
}

static void test_put_pipe (void **state)
{
    world_t *world = *state;
    int fds[2];
    pthread_t thread;
    dfs_error_t err;

    assert_int_equal (pipe (fds), 0);
    pthread_create (&thread, NULL, feed, &fds[1]);
    /* a chunk of a pipe cannot be read again: it must have been kept */
    world->fake->knobs.lose_durable = 4;
    dfs_put_item_t item = {
        .fd = fds[0], .dest = "/pipe", .mode = UINT32_MAX, .mtime_ns = UINT64_MAX};
    assert_int_equal (dfs_put (world->dfs, &item, 1, NULL, &err), 0);
    pthread_join (thread, NULL);
    close (fds[0]);
    uint8_t *data = bytes_of (3000000, 8);
    assert_int_equal (item.size, 3000000);
    assert_stored (world, "/pipe", data, 3000000);
    free (data);
}

static void test_put_sparse (void **state)
{
    world_t *world = *state;
    char *path = path_in (world, "src");
    dfs_put_item_t item;
    dfs_get_item_t got;
    int fd = open (path, O_RDWR | O_CREAT, 0600);

    assert_int_equal (ftruncate (fd, 1000 * 262144L + 5), 0);
    assert_int_equal (pwrite (fd, "x", 1, 500 * 262144L + 9), 1);
    close (fd);
    assert_int_equal (put_one (world, path, "/sparse", &item), 0);
    assert_int_equal (item.size, 1000 * 262144L + 5);
    assert_true (world->fake->counts.bytes_in <= 262144);
    char *out = path_in (world, "out");
    assert_int_equal (get_one (world, "/sparse", out, &got), 0);
    char command[500];
    snprintf (command, sizeof command, "cmp %s %s", path, out);
    assert_int_equal (system (command), 0);
    struct stat st;
    assert_int_equal (stat (out, &st), 0);
    assert_true (st.st_blocks * 512 < 10 * 262144);
}

static char growing[200];

static void grow (off_t offset)
{
    int fd = open (growing, O_WRONLY | O_APPEND);
    ssize_t n = write (fd, "more", 4);
    if (n != 4)
        abort ();
    close (fd);
    (void)offset;
}

static void test_put_changed (void **state)
{
    world_t *world = *state;
    size_t len = 30 * 1024 * 1024;
    uint8_t *data = bytes_of (len, 4);
    dfs_put_item_t item;

    snprintf (growing, sizeof growing, "%s", path_in (world, "src"));
    write_file (growing, data, len);
    before_read = grow;
    assert_int_equal (put_one (world, growing, "/f", &item), DFS_ECHANGED);
    before_read = NULL;
    assert_null (fake_file (world->fake, "/f", 2));
    free (data);
}

static int cancel_soon (const dfs_progress_t *progress, void *arg)
{
    (void)progress;
    return ++*(int *)arg == 2;
}

static void test_put_cancel (void **state)
{
    world_t *world = *state;
    size_t len = 80 * 1024 * 1024;
    uint8_t *data = bytes_of (len, 4);
    int calls = 0;
    dfs_error_t err;
    dfs_put_options_t options = {.progress = cancel_soon, .progress_arg = &calls};
    dfs_put_item_t item = {.source = path_in (world, "src"),
                           .fd = -1,
                           .dest = "/f",
                           .mode = UINT32_MAX,
                           .mtime_ns = UINT64_MAX};

    write_file (item.source, data, len);
    world->fake->knobs.lose_durable = 1000000; /* it would take for ever */
    assert_int_equal (dfs_put (world->dfs, &item, 1, &options, &err), DFS_ECANCELED);
    assert_null (fake_file (world->fake, "/f", 2));
    world->fake->knobs.lose_durable = 0;
    put_and_compare (world, 262144); /* the handle is as good as before */
    free (data);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        CASE (test_put_sizes),
        CASE (test_put_large_chunks),
        CASE (test_put_same_bytes_once),
        CASE (test_put_many_small),
        CASE (test_put_inline),
        CASE (test_put_refused_and_lost),
        CASE (test_put_missing),
        CASE (test_put_staged),
        CASE (test_put_reread),
        CASE (test_put_greedy),
        CASE (test_put_pipe),
        CASE (test_put_sparse),
        CASE (test_put_changed),
        CASE (test_put_cancel),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("libdfs: put", tests, NULL, NULL);
}
