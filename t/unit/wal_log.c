/* SPDX-License-Identifier: MPL-2.0 */
/* The log on disk: what goes in comes back, a torn tail is cut and damage is refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/journal/wal.h"
#include "common/rng.h"

#include "journal_dir.h"

#include <cmocka.h> /* last: it has a macro fail */

#define SEGMENT (64 * 1024)
#define FIRST   (SEGMENT_HEADER + RECORD_HEADER) /* a writer says that it has begun */

static wal_t *open_wal (const char *dir, bool unsynced)
{
    dfs_error_t err = {0};
    wal_t *wal = wal_open (&(wal_config_t){dir, SEGMENT, unsynced, false}, &err);
    if (!wal)
        print_error ("%s\n", err.text);
    return wal;
}

/* Content that tells index and length. */
static uint8_t *content (uint64_t index, uint64_t term, size_t len)
{
    uint8_t *data = malloc (len + 1);
    rng_t rng;
    rng_seed (&rng, index * 1000003 + term);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)rng_next (&rng);
    return data;
}

static size_t length (uint64_t index)
{
    return (size_t)(index * 37 % 300);
}

/* Appends N entries as one call of the journal would. */
static int add (wal_t *wal, size_t n, uint64_t term, size_t len, dfs_error_t *err)
{
    wal_entry_t *e = calloc (n, sizeof *e);
    uint64_t next = wal_last (wal) + 1;
    for (size_t i = 0; i < n; i++) {
        size_t l = len ? len : length (next + i);
        e[i] = (wal_entry_t){next + i, term, RECORD_COMMAND, (uint32_t)l,
                             content (next + i, term, l)};
    }
    int rc = DFS_OK;
    for (size_t i = 0; rc == DFS_OK && i < n;) {
        size_t k = 0;
        rc = wal_append (wal, e + i, n - i, &k, err);
        i += k;
    }
    for (size_t i = 0; i < n; i++)
        free ((void *)(uintptr_t)e[i].data);
    free (e);
    return rc;
}

static void expect (wal_t *wal, uint64_t from, uint64_t to, uint64_t term)
{
    while (from <= to) {
        wal_entries_t read;
        dfs_error_t err = {0};
        assert_int_equal (wal_read (wal, from, to, 5000, &read, &err), DFS_OK);
        assert_true (read.n > 0);
        for (size_t i = 0; i < read.n; i++, from++) {
            const wal_entry_t *e = &read.entries[i];
            assert_int_equal (e->index, from);
            assert_int_equal (e->term, term);
            assert_int_equal (e->type, RECORD_COMMAND);
            uint8_t *data = content (from, term, e->len);
            assert_memory_equal (e->data, data, e->len);
            free (data);
        }
        wal_entries_free (&read);
    }
}

static void test_round_trip (void **state)
{
    char *dir = *state;
    wal_t *wal = open_wal (dir, false);
    assert_int_equal (wal_first (wal), 1);
    assert_int_equal (wal_last (wal), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal (add (wal, 17, 3, 0, NULL), DFS_OK);
    expect (wal, 1, 1700, 3);
    assert_true (dir_count (dir, ".wal") > 3);
    wal_close (&wal);
    assert_null (wal);

    wal = open_wal (dir, false);
    assert_int_equal (wal_first (wal), 1);
    assert_int_equal (wal_last (wal), 1700);
    assert_int_equal (wal_term (wal, 1700), 3);
    assert_int_equal (wal_term (wal, 1701), 0);
    assert_int_equal (add (wal, 10, 4, 0, NULL), DFS_OK);
    expect (wal, 1, 1700, 3);
    expect (wal, 1701, 1710, 4);
    wal_entries_t read;
    assert_int_equal (wal_read (wal, 1700, 1711, 1, &read, NULL), DFS_ENOENT);
    /* At least one, however small the limit. */
    assert_int_equal (wal_read (wal, 5, 9, 0, &read, NULL), DFS_OK);
    assert_int_equal (read.n, 1);
    wal_entries_free (&read);
    wal_close (&wal);
}

static void test_too_big (void **state)
{
    wal_t *wal = open_wal (*state, false);
    dfs_error_t err;
    assert_int_equal (add (wal, 1, 1, wal_max_len (wal) + 1, &err), DFS_ETOOBIG);
    assert_int_equal (add (wal, 3, 1, wal_max_len (wal), &err), DFS_OK);
    expect (wal, 1, 3, 1);
    wal_close (&wal);
    wal = open_wal (*state, false);
    expect (wal, 1, 3, 1);
    wal_close (&wal);
}

/* The last bytes written before a power cut may be there or not, from any byte on, and
 * from either end: the log loses that write, no more, and goes on. */
static void test_torn_tail (void **state)
{
    char *dir = *state, *copy = dir_make ();
    wal_t *wal = open_wal (dir, false);
    assert_int_equal (add (wal, 5, 1, 40, NULL), DFS_OK);
    assert_int_equal (add (wal, 1, 1, 61, NULL), DFS_OK);
    uint64_t at = FIRST + 5 * record_size (40);
    size_t size = record_size (61);
    uint8_t whole[256], zero[256] = {0};
    segment_get (dir, 1, at, whole, size);
    for (size_t k = 0; k < size; k++)
        for (int end = 0; end < 2; end++) {
            dir_copy (dir, copy);
            if (end)
                segment_put (copy, 1, at, zero, k + 1);
            else
                segment_put (copy, 1, at + k, zero, size - k);
            uint8_t now[256];
            segment_get (copy, 1, at, now, size);
            bool same = memcmp (now, whole, size) == 0;
            wal_t *torn = open_wal (copy, false);
            assert_non_null (torn);
            assert_int_equal (wal_last (torn), same ? 6 : 5);
            if (k % 16 == 0) {
                assert_int_equal (add (torn, 3, 2, 33, NULL), DFS_OK);
                wal_close (&torn);
                torn = open_wal (copy, false);
                assert_int_equal (wal_last (torn), same ? 9 : 8);
                expect (torn, 1, 5, 1);
                expect (torn, same ? 7 : 6, same ? 9 : 8, 2);
            }
            wal_close (&torn);
        }
    wal_close (&wal);
    dir_remove (copy);
}

/* The records of a torn write that did reach the disk must not come back behind what is
 * written in the place of those that did not. */
static void test_no_ghosts (void **state)
{
    char *dir = *state, *copy = dir_make ();
    wal_t *wal = open_wal (dir, false);
    assert_int_equal (add (wal, 2, 1, 40, NULL), DFS_OK);
    assert_int_equal (add (wal, 4, 1, 40, NULL), DFS_OK);
    uint8_t zero[8] = {0};
    dir_copy (dir, copy);
    segment_put (copy, 1, FIRST + 2 * record_size (40), zero, 8);
    wal_t *torn = open_wal (copy, false);
    assert_int_equal (wal_last (torn), 2);
    assert_int_equal (add (torn, 1, 1, 40, NULL), DFS_OK);
    char *again = dir_make ();
    dir_copy (copy, again);
    wal_close (&torn);
    torn = open_wal (again, false);
    assert_int_equal (wal_last (torn), 3);
    wal_close (&torn);
    wal_close (&wal);
    dir_remove (copy);
    dir_remove (again);
}

static void refused (const char *dir, uint64_t seq, uint64_t offset)
{
    dfs_error_t err = {0};
    wal_t *wal = wal_open (&(wal_config_t){dir, SEGMENT, false, false}, &err);
    assert_null (wal);
    assert_int_equal (err.code, DFS_EDAMAGED);
    char name[64];
    snprintf (name, sizeof name, "%016" PRIx64 ".wal", seq);
    assert_non_null (strstr (err.text, name));
    snprintf (name, sizeof name, "offset %" PRIu64 ":", offset);
    if (!strstr (err.text, name))
        print_error ("%s\n", err.text);
    assert_non_null (strstr (err.text, name));
}

/* A record with a later one behind it was acknowledged: it is never taken for the end.
 */
static void test_damage (void **state)
{
    char *dir = *state, *copy = dir_make ();
    wal_t *wal = open_wal (dir, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal (add (wal, 2, 1, 40, NULL), DFS_OK);
    size_t size = record_size (40);
    uint64_t at = FIRST + 3 * size; /* second of the second group */
    for (size_t k = 0; k < size; k++) {
        uint8_t byte;
        dir_copy (dir, copy);
        segment_get (copy, 1, at + k, &byte, 1);
        byte ^= (uint8_t)(1u << (k % 8));
        segment_put (copy, 1, at + k, &byte, 1);
        refused (copy, 1, at);
        refused (copy, 1, at); /* and asking has changed nothing */
    }
    /* A sector of zeros is no end either. */
    uint8_t *zero = calloc (1, 3 * size);
    dir_copy (dir, copy);
    segment_put (copy, 1, at, zero, size);
    refused (copy, 1, at);
    dir_copy (dir, copy);
    segment_put (copy, 1, FIRST, zero, 3 * size);
    refused (copy, 1, FIRST);
    free (zero);
    wal_close (&wal);
    /* After a clean stop the last group is covered by the mark. */
    dir_copy (dir, copy);
    uint8_t bad = 0xff;
    segment_put (copy, 1, FIRST + 5 * size + 20, &bad, 1);
    refused (copy, 1, FIRST + 5 * size);
    dir_remove (copy);
}

static void test_damage_across_segments (void **state)
{
    char *dir = *state, *copy = dir_make ();
    wal_t *wal = open_wal (dir, false);
    size_t per = (SEGMENT - FIRST) / record_size (1000);
    for (size_t i = 0; i < 3 * per; i++)
        assert_int_equal (add (wal, 1, 1, 1000, NULL), DFS_OK);
    size_t size = record_size (1000);
    uint64_t last = SEGMENT_HEADER + (per - 1) * size;
    uint64_t last_of_first = last + RECORD_HEADER;
    uint8_t *zero = calloc (1, 4 * size), bad = 0x5a;
    /* The last record of a segment, damaged or gone. */
    dir_copy (dir, copy);
    segment_put (copy, 1, last_of_first + 100, &bad, 1);
    refused (copy, 1, last_of_first);
    dir_copy (dir, copy);
    segment_put (copy, 2, last, zero, size);
    refused (copy, 2, last);
    segment_put (copy, 2, last, zero, SEGMENT - last);
    refused (copy, 2, last);
    /* The first one. */
    dir_copy (dir, copy);
    segment_put (copy, 2, SEGMENT_HEADER, zero, size);
    refused (copy, 2, SEGMENT_HEADER);
    /* The header; a segment that is not there. */
    dir_copy (dir, copy);
    segment_put (copy, 2, 17, &bad, 1);
    refused (copy, 2, 0);
    dir_copy (dir, copy);
    char path[4096];
    snprintf (path, sizeof path, "%s/%016x.wal", copy, 2);
    assert_int_equal (unlink (path), 0);
    dfs_error_t err = {0};
    assert_null (wal_open (&(wal_config_t){copy, SEGMENT, false, false}, &err));
    assert_int_equal (err.code, DFS_EDAMAGED);
    assert_non_null (strstr (err.text, "0000000000000002.wal is missing"));
    /* A torn first write into the third segment is no damage. */
    wal_t *torn;
    dir_copy (dir, copy);
    for (size_t i = 1; i < per; i++)
        segment_put (copy, 3, SEGMENT_HEADER + i * size, zero, size);
    segment_put (copy, 3, SEGMENT_HEADER + 9, &bad, 1);
    torn = open_wal (copy, false);
    assert_int_equal (wal_last (torn), 2 * per);
    assert_int_equal (add (torn, 2, 1, 1000, NULL), DFS_OK);
    wal_close (&torn);
    torn = open_wal (copy, false);
    expect (torn, 1, 2 * per + 2, 1);
    wal_close (&torn);
    /* Damage while it runs is found by whoever reads. */
    segment_put (dir, 1, last_of_first + 50, &bad, 1);
    wal_entries_t read;
    assert_int_equal (wal_read (wal, per, per, 1, &read, &err), DFS_EDAMAGED);
    wal_close (&wal);
    free (zero);
    dir_remove (copy);
}

static void test_truncate (void **state)
{
    char *dir = *state;
    wal_t *wal = open_wal (dir, false);
    assert_int_equal (add (wal, 400, 1, 0, NULL), DFS_OK);
    assert_int_equal (wal_truncate (wal, 401, NULL), DFS_OK);
    assert_int_equal (wal_truncate (wal, 100, NULL), DFS_OK);
    assert_int_equal (wal_last (wal), 99);
    assert_int_equal (add (wal, 300, 2, 0, NULL), DFS_OK);
    assert_int_equal (wal_truncate (wal, 350, NULL), DFS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal (wal_last (wal), 349);
        expect (wal, 1, 99, 1);
        expect (wal, 100, 349, 2);
        wal_close (&wal);
        wal = open_wal (dir, false);
    }
    assert_int_equal (add (wal, 10, 3, 0, NULL), DFS_OK);
    wal_close (&wal);
    wal = open_wal (dir, false);
    expect (wal, 100, 349, 2);
    expect (wal, 350, 359, 3);
    wal_close (&wal);
}

static void test_trim (void **state)
{
    char *dir = *state;
    wal_t *wal = open_wal (dir, false);
    assert_int_equal (add (wal, 3000, 1, 150, NULL), DFS_OK);
    size_t before = dir_count (dir, ".wal");
    wal_trim (wal, 2900);
    assert_int_equal (wal_first (wal), 2901);
    assert_int_equal (wal_term (wal, 2900), 1);
    assert_int_equal (wal_term (wal, 2899), 0);
    expect (wal, 2901, 3000, 1);
    wal_close (&wal); /* waits for the removals */
    assert_true (before > 8);
    assert_in_range (dir_count (dir, ".wal"), 2, 3);
    wal = open_wal (dir, false);
    assert_in_range (wal_first (wal), 2, 2901);
    expect (wal, 2901, 3000, 1);
    wal_trim (wal, 3000);
    assert_int_equal (wal_first (wal), 3001);
    assert_int_equal (add (wal, 3000, 1, 150, NULL), DFS_OK);
    wal_trim (wal, 6000);
    wal_close (&wal);
    wal = open_wal (dir, false);
    assert_int_equal (wal_last (wal), 6000);
    wal_close (&wal);
}

static void test_reset (void **state)
{
    char *dir = *state;
    wal_t *wal = open_wal (dir, false);
    assert_int_equal (add (wal, 2000, 1, 150, NULL), DFS_OK);
    assert_int_equal (wal_reset (wal, 9000, 7, NULL), DFS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal (wal_first (wal), 9001);
        assert_int_equal (wal_last (wal), 9000);
        assert_int_equal (wal_term (wal, 9000), 7);
        wal_close (&wal);
        assert_in_range (dir_count (dir, ".wal"), 1, 2);
        wal = open_wal (dir, false);
    }
    assert_int_equal (add (wal, 5, 8, 0, NULL), DFS_OK);
    wal_close (&wal);
    wal = open_wal (dir, false);
    assert_int_equal (wal_first (wal), 9001);
    expect (wal, 9001, 9005, 8);
    wal_close (&wal);
}

/* Without syncs nothing says what was durable: a hole ends the log and is no damage. */
static void test_unsynced (void **state)
{
    char *dir = *state, *copy = dir_make ();
    wal_t *wal = open_wal (dir, true);
    assert_true (wal_hopeful (wal));
    usleep (50000); /* the helper has made its spare segment */
    faults_arm (IO_OPEN, 0, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal (add (wal, 1, 1, 40, NULL), DFS_OK);
    /* That the writer has begun is synced all the same. */
    assert_int_equal (faults_count (IO_FDATASYNC), 1);
    uint8_t zero[8] = {0};
    dir_copy (dir, copy);
    segment_put (copy, 1, FIRST + record_size (40), zero, 8);
    wal_t *torn = open_wal (copy, true);
    assert_int_equal (wal_last (torn), 1);
    wal_close (&torn);
    wal_close (&wal);
    dir_remove (copy);
}

/* Whichever write or sync fails first, it is the last one tried, and what was
 * acknowledged before is there afterwards. */
static void fail_each (const char *dir, enum io_op op)
{
    dfs_error_t err;
    bool reached = true;
    for (int k = 1; reached; k++) {
        char *copy = dir_make ();
        dir_copy (dir, copy);
        wal_t *wal = open_wal (copy, false);
        faults_arm (op, k, EIO);
        uint64_t good = 0;
        int rc = DFS_OK;
        for (int i = 0; rc == DFS_OK && i < 8; i++) {
            rc = add (wal, 3, 1, 4000, &err);
            if (rc == DFS_OK)
                good = wal_last (wal);
        }
        reached = rc != DFS_OK;
        if (reached) {
            assert_int_equal (rc, DFS_EIO);
            size_t done;
            assert_int_equal (wal_append (wal, &(wal_entry_t){0}, 1, &done, &err),
                              DFS_EIO);
            assert_int_equal (wal_truncate (wal, 1, &err), DFS_EIO);
        }
        wal_close (&wal);
        faults_arm (op, 0, 0);
        wal = open_wal (copy, false);
        assert_non_null (wal);
        assert_true (wal_last (wal) >= good);
        expect (wal, 1, good, 1);
        wal_close (&wal);
        dir_remove (copy);
        assert_true (k < 200);
    }
}

static void test_fail_write (void **state)
{
    wal_t *wal = open_wal (*state, false);
    wal_close (&wal);
    fail_each (*state, IO_PWRITE);
    fail_each (*state, IO_FDATASYNC);
}

/* A full disk: nothing is half-written, and it goes on when there is space. */
static void test_no_space (void **state)
{
    wal_t *wal = open_wal (*state, false);
    assert_int_equal (add (wal, 1, 1, 1000, NULL), DFS_OK);
    faults_hold (IO_FALLOCATE, ENOSPC);
    dfs_error_t err;
    int rc = DFS_OK;
    while (rc == DFS_OK)
        rc = add (wal, 1, 1, 1000, &err);
    assert_int_equal (rc, DFS_ENOSPC);
    assert_false (wal_hopeful (wal));
    uint64_t last = wal_last (wal);
    assert_int_equal (add (wal, 1, 1, 1000, &err), DFS_ENOSPC);
    assert_int_equal (wal_last (wal), last);
    faults_hold (IO_FALLOCATE, 0);
    for (int i = 0; i < 200 && !wal_hopeful (wal); i++)
        usleep (10000);
    assert_int_equal (add (wal, 200, 1, 1000, &err), DFS_OK);
    wal_close (&wal);
    wal = open_wal (*state, false);
    expect (wal, 1, last + 200, 1);
    wal_close (&wal);
}

static int setup (void **state)
{
    log_nothing ();
    faults_start ();
    *state = dir_make ();
    return 0;
}

static int teardown (void **state)
{
    faults_stop ();
    dir_remove (*state);
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown (test_too_big, setup, teardown),
        cmocka_unit_test_setup_teardown (test_torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown (test_no_ghosts, setup, teardown),
        cmocka_unit_test_setup_teardown (test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown (test_damage_across_segments, setup, teardown),
        cmocka_unit_test_setup_teardown (test_truncate, setup, teardown),
        cmocka_unit_test_setup_teardown (test_trim, setup, teardown),
        cmocka_unit_test_setup_teardown (test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown (test_unsynced, setup, teardown),
        cmocka_unit_test_setup_teardown (test_fail_write, setup, teardown),
        cmocka_unit_test_setup_teardown (test_no_space, setup, teardown),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("wal_log", tests, NULL, NULL);
}
