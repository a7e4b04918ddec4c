/* SPDX-License-Identifier: MPL-2.0 */
/* Puts on virtual time: a cluster of fake workers and clients, faults by seed
 * (cases.h), until what was committed has all its copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/dfs_error.h"
#include "t/sim/cases.h"

static void test_quiet (void **state)
{
    (void)state;
    FOR_SEEDS (150)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 3 + seed % 4,
                                 .clients = 8,
                                 .chunks = 20,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .shared = 20,
                                 .fetch = true};
        world_t *world = world_new (&config);

        world_finish (world, 5 * SEC);
        assert_int_equal (world_stats (world)->committed, 8);
        assert_int_equal (world_stats (world)->again, 0);
        assert_int_equal (world_stats (world)->missing, 0);
        assert_int_equal (world_stats (world)->fetched, 8 * 20);
        assert_int_equal (world_stats (world)->refetched, 0);
        assert_int_equal (world_stats (world)->replicated, 0);
        cases_settle (world, 2);
        world_destroy (&world);
    }
}

static void test_replays (void **state)
{
    uint64_t traces[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        world_config_t config = {.seed = 42,
                                 .workers = 5,
                                 .clients = 10,
                                 .chunks = 20,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .refused = 50,
                                 .lost = 20};
        world_t *world = world_new (&config);

        world_run (world, 50 * MS);
        world_down (world, 1, DOWN_KILLED);
        world_finish (world, 120 * SEC);
        traces[i] = world_stats (world)->trace;
        world_destroy (&world);
    }
    assert_int_equal (traces[0], traces[1]);
}

/* A put that runs while a worker dies ends well, and the copies come back. */
static void test_worker_dies_during_put (void **state)
{
    uint64_t again = 0;

    (void)state;
    FOR_SEEDS (150)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 4,
                                 .clients = 6,
                                 .chunks = 40,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .shared = 10,
                                 .fetch = true};
        world_t *world = world_new (&config);

        world_run (world, rng_below (world_rng (world), 300 * MS));
        world_down (world, seed % 4, (enum world_down) (seed % 3));
        world_finish (world, 15 * SEC);
        again += world_stats (world)->again + world_stats (world)->replicated;
        assert_int_equal (world_stats (world)->refusals, 0);
        assert_int_equal (world_stats (world)->fetch_lost, 0);
        cases_settle (world, 2);
        world_destroy (&world);
    }
    if (cases_number ("SIM_SEEDS", 150) >= 60)
        assert_true (again > 0);
}

/* Three copies, two workers of four dead: fewer copies are taken, and shown. */
static void test_two_workers_dead (void **state)
{
    (void)state;
    FOR_SEEDS (100)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 4,
                                 .clients = 4,
                                 .chunks = 20,
                                 .replicas = 3,
                                 .min_replicas = 2,
                                 .think = 6 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);
        core_status_t status;

        world_run (world, SEC + rng_below (world_rng (world), SEC));
        world_down (world, 0, DOWN_KILLED);
        world_run (world, world_now (world) + rng_below (world_rng (world), 3 * SEC));
        world_down (world, 1, (enum world_down) (seed % 3));
        world_finish (world, 40 * SEC);
        assert_int_equal (world_stats (world)->committed, 4);
        assert_int_equal (world_stats (world)->fetch_lost, 0);
        cases_settle (world, 2);
        core_status (world_core (world), &status);
        assert_true (status.under_replicated > 0);
        assert_int_equal (status.lost, 0);
        assert_int_equal (status.health, HEALTH_DEGRADED);
        world_up (world, 0, BACK_WHOLE);
        cases_settle (world, 3);
        core_status (world_core (world), &status);
        assert_int_equal (status.under_replicated, 0);
        world_destroy (&world);
    }
}

/* Below the least number writes fail; they go on when a worker is back. */
static void test_too_few (void **state)
{
    (void)state;
    FOR_SEEDS (100)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 2,
                                 .clients = 2,
                                 .chunks = 5,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .think = 1};
        world_t *world = world_new (&config);

        world_down (world, 1, (enum world_down) (seed % 3));
        world_run (world, 12 * SEC);
        assert_int_equal (world_stats (world)->committed, 0);
        assert_true (world_stats (world)->refusals > 0);
        assert_int_equal (world_stats (world)->last_refusal, DFS_ENOREPLICAS);
        world_up (world, 1, BACK_WHOLE);
        world_finish (world, 20 * SEC);
        cases_settle (world, 2);
        world_destroy (&world);
    }
}

static void test_refused (void **state)
{
    (void)state;
    FOR_SEEDS (100)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 4,
                                 .clients = 6,
                                 .chunks = 30,
                                 .replicas = 3,
                                 .min_replicas = 2,
                                 .refused = 150};
        world_t *world = world_new (&config);

        world_finish (world, 30 * SEC);
        assert_true (world_stats (world)->again > 0);
        assert_true (world_stats (world)->replicated > 0);
        cases_settle (world, 3);
        world_destroy (&world);
    }
}

/* Chunks that never arrive: the deadline of their grant finds them. */
static void test_lost (void **state)
{
    (void)state;
    FOR_SEEDS (100)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 4,
                                 .clients = 6,
                                 .chunks = 30,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .lost = 60};
        world_t *world = world_new (&config);

        world_finish (world, 200 * SEC);
        assert_true (world_stats (world)->again > 0);
        cases_settle (world, 2);
        world_destroy (&world);
    }
}

/* A hundred clients with chunks of 64 MiB: no window is ever given out twice. */
static void test_credit (void **state)
{
    (void)state;
    FOR_SEEDS (15)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 2 + seed % 3,
                                 .clients = 100,
                                 .chunks = 4,
                                 .length = 64 * MIB,
                                 .replicas = 2,
                                 .min_replicas = 2};
        world_t *world = world_new (&config);

        world_finish (world, 300 * SEC);
        assert_int_equal (world_stats (world)->committed, 100);
        assert_true (world_stats (world)->most_granted <= 88 * MIB);
        assert_true (world_stats (world)->most_granted > 64 * MIB);
        cases_settle (world, 2);
        world_destroy (&world);
    }
}

static void test_sessions_vanish (void **state)
{
    (void)state;
    FOR_SEEDS (150)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 4,
                                 .clients = 20,
                                 .chunks = 20,
                                 .length = seed % 2 ? 32 * MIB : 0,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .shared = 30,
                                 .refused = 20,
                                 .fetch = true};
        world_t *world = world_new (&config);

        for (int i = 0; i < 12; i++) {
            world_run (world,
                       world_now (world) + rng_below (world_rng (world), 60 * MS));
            world_vanish (world, rng_below (world_rng (world), 20));
        }
        world_finish (world, 200 * SEC);
        cases_settle (world, 2);
        world_destroy (&world);
    }
}

/* A full worker refuses, is avoided, and does not hinder anybody. */
static void test_full (void **state)
{
    (void)state;
    FOR_SEEDS (100)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 4,
                                 .clients = 6,
                                 .chunks = 30,
                                 .replicas = 2,
                                 .min_replicas = 2};
        world_t *world = world_new (&config);

        world_run (world, 20 * MS);
        world_full (world, seed % 4, true);
        world_finish (world, 20 * SEC);
        cases_settle (world, 2);
        world_destroy (&world);
    }
}

/* Messages from and to workers get lost and come twice: reports that something is
 * stored, orders, acknowledgements. */
static void test_messages (void **state)
{
    uint64_t lost = 0, doubled = 0, again = 0;

    (void)state;
    FOR_SEEDS (60)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 5,
                                 .clients = 6,
                                 .chunks = 30,
                                 .replicas = 3,
                                 .min_replicas = 2,
                                 .shared = 20,
                                 .dropped = 30,
                                 .doubled = 50,
                                 .think = 4 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);

        world_run (world, rng_below (world_rng (world), 4 * SEC));
        world_down (world, seed % 5, DOWN_KILLED);
        world_finish (world, 300 * SEC);
        cases_settle (world, 3);
        lost += world_stats (world)->lost;
        doubled += world_stats (world)->doubled;
        again += world_stats (world)->again_sent;
        world_destroy (&world);
    }
    assert_true (lost > 0 && doubled > 0 && again > 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_quiet),
        cmocka_unit_test (test_replays),
        cmocka_unit_test (test_worker_dies_during_put),
        cmocka_unit_test (test_two_workers_dead),
        cmocka_unit_test (test_too_few),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_lost),
        cmocka_unit_test (test_credit),
        cmocka_unit_test (test_sessions_vanish),
        cmocka_unit_test (test_full),
        cmocka_unit_test (test_messages),
    };

    if (getenv ("SIM_CASE"))
        cmocka_set_test_filter (getenv ("SIM_CASE"));
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("put_sim", tests, NULL, NULL);
}
