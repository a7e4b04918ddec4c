/* SPDX-License-Identifier: MPL-2.0 */
/* Repair and drain on virtual time: workers and disks that go and come back, one by
 * one, all at once, and by the thousand; faults by seed (cases.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "t/sim/cases.h"

/* Workers come back with their data, with a listing only, or with a new disk. */
static void test_rejoin (void **state)
{
    (void)state;
    FOR_SEEDS (150)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 5,
                                 .clients = 6,
                                 .chunks = 30,
                                 .replicas = 3,
                                 .min_replicas = 2,
                                 .shared = 20,
                                 .think = 20 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);

        for (int i = 0; i < 6; i++) {
            size_t worker = rng_below (world_rng (world), 5);

            world_run (world,
                       world_now (world) + rng_below (world_rng (world), 4 * SEC));
            world_down (world, worker,
                        (enum world_down)rng_below (world_rng (world), 3));
            world_run (world,
                       world_now (world) + rng_below (world_rng (world), 8 * SEC));
            world_up (world, worker, (enum world_back)rng_below (world_rng (world), 3));
            /* An emptied disk is one copy less: let it be made before the next. */
            world_run (world, world_now (world) + 15 * SEC);
        }
        world_finish (world, 200 * SEC);
        cases_settle (world, 3);
        world_destroy (&world);
    }
}

/* From the death to full redundancy: many small chunks, and a gigabyte of large ones.
 */
static void test_repair_time (void **state)
{
    static const struct {
        size_t chunks;
        uint64_t length;
    } loads[] = {{500, 16 * KIB}, {11, 4 * MIB}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        world_config_t config = {.seed = cases_number ("SIM_SEED", 1),
                                 .workers = 3,
                                 .clients = 24,
                                 .chunks = loads[i].chunks,
                                 .length = loads[i].length,
                                 .replicas = 2,
                                 .min_replicas = 2};
        world_t *world = world_new (&config);
        uint64_t killed;

        world_finish (world, 120 * SEC);
        world_run (world, world_now (world) + SEC);
        killed = world_now (world);
        world_down (world, 0, DOWN_KILLED);
        while (!world_has_copies (world, 2) && world_now (world) < killed + 60 * SEC)
            world_run (world, world_now (world) + 10 * MS);
        print_message ("# %zu chunks of %llu KiB: redundant %.2f s after the death\n",
                       24 * loads[i].chunks, (unsigned long long)loads[i].length / KIB,
                       (double)(world_now (world) - killed) / 1e9);
        assert_true (world_now (world) - killed < 3 * SEC);
        world_destroy (&world);
    }
}

/* A worker is emptied while clients put and another one comes and goes: when it may be
 * removed, all that is committed has its copies elsewhere. */
static void test_drain (void **state)
{
    (void)state;
    FOR_SEEDS (60)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 5,
                                 .racks = seed % 2 ? 3 : 0,
                                 .clients = 8,
                                 .chunks = 30,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .shared = 30,
                                 .think = 4 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);
        rng_t *rng = world_rng (world);
        uint64_t limit;

        world_run (world, SEC + rng_below (rng, 3 * SEC));
        world_drain (world, 0, true);
        world_run (world, world_now (world) + rng_below (rng, 2 * SEC));
        world_down (world, 1, (enum world_down)rng_below (rng, 3));
        world_run (world, world_now (world) + rng_below (rng, 5 * SEC));
        if (seed % 3 == 0) {
            world_drain (world, 0, false);
            world_run (world, world_now (world) + rng_below (rng, 2 * SEC));
            world_drain (world, 0, true);
        }
        world_up (world, 1, BACK_WHOLE);
        world_finish (world, 60 * SEC);
        limit = world_now (world) + 60 * SEC;
        while (!world_drained (world, 0) && world_now (world) < limit)
            world_run (world, world_now (world) + 100 * MS);
        assert_true (world_drained (world, 0));
        world_down (world, 0, DOWN_KILLED);
        cases_settle (world, 2);
        assert_int_equal (world_stats (world)->fetch_lost, 0);
        world_destroy (&world);
    }
}

/* All at once. */
static void test_chaos (void **state)
{
    (void)state;
    FOR_SEEDS (150)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 6 + seed % 5,
                                 .racks = seed % 3 ? 4 : 0,
                                 .clients = 20,
                                 .chunks = 30,
                                 .replicas = 3,
                                 .min_replicas = 2,
                                 .shared = 20,
                                 .lost = 5,
                                 .refused = 10,
                                 .think = 20 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);
        rng_t *rng = world_rng (world);

        for (int i = 0; i < 20; i++) {
            size_t worker = rng_below (rng, config.workers);

            world_run (world, world_now (world) + rng_below (rng, 2 * SEC));
            switch (rng_below (rng, 6)) {
            case 0:
                world_vanish (world, rng_below (rng, 20));
                break;
            case 1:
                world_full (world, worker, true);
                break;
            case 2:
                world_full (world, worker, false);
                break;
            default:
                /* Never more than two away: three copies bear that. */
                world_down (world, worker, (enum world_down)rng_below (rng, 3));
                world_run (world, world_now (world) + rng_below (rng, 3 * SEC));
                world_up (world, worker,
                          rng_below (rng, 2) ? BACK_WHOLE : BACK_TRIMMED);
                break;
            }
        }
        for (size_t w = 0; w < config.workers; w++)
            world_full (world, w, false);
        world_finish (world, 300 * SEC);
        assert_int_equal (world_stats (world)->fetch_lost, 0);
        cases_settle (world, 3);
        world_destroy (&world);
    }
}

/* One disk of two goes, or comes back empty, while the worker goes on: what it had is
 * made again, and the other one's copies count on. */
static void test_disks (void **state)
{
    uint64_t lost = 0;

    (void)state;
    FOR_SEEDS (60)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 5,
                                 .clients = 6,
                                 .chunks = 30,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .shared = 20,
                                 .think = 20 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);

        for (int i = 0; i < 4; i++) {
            uint64_t limit;

            world_run (world,
                       world_now (world) + rng_below (world_rng (world), 4 * SEC));
            limit = world_now (world) + 20 * SEC;
            while (!world_has_copies (world, 2) && world_now (world) < limit)
                world_run (world, world_now (world) + 50 * MS);
            assert_true (world_has_copies (world, 2));
            world_lose_disk (world, rng_below (world_rng (world), 5),
                             rng_below (world_rng (world), WORLD_DISKS),
                             rng_below (world_rng (world), 2));
        }
        world_finish (world, 100 * SEC);
        cases_settle (world, 2);
        lost += world_stats (world)->disks_lost;
        world_destroy (&world);
    }
    assert_true (lost > 0);
}

/* A worker whose disk is slow hinders nobody but itself. */
static void test_slow (void **state)
{
    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 5,
                                 .clients = 6,
                                 .chunks = 30,
                                 .replicas = 2,
                                 .min_replicas = 2,
                                 .think = 2 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);

        world_slow (world, seed % 5, 3000);
        world_finish (world, 60 * SEC);
        world_down (world, (seed + 1) % 5, DOWN_KILLED);
        cases_settle (world, 2);
        world_destroy (&world);
    }
}

/* A thousand workers, thirty of them die, another broker leads. */
static void test_thousand (void **state)
{
    (void)state;
    FOR_SEEDS (2)
    {
        world_config_t config = {.seed = seed,
                                 .workers = 1000,
                                 .racks = 40,
                                 .clients = 60,
                                 .chunks = 20,
                                 .length = 64 * KIB,
                                 .replicas = 3,
                                 .min_replicas = 2,
                                 .think = 4 * SEC,
                                 .fetch = true};
        world_t *world = world_new (&config);

        world_run (world, SEC);
        for (int i = 0; i < 30; i++) {
            /* In two racks of the forty: three copies bear that. */
            size_t worker = rng_below (world_rng (world), 25) * 40 +
                            rng_below (world_rng (world), 2);

            world_down (world, worker,
                        (enum world_down)rng_below (world_rng (world), 3));
            world_run (world,
                       world_now (world) + rng_below (world_rng (world), 300 * MS));
            if (i == 15)
                world_new_leader (world, SEC);
        }
        world_finish (world, 60 * SEC);
        while (!world_has_copies (world, 3) && world_now (world) < 90 * SEC)
            world_run (world, world_now (world) + 100 * MS);
        world_assert_copies (world, 3);
        assert_int_equal (world_stats (world)->fetch_lost, 0);
        world_destroy (&world);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_rejoin),   cmocka_unit_test (test_repair_time),
        cmocka_unit_test (test_drain),    cmocka_unit_test (test_chaos),
        cmocka_unit_test (test_disks),    cmocka_unit_test (test_slow),
        cmocka_unit_test (test_thousand),
    };

    if (getenv ("SIM_CASE"))
        cmocka_set_test_filter (getenv ("SIM_CASE"));
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("repair_sim", tests, NULL, NULL);
}
