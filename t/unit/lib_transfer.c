/* SPDX-License-Identifier: MPL-2.0 */
/* put and get of libdfs against a cluster that misbehaves on purpose. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/lib/dfs.h"
#include "common/rng.h"
#include "lib_fake.h"

typedef struct world {
    fake_t *fake;
    dfs_t *dfs;
    char dir[64];
    atomic_uint warnings;
} world_t;

static void count_line (int level, const char *line, void *arg)
{
    world_t *world = arg;
    if (getenv ("LIB_VERBOSE"))
        fprintf (stderr, "# %d %s\n", level, line);
    if (level <= 1)
        world->warnings++;
}

static int setup (void **state)
{
    world_t *world = calloc (1, sizeof *world);
    dfs_error_t err;

    world->fake = fake_new ();
    snprintf (world->dir, sizeof world->dir, "/tmp/lib-test-XXXXXX");
    assert_non_null (mkdtemp (world->dir));
    dfs_options_t options = {.config = world->fake->config,
                             .timeout_ms = 10000,
                             .log = count_line,
                             .log_arg = world};
    world->dfs = dfs_open (&options, &err);
    if (!world->dfs)
        print_error ("%s\n", err.text);
    assert_non_null (world->dfs);
    *state = world;
    return 0;
}

static int teardown (void **state)
{
    world_t *world = *state;
    char command[128];

    dfs_close (&world->dfs);
    fake_free (&world->fake);
    snprintf (command, sizeof command, "rm -r %s", world->dir);
    int rc = system (command);
    free (world);
    return rc;
}

/* LEN bytes that SEED determines. */
static uint8_t *bytes_of (size_t len, uint64_t seed)
{
    uint8_t *out = malloc (len + 8);
    rng_t rng;

    rng_seed (&rng, seed);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = rng_next (&rng);
        memcpy (out + i, &v, 8);
    }
    return out;
}

static void write_file (const char *path, const void *data, size_t len)
{
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, data, len), (ssize_t)len);
    close (fd);
}

static char *path_in (world_t *world, const char *name)
{
    static char paths[4][200];
    static int at;
    char *out = paths[at++ % 4];
    snprintf (out, 200, "%s/%s", world->dir, name);
    return out;
}

static int put_one (world_t *world, const char *source, const char *dest,
                    dfs_put_item_t *item)
{
    dfs_error_t err;
    *item = (dfs_put_item_t){.source = source,
                             .fd = -1,
                             .dest = dest,
                             .mode = UINT32_MAX,
                             .mtime_ns = UINT64_MAX};
    return dfs_put (world->dfs, item, 1, NULL, &err);
}

static void assert_stored (world_t *world, const char *dest, const uint8_t *data,
                           size_t len)
{
    uint64_t size;
    uint8_t *content = fake_content (world->fake, dest, &size);
    assert_non_null (content);
    assert_int_equal (size, len);
    assert_memory_equal (content, data, len);
    free (content);
}

static void assert_file (const char *path, const uint8_t *data, size_t len)
{
    struct stat st;
    int fd = open (path, O_RDONLY);
    assert_true (fd >= 0);
    assert_int_equal (fstat (fd, &st), 0);
    assert_int_equal (st.st_size, len);
    uint8_t *got = malloc (len + 1);
    assert_int_equal (read (fd, got, len), (ssize_t)len);
    assert_memory_equal (got, data, len);
    free (got);
    close (fd);
}

static int get_one (world_t *world, const char *source, const char *dest,
                    dfs_get_item_t *item)
{
    dfs_error_t err;
    *item = (dfs_get_item_t){
        .source = source, .dest = dest, .fd = -1, .length = UINT64_MAX};
    return dfs_get (world->dfs, item, 1, NULL, &err);
}

/* No temporary file is left beside the results. */
static void assert_tidy (world_t *world)
{
    char command[200];
    snprintf (command, sizeof command, "test -z \"$(find %s -name '.*.dfs-*')\"",
              world->dir);
    assert_int_equal (system (command), 0);
}

/* --- put --- */

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
    world->fake->knobs.delay_us = 20000;
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

/* A broker remembers the results of so many numbers: none runs further ahead of one
 * whose answer got lost. */
static void test_put_window (void **state)
{
    world_t *world = *state;
    enum { N = 6000 };
    dfs_put_item_t *items = calloc (N, sizeof *items);
    char (*names)[64] = calloc (N, sizeof *names);
    const char *source = path_in (world, "src");
    dfs_error_t err;

    write_file (source, "same", 4);
    for (unsigned i = 0; i < N; i++) {
        snprintf (names[i], sizeof names[i], "/w/s%u", i);
        items[i] = (dfs_put_item_t){
            .source = source, .fd = -1, .dest = names[i], .mode = 0600, .mtime_ns = 7};
    }
    world->fake->knobs.hold = 3;
    assert_int_equal (dfs_put (world->dfs, items, N, NULL, &err), 0);
    assert_int_equal (world->fake->knobs.hold, 0);
    assert_true (world->fake->counts.ahead > 1000 && world->fake->counts.ahead < 4096);
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
    dfs_options_t options = {.config = world->fake->config, .timeout_ms = 10000};
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

static void put_and_compare (world_t *world, size_t len)
{
    uint8_t *data = bytes_of (len, 99);
    dfs_put_item_t item;

    write_file (path_in (world, "src"), data, len);
    int rc = put_one (world, path_in (world, "src"), "/f", &item);
    if (rc < 0)
        print_error ("%s: %s\n", dfs_error_name (rc), item.error.text);
    assert_int_equal (rc, 0);
    assert_stored (world, "/f", data, len);
    free (data);
}

static void test_put_refused_and_lost (void **state)
{
    world_t *world = *state;
    world->fake->knobs.refuse_chunk = 3;
    world->fake->knobs.lose_durable = 3;
    put_and_compare (world, 20 * 262144 + 1);
    assert_int_equal (world->fake->knobs.refuse_chunk, 0);
    assert_int_equal (world->fake->knobs.lose_durable, 0);
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

/* A session that was idle for too long is not gone on with, and nobody notices. */
static void test_put_expired (void **state)
{
    world_t *world = *state;

    put_and_compare (world, 300000);
    unsigned hellos = world->fake->counts.hellos;
    world->fake->knobs.expire = 1;
    put_and_compare (world, 300001);
    assert_int_equal (world->fake->counts.hellos, hellos + 1);
    /* the broker was away as well */
    world->fake->knobs.expire = 1;
    fake_restart (world->fake);
    while (world->fake->restart)
        usleep (1000);
    put_and_compare (world, 300002);
    assert_int_equal (world->fake->knobs.expire, 0);
}

/* Reading takes its time: each first look at a place a little, each later one long. */
static atomic_bool slow;
static atomic_uint looks[64];

ssize_t pread (int fd, void *buf, size_t len, off_t offset)
{
    size_t place = (size_t)offset / 262144;

    if (slow && place < 64)
        usleep (atomic_fetch_add (&looks[place], 1) ? 300000 : 5000);
    return syscall (SYS_pread64, fd, buf, len, offset);
}

/* A chunk is read again while the first reading of the file ends. */
static void test_put_reread (void **state)
{
    world_t *world = *state;

    world->fake->knobs.lose_durable = 2;
    slow = true;
    put_and_compare (world, 60 * 262144 + 5);
    slow = false;
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

/* The directory got a policy after this handle was opened. */
static void test_put_policy (void **state)
{
    world_t *world = *state;
    uint8_t *data = bytes_of (600000, 5);
    dfs_error_t err;
    dfs_put_item_t items[2] = {{.source = path_in (world, "src"), .dest = "/small"},
                               {.dest = "/long"}};

    items[0].fd = items[1].fd = -1;
    items[0].mode = items[1].mode = UINT32_MAX;
    items[0].mtime_ns = items[1].mtime_ns = UINT64_MAX;
    items[1].source = items[0].source;
    write_file (items[0].source, data, 600000);
    world->fake->knobs.policy = 4;
    assert_int_equal (dfs_put (world->dfs, items, 2, NULL, &err), 0);
    assert_stored (world, "/small", data, 600000);
    assert_int_equal (items[0].copies, 1);
    assert_int_equal (items[1].wanted, 3);
    unsigned places = world->fake->counts.places;
    assert_true (places >= 2);
    /* now it looks first, and fails to nothing */
    unsigned changes = world->fake->counts.changes;
    items[0].dest = "/other";
    assert_int_equal (dfs_put (world->dfs, items, 1, NULL, &err), 0);
    assert_int_equal (world->fake->counts.changes, changes + 1);
    free (data);
}

static void test_put_exactly_once (void **state)
{
    world_t *world = *state;
    world->fake->knobs.busy = 2;
    world->fake->knobs.drop_answers = 3;
    put_and_compare (world, 3 * 262144);
    assert_int_equal (world->fake->counts.applied, 1);
    assert_int_equal (world->fake->counts.hellos, 4);
    assert_int_equal (world->fake->counts.resumed, 3);
}

static void *restart_now_and_then (void *arg)
{
    world_t *world = arg;
    for (int i = 0; i < 5; i++) {
        usleep (60000);
        fake_restart (world->fake);
    }
    return NULL;
}

static void test_put_get_restarts (void **state)
{
    world_t *world = *state;
    pthread_t thread;
    size_t len = 40 * 1024 * 1024;
    uint8_t *data = bytes_of (len, 12);
    dfs_put_item_t item;
    dfs_get_item_t got;

    write_file (path_in (world, "src"), data, len);
    pthread_create (&thread, NULL, restart_now_and_then, world);
    assert_int_equal (put_one (world, path_in (world, "src"), "/f", &item), 0);
    pthread_join (thread, NULL);
    assert_stored (world, "/f", data, len);
    pthread_create (&thread, NULL, restart_now_and_then, world);
    assert_int_equal (get_one (world, "/f", path_in (world, "out"), &got), 0);
    pthread_join (thread, NULL);
    assert_file (path_in (world, "out"), data, len);
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

static void *grow (void *arg)
{
    int fd = open (arg, O_WRONLY | O_APPEND);
    for (int i = 0; i < 200; i++) {
        assert_int_equal (write (fd, "more", 4), 4);
        usleep (2000);
    }
    close (fd);
    return NULL;
}

static void test_put_changed (void **state)
{
    world_t *world = *state;
    size_t len = 30 * 1024 * 1024;
    uint8_t *data = bytes_of (len, 4);
    dfs_put_item_t item;
    pthread_t thread;
    char *path = path_in (world, "src");

    write_file (path, data, len);
    pthread_create (&thread, NULL, grow, path);
    usleep (5000);
    assert_int_equal (put_one (world, path, "/f", &item), DFS_ECHANGED);
    pthread_join (thread, NULL);
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

/* --- get --- */

static uint8_t *store (world_t *world, const char *dest, size_t len)
{
    uint8_t *data = bytes_of (len, 1234);
    dfs_put_item_t item;
    write_file (path_in (world, "src"), data, len);
    assert_int_equal (put_one (world, path_in (world, "src"), dest, &item), 0);
    return data;
}

static void get_and_compare (world_t *world, size_t len)
{
    uint8_t *data = store (world, "/f", len);
    dfs_get_item_t item;
    int rc = get_one (world, "/f", path_in (world, "out"), &item);
    if (rc < 0)
        print_error ("%s: %s\n", dfs_error_name (rc), item.error.text);
    assert_int_equal (rc, 0);
    assert_file (path_in (world, "out"), data, len);
    assert_int_equal (item.size, len);
    assert_tidy (world);
    free (data);
}

static void test_get_sizes (void **state)
{
    static const size_t sizes[] = {0, 1, 65536, 262144, 262145, 10 * 262144 + 17};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        get_and_compare (*state, sizes[i]);
}

static void test_get_disorder (void **state)
{
    world_t *world = *state;
    world->fake->knobs.reverse = 1;
    world->fake->knobs.twice = 1;
    world->fake->knobs.frame_size = 65536;
    get_and_compare (world, 9 * 262144 + 1);
}

static void test_get_damaged (void **state)
{
    world_t *world = *state;
    world->fake->knobs.damage = 1;
    world->fake->knobs.refuse = 2;
    get_and_compare (world, 9 * 262144 + 1);
    assert_true (world->warnings >= 3); /* a line for each bad replica that was met */
}

static void test_get_no_replica (void **state)
{
    world_t *world = *state;
    dfs_get_item_t item;
    free (store (world, "/f", 262144 * 3));
    world->fake->knobs.damage = 7;
    assert_int_equal (get_one (world, "/f", path_in (world, "out"), &item),
                      DFS_EDAMAGED);
    assert_int_equal (access (path_in (world, "out"), F_OK), -1);
    assert_tidy (world);
}

static void test_get_late (void **state)
{
    world_t *world = *state;
    world->fake->knobs.silent = 1;
    get_and_compare (world, 6 * 262144);
    assert_true (world->fake->counts.cancels > 0);
    /* Those of the silent worker were asked of another one too, once each. */
    assert_in_range (world->fake->counts.seconds, 1, 6);
}

static void test_get_stream_ends (void **state)
{
    world_t *world = *state;
    world->fake->knobs.hang_up = 3;
    get_and_compare (world, 60 * 262144);
}

static void test_get_ranges (void **state)
{
    world_t *world = *state;
    size_t len = 3 * 262144 + 100;
    uint8_t *data = store (world, "/f", len);
    static const uint64_t ranges[][2] = {
        {0, 1},        {5, 70000},      {262140, 8}, {65536, 65536}, {3 * 262144, 500},
        {99999999, 5}, {100000, 600000}};
    dfs_error_t err;

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        uint64_t at = ranges[i][0] < len ? ranges[i][0] : len;
        uint64_t n = ranges[i][1] < len - at ? ranges[i][1] : len - at;
        dfs_get_item_t item = {.source = "/f",
                               .dest = path_in (world, "out"),
                               .fd = -1,
                               .offset = ranges[i][0],
                               .length = ranges[i][1]};
        assert_int_equal (dfs_get (world->dfs, &item, 1, NULL, &err), 0);
        assert_int_equal (item.size, n);
        assert_file (item.dest, data + at, n);
    }
    dfs_file_t *file = dfs_file_open (world->dfs, "/f", &err);
    assert_non_null (file);
    assert_int_equal (dfs_file_size (file), len);
    uint8_t *buf = malloc (len + 10);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        uint64_t at = ranges[i][0] < len ? ranges[i][0] : len;
        uint64_t n = ranges[i][1] < len - at ? ranges[i][1] : len - at;
        assert_int_equal (dfs_file_read (file, buf, ranges[i][1], ranges[i][0], &err),
                          n);
        assert_memory_equal (buf, data + at, n);
    }
    world->fake->knobs.extent_page =
        1; /* the list has to be asked for again and again */
    dfs_file_close (&file);
    file = dfs_file_open (world->dfs, "/f", &err);
    assert_int_equal (dfs_file_read (file, buf, 50, 2 * 262144 + 7, &err), 50);
    assert_memory_equal (buf, data + 2 * 262144 + 7, 50);
    assert_int_equal (dfs_file_read (file, buf, len, 3, &err), len - 3);
    assert_memory_equal (buf, data + 3, len - 3);
    dfs_file_close (&file);
    free (buf);
    free (data);
}

static void test_get_to_fd_in_order (void **state)
{
    world_t *world = *state;
    size_t len = 20 * 262144 + 3;
    uint8_t *data = store (world, "/f", len);
    dfs_error_t err;
    char *path = path_in (world, "out");
    int fd = open (path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dfs_get_item_t items[2] = {
        {.source = "/f", .fd = fd, .length = UINT64_MAX},
        {.source = "/f", .fd = fd, .offset = 7, .length = 300000},
    };

    world->fake->knobs.silent = 1; /* the first of three comes last */
    assert_int_equal (dfs_get (world->dfs, items, 2, NULL, &err), 0);
    close (fd);
    uint8_t *both = malloc (len + 300000);
    memcpy (both, data, len);
    memcpy (both + len, data + 7, 300000);
    assert_file (path, both, len + 300000);
    free (both);
    free (data);
}

static void test_get_names_and_failures (void **state)
{
    world_t *world = *state;
    dfs_get_item_t item;
    struct stat st;
    char name[300] = "", path[400];
    uint8_t *data = store (world, "/f", 100);

    memset (name, 'n', 255);
    snprintf (path, sizeof path, "%s/%s", world->dir, name);
    assert_int_equal (get_one (world, "/f", path, &item), 0);
    assert_file (path, data, 100);
    /* what is there stays when the new one cannot be had */
    assert_int_equal (get_one (world, "/none", path, &item), DFS_ENOENT);
    assert_file (path, data, 100);
    assert_int_equal (get_one (world, "/f", world->dir, &item), DFS_EISDIR);
    assert_int_equal (get_one (world, "/f", path_in (world, "no/dir"), &item),
                      DFS_ENOENT);
    /* a device is written to, not replaced */
    assert_int_equal (get_one (world, "/f", "/dev/null", &item), 0);
    assert_int_equal (stat ("/dev/null", &st), 0);
    assert_true (S_ISCHR (st.st_mode));
    assert_tidy (world);
    free (data);
}

/* --- the rest --- */

static void test_names (void **state)
{
    world_t *world = *state;
    dfs_stat_t st[3];
    int codes[3];
    dfs_error_t err;
    const char *paths[3] = {"/f", "/none", "/f"};

    free (store (world, "/f", 1000));
    assert_int_equal (dfs_stat_many (world->dfs, paths, 3, true, st, codes, &err),
                      DFS_ENOENT);
    assert_int_equal (codes[0], 0);
    assert_int_equal (codes[1], DFS_ENOENT);
    assert_int_equal (st[2].size, 1000);
    assert_int_equal (dfs_mkdir (world->dfs, "/d", 0755, false, &err), 0);
    assert_int_equal (dfs_rmdir (world->dfs, "/d", &err), DFS_ENOTEMPTY);
    assert_string_equal (err.text, dfs_error_text (DFS_ENOTEMPTY));
}

static int add_name (const char *path, const dfs_stat_t *st, void *arg)
{
    (void)st;
    strcat (arg, path);
    return 0;
}

/* A listing is of one moment, or says that it is not. */
static void test_list (void **state)
{
    static const char *const all = "f00f01f02f03f04f05f06f07f08f09f10f11";
    world_t *world = *state;
    fake_knobs_t *knobs = &world->fake->knobs;
    char got[200] = "";
    dfs_error_t err;

    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err), 0);
    assert_string_equal (got, all);
    knobs->list_gone = 1;
    got[0] = 0;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err),
                      DFS_ESTALE);
    assert_string_equal (got, "f00f01f02f03");
    knobs->list_moved = 1;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err),
                      DFS_ESTALE);
    /* nothing was shown yet: it begins anew */
    knobs->list_hollow = 1;
    knobs->list_gone = 2;
    knobs->list_moved = 1;
    got[0] = 0;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err), 0);
    assert_string_equal (got, all);
    knobs->list_gone = 1000;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err),
                      DFS_ESTALE);
}

static void test_fork (void **state)
{
    world_t *world = *state;
    int status;
    pid_t pid = fork ();

    if (pid == 0) {
        dfs_error_t err;
        int rc = dfs_mkdir (world->dfs, "/x", 0755, false, &err);
        dfs_close (&world->dfs);
        _exit (rc == DFS_EFORK ? 0 : 1);
    }
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
}

static void test_no_broker (void **state)
{
    world_t *world = *state;
    char path[100];
    dfs_error_t err;
    struct sigaction before, after;

    snprintf (path, sizeof path, "%s/cluster.cfg", world->dir);
    FILE *file = fopen (path, "w");
    fprintf (file, "cluster\n    name = x\n    id = 00112233445566778899aabbccddeeff\n"
                   "    security = none\nbrokers\n    b1\n        host = 127.0.0.1\n"
                   "        port = 1\n        data = d\nworkers\n    w1\n"
                   "        host = 127.0.0.1\n        port = 0\n        data = e\n");
    fclose (file);
    dfs_options_t options = {.config = path, .timeout_ms = 300};
    sigaction (SIGINT, NULL, &before);
    assert_null (dfs_open (&options, &err));
    sigaction (SIGINT, NULL, &after);
    assert_int_equal (err.code, DFS_EUNAVAIL);
    assert_true (before.sa_handler == after.sa_handler);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        CASE (test_put_sizes),
        CASE (test_put_large_chunks),
        CASE (test_put_same_bytes_once),
        CASE (test_put_many_small),
        CASE (test_put_window),
        CASE (test_put_inline),
        CASE (test_put_refused_and_lost),
        CASE (test_put_missing),
        CASE (test_put_expired),
        CASE (test_put_reread),
        CASE (test_put_greedy),
        CASE (test_put_policy),
        CASE (test_put_staged),
        CASE (test_put_exactly_once),
        CASE (test_put_get_restarts),
        CASE (test_put_pipe),
        CASE (test_put_sparse),
        CASE (test_put_changed),
        CASE (test_put_cancel),
        CASE (test_get_sizes),
        CASE (test_get_disorder),
        CASE (test_get_damaged),
        CASE (test_get_no_replica),
        CASE (test_get_late),
        CASE (test_get_stream_ends),
        CASE (test_get_ranges),
        CASE (test_get_to_fd_in_order),
        CASE (test_get_names_and_failures),
        CASE (test_names),
        CASE (test_list),
        CASE (test_fork),
        CASE (test_no_broker),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("libdfs transfers", tests, NULL, NULL);
}
