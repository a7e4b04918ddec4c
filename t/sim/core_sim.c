/* SPDX-License-Identifier: MPL-2.0 */
/* The core on virtual time: a cluster of fake workers and clients, faults by seed. Each
 * case runs many seeds; a seed that fails is printed, and SIM_SEED=n SIM_SEEDS=1
 * replays it. SIM_SEEDS sets how many are run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/dfs_error.h"
#include "t/sim/world.h"

static uint64_t first_seed (void)
{
    const char *text = getenv ("SIM_SEED");

    return text ? strtoull (text, NULL, 10) : 1;
}

static uint64_t seeds (uint64_t usual)
{
    const char *text = getenv ("SIM_SEEDS");

    return text ? strtoull (text, NULL, 10) : usual;
}

#define FOR_SEEDS(usual)                                                               \
    world_case = __func__;                                                             \
    for (uint64_t seed = first_seed (), end = seed + seeds (usual); seed < end; seed++)

/* Everything is quiet, and what was committed has all its copies again. */
static void settle (world_t *world, size_t copies)
{
    uint64_t limit = world_now (world) + 60 * SEC;
    core_status_t status;

    while (!world_has_copies (world, copies) && world_now (world) < limit)
        world_run (world, world_now (world) + 100 * MS);
    world_assert_copies (world, copies);
    world_run (world, world_now (world) + 60 * SEC);
    /* A late pass may just have found copies that stand too close together. */
    limit = world_now (world) + 60 * SEC;
    do {
        world_run (world, world_now (world) + 100 * MS);
        core_status (world_core (world), &status);
    } while (status.repair_active > 0 && world_now (world) < limit);
    world_assert_copies (world, copies);
    world_assert_idle (world);
}

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
        settle (world, 2);
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
        settle (world, 2);
        world_destroy (&world);
    }
    if (seeds (150) >= 60)
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
        settle (world, 2);
        core_status (world_core (world), &status);
        assert_true (status.under_replicated > 0);
        assert_int_equal (status.lost, 0);
        assert_int_equal (status.health, HEALTH_DEGRADED);
        world_up (world, 0, BACK_WHOLE);
        settle (world, 3);
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
        settle (world, 2);
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
        settle (world, 3);
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
        settle (world, 2);
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
        settle (world, 2);
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
        settle (world, 2);
        world_destroy (&world);
    }
}

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
        settle (world, 3);
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
        settle (world, 2);
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
        world_config_t config = {.seed = first_seed (),
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
        settle (world, 2);
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
        settle (world, 3);
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
        settle (world, 3);
        lost += world_stats (world)->lost;
        doubled += world_stats (world)->doubled;
        again += world_stats (world)->again_sent;
        world_destroy (&world);
    }
    assert_true (lost > 0 && doubled > 0 && again > 0);
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
        settle (world, 2);
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
        settle (world, 2);
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
        cmocka_unit_test (test_quiet),
        cmocka_unit_test (test_replays),
        cmocka_unit_test (test_worker_dies_during_put),
        cmocka_unit_test (test_two_workers_dead),
        cmocka_unit_test (test_too_few),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_lost),
        cmocka_unit_test (test_credit),
        cmocka_unit_test (test_sessions_vanish),
        cmocka_unit_test (test_rejoin),
        cmocka_unit_test (test_full),
        cmocka_unit_test (test_repair_time),
        cmocka_unit_test (test_drain),
        cmocka_unit_test (test_chaos),
        cmocka_unit_test (test_messages),
        cmocka_unit_test (test_disks),
        cmocka_unit_test (test_slow),
        cmocka_unit_test (test_thousand),
    };

    if (getenv ("SIM_CASE"))
        cmocka_set_test_filter (getenv ("SIM_CASE"));
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_sim", tests, NULL, NULL);
}
