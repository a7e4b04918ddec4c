/* SPDX-License-Identifier: MPL-2.0 */
/* What takes copies away, on virtual time: reclaim, trim, rebalance, under deaths,
 * flaps, changes of leader and of policy. Invariants are asserted at each step: nothing
 * that is referred to loses its last good copy, no order of an earlier term is obeyed,
 * everything ends. Bugs planted on purpose must be found. */
#ifndef T_SIM_RECLAIM_SIM_H
#define T_SIM_RECLAIM_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "t/sim/cases.h"

/* In a hunt no test framework is around. */
#define EXPECT(what)                                                                   \
    do {                                                                               \
        if (world_hunts && !(what))                                                    \
            _exit (1);                                                                 \
        assert_true (what);                                                            \
    } while (0)

/* Short times, so that a run sees all of it. */
world_config_t reclaim_config (uint64_t seed);
/* Everything is quiet: the copies are what was asked for, no more and no fewer. RESUME:
 * reclaim goes on as soon as it is held. */
void reclaim_settle (world_t *world, size_t copies);
void reclaim_settle_as (world_t *world, size_t copies, bool resume);

/* Of one thing each (reclaim_cases.c), and of much at once (reclaim_storm.c). */
void test_reclaim (void **state);
void test_left_over (void **state);
void test_trim (void **state);
void test_policy (void **state);
void test_rebalance (void **state);
void test_storm (void **state);
void test_stale (void **state);
void test_disks_of_uploads (void **state);
void test_listings (void **state);

#endif
