/* SPDX-License-Identifier: MPL-2.0 */
/* The hash table, the domains and the list of actions. */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/domains.h"
#include "broker/core/event.h"
#include "broker/core/table.h"
#include "common/rng.h"

#define KEYS 3000

static bool match_number (const void *entry, const void *key)
{
    return *(const uint64_t *)entry == *(const uint64_t *)key;
}

/* Against an array, with hashes so bad that runs are long and wrap around. */
static void test_table (void **state)
{
    static uint64_t numbers[KEYS];
    static bool there[KEYS];
    table_t *table = table_new (match_number);
    rng_t rng;
    size_t count = 0, cursor = 0, seen = 0;

    (void)state;
    memset (there, 0, sizeof there);
    rng_seed (&rng, 5);
    for (uint64_t i = 0; i < KEYS; i++)
        numbers[i] = i;
    for (int round = 0; round < 60000; round++) {
        uint64_t i = rng_below (&rng, round < 40000 ? KEYS : 100);
        uint64_t hash = (numbers[i] % 97) * 7 - 3;

        assert_ptr_equal (table_get (table, hash, &i), there[i] ? &numbers[i] : NULL);
        if (there[i]) {
            assert_ptr_equal (table_remove (table, hash, &i), &numbers[i]);
            count--;
        } else {
            table_put (table, hash, &numbers[i]);
            count++;
        }
        there[i] = !there[i];
        assert_int_equal (table_count (table), count);
    }
    for (uint64_t *entry; (entry = table_next (table, &cursor)); seen++)
        assert_true (there[*entry]);
    assert_int_equal (seen, count);
    table_destroy (&table);
    assert_null (table);
    table_destroy (&table);
}

static void test_table_shrinks (void **state)
{
    static uint64_t numbers[10000];
    table_t *table = table_new (match_number);

    (void)state;
    for (uint64_t i = 0; i < 10000; i++) {
        numbers[i] = i;
        table_put (table, table_hash (i), &numbers[i]);
    }
    for (uint64_t i = 0; i < 9990; i++)
        assert_non_null (table_remove (table, table_hash (i), &i));
    for (uint64_t i = 9990; i < 10000; i++)
        assert_ptr_equal (table_get (table, table_hash (i), &i), &numbers[i]);
    assert_int_equal (table_count (table), 10);
    table_destroy (&table);
}

static void test_domains (void **state)
{
    domains_t *domains = domains_new ();
    domain_path_t a = domains_path (domains, "dc1/rack1/host1");
    domain_path_t b = domains_path (domains, "/dc1//rack1/host2/");
    domain_path_t c = domains_path (domains, "dc2/rack1/host1");
    domain_path_t none = domains_path (domains, "");

    (void)state;
    assert_int_equal (a.depth, 3);
    assert_int_equal (b.depth, 3);
    assert_int_equal (none.depth, 0);
    assert_int_equal (domains_common (&a, &a), 3);
    assert_int_equal (domains_common (&a, &b), 2);
    /* The same rack name in another data centre is another rack. */
    assert_int_equal (domains_common (&a, &c), 0);
    assert_int_equal (domains_common (&a, &none), 0);
    c = domains_look (domains, "dc1/rack7/host1");
    assert_int_equal (c.depth, 1);
    assert_int_equal (domains_common (&a, &c), 1);
    assert_int_equal (domains_look (domains, "dc1/rack1/host1").depth, 3);
    assert_int_equal (domains_path (domains, "a/b/c/d/e/f/g/h/i/j").depth,
                      DOMAIN_DEPTH);

    domains_count (domains, &a, 1);
    domains_count (domains, &b, 1);
    assert_int_equal (domains_size (domains, a.nodes[1]), 2);
    assert_int_equal (domains_size (domains, a.nodes[2]), 1);
    domains_count (domains, &b, -1);
    assert_int_equal (domains_size (domains, a.nodes[0]), 1);
    domains_destroy (&domains);
    domains_destroy (&domains);
}

static void test_actions (void **state)
{
    actions_t *actions = actions_new ();

    (void)state;
    for (int round = 0; round < 3; round++) {
        char *texts[200];

        for (size_t i = 0; i < 200; i++) {
            actions_add (actions, ACTION_LOG)->u.log.level = (int)i;
            texts[i] = actions_alloc (actions, 1 + i * 997);
            assert_int_equal ((uintptr_t)texts[i] % 16, 0);
            assert_int_equal (texts[i][i * 997], 0);
            memset (texts[i], (int)i, 1 + i * 997);
        }
        for (size_t i = 0; i < 200; i++) {
            assert_int_equal (actions_at (actions, i)->u.log.level, (int)i);
            assert_int_equal ((uint8_t)texts[i][i * 997], i);
        }
        assert_int_equal (actions_count (actions), 200);
        actions_reset (actions);
        assert_int_equal (actions_count (actions), 0);
    }
    actions_destroy (&actions);
    actions_destroy (&actions);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_table),
        cmocka_unit_test (test_table_shrinks),
        cmocka_unit_test (test_domains),
        cmocka_unit_test (test_actions),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_table", tests, NULL, NULL);
}
