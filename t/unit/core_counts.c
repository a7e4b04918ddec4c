/* SPDX-License-Identifier: MPL-2.0 */
/* Which copies count: at a commit, for a repair, before another one goes. */
#include "t/unit/core_cluster.h"

#include <string.h>

#define ALL 0xfffffffeULL

static void lead (cluster_core_t *c, bool leader, uint64_t term)
{
    cluster_step (c, (event_t){.type = EVENT_ROLE, .u.role = {leader, 3, term}});
    if (leader)
        cluster_step (c, (event_t){.type = EVENT_SESSION_OPEN, .u.session.id = 1});
}

/* Copies with which a commit of chunk NUMBER is taken, 0 when it is not; storage knows
 * those of COPIES. */
static uint32_t commit (cluster_core_t *c, uint64_t number, uint64_t copies)
{
    copykey_t key = cluster_key (number);
    event_t event = {.type = EVENT_COMMIT};
    const action_t *action;

    event.u.commit =
        (event_commit_t){.session = 1, .token = 70 + c->now, .keys = &key, .n = 1};
    cluster_step (c, event);
    if ((action = cluster_action (c, ACTION_LOOKUP_CHUNKS, 0)))
        cluster_found (c, action->u.chunks.token, number, 1000, 0, copies, 0);
    if ((action = cluster_action (c, ACTION_COMMIT_OK, 0)))
        return action->u.commit_ok.copies;
    assert_int_equal (cluster_want (c, ACTION_COMMIT_REFUSED)->u.commit_refused.code,
                      DFS_EMISSING);
    return 0;
}

/* A new leader gives the dead time to speak up, but acknowledges nothing on their word:
 * it was not heard. One that only fell silent counts. */
static void test_dead_at_commit (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    assert_int_equal (commit (&c, 5, 1 << 1 | 1 << 2), 2);
    cluster_pass (&c, 3600 * SEC, ALL & ~4ULL);
    assert_int_equal (commit (&c, 5, 1 << 1 | 1 << 2), 0);
    lead (&c, false, 10);
    lead (&c, true, 10);
    assert_int_equal (cluster_state (&c, 2), WORKER_JOINING);
    assert_int_equal (commit (&c, 5, 1 << 1 | 1 << 2), 0);
    cluster_join (&c, 2, 0);
    assert_int_equal (commit (&c, 5, 1 << 1 | 1 << 2), 2);
    cluster_pass (&c, 1300 * MS, ALL & ~4ULL);
    assert_int_equal (cluster_state (&c, 2), WORKER_SUSPECT);
    assert_int_equal (commit (&c, 5, 1 << 1 | 1 << 2), 2);
    cluster_free (&c);
}

/* A store that was set back counts for nothing before its listing has come; then what
 * the listing does not name is gone, for chunks in use as well. */
static void test_set_back (void **state)
{
    cluster_core_t c;
    core_store_t store = {.id = {3}, .incarnation = 1, .last_seq = 3};
    core_mark_t mark = {.incarnation = 1, .seq = 17};
    core_change_t named = {.kind = CHANGE_STORED, .birth = 50, .length = 1000};
    event_t hello = {.type = EVENT_WORKER_HELLO};
    event_t marks = {.type = EVENT_MARKS_FOUND};
    event_t page = {.type = EVENT_CHANGES};
    event_t applied = {.type = EVENT_LOCATIONS_APPLIED};
    const action_t *action;

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    cluster_member (&c, 3, NULL, false, false);
    store.capacity = 100 * GIB;
    hello.u.hello = (event_hello_t){
        .worker = 3, .conn = 33, .incarnation = 9, .stores = &store, .n_stores = 1};
    cluster_step (&c, hello);
    marks.u.marks.token = cluster_want (&c, ACTION_LOOKUP_MARKS)->u.marks.token;
    marks.u.marks.marks = &mark;
    marks.u.marks.n = 1;
    cluster_step (&c, marks);
    /* It is told that nothing of it is known. */
    action = cluster_want (&c, ACTION_WELCOME);
    assert_int_equal (action->u.welcome.marks[0].incarnation, 0);
    assert_int_equal (cluster_state (&c, 3), WORKER_UP);
    cluster_place (&c, 1, 8, 1000, 0);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 8, 1000,
                   1, 1 << 1 | 1 << 3, 0);
    action = cluster_action (&c, ACTION_PLACED, 0);
    assert_false (action && action->u.placed.items[0].have);

    named.key = cluster_key (9);
    page.u.changes = (event_changes_t){.worker = 3,
                                       .conn = 33,
                                       .store = {3},
                                       .incarnation = 1,
                                       .first_seq = 3,
                                       .inventory = true,
                                       .inventory_end = true,
                                       .items = &named,
                                       .n = 1};
    cluster_step (&c, page);
    applied.u.applied.token = cluster_want (&c, ACTION_LOCATIONS_APPLY)->u.apply.token;
    applied.u.applied.mark = 3;
    cluster_step (&c, applied);
    assert_int_equal (commit (&c, 8, 1 << 1), 0);
    assert_int_equal (commit (&c, 9, 1 << 1 | 1 << 3), 2);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_dead_at_commit),
        cmocka_unit_test (test_set_back),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_counts", tests, NULL, NULL);
}
