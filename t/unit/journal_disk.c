/* SPDX-License-Identifier: MPL-2.0 */
/* The journal over a disk that is full or hangs, and under a state machine that does
 * not come along. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal/vote.h"

#include "journal_dir.h"
#include "journal_trio.h"

#include <cmocka.h> /* last: it has a macro fail */

#define LARGE (10 * 1024)

static uint64_t state_of (size_t i)
{
    pthread_mutex_lock (&trio.lock);
    uint64_t index = trio.nodes[i].state.index;
    pthread_mutex_unlock (&trio.lock);
    return index;
}

static uint64_t acked_of (size_t i)
{
    pthread_mutex_lock (&trio.lock);
    uint64_t n = trio.nodes[i].n_acked;
    pthread_mutex_unlock (&trio.lock);
    return n;
}

/* Proposes N large entries at broker 0, which is alone. */
static void propose (uint64_t n)
{
    static uint8_t data[LARGE];
    dfs_error_t err;
    for (uint64_t i = 0; i < n; i++) {
        journal_proposal_t proposal = {data, sizeof data, ++trio.cookie};
        int rc = DFS_EAGAIN;
        for (int k = 0; k < 12000 && rc == DFS_EAGAIN; k++) {
            rc = journal_propose (trio.nodes[0].journal, &proposal, 1, &err);
            if (rc == DFS_EAGAIN)
                usleep (5000);
        }
        assert_int_equal (rc, DFS_OK);
    }
}

static void start_one (void)
{
    trio_start (0);
    TRIO_WAIT (trio.nodes[0].role == JOURNAL_LEADER);
}

/* What waits to be applied is bounded; the rest stays in the log. */
static void test_window (void **state)
{
    (void)state;
    trio_new (1, false);
    trio.window_bytes = 30 * LARGE;
    start_one ();
    propose (200);
    TRIO_UNTIL (trio_stats (0).committed >= 202 && acked_of (0) >= 30);
    usleep (200000);
    uint64_t most = acked_of (0);
    assert_in_range (most, 30, 45);
    while (acked_of (0) < 200) {
        uint64_t index = state_of (0), acked = acked_of (0);
        journal_applied (trio.nodes[0].journal, index);
        TRIO_UNTIL (acked_of (0) > acked);
        assert_true (acked_of (0) - acked <= 75);
    }
    /* And what was not applied comes again, likewise. */
    trio_stop (0);
    trio.nodes[0].state = (state_t){0};
    trio_start (0);
    TRIO_UNTIL (state_of (0) >= 30);
    usleep (200000);
    assert_in_range (state_of (0), 30, 48);
    while (state_of (0) < 202) {
        uint64_t index = state_of (0);
        journal_applied (trio.nodes[0].journal, index);
        TRIO_UNTIL (state_of (0) > index);
    }
    TRIO_WAIT (trio.nodes[0].role == JOURNAL_LEADER);
    assert_false (trio.nodes[0].wrong);
    trio_destroy ();
}

/* The log keeps no more than it may, long before so many entries have come. */
static void test_log_bytes (void **state)
{
    (void)state;
    char path[4300];
    trio_new (1, false);
    trio.log_bytes = 4 * 64 * 1024;
    start_one ();
    propose (200);
    TRIO_WAIT (trio.nodes[0].n_acked == 200);
    journal_applied (trio.nodes[0].journal, 100);
    TRIO_UNTIL (trio_stats (0).first_index > 90);
    assert_true (trio_stats (0).first_index <= 101);
    journal_applied (trio.nodes[0].journal, state_of (0));
    TRIO_UNTIL (trio_stats (0).first_index > 160);
    assert_true (trio_stats (0).first_index < state_of (0));
    /* Of five segments one may be the spare, and one on its way out. */
    snprintf (path, sizeof path, "%s/journal", trio.nodes[0].dir);
    TRIO_UNTIL (dir_count (path, ".wal") <= 6);
    trio_stop (0);
    start_one ();
    assert_false (trio.nodes[0].wrong);
    trio_destroy ();
}

/* The thread that leads does not wait for the disk to keep a point. */
static void test_point_hangs (void **state)
{
    (void)state;
    trio_new (1, false);
    trio.trailing = 10;
    start_one ();
    propose (50);
    TRIO_WAIT (trio.nodes[0].n_acked == 50);
    faults_hang (IO_RENAME, 0, "/journal/point");
    journal_applied (trio.nodes[0].journal, state_of (0));
    TRIO_UNTIL (faults_hanging () == 1);
    journal_read_point (trio.nodes[0].journal, 1);
    TRIO_WAIT (trio.nodes[0].n_reads == 1);
    assert_int_equal (trio_stats (0).first_index, 1);
    faults_release ();
    TRIO_UNTIL (trio_stats (0).first_index > 30);
    propose (5);
    TRIO_WAIT (trio.nodes[0].n_acked == 55);
    trio_destroy ();
}

/* Nor for one that has no room for it, which is not the end. */
static void test_no_room_for_point (void **state)
{
    (void)state;
    trio_new (1, false);
    trio.trailing = 10;
    start_one ();
    propose (50);
    TRIO_WAIT (trio.nodes[0].n_acked == 50);
    faults_hold_file (IO_OPEN, "/journal/point", ENOSPC);
    uint64_t opened = faults_count (IO_OPEN);
    journal_applied (trio.nodes[0].journal, state_of (0));
    TRIO_UNTIL (faults_count (IO_OPEN) > opened);
    propose (5);
    TRIO_WAIT (trio.nodes[0].n_acked == 55);
    assert_int_equal (trio.nodes[0].failed, 0);
    assert_int_equal (trio_stats (0).first_index, 1);
    faults_hold (IO_OPEN, 0);
    for (int i = 0; i < 12000 && trio_stats (0).first_index == 1; i++) {
        journal_applied (trio.nodes[0].journal, state_of (0));
        usleep (5000);
    }
    assert_true (trio_stats (0).first_index > 30);
    trio_destroy ();
}

/* Nor for old entries to come from the disk. */
static void test_read_hangs (void **state)
{
    (void)state;
    trio_new (1, false);
    start_one ();
    propose (50);
    TRIO_WAIT (trio.nodes[0].n_acked == 50);
    trio_stop (0);
    trio.nodes[0].state = (state_t){0};
    faults_hang (IO_PREAD, LARGE, ".wal");
    trio_start (0);
    TRIO_UNTIL (faults_hanging () == 1);
    journal_read_point (trio.nodes[0].journal, 1);
    TRIO_WAIT (trio.nodes[0].n_reads == 1);
    assert_int_equal (state_of (0), 0);
    faults_release ();
    TRIO_UNTIL (state_of (0) >= 52);
    TRIO_WAIT (trio.nodes[0].role == JOURNAL_LEADER);
    assert_false (trio.nodes[0].wrong);
    trio_destroy ();
}

/* What was proposed when the broker fails may be on its way to others: nothing final is
 * said of it. */
static void test_nothing_final (void **state)
{
    (void)state;
    trio_new (1, false);
    trio.window_bytes = 30 * LARGE;
    node_t *node = &trio.nodes[0];
    start_one ();
    propose (1900); /* more than is kept in memory */
    TRIO_UNTIL (trio_stats (0).committed >= 1902 && acked_of (0) >= 30);
    faults_hang (IO_PREAD, LARGE, ".wal");
    journal_applied (node->journal, state_of (0));
    TRIO_UNTIL (faults_hanging () == 1);
    node->holds = true;
    journal_read_point (node->journal, 1);
    TRIO_WAIT (node->held);
    /* The thread that leads is held up: what comes now, it will find together. */
    propose (5);
    faults_hold_file (IO_PREAD, ".wal", EIO);
    faults_release ();
    TRIO_UNTIL (faults_hanging () == 0);
    usleep (50000);
    pthread_mutex_lock (&trio.lock);
    node->holds = false;
    pthread_cond_broadcast (&trio.changed);
    pthread_mutex_unlock (&trio.lock);
    TRIO_WAIT (node->failed);
    assert_int_equal (node->failed, DFS_EIO);
    faults_hold (IO_PREAD, 0);
    trio_stop (0);
    assert_int_equal (node->n_final, 0);
    trio_destroy ();
}

/* A leader whose disk hangs says nothing of it to others: it has to hand the lead on.
 */
static void test_leader_hangs (void **state)
{
    (void)state;
    char part[64];
    trio_new (3, false);
    trio.hang_ms = 1000;
    trio_start_all ();
    trio_commit (50);
    trio_same (50);
    size_t hung = trio_leader ();
    snprintf (part, sizeof part, "/%s/journal/0", trio.nodes[hung].name);
    faults_hang (IO_FDATASYNC, 0, part);
    /* It gets something to write, and others get it as well. */
    node_t *node = &trio.nodes[hung];
    uint64_t cookie = ++trio.cookie, value[20] = {cookie};
    dfs_error_t err;
    journal_propose (node->journal, &(journal_proposal_t){value, sizeof value, cookie},
                     1, &err);
    TRIO_WAIT (node->role != JOURNAL_LEADER);
    TRIO_UNTIL (faults_hanging () > 0);
    assert_int_not_equal (trio_leader (), hung);
    trio_commit (50);
    TRIO_UNTIL (trio_stats (hung).trouble == JOURNAL_STUCK);
    trio_commit (50);
    assert_int_not_equal (node->role, JOURNAL_LEADER);
    assert_int_equal (trio_stats (hung).trouble, JOURNAL_STUCK);
    assert_non_null (strstr (trio_stats (hung).why, "does not end"));
    faults_release ();
    TRIO_UNTIL (trio_stats (hung).trouble == JOURNAL_WELL);
    trio_commit (10);
    trio_same (150);
    trio_destroy ();
}

static void say_hangs (size_t i, bool hangs)
{
    journal_say (trio.nodes[i].journal, &(journal_word_t){.hangs = hangs});
}

/* Likewise one whose state machine does not go on, while its log does. */
static void test_state_hangs (void **state)
{
    (void)state;
    trio_new (3, false);
    for (size_t i = 0; i < 3; i++)
        trio_start (i);
    trio_commit (50);
    trio_same (50);
    size_t hung = trio_leader ();
    node_t *node = &trio.nodes[hung];
    say_hangs (hung, true);
    TRIO_WAIT (node->role != JOURNAL_LEADER);
    size_t next = trio_leader ();
    assert_int_not_equal (next, hung);
    trio_commit (50);
    TRIO_UNTIL (trio_stats (hung).trouble == JOURNAL_HANGS);
    assert_non_null (strstr (trio_stats (hung).why, "disk of the namespace"));
    const journal_stats_t stats = trio_stats (next);
    for (size_t i = 0; i < stats.n_members; i++) {
        const char *name = stats.members[i].name;
        bool other = strcmp (name, node->name) != 0;
        TRIO_UNTIL ((trio_stats (next).members[i].trouble == JOURNAL_HANGS) == !other);
    }
    /* It does not take the lead, nor asks for it, when the leader goes. */
    trio_stop (next);
    assert_int_not_equal (trio_leader (), hung);
    trio_start (next);
    say_hangs (hung, false);
    TRIO_UNTIL (trio_stats (hung).trouble == JOURNAL_WELL);
    trio_commit (10);
    trio_same (110);
    trio_destroy ();
}

/* A vote that reads back otherwise than it was written is noticed. */
static void test_vote (void **state)
{
    char *dir = dir_make ();
    (void)state;
    dfs_error_t err;
    vote_t vote;
    assert_int_equal (vote_load (dir, &vote, &err), 0);
    assert_int_equal (vote_save (dir, &(vote_t){77, 3}, &err), DFS_OK);
    assert_int_equal (vote_load (dir, &vote, &err), 1);
    assert_int_equal (vote.term, 77);
    assert_int_equal (vote.voted_for, 3);
    char path[4096];
    snprintf (path, sizeof path, "%s/vote", dir);
    for (int i = 0; i < 32; i++) {
        FILE *f = fopen (path, "r+");
        assert_non_null (f);
        fseek (f, i, SEEK_SET);
        int byte = fgetc (f);
        fseek (f, i, SEEK_SET);
        fputc (byte ^ 4, f);
        fclose (f);
        assert_true (vote_load (dir, &vote, &err) < 0);
        f = fopen (path, "r+");
        fseek (f, i, SEEK_SET);
        fputc (byte, f);
        fclose (f);
    }
    assert_int_equal (vote_load (dir, &vote, &err), 1);
    dir_remove (dir);
}

/* On a full disk a term and a vote can be saved all the same. */
static void test_vote_without_room (void **state)
{
    char *dir = dir_make ();
    (void)state;
    dfs_error_t err;
    vote_t vote;
    assert_int_equal (vote_save (dir, &(vote_t){7, 3}, &err), DFS_OK);
    faults_hold_file (IO_OPEN, "/vote.new", ENOSPC);
    assert_int_equal (vote_save (dir, &(vote_t){8, 2}, &err), DFS_OK);
    faults_hold (IO_OPEN, 0);
    assert_int_equal (vote_load (dir, &vote, &err), 1);
    assert_int_equal (vote.term, 8);
    assert_int_equal (vote.voted_for, 2);
    dir_remove (dir);
}

static int set_up (void **state)
{
    (void)state;
    faults_start ();
    return 0;
}

static int tear_down (void **state)
{
    (void)state;
    faults_release ();
    faults_stop ();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)

int main (int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {
        TEST (test_vote),
        TEST (test_vote_without_room),
        TEST (test_window),
        TEST (test_log_bytes),
        TEST (test_point_hangs),
        TEST (test_read_hangs),
        TEST (test_no_room_for_point),
        TEST (test_nothing_final),
        TEST (test_leader_hangs),
        TEST (test_state_hangs),
    };
    if (argc < 2)
        log_nothing ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("journal_disk", tests, NULL, NULL);
}
