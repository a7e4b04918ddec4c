/* SPDX-License-Identifier: MPL-2.0 */
/* The guards around the consensus library: for each, the fault as the library has it,
 * and that it is gone behind the guard. When a newer library has mended one, its test
 * says so by failing at the line marked FAULT. S1 and S2 are faults of older versions,
 * which must not come back. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/journal/raft_driver.h"
#include "broker/journal/raft_guards.h"
#include "broker/journal/raft_private.h"

#include <cmocka.h> /* last: it has a macro fail */

/* One core, driven by hand. */
static struct raft r;
static struct raft_update u;
static raft_time now;
static struct raft_entry log_entries[8];
static uint64_t values[8];
static uint8_t *conf;
static size_t conf_len;

static int step (struct raft_event *event)
{
    event->time = now;
    event->capacity = 1;
    memset (&u, 0, sizeof u);
    int rv = raft_step (&r, event, &u);
    bool entries = rv == 0 && (u.flags & (RAFT_UPDATE_ENTRIES));
    if (entries && u.entries.batch[0].batch != raft_borrowed)
        raft_free (u.entries.batch[0].batch); /* the core's own barrier */
    return rv;
}

static struct raft_entry command (raft_term term)
{
    return (struct raft_entry){term, RAFT_COMMAND, {&values[0], 8}, raft_borrowed};
}

static void make_conf (size_t n)
{
    const uint64_t ids[] = {1, 2, 3, 4, 5};
    const char *const addresses[] = {"a", "b", "c", "d", "e"};
    static size_t made;
    if (n == made)
        return;
    made = n;
    free (conf);
    conf = raft_driver_bootstrap (ids, addresses, n, &conf_len);
}

/* Broker 1 of N, in TERM, with the configuration and entries of TERMS (0 ends). */
static void begin (size_t n, raft_term term, const raft_term *terms)
{
    make_conf (n);
    log_entries[0] =
        (struct raft_entry){1, RAFT_CHANGE, {conf, conf_len}, raft_borrowed};
    unsigned count = 1;
    for (; terms && terms[count - 1]; count++)
        log_entries[count] = command (terms[count - 1]);
    now = 1000;
    assert_int_equal (raft_init (&r, NULL, NULL, 1, "a"), 0);
    r.tracer = NULL;
    raft_seed (&r, 1);
    struct raft_event event = {.type = RAFT_START};
    event.start.term = term;
    event.start.start_index = 1;
    event.start.entries = log_entries;
    event.start.n_entries = count;
    assert_int_equal (step (&event), 0);
}

static int receive (struct raft_message *m, raft_id from)
{
    static const char *const addresses[] = {"", "a", "b", "c", "d", "e"};
    m->server_id = from;
    m->server_address = addresses[from];
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = m;
    return step (&event);
}

static struct raft_message result_of (raft_term term, raft_index rejected,
                                      raft_index last)
{
    struct raft_message m = {.type = RAFT_APPEND_ENTRIES_RESULT};
    m.append_entries_result = (struct raft_append_entries_result){
        .version = 1, .term = term, .rejected = rejected, .last_log_index = last};
    return m;
}

static struct raft_message append_of (raft_term term, raft_index prev,
                                      raft_term prev_term, raft_index commit,
                                      struct raft_entry *entries, unsigned n)
{
    struct raft_message m = {.type = RAFT_APPEND_ENTRIES};
    m.append_entries = (struct raft_append_entries){.term = term,
                                                    .prev_log_index = prev,
                                                    .prev_log_term = prev_term,
                                                    .leader_commit = commit,
                                                    .entries = entries,
                                                    .n_entries = n};
    return m;
}

static void persisted (raft_index index)
{
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = index;
    assert_int_equal (step (&event), 0);
}

static void lead (void)
{
    now += 5000;
    struct raft_event event = {.type = RAFT_TIMEOUT};
    assert_int_equal (step (&event), 0);
    for (raft_id id = 2; raft_state (&r) != RAFT_LEADER; id++) {
        struct raft_message m = {.type = RAFT_REQUEST_VOTE_RESULT};
        m.request_vote_result = (struct raft_request_vote_result){
            .version = 2, .term = r.current_term, .vote_granted = true};
        assert_int_equal (receive (&m, id), 0);
    }
}

static void end (void)
{
    raft_close (&r, NULL);
}

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
    begin (3, 3, (const raft_term[]){2, 2, 0});
    lead ();
    for (raft_id id = 2; id <= 3; id++) {
        struct raft_message m = result_of (4, 0, 3);
        assert_int_equal (receive (&m, id), 0);
    }
    assert_int_equal (raft_commit_index (&r), 1);
    persisted (4);
    struct raft_message m = result_of (4, 0, 4);
    assert_int_equal (receive (&m, 2), 0);
    assert_int_equal (raft_commit_index (&r), 4);
    end ();
}

/* Leftovers behind what was compared with the leader are not reported as matching. */
static void test_s2 (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 3, 0});
    struct raft_message m = append_of (4, 2, 2, 2, NULL, 0);
    assert_int_equal (receive (&m, 2), 0);
    assert_int_equal (u.messages.n, 1);
    assert_int_equal (u.messages.batch[0].append_entries_result.rejected, 0);
    assert_int_equal (u.messages.batch[0].append_entries_result.last_log_index, 2);
    end ();
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

    begin (3, 9, (const raft_term[]){2, 2, 0});
    struct raft_message m = append_of (3, 0, 0, 0, NULL, 0);
    m.server_id = 2;
    assert_true (guard_is_stale (&r, &m));
    paint ();
    assert_int_equal (receive (&m, 2), 0);
    const struct raft_append_entries_result *a =
        &u.messages.batch[0].append_entries_result;
    assert_int_equal (a->rejected, 0); /* FAULT: it says "success" */
    guard_stale_replies (&u);
    assert_int_equal (a->last_log_index, 0);
    m.append_entries.term = 9;
    assert_false (guard_is_stale (&r, &m));
    end ();

    /* What such a reply does: an entry that only the leader has is committed. */
    begin (3, 3, (const raft_term[]){2, 2, 0});
    lead ();
    persisted (4);
    m = result_of (4, 0, 0);
    assert_int_equal (receive (&m, 2), 0);
    assert_int_equal (raft_commit_index (&r), 1);
    m = result_of (4, 0, 0x7f7f7f7f7f7f7f7full);
    assert_int_equal (receive (&m, 2), 0);
    assert_int_equal (raft_commit_index (&r), 4); /* FAULT */
    end ();
}

static void test_g2_leader (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 0});
    lead ();
    struct raft_message m = result_of (4, 0, 3);
    assert_int_equal (receive (&m, 2), 0);
    m = result_of (4, 2, 1); /* a rejection from before that */
    m.server_id = 2;
    assert_true (guard_rejection (&r, &m));
    assert_int_equal (m.append_entries_result.rejected, 0);
    assert_int_equal (m.append_entries_result.last_log_index, 3);
    m = result_of (4, 4, 3); /* one that is news */
    m.server_id = 2;
    assert_false (guard_rejection (&r, &m));
    m = result_of (4, 4, 1); /* one that has lost entries */
    m.server_id = 2;
    assert_true (guard_rejection (&r, &m));
    assert_int_equal (m.append_entries_result.rejected, 4);
    assert_int_equal (m.append_entries_result.last_log_index, 3);
    m = result_of (3, 2, 1); /* one of another term */
    m.server_id = 2;
    assert_false (guard_rejection (&r, &m));
    end ();
}

static void test_g2_follower (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 2, 0});
    r.trail.offset = 3; /* a snapshot of 3, and nothing of it in the log */
    r.trail.snapshot.index = 3;
    r.trail.snapshot.term = 2;
    struct raft_entry entries[4] = {command (2), command (2), command (3), command (3)};
    struct raft_message m = append_of (3, 1, 1, 1, entries, 4); /* 2, 3, 4, 5 */
    assert_true (guard_compacted (&r, &m.append_entries));
    assert_int_equal (m.append_entries.prev_log_index, 3);
    assert_int_equal (m.append_entries.prev_log_term, 2);
    assert_int_equal (m.append_entries.n_entries, 2);
    assert_ptr_equal (m.append_entries.entries, entries + 2);
    m = append_of (3, 1, 1, 1, entries, 1); /* all of it is in the snapshot */
    assert_true (guard_compacted (&r, &m.append_entries));
    assert_int_equal (m.append_entries.n_entries, 0);
    m = append_of (3, 3, 2, 1, entries, 1);
    assert_false (guard_compacted (&r, &m.append_entries));
    m = append_of (2, 1, 1, 1, entries, 1); /* of an old term */
    assert_false (guard_compacted (&r, &m.append_entries));
    end ();
}

static void test_g3 (void **state)
{
    (void)state;
    begin (3, 1, NULL);
    struct raft_entry entries[3] = {
        command (2), {2, RAFT_CHANGE, {conf, conf_len}, raft_borrowed}, command (2)};
    struct raft_message whole = append_of (2, 1, 1, 9, entries, 3);
    struct raft_message m = whole;
    assert_int_equal (receive (&m, 2), 0);
    assert_int_equal (r.configuration_uncommitted_index, 2); /* FAULT: it is entry 3 */
    end ();

    begin (3, 1, NULL);
    assert_int_equal (guard_part (entries, 3), 1);
    assert_int_equal (guard_part (entries + 1, 2), 2);
    assert_int_equal (guard_part (entries, 0), 0);
    guard_split (&whole.append_entries, 0, 1, &m.append_entries);
    assert_int_equal (m.append_entries.leader_commit, 2);
    assert_int_equal (m.append_entries.prev_log_index, 1);
    assert_int_equal (receive (&m, 2), 0);
    guard_split (&whole.append_entries, 1, 2, &m.append_entries);
    assert_int_equal (m.append_entries.prev_log_index, 2);
    assert_int_equal (m.append_entries.prev_log_term, 2);
    assert_int_equal (m.append_entries.leader_commit, 9);
    assert_int_equal (receive (&m, 2), 0);
    assert_int_equal (r.configuration_uncommitted_index, 3);
    end ();
}

static void test_g4 (void **state)
{
    (void)state;
    begin (1, 1, NULL);
    struct raft_configuration next;
    raft_configuration_init (&next);
    raft_configuration_add (&next, 1, "a", RAFT_VOTER);
    raft_configuration_add (&next, 2, "b", RAFT_STANDBY);
    struct raft_buffer buf;
    raft_configuration_encode (&next, &buf);
    raft_configuration_close (&next);
    struct raft_entry change = {r.current_term, RAFT_CHANGE, buf, raft_borrowed};
    struct raft_event event = {.type = RAFT_SUBMIT};
    event.submit.entries = &change;
    event.submit.n = 1;
    assert_true (guard_submission (&change, 1));
    assert_int_equal (step (&event), 0);
    raft_index last = raft_last_index (&r);
    struct raft_entry both[2] = {command (r.current_term), change};
    event.submit.entries = both;
    event.submit.n = 2;
    assert_false (guard_submission (both, 2));
    assert_int_equal (step (&event), RAFT_CANTCHANGE);
    assert_int_equal (raft_last_index (&r), last + 1); /* FAULT: refused, and there */
    raft_free (buf.base);
    end ();
}

static void test_g5 (void **state)
{
    (void)state;
    dfs_error_t err;
    begin (3, 3, (const raft_term[]){2, 2, 0});
    assert_int_equal (guard_change (&r, 3, &err), DFS_ENOTLEADER);
    lead ();
    assert_int_equal (guard_change (&r, 2, &err), DFS_EAGAIN);
    assert_int_equal (guard_change (&r, 4, &err), DFS_OK);
    r.configuration_uncommitted_index = 3;
    assert_int_equal (guard_change (&r, 4, &err), DFS_EAGAIN);
    r.configuration_uncommitted_index = 0;
    end ();
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
    int rc = guard_members (&r, &next, &err);
    raft_configuration_close (&next);
    return rc;
}

static void test_g6_members (void **state)
{
    (void)state;
    enum { V = RAFT_VOTER, S = RAFT_STANDBY, NONE = -1 };
    begin (3, 3, (const raft_term[]){2, 2, 0});
    lead ();
    assert_int_equal (members ((int[]){V, V, V, S}, 4), DFS_OK);
    assert_int_equal (members ((int[]){V, V, V, V}, 4), DFS_EAGAIN); /* has nothing */
    assert_int_equal (members ((int[]){V, V, V, S, S}, 5), DFS_EINVAL);
    assert_int_equal (members ((int[]){V, V, V}, 3), DFS_EINVAL); /* no change */
    assert_int_equal (members ((int[]){V, V, S}, 3), DFS_EINVAL); /* two left */
    assert_int_equal (members ((int[]){V, V, NONE}, 3), DFS_EINVAL);
    end ();
    begin (4, 4, (const raft_term[]){2, 2, 0});
    lead ();
    assert_int_equal (members ((int[]){V, V, V, NONE}, 4), DFS_OK);
    assert_int_equal (members ((int[]){NONE, V, V, V}, 4), DFS_EINVAL); /* itself */
    assert_int_equal (members ((int[]){S, V, V, V}, 4), DFS_EINVAL);
    end ();
}

static struct raft_message vote_of (raft_term term, raft_index last,
                                    raft_term last_term, bool pre_vote)
{
    struct raft_message m = {.type = RAFT_REQUEST_VOTE};
    m.request_vote = (struct raft_request_vote){.version = 2,
                                                .term = term,
                                                .candidate_id = 2,
                                                .last_log_index = last,
                                                .last_log_term = last_term,
                                                .pre_vote = pre_vote};
    return m;
}

static void test_g6_vote (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 0});
    r.configuration.servers[0].role = RAFT_STANDBY; /* as its own log has it */
    struct raft_message m = vote_of (4, 3, 2, false);
    assert_int_equal (receive (&m, 2), 0);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted); /* FAULT */
    m = vote_of (5, 3, 2, false);
    guard_vote_t vote = guard_vote_begin (&r, &m, now, 0);
    assert_int_equal (receive (&m, 2), 0);
    guard_vote_end (&r, &vote);
    assert_true (u.messages.batch[0].request_vote_result.vote_granted);
    assert_int_equal (r.voted_for, 2);
    assert_int_equal (r.configuration.servers[0].role, RAFT_STANDBY);
    /* Not a second time in that term; and not while it hears a leader. */
    m = vote_of (5, 9, 4, false);
    m.request_vote.candidate_id = 3;
    vote = guard_vote_begin (&r, &m, now, 0);
    assert_int_equal (receive (&m, 3), 0);
    guard_vote_end (&r, &vote);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted);
    m = append_of (5, 3, 2, 1, NULL, 0);
    assert_int_equal (receive (&m, 2), 0);
    m = vote_of (6, 9, 4, false);
    vote = guard_vote_begin (&r, &m, now + 10, now);
    assert_int_equal (receive (&m, 3), 0);
    guard_vote_end (&r, &vote);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted);
    end ();
}

/* The same for one that its own log removes: the entry may never be committed. */
static void test_g6_removed (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 0});
    r.configuration.servers[0].id = 4;
    struct raft_message m = vote_of (4, 3, 2, false);
    assert_int_equal (receive (&m, 2), 0);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted); /* FAULT */
    const struct raft_server *own = r.configuration.servers;
    m = vote_of (5, 3, 2, false);
    guard_vote_t vote = guard_vote_begin (&r, &m, now, 0);
    assert_int_equal (receive (&m, 2), 0);
    guard_vote_end (&r, &vote);
    assert_true (u.messages.batch[0].request_vote_result.vote_granted);
    assert_int_equal (r.voted_for, 2);
    assert_ptr_equal (r.configuration.servers, own);
    assert_int_equal (r.configuration.n, 3);
    r.configuration.servers[0].id = 1;
    end ();
}

/* One that has nothing may have had a vote, and given it. */
static void test_g6_nothing (void **state)
{
    (void)state;
    begin (3, 0, NULL);
    unsigned n = r.configuration.n;
    r.configuration.n = 0;
    struct raft_message m = vote_of (4, 3, 2, false);
    guard_vote_t vote = guard_vote_begin (&r, &m, now, 0);
    assert_false (vote.changed);
    assert_int_equal (receive (&m, 2), 0);
    guard_vote_end (&r, &vote);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted);
    r.configuration.n = n;
    end ();
}

/* A voter whose disk hangs: entry 2 of leader 2 is on its way to it, and 2 dies. */
static void test_g6_slow_disk (void **state)
{
    (void)state;
    begin (3, 2, NULL);
    struct raft_entry entry = command (2);
    struct raft_message m = append_of (2, 1, 1, 1, &entry, 1);
    assert_int_equal (receive (&m, 2), 0);
    raft_time heard = now;
    for (int i = 0; i < 100; i++) {
        now += 2000;
        struct raft_event timeout = {.type = RAFT_TIMEOUT};
        assert_int_equal (step (&timeout), 0);
    }
    assert_int_equal (r.state, RAFT_FOLLOWER);
    m = vote_of (3, 2, 2, true);
    assert_int_equal (receive (&m, 3), 0);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted); /* FAULT */
    m = vote_of (3, 2, 2, true);
    guard_vote_t vote = guard_vote_begin (&r, &m, now, now);
    assert_int_equal (receive (&m, 3), 0);
    guard_vote_end (&r, &vote);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted);
    m = vote_of (3, 2, 2, true);
    vote = guard_vote_begin (&r, &m, now, heard);
    assert_int_equal (receive (&m, 3), 0);
    guard_vote_end (&r, &vote);
    assert_true (u.messages.batch[0].request_vote_result.vote_granted);
    /* What it has received counts, written or not. */
    m = vote_of (3, 1, 1, true);
    vote = guard_vote_begin (&r, &m, now, heard);
    assert_int_equal (receive (&m, 3), 0);
    guard_vote_end (&r, &vote);
    assert_false (u.messages.batch[0].request_vote_result.vote_granted);
    end ();
}

static void test_g12 (void **state)
{
    (void)state;
    begin (1, 5, NULL);
    assert_int_equal (r.state, RAFT_LEADER);
    assert_int_equal (r.current_term, 5); /* FAULT */
    struct raft_buffer one = {conf, conf_len};
    assert_true (guard_sole_voter (&one, 1));
    assert_false (guard_sole_voter (&one, 2));
    end ();
    make_conf (3);
    struct raft_buffer three = {conf, conf_len}, none = {NULL, 0};
    assert_false (guard_sole_voter (&three, 1));
    assert_false (guard_sole_voter (&none, 1));
}

static void test_g13 (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 0});
    struct raft_message m = append_of (4, 2, 2, 1, NULL, 0);
    assert_false (guard_second_leader (&r, &m));
    lead ();
    m.append_entries.term = r.current_term;
    assert_true (guard_second_leader (&r, &m));
    m.append_entries.term = r.current_term + 1;
    assert_false (guard_second_leader (&r, &m));
    m.append_entries.term = r.current_term - 1;
    assert_false (guard_second_leader (&r, &m));
    m = result_of (r.current_term, 0, 2);
    assert_false (guard_second_leader (&r, &m));
    end ();
}

static void test_g7 (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 0});
    guard_writes_t writes = {0};
    r.last_stored = 3;
    guard_write_begin (&writes, 4, 3); /* 4, 5, 6 */
    guard_write_begin (&writes, 5, 1); /* another leader: 5 */
    assert_int_equal (guard_write_end (&writes, &r), 4);
    r.last_stored = 4;
    assert_int_equal (guard_write_end (&writes, &r), 5);
    r.last_stored = 5;
    guard_write_begin (&writes, 6, 2);
    guard_write_begin (&writes, 6, 1); /* nothing of the first is left */
    assert_int_equal (guard_write_end (&writes, &r), 0);
    assert_int_equal (guard_write_end (&writes, &r), 6);
    guard_write_begin (&writes, 7, 1);
    guard_write_void (&writes); /* a snapshot comes instead */
    assert_int_equal (guard_write_end (&writes, &r), 0);
    guard_write_begin (&writes, 7, 1);
    r.snapshot.installing = true;
    assert_int_equal (guard_write_end (&writes, &r), 0);
    r.snapshot.installing = false;
    guard_writes_release (&writes);
    end ();
}

static void test_g8 (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 2, 0});
    r.commit_index = 4;
    assert_true (guard_snapshot (&r, 3, 1));
    assert_false (guard_snapshot (&r, 5, 1)); /* not committed */
    assert_false (guard_snapshot (&r, 3, 4)); /* the brokers of later */
    r.last_stored = 2;
    assert_false (guard_snapshot (&r, 3, 1)); /* not durable */
    r.last_stored = 4;
    r.snapshot.installing = true;
    assert_false (guard_snapshot (&r, 3, 1));
    r.snapshot.installing = false;
    r.trail.snapshot.index = 3;
    assert_false (guard_snapshot (&r, 3, 1)); /* no newer one */
    r.trail.snapshot.index = 0;
    end ();
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

static int check (struct raft_message m)
{
    dfs_error_t err;
    m.server_id = 2;
    return guard_message (&m, NULL, &err);
}

static void test_g9 (void **state)
{
    (void)state;
    make_conf (3);
    struct raft_entry ok[2] = {command (2), command (3)};
    struct raft_entry falls[2] = {command (3), command (2)};
    struct raft_entry high[1] = {command (9)}, zero[1] = {command (0)};
    struct raft_entry type[1] = {command (2)};
    type[0].type = (enum raft_entry_type)4;
    struct raft_entry bad_conf[1] = {
        {2, RAFT_CHANGE, {conf, conf_len - 9}, raft_borrowed}};
    assert_int_equal (check (append_of (3, 1, 1, 1, ok, 2)), DFS_OK);
    assert_int_equal (check (append_of (0, 1, 1, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 0, 1, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 1, 0, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 1, 4, 1, NULL, 0)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 1, 1, 1, falls, 2)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 1, 1, 1, high, 1)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 0, 0, 1, zero, 1)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 1, 1, 1, type, 1)), DFS_EPROTO);
    assert_int_equal (check (append_of (3, 1, 1, 1, bad_conf, 1)), DFS_EPROTO);
    assert_int_equal (check (result_of (0, 0, 1)), DFS_EPROTO);
    assert_int_equal (check (result_of (1, 0, UINT64_MAX)), DFS_EPROTO);
    assert_int_equal (check (vote_of (4, 3, 2, true)), DFS_OK);
    assert_int_equal (check (vote_of (4, 3, 5, true)), DFS_EPROTO);
    assert_int_equal (check (vote_of (4, 0, 2, true)), DFS_EPROTO);

    /* Configurations: each byte of one changed, and each shorter one. */
    struct raft_buffer buf = {conf, conf_len};
    struct raft_configuration out;
    dfs_error_t err;
    assert_int_equal (guard_configuration (&buf, &out, &err), DFS_OK);
    assert_int_equal (out.n, 3);
    raft_configuration_close (&out);
    uint8_t *copy = malloc (conf_len);
    for (size_t i = 0; i < conf_len; i++) {
        uint8_t *cut = malloc (i + 1);
        memcpy (cut, conf, i);
        buf = (struct raft_buffer){cut, i};
        if (guard_configuration (&buf, &out, &err) == DFS_OK)
            raft_configuration_close (&out);
        free (cut);
        for (int bit = 0; bit < 8; bit++) {
            memcpy (copy, conf, conf_len);
            copy[i] ^= (uint8_t)(1 << bit);
            buf = (struct raft_buffer){copy, conf_len};
            if (guard_configuration (&buf, &out, &err) == DFS_OK)
                raft_configuration_close (&out);
        }
    }
    free (copy);
}

static void test_g10 (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 0});
    raft_set_pre_vote (&r, true);
    now += 5000;
    struct raft_event event = {.type = RAFT_TIMEOUT};
    assert_int_equal (step (&event), 0);
    assert_int_equal (raft_state (&r), RAFT_CANDIDATE);
    struct raft_message request, m = vote_of (9, 2, 2, true); /* its term is 8 */
    assert_int_equal (receive (&m, 2), 0);
    assert_int_equal (raft_current_term (&r), 3); /* FAULT: it never hears of 8 */
    m = vote_of (9, 2, 2, true);
    m.server_id = 2;
    assert_true (guard_candidate_term (&r, &m, &request));
    assert_int_equal (receive (&request, 2), 0);
    assert_int_equal (raft_current_term (&r), 8);
    assert_int_equal (r.voted_for, 0);
    assert_false (guard_candidate_term (&r, &m, &request)); /* no candidate now */
    end ();
}

static void test_g11 (void **state)
{
    (void)state;
    begin (3, 3, (const raft_term[]){2, 2, 0});
    struct raft_message m = {.type = RAFT_REQUEST_VOTE_RESULT};
    assert_true (guard_unasked (&r, &m));
    now += 5000;
    struct raft_event event = {.type = RAFT_TIMEOUT};
    assert_int_equal (step (&event), 0);
    assert_false (guard_unasked (&r, &m));
    m.type = RAFT_APPEND_ENTRIES;
    assert_false (guard_unasked (&r, &m));
    end ();
}

/* Packets: what was said is what is heard; anything changed or cut is refused or at
 * least safe to read. */
static void test_wire (void **state)
{
    (void)state;
    make_conf (3);
    struct raft_entry entries[3] = {
        command (2), {2, RAFT_CHANGE, {conf, conf_len}, NULL}, command (3)};
    struct raft_message snapshot = {.type = RAFT_INSTALL_SNAPSHOT};
    snapshot.install_snapshot = (struct raft_install_snapshot){
        .term = 5, .last_index = 40, .last_term = 4, .conf_index = 1};
    struct raft_message timeout = {.type = RAFT_TIMEOUT_NOW};
    timeout.timeout_now =
        (struct raft_timeout_now){.term = 5, .last_log_index = 9, .last_log_term = 2};
    const struct raft_message messages[] = {append_of (3, 1, 1, 1, entries, 3),
                                            append_of (3, 1, 1, 1, NULL, 0),
                                            result_of (4, 2, 1),
                                            vote_of (4, 3, 2, true),
                                            snapshot,
                                            timeout};
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        wire_packet_t out = {.from = 1,
                             .to = 2,
                             .boot = 7,
                             .seq = 9,
                             .kind = messages[i].type,
                             .message = messages[i]};
        if (messages[i].type == RAFT_INSTALL_SNAPSHOT)
            out.conf = (struct raft_buffer){conf, conf_len};
        size_t len;
        uint8_t *bytes = wire_encode (&out, &len);
        wire_packet_t in;
        dfs_error_t err;
        assert_int_equal (wire_decode (bytes, len, raft_borrowed, &in, &err), DFS_OK);
        assert_int_equal (in.seq, 9);
        assert_int_equal (in.message.server_id, 1);
        if (i == 0) {
            const struct raft_append_entries *a = &in.message.append_entries;
            assert_int_equal (a->n_entries, 3);
            assert_int_equal (a->entries[2].term, 3);
            assert_int_equal (a->entries[1].buf.len, conf_len);
            assert_memory_equal (a->entries[1].buf.base, conf, conf_len);
        }
        if (messages[i].type == RAFT_INSTALL_SNAPSHOT)
            assert_memory_equal (in.conf.base, conf, conf_len);
        wire_release (&in);
        for (size_t k = 0; k < len; k++) {
            uint8_t *cut = malloc (k + 1); /* so that a read behind it is noticed */
            memcpy (cut, bytes, k);
            assert_int_equal (wire_decode (cut, k, raft_borrowed, &in, &err),
                              DFS_EPROTO);
            free (cut);
            for (int bit = 0; bit < 8; bit++) {
                bytes[k] ^= (uint8_t)(1 << bit);
                if (wire_decode (bytes, len, raft_borrowed, &in, &err) == DFS_OK)
                    wire_release (&in);
                bytes[k] ^= (uint8_t)(1 << bit);
            }
        }
        free (bytes);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_s1),          cmocka_unit_test (test_s2),
        cmocka_unit_test (test_g1),          cmocka_unit_test (test_g2_leader),
        cmocka_unit_test (test_g2_follower), cmocka_unit_test (test_g3),
        cmocka_unit_test (test_g4),          cmocka_unit_test (test_g5),
        cmocka_unit_test (test_g6_members),  cmocka_unit_test (test_g6_vote),
        cmocka_unit_test (test_g6_removed),  cmocka_unit_test (test_g6_nothing),
        cmocka_unit_test (test_g7),          cmocka_unit_test (test_g8),
        cmocka_unit_test (test_g9),          cmocka_unit_test (test_g10),
        cmocka_unit_test (test_g11),         cmocka_unit_test (test_g6_slow_disk),
        cmocka_unit_test (test_g12),         cmocka_unit_test (test_g13),
        cmocka_unit_test (test_wire),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("raft_guards", tests, NULL, NULL);
    free (conf);
    return failed;
}
