/* SPDX-License-Identifier: MPL-2.0 */
/* The parts of libdfs that need no cluster: cutting, memory, threads, targets, extents.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/lib/extents.h"
#include "client/lib/pool.h"
#include "client/lib/slice.h"
#include "client/lib/split.h"
#include "client/lib/streams.h"
#include "client/lib/verify_write.h"
#include "lib_lookups.h"

static char dir[] = "/tmp/lib-parts-XXXXXX";

static int make_dir (void **state)
{
    (void)state;
    return mkdtemp (dir) ? 0 : -1;
}

static int remove_dir (void **state)
{
    char command[64];
    (void)state;
    snprintf (command, sizeof command, "rm -r %s", dir);
    return system (command);
}

static const char *in_dir (const char *name)
{
    static char path[4][300];
    static int at;
    char *out = path[at++ % 4];
    snprintf (out, 300, "%s/%s", dir, name);
    return out;
}

/* --- split --- */

static void test_split_covers (void **state)
{
    static const uint64_t sizes[] = {1, 65535, 65536, 65537, 10 * 65536, 1234567};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        source_t source = {.fd = -1, .size = sizes[i]};
        uint64_t at = 0, length;
        while (split_next (&source, at, 65536, &length) == SPLIT_CHUNK) {
            assert_true (length == 65536 || at + length == sizes[i]);
            at += length;
        }
        assert_int_equal (at, sizes[i]);
    }
}

static void test_split_holes (void **state)
{
    const char *path = in_dir ("sparse");
    int fd = open (path, O_RDWR | O_CREAT, 0600);
    source_t source;
    uint64_t at = 0, length, data = 0, holes = 0;
    dfs_error_t err;
    enum split_kind kind;

    (void)state;
    assert_int_equal (pwrite (fd, "a", 1, 20 * 65536), 1);
    assert_int_equal (ftruncate (fd, 50 * 65536 + 9), 0);
    close (fd);
    assert_int_equal (source_open (&source, path, -1, &err), 0);
    while ((kind = split_next (&source, at, 65536, &length)) != SPLIT_END) {
        /* a hole never ends inside a chunk, but at the end of the file */
        assert_true (length % 65536 == 0 || at + length == source.size);
        *(kind == SPLIT_HOLE ? &holes : &data) += length;
        at += length;
    }
    assert_int_equal (at, 50 * 65536 + 9);
    assert_true (data >= 1 && data <= 2 * 65536);
    source_close (&source);
}

static void test_source_kinds (void **state)
{
    source_t source;
    dfs_error_t err;
    char buf[8];
    int fds[2];
    atomic_bool cancel = true;

    (void)state;
    assert_int_equal (source_open (&source, dir, -1, &err), DFS_EISDIR);
    assert_int_equal (source_open (&source, in_dir ("none"), -1, &err), DFS_ENOENT);
    assert_int_equal (source_open (&source, "/proc/self/stat", -1, &err), 0);
    assert_true (source.stream); /* says 0 bytes and has some */
    source_close (&source);
    int fd = open (in_dir ("plain"), O_RDWR | O_CREAT, 0600);
    assert_int_equal (write (fd, "0123456789", 10), 10);
    assert_int_equal (lseek (fd, 4, SEEK_SET), 4);
    assert_int_equal (source_open (&source, NULL, fd, &err), 0);
    assert_int_equal (source.size, 6); /* from where the descriptor stands */
    assert_int_equal (source_read (&source, buf, 6, 0, NULL, &err), 6);
    assert_memory_equal (buf, "456789", 6);
    assert_int_equal (source_unchanged (&source, &err), 0);
    assert_int_equal (ftruncate (fd, 7), 0);
    assert_int_equal (source_read (&source, buf, 6, 0, NULL, &err), DFS_ECHANGED);
    assert_int_equal (source_unchanged (&source, &err), DFS_ECHANGED);
    source_close (&source);
    close (fd);
    assert_int_equal (pipe (fds), 0);
    assert_int_equal (source_open (&source, NULL, fds[0], &err), 0);
    assert_true (source.stream);
    /* nobody writes: only the cancellation ends it */
    assert_int_equal (source_read (&source, buf, 8, 0, &cancel, &err), DFS_ECANCELED);
    assert_int_equal (write (fds[1], "abc", 3), 3);
    close (fds[1]);
    assert_int_equal (source_read (&source, buf, 8, 0, &cancel, &err), 3);
    close (fds[0]);
}

/* --- slices --- */

static void *give_back (void *arg)
{
    slice_t *slice = arg;
    usleep (20000);
    slice_unref (&slice);
    return NULL;
}

static void test_slices_bounded (void **state)
{
    slice_pool_t *pool = slice_pool_new (3 * SLICE_MAX);
    slice_t *slices[3];
    pthread_t thread;
    uint64_t count;

    (void)state;
    assert_int_equal (slice_cost (0), 0);
    assert_int_equal (slice_cost (100), 100);
    assert_int_equal (slice_cost (SLICE_MAX + 1), SLICE_MAX + 1);
    assert_int_equal (slice_cost (2 * SLICE_MAX), 2 * SLICE_MAX);
    assert_true (slice_reserve (pool, 2 * SLICE_MAX));
    assert_false (slice_reserve (pool, 2 * SLICE_MAX));
    slices[0] = slice_new (pool, SLICE_MAX, true);
    slices[1] = slice_new (pool, SLICE_MAX, true);
    slices[2] = slice_new (pool, SLICE_MAX, false);
    assert_int_equal (read (slice_pool_fd (pool), &count, sizeof count), -1);
    assert_false (slice_reserve (pool, 1));
    /* who waits goes on when somebody gives back; the fd tells who does not wait */
    pthread_create (&thread, NULL, give_back, slices[0]);
    slice_t *more = slice_new (pool, SLICE_MAX, false);
    pthread_join (thread, NULL);
    assert_non_null (more);
    assert_int_equal (read (slice_pool_fd (pool), &count, sizeof count), sizeof count);
    slice_pool_cancel (pool, true);
    assert_null (slice_new (pool, 1, false));
    slice_pool_cancel (pool, false);
    /* a message holds its own reference */
    zmq_msg_t msg;
    assert_int_equal (slice_message (more, &msg), 0);
    slice_t *copy = more;
    slice_unref (&more);
    assert_ptr_equal (zmq_msg_data (&msg), copy->data);
    assert_false (slice_reserve (pool, 1));
    zmq_msg_close (&msg);
    assert_true (slice_reserve (pool, SLICE_MAX));
    slice_unreserve (pool, SLICE_MAX);
    slice_unref (&slices[1]);
    slice_unref (&slices[2]);
    slice_pool_destroy (&pool);
}

/* --- pool --- */

typedef struct counted {
    job_t job;
    atomic_int *now, *most;
    int *done;
} counted_t;

static void count_run (job_t *job, digest_t *digest)
{
    counted_t *counted = (counted_t *)job;
    int now = ++*counted->now;
    uint8_t sha[32];
    digest_start (digest);
    digest_finish (digest, sha);
    assert_int_equal (sha[0], 0xe3); /* SHA-256 of nothing */
    for (int most = *counted->most; now > most;)
        if (atomic_compare_exchange_strong (counted->most, &most, now))
            break;
    usleep (500);
    --*counted->now;
}

static void count_done (job_t *job, void *arg)
{
    ++*((counted_t *)job)->done;
    assert_ptr_equal (arg, "owner");
}

static void test_pool (void **state)
{
    enum { N = 100 };
    static counted_t jobs[N];
    atomic_int now = 0, most = 0;
    int done = 0;
    dfs_error_t err;
    pool_t *pool = pool_new (4, &err);

    (void)state;
    assert_non_null (pool);
    for (int round = 0; round < 2; round++) {
        pool_limit (pool, round == 0 ? 1 : 0);
        most = 0;
        done = 0;
        for (int i = 0; i < N; i++) {
            jobs[i] = (counted_t){.job = {.run = count_run, .done = count_done},
                                  .now = &now,
                                  .most = &most,
                                  .done = &done};
            jobs[i].job.next = i % 10 == 9 ? NULL : &jobs[i + 1].job;
        }
        for (int i = 0; i < N; i += 10)
            pool_submit (pool, &jobs[i].job);
        while (pool_pending (pool) > 0) {
            pool_wait (pool);
            pool_collect (pool, "owner");
        }
        assert_int_equal (done, N);
        assert_true (round == 0 ? most == 1 : most > 1 && most <= 4);
    }
    pool_destroy (&pool);
    assert_null (pool);
}

/* --- targets --- */

/* Names in the directory that have to do with the file called NAME. */
static unsigned names_of (const char *name)
{
    DIR *listing = opendir (dir);
    unsigned n = 0;

    assert_non_null (listing);
    for (struct dirent *e; (e = readdir (listing));)
        n += strstr (e->d_name, name) != NULL;
    closedir (listing);
    return n;
}

static void appears_whole (bool no_unnamed)
{
    const char *path = in_dir ("target");
    target_t target;
    dfs_error_t err;
    struct stat st;
    char buf[10] = "";

    /* A new one, one that is replaced, one that is given up. */
    for (int round = 0; round < 3; round++) {
        assert_int_equal (target_init (&target, path, -1, &err), 0);
        target.no_unnamed = no_unnamed;
        assert_int_equal (target_open (&target, &err), 0);
        assert_int_equal (fstat (target.fd, &st), 0);
        assert_int_equal (st.st_mode & 0777,
                          0600); /* nobody else's until it is whole */
        assert_int_equal (
            target_write (&target, round == 0 ? "world" : "WORLD", 5, 5, &err), 0);
        assert_int_equal (target_write (&target, "hello", 5, 0, &err), 0);
        assert_int_equal (stat (path, &st), round == 0 ? -1 : 0);
        if (no_unnamed)
            assert_non_null (strstr (target.temp, "/.target.dfs-"));
        assert_int_equal (names_of ("target"), (round > 0) + !target.unnamed);
        if (round < 2) {
            assert_int_equal (
                target_finish (&target, 9, 0604, 1000000001ULL, true, &err), 0);
            assert_int_equal (stat (path, &st), 0);
            assert_int_equal (st.st_mode & 07777, 0604);
            assert_int_equal (st.st_mtim.tv_nsec, 1);
            assert_int_equal (st.st_size, 9);
            assert_int_equal (st.st_nlink, 1);
        }
        target_drop (&target);
        assert_int_equal (names_of ("target"), 1);
        int fd = open (path, O_RDONLY); /* the dropped one changed nothing */
        assert_int_equal (read (fd, buf, 9), 9);
        assert_string_equal (buf, round == 0 ? "helloworl" : "helloWORL");
        close (fd);
    }
    assert_int_equal (unlink (path), 0);
}

static void test_target_appears_whole (void **state)
{
    (void)state;
    appears_whole (false);
    appears_whole (true);
}

static void test_target_kinds (void **state)
{
    target_t target;
    dfs_error_t err;
    char name[256] = "", buf[4];
    int fds[2];

    (void)state;
    assert_int_equal (target_init (&target, dir, -1, &err), DFS_EISDIR);
    assert_int_equal (target_init (&target, "/dev/null", -1, &err), 0);
    assert_int_equal (target.kind, TARGET_STREAM);
    assert_int_equal (target_write (&target, "x", 1, 99, &err), 0);
    assert_int_equal (target_finish (&target, 1, 0600, 5, true, &err), 0);
    memset (name, 'x', 255);
    assert_int_equal (target_init (&target, in_dir (name), -1, &err), 0);
    assert_int_equal (target_open (&target, &err), 0);
    target_drop (&target);
    assert_int_equal (target_init (&target, in_dir ("no/where"), -1, &err), 0);
    assert_int_equal (target_open (&target, &err), DFS_ENOENT);
    target_drop (&target);
    assert_int_equal (pipe (fds), 0);
    assert_int_equal (target_init (&target, NULL, fds[1], &err), 0);
    assert_int_equal (target_write (&target, "ab", 2, 7, &err), 0);
    assert_int_equal (target_zeros (&target, 2, 9, &err), 0);
    assert_int_equal (target_finish (&target, 4, UINT32_MAX, 1, true, &err), 0);
    assert_int_equal (read (fds[0], buf, 4), 4);
    assert_memory_equal (buf, "ab\0", 4);
    close (fds[0]);
    close (fds[1]); /* it was not the target's to close */
}

/* --- extents --- */

static void test_extents (void **state)
{
    uint8_t digest[32] = {1};
    Dfs__Extent wire[4], *list[4];
    extents_t extents = {0};
    dfs_error_t err;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        dfs__extent__init (list[i] = &wire[i]);
        wire[i].offset = 100 * i;
        wire[i].length = 100;
        wire[i].kind =
            i == 2 ? DFS__EXTENT_KIND__EXTENT_HOLE : DFS__EXTENT_KIND__EXTENT_CHUNK;
        wire[i].has_digest = wire[i].has_chunk_length = i != 2;
        wire[i].digest.data = digest;
        wire[i].digest.len = 32;
        wire[i].chunk_length = 100;
    }
    assert_int_equal (extents_add (&extents, list, 2, NULL, 0, true, &err), 0);
    assert_true (extents.more);
    assert_null (extents_find (&extents, 200));
    assert_int_equal (extents_add (&extents, list + 2, 2, NULL, 0, false, &err), 0);
    assert_int_equal (extents_end (&extents), 400);
    assert_int_equal (extents_find (&extents, 299)->kind, EXTENT_HOLE);
    assert_int_equal (extents_find (&extents, 300)->offset, 300);
    extents_trim (&extents, 250);
    assert_null (extents_find (&extents, 199));
    assert_int_equal (extents_find (&extents, 200)->offset, 200);
    /* what does not follow, lies, or misses its bytes */
    assert_int_equal (extents_add (&extents, list, 1, NULL, 0, false, &err),
                      DFS_EPROTO);
    extents_clear (&extents);
    wire[0].chunk_length = 99;
    assert_int_equal (extents_add (&extents, list, 1, NULL, 0, false, &err),
                      DFS_EPROTO);
    wire[0].chunk_length = 100;
    wire[0].kind = DFS__EXTENT_KIND__EXTENT_INLINE;
    assert_int_equal (extents_add (&extents, list, 1, NULL, 0, false, &err),
                      DFS_EPROTO);
    assert_int_equal (extents_add (&extents, list, 0, NULL, 0, true, &err), DFS_EPROTO);
    extents_clear (&extents);
}

/* Workers say often where their streams are: names are looked up for new ones, and no
 * handler of the program's signals runs on the thread that does it. */
static void test_streams_by_name (void **state)
{
    void *ctx = zmq_ctx_new ();
    sock_identity_t id = {0};
    streams_t *streams = streams_new (ctx, &id);
    Dfs__Worker worker = DFS__WORKER__INIT;
    char host[] = "a.worker";
    dfs_error_t err = {0};

    (void)state;
    worker.id = 7;
    worker.host = host;
    worker.port = 1;
    for (int i = 0; i < 3; i++)
        assert_int_equal (streams_open (streams, &worker, &err), 0);
    assert_int_equal (lookups_done, 1);
    assert_true (lookups_masked);
    worker.port = 2;
    assert_int_equal (streams_open (streams, &worker, &err), 0);
    assert_int_equal (lookups_done, 2);
    streams_destroy (&streams);
    zmq_ctx_term (ctx);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_split_covers),
        cmocka_unit_test (test_split_holes),
        cmocka_unit_test (test_source_kinds),
        cmocka_unit_test (test_slices_bounded),
        cmocka_unit_test (test_pool),
        cmocka_unit_test (test_target_appears_whole),
        cmocka_unit_test (test_target_kinds),
        cmocka_unit_test (test_extents),
        cmocka_unit_test (test_streams_by_name),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("libdfs parts", tests, make_dir, remove_dir);
}
