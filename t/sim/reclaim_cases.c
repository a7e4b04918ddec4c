/* SPDX-License-Identifier: MPL-2.0 */
/* Reclaim, trim and rebalance, each by itself. */
#include "t/sim/reclaim_sim.h"

world_config_t reclaim_config (uint64_t seed)
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

/* Where answers get lost a batch of surplus copies waits two minutes for them. */
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

void reclaim_settle_as (world_t *world, size_t copies, bool resume)
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

void reclaim_settle (world_t *world, size_t copies)
{
    reclaim_settle_as (world, copies, false);
}

/* Files come and go; what nothing refers to is given back, and nothing else. */
void test_reclaim (void **state)
{
    uint64_t dropped = 0, forgotten = 0;

    (void)state;
    FOR_SEEDS (60)
    {
        world_config_t config = reclaim_config (seed);
        world_t *world = world_new (&config);

        world_finish (world, 60 * SEC);
        reclaim_settle (world, config.replicas);
        dropped += world_stats (world)->dropped;
        forgotten += world_stats (world)->forgotten;
        world_destroy (&world);
    }
    EXPECT (dropped > 0);
    EXPECT (forgotten > 0);
}

/* Clients that vanish leave chunks that no file ever referred to. */
void test_left_over (void **state)
{
    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = reclaim_config (seed);
        world_t *world = world_new (&config);

        for (int i = 0; i < 6; i++) {
            world_run (world, world_now (world) + rng_below (world_rng (world), SEC));
            world_vanish (world, rng_below (world_rng (world), config.clients));
        }
        world_finish (world, 60 * SEC);
        reclaim_settle (world, config.replicas);
        world_destroy (&world);
    }
}

/* A worker that returns after its copies were made elsewhere: one of each goes. */
void test_trim (void **state)
{
    uint64_t trimmed = 0;

    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = reclaim_config (seed);
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
        reclaim_settle (world, config.replicas);
        trimmed += world_stats (world)->trimmed;
        world_destroy (&world);
    }
    EXPECT (trimmed > 0);
}

/* More copies, then fewer again. */
void test_policy (void **state)
{
    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = reclaim_config (seed);
        world_t *world;

        config.replicas = 2;
        world = world_new (&config);
        world_run (world, 2 * SEC + rng_below (world_rng (world), 10 * SEC));
        world_policy (world, 4);
        world_run (world, world_now (world) + rng_below (world_rng (world), 20 * SEC));
        world_policy (world, 2);
        world_finish (world, 60 * SEC);
        reclaim_settle (world, 2);
        world_destroy (&world);
    }
}

/* Two empty workers beside full ones: evened out, and then it stops. */
void test_rebalance (void **state)
{
    (void)state;
    FOR_SEEDS (12)
    {
        world_config_t config = reclaim_config (seed);
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
        reclaim_settle (world, config.replicas);
        world_destroy (&world);
    }
}
