/* SPDX-License-Identifier: MPL-2.0 */
/* The guards around the consensus library: votes, candidates, leaders.
 * For each guard the fault as the library has it, and that it is gone behind the guard.
 * When a newer library has mended one, its test says so by failing at the line marked
 * FAULT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "t/unit/raft_hand.h"

#include <cmocka.h> /* last: it has a macro fail */

static void test_g6_vote (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    hand.r.configuration.servers[0].role = RAFT_STANDBY; /* as its own log has it */
    struct raft_message m = hand_vote (4, 3, 2, false);
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_false (
        hand.u.messages.batch[0].request_vote_result.vote_granted); /* FAULT */
    m = hand_vote (5, 3, 2, false);
    guard_vote_t vote = guard_vote_begin (&hand.r, &m, hand.now, 0);
    assert_int_equal (hand_receive (&m, 2), 0);
    guard_vote_end (&hand.r, &vote);
    assert_true (hand.u.messages.batch[0].request_vote_result.vote_granted);
    assert_int_equal (hand.r.voted_for, 2);
    assert_int_equal (hand.r.configuration.servers[0].role, RAFT_STANDBY);
    /* Not a second time in that term; and not while it hears a leader. */
    m = hand_vote (5, 9, 4, false);
    m.request_vote.candidate_id = 3;
    vote = guard_vote_begin (&hand.r, &m, hand.now, 0);
    assert_int_equal (hand_receive (&m, 3), 0);
    guard_vote_end (&hand.r, &vote);
    assert_false (hand.u.messages.batch[0].request_vote_result.vote_granted);
    m = hand_append (5, 3, 2, 1, NULL, 0);
    assert_int_equal (hand_receive (&m, 2), 0);
    m = hand_vote (6, 9, 4, false);
    vote = guard_vote_begin (&hand.r, &m, hand.now + 10, hand.now);
    assert_int_equal (hand_receive (&m, 3), 0);
    guard_vote_end (&hand.r, &vote);
    assert_false (hand.u.messages.batch[0].request_vote_result.vote_granted);
    hand_end ();
}

/* The same for one that its own log removes: the entry may never be committed. */
static void test_g6_removed (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    hand.r.configuration.servers[0].id = 4;
    struct raft_message m = hand_vote (4, 3, 2, false);
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_false (
        hand.u.messages.batch[0].request_vote_result.vote_granted); /* FAULT */
    const struct raft_server *own = hand.r.configuration.servers;
    m = hand_vote (5, 3, 2, false);
    guard_vote_t vote = guard_vote_begin (&hand.r, &m, hand.now, 0);
    assert_int_equal (hand_receive (&m, 2), 0);
    guard_vote_end (&hand.r, &vote);
    assert_true (hand.u.messages.batch[0].request_vote_result.vote_granted);
    assert_int_equal (hand.r.voted_for, 2);
    assert_ptr_equal (hand.r.configuration.servers, own);
    assert_int_equal (hand.r.configuration.n, 3);
    hand.r.configuration.servers[0].id = 1;
    hand_end ();
}

/* One that has nothing may have had a vote, and given it. */
static void test_g6_nothing (void **state)
{
    (void)state;
    hand_begin (3, 0, NULL);
    unsigned n = hand.r.configuration.n;
    hand.r.configuration.n = 0;
    struct raft_message m = hand_vote (4, 3, 2, false);
    guard_vote_t vote = guard_vote_begin (&hand.r, &m, hand.now, 0);
    assert_false (vote.changed);
    assert_int_equal (hand_receive (&m, 2), 0);
    guard_vote_end (&hand.r, &vote);
    assert_false (hand.u.messages.batch[0].request_vote_result.vote_granted);
    hand.r.configuration.n = n;
    hand_end ();
}

/* A voter whose disk hangs: entry 2 of leader 2 is on its way to it, and 2 dies. */
static void test_g6_slow_disk (void **state)
{
    (void)state;
    hand_begin (3, 2, NULL);
    struct raft_entry entry = hand_command (2);
    struct raft_message m = hand_append (2, 1, 1, 1, &entry, 1);
    assert_int_equal (hand_receive (&m, 2), 0);
    raft_time heard = hand.now;
    for (int i = 0; i < 100; i++) {
        hand.now += 2000;
        struct raft_event timeout = {.type = RAFT_TIMEOUT};
        assert_int_equal (hand_step (&timeout), 0);
    }
    assert_int_equal (hand.r.state, RAFT_FOLLOWER);
    m = hand_vote (3, 2, 2, true);
    assert_int_equal (hand_receive (&m, 3), 0);
    assert_false (
        hand.u.messages.batch[0].request_vote_result.vote_granted); /* FAULT */
    m = hand_vote (3, 2, 2, true);
    guard_vote_t vote = guard_vote_begin (&hand.r, &m, hand.now, hand.now);
    assert_int_equal (hand_receive (&m, 3), 0);
    guard_vote_end (&hand.r, &vote);
    assert_false (hand.u.messages.batch[0].request_vote_result.vote_granted);
    m = hand_vote (3, 2, 2, true);
    vote = guard_vote_begin (&hand.r, &m, hand.now, heard);
    assert_int_equal (hand_receive (&m, 3), 0);
    guard_vote_end (&hand.r, &vote);
    assert_true (hand.u.messages.batch[0].request_vote_result.vote_granted);
    /* What it has received counts, written or not. */
    m = hand_vote (3, 1, 1, true);
    vote = guard_vote_begin (&hand.r, &m, hand.now, heard);
    assert_int_equal (hand_receive (&m, 3), 0);
    guard_vote_end (&hand.r, &vote);
    assert_false (hand.u.messages.batch[0].request_vote_result.vote_granted);
    hand_end ();
}

static void test_g10 (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    raft_set_pre_vote (&hand.r, true);
    hand.now += 5000;
    struct raft_event event = {.type = RAFT_TIMEOUT};
    assert_int_equal (hand_step (&event), 0);
    assert_int_equal (raft_state (&hand.r), RAFT_CANDIDATE);
    struct raft_message request, m = hand_vote (9, 2, 2, true); /* its term is 8 */
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_int_equal (raft_current_term (&hand.r), 3); /* FAULT: it never hears of 8 */
    m = hand_vote (9, 2, 2, true);
    m.server_id = 2;
    assert_true (guard_candidate_term (&hand.r, &m, &request));
    assert_int_equal (hand_receive (&request, 2), 0);
    assert_int_equal (raft_current_term (&hand.r), 8);
    assert_int_equal (hand.r.voted_for, 0);
    assert_false (guard_candidate_term (&hand.r, &m, &request)); /* no candidate now */
    hand_end ();
}

static void test_g11 (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    struct raft_message m = {.type = RAFT_REQUEST_VOTE_RESULT};
    assert_true (guard_unasked (&hand.r, &m));
    hand.now += 5000;
    struct raft_event event = {.type = RAFT_TIMEOUT};
    assert_int_equal (hand_step (&event), 0);
    assert_false (guard_unasked (&hand.r, &m));
    m.type = RAFT_APPEND_ENTRIES;
    assert_false (guard_unasked (&hand.r, &m));
    hand_end ();
}

static void test_g13 (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 0});
    struct raft_message m = hand_append (4, 2, 2, 1, NULL, 0);
    assert_false (guard_second_leader (&hand.r, &m));
    hand_lead ();
    m.append_entries.term = hand.r.current_term;
    assert_true (guard_second_leader (&hand.r, &m));
    m.append_entries.term = hand.r.current_term + 1;
    assert_false (guard_second_leader (&hand.r, &m));
    m.append_entries.term = hand.r.current_term - 1;
    assert_false (guard_second_leader (&hand.r, &m));
    m = hand_result (hand.r.current_term, 0, 2);
    assert_false (guard_second_leader (&hand.r, &m));
    hand_end ();
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_g6_vote),    cmocka_unit_test (test_g6_removed),
        cmocka_unit_test (test_g6_nothing), cmocka_unit_test (test_g6_slow_disk),
        cmocka_unit_test (test_g10),        cmocka_unit_test (test_g11),
        cmocka_unit_test (test_g13),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("raft_guards_votes", tests, NULL,
                                        hand_teardown);
}
