/* SPDX-License-Identifier: MPL-2.0 */
/* The replicated log under everything that can go wrong, on virtual time. A failing
 * seed is printed with the command that plays it again; DFS_SEEDS=N plays more. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft_world.h"

#include <cmocka.h>

static uint64_t number (const char *name, uint64_t usual)
{
    const char *text = getenv (name);
    return text ? strtoull (text, NULL, 10) : usual;
}

static void report (const char *what, uint64_t seeds, const world_count_t *c)
{
    printf ("# %s seeds=%" PRIu64 " commits=%" PRIu64 " elections=%" PRIu64
            " crashes=%" PRIu64 " partitions=%" PRIu64 " packets=%" PRIu64
            " lost=%" PRIu64 " doubled=%" PRIu64 " late=%" PRIu64
            " truncations=%" PRIu64 " snapshots=%" PRIu64 " installs=%" PRIu64
            " failed_installs=%" PRIu64 " transfers=%" PRIu64 " changes=%" PRIu64
            " reads=%" PRIu64 " not_caught_up=%" PRIu64 "\n#   one_way=%" PRIu64
            " late_reads=%" PRIu64 " skips=%" PRIu64 " torn=%" PRIu64 " hangs=%" PRIu64
            " full_disks=%" PRIu64 " disk_errors=%" PRIu64 " flips=%" PRIu64
            " clock_jumps=%" PRIu64 " pauses=%" PRIu64 " stands=%" PRIu64
            " lost_brokers=%" PRIu64 " replaced=%" PRIu64 "\n",
            what, seeds, c->commits, c->elections, c->crashes, c->cuts, c->packets,
            c->lost, c->doubled, c->late, c->replaced, c->snapshots, c->installs,
            c->failed_installs, c->transfers, c->changes, c->reads, c->stalls,
            c->one_way, c->late_reads, c->skips, c->torn, c->hangs, c->fulls,
            c->disk_errors, c->flips, c->jumps, c->pauses, c->stands, c->lost_brokers,
            c->replaced_brokers);
}

/* Plays SEEDS seeds (all must be safe); returns how many did not catch up. */
static uint64_t play (const char *what, world_config_t config, uint64_t seeds)
{
    world_count_t count = {0};
    char why[400] = "";
    const char *only = getenv ("DFS_SEED");
    uint64_t first = number ("DFS_SEED", 1), n = only ? 1 : number ("DFS_SEEDS", seeds);
    uint64_t stalls = 0;
    for (config.seed = first; config.seed < first + n; config.seed++) {
        int rc = world_run (&config, &count, why);
        if (rc < 0)
            print_error ("%s: %s\nreplay: DFS_SEED=%" PRIu64
                         " setarch -R t/sim/raft_sim\n",
                         what, why, config.seed);
        assert_true (rc >= 0);
        stalls += (uint64_t)rc;
        if (rc)
            printf ("# %s seed %" PRIu64 " had not caught up: %s\n", what, config.seed,
                    why);
    }
    report (what, n, &count);
    if (!only && n >= 20) {
        assert_true (count.crashes && count.cuts && count.lost && count.doubled);
        assert_true (count.late && count.replaced && count.snapshots && count.reads);
        assert_true (count.installs && count.elections > n && count.commits > 100 * n);
        assert_true (count.one_way && count.late_reads && count.skips && count.torn);
        if (config.disks)
            assert_true (count.hangs && count.fulls && count.disk_errors &&
                         count.stands);
        if (config.clocks)
            assert_true (count.jumps && count.pauses);
        if (config.replace)
            assert_true (count.flips && count.lost_brokers && count.replaced_brokers);
    }
    return stalls;
}

static void test_three (void **state)
{
    (void)state;
    world_config_t config = {.brokers = 3, .voters = 3, .commits = 400};
    assert_int_equal (play ("three", config, 150), 0);
}

static void test_five (void **state)
{
    (void)state;
    world_config_t config = {.brokers = 5, .voters = 5, .commits = 400};
    assert_int_equal (play ("five", config, 80), 0);
}

static void test_one (void **state)
{
    (void)state;
    world_config_t config = {.brokers = 1, .voters = 1, .commits = 400};
    world_count_t count = {0};
    char why[400] = "";
    for (config.seed = 1; config.seed <= 20; config.seed++)
        assert_int_equal (world_run (&config, &count, why), 0);
    assert_true (count.commits > 20 * 100);
}

/* The same with disks, clocks and processes that do all they can do. */
static void test_trouble (void **state)
{
    (void)state;
    world_config_t config = {
        .brokers = 3, .voters = 3, .commits = 400, .disks = true, .clocks = true};
    assert_int_equal (play ("three in trouble", config, 150), 0);
    config.brokers = config.voters = 5;
    assert_int_equal (play ("five in trouble", config, 60), 0);
}

/* Brokers lose a record, or all, and others take their places. */
static void test_replace (void **state)
{
    (void)state;
    world_config_t config = {.brokers = 7,
                             .voters = 3,
                             .commits = 600,
                             .disks = true,
                             .clocks = true,
                             .replace = true};
    assert_int_equal (play ("three replaced", config, 80), 0);
    config.brokers = 9;
    config.voters = 5;
    assert_int_equal (play ("five replaced", config, 40), 0);
}

/* Brokers join, become voters and leave: always safe. The library may leave a broker
 * behind in rare cases, which are counted. */
static void test_churn (void **state)
{
    (void)state;
    world_config_t config = {.brokers = 6, .voters = 4, .commits = 400, .churn = true};
    uint64_t stalls = play ("churn", config, 80);
    assert_true (stalls <= 2 + number ("DFS_SEEDS", 80) / 50);
}

/* One broker grows to several while it is killed now and then. */
static void test_growth (void **state)
{
    (void)state;
    world_config_t config = {.brokers = 4, .voters = 1, .commits = 1500, .churn = true};
    uint64_t stalls = play ("growth", config, 200);
    assert_true (stalls <= 2 + number ("DFS_SEEDS", 200) / 50);
}

/* The checks find what they are there for. */
static void expect_violation (world_config_t config)
{
    world_count_t count = {0};
    char why[400] = "";
    int rc = 0;
    for (config.seed = 1; config.seed < 4000 && rc >= 0; config.seed++)
        rc = world_run (&config, &count, why);
    printf ("# found: %s\n", why);
    assert_int_equal (rc, -1);
}

static void test_finds_a_lying_disk (void **state)
{
    (void)state;
    expect_violation ((world_config_t){
        .brokers = 3, .voters = 3, .commits = 400, .lying_disk = true});
}

static void test_finds_forgotten_votes (void **state)
{
    (void)state;
    expect_violation ((world_config_t){
        .brokers = 3, .voters = 3, .commits = 400, .lost_votes = true});
}

static void test_finds_planted (void **state)
{
    (void)state;
    const char *names[] = {"",
                           "acknowledged before it is durable",
                           "applied before it is committed",
                           "old terms committed by counting",
                           "terms not compared",
                           "writes of replaced entries counted",
                           "a sole voter's term used twice",
                           "reads without a majority"};
    for (enum plant plant = PLANT_EARLY_ACK; plant <= PLANT_NO_PINGS; plant++) {
        world_config_t config = {.brokers = 3,
                                 .voters = 3,
                                 .commits = 400,
                                 .clocks = plant == PLANT_NO_PINGS,
                                 .plant = plant};
        if (plant == PLANT_SAME_TERM)
            config = (world_config_t){.brokers = 4,
                                      .voters = 1,
                                      .commits = 1500,
                                      .churn = true,
                                      .plant = plant};
        printf ("# planted: %s\n", names[plant]);
        expect_violation (config);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_one),
        cmocka_unit_test (test_three),
        cmocka_unit_test (test_five),
        cmocka_unit_test (test_trouble),
        cmocka_unit_test (test_replace),
        cmocka_unit_test (test_churn),
        cmocka_unit_test (test_growth),
        cmocka_unit_test (test_finds_a_lying_disk),
        cmocka_unit_test (test_finds_forgotten_votes),
        cmocka_unit_test (test_finds_planted),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("raft_sim", tests, NULL, NULL);
}
