/* SPDX-License-Identifier: MPL-2.0 */
/* Three brokers' journals over real sockets: elections, replication, those who were
 * away, and one that lost its data. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal/point.h"

#include "journal_dir.h"
#include "journal_trio.h"

#include <cmocka.h> /* last: it has a macro fail */

static void test_elect_and_commit (void **state)
{
    (void)state;
    trio_new (3, true);
    trio_start_all ();
    size_t leader = trio_leader ();
    trio_commit (500);
    trio_same (500);
    node_t *node = &trio.nodes[leader];
    journal_read_point (node->journal, 1);
    TRIO_WAIT (node->n_reads == 1);
    if (node->role == JOURNAL_LEADER) {
        assert_int_equal (node->read_code, DFS_OK);
        assert_in_range (node->read_index, 501, 520);
    }
    /* One that does not lead refuses. */
    node_t *other = &trio.nodes[(leader + 1) % 3];
    dfs_error_t err;
    if (other->role == JOURNAL_FOLLOWER) {
        assert_int_equal (
            journal_propose (other->journal, &(journal_proposal_t){"x", 1, 9}, 1, &err),
            DFS_ENOTLEADER);
        journal_read_point (other->journal, 2);
        TRIO_WAIT (other->n_reads == 1);
        assert_int_equal (other->read_code, DFS_ENOTLEADER);
    }
    trio_destroy ();
}

static void test_leader_stops (void **state)
{
    (void)state;
    trio_new (3, true);
    trio_start_all ();
    trio_commit (200);
    for (int round = 0; round < 3; round++) {
        size_t leader = trio_leader ();
        trio_stop (leader);
        trio_commit (200);
        assert_int_not_equal (trio_leader (), leader);
        trio_same (200);
        trio_start (leader);
        trio_same (400 + 200 * (uint64_t)round);
    }
    /* All at once, and again. */
    for (size_t i = 0; i < 3; i++)
        trio_stop (i);
    trio_start_all ();
    trio_commit (100);
    trio_same (900);
    trio_destroy ();
}

/* Hands the lead from whoever has it to the next one; returns its number. With busy
 * disks a third may be elected instead: then the operator's program asks that one. */
static size_t transfer (void)
{
    for (int i = 0;; i++) {
        size_t leader = trio_leader (), to = (leader + 1) % 3;
        node_t *node = &trio.nodes[leader];
        uint64_t n = node->n_answers;
        journal_transfer (node->journal, trio.nodes[to].name, 7);
        TRIO_WAIT (node->n_answers == n + 1);
        if (node->answer == DFS_OK)
            return to;
        assert_null (strstr (node->text, "did not take"));
        assert_in_range (i, 0, 9);
    }
}

static void test_transfer (void **state)
{
    (void)state;
    trio_new (3, false);
    trio_start_all ();
    trio_commit (50);
    trio_same (50);
    transfer ();
    trio_commit (50);
    trio_same (100);
    trio_destroy ();
}

static atomic_bool proposing;

/* Most of an election timeout for each write to a log, votes and all else as ever. */
static int slow_log (enum io_op op, int fd, const char *path, const char *path2,
                     uint64_t offset, uint64_t len, const struct iovec *iov, int iovcnt,
                     void *arg)
{
    char link[64], name[4300] = "";
    (void)path;
    (void)path2;
    (void)offset;
    (void)len;
    (void)iov;
    (void)iovcnt;
    (void)arg;
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    if (proposing && op == IO_FDATASYNC && readlink (link, name, sizeof name - 1) > 0 &&
        strstr (name, ".wal"))
        usleep (250000);
    return 0;
}

static void *propose_on (void *arg)
{
    uint64_t value[20] = {0};
    journal_proposal_t proposal = {value, sizeof value, UINT64_MAX};
    (void)arg;
    while (proposing) {
        for (size_t i = 0; i < 3; i++)
            if (trio.nodes[i].role == JOURNAL_LEADER)
                (void)journal_propose (trio.nodes[i].journal, &proposal, 1, NULL);
        usleep (5000);
    }
    return NULL;
}

/* The one that shall lead never has all there is, and gets it only more slowly than the
 * core waits for it. */
static void test_transfer_busy (void **state)
{
    pthread_t thread;
    (void)state;
    trio_new (3, false);
    io_set_hook (&(io_hook_t){.before = slow_log});
    trio_start_all ();
    trio_commit (1);
    proposing = true;
    assert_int_equal (pthread_create (&thread, NULL, propose_on, NULL), 0);
    usleep (600000); /* in the midst of a write */
    transfer ();
    proposing = false;
    pthread_join (thread, NULL);
    trio_destroy ();
    io_set_hook (NULL);
}

/* A broker that was away so long that the log has been trimmed gets a state. */
static void test_state_for_one_behind (void **state)
{
    (void)state;
    trio_new (3, true);
    trio.trailing = 200;
    trio_start_all ();
    trio_commit (100);
    trio_same (100);
    size_t away = (trio_leader () + 1) % 3;
    trio_stop (away);
    trio_commit (3000);
    journal_stats_t stats;
    journal_stats (trio.nodes[trio_leader ()].journal, &stats);
    assert_true (stats.first_index > 1000);
    trio_start (away);
    trio_commit (100);
    trio_same (3200);
    assert_true (trio.nodes[away].taken > 0);
    /* Once its log has gone on from that state, no entry may be missing any more. */
    trio_commit (1000);
    trio_same (4200);
    point_t point;
    char dir[4300];
    snprintf (dir, sizeof dir, "%s/journal", trio.nodes[away].dir);
    assert_int_equal (point_load (dir, POINT_FILE, &point, NULL), 1);
    for (int i = 0; i < 600 && point.state; i++) {
        usleep (50000);
        trio_commit (100);
        assert_int_equal (point_load (dir, POINT_FILE, &point, NULL), 1);
    }
    assert_int_equal (point.state, 0);
    uint64_t n = trio.nodes[trio_leader ()].state.n;
    /* It is as good as the others now. */
    size_t other = (away + 1) % 3;
    trio_stop (other);
    trio_commit (100);
    trio_same (n + 100);
    trio_stop (away);
    trio_start (away);
    trio_commit (10);
    trio_same (n + 110);
    trio_destroy ();
}

static const journal_member_t *member (const journal_stats_t *stats, uint64_t id)
{
    for (size_t i = 0; i < stats->n_members; i++)
        if (stats->members[i].id == id)
            return &stats->members[i];
    return NULL;
}

/* A broker that comes back without its data asks, cannot make up a majority, and votes
 * only once it has taken the place of the one it was. */
static void test_wiped (void **state)
{
    (void)state;
    trio_new (3, true);
    trio.trailing = 200;
    trio_start_all ();
    trio_commit (1500);
    trio_same (1500);
    size_t leader = trio_leader (), wiped = (leader + 1) % 3, third = (leader + 2) % 3;
    trio_stop (wiped);
    trio_wipe (wiped);
    trio_stop (third);
    trio_start (wiped);
    node_t *node = &trio.nodes[leader], *fresh = &trio.nodes[wiped];
    TRIO_WAIT (node->role != JOURNAL_LEADER);
    usleep (1500000);
    assert_int_not_equal (node->role, JOURNAL_LEADER);
    assert_int_not_equal (fresh->role, JOURNAL_LEADER);
    trio_start (third);
    trio_commit (50);

    journal_stats_t stats = {0};
    const journal_member_t *m = NULL;
    for (int i = 0; i < 600 && !m; i++) {
        usleep (50000);
        leader = trio_leader ();
        node = &trio.nodes[leader];
        journal_stats (node->journal, &stats);
        m = member (&stats, fresh->id);
    }
    assert_non_null (m);
    assert_int_equal (m->part, JOURNAL_JOINER);
    journal_stats (fresh->journal, &stats);
    assert_int_equal (stats.part, JOURNAL_JOINER);

    for (int i = 0; i < 20; i++) {
        node = &trio.nodes[trio_leader ()];
        uint64_t before = node->n_answers;
        journal_replace (node->journal, fresh->name, fresh->name, 5);
        TRIO_WAIT (node->n_answers > before);
        if (node->answer == DFS_OK)
            break;
    }
    assert_int_equal (node->answer, DFS_OK);
    trio_commit (50);
    trio_same (1600);
    assert_true (fresh->taken > 0);
    journal_stats (trio.nodes[trio_leader ()].journal, &stats);
    for (int i = 0; i < 600 && stats.n_members != 3; i++) {
        usleep (50000);
        journal_stats (trio.nodes[trio_leader ()].journal, &stats);
    }
    assert_int_equal (stats.n_members, 3);
    m = member (&stats, fresh->id);
    assert_non_null (m);
    assert_int_equal (m->part, JOURNAL_VOTER);
    /* Now it counts. */
    trio_stop (third);
    trio_commit (50);
    trio_same (1650);
    trio_destroy ();
}

/* Waits up to a minute until broker I says WHY it does not come along. */
static void wait_why (size_t i, const char *why)
{
    for (int k = 0; k < 6000 && !strstr (trio_stats (i).why, why); k++)
        usleep (10000);
    assert_non_null (strstr (trio_stats (i).why, why));
}

/* A broker that cannot take a state keeps what it has, runs on, and says so; also after
 * its next start. */
static void test_state_refused (void **state)
{
    (void)state;
    trio_new (3, true);
    trio.trailing = 200;
    trio_start_all ();
    trio_commit (100);
    trio_same (100);
    size_t away = (trio_leader () + 1) % 3;
    node_t *node = &trio.nodes[away];
    trio_stop (away);
    trio_commit (2000);
    node->refuses = true;
    state_t before = node->state;
    for (int i = 0; i < 2; i++) {
        uint64_t refused = node->refused;
        trio_start (away);
        TRIO_WAIT (node->refused > refused);
        wait_why (away, "a format of tomorrow");
        assert_int_equal (trio_stats (away).trouble, JOURNAL_REFUSES);
        trio_commit (20);
        assert_int_equal (node->failed, 0);
        assert_memory_equal (&node->state, &before, sizeof before);
        bool told = false;
        for (int k = 0; k < 6000 && !told; k++, usleep (10000)) {
            journal_stats_t s = trio_stats (trio_leader ());
            const journal_member_t *m = member (&s, node->id);
            told = m && m->trouble == JOURNAL_REFUSES;
        }
        assert_true (told);
        trio_stop (away);
    }
    node->refuses = false;
    trio_start (away);
    trio_commit (20);
    trio_same (2160);
    assert_true (node->taken > 0);
    trio_destroy ();
}

/* While nothing begins each one says for whom it waits. */
static void test_founding_waits (void **state)
{
    (void)state;
    trio_new (3, true);
    trio_start (0);
    wait_why (0, "b3 is not heard");
    assert_non_null (strstr (trio_stats (0).why, "b2 is not heard"));
    trio_start (1);
    wait_why (1, "b1, the first of the list, has not begun");
    for (int k = 0; k < 6000 && strstr (trio_stats (0).why, "b2"); k++)
        usleep (10000);
    assert_string_equal (trio_stats (0).why, "nothing begins: b3 is not heard");
    trio_start (2);
    trio_commit (20);
    trio_same (20);
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 6000 && trio_stats (i).why[0]; k++)
            usleep (10000);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal (trio_stats (i).why, "");
    trio_destroy ();
}

/* A broker that waits for the others makes no log of its own when its list shrinks. */
static void test_no_founding_after_reload (void **state)
{
    (void)state;
    trio_new (3, true);
    trio_start (1);
    trio_brokers (1, 1, 2);
    usleep (1000000);
    assert_int_equal (trio.nodes[1].role, JOURNAL_FOLLOWER);
    journal_stats_t stats;
    journal_stats (trio.nodes[1].journal, &stats);
    assert_int_equal (stats.last_index, 0);
    trio_brokers (1, 0, 3);
    trio_start (0);
    trio_start (2);
    trio_commit (20);
    trio_same (20);
    trio_destroy ();
}

/* Nobody begins while two have different lists. */
static void test_different_lists (void **state)
{
    (void)state;
    trio_new (3, true);
    trio_start (0);
    trio_start_with (1, 0, 2);
    trio_start (2);
    usleep (1500000);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal (trio.nodes[i].role, JOURNAL_FOLLOWER);
    trio_stop (1);
    trio_start (1);
    trio_commit (20);
    trio_same (20);
    trio_destroy ();
}

/* A broker that has begun a log of its own is not taken in with it: up to where terms
 * and indexes are the same it would keep what nobody else has. */
static void test_foreign_log (void **state)
{
    (void)state;
    trio_new (3, true);
    node_t *foreign = &trio.nodes[2];
    trio_start_with (2, 2, 3);
    TRIO_WAIT (foreign->role == JOURNAL_LEADER);
    dfs_error_t err;
    uint64_t values[20] = {77};
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal (journal_propose (foreign->journal,
                                           &(journal_proposal_t){values, 160, i}, 1,
                                           &err),
                          DFS_OK);
    TRIO_WAIT (foreign->acked == 10);
    trio_stop (2);
    state_t before = foreign->state;

    trio_start_with (0, 0, 2);
    trio_start_with (1, 0, 2);
    trio_commit (50);
    trio_same (50);
    trio_brokers (0, 0, 3);
    trio_brokers (1, 0, 3);
    trio_start (2);
    for (int i = 0; i < 200; i++) {
        node_t *node = &trio.nodes[trio_leader ()];
        uint64_t answers = node->n_answers;
        journal_replace (node->journal, NULL, foreign->name, 5);
        TRIO_WAIT (node->n_answers > answers);
        assert_int_not_equal (node->answer, DFS_OK);
        if (node->answer == DFS_ECLUSTER)
            break;
        usleep (100000);
    }
    TRIO_WAIT (trio.nodes[0].answer == DFS_ECLUSTER ||
               trio.nodes[1].answer == DFS_ECLUSTER);
    trio_commit (50);
    assert_memory_equal (&foreign->state.sum, &before.sum, sizeof before.sum);
    trio_destroy ();
}

int main (int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_elect_and_commit),
        cmocka_unit_test (test_leader_stops),
        cmocka_unit_test (test_transfer),
        cmocka_unit_test (test_transfer_busy),
        cmocka_unit_test (test_state_for_one_behind),
        cmocka_unit_test (test_wiped),
        cmocka_unit_test (test_state_refused),
        cmocka_unit_test (test_founding_waits),
        cmocka_unit_test (test_no_founding_after_reload),
        cmocka_unit_test (test_different_lists),
        cmocka_unit_test (test_foreign_log),
    };
    if (argc < 2)
        log_nothing ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("journal_three", tests, NULL, NULL);
}
