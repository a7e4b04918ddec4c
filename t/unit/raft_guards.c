/* SPDX-License-Identifier: MPL-2.0 */
/* The guards around the consensus library: entries, replies, writes, snapshots.
 * For each guard the fault as the library has it, and that it is gone behind the guard.
 * When a newer library has mended one, its test says so by failing at the line marked
 * FAULT. S1 and S2 are faults of older versions, which must not come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/journal/raft_driver.h"
#include "t/unit/raft_hand.h"

#include <cmocka.h> /* last: it has a macro fail */

/* Fills the stack with what an uninitialised variable would then hold. */
static __attribute__ ((noinline)) void paint (void)
{
    volatile uint8_t bytes[8192];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 0x7f;
}

/* --- what older versions did --- */

/* Entries of an old term are not committed by counting them. */
static void test_s1 (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    hand_lead ();
    for (raft_id id = 2; id <= 3; id++) {
        struct raft_message m = hand_result (4, 0, 3);
        assert_int_equal (hand_receive (&m, id), 0);
    }
    assert_int_equal (raft_commit_index (&hand.r), 1);
    hand_persisted (4);
    struct raft_message m = hand_result (4, 0, 4);
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_int_equal (raft_commit_index (&hand.r), 4);
    hand_end ();
}

/* Leftovers behind what was compared with the leader are not reported as matching. */
static void test_s2 (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 3, 0});
    struct raft_message m = hand_append (4, 2, 2, 2, NULL, 0);
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_int_equal (hand.u.messages.n, 1);
    assert_int_equal (hand.u.messages.batch[0].append_entries_result.rejected, 0);
    assert_int_equal (hand.u.messages.batch[0].append_entries_result.last_log_index, 2);
    hand_end ();
}

/* --- guards --- */

static void test_g1 (void **state)
{
    (void)state;
    guard_peer_t peer = {0};
    assert_true (guard_fresh (&peer, 5, 1));
    assert_true (guard_fresh (&peer, 5, 3));
    assert_false (guard_fresh (&peer, 5, 3)); /* twice */
    assert_false (guard_fresh (&peer, 5, 2)); /* late */
    assert_true (guard_fresh (&peer, 6, 1));  /* it has restarted */
    assert_false (guard_fresh (&peer, 5, 9)); /* from before that */

    hand_begin (3, 9, (const raft_term[]){2, 2, 0});
    struct raft_message m = hand_append (3, 0, 0, 0, NULL, 0);
    m.server_id = 2;
    assert_true (guard_is_stale (&hand.r, &m));
    paint ();
    assert_int_equal (hand_receive (&m, 2), 0);
    const struct raft_append_entries_result *a =
        &hand.u.messages.batch[0].append_entries_result;
    assert_int_equal (a->rejected, 0); /* FAULT: it says "success" */
    guard_stale_replies (&hand.u);
    assert_int_equal (a->last_log_index, 0);
    m.append_entries.term = 9;
    assert_false (guard_is_stale (&hand.r, &m));
    hand_end ();

    /* What such a reply does: an entry that only the leader has is committed. */
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    hand_lead ();
    hand_persisted (4);
    m = hand_result (4, 0, 0);
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_int_equal (raft_commit_index (&hand.r), 1);
    m = hand_result (4, 0, 0x7f7f7f7f7f7f7f7full);
    assert_int_equal (hand_receive (&m, 2), 0);
    assert_int_equal (raft_commit_index (&hand.r), 4); /* FAULT */
    hand_end ();
}

static void test_g2_leader (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    hand_lead ();
    struct raft_message m = hand_result (4, 0, 3);
    assert_int_equal (hand_receive (&m, 2), 0);
    m = hand_result (4, 2, 1); /* a rejection from before that */
    m.server_id = 2;
    assert_true (guard_rejection (&hand.r, &m));
    assert_int_equal (m.append_entries_result.rejected, 0);
    assert_int_equal (m.append_entries_result.last_log_index, 3);
    m = hand_result (4, 4, 3); /* one that is news */
    m.server_id = 2;
    assert_false (guard_rejection (&hand.r, &m));
    m = hand_result (4, 4, 1); /* one that has lost entries */
    m.server_id = 2;
    assert_true (guard_rejection (&hand.r, &m));
    assert_int_equal (m.append_entries_result.rejected, 4);
    assert_int_equal (m.append_entries_result.last_log_index, 3);
    m = hand_result (3, 2, 1); /* one of another term */
    m.server_id = 2;
    assert_false (guard_rejection (&hand.r, &m));
    hand_end ();
}

static void test_g2_follower (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 2, 0});
    hand.r.trail.offset = 3; /* a snapshot of 3, and nothing of it in the log */
    hand.r.trail.snapshot.index = 3;
    hand.r.trail.snapshot.term = 2;
    struct raft_entry entries[4] = {hand_command (2), hand_command (2),
                                    hand_command (3), hand_command (3)};
    struct raft_message m = hand_append (3, 1, 1, 1, entries, 4); /* 2, 3, 4, 5 */
    assert_true (guard_compacted (&hand.r, &m.append_entries));
    assert_int_equal (m.append_entries.prev_log_index, 3);
    assert_int_equal (m.append_entries.prev_log_term, 2);
    assert_int_equal (m.append_entries.n_entries, 2);
    assert_ptr_equal (m.append_entries.entries, entries + 2);
    m = hand_append (3, 1, 1, 1, entries, 1); /* all of it is in the snapshot */
    assert_true (guard_compacted (&hand.r, &m.append_entries));
    assert_int_equal (m.append_entries.n_entries, 0);
    m = hand_append (3, 3, 2, 1, entries, 1);
    assert_false (guard_compacted (&hand.r, &m.append_entries));
    m = hand_append (2, 1, 1, 1, entries, 1); /* of an old term */
    assert_false (guard_compacted (&hand.r, &m.append_entries));
    hand_end ();
}

static void test_g7 (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 0});
    guard_writes_t writes = {0};
    hand.r.last_stored = 3;
    guard_write_begin (&writes, 4, 3); /* 4, 5, 6 */
    guard_write_begin (&writes, 5, 1); /* another leader: 5 */
    assert_int_equal (guard_write_end (&writes, &hand.r), 4);
    hand.r.last_stored = 4;
    assert_int_equal (guard_write_end (&writes, &hand.r), 5);
    hand.r.last_stored = 5;
    guard_write_begin (&writes, 6, 2);
    guard_write_begin (&writes, 6, 1); /* nothing of the first is left */
    assert_int_equal (guard_write_end (&writes, &hand.r), 0);
    assert_int_equal (guard_write_end (&writes, &hand.r), 6);
    guard_write_begin (&writes, 7, 1);
    guard_write_void (&writes); /* a snapshot comes instead */
    assert_int_equal (guard_write_end (&writes, &hand.r), 0);
    guard_write_begin (&writes, 7, 1);
    hand.r.snapshot.installing = true;
    assert_int_equal (guard_write_end (&writes, &hand.r), 0);
    hand.r.snapshot.installing = false;
    guard_writes_release (&writes);
    hand_end ();
}

static void test_g8 (void **state)
{
    (void)state;
    hand_begin (3, 3, (const raft_term[]){2, 2, 2, 0});
    hand.r.commit_index = 4;
    assert_true (guard_snapshot (&hand.r, 3, 1));
    assert_false (guard_snapshot (&hand.r, 5, 1)); /* not committed */
    assert_false (guard_snapshot (&hand.r, 3, 4)); /* the brokers of later */
    hand.r.last_stored = 2;
    assert_false (guard_snapshot (&hand.r, 3, 1)); /* not durable */
    hand.r.last_stored = 4;
    hand.r.snapshot.installing = true;
    assert_false (guard_snapshot (&hand.r, 3, 1));
    hand.r.snapshot.installing = false;
    hand.r.trail.snapshot.index = 3;
    assert_false (guard_snapshot (&hand.r, 3, 1)); /* no newer one */
    hand.r.trail.snapshot.index = 0;
    hand_end ();
    /* At a start: the log goes on from the snapshot, or is dropped. */
    raft_point_t point = {.index = 10, .term = 3};
    assert_true (raft_driver_log_fits (&point, 5, 20, 3));
    assert_true (raft_driver_log_fits (&point, 11, 10, 0));
    assert_true (raft_driver_log_fits (&point, 11, 30, 0));
    assert_false (raft_driver_log_fits (&point, 5, 20, 2));
    assert_false (raft_driver_log_fits (&point, 1, 7, 0));
    assert_false (raft_driver_log_fits (&point, 12, 20, 0));
    point.index = 0;
    assert_true (raft_driver_log_fits (&point, 1, 20, 0));
    assert_false (raft_driver_log_fits (&point, 2, 20, 0));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_s1),          cmocka_unit_test (test_s2),
        cmocka_unit_test (test_g1),          cmocka_unit_test (test_g2_leader),
        cmocka_unit_test (test_g2_follower), cmocka_unit_test (test_g7),
        cmocka_unit_test (test_g8),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("raft_guards", tests, NULL, hand_teardown);
}
