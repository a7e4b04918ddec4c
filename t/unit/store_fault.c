/* SPDX-License-Identifier: MPL-2.0 */
/* The fault loop: the same mixed load again and again, and in each round another
 * operation of the disk fails once, or the machine loses power there. Afterwards every
 * chunk that was acknowledged is there and whole, and every change that was told
 * stands. Then each sync call of the store is muted in turn: the loop must notice.
 * DFS_LONG=1 runs every operation instead of a sample. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/rng.h"
#include "msgs/node.h"
#include "t/lib/iofault.h"
#include "t/lib/storetest.h"

#define KIB 1024
enum { STORED = 1, GONE = 2, DAMAGED = 3, RENEWED = 4 };
enum { CHUNKS = 40 };

/* What the load believes about a chunk. */
typedef struct belief {
    bool stored;    /* acknowledged, no drop asked since */
    bool maybe;     /* asked, not acknowledged: there or not, but never wrong */
    uint64_t birth; /* acknowledged */
} belief_t;

typedef struct load {
    storetest_t t;
    belief_t beliefs[CHUNKS];
    uint64_t incarnation; /* first seen */
    char why[200];        /* first thing that is wrong */
} load_t;

static size_t size_of (uint64_t i)
{
    static const size_t sizes[] = {100, 5000, 65536, 70 * KIB, 150 * KIB};
    return sizes[i % 5] + (i % 5 == 1 ? i : 0);
}

static void wrong (load_t *l, const char *what, uint64_t i, int code)
{
    if (!l->why[0])
        snprintf (l->why, sizeof l->why, "%s: chunk %llu, %d (%s)", what,
                  (unsigned long long)i, code, dfs_error_text (code));
}

static void settle (load_t *l, const int64_t *cookies, uint64_t from, uint64_t to,
                    uint64_t birth)
{
    for (uint64_t i = from; i < to; i++) {
        int code = storetest_wait (&l->t, cookies[i - from]);
        if (code == DFS_OK || code == DFS_EEXIST) {
            l->beliefs[i].stored = true;
            l->beliefs[i].maybe = false;
            if (birth > l->beliefs[i].birth)
                l->beliefs[i].birth = birth;
        } else if (!l->beliefs[i].stored) {
            l->beliefs[i].maybe = true;
        }
    }
}

static void put_some (load_t *l, uint64_t from, uint64_t to, uint64_t birth)
{
    int64_t cookies[CHUNKS];
    for (uint64_t i = from; i < to; i++)
        cookies[i - from] = storetest_put (&l->t, i, size_of (i), birth);
    settle (l, cookies, from, to, birth);
}

static void drop_some (load_t *l, uint64_t from, uint64_t to, uint64_t step)
{
    dfs_error_t err;
    for (uint64_t i = from; i < to; i += step) {
        copykey_t key;
        free (storetest_chunk (i, size_of (i), &key, NULL));
        store_drop (l->t.store, &key, UINT64_MAX, &err);
        l->beliefs[i] = (belief_t){.maybe = true};
    }
}

static bool open_store (load_t *l)
{
    dfs_error_t err = {0};
    l->t.store = store_open (&l->t.config, &err);
    return l->t.store != NULL;
}

/* Writes the first 64 KiB; NULL when it may not. */
static store_append_t *begin_large (load_t *l, uint64_t seed, size_t len,
                                    int64_t cookie)
{
    store_new_t what = {.true_len = len, .stored_len = len, .birth = 1};
    uint32_t *crcs;
    dfs_error_t err;
    uint8_t *data = storetest_chunk (seed, len, &what.key, &crcs);
    store_append_t *append = store_begin (l->t.store, &what, (uint64_t)cookie, &err);
    if (append)
        store_write (append, 0, data, 64 * KIB, crcs, &err);
    free (data);
    free (crcs);
    return append;
}

/* Everything the store does, in an order that does not depend on time. */
static void run_load (load_t *l)
{
    dfs_error_t err;
    if (!open_store (l))
        return;
    store_disk_t disk;
    store_disks (l->t.store, &disk, 1);
    l->incarnation = disk.incarnation;
    put_some (l, 0, 12, 1);
    store_inventory (l->t.store, 0, NULL, NULL, 0, NULL, &err); /* a checkpoint */
    put_some (l, 12, 24, 1);
    put_some (l, 3, 9, 2); /* renewed births */
    drop_some (l, 0, 24, 3);
    store_reclaim (l->t.store, UINT64_MAX, &err);
    put_some (l, 24, 32, 1);
    storetest_close (&l->t);
    if (!open_store (l))
        return;
    drop_some (l, 1, 24, 3);
    put_some (l, 0, 4, 5);
    store_reclaim (l->t.store, UINT64_MAX, &err);
    store_compact (l->t.store, 100, &err);
    put_some (l, 32, CHUNKS, 1);
    store_scrub (l->t.store, UINT64_MAX, UINT64_MAX, &err);
    /* An append that is under way when the store goes. */
    store_append_t *append = begin_large (l, 99, 300 * KIB, 0);
    put_some (l, 4, 8, 6);
    store_abort (&append);
}

/* A large chunk begun in one volume and sealed from the next. */
static void run_short_load (load_t *l)
{
    enum { I = 4 };
    if (!open_store (l))
        return;
    put_some (l, 0, 3, 1);
    int64_t cookie = storetest_cookie (&l->t);
    store_append_t *append = begin_large (l, I, size_of (I), cookie);
    put_some (l, 9, 10, 1);
    put_some (l, 14, 15, 1);
    put_some (l, 19, 20, 1);
    put_some (l, 24, 25, 1);
    dfs_error_t err;
    uint32_t *crcs;
    copykey_t key;
    uint8_t *data = storetest_chunk (I, size_of (I), &key, &crcs);
    if (!append || store_write (append, 64 * KIB, data + 64 * KIB,
                                size_of (I) - 64 * KIB, crcs + 1, &err) < 0)
        cookie = storetest_void (&l->t, (uint64_t)cookie, DFS_EIO);
    free (data);
    free (crcs);
    if (cookie >= 0)
        store_seal (&append);
    store_abort (&append);
    settle (l, &cookie, I, I + 1, 1);
}

static void check_changes (load_t *l)
{
    store_disk_t disk;
    store_disks (l->t.store, &disk, 1);
    static store_change_t changes[1000];
    dfs_error_t err;
    uint64_t told = l->t.n_changes ? l->t.changes[l->t.n_changes - 1].seq : 0;
    if (l->incarnation && disk.incarnation != l->incarnation)
        wrong (l, "another incarnation", disk.incarnation, 0);
    if (disk.last_seq < told)
        wrong (l, "a change that was told is forgotten", told, 0);
    int n = store_changes (l->t.store, 0, disk.first_seq, changes, 1000, &err);
    if (n < 0)
        wrong (l, "changes", 0, n);
    for (size_t i = 0; n > 0 && i < l->t.n_changes; i++) {
        const store_change_t *was = &l->t.changes[i];
        if (was->seq < disk.first_seq)
            continue;
        if (was->seq - disk.first_seq >= (uint64_t)n) {
            wrong (l, "a change is missing", was->seq, 0);
            continue;
        }
        const store_change_t *now = &changes[was->seq - disk.first_seq];
        if (now->seq != was->seq || now->kind != was->kind ||
            now->birth != was->birth || copykey_cmp (&now->key, &was->key) != 0)
            wrong (l, "a change is another one now", was->seq, 0);
    }
}

static void check_chunks (load_t *l)
{
    for (uint64_t i = 0; i < CHUNKS; i++) {
        const belief_t *b = &l->beliefs[i];
        int rc = storetest_check (&l->t, i, size_of (i));
        if (b->stored && rc != DFS_OK)
            wrong (l, "acknowledged and lost", i, rc);
        if (!b->stored && rc != DFS_OK && rc != DFS_ENOENT)
            wrong (l, "neither there nor away", i, rc);
        if (!b->stored && !b->maybe && rc != DFS_ENOENT)
            wrong (l, "there, nobody stored it", i, rc);
        if (!b->stored || rc != DFS_OK)
            continue;
        store_info_t info;
        dfs_error_t err;
        copykey_t key;
        free (storetest_chunk (i, size_of (i), &key, NULL));
        if (store_find (l->t.store, &key, &info, &err) != 1 || info.birth < b->birth)
            wrong (l, "an acknowledged birth is forgotten", i, 0);
    }
}

/* What is visible now must survive the next power loss: the store served it. */
static void note_visible (load_t *l)
{
    for (uint64_t i = 0; i < CHUNKS; i++) {
        store_info_t info;
        dfs_error_t err;
        copykey_t key;
        free (storetest_chunk (i, size_of (i), &key, NULL));
        bool there = store_find (l->t.store, &key, &info, &err) == 1;
        l->beliefs[i].stored = there;
        l->beliefs[i].maybe = false;
        l->beliefs[i].birth = there ? info.birth : 0;
    }
}

static bool reopen_and_check (load_t *l)
{
    if (!open_store (l)) {
        wrong (l, "does not open", 0, 0);
        return false;
    }
    check_chunks (l);
    check_changes (l);
    return true;
}

enum kind { FAIL_EIO, FAIL_ENOSPC, POWER, KILL_THEN_POWER, KINDS };

/* Ways to the disk: by the ring, by threads, buffered. */
enum { WAYS = 3 };

static void set_way (load_t *l, uint64_t way)
{
    l->t.config.no_ring = way > 0;
    l->t.config.no_direct = way > 1;
}

static const char *const kind_names[] = {"an I/O error", "no space", "power loss",
                                         "kill, then power loss"};

/* One round; returns false when no operation was left to hit. */
static bool run_round (void (*load) (load_t *l), enum kind kind, uint64_t k,
                       uint64_t seed, uint64_t way, uint64_t muted, char *why,
                       size_t cap)
{
    load_t *l = calloc (1, sizeof *l);
    assert_non_null (l);
    storetest_init (&l->t, 1);
    l->t.config.volume_size = 600 * KIB;
    l->t.config.compact_rate = 1;
    set_way (l, way);
    iofault_start (l->t.root);
    iofault_mute (muted);
    iofault_arm (k, kind == FAIL_ENOSPC ? ENOSPC : EIO, kind >= POWER);
    load (l);
    storetest_close (&l->t);
    bool fired = iofault_fired ();
    iofault_arm (0, 0, false);
    if (kind == POWER)
        iofault_lose (seed);
    if (reopen_and_check (l) && kind == KILL_THEN_POWER) {
        /* The page cache outlived the process; what it showed is lost only now. */
        note_visible (l);
        iofault_arm (1, EIO, true);
        storetest_close (&l->t);
        iofault_lose (seed);
        if (!reopen_and_check (l))
            wrong (l, "does not open again", 0, 0);
    }
    if (l->t.store && !l->why[0]) { /* it goes on as if nothing had been */
        uint64_t last = CHUNKS - 1;
        int rc = storetest_put_wait (&l->t, last, size_of (last), 99);
        if (rc != DFS_OK && rc != DFS_EEXIST)
            wrong (l, "cannot be written afterwards", last, rc);
        else
            l->beliefs[last] = (belief_t){.stored = true, .birth = 99};
        storetest_close (&l->t);
        reopen_and_check (l);
    }
    iofault_mute (0);
    storetest_close (&l->t);
    iofault_stop ();
    snprintf (why, cap, "%s", l->why);
    storetest_end (&l->t);
    free (l);
    return fired;
}

static uint64_t count_operations (void (*load) (load_t *l), uint64_t way)
{
    char why[200];
    run_round (load, FAIL_EIO, 0, 1, way, 0, why, sizeof why);
    assert_string_equal (why, "");
    load_t *l = calloc (1, sizeof *l);
    storetest_init (&l->t, 1);
    l->t.config.volume_size = 600 * KIB;
    l->t.config.compact_rate = 1;
    set_way (l, way);
    iofault_start (l->t.root);
    load (l);
    storetest_close (&l->t);
    uint64_t n = iofault_count ();
    iofault_stop ();
    storetest_end (&l->t);
    free (l);
    return n;
}

static bool is_long (void)
{
    return getenv ("DFS_LONG") != NULL;
}

static void loop_load (void (*load) (load_t *l), enum kind kind, uint64_t way,
                       uint64_t rounds)
{
    uint64_t n = count_operations (load, way);
    rounds = is_long () ? n : rounds;
    uint64_t repeats = is_long () && kind >= POWER ? 3 : 1;
    uint64_t fired = 0;
    for (uint64_t r = 0; r < rounds * repeats; r++) {
        uint64_t k = 1 + (r % rounds) * n / rounds;
        char why[200];
        fired += run_round (load, kind, k, r + 1, way, 0, why, sizeof why);
        if (why[0])
            print_error ("# %s at operation %llu of %llu (way %llu, seed %llu): %s\n",
                         kind_names[kind], (unsigned long long)k, (unsigned long long)n,
                         (unsigned long long)way, (unsigned long long)(r + 1), why);
        assert_string_equal (why, "");
    }
    assert_true (fired >= rounds * repeats / 2);
    print_message ("# way %llu: %llu rounds, %llu faults, %llu operations per round\n",
                   (unsigned long long)way, (unsigned long long)(rounds * repeats),
                   (unsigned long long)fired, (unsigned long long)n);
}

static void loop_over (enum kind kind)
{
    for (uint64_t way = 0; way < WAYS; way++) {
        loop_load (run_load, kind, way, 9);
        loop_load (run_short_load, kind, way, 4);
    }
}

/* A disk that cannot be written says so, takes nothing more and serves what it has. */
static void one_failure_stops_writing (int errnum, int condition, int code)
{
    storetest_t t;
    storetest_init (&t, 1);
    iofault_start (t.root);
    storetest_open (&t);
    assert_int_equal (storetest_put_wait (&t, 1, 5000, 1), 0);
    assert_int_equal (storetest_put_wait (&t, 2, 150 * KIB, 1), 0);
    store_inventory (t.store, 0, NULL, NULL, 0, NULL, NULL);
    iofault_arm (1, errnum, false);
    assert_int_equal (storetest_put_wait (&t, 3, 5000, 1), code);
    for (uint64_t i = 4; i < 8; i++)
        assert_int_equal (storetest_put_wait (&t, i, size_of (i), 1), code);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    assert_int_equal (disk.condition, condition);
    assert_true (disk.usable && disk.trouble[0]);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    assert_int_equal (storetest_check (&t, 2, 150 * KIB), 0);
    copykey_t key;
    dfs_error_t err;
    free (storetest_chunk (1, 5000, &key, NULL));
    assert_int_equal (store_drop (t.store, &key, 9, &err), code);
    storetest_close (&t);
    iofault_stop ();
    storetest_open (&t);
    assert_int_equal (storetest_check (&t, 1, 5000), 0);
    assert_int_equal (storetest_check (&t, 2, 150 * KIB), 0);
    assert_int_equal (storetest_put_wait (&t, 3, 5000, 1), 0);
    storetest_end (&t);
}

static void a_failing_disk_serves_what_it_has (void **state)
{
    (void)state;
    one_failure_stops_writing (EIO, CONDITION_FAILING, DFS_EIO);
    one_failure_stops_writing (EROFS, CONDITION_READ_ONLY, DFS_EROFS);
}

static void io_errors_lose_nothing (void **state)
{
    (void)state;
    loop_over (FAIL_EIO);
}

static void lack_of_space_loses_nothing (void **state)
{
    (void)state;
    loop_over (FAIL_ENOSPC);
}

static void power_loss_loses_nothing (void **state)
{
    (void)state;
    loop_over (POWER);
}

static void what_a_restart_shows_is_durable (void **state)
{
    (void)state;
    loop_over (KILL_THEN_POWER);
}

/* Without any one of its syncs the store must fail the loop above. */
static void each_sync_is_needed (void **state)
{
    (void)state;
    uint64_t n = count_operations (run_load, 0);
    uint64_t n_short = count_operations (run_short_load, 0);
    /* Let recovery's own syncs be met, too. */
    char why[200];
    for (uint64_t k = 5; k < n; k += n / 8)
        run_round (run_load, k % 2 ? POWER : KILL_THEN_POWER, k, k, k % WAYS, 0, why,
                   sizeof why);
    for (uint64_t k = 5; k < n_short; k++)
        run_round (run_short_load, KILL_THEN_POWER, k, k, k % WAYS, 0, why, sizeof why);
    uint64_t sites[64];
    size_t count = iofault_sites (sites, 64);
    assert_true (count >= 6);
    uint64_t first = is_long () ? 2 * n : 60; /* of the long load */
    uint64_t tries = first + 3000;            /* some need a rare order */
    size_t unnoticed = 0;
    for (size_t i = 0; i < count; i++) {
        bool noticed = false;
        rng_t rng;
        rng_seed (&rng, i + 1);
        uint64_t r = 0;
        for (; r < tries && !noticed; r++) {
            enum kind kind = r % 3 == 2 ? KILL_THEN_POWER : POWER;
            bool sweep = r >= first; /* every operation of the short load in turn */
            uint64_t k = sweep ? 1 + r % (n_short + 5) : 1 + rng_below (&rng, n);
            uint64_t way = sweep ? r / (n_short + 5) : r;
            run_round (sweep ? run_short_load : run_load,
                       sweep ? KILL_THEN_POWER : kind, k, rng_next (&rng), way % WAYS,
                       sites[i], why, sizeof why);
            noticed = why[0] != 0;
        }
        print_message ("# sync %zu%s: %s after %llu rounds%s%s\n", i,
                       iofault_site_name (sites[i]), noticed ? "missed" : "NOT MISSED",
                       (unsigned long long)r, noticed ? ": " : "", why);
        unnoticed += !noticed;
    }
    assert_int_equal (unnoticed, 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_failing_disk_serves_what_it_has),
        cmocka_unit_test (io_errors_lose_nothing),
        cmocka_unit_test (lack_of_space_loses_nothing),
        cmocka_unit_test (power_loss_loses_nothing),
        cmocka_unit_test (what_a_restart_shows_is_durable),
        cmocka_unit_test (each_sync_is_needed),
    };
    storetest_quiet ();
    if (!getenv ("TMPDIR") && access ("/dev/shm", W_OK) == 0)
        setenv ("TMPDIR", "/dev/shm", 1);
    cmocka_set_message_output (CM_OUTPUT_TAP);
    const char *only = getenv ("DFS_ONLY");
    if (only)
        cmocka_set_test_filter (only);
    return cmocka_run_group_tests_name ("store_fault", tests, NULL, NULL);
}
