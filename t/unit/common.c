/* SPDX-License-Identifier: MPL-2.0 */
/* common/: what everything else stands on. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/filetime.h"
#include "common/arena.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/io.h"
#include "common/kv.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "common/resolve.h"
#include "common/rng.h"
#include "common/timer.h"
#include "common/units.h"

static void test_error (void **state)
{
    (void)state;
    dfs_error_t err;
    assert_int_equal (fail (&err, DFS_ENOSPC, "volume %d", 3), DFS_ENOSPC);
    assert_string_equal (err.text, "volume 3");
    assert_int_equal (wrap (&err, "put %s", "/a"), DFS_ENOSPC);
    assert_string_equal (err.text, "put /a: volume 3");
    errno = EIO;
    assert_int_equal (fail_errno (&err, "x"), DFS_EIO);
    assert_non_null (strstr (err.text, "Input/output"));
    assert_int_equal (fail (NULL, DFS_EIO, "no object"), DFS_EIO);
    assert_string_equal (dfs_error_name (DFS_ELOST), "DFS_ELOST");
    assert_int_equal (dfs_error_status (DFS_EDAMAGED), 7);
    assert_string_equal (dfs_error_name (-9999), "DFS_EINTERNAL");
    /* A prefix that does not fit cuts the text and leaves a string. */
    char big[600];
    memset (big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    wrap (&err, "%s", big);
    assert_int_equal (strlen (err.text), sizeof err.text - 1);
}

static void test_filetime (void **state)
{
    (void)state;
    static const struct {
        struct timespec time;
        int64_t packed;
    } known[] = {{{0, 0}, 0},
                 {{1, 5}, 1000000005},
                 {{-1, 999999998}, -2},
                 {{-157766400, 250000000}, -157766399750000000},
                 {{-1, 0}, -1000000000},
                 {{8835811200, 0}, 8835811200000000000}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint64_t packed = filetime_pack (known[i].time);
        assert_int_equal ((int64_t)packed, known[i].packed);
        struct timespec back = filetime_unpack (packed);
        assert_int_equal (back.tv_sec, known[i].time.tv_sec);
        assert_int_equal (back.tv_nsec, known[i].time.tv_nsec);
    }
    /* Not "not given"; and what is too far is the farthest. */
    assert_int_equal (filetime_pack ((struct timespec){-1, 999999999}), 0);
    assert_int_equal (filetime_pack ((struct timespec){INT64_MAX / 4, 0}), INT64_MAX);
    assert_int_equal ((int64_t)filetime_pack ((struct timespec){INT64_MIN / 4, 0}),
                      INT64_MIN);
    assert_int_equal (filetime_unpack ((uint64_t)INT64_MIN).tv_sec, -9223372037);
}

static void test_units (void **state)
{
    (void)state;
    uint64_t v;
    assert_int_equal (units_parse_size ("4MiB", &v, NULL), 0);
    assert_int_equal (v, 4 << 20);
    assert_int_equal (units_parse_size ("123", &v, NULL), 0);
    assert_int_equal (v, 123);
    static const char *const bad_sizes[] = {"99999999TiB", "4 MiB", "-1", "",
                                            "MiB",         "1.5MiB"};
    for (size_t i = 0; i < sizeof bad_sizes / sizeof bad_sizes[0]; i++)
        assert_int_equal (units_parse_size (bad_sizes[i], &v, NULL), DFS_EINVAL);
    assert_int_equal (units_parse_duration ("2500ms", &v, NULL), 0);
    assert_int_equal (v, 2500 * MS);
    assert_int_equal (units_parse_duration ("7d", &v, NULL), 0);
    assert_int_equal (v, 7 * 24 * 3600 * SEC);
    assert_int_equal (units_parse_duration ("1y", &v, NULL), DFS_EINVAL);
    char text[32];
    assert_string_equal (units_format_size (text, sizeof text, 1536 * 1024),
                         "1.50 MiB");
}

static void test_digest (void **state)
{
    (void)state;
    uint8_t sum[32], again[32];
    char hex[65];
    digest_sha256 ("abc", 3, sum); /* FIPS 180-2, B.1 */
    digest_hex (sum, 32, hex);
    assert_string_equal (
        hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_t *d = digest_new ();
    for (int i = 0; i < 2; i++) {
        digest_start (d);
        digest_update (d, "a", 1);
        digest_update (d, "bc", 2);
        digest_finish (d, again);
        assert_memory_equal (sum, again, 32);
    }
    digest_destroy (&d);
    assert_null (d);
    assert_int_equal (digest_crc32c (0, "123456789", 9), 0xe3069283);
    assert_int_equal (digest_crc32c (digest_crc32c (0, "1234", 4), "56789", 5),
                      0xe3069283);
    static uint8_t data[DIGEST_BLOCK + 7];
    uint32_t crcs[2];
    assert_int_equal (digest_blocks (data, sizeof data, crcs), 2);
    assert_int_equal (crcs[1], digest_crc32c (0, data, 7));
    assert_int_equal (digest_blocks (data, 0, crcs), 0);
    assert_int_equal (digest_unhex (hex, again, 32), 0);
    assert_memory_equal (sum, again, 32);
    assert_int_equal (digest_unhex ("0g", again, 1), -1);
    assert_int_equal (digest_unhex ("001", again, 1), -1);
    /* RFC 4231, test case 2. */
    digest_hmac ("Jefe", 4, "what do ya want for nothing?", 28, sum);
    digest_hex (sum, 32, hex);
    assert_string_equal (
        hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_arena (void **state)
{
    (void)state;
    arena_t *a = arena_new (100000);
    for (int round = 0; round < 3; round++) {
        size_t got = 0;
        void *p;
        while ((p = arena_alloc (a, 1000))) {
            assert_int_equal ((uintptr_t)p % 16, 0);
            memset (p, round, 1000);
            got++;
        }
        assert_int_equal (got, 100000 / 1008);
        assert_null (arena_alloc (a, SIZE_MAX - 8));
        arena_reset (a);
    }
    assert_string_equal (arena_dup (a, "abcd", 3), "abc");
    arena_destroy (&a);
}

/* Buffers that share a region do not share bytes; the last region is a small one. */
static void test_buf_regions (void **state)
{
    (void)state;
    enum { SIZE = 768 * 1024, COUNT = 5 };
    buf_pool_t *pool = buf_pool_new (SIZE, COUNT);
    for (int round = 0; round < 2; round++) {
        uint8_t *bufs[COUNT];
        for (int i = 0; i < COUNT; i++) {
            bufs[i] = buf_wait (pool);
            assert_int_equal ((uintptr_t)bufs[i] % 4096, 0);
            memset (bufs[i], i + 1, SIZE);
        }
        assert_null (buf_get (pool));
        for (int i = 0; i < COUNT; i++)
            for (size_t at = 0; at < SIZE; at += 512)
                assert_int_equal (bufs[i][at], i + 1);
        for (int i = 0; i < COUNT; i++)
            buf_put (pool, bufs[i]);
        assert_int_equal (buf_free_count (pool), COUNT);
    }
    buf_pool_destroy (&pool);
}

static void test_buf_pool (void **state)
{
    (void)state;
    buf_pool_t *pool = buf_pool_new (8192, 2);
    struct pollfd p = {.fd = buf_pool_fd (pool), .events = POLLIN};
    void *a = buf_get (pool);
    void *b = buf_get (pool);
    assert_non_null (a);
    assert_non_null (b);
    assert_null (buf_get (pool));
    assert_int_equal (poll (&p, 1, 0), 0);
    buf_free_callback (a, pool);
    assert_int_equal (poll (&p, 1, 0), 1);
    assert_int_equal (buf_free_count (pool), 1);
    buf_put (pool, b);
    buf_pool_destroy (&pool);
}

static void *pusher (void *arg)
{
    for (uintptr_t i = 1; i <= 10000; i++)
        mailbox_push (arg, (void *)i);
    return NULL;
}

static void test_mailbox (void **state)
{
    (void)state;
    mailbox_t *box = mailbox_new ();
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal (pthread_create (&t[i], NULL, pusher, box), 0);
    uintptr_t sum = 0;
    for (int n = 0; n < 20000; n++) {
        void *item = mailbox_wait (box, 10000);
        while (!item)
            item = mailbox_wait (box, 10000);
        sum += (uintptr_t)item;
    }
    for (int i = 0; i < 2; i++)
        pthread_join (t[i], NULL);
    assert_int_equal (sum, 2 * (10000ULL * 10001 / 2));
    assert_null (mailbox_pop (box));
    /* A reader that pops one of several still finds the descriptor readable. */
    mailbox_push (box, (void *)1);
    mailbox_push (box, (void *)2);
    assert_ptr_equal (mailbox_pop (box), (void *)1);
    struct pollfd p = {.fd = mailbox_fd (box), .events = POLLIN};
    assert_int_equal (poll (&p, 1, 0), 1);
    assert_ptr_equal (mailbox_pop (box), (void *)2);
    assert_null (mailbox_pop (box));
    assert_int_equal (poll (&p, 1, 0), 0);
    mailbox_destroy (&box, NULL);
}

static void test_timer (void **state)
{
    (void)state;
    timer_heap_t *h = timer_heap_new ();
    rng_t rng;
    rng_seed (&rng, 7);
    uint64_t due[500] = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t when = rng_below (&rng, 500);
        due[when]++;
        timer_heap_add (h, when, 1, i);
    }
    uint32_t kind;
    uint64_t id;
    for (uint64_t now = 0; now < 500; now++) {
        uint64_t n = 0;
        while (timer_heap_pop (h, now, &kind, &id))
            n++;
        assert_int_equal (n, due[now]);
    }
    assert_int_equal (timer_heap_size (h), 0);
    assert_true (timer_heap_next (h) == UINT64_MAX);
    timer_heap_add (h, 5, 1, 10);
    timer_heap_add (h, 5, 1, 11);
    assert_int_equal (timer_heap_pop (h, 4, &kind, &id), 0);
    assert_int_equal (timer_heap_pop (h, 5, &kind, &id), 1);
    assert_int_equal (id, 10);
    timer_heap_destroy (&h);
}

static void test_resolve (void **state)
{
    (void)state;
    char out[64];
    assert_int_equal (resolve_host ("127.0.0.1", out, sizeof out, 0, NULL), 0);
    assert_string_equal (out, "127.0.0.1");
    assert_int_equal (resolve_host ("[::1]", out, sizeof out, 0, NULL), 0);
    assert_string_equal (out, "[::1]");
    assert_int_equal (resolve_host ("::1", out, sizeof out, 0, NULL), 0);
    assert_string_equal (out, "[::1]");
    assert_int_equal (resolve_host ("localhost", out, sizeof out, 5000, NULL), 0);
    assert_true (!strcmp (out, "127.0.0.1") || !strcmp (out, "[::1]"));
}

static void test_quote (void **state)
{
    (void)state;
    char out[64];
    assert_string_equal (log_quote (out, sizeof out, "plain/path"), "plain/path");
    assert_string_equal (log_quote (out, sizeof out, "two words"), "\"two words\"");
    assert_string_equal (log_quote (out, sizeof out, "a\nb\xff"), "\"a\\x0ab\\xff\"");
    char small[16];
    assert_true (strlen (log_quote (small, sizeof small,
                                    "xxxxxxxxxxxxxxxxxxxxxxxxxx")) < sizeof small);
}

static int refuse (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int n,
                   void *arg)
{
    (void)fd, (void)path, (void)path2, (void)offset, (void)len, (void)iov, (void)n;
    return op == *(enum io_op *)arg ? EIO : 0;
}

static void test_io (void **state)
{
    (void)state;
    char dir[] = "/tmp/dfs-common-XXXXXX";
    assert_non_null (mkdtemp (dir));
    char path[64], lock[64], pid[16];
    snprintf (path, sizeof path, "%s/f", dir);
    dfs_error_t err;
    assert_int_equal (io_replace (path, "one", 3, 0600, &err), 0);
    /* A replace that fails leaves the old content. */
    enum io_op op = IO_FSYNC;
    io_set_hook (&(io_hook_t){.before = refuse, .arg = &op});
    assert_int_equal (io_replace (path, "two", 3, 0600, &err), DFS_EIO);
    io_set_hook (NULL);
    void *data;
    size_t len;
    assert_int_equal (io_slurp (path, 100, &data, &len, &err), 0);
    assert_string_equal (data, "one");
    free (data);
    assert_int_equal (io_slurp (path, 2, &data, &len, &err), DFS_ETOOBIG);
    int fd = io_open (path, O_RDWR, 0, &err);
    assert_true (fd >= 0);
    char a[] = "a", bc[] = "bc";
    struct iovec iov[3] = {{a, 1}, {a, 0}, {bc, 2}};
    assert_int_equal (io_pwritev (fd, iov, 3, 3, &err), 0);
    char buf[8] = "";
    assert_int_equal (io_pread (fd, buf, 6, 0, &err), 0);
    assert_string_equal (buf, "oneabc");
    assert_int_equal (io_pread (fd, buf, 7, 0, &err), DFS_EIO);
    io_close (fd);
    snprintf (lock, sizeof lock, "%s/lock", dir);
    int held = io_lock (lock, &err);
    assert_true (held >= 0);
    assert_int_equal (io_lock (lock, &err), DFS_EINUSE);
    snprintf (pid, sizeof pid, "%d", (int)getpid ());
    assert_non_null (strstr (err.text, pid));
    io_close (held);
    held = io_lock (lock, &err);
    assert_true (held >= 0);
    io_close (held);
    unlink (lock);
    unlink (path);
    assert_int_equal (rmdir (dir), 0);
}

static void test_kv (void **state)
{
    (void)state;
    char dir[] = "/tmp/dfs-kv-XXXXXX";
    assert_non_null (mkdtemp (dir));
    dfs_error_t err;
    static const char *const tables[] = {"a", "b"};
    kv_t *kv = kv_open (dir, tables, 2, 1 << 24, 0, &err);
    assert_non_null (kv);
    MDB_txn *txn = kv_begin (kv, true, &err);
    assert_int_equal (kv_put (kv, txn, 1, "k", 1, "value", 5, &err), 0);
    const void *v;
    size_t len;
    assert_int_equal (kv_get (kv, txn, 1, "k", 1, &v, &len, &err), 1);
    assert_int_equal (len, 5);
    assert_int_equal (kv_get (kv, txn, 0, "k", 1, &v, &len, &err), 0);
    assert_int_equal (kv_del (kv, txn, 1, "x", 1, &err), 0);
    assert_int_equal (kv_commit (kv, &txn, &err), 0);
    kv_close (&kv);
    kv = kv_open (dir, tables, 2, 1 << 24, 0, &err);
    txn = kv_begin (kv, false, &err);
    assert_int_equal (kv_get (kv, txn, 1, "k", 1, &v, &len, &err), 1);
    kv_abort (&txn);
    kv_close (&kv);
    char path[64];
    snprintf (path, sizeof path, "%s/data.mdb", dir);
    unlink (path);
    snprintf (path, sizeof path, "%s/lock.mdb", dir);
    unlink (path);
    assert_int_equal (rmdir (dir), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_error),       cmocka_unit_test (test_units),
        cmocka_unit_test (test_filetime),    cmocka_unit_test (test_digest),
        cmocka_unit_test (test_arena),       cmocka_unit_test (test_buf_pool),
        cmocka_unit_test (test_buf_regions), cmocka_unit_test (test_mailbox),
        cmocka_unit_test (test_timer),       cmocka_unit_test (test_resolve),
        cmocka_unit_test (test_quote),       cmocka_unit_test (test_io),
        cmocka_unit_test (test_kv),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("common", tests, NULL, NULL);
}
