/* SPDX-License-Identifier: MPL-2.0 */
/* The cases of reclaim_sim.h, and the bugs that they must find: SIM_BUG plants one. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "broker/core/planted.h"
#include "t/sim/reclaim_sim.h"

int core_planted;

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
            hunt (bug, where[bug],
                  cases_number ("SIM_HUNT", bug == BUG_STALE ? 300 : 60));
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

    core_planted = (int)cases_number ("SIM_BUG", 0);
    if (getenv ("SIM_CASE"))
        cmocka_set_test_filter (getenv ("SIM_CASE"));
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("reclaim_sim", tests, NULL, NULL);
}
