/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/journal/raft_driver.h"
#include "t/unit/raft_hand.h"

#include <cmocka.h> /* last: it has a macro fail */

hand_t hand;
static struct raft_entry log_entries[8];
static uint64_t values[8];

int hand_step (struct raft_event *event)
{
    event->time = hand.now;
    event->capacity = 1;
    memset (&hand.u, 0, sizeof hand.u);
    int rv = raft_step (&hand.r, event, &hand.u);
    bool entries = rv == 0 && (hand.u.flags & (RAFT_UPDATE_ENTRIES));
    if (entries && hand.u.entries.batch[0].batch != raft_borrowed)
        raft_free (hand.u.entries.batch[0].batch); /* the core's own barrier */
    return rv;
}

struct raft_entry hand_command (raft_term term)
{
    return (struct raft_entry){term, RAFT_COMMAND, {&values[0], 8}, raft_borrowed};
}

void hand_conf (size_t n)
{
    const uint64_t ids[] = {1, 2, 3, 4, 5};
    const char *const addresses[] = {"a", "b", "c", "d", "e"};
    static size_t made;
    if (n == made)
        return;
    made = n;
    free (hand.conf);
    hand.conf = raft_driver_bootstrap (ids, addresses, n, &hand.conf_len);
}

void hand_begin (size_t n, raft_term term, const raft_term *terms)
{
    hand_conf (n);
    log_entries[0] =
        (struct raft_entry){1, RAFT_CHANGE, {hand.conf, hand.conf_len}, raft_borrowed};
    unsigned count = 1;
    for (; terms && terms[count - 1]; count++)
        log_entries[count] = hand_command (terms[count - 1]);
    hand.now = 1000;
    assert_int_equal (raft_init (&hand.r, NULL, NULL, 1, "a"), 0);
    hand.r.tracer = NULL;
    raft_seed (&hand.r, 1);
    struct raft_event event = {.type = RAFT_START};
    event.start.term = term;
    event.start.start_index = 1;
    event.start.entries = log_entries;
    event.start.n_entries = count;
    assert_int_equal (hand_step (&event), 0);
}

int hand_receive (struct raft_message *m, raft_id from)
{
    static const char *const addresses[] = {"", "a", "b", "c", "d", "e"};
    m->server_id = from;
    m->server_address = addresses[from];
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = m;
    return hand_step (&event);
}

struct raft_message hand_result (raft_term term, raft_index rejected, raft_index last)
{
    struct raft_message m = {.type = RAFT_APPEND_ENTRIES_RESULT};
    m.append_entries_result = (struct raft_append_entries_result){
        .version = 1, .term = term, .rejected = rejected, .last_log_index = last};
    return m;
}

struct raft_message hand_append (raft_term term, raft_index prev, raft_term prev_term,
                                 raft_index commit, struct raft_entry *entries,
                                 unsigned n)
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

struct raft_message hand_vote (raft_term term, raft_index last, raft_term last_term,
                               bool pre_vote)
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

void hand_persisted (raft_index index)
{
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = index;
    assert_int_equal (hand_step (&event), 0);
}

void hand_lead (void)
{
    hand.now += 5000;
    struct raft_event event = {.type = RAFT_TIMEOUT};
    assert_int_equal (hand_step (&event), 0);
    for (raft_id id = 2; raft_state (&hand.r) != RAFT_LEADER; id++) {
        struct raft_message m = {.type = RAFT_REQUEST_VOTE_RESULT};
        m.request_vote_result = (struct raft_request_vote_result){
            .version = 2, .term = hand.r.current_term, .vote_granted = true};
        assert_int_equal (hand_receive (&m, id), 0);
    }
}

void hand_end (void)
{
    raft_close (&hand.r, NULL);
}

int hand_teardown (void **state)
{
    (void)state;
    free (hand.conf);
    return 0;
}
