/* SPDX-License-Identifier: MPL-2.0 */
/* Fetch and Verify: who is asked, who is avoided, what is answered when nobody can. */
#include "t/unit/core_cluster.h"

#include <string.h>

#define ALL    0xfffffffeULL
#define PIECES 4

/* Pieces of LENGTH with copies on the workers of COPIES[i]; the answer is the action.
 */
static const action_fetching_t *fetch (cluster_core_t *c, size_t n, uint64_t length,
                                       const uint64_t *copies, uint32_t avoid)
{
    event_piece_t pieces[PIECES];
    event_extent_t extents[PIECES];
    event_t event = {.type = EVENT_FETCH, .u.fetch = {1, 5, pieces, n}};

    memset (pieces, 0, sizeof pieces);
    memset (extents, 0, sizeof extents);
    for (size_t i = 0; i < n; i++) {
        pieces[i].piece = 100 + i;
        pieces[i].length = length;
        pieces[i].avoid[0] = avoid;
        pieces[i].n_avoid = avoid ? 1 : 0;
        extents[i].chunk.key = cluster_key (i);
        extents[i].chunk.length = length;
        for (uint32_t id = 1; id < 32; id++)
            if (copies[i] >> id & 1)
                extents[i].chunk.copies[extents[i].chunk.n_copies++] =
                    (core_copy_t){id, 1, copies[i] >> (32 + id) & 1};
    }
    cluster_step (c, event);
    event = (event_t){.type = EVENT_EXTENTS_FOUND};
    event.u.extents.token = cluster_want (c, ACTION_LOOKUP_EXTENTS)->u.extents.token;
    event.u.extents.extents = extents;
    event.u.extents.n = n;
    cluster_step (c, event);
    assert_int_equal (cluster_want (c, ACTION_FETCHING)->u.fetching.seq, 5);
    return &cluster_want (c, ACTION_FETCHING)->u.fetching;
}

static void test_one_order_each (void **state)
{
    cluster_core_t c;
    uint64_t copies[PIECES] = {2, 4, 2, 4};
    const action_fetching_t *answer;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    answer = fetch (&c, 4, 1000, copies, 0);
    assert_int_equal (answer->n, 4);
    assert_int_equal (answer->pieces[1].worker, 2);
    assert_int_equal (answer->pieces[3].piece, 103);
    assert_int_equal (cluster_count (&c, ACTION_SEND_ORDER), 2);
    for (size_t i = 0; i < 2; i++) {
        const action_send_t *send = &cluster_action (&c, ACTION_SEND_ORDER, i)->u.send;
        assert_int_equal (send->n, 2);
        assert_int_equal (send->session, 1);
        assert_int_equal (send->pieces[1].piece, send->pieces[0].piece + 2);
    }
    cluster_free (&c);
}

static void test_least_work (void **state)
{
    cluster_core_t c;
    uint64_t both[PIECES] = {6, 6, 6, 6};
    int to[3] = {0};

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    for (int i = 0; i < 50; i++) {
        const action_fetching_t *answer = fetch (&c, 4, MIB, both, 0);
        for (size_t k = 0; k < 4; k++)
            to[answer->pieces[k].worker]++;
    }
    assert_int_equal (to[1], 100);
    assert_int_equal (to[2], 100);
    /* One has much queued by others' orders: the other one serves. */
    cluster_beat (&c, 1, CONDITION_OK, 0, 500 * MIB);
    cluster_beat (&c, 2, CONDITION_OK, 0, 0);
    for (size_t k = 0; k < 4; k++)
        assert_int_equal (fetch (&c, 4, MIB, both, 0)->pieces[k].worker, 2);
    cluster_free (&c);
}

/* What waits at a busy worker goes to an idle one that has it, once. */
static void test_stealing (void **state)
{
    cluster_core_t c;
    core_status_t status;
    core_send_piece_t pieces[3];
    core_chunk_t chunks[3];
    event_t event = {.type = EVENT_YIELDED, .u.yielded = {1, 1, pieces, 3}};
    static const core_copy_t on_1 = {1, 1, false}, on_2 = {2, 1, false};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    memset (pieces, 0, sizeof pieces);
    memset (chunks, 0, sizeof chunks);
    for (uint64_t i = 0; i < 3; i++) {
        pieces[i].piece = 70 + i;
        pieces[i].length = 4 * MIB;
        pieces[i].key = chunks[i].key = cluster_key (i);
        chunks[i].copies[chunks[i].n_copies++] = on_1;
        if (i > 0) /* the first is nowhere else */
            chunks[i].copies[chunks[i].n_copies++] = on_2;
    }
    /* A little waiting is not worth it. */
    cluster_beat (&c, 1, CONDITION_OK, 0, 4 * MIB);
    cluster_beat (&c, 2, CONDITION_OK, 0, 0);
    assert_int_equal (cluster_count (&c, ACTION_YIELD_ORDER), 0);
    /* Nor does one as busy take over. */
    cluster_beat (&c, 1, CONDITION_OK, 0, 40 * MIB);
    assert_int_equal (cluster_count (&c, ACTION_YIELD_ORDER), 0);
    cluster_beat (&c, 2, CONDITION_OK, 0, 30 * MIB);
    assert_int_equal (cluster_count (&c, ACTION_YIELD_ORDER), 0);
    cluster_beat (&c, 3, CONDITION_OK, 0, 0);
    assert_int_equal (cluster_want (&c, ACTION_YIELD_ORDER)->u.yield.worker, 1);
    assert_int_equal (cluster_want (&c, ACTION_YIELD_ORDER)->u.yield.bytes, 20 * MIB);
    cluster_beat (&c, 3, CONDITION_OK, 0, 0);
    assert_int_equal (cluster_count (&c, ACTION_YIELD_ORDER), 0); /* once */

    cluster_step (&c, event);
    event = (event_t){.type = EVENT_CHUNKS_FOUND};
    event.u.chunks.token = cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token;
    event.u.chunks.chunks = chunks;
    event.u.chunks.n = 3;
    cluster_step (&c, event);
    assert_int_equal (cluster_count (&c, ACTION_SEND_ORDER), 2);
    const action_send_t *back = &cluster_action (&c, ACTION_SEND_ORDER, 0)->u.send;
    const action_send_t *over = &cluster_action (&c, ACTION_SEND_ORDER, 1)->u.send;
    assert_int_equal (back->worker, 1);
    assert_int_equal (back->n, 1);
    assert_int_equal (back->pieces[0].piece, 70);
    assert_true (back->pieces[0].keep);
    assert_int_equal (over->worker, 2);
    assert_int_equal (over->n, 2);
    assert_true (over->pieces[0].keep && over->pieces[1].keep);
    const action_fetching_t *told = &cluster_want (&c, ACTION_FETCHING)->u.fetching;
    assert_int_equal (told->seq, 0);
    assert_int_equal (told->session, 1);
    assert_int_equal (told->n, 2);
    assert_int_equal (told->pieces[0].piece, 71);
    assert_int_equal (told->pieces[0].worker, 2);
    core_status (c.core, &status);
    assert_int_equal (status.reads_stolen, 2);
    cluster_free (&c);
}

static void test_near (void **state)
{
    static const char *const places[] = {"dc1/r1/a", "dc2/r1/b"};
    cluster_core_t c;
    uint64_t both[PIECES] = {6};
    event_t event = {.type = EVENT_SESSION_OPEN};

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, places);
    event.u.session.id = 1;
    event.u.session.location = "dc2/r7/z";
    cluster_step (&c, event);
    for (int i = 0; i < 20; i++)
        assert_int_equal (fetch (&c, 1, 1000, both, 0)->pieces[0].worker, 2);
    cluster_free (&c);
}

static void test_nobody (void **state)
{
    cluster_core_t c;
    uint64_t copies[PIECES] = {2, 6, 0, 2ULL << 32 | 2};
    const action_fetching_t *answer;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    answer = fetch (&c, 4, 1000, copies, 1);
    assert_int_equal (answer->pieces[0].worker, 0);
    assert_int_equal (answer->pieces[0].code, DFS_EUNAVAIL); /* somebody has it */
    assert_int_equal (answer->pieces[1].worker, 2);
    assert_int_equal (answer->pieces[2].code, DFS_ELOST);
    assert_int_equal (answer->pieces[3].code, DFS_ELOST); /* damaged */
    cluster_closed (&c, 1);
    answer = fetch (&c, 2, 1000, copies, 0);
    assert_int_equal (answer->pieces[0].code, DFS_EUNAVAIL); /* it may come back */
    assert_int_equal (answer->pieces[1].worker, 2);
    cluster_pass (&c, 3 * SEC, ALL & ~2ULL);
    answer = fetch (&c, 2, 1000, copies, 0);
    assert_int_equal (answer->pieces[0].code, DFS_ELOST);
    assert_int_equal (answer->pieces[1].worker, 2);
    cluster_free (&c);
}

/* A worker that is back but has not told all it holds: nothing is lost yet. */
static void test_not_known_yet (void **state)
{
    cluster_core_t c;
    uint64_t copies[PIECES] = {0};
    core_mark_t mark = {.incarnation = 1};
    event_t event = {.type = EVENT_MARKS_FOUND};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_change (&c, 3, CHANGE_STORED, 1, 1000);
    cluster_hello (&c, 3, 33, 1003, 100 * GIB);
    event.u.marks.token = cluster_want (&c, ACTION_LOOKUP_MARKS)->u.marks.token;
    event.u.marks.marks = &mark;
    event.u.marks.n = 1;
    cluster_step (&c, event);
    assert_int_equal (cluster_state (&c, 3), WORKER_UP);
    assert_int_equal (fetch (&c, 1, 1000, copies, 0)->pieces[0].code, DFS_EUNAVAIL);
    cluster_free (&c);
}

static void test_cancel (void **state)
{
    cluster_core_t c;
    uint64_t copies[PIECES] = {2, 4};
    uint64_t piece = 100;
    event_t event = {.type = EVENT_CANCEL, .u.cancel = {1, &piece, 1}};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    fetch (&c, 2, 1000, copies, 0);
    fetch (&c, 2, 1000, copies, 0);
    cluster_step (&c, event);
    assert_int_equal (cluster_count (&c, ACTION_CANCEL_ORDER), 2);
    assert_int_equal (cluster_want (&c, ACTION_CANCEL_ORDER)->u.cancel.pieces[0], 100);
    cluster_step (&c, (event_t){.type = EVENT_SESSION_GONE, .u.session = {.id = 1}});
    assert_int_equal (cluster_count (&c, ACTION_CANCEL_ORDER), 2);
    assert_int_equal (cluster_want (&c, ACTION_CANCEL_ORDER)->u.cancel.n, 0);
    cluster_free (&c);
}

/* --- verify --- */

static void verify (cluster_core_t *c)
{
    core_chunk_t chunks[3] = {{.key = cluster_key (1), .refs = 1, .n_copies = 2},
                              {.key = cluster_key (2), .refs = 1, .n_copies = 2},
                              {.key = cluster_key (3), .refs = 1}};
    event_t event = {.type = EVENT_VERIFY, .u.verify = {1, 6, chunks, 3}};

    chunks[0].copies[0].worker = chunks[1].copies[0].worker = 1;
    chunks[0].copies[1].worker = 2;
    chunks[1].copies[1].worker = 3;
    cluster_step (c, event);
}

static void verified (cluster_core_t *c, const action_t *order, int code)
{
    core_verified_t results[2];
    event_t event = {.type = EVENT_ORDER_RESULT};

    memset (results, 0, sizeof results);
    for (size_t i = 0; i < order->u.verify_order.n; i++) {
        results[i].key = order->u.verify_order.keys[i];
        results[i].code = code;
        results[i].bytes = 10;
    }
    event.u.order =
        (event_order_t){order->u.verify_order.worker, order->u.verify_order.order,
                        DFS_OK, results, order->u.verify_order.n};
    cluster_step (c, event);
}

static int code_of (const action_verify_reply_t *reply, uint64_t number,
                    uint32_t worker)
{
    copykey_t key = cluster_key (number);

    for (size_t i = 0; i < reply->n; i++)
        if (reply->replicas[i].worker == worker &&
            copykey_cmp (&reply->replicas[i].key, &key) == 0)
            return reply->replicas[i].code;
    return 1;
}

static void test_verify (void **state)
{
    cluster_core_t c;
    action_t first, second;
    const action_verify_reply_t *reply;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_closed (&c, 3);
    verify (&c);
    assert_int_equal (cluster_count (&c, ACTION_VERIFY_ORDER), 2);
    first = *cluster_action (&c, ACTION_VERIFY_ORDER, 0);
    second = *cluster_action (&c, ACTION_VERIFY_ORDER, 1);
    assert_int_equal (first.u.verify_order.n, 2);
    copykey_t keys[2] = {first.u.verify_order.keys[0], first.u.verify_order.keys[1]};
    copykey_t other = second.u.verify_order.keys[0];
    first.u.verify_order.keys = keys;
    second.u.verify_order.keys = &other;
    verified (&c, &first, DFS_OK);
    assert_null (cluster_action (&c, ACTION_VERIFY_REPLY, 0));
    verified (&c, &second, DFS_EDAMAGED);
    reply = &cluster_want (&c, ACTION_VERIFY_REPLY)->u.verify_reply;
    assert_int_equal (reply->seq, 6);
    assert_int_equal (reply->chunks, 3);
    assert_int_equal (reply->n, 5);
    assert_int_equal (code_of (reply, 1, 1), DFS_OK);
    assert_int_equal (code_of (reply, 2, 1), DFS_OK);
    assert_int_equal (code_of (reply, 1, 2), DFS_EDAMAGED);
    assert_int_equal (code_of (reply, 2, 3), DFS_EUNAVAIL);
    assert_int_equal (code_of (reply, 3, 0), DFS_ELOST);
    /* A second answer to the same order changes nothing. */
    verified (&c, &second, DFS_OK);
    assert_null (cluster_action (&c, ACTION_VERIFY_REPLY, 0));
    cluster_free (&c);
}

static void test_verify_late (void **state)
{
    cluster_core_t c;
    const action_verify_reply_t *reply;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    verify (&c);
    cluster_pass (&c, 61 * SEC, ALL);
    reply = &cluster_want (&c, ACTION_VERIFY_REPLY)->u.verify_reply;
    assert_int_equal (code_of (reply, 1, 1), DFS_ETIMEOUT);
    /* Who goes away while asked is not waited for. */
    verify (&c);
    for (uint32_t id = 1; id <= 3; id++)
        cluster_closed (&c, id);
    reply = &cluster_want (&c, ACTION_VERIFY_REPLY)->u.verify_reply;
    assert_int_equal (code_of (reply, 2, 3), DFS_EUNAVAIL);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_one_order_each), cmocka_unit_test (test_least_work),
        cmocka_unit_test (test_stealing),       cmocka_unit_test (test_near),
        cmocka_unit_test (test_nobody),         cmocka_unit_test (test_not_known_yet),
        cmocka_unit_test (test_cancel),         cmocka_unit_test (test_verify),
        cmocka_unit_test (test_verify_late),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_route", tests, NULL, NULL);
}
