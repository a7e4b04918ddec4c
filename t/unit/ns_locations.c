/* SPDX-License-Identifier: MPL-2.0 */
/* Locations: changes in sequence, inventories, a disposable table. */
#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/locations.h"
#include "common/rng.h"
#include "msgs/control.pb-c.h"

enum {
    STORED = DFS__LOCATION_KIND__LOCATION_STORED,
    GONE = DFS__LOCATION_KIND__LOCATION_GONE,
    DAMAGED = DFS__LOCATION_KIND__LOCATION_DAMAGED,
    RENEWED = DFS__LOCATION_KIND__LOCATION_RENEWED,
};

typedef struct fixture {
    char dir[64];
    locations_t *l;
} fixture_t;

static const uint8_t s1[16] = "store-1", s2[16] = "store-2";

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove (path);
}

static int setup (void **state)
{
    fixture_t *fx = calloc (1, sizeof *fx);
    strcpy (fx->dir, "/tmp/dfs-loc-XXXXXX");
    assert_non_null (mkdtemp (fx->dir));
    fx->l = locations_open (fx->dir, NULL);
    assert_non_null (fx->l);
    *state = fx;
    return 0;
}

static int teardown (void **state)
{
    fixture_t *fx = *state;
    locations_close (&fx->l);
    nftw (fx->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free (fx);
    return 0;
}

static void reopen (fixture_t *fx)
{
    locations_close (&fx->l);
    fx->l = locations_open (fx->dir, NULL);
    assert_non_null (fx->l);
}

static copykey_t key_of (int n)
{
    copykey_t key = {0};
    key.digest[0] = (uint8_t)(n >> 8);
    key.digest[1] = (uint8_t)n;
    return key;
}

static int change (fixture_t *fx, uint32_t worker, const uint8_t store[16],
                   uint64_t incarnation, uint64_t seq, int kind, int n, uint64_t birth)
{
    copykey_t key = key_of (n);
    return locations_change (fx->l, worker, store, incarnation, seq, kind, &key, birth,
                             1000, NULL);
}

static int find (fixture_t *fx, int n, location_t out[LOCATIONS_MAX])
{
    copykey_t key = key_of (n);
    return locations_find (fx->l, &key, out, NULL);
}

static void changes_come_in_sequence (void **state)
{
    fixture_t *fx = *state;
    location_t out[LOCATIONS_MAX];
    uint64_t seq;
    assert_int_equal (locations_mark (fx->l, 1, s1, 7, &seq), 0);
    assert_int_equal (change (fx, 1, s1, 7, 2, STORED, 1, 5), DFS_ESTALE);
    assert_int_equal (locations_mark (fx->l, 1, s1, 7, &seq), 0);
    assert_int_equal (change (fx, 1, s1, 7, 1, STORED, 1, 5), 0);
    assert_int_equal (change (fx, 1, s1, 7, 1, STORED, 2, 5), DFS_ESTALE);
    assert_int_equal (change (fx, 1, s1, 7, 3, STORED, 2, 5), DFS_ESTALE);
    assert_int_equal (find (fx, 2, out), 0);
    assert_int_equal (change (fx, 1, s1, 7, 2, STORED, 2, 6), 0);
    assert_int_equal (change (fx, 1, s2, 7, 1, STORED, 2, 7), 0);
    assert_int_equal (change (fx, 2, s1, 7, 1, STORED, 2, 8), 0);
    assert_int_equal (locations_mark (fx->l, 1, s1, 7, &seq), 1);
    assert_int_equal (seq, 2);
    assert_int_equal (find (fx, 2, out), 3);
    assert_int_equal (out[0].worker, 1);
    assert_int_equal (out[0].birth, 6);
    assert_int_equal (out[0].length, 1000);
    assert_int_not_equal (out[0].disk, out[1].disk);
    assert_int_equal (out[2].worker, 2);
    assert_int_equal (change (fx, 1, s1, 7, 3, RENEWED, 2, 60), 0);
    assert_int_equal (change (fx, 1, s2, 7, 2, DAMAGED, 2, 0), 0);
    assert_int_equal (change (fx, 2, s1, 7, 2, GONE, 2, 0), 0);
    assert_int_equal (change (fx, 2, s1, 7, 3, GONE, 99, 0), 0);
    assert_int_equal (change (fx, 2, s1, 7, 4, 17, 2, 0), DFS_EPROTO);
    assert_int_equal (find (fx, 2, out), 2);
    assert_int_equal (out[0].birth, 60);
    assert_false (out[0].damaged);
    assert_true (out[1].damaged);
    uint64_t copies, bytes;
    locations_count (fx->l, 1, &copies, &bytes);
    assert_int_equal (copies, 3);
    assert_int_equal (bytes, 3000);
    locations_count (fx->l, 2, &copies, &bytes);
    assert_int_equal (copies, 0);
    assert_int_equal (bytes, 0);
    size_t n;
    locations_held_t *held = locations_held (fx->l, &n);
    copies = bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (held[i].worker == 1) {
            copies += held[i].copies;
            bytes += held[i].bytes;
        }
    free (held);
    assert_int_equal (copies, 3);
    assert_int_equal (bytes, 3000);
}

static void what_was_committed_is_there_after_a_restart (void **state)
{
    fixture_t *fx = *state;
    location_t out[LOCATIONS_MAX];
    uint64_t seq;
    assert_int_equal (change (fx, 1, s1, 7, 1, STORED, 1, 5), 0);
    reopen (fx);
    assert_int_equal (locations_mark (fx->l, 1, s1, 7, &seq), 1);
    assert_int_equal (seq, 1);
    assert_int_equal (find (fx, 1, out), 1);
    assert_int_equal (change (fx, 1, s1, 7, 2, STORED, 2, 5), 0);
}

static void another_incarnation_starts_from_nothing (void **state)
{
    fixture_t *fx = *state;
    location_t out[LOCATIONS_MAX];
    uint64_t seq, copies, bytes;
    assert_int_equal (change (fx, 1, s1, 7, 1, STORED, 1, 5), 0);
    assert_int_equal (change (fx, 1, s1, 7, 2, STORED, 2, 5), 0);
    assert_int_equal (locations_mark (fx->l, 1, s1, 8, &seq), 0);
    assert_int_equal (seq, 0);
    assert_int_equal (change (fx, 1, s1, 8, 3, STORED, 3, 5), DFS_ESTALE);
    assert_int_equal (find (fx, 1, out), 1);
    assert_int_equal (change (fx, 1, s1, 8, 1, STORED, 3, 5), 0);
    assert_int_equal (find (fx, 1, out), 0);
    assert_int_equal (find (fx, 3, out), 1);
    locations_count (fx->l, 1, &copies, &bytes);
    assert_int_equal (copies, 1);
    assert_int_equal (locations_commit (fx->l, NULL), 0);
    reopen (fx);
    assert_int_equal (find (fx, 2, out), 0);
}

static void an_inventory_replaces_what_was_known (void **state)
{
    fixture_t *fx = *state;
    location_t out[LOCATIONS_MAX];
    uint64_t seq, copies, bytes;
    for (int i = 1; i <= 5; i++)
        assert_int_equal (change (fx, 1, s1, 7, (uint64_t)i, STORED, i, 5), 0);
    copykey_t key = key_of (4);
    assert_int_equal (locations_inventory_copy (fx->l, 1, s1, &key, 9, 10, NULL),
                      DFS_ESTALE);
    assert_int_equal (locations_inventory_begin (fx->l, 1, s1, 8, NULL), 0);
    assert_int_equal (locations_inventory_copy (fx->l, 1, s1, &key, 9, 10, NULL), 0);
    key = key_of (40);
    assert_int_equal (locations_inventory_copy (fx->l, 1, s1, &key, 9, 20, NULL), 0);
    assert_int_equal (locations_inventory_copy (fx->l, 1, s1, &key, 9, 20, NULL), 0);
    assert_int_equal (find (fx, 5, out), 1); /* until it is complete */
    assert_int_equal (find (fx, 40, out), 0);
    assert_int_equal (locations_inventory_end (fx->l, 1, s1, 7, 100, NULL), DFS_ESTALE);
    assert_int_equal (locations_inventory_end (fx->l, 1, s1, 8, 100, NULL), 0);
    assert_int_equal (find (fx, 5, out), 0);
    assert_int_equal (find (fx, 40, out), 1);
    assert_int_equal (find (fx, 4, out), 1);
    assert_int_equal (out[0].birth, 9);
    assert_int_equal (locations_mark (fx->l, 1, s1, 8, &seq), 1);
    assert_int_equal (seq, 100);
    locations_count (fx->l, 1, &copies, &bytes);
    assert_int_equal (copies, 2);
    assert_int_equal (bytes, 30);
    assert_int_equal (change (fx, 1, s1, 8, 101, STORED, 41, 5), 0);
    /* one that broke off with the process is forgotten */
    assert_int_equal (locations_inventory_begin (fx->l, 1, s1, 8, NULL), 0);
    key = key_of (50);
    assert_int_equal (locations_inventory_copy (fx->l, 1, s1, &key, 9, 10, NULL), 0);
    reopen (fx);
    assert_int_equal (locations_inventory_end (fx->l, 1, s1, 8, 200, NULL), DFS_ESTALE);
    assert_int_equal (find (fx, 50, out), 0);
    assert_int_equal (find (fx, 41, out), 1);
    /* so is one of which a page could not be stored: its end does not complete it */
    assert_int_equal (locations_inventory_begin (fx->l, 1, s1, 8, NULL), 0);
    assert_int_equal (locations_inventory_copy (fx->l, 1, s1, &key, 9, 10, NULL), 0);
    assert_int_equal (locations_inventory_abort (fx->l, 1, s1, NULL), 0);
    assert_int_equal (locations_inventory_copy (fx->l, 1, s1, &key, 9, 10, NULL),
                      DFS_ESTALE);
    assert_int_equal (locations_inventory_end (fx->l, 1, s1, 8, 200, NULL), DFS_ESTALE);
    assert_int_equal (find (fx, 50, out), 0);
    assert_int_equal (find (fx, 41, out), 1);
}

static void copies_of_a_worker_come_in_key_order (void **state)
{
    fixture_t *fx = *state;
    copykey_t keys[7];
    uint64_t seq1 = 0, seq2 = 0;
    for (int i = 1; i <= 20; i++)
        assert_int_equal (i % 3 ? change (fx, 1, s1, 7, ++seq1, STORED, 21 - i, 5)
                                : change (fx, 1, s2, 7, ++seq2, STORED, 21 - i, 5),
                          0);
    assert_int_equal (change (fx, 1, s2, 7, ++seq2, STORED, 1, 5), 0); /* on both */
    int total = 0, n;
    copykey_t last;
    while ((n = locations_of_worker (fx->l, 1, total ? &last : NULL, keys, 7, NULL)) >
           0)
        for (int i = 0; i < n; i++) {
            last = keys[i];
            copykey_t want = key_of (++total);
            assert_int_equal (copykey_cmp (&last, &want), 0);
        }
    assert_int_equal (n, 0);
    assert_int_equal (total, 20);
    assert_int_equal (locations_of_worker (fx->l, 2, NULL, keys, 7, NULL), 0);
}

static void a_removed_worker_is_forgotten_bit_by_bit (void **state)
{
    fixture_t *fx = *state;
    location_t out[LOCATIONS_MAX];
    uint64_t copies, bytes;
    for (int i = 1; i <= 100; i++) {
        assert_int_equal (change (fx, 1, s1, 7, (uint64_t)i, STORED, i, 5), 0);
        assert_int_equal (change (fx, 2, s1, 7, (uint64_t)i, STORED, i, 5), 0);
    }
    int calls = 1;
    while (locations_forget (fx->l, 1, 30, NULL) == 1) {
        assert_int_equal (find (fx, 50, out), 1);
        calls++;
    }
    assert_int_equal (calls, 4);
    locations_count (fx->l, 1, &copies, &bytes);
    assert_int_equal (copies, 0);
    assert_int_equal (find (fx, 100, out), 1);
    assert_int_equal (out[0].worker, 2);
    assert_int_equal (locations_forget (fx->l, 1, 30, NULL), 0);
}

static void a_damaged_table_is_made_anew (void **state)
{
    fixture_t *fx = *state;
    char path[128];
    uint64_t seq;
    assert_int_equal (change (fx, 1, s1, 7, 1, STORED, 1, 5), 0);
    locations_close (&fx->l);
    snprintf (path, sizeof path, "%s/locations/data.mdb", fx->dir);
    FILE *file = fopen (path, "r+");
    assert_non_null (file);
    for (int i = 0; i < 8192; i++)
        fputc ('x', file);
    fclose (file);
    fx->l = locations_open (fx->dir, NULL);
    assert_non_null (fx->l);
    assert_int_equal (locations_mark (fx->l, 1, s1, 7, &seq), 0);
    assert_int_equal (change (fx, 1, s1, 7, 1, STORED, 1, 5), 0);
}

/* Stores that come, begin anew, list and go, against a plain model: each is found
 * by its number and by its name whatever else changed. */
static void many_stores (void **state)
{
    enum { WORKERS = 60, STORES = 3 };
    static struct {
        uint64_t incarnation, seq;
        bool has;
    } model[WORKERS][STORES];
    fixture_t *fx = *state;
    location_t out[LOCATIONS_MAX];
    rng_t rng;

    memset (model, 0, sizeof model);
    rng_seed (&rng, 7);
    for (int i = 0; i < 6000; i++) {
        uint32_t w = (uint32_t)rng_below (&rng, WORKERS);
        uint32_t s = (uint32_t)rng_below (&rng, STORES);
        uint64_t dice = rng_below (&rng, 100);
        uint8_t store[16] = {1, (uint8_t)s, (uint8_t)(w % 7)};
        copykey_t key = key_of ((int)w);

        if (dice < 10 || model[w][s].incarnation == 0) {
            model[w][s].incarnation = (uint64_t)i + 1;
            model[w][s].seq = 0;
            model[w][s].has = false;
        }
        if (dice < 15 && model[w][s].seq > 0) {
            assert_int_equal (locations_inventory_begin (fx->l, w + 1, store,
                                                         model[w][s].incarnation, NULL),
                              0);
            model[w][s].has = dice % 2;
            if (model[w][s].has)
                assert_int_equal (
                    locations_inventory_copy (fx->l, w + 1, store, &key, 5, 1000, NULL),
                    0);
            assert_int_equal (locations_inventory_end (fx->l, w + 1, store,
                                                       model[w][s].incarnation,
                                                       ++model[w][s].seq, NULL),
                              0);
        } else if (dice < 18) {
            for (int rc = 1; rc != 0;) {
                rc = locations_forget (fx->l, w + 1, 100, NULL);
                assert_in_range (rc, 0, 1);
            }
            memset (model[w], 0, sizeof model[w]);
        } else {
            model[w][s].has = dice > 40;
            assert_int_equal (change (fx, w + 1, store, model[w][s].incarnation,
                                      ++model[w][s].seq,
                                      model[w][s].has ? STORED : GONE, (int)w, 5),
                              0);
        }
        if (i % 1500 == 1499) {
            assert_int_equal (locations_commit (fx->l, NULL), 0);
            reopen (fx);
        }
        w = (uint32_t)rng_below (&rng, WORKERS);
        int n = 0;
        for (s = 0; s < STORES; s++)
            n += model[w][s].has;
        assert_int_equal (find (fx, (int)w, out), n);
        for (int k = 0; k < n; k++)
            assert_int_equal (out[k].worker, w + 1);
    }
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (changes_come_in_sequence),
        TEST (what_was_committed_is_there_after_a_restart),
        TEST (another_incarnation_starts_from_nothing),
        TEST (an_inventory_replaces_what_was_known),
        TEST (copies_of_a_worker_come_in_key_order),
        TEST (a_removed_worker_is_forgotten_bit_by_bit),
        TEST (a_damaged_table_is_made_anew),
        TEST (many_stores),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("locations", tests, NULL, NULL);
}
