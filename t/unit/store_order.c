/* SPDX-License-Identifier: MPL-2.0 */
/* What the store promises about order when things meet: a drop that found no space and
 * a chunk sent again, a copy taken back and its reclaim, notes that a rebuild meets
 * before their copy. The disk is held still at the moment that matters. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "common/io.h"
#include "t/lib/storetest.h"
#include "worker/store/store_private.h"

enum { STORED = 1, GONE = 2 };

/* --- a disk that can be held still --- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    enum io_op op; /* held, and fails with ERRNUM when it goes on */
    int errnum;
    bool closed;
    unsigned waiting;
    unsigned failed;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static int before (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int n,
                   void *arg)
{
    (void)fd, (void)path, (void)path2, (void)offset, (void)len, (void)iov, (void)n;
    (void)arg;
    pthread_mutex_lock (&gate.lock);
    int rc = 0;
    if (op == gate.op && gate.closed) {
        gate.waiting++;
        pthread_cond_broadcast (&gate.cond);
        while (gate.closed)
            pthread_cond_wait (&gate.cond, &gate.lock);
        rc = gate.errnum;
        gate.failed += rc != 0;
    }
    pthread_mutex_unlock (&gate.lock);
    return rc;
}

static void gate_close (enum io_op op, int errnum)
{
    pthread_mutex_lock (&gate.lock);
    gate.op = op;
    gate.errnum = errnum;
    gate.waiting = 0;
    gate.closed = true;
    pthread_mutex_unlock (&gate.lock);
}

static void gate_wait (void)
{
    pthread_mutex_lock (&gate.lock);
    while (gate.waiting == 0)
        pthread_cond_wait (&gate.cond, &gate.lock);
    pthread_mutex_unlock (&gate.lock);
}

static void gate_open (void)
{
    pthread_mutex_lock (&gate.lock);
    gate.closed = false;
    pthread_cond_broadcast (&gate.cond);
    pthread_mutex_unlock (&gate.lock);
}

/* A store behind the gate. */
static void begin (storetest_t *t)
{
    static const io_hook_t hook = {.before = before};
    io_set_hook (&hook);
    storetest_init (t, 1);
    storetest_open (t);
}

static void end (storetest_t *t)
{
    storetest_end (t);
    io_set_hook (NULL);
}

static copykey_t key_of (uint64_t seed, size_t len)
{
    copykey_t key;
    free (storetest_chunk (seed, len, &key, NULL));
    return key;
}

/* --- */

/* The drop finds no space and waits; the chunk is sent again meanwhile: what was sent
 * after the drop is not what the drop meant. */
static void a_drop_that_waits_for_space_keeps_its_turn (void **state)
{
    (void)state;
    storetest_t t;
    dfs_error_t err;
    begin (&t);
    copykey_t key = key_of (1, 5000);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 1), 0);
    store_inventory (t.store, 0, NULL, NULL, 0, NULL, &err);
    gate_close (IO_PWRITE, ENOSPC);
    assert_int_equal (store_drop (t.store, &key, 5, &err), 0);
    gate_wait ();
    int64_t cookie = storetest_put (&t, 1, 5000, 9);
    assert_true (cookie >= 0);
    gate_open ();
    assert_int_equal (storetest_wait (&t, cookie), 0);
    storetest_wait_changes (&t, GONE, 1);
    assert_true (gate.failed > 0);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    storetest_close (&t);
    assert_int_equal (t.n_changes, 3);
    assert_int_equal (t.changes[1].kind, GONE);
    assert_int_equal (t.changes[2].kind, STORED);
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    end (&t);
}

/* An operator was told that the copy is back: the keeper, whose turn it is, leaves it.
 */
static void what_is_on_its_way_back_is_not_freed (void **state)
{
    (void)state;
    static const size_t sizes[] = {5000, 300 * 1024};
    storetest_t t;
    dfs_error_t err;
    begin (&t);
    for (size_t i = 0; i < 2; i++) {
        copykey_t key = key_of (i, sizes[i]);
        assert_int_equal (storetest_put_wait (&t, i, sizes[i], 1), 0);
        assert_int_equal (store_drop (t.store, &key, 5, &err), 0);
        storetest_wait_changes (&t, GONE, 2 * i + 1);
        store_inventory (t.store, 0, NULL, NULL, 0, NULL, &err);
        gate_close (IO_FDATASYNC, 0);
        assert_int_equal (store_restore (t.store, &key, &err), 0);
        gate_wait ();
        assert_int_equal (disk_reclaim (t.store->disks[0], UINT64_MAX, UINT64_MAX, &err), 0);
        gate_open ();
        storetest_wait_changes (&t, STORED, 3 * i + 2);
        assert_int_equal (storetest_check (&t, i, sizes[i]), 0);
        /* … and dropped again it goes. */
        assert_int_equal (store_drop (t.store, &key, 5, &err), 0);
        assert_int_equal (store_reclaim (t.store, UINT64_MAX, &err), 0);
        assert_int_equal (store_restore (t.store, &key, &err), DFS_ENOENT);
        assert_int_equal (storetest_put_wait (&t, i, sizes[i], 1), 0);
    }
    end (&t);
}

/* Folds a note or a copy of KEY as a rebuild does. */
static void fold (disk_t *disk, int type, const copykey_t *key, uint64_t seq,
                  uint64_t birth)
{
    record_t rec = {.type = (uint8_t)type,
                    .key = *key,
                    .stored_len = 100,
                    .true_len = 100,
                    .seq = seq,
                    .birth = birth,
                    .head_len = RECORD_HEAD_MIN};
    store_change_t change;
    disk_fold (disk, &rec, 0, 1, 8192 + seq * 512, &change);
}

/* Whatever the order in which a rebuild meets them, a copy has the youngest birth that
 * its notes name. */
static void a_rebuild_finds_the_youngest_birth (void **state)
{
    (void)state;
    static const int orders[][5] = {{0, 1, 2, 3, 4}, {1, 2, 3, 4, 0}, {4, 3, 2, 1, 0},
                                    {1, 0, 3, 2, 4}, {2, 4, 0, 1, 3}, {3, 4, 1, 0, 2}};
    static const int types[] = {RECORD_CHUNK, RECORD_RENEWED, RECORD_RENEWED,
                                RECORD_GONE, RECORD_BACK};
    static const uint64_t births[] = {10, 30, 20, 20, 20};
    storetest_t t;
    begin (&t);
    disk_t *disk = t.store->disks[0];
    pthread_mutex_lock (&disk->lock);
    disk->rebuilding = true;
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        copykey_t key = key_of (o, 100);
        for (size_t i = 0; i < 5; i++) {
            int which = orders[o][i];
            fold (disk, types[which], &key, 1 + (uint64_t)which, births[which]);
        }
        entry_t entry;
        assert_int_equal (index_get (disk->index, &key, &entry, NULL), 1);
        assert_int_equal (entry.state, ENTRY_LIVE);
        assert_int_equal (entry.birth, 30);
        assert_int_equal (entry.seq, 1);
        assert_int_equal (entry.last_seq, 5);
        disk_forget (disk, &key, &entry);
    }
    disk->rebuilding = false;
    pthread_mutex_unlock (&disk->lock);
    end (&t);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_drop_that_waits_for_space_keeps_its_turn),
        cmocka_unit_test (what_is_on_its_way_back_is_not_freed),
        cmocka_unit_test (a_rebuild_finds_the_youngest_birth),
    };
    storetest_quiet ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("store_order", tests, NULL, NULL);
}
