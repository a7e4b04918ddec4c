/* SPDX-License-Identifier: MPL-2.0 */
/* What takes copies away, on virtual time: reclaim, trim, rebalance, under deaths,
 * flaps, changes of leader and of policy. Invariants are asserted at each step: nothing
 * that is referred to loses its last good copy, no order of an earlier term is obeyed,
 * everything ends. Bugs planted on purpose must be found. SIM_SEED, SIM_SEEDS and
 * SIM_CASE choose what is run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/core/planted.h"
#include "common/dfs_error.h"
#include "t/sim/world.h"

int core_planted;

/* In a hunt no test framework is around. */
#define EXPECT(what)                                                                   \
    do {                                                                               \
        if (world_hunts && !(what))                                                    \
            _exit (1);                                                                 \
        assert_true (what);                                                            \
    } while (0)

static uint64_t number_of (const char *name, uint64_t otherwise)
{
    const char *text = getenv (name);

    return text ? strtoull (text, NULL, 10) : otherwise;
}

#define FOR_SEEDS(usual)                                                               \
    world_case = __func__;                                                             \
    for (uint64_t seed = number_of ("SIM_SEED", 1),                                    \
                  end = seed + number_of ("SIM_SEEDS", usual);                         \
         seed < end; seed++)

/* Short times, so that a run sees all of it. */
static world_config_t config_of (uint64_t seed)
{
    return (world_config_t){.seed = seed,
                            .workers = 5 + seed % 4,
                            .racks = seed % 3 ? 3 : 0,
                            .clients = 12,
                            .chunks = 20,
                            .length = 64 * KIB,
                            .replicas = 2 + seed % 2,
                            .min_replicas = 2,
                            .shared = 30,
                            .remove = 60,
                            .think = 15 * SEC,
                            .capacity = 256 * MIB,
                            .core = {.upload_timeout_ns = 6 * SEC,
                                     .reclaim_grace_ns = 4 * SEC,
                                     .pass_ns = 60 * SEC,
                                     .trim_delay_ns = 2 * SEC}};
}

/* RESUME: as soon as reclaim is held. Where answers get lost a batch of surplus copies
 * waits two minutes for them. */
static void wait_lean (world_t *world, bool resume)
{
    uint64_t limit = world_now (world) + (world_stats (world)->lost ? 1500 : 300) * SEC;

    while (!world_is_lean (world) && world_now (world) < limit) {
        world_run (world, world_now (world) + 500 * MS);
        if (resume)
            world_resume (world);
    }
    world_assert_lean (world);
}

/* Everything is quiet: the copies are what was asked for, no more and no fewer. */
static void settle_as (world_t *world, size_t copies, bool resume)
{
    uint64_t limit = world_now (world) + 120 * SEC;
    uint64_t proposals;

    while (!world_has_copies (world, copies) && world_now (world) < limit)
        world_run (world, world_now (world) + 100 * MS);
    world_assert_copies (world, copies);
    wait_lean (world, resume);
    /* Hashing may have found another bad one meanwhile. */
    limit = world_now (world) + 120 * SEC;
    while (!world_has_copies (world, copies) && world_now (world) < limit)
        world_run (world, world_now (world) + 100 * MS);
    wait_lean (world, resume);
    world_assert_copies (world, copies);
    world_run (world, world_now (world) + 20 * SEC);
    proposals = world_stats (world)->proposals;
    world_run (world, world_now (world) + 30 * SEC);
    EXPECT (world_stats (world)->proposals == proposals);
    world_assert_copies (world, copies);
    world_assert_lean (world);
    world_assert_idle (world);
}

static void settle (world_t *world, size_t copies)
{
    settle_as (world, copies, false);
}

/* Files come and go; what nothing refers to is given back, and nothing else. */
static void test_reclaim (void **state)
{
    uint64_t dropped = 0, forgotten = 0;

    (void)state;
    FOR_SEEDS (60)
    {
        world_config_t config = config_of (seed);
        world_t *world = world_new (&config);

        world_finish (world, 60 * SEC);
        settle (world, config.replicas);
        dropped += world_stats (world)->dropped;
        forgotten += world_stats (world)->forgotten;
        world_destroy (&world);
    }
    EXPECT (dropped > 0);
    EXPECT (forgotten > 0);
}

/* Clients that vanish leave chunks that no file ever referred to. */
static void test_left_over (void **state)
{
    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = config_of (seed);
        world_t *world = world_new (&config);

        for (int i = 0; i < 6; i++) {
            world_run (world, world_now (world) + rng_below (world_rng (world), SEC));
            world_vanish (world, rng_below (world_rng (world), config.clients));
        }
        world_finish (world, 60 * SEC);
        settle (world, config.replicas);
        world_destroy (&world);
    }
}

/* A worker that returns after its copies were made elsewhere: one of each goes. */
static void test_trim (void **state)
{
    uint64_t trimmed = 0;

    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = config_of (seed);
        world_t *world;

        config.remove = 0;
        config.think = SEC;
        world = world_new (&config);
        world_finish (world, 30 * SEC);
        world_down (world, 0, (enum world_down) (seed % 3));
        world_run (world, world_now (world) + 20 * SEC);
        world_up (world, 0, seed % 2 ? BACK_WHOLE : BACK_TRIMMED);
        /* Some copies are not what they seem. */
        for (int i = 0; i < 12; i++)
            world_rot (world, rng_below (world_rng (world), config.workers));
        settle (world, config.replicas);
        trimmed += world_stats (world)->trimmed;
        world_destroy (&world);
    }
    EXPECT (trimmed > 0);
}

/* More copies, then fewer again. */
static void test_policy (void **state)
{
    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = config_of (seed);
        world_t *world;

        config.replicas = 2;
        world = world_new (&config);
        world_run (world, 2 * SEC + rng_below (world_rng (world), 10 * SEC));
        world_policy (world, 4);
        world_run (world, world_now (world) + rng_below (world_rng (world), 20 * SEC));
        world_policy (world, 2);
        world_finish (world, 60 * SEC);
        settle (world, 2);
        world_destroy (&world);
    }
}

/* Two empty workers beside full ones: evened out, and then it stops. */
static void test_rebalance (void **state)
{
    (void)state;
    FOR_SEEDS (12)
    {
        world_config_t config = config_of (seed);
        world_t *world;
        uint64_t limit, moved;
        core_status_t status;

        config.remove = 0;
        config.think = SEC;
        config.clients = 16;
        config.chunks = 30;
        config.length = 256 * KIB;
        config.workers = 6;
        config.capacity = 100 * MIB;
        world = world_new (&config);
        world_down (world, 4, DOWN_KILLED);
        world_down (world, 5, DOWN_KILLED);
        world_finish (world, 60 * SEC);
        world_run (world, world_now (world) + 10 * SEC);
        world_up (world, 4, BACK_EMPTY);
        world_up (world, 5, BACK_EMPTY);
        world_run (world, world_now (world) + 3 * SEC);
        EXPECT (world_unevenness (world) > 100);
        world_rebalance (world);
        limit = world_now (world) + 300 * SEC;
        while (world_unevenness (world) > 50 && world_now (world) < limit) {
            world_run (world, world_now (world) + SEC);
            if (seed % 4 == 0 && rng_below (world_rng (world), 8) == 0)
                world_new_leader (world, rng_below (world_rng (world), 2) * SEC);
        }
        EXPECT (world_unevenness (world) <= 50);
        world_run (world, world_now (world) + 120 * SEC);
        core_status (world_core (world), &status);
        EXPECT (!status.rebalancing);
        moved = status.rebalance_moved;
        world_run (world, world_now (world) + 300 * SEC);
        core_status (world_core (world), &status);
        EXPECT (status.rebalance_moved == moved);
        settle (world, config.replicas);
        world_destroy (&world);
    }
}

/* One disk of several is gone: what it had is made again before anything else breaks.
 */
static void lose_disk (world_t *world, const world_config_t *config, size_t worker)
{
    uint64_t limit = world_now (world) + 60 * SEC;

    /* What rotted may be the other copy. */
    if (world_stats (world)->rotten > 0)
        return;
    for (size_t w = 0; w < config->workers; w++)
        world_full (world, w, false);
    while (!world_has_copies (world, 2) && world_now (world) < limit)
        world_run (world, world_now (world) + 100 * MS);
    if (!world_has_copies (world, 2))
        return;
    world_lose_disk (world, worker, rng_below (world_rng (world), WORLD_DISKS),
                     rng_below (world_rng (world), 2));
    while (!world_has_copies (world, 2) && world_now (world) < limit)
        world_run (world, world_now (world) + 100 * MS);
    EXPECT (world_has_copies (world, 2));
}

static void flap (world_t *world, size_t worker)
{
    for (int i = 0; i < 6; i++) {
        world_down (world, worker, DOWN_KILLED);
        world_run (world, world_now (world) + rng_below (world_rng (world), 300 * MS));
        world_up (world, worker, BACK_WHOLE);
        world_run (world, world_now (world) + rng_below (world_rng (world), 600 * MS));
    }
}

static void one_fault (world_t *world, const world_config_t *config)
{
    rng_t *rng = world_rng (world);
    size_t worker = rng_below (rng, config->workers);

    switch (rng_below (rng, 17)) {
    case 0:
        world_vanish (world, rng_below (rng, config->clients));
        break;
    case 1:
        world_full (world, worker, rng_below (rng, 2));
        break;
    case 2:
        world_drain (world, worker, true);
        world_run (world, world_now (world) + rng_below (rng, 6 * SEC));
        world_drain (world, worker, false);
        break;
    case 3:
        world_new_leader (world, rng_below (rng, 10 * SEC));
        break;
    case 4:
        world_rebalance (world);
        break;
    case 5:
        world_policy (world, 2 + (uint32_t)rng_below (rng, 2));
        break;
    case 6:
        world_rot (world, worker);
        break;
    case 7:
        lose_disk (world, config, worker);
        break;
    case 8:
        world_slow (world, worker, rng_below (rng, 2) ? 1 : 300);
        break;
    case 9:
        world_clock (world, true);
        world_run (world, world_now (world) + rng_below (rng, 8 * SEC));
        world_clock (world, false);
        break;
    case 10: {
        size_t rack = rng_below (rng, 3);

        world_cut_rack (world, rack, true);
        world_run (world, world_now (world) + rng_below (rng, 8 * SEC));
        world_cut_rack (world, rack, false);
        break;
    }
    case 11:
        flap (world, worker);
        break;
    default:
        /* One at a time: two copies bear that. */
        world_down (world, worker, (enum world_down)rng_below (rng, 3));
        world_run (world, world_now (world) + rng_below (rng, 8 * SEC));
        world_up (world, worker, rng_below (rng, 2) ? BACK_WHOLE : BACK_TRIMMED);
        break;
    }
}

static void storm (uint64_t seed)
{
    world_config_t config = config_of (seed);
    world_t *world;

    config.lost = 5;
    config.refused = 10;
    config.dropped = seed % 2 ? 5 : 0;
    config.doubled = seed % 2 ? 10 : 0;
    config.think = 40 * SEC;
    world = world_new (&config);
    for (int i = 0; i < 25; i++) {
        world_run (world, world_now (world) + rng_below (world_rng (world), 3 * SEC));
        one_fault (world, &config);
    }
    for (size_t w = 0; w < config.workers; w++) {
        world_full (world, w, false);
        world_slow (world, w, 1);
    }
    world_policy (world, 2);
    world_finish (world, world_now (world) + 300 * SEC);
    /* A new leader does not remember which uploads left something behind. */
    settle_as (world, 2, true);
    world_destroy (&world);
}

/* All at once. */
static void test_storm (void **state)
{
    (void)state;
    FOR_SEEDS (60)
    {
        storm (seed);
    }
}

/* Files go, others with the same content come, and brokers lead whose tables are of
 * long ago: what those say is there may be gone. */
static void test_stale (void **state)
{
    (void)state;
    FOR_SEEDS (30)
    {
        world_config_t config = config_of (seed);
        world_t *world;

        config.clients = 40;
        config.chunks = 8;
        config.shared = 95;
        config.remove = 100;
        config.think = 60 * SEC;
        config.lag = 20 * SEC;
        config.core.upload_timeout_ns = 2 * SEC;
        config.core.reclaim_grace_ns = SEC;
        world = world_new (&config);
        for (int i = 0; i < 8; i++) {
            world_run (world, world_now (world) + 4 * SEC +
                                  rng_below (world_rng (world), 6 * SEC));
            world_new_leader (world, rng_below (world_rng (world), SEC));
        }
        world_finish (world, world_now (world) + 120 * SEC);
        settle_as (world, config.replicas, true);
        world_destroy (&world);
    }
}

/* Disks go while clients are in the middle of long uploads: what was stored on them
 * does not count for the commit. */
static void test_disks_of_uploads (void **state)
{
    (void)state;
    FOR_SEEDS (30)
    {
        world_config_t config = config_of (seed);
        world_t *world;

        config.clients = 6;
        config.chunks = 300;
        config.length = 4 * MIB;
        config.shared = 0;
        config.remove = 0;
        config.think = 100 * MS;
        config.capacity = 0;
        world = world_new (&config);
        for (int i = 0; i < 3; i++) {
            world_run (world,
                       world_now (world) + rng_below (world_rng (world), 2 * SEC));
            world_lose_disk (world, rng_below (world_rng (world), config.workers),
                             rng_below (world_rng (world), WORLD_DISKS), true);
        }
        world_finish (world, 300 * SEC);
        world_destroy (&world);
    }
}

/* Workers come back whose changes are not known any more: they list what they have,
 * page by page, while pages and word of them get lost, they die again and others lead.
 */
static void test_listings (void **state)
{
    uint64_t listed = 0, garbled = 0, asked = 0;

    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = config_of (seed);
        world_t *world;
        rng_t *rng;

        config.remove = 0;
        config.clients = 8;
        config.chunks = 60;
        config.length = 64 * KIB;
        config.capacity = 0;
        config.dropped = 30;
        config.garbled = 60;
        world = world_new (&config);
        rng = world_rng (world);
        world_run (world, world_now (world) + 5 * SEC);
        for (int i = 0; i < 6; i++) {
            size_t worker = rng_below (rng, config.workers);

            world_down (world, worker, (enum world_down)rng_below (rng, 3));
            world_run (world, world_now (world) + rng_below (rng, 6 * SEC));
            world_up (world, worker, BACK_TRIMMED);
            if (i % 3 == 2)
                world_new_leader (world, rng_below (rng, SEC));
            /* Some time in the middle of it. */
            world_run (world, world_now (world) + rng_below (rng, 200 * MS));
        }
        world_finish (world, 120 * SEC);
        settle (world, config.replicas);
        listed += world_stats (world)->listed;
        garbled += world_stats (world)->garbled;
        asked += world_stats (world)->asked;
        world_destroy (&world);
    }
    EXPECT (listed > 0 && garbled > 0 && asked > 0);
}

/* --- planted bugs --- */

/* What a child does: the first thing that it finds ends it. */
typedef void (case_f) (void **state);

static void hunt (int bug, case_f *where, uint64_t seeds)
{
    void *state = NULL;
    char text[32];

    core_planted = bug;
    if (!freopen ("/dev/null", "w", stderr) || !freopen ("/dev/null", "w", stdout))
        _exit (3);
    snprintf (text, sizeof text, "%llu", (unsigned long long)seeds);
    setenv ("SIM_SEEDS", text, 1);
    unsetenv ("SIM_SEED");
    world_hunts = true;
    where (&state);
    _exit (0);
}

/* Each bug is found by some seed: a simulation that cannot fail proves nothing. */
static void test_planted (void **state)
{
    static case_f *const where[] = {
        [BUG_TRIM_UNHASHED] = test_trim,
        [BUG_TRIM_ONE_TOO_MANY] = test_trim,
        [BUG_NO_GRACE] = test_reclaim,
        [BUG_STUCK] = test_storm,
        [BUG_NO_CONFIRMATION] = test_storm,
        [BUG_BALANCE_EVER] = test_rebalance,
        [BUG_LIMIT_TOO_HIGH] = test_storm,
        [BUG_CLOCK] = test_storm,
        [BUG_DISK_KEPT] = test_disks_of_uploads,
        [BUG_STALE] = test_stale,
        [BUG_LEAK] = test_reclaim,
        [BUG_GRANT_EVER] = test_storm,
        [BUG_PASSED_OVER] = test_storm,
        [BUG_PAGE_MISSING] = test_listings,
    };

    (void)state;
    for (int bug = 1; bug < BUGS; bug++) {
        int status = 0;
        pid_t child = fork ();

        assert_true (child >= 0);
        if (child == 0)
            hunt (bug, where[bug], number_of ("SIM_HUNT", bug == BUG_STALE ? 300 : 60));
        assert_int_equal (waitpid (child, &status, 0), child);
        if (WIFEXITED (status))
            print_message ("# planted bug %d: %s\n", bug,
                           WEXITSTATUS (status) == 1 ? "found" : "NOT FOUND");
        else
            print_message ("# planted bug %d: signal %d\n", bug, WTERMSIG (status));
        assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 1);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_reclaim),   cmocka_unit_test (test_left_over),
        cmocka_unit_test (test_trim),      cmocka_unit_test (test_policy),
        cmocka_unit_test (test_rebalance), cmocka_unit_test (test_storm),
        cmocka_unit_test (test_stale),     cmocka_unit_test (test_disks_of_uploads),
        cmocka_unit_test (test_listings),  cmocka_unit_test (test_planted),
    };

    core_planted = (int)number_of ("SIM_BUG", 0);
    if (getenv ("SIM_CASE"))
        cmocka_set_test_filter (getenv ("SIM_CASE"));
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("reclaim_sim", tests, NULL, NULL);
}
