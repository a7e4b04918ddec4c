/* SPDX-License-Identifier: MPL-2.0 */
/* The journal with one voter, as the broker sees it. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal/journal.h"

#include "journal_dir.h"

#include <cmocka.h> /* last: it has a macro fail */

#define SEGMENT (64 * 1024)
#define MOST    200000

/* What the callbacks said. */
typedef struct heard {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t expected; /* next index */
    bool wrong;        /* an index out of order, a content that is not its cookie's */
    bool leader;
    uint64_t term;
    bool early; /* a cookie before the role, or replay after it */
    uint64_t cookies[MOST];
    size_t n_cookies;
    size_t n_replayed;
    size_t n_dropped;
    int dropped_code;
    int failed_code;
    uint64_t read_index;
    int read_code;
    size_t n_reads;
    atomic_long block_us; /* in committed, to make a group form behind it */
} heard_t;

static heard_t heard;

static void committed (const journal_entry_t *entries, size_t n, void *arg)
{
    heard_t *h = arg;
    if (h->block_us)
        usleep ((useconds_t)h->block_us);
    pthread_mutex_lock (&h->lock);
    for (size_t i = 0; i < n; i++) {
        h->wrong |= entries[i].index != h->expected++;
        uint64_t cookie = 0;
        if (entries[i].len >= 8)
            memcpy (&cookie, entries[i].data, 8);
        if (entries[i].cookie) {
            h->wrong |= cookie != entries[i].cookie;
            h->early |= !h->leader;
            if (h->n_cookies < MOST)
                h->cookies[h->n_cookies++] = cookie;
        } else if (entries[i].len) {
            h->early |= h->leader;
            h->n_replayed++;
        } /* else of the journal's own: the set of brokers, a leader's first */
    }
    pthread_cond_broadcast (&h->changed);
    pthread_mutex_unlock (&h->lock);
}

static void dropped (const uint64_t *cookies, size_t n, int code, void *arg)
{
    (void)cookies;
    heard_t *h = arg;
    pthread_mutex_lock (&h->lock);
    h->n_dropped += n;
    h->dropped_code = code;
    pthread_cond_broadcast (&h->changed);
    pthread_mutex_unlock (&h->lock);
}

static void role (enum journal_role new_role, uint64_t term, const char *leader,
                  void *arg)
{
    (void)leader;
    heard_t *h = arg;
    pthread_mutex_lock (&h->lock);
    h->leader = new_role == JOURNAL_LEADER;
    h->term = term;
    pthread_cond_broadcast (&h->changed);
    pthread_mutex_unlock (&h->lock);
}

static void read_point (uint64_t cookie, int code, uint64_t index, void *arg)
{
    (void)cookie;
    heard_t *h = arg;
    pthread_mutex_lock (&h->lock);
    h->read_index = index;
    h->read_code = code;
    h->n_reads++;
    pthread_cond_broadcast (&h->changed);
    pthread_mutex_unlock (&h->lock);
}

static void failed (const dfs_error_t *err, void *arg)
{
    heard_t *h = arg;
    pthread_mutex_lock (&h->lock);
    h->failed_code = err->code;
    pthread_cond_broadcast (&h->changed);
    pthread_mutex_unlock (&h->lock);
}

#define WAIT(condition)                                                                \
    do {                                                                               \
        struct timespec until;                                                         \
        clock_gettime (CLOCK_REALTIME, &until);                                        \
        until.tv_sec += 60;                                                            \
        int late = 0;                                                                  \
        pthread_mutex_lock (&heard.lock);                                              \
        while (!(condition) && !late)                                                  \
            late = pthread_cond_timedwait (&heard.changed, &heard.lock, &until);       \
        bool there = (condition);                                                      \
        pthread_mutex_unlock (&heard.lock);                                            \
        if (!there)                                                                    \
            describe ();                                                               \
        assert_true (there);                                                           \
    } while (0)

/* For a wait that was in vain. */
static void describe (void)
{
    print_error ("next %llu leader %d term %llu cookies %zu replayed %zu dropped %zu "
                 "(%d) failed %d reads %zu (%d) wrong %d early %d\n",
                 (unsigned long long)heard.expected, heard.leader,
                 (unsigned long long)heard.term, heard.n_cookies, heard.n_replayed,
                 heard.n_dropped, heard.dropped_code, heard.failed_code, heard.n_reads,
                 heard.read_code, heard.wrong, heard.early);
}

static journal_t *start (const char *dir, uint64_t applied, uint64_t segment,
                         uint64_t trailing, dfs_error_t *err)
{
    memset (&heard, 0, sizeof heard);
    pthread_mutex_init (&heard.lock, NULL);
    pthread_cond_init (&heard.changed, NULL);
    heard.expected = applied + 1;
    return journal_open (&(journal_config_t){.dir = dir,
                                             .applied = applied,
                                             .segment_size = segment,
                                             .trailing = trailing,
                                             .events = {.committed = committed,
                                                        .dropped = dropped,
                                                        .role = role,
                                                        .read_point = read_point,
                                                        .failed = failed,
                                                        .arg = &heard}},
                         err);
}

static int propose (journal_t *journal, uint64_t cookie, size_t len, dfs_error_t *err)
{
    uint8_t *data = calloc (1, len < 8 ? 8 : len);
    memcpy (data, &cookie, 8);
    int rc = journal_propose (
        journal, &(journal_proposal_t){data, len < 8 ? 8 : len, cookie}, 1, err);
    free (data);
    return rc;
}

static void test_commit_and_replay (void **state)
{
    journal_t *journal = start (*state, 0, SEGMENT, 0, NULL);
    assert_non_null (journal);
    WAIT (heard.leader);
    for (uint64_t i = 1; i <= 1000; i++)
        assert_int_equal (propose (journal, i, 100, NULL), DFS_OK);
    WAIT (heard.n_cookies == 1000);
    journal_stats_t stats;
    /* Before them: the set of brokers, and the begin of the leader's term. What is told
     * may lag behind what is delivered. */
    for (int i = 0; i < 20000; i++) {
        journal_stats (journal, &stats);
        if (stats.committed >= 1002)
            break;
        usleep (1000);
    }
    assert_int_equal (stats.committed, 1002);
    assert_int_equal (stats.last_index, 1002);
    assert_int_equal (stats.term, 2);
    assert_int_equal (heard.term, 2);
    assert_int_equal (stats.part, JOURNAL_VOTER);
    assert_int_equal (stats.n_members, 1);
    assert_int_equal (stats.role, JOURNAL_LEADER);
    journal_read_point (journal, 7);
    WAIT (heard.n_reads == 1);
    assert_int_equal (heard.read_code, DFS_OK);
    assert_int_equal (heard.read_index, 1002);
    /* What was proposed is written before it stops. */
    for (uint64_t i = 1001; i <= 1100; i++)
        assert_int_equal (propose (journal, i, 100, NULL), DFS_OK);
    journal_close (&journal);
    assert_null (journal);
    assert_int_equal (heard.n_cookies, 1100);
    assert_false (heard.wrong);
    assert_false (heard.early);
    for (uint64_t i = 0; i < 1100; i++)
        assert_int_equal (heard.cookies[i], i + 1);

    journal = start (*state, 401, SEGMENT, 0, NULL);
    WAIT (heard.leader);
    assert_int_equal (heard.n_replayed, 701);
    assert_int_equal (propose (journal, 9, 10, NULL), DFS_OK);
    WAIT (heard.n_cookies == 1);
    assert_int_equal (heard.expected, 1105);
    assert_false (heard.wrong);
    assert_false (heard.early);
    journal_close (&journal);
}

static void test_group_commit (void **state)
{
    journal_t *journal = start (*state, 0, 1024 * 1024, 0, NULL);
    WAIT (heard.leader);
    assert_int_equal (propose (journal, 1, 8, NULL), DFS_OK);
    WAIT (heard.n_cookies == 1);
    usleep (100000); /* the spare segment's own writes are over */
    heard.block_us = 2000;
    faults_arm (IO_OPEN, 0, 0);
    for (uint64_t i = 2; i <= 2001; i++)
        assert_int_equal (propose (journal, i, 8, NULL), DFS_OK);
    WAIT (heard.n_cookies == 2001);
    assert_in_range (faults_count (IO_FDATASYNC), 1, 200);
    assert_int_equal (faults_count (IO_PWRITE), faults_count (IO_FDATASYNC));
    journal_close (&journal);

    /* Alone, each commit is one write and one sync. */
    journal = start (*state, 2001, 1024 * 1024, 0, NULL);
    WAIT (heard.leader);
    for (uint64_t i = 1; i <= 21; i++) {
        assert_int_equal (propose (journal, i, 8, NULL), DFS_OK);
        WAIT (heard.n_cookies == i);
        if (i == 1) { /* which also says that a new writer has begun */
            usleep (100000);
            faults_arm (IO_OPEN, 0, 0);
        }
    }
    assert_int_equal (faults_count (IO_FDATASYNC), 20);
    assert_int_equal (faults_count (IO_PWRITE), 20);
    journal_close (&journal);
}

static void test_memory_is_bounded (void **state)
{
    journal_t *journal = start (*state, 0, 8 * 1024 * 1024, 0, NULL);
    WAIT (heard.leader);
    heard.block_us = 300000; /* the first group is held up in its callback */
    dfs_error_t err;
    assert_int_equal (propose (journal, 1, 1024 * 1024 + 1, &err), DFS_ETOOBIG);
    uint64_t n = 0;
    int rc = DFS_OK;
    while (rc == DFS_OK && n < 1000) {
        rc = propose (journal, n + 1, 1024 * 1024 - 64, &err);
        n += rc == DFS_OK;
    }
    assert_int_equal (rc, DFS_EAGAIN);
    assert_in_range (n, 63, 80);
    heard.block_us = 0;
    WAIT (heard.n_cookies >= 60);
    /* No more is delivered before some of it is known to be applied. */
    journal_applied (journal, 60);
    WAIT (heard.n_cookies == n);
    assert_int_equal (propose (journal, n + 1, 10, &err), DFS_OK);
    WAIT (heard.n_cookies == n + 1);
    assert_false (heard.wrong);
    journal_close (&journal);
}

static void test_trim (void **state)
{
    char path[4096];
    snprintf (path, sizeof path, "%s/journal", (char *)*state);
    journal_t *journal = start (*state, 0, SEGMENT, 100, NULL);
    WAIT (heard.leader);
    for (uint64_t i = 1; i <= 3000; i++)
        assert_int_equal (propose (journal, i, 300, NULL), DFS_OK);
    WAIT (heard.n_cookies == 3000);
    journal_applied (journal, 2500);
    journal_stats_t stats = {0};
    for (int i = 0; i < 500 && stats.first_index < 2401; i++) {
        usleep (10000);
        journal_stats (journal, &stats);
    }
    assert_int_equal (stats.first_index, 2401);
    journal_close (&journal);
    assert_in_range (dir_count (path, ".wal"), 2, 6);
    journal = start (*state, 2500, SEGMENT, 100, NULL);
    WAIT (heard.leader);
    assert_int_equal (heard.n_replayed, 502);
    journal_close (&journal);
    /* A namespace that lacks what was trimmed is not served. */
    dfs_error_t err;
    assert_null (start (*state, 1000, SEGMENT, 100, &err));
    assert_int_equal (err.code, DFS_EDAMAGED);
    /* Nor one that knows entries which the log lost. */
    assert_null (start (*state, 3004, SEGMENT, 100, &err));
    assert_int_equal (err.code, DFS_EDAMAGED);
}

static void test_fail_stop (void **state)
{
    const enum io_op ops[] = {IO_PWRITE, IO_FDATASYNC};
    uint64_t applied = 0;
    for (int i = 0; i < 2; i++) {
        journal_t *journal = start (*state, applied, SEGMENT, 0, NULL);
        WAIT (heard.leader);
        assert_int_equal (propose (journal, 1, 8, NULL), DFS_OK);
        WAIT (heard.n_cookies == 1);
        usleep (50000);
        faults_arm (ops[i], 1, EIO);
        assert_int_equal (propose (journal, 2, 8, NULL), DFS_OK);
        WAIT (heard.failed_code == DFS_EIO);
        dfs_error_t err;
        assert_int_equal (propose (journal, 3, 8, &err), DFS_EIO);
        uint64_t syncs = faults_count (IO_FDATASYNC), writes = faults_count (IO_PWRITE);
        journal_read_point (journal, 1);
        WAIT (heard.n_reads == 1);
        assert_int_equal (heard.read_code, DFS_EIO);
        journal_close (&journal);
        /* Never tried again. */
        assert_int_equal (faults_count (IO_FDATASYNC), syncs);
        assert_int_equal (faults_count (IO_PWRITE), writes);
        assert_int_equal (heard.n_cookies, 1);
        assert_int_equal (heard.n_dropped, 0);
        journal = start (*state, 0, SEGMENT, 0, NULL);
        WAIT (heard.leader);
        assert_in_range (heard.n_replayed, applied + 1, applied + 2);
        applied = heard.n_replayed;
        journal_close (&journal);
    }
}

static void test_full_disk (void **state)
{
    journal_t *journal = start (*state, 0, SEGMENT, 0, NULL);
    WAIT (heard.leader);
    faults_hold (IO_FALLOCATE, ENOSPC);
    dfs_error_t err;
    uint64_t n = 0;
    int rc = DFS_OK;
    /* Not more at once than fits in a few segments: each takes its time. */
    for (int i = 0; i < 12000 && rc == DFS_OK; i++) {
        pthread_mutex_lock (&heard.lock);
        bool far = n > heard.n_cookies + 150;
        pthread_mutex_unlock (&heard.lock);
        if (!far || i % 100 == 0)
            rc = propose (journal, n + 1, 1000, &err);
        n += rc == DFS_OK && (!far || i % 100 == 0);
        usleep (far ? 5000 : 100);
    }
    assert_int_equal (rc, DFS_ENOSPC);
    /* What was taken before waits for room: how much was written depends on how many
     * went into one batch and on whether a spare segment was there already. */
    WAIT (heard.n_cookies >= 10);
    assert_in_range (heard.n_cookies, 10, 240);
    assert_true (heard.n_cookies < n);
    assert_int_equal (heard.n_dropped, 0);
    assert_int_equal (heard.failed_code, 0);
    faults_hold (IO_FALLOCATE, 0);
    WAIT (heard.n_cookies == n);
    size_t before = n;
    rc = DFS_ENOSPC;
    for (int i = 0; i < 300 && rc != DFS_OK; i++) {
        rc = propose (journal, n + 1, 1000, &err);
        usleep (10000);
    }
    assert_int_equal (rc, DFS_OK);
    WAIT (heard.n_cookies == before + 1);
    assert_false (heard.wrong);
    journal_close (&journal);
    journal = start (*state, 0, SEGMENT, 0, NULL);
    WAIT (heard.leader);
    assert_int_equal (heard.n_replayed, before + 1);
    assert_false (heard.wrong);
    journal_close (&journal);
}

/* What nobody needs any more is removed while there is no room: that makes some. */
static void test_full_disk_is_trimmed (void **state)
{
    journal_t *journal = start (*state, 0, SEGMENT, 5, NULL);
    WAIT (heard.leader);
    faults_hold (IO_FALLOCATE, ENOSPC);
    dfs_error_t err;
    uint64_t n = 0;
    while (propose (journal, n + 1, 1000, &err) == DFS_OK && n < 1000) {
        n++;
        usleep (100);
    }
    WAIT (heard.n_cookies >= 10);
    pthread_mutex_lock (&heard.lock);
    uint64_t index = heard.expected - 1;
    pthread_mutex_unlock (&heard.lock);
    journal_stats_t stats = {0};
    journal_applied (journal, index);
    for (int i = 0; i < 6000 && stats.first_index < 2; i++) {
        usleep (10000);
        journal_stats (journal, &stats);
    }
    assert_true (stats.first_index > 1);
    faults_hold (IO_FALLOCATE, 0);
    WAIT (heard.n_cookies == n);
    journal_close (&journal);
}

/* A log without its vote, or a vote without its log, is not started as if it were new.
 */
static void test_parts_missing (void **state)
{
    journal_t *journal = start (*state, 0, SEGMENT, 0, NULL);
    WAIT (heard.leader);
    assert_int_equal (propose (journal, 1, 8, NULL), DFS_OK);
    journal_close (&journal);
    char vote[4096], moved[4096], segment[4096];
    snprintf (vote, sizeof vote, "%s/journal/vote", (char *)*state);
    snprintf (moved, sizeof moved, "%s/vote", (char *)*state);
    assert_int_equal (rename (vote, moved), 0);
    dfs_error_t err;
    assert_null (start (*state, 0, SEGMENT, 0, &err));
    assert_int_equal (err.code, DFS_EDAMAGED);
    assert_non_null (strstr (err.text, "vote is missing"));
    assert_int_equal (rename (moved, vote), 0);
    for (int i = 1; i <= 2; i++) {
        snprintf (segment, sizeof segment, "%s/journal/%016x.wal", (char *)*state, i);
        assert_int_equal (unlink (segment), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_null (start (*state, 0, SEGMENT, 0, &err));
        assert_int_equal (err.code, DFS_EDAMAGED);
    }
}

static int setup (void **state)
{
    log_nothing ();
    faults_start ();
    *state = dir_make ();
    return 0;
}

static int teardown (void **state)
{
    faults_stop ();
    dir_remove (*state);
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_commit_and_replay, setup, teardown),
        cmocka_unit_test_setup_teardown (test_group_commit, setup, teardown),
        cmocka_unit_test_setup_teardown (test_memory_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown (test_trim, setup, teardown),
        cmocka_unit_test_setup_teardown (test_fail_stop, setup, teardown),
        cmocka_unit_test_setup_teardown (test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown (test_full_disk_is_trimmed, setup, teardown),
        cmocka_unit_test_setup_teardown (test_parts_missing, setup, teardown),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("journal_one", tests, NULL, NULL);
}
