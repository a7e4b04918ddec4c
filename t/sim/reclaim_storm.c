/* SPDX-License-Identifier: MPL-2.0 */
/* Reclaim, trim and rebalance while all kinds of things break. */
#include "t/sim/reclaim_sim.h"

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
    world_config_t config = reclaim_config (seed);
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
    reclaim_settle_as (world, 2, true);
    world_destroy (&world);
}

/* All at once. */
void test_storm (void **state)
{
    (void)state;
    FOR_SEEDS (60)
    {
        storm (seed);
    }
}

/* Files go, others with the same content come, and brokers lead whose tables are of
 * long ago: what those say is there may be gone. */
void test_stale (void **state)
{
    (void)state;
    FOR_SEEDS (30)
    {
        world_config_t config = reclaim_config (seed);
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
        reclaim_settle_as (world, config.replicas, true);
        world_destroy (&world);
    }
}

/* Disks go while clients are in the middle of long uploads: what was stored on them
 * does not count for the commit. */
void test_disks_of_uploads (void **state)
{
    (void)state;
    FOR_SEEDS (30)
    {
        world_config_t config = reclaim_config (seed);
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
void test_listings (void **state)
{
    uint64_t listed = 0, garbled = 0, asked = 0;

    (void)state;
    FOR_SEEDS (40)
    {
        world_config_t config = reclaim_config (seed);
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
        reclaim_settle (world, config.replicas);
        listed += world_stats (world)->listed;
        garbled += world_stats (world)->garbled;
        asked += world_stats (world)->asked;
        world_destroy (&world);
    }
    EXPECT (listed > 0 && garbled > 0 && asked > 0);
}
