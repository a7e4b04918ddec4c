/* SPDX-License-Identifier: MPL-2.0 */
/* Whom a broker believes: clocks of others, hashes of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "broker/links/timekeeper.h"
#include "broker/links/witness.h"
#include "common/units.h"

#include <cmocka.h>

static void clocks_of_others (void **state)
{
    const int64_t s = (int64_t)SEC;
    static const struct {
        size_t voters, n;
        int64_t offsets[4]; /* seconds that the others' clocks are ahead */
        int64_t ahead, shift;
        bool lonely;
    } cases[] = {
        {.voters = 1},
        {.voters = 3, .n = 2, .offsets = {1, -2}},
        {.voters = 3, .n = 2, .offsets = {0, 3600}},
        {.voters = 3, .n = 2, .offsets = {-3600, -3601}, .ahead = 3600, .shift = -3600},
        {.voters = 3, .n = 2, .offsets = {60, -60}, .ahead = 60},
        {.voters = 3, .n = 1, .offsets = {60}, .ahead = -60},
        {.voters = 3, .n = 1, .offsets = {4}},
        {.voters = 3, .n = 0, .lonely = true},
        {.voters = 5, .n = 4, .offsets = {0, 1, 90, 90}},
        {.voters = 5, .n = 4, .offsets = {0, 90, 90, 91}, .ahead = -90, .shift = 90},
        {.voters = 5, .n = 1, .offsets = {0}, .lonely = true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        timekeeper_t t = {0};
        int64_t offsets[4];
        for (size_t k = 0; k < cases[i].n; k++)
            offsets[k] = cases[i].offsets[k] * s;
        timekeeper_start (&t, 1000 * SEC, 10 * SEC);
        bool other = timekeeper_compare (&t, offsets, cases[i].n, cases[i].voters);
        assert_int_equal (t.ahead, cases[i].ahead * s);
        assert_int_equal (t.shift, cases[i].shift * s);
        assert_int_equal (t.lonely, cases[i].lonely);
        assert_int_equal (other, cases[i].ahead != 0);
        assert_int_equal (timekeeper_doubted (&t), cases[i].ahead || cases[i].lonely);
        assert_int_equal (timekeeper_certain (&t),
                          !cases[i].lonely && (!cases[i].ahead || cases[i].shift));
        assert_int_equal (timekeeper_now (&t, 10000 * SEC, 9010 * SEC),
                          (10000 + cases[i].shift) * s);
        /* it was put right */
        memset (offsets, 0, sizeof offsets);
        other = timekeeper_compare (&t, offsets, cases[i].voters - 1, cases[i].voters);
        assert_int_equal (other, cases[i].ahead != 0);
        assert_false (timekeeper_doubted (&t));
    }
}

/* A clock that was wrong for an entry must not hold up for as long what waits. */
static void log_time_goes_on (void **state)
{
    const uint64_t year = 365ULL * 24 * 3600 * SEC, now = 1000 * SEC;
    (void)state;
    assert_int_equal (timekeeper_log (now, 0, 0), now);
    assert_int_equal (timekeeper_log (now, now - SEC, 2 * SEC), now);
    assert_int_equal (timekeeper_log (now, now + year, 0), now + year);
    assert_int_equal (timekeeper_log (now, now + year, 800 * SEC),
                      now + year + 700 * SEC);
    uint64_t last = now + 60 * SEC; /* ahead by so much it is caught up with */
    for (uint64_t s = 0; s < 8 * 60; s++)
        last = timekeeper_log (now + s * SEC, last, SEC);
    assert_in_range (last, now + 479 * SEC, now + 481 * SEC);
}

static witness_word_t word (uint64_t index, uint8_t what)
{
    witness_word_t w = {.index = index};
    memset (w.hash, what, sizeof w.hash);
    return w;
}

/* This broker had OWN after INDEX, the log said SAID. */
static void add (witness_t *w, uint64_t index, uint8_t own, uint8_t said)
{
    witness_word_t a = word (index, own), b = word (index, said);
    witness_add (w, index, a.hash, b.hash);
}

static void witnesses (void **state)
{
    witness_t w = {0};
    witness_word_t o[4] = {{0}};
    (void)state;
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_SOUND);
    add (&w, 10, 1, 1);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_SOUND);
    /* one other is odd, not this one */
    o[0] = word (10, 2);
    assert_true (witness_differs (&w, &o[0]));
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_SOUND);
    o[1] = word (10, 1);
    assert_false (witness_differs (&w, &o[1]));
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_SOUND);
    /* this one wrote the log, and the others agree on something else */
    o[1] = word (10, 2);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_ODD);
    o[1] = word (10, 3);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_SOUND);
    /* not like the log: in doubt until a majority is with it, or against it */
    add (&w, 20, 1, 2);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_DOUBT);
    o[0] = word (20, 2);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_DOUBT);
    o[1] = word (15, 1); /* after an entry that told nothing here */
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_DOUBT);
    o[1] = word (20, 1);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_SOUND);
    assert_int_equal (witness_judge (&w, o, 4), WITNESS_SOUND);
    /* what was the same long ago does not lift a later doubt */
    add (&w, 30, 1, 2);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_DOUBT);
    /* others are behind: old words are remembered, and the newest that all know counts
     */
    o[0] = word (20, 7);
    o[1] = word (20, 7);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_ODD);
    for (uint64_t i = 31; i < 100; i++)
        add (&w, i, 1, 1);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_DOUBT); /* forgotten */
    o[0] = word (99, 1);
    assert_int_equal (witness_judge (&w, o, 2), WITNESS_SOUND);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (clocks_of_others),
        cmocka_unit_test (log_time_goes_on),
        cmocka_unit_test (witnesses),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_agree", tests, NULL, NULL);
}
