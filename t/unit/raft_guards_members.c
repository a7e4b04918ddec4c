/* SPDX-License-Identifier: MPL-2.0 */
/* The guards around the consensus library: who its members are, and changes of them.
 * For each guard the fault as the library has it, and that it is gone behind the guard.
 * When a newer library has mended one, its test says so by failing at the line marked
 * FAULT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "t/unit/raft_hand.h"

#include <cmocka.h> /* last: it has a macro fail */

static void test_g3 (void **state)
{
    (void)state;
    hand_begin (3, 1, NULL);
    struct raft_entry entries[3] = {
        hand_command (2),
        {2, RAFT_CHANGE, {hand.conf, hand.conf_len}, raft_borrowed},
        hand_command (2)};
    struct raft_message whole = hand_append (2, 1, 1, 9, entries, 3);
    struct raft_message m = whole;
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_int_equal (hand.r.configuration_uncommitted_index,
                      2); /* FAULT: it is entry 3 */
    hand_end ();

    hand_begin (3, 1, NULL);
    assert_int_equal (guard_part (entries, 3), 1);
    assert_int_equal (guard_part (entries + 1, 2), 2);
    assert_int_equal (guard_part (entries, 0), 0);
    guard_split (&whole.append_entries, 0, 1, &m.append_entries);
    assert_int_equal (m.append_entries.leader_commit, 2);
    assert_int_equal (m.append_entries.prev_log_index, 1);
    assert_int_equal (hand_receive (&m, 2), 0);
    guard_split (&whole.append_entries, 1, 2, &m.append_entries);
    assert_int_equal (m.append_entries.prev_log_index, 2);
    assert_int_equal (m.append_entries.prev_log_term, 2);
    assert_int_equal (m.append_entries.leader_commit, 9);
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_int_equal (hand.r.configuration_uncommitted_index, 3);
    hand_end ();
}

static void test_g4 (void **state)
{
    (void)state;
    hand_begin (1, 1, NULL);
    struct raft_configuration next;
    raft_configuration_init (&next);
    raft_configuration_add (&next, 1, "a", RAFT_VOTER);
    raft_configuration_add (&next, 2, "b", RAFT_STANDBY);
    struct raft_buffer buf;
    raft_configuration_encode (&next, &buf);
    raft_configuration_close (&next);
    struct raft_entry change = {hand.r.current_term, RAFT_CHANGE, buf, raft_borrowed};
    struct raft_event event = {.type = RAFT_SUBMIT};
    event.submit.entries = &change;
    event.submit.n = 1;
    assert_true (guard_submission (&change, 1));
    assert_int_equal (hand_step (&event), 0);
    raft_index last = raft_last_index (&hand.r);
    struct raft_entry both[2] = {hand_command (hand.r.current_term), change};
    event.submit.entries = both;
    event.submit.n = 2;
    assert_false (guard_submission (both, 2));
    assert_int_equal (hand_step (&event), RAFT_CANTCHANGE);
    assert_int_equal (raft_last_index (&hand.r),
                      last + 1); /* FAULT: refused, and there */
    raft_free (buf.base);
    hand_end ();
}

static void test_g5 (void **state)
{
    (void)state;
    dfs_error_t err;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    assert_int_equal (guard_change (&hand.r, 3, &err), DFS_ENOTLEADER);
    hand_lead ();
    assert_int_equal (guard_change (&hand.r, 2, &err), DFS_EAGAIN);
    assert_int_equal (guard_change (&hand.r, 4, &err), DFS_OK);
    hand.r.configuration_uncommitted_index = 3;
    assert_int_equal (guard_change (&hand.r, 4, &err), DFS_EAGAIN);
    hand.r.configuration_uncommitted_index = 0;
    hand_end ();
}

static void add_all (struct raft_configuration *c, const int *roles, size_t n)
{
    static const char *const addresses[] = {"a", "b", "c", "d", "e"};
    raft_configuration_init (c);
    for (size_t i = 0; i < n; i++)
        if (roles[i] >= 0)
            raft_configuration_add (c, i + 1, addresses[i], roles[i]);
}

static int members (const int *roles, size_t n)
{
    struct raft_configuration next;
    dfs_error_t err;
    add_all (&next, roles, n);
    int rc = guard_members (&hand.r, &next, &err);
    raft_configuration_close (&next);
    return rc;
}

static void test_g6_members (void **state)
{
    (void)state;
    enum { V = RAFT_VOTER, S = RAFT_STANDBY, NONE = -1 };
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    hand_lead ();
    assert_int_equal (members ((int[]){V, V, V, S}, 4), DFS_OK);
    assert_int_equal (members ((int[]){V, V, V, V}, 4), DFS_EAGAIN); /* has nothing */
    assert_int_equal (members ((int[]){V, V, V, S, S}, 5), DFS_EINVAL);
    assert_int_equal (members ((int[]){V, V, V}, 3), DFS_EINVAL); /* no change */
    assert_int_equal (members ((int[]){V, V, S}, 3), DFS_EINVAL); /* two left */
    assert_int_equal (members ((int[]){V, V, NONE}, 3), DFS_EINVAL);
    hand_end ();
    hand_begin (4, 4, (const raft_term[]){2, 2, 0});
    hand_lead ();
    assert_int_equal (members ((int[]){V, V, V, NONE}, 4), DFS_OK);
    assert_int_equal (members ((int[]){NONE, V, V, V}, 4), DFS_EINVAL); /* itself */
    assert_int_equal (members ((int[]){S, V, V, V}, 4), DFS_EINVAL);
    hand_end ();
}

static void test_g12 (void **state)
{
    (void)state;
    hand_begin (1, 5, NULL);
    assert_int_equal (hand.r.state, RAFT_LEADER);
    assert_int_equal (hand.r.current_term, 5); /* FAULT */
    struct raft_buffer one = {hand.conf, hand.conf_len};
    assert_true (guard_sole_voter (&one, 1));
    assert_false (guard_sole_voter (&one, 2));
    hand_end ();
    hand_conf (3);
    struct raft_buffer three = {hand.conf, hand.conf_len}, none = {NULL, 0};
    assert_false (guard_sole_voter (&three, 1));
    assert_false (guard_sole_voter (&none, 1));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_g3),  cmocka_unit_test (test_g4),
        cmocka_unit_test (test_g5),  cmocka_unit_test (test_g6_members),
        cmocka_unit_test (test_g12),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("raft_guards_members", tests, NULL,
                                        hand_teardown);
}
