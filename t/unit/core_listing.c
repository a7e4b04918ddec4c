/* SPDX-License-Identifier: MPL-2.0 */
/* Full listings of workers: pages in their turn and not too many at once, nothing of a
 * worker overtakes its listing, and one that does not get to its end stops nobody. */
#include "t/unit/core_cluster.h"

#include <string.h>

#define ALL 0xfffffffeULL

/* Worker ID has one store with changes up to LAST, none of which is known. */
static void join (cluster_core_t *c, uint32_t id, uint64_t conn, uint64_t last)
{
    core_store_t store = {
        .id = {(uint8_t)id}, .incarnation = 1, .first_seq = last + 1, .last_seq = last};
    core_mark_t mark = {.incarnation = 1};
    event_t hello = {.type = EVENT_WORKER_HELLO};
    event_t marks = {.type = EVENT_MARKS_FOUND};

    store.capacity = 100 * GIB;
    hello.u.hello = (event_hello_t){.worker = id,
                                    .conn = conn,
                                    .incarnation = id + 1000,
                                    .stores = &store,
                                    .n_stores = 1};
    cluster_step (c, hello);
    marks.u.marks.token = cluster_want (c, ACTION_LOOKUP_MARKS)->u.marks.token;
    marks.u.marks.marks = &mark;
    marks.u.marks.n = 1;
    cluster_step (c, marks);
    assert_int_equal (cluster_want (c, ACTION_WELCOME)->u.welcome.marks[0].pages, 1);
}

static event_t page_of (uint32_t id, uint64_t conn, uint64_t page, bool end)
{
    static core_change_t item;
    event_t event = {.type = EVENT_CHANGES};

    item = (core_change_t){CHANGE_STORED, cluster_key (page), 90, 1000, 0};
    event.u.changes = (event_changes_t){.worker = id,
                                        .conn = conn,
                                        .store = {(uint8_t)id},
                                        .incarnation = 1,
                                        .first_seq = end ? 10 : page,
                                        .last_seq = 10,
                                        .inventory = true,
                                        .inventory_end = end,
                                        .counted = true,
                                        .page = page,
                                        .items = &item,
                                        .n = 1};
    return event;
}

/* Sends that page; returns the token of what storage is asked, 0 when nothing is. */
static uint64_t send_page (cluster_core_t *c, uint64_t conn, uint64_t page, bool end)
{
    const action_t *action;

    cluster_step (c, page_of (1, conn, page, end));
    action = cluster_action (c, ACTION_LOCATIONS_APPLY, 0);
    if (!action)
        return 0;
    assert_true (action->u.apply.later);
    assert_true (action->u.apply.inventory);
    assert_int_equal (action->u.apply.inventory_begin, page == 0);
    assert_int_equal (action->u.apply.inventory_end, end);
    return action->u.apply.token;
}

static void applied (cluster_core_t *c, uint64_t token, uint64_t mark)
{
    event_t event = {.type = EVENT_LOCATIONS_APPLIED};

    event.u.applied = (event_applied_t){token, DFS_OK, mark};
    cluster_step (c, event);
}

static core_worker_status_t look (const cluster_core_t *c)
{
    core_worker_status_t out[1];

    assert_int_equal (core_workers (c->core, out, 1), 1);
    return out[0];
}

static void make (cluster_core_t *c)
{
    cluster_make (c, NULL, 1, 1, 1, NULL);
    join (c, 1, 21, 10);
    /* Begins from nothing at storage. */
    applied (c, cluster_want (c, ACTION_LOCATIONS_APPLY)->u.apply.token, 0);
}

static void test_window (void **state)
{
    cluster_core_t c;
    uint64_t tokens[8], after;
    event_t question = page_of (1, 21, 1, false);
    const action_t *action;

    (void)state;
    make (&c);
    assert_false (look (&c).caught_up);
    tokens[0] = send_page (&c, 21, 0, false);
    assert_null (cluster_action (&c, ACTION_CHANGES_ACK, 0));
    /* Nothing is stored: no more is given, whoever asks. */
    question.u.changes.n = 0;
    cluster_step (&c, question);
    assert_int_equal (cluster_want (&c, ACTION_CHANGES_ACK)->u.ack.mark.pages, 4);
    assert_null (cluster_action (&c, ACTION_LOCATIONS_APPLY, 0));
    applied (&c, tokens[0], 0);
    assert_int_equal (cluster_want (&c, ACTION_CHANGES_ACK)->u.ack.mark.pages, 5);
    for (uint64_t page = 1; page < 4; page++)
        assert_true ((tokens[page] = send_page (&c, 21, page, false)) > 0);
    applied (&c, tokens[1], 0);
    assert_int_equal (cluster_want (&c, ACTION_CHANGES_ACK)->u.ack.mark.pages, 6);
    tokens[4] = send_page (&c, 21, 4, true);
    /* What comes behind it stays behind it at storage. */
    cluster_step (&c, (event_t){.type = EVENT_CHANGES,
                                .u.changes = {.worker = 1,
                                              .conn = 21,
                                              .store = {1},
                                              .incarnation = 1,
                                              .first_seq = 11,
                                              .items = question.u.changes.items,
                                              .n = 1}});
    action = cluster_want (&c, ACTION_LOCATIONS_APPLY);
    assert_true (action->u.apply.later);
    assert_false (action->u.apply.inventory);
    after = action->u.apply.token;
    for (int i = 2; i < 5; i++)
        applied (&c, tokens[i], i == 4 ? 10 : 0);
    action = cluster_want (&c, ACTION_CHANGES_ACK);
    assert_int_equal (action->u.ack.mark.pages, 0);
    assert_int_equal (action->u.ack.mark.seq, 10);
    applied (&c, after, 11);
    assert_true (look (&c).caught_up);
    cluster_free (&c);
}

/* One is missing: they are not the whole, and the worker begins anew. */
static void test_missing_page (void **state)
{
    cluster_core_t c;
    event_t old = page_of (1, 22, 2, false);

    (void)state;
    make (&c);
    assert_true (send_page (&c, 21, 0, false) > 0);
    assert_int_equal (send_page (&c, 21, 2, true), 0);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, 21);
    assert_int_equal (send_page (&c, 21, 1, true), 0);
    /* A question shows it as well. */
    join (&c, 1, 22, 10);
    assert_true (send_page (&c, 22, 0, false) > 0);
    old.u.changes.n = 0;
    cluster_step (&c, old);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, 22);
    /* A worker that counts no pages but says which one it is. */
    join (&c, 1, 23, 10);
    old = page_of (1, 23, 0, false);
    old.u.changes.counted = false;
    cluster_step (&c, old);
    assert_non_null (cluster_action (&c, ACTION_LOCATIONS_APPLY, 0));
    old.u.changes.first_seq = 2;
    cluster_step (&c, old);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, 23);
    cluster_free (&c);
}

/* Pages of another connection are at storage still when the worker comes back: its
 * marks are looked up behind them, and the new listing begins from nothing. */
static void test_begins_anew (void **state)
{
    cluster_core_t c;
    uint64_t token;

    (void)state;
    make (&c);
    token = send_page (&c, 21, 0, false);
    cluster_hello (&c, 1, 22, 1001, 100 * GIB);
    assert_true (cluster_want (&c, ACTION_LOOKUP_MARKS)->u.marks.later);
    applied (&c, token, 0);
    assert_null (cluster_action (&c, ACTION_CHANGES_ACK, 0));
    join (&c, 1, 23, 10);
    assert_true (send_page (&c, 23, 0, false) > 0);
    /* On the same connection too. */
    assert_true (send_page (&c, 23, 1, false) > 0);
    token = send_page (&c, 23, 0, false);
    assert_true (token > 0);
    applied (&c, send_page (&c, 23, 1, true), 10);
    cluster_free (&c);
}

/* No scan is under way. */
static void end_scans (cluster_core_t *c)
{
    uint64_t token;

    do {
        token = c->scan.token;
        cluster_scanned (c);
    } while (c->scan.token != token);
}

static bool scanned_since (cluster_core_t *c, uint64_t token)
{
    cluster_step (c, (event_t){.type = EVENT_TICK});
    return c->scan.token != token;
}

/* A worker whose word cannot be used again and again keeps repair waiting no longer,
 * and is waited for again as soon as it gets on. */
static void test_behind (void **state)
{
    cluster_core_t c;
    uint64_t token, conn;
    event_t garbled = page_of (1, 21, 0, true);

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    end_scans (&c);
    join (&c, 1, 21, 10);
    token = c.scan.token;
    cluster_closed (&c, 2);
    cluster_pass (&c, 4 * SEC, 2);
    assert_int_equal (cluster_state (&c, 2), WORKER_DEAD);
    garbled.u.changes.unreadable = true;
    for (conn = 21; conn < 28; conn++) {
        garbled.u.changes.conn = conn;
        cluster_step (&c, garbled);
        assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, conn);
        assert_false (scanned_since (&c, token));
        assert_false (look (&c).behind);
        join (&c, 1, conn + 1, 10);
    }
    garbled.u.changes.conn = conn;
    cluster_step (&c, garbled);
    assert_true (look (&c).behind);
    assert_true (scanned_since (&c, token));
    join (&c, 1, conn + 1, 10);
    assert_true (look (&c).behind);
    applied (&c, send_page (&c, conn + 1, 0, true), 10);
    assert_false (look (&c).behind);
    assert_true (look (&c).caught_up);
    cluster_free (&c);
}

/* So it is with one that says nothing. */
static void test_silent (void **state)
{
    cluster_core_t c;
    uint64_t token;

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    end_scans (&c);
    join (&c, 1, 21, 10);
    token = c.scan.token;
    cluster_closed (&c, 2);
    cluster_pass (&c, 50 * SEC, 2);
    assert_false (scanned_since (&c, token));
    cluster_pass (&c, 20 * SEC, 2);
    assert_true (look (&c).behind);
    assert_true (scanned_since (&c, token));
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_window),      cmocka_unit_test (test_missing_page),
        cmocka_unit_test (test_begins_anew), cmocka_unit_test (test_behind),
        cmocka_unit_test (test_silent),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_listing", tests, NULL, NULL);
}
