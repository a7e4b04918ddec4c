/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks that a worker sends to clients: pieces, readers that stall or leave, pieces
 * that are cancelled or given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/units.h"
#include "t/unit/worker_rig.h"
#include "worker/context.h"

static void pieces_are_rounded_to_blocks (void **state)
{
    rig_t *rig = *state;
    size_t len = 2 * FRAME_MAX + 100;
    copykey_t key = rig_store (rig, len, 140, 1);
    rig_send_order (rig, 0, CLIENT, 1, &key, 70000, 10);
    void *pull = rig_stream (rig, 0, CLIENT);
    rig_expect (rig, pull, 1, len, 140, 65536, 131072);
    rig_send_order (rig, 0, CLIENT, 2, &key, len - 1, 1);
    rig_expect (rig, pull, 2, len, 140, 2 * FRAME_MAX, len);
    rig_close (rig, &pull);
}

static void what_is_not_there_is_said_in_a_frame (void **state)
{
    rig_t *rig = *state;
    copykey_t none = {.domain = 3};
    copykey_t key = rig_store (rig, 2 * FRAME_MAX, 150, 1);
    copykey_t bad = rig_store (rig, 100000, 151, 1);
    fake_damage (fake_of ("w1"), &bad);
    rig_send_order (rig, 0, CLIENT, 1, &none, 0, 10);
    rig_send_order (rig, 0, CLIENT, 2, &key, 2 * FRAME_MAX, 10);
    rig_send_order (rig, 0, CLIENT, 3, &bad, 0, 100000);
    void *pull = rig_stream (rig, 0, CLIENT);
    const int codes[] = {DFS_ENOENT, DFS_EINVAL, DFS_EDAMAGED};
    for (unsigned i = 0; i < 3; i++) {
        frame_t f;
        uint8_t *data;
        assert_int_equal (rig_recv (rig, pull, 10000, &f, &data), 1);
        assert_int_equal (f.kind, FRAME_REFUSE);
        assert_int_equal (f.seq, i + 1);
        assert_int_equal (f.code, codes[i]);
        free (data);
    }
    rig_close (rig, &pull);
}

static void only_the_clients_key_opens_its_stream (void **state)
{
    rig_t *rig = *state;
    copykey_t key = rig_store (rig, 5000, 160, 1);
    rig_send_order (rig, 0, CLIENT, 1, &key, 0, 5000);
    const seen_t *s = rig_wait (rig, STREAM_READY, 0, NULL);
    uint16_t port = s->port;
    void *other = rig_pull (rig, &rig->stranger, 0, port);
    frame_t f;
    uint8_t *data;
    assert_int_equal (rig_recv (rig, other, 300, &f, &data), 0);
    void *pull = rig_pull (rig, &rig->client, 0, port);
    rig_expect (rig, pull, 1, 5000, 160, 0, 5000);
    rig_close (rig, &other);
    /* The stranger's end is not the client's. */
    rig_send_order (rig, 0, CLIENT, 2, &key, 0, 5000);
    rig_expect (rig, pull, 2, 5000, 160, 0, 5000);
    rig_close (rig, &pull);
}

static void client_that_left_is_told_where_anew (void **state)
{
    rig_t *rig = *state;
    copykey_t key = rig_store (rig, 5000, 165, 1);
    rig_send_order (rig, 0, CLIENT, 1, &key, 0, 5000);
    void *pull = rig_stream (rig, 0, CLIENT);
    rig_expect (rig, pull, 1, 5000, 165, 0, 5000);
    rig_close (rig, &pull);
    for (uint64_t until = clock_mono () + SEC; clock_mono () < until;)
        rig_pump (rig, 50);
    rig_send_order (rig, 0, CLIENT, 2, &key, 0, 5000);
    pull = rig_stream (rig, 0, CLIENT);
    rig_expect (rig, pull, 2, 5000, 165, 0, 5000);
    rig_close (rig, &pull);
}

static void cancelled_pieces_do_not_come (void **state)
{
    rig_t *rig = *state;
    copykey_t key = rig_store (rig, 5000, 170, 1);
    for (unsigned i = 1; i <= 3; i++)
        rig_send_order (rig, 0, CLIENT, i, &key, 0, 5000);
    uint64_t pieces[] = {2};
    Dfs__CancelOrder cancel = DFS__CANCEL_ORDER__INIT;
    cancel.session = CLIENT;
    cancel.n_pieces = 1;
    cancel.pieces = pieces;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_CANCEL_ORDER;
    env.cancel_order = &cancel;
    rig_order (rig, 0, &env);
    const seen_t *s = rig_wait (rig, STREAM_READY, 0, NULL);
    rig_pump (rig, 200);
    void *pull = rig_pull (rig, &rig->client, 0, s->port);
    rig_expect (rig, pull, 1, 5000, 170, 0, 5000);
    rig_expect (rig, pull, 3, 5000, 170, 0, 5000);
    rig_close (rig, &pull);
    cancel.n_pieces = 0;
    rig_order (rig, 0, &env);
    rig_send_order (rig, 0, CLIENT, 4, &key, 0, 5000);
    pull = rig_stream (rig, 0, CLIENT);
    rig_expect (rig, pull, 4, 5000, 170, 0, 5000);
    rig_close (rig, &pull);
}

static void what_waits_is_given_back (void **state)
{
    rig_t *rig = *state;
    size_t len = 100000;
    copykey_t key = rig_store (rig, len, 195, 1);
    for (uint64_t piece = 1; piece <= 4; piece++) /* nobody takes them yet */
        rig_send_order (rig, 0, CLIENT, piece, &key, 0, len);
    void *pull = NULL;
    Dfs__YieldOrder yield = DFS__YIELD_ORDER__INIT;
    yield.bytes = 2 * len + 1;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_YIELD_ORDER;
    env.yield_order = &yield;
    rig_order (rig, 0, &env);
    for (uint64_t piece = 4; piece > 2; piece--) {
        const seen_t *s = rig_wait (rig, YIELDED, 0, &key);
        assert_int_equal (s->session, CLIENT);
        assert_int_equal (s->piece, piece);
    }
    /* The first stays, whatever is asked for. */
    yield.bytes = 100 * len;
    rig_order (rig, 0, &env);
    assert_int_equal (rig_wait (rig, YIELDED, 0, &key)->piece, 2);
    pull = rig_stream (rig, 0, CLIENT);
    rig_expect (rig, pull, 1, len, 195, 0, len);
    rig_send_order (rig, 0, CLIENT, 5, &key, 0, len);
    rig_expect (rig, pull, 5, len, 195, 0, len);
    rig_close (rig, &pull);
}

static void stalled_reader_is_cut_off (void **state)
{
    rig_t *rig = *state;
    size_t len = 60 * FRAME_MAX;
    copykey_t key = rig_store (rig, len, 180, 1);
    /* One never connects, one connects and takes nothing, one reads on. */
    rig_send_order (rig, 0, 1, 11, &key, 0, len);
    rig_wait (rig, STREAM_READY, 0, NULL);
    rig_send_order (rig, 0, 2, 22, &key, 0, len);
    rig_send_order (rig, 0, 2, 23, &key, 0, len);
    void *stalled = rig_stream (rig, 0, 2);
    copykey_t small = rig_store (rig, 5000, 181, 1);
    rig_send_order (rig, 0, 3, 1, &small, 0, 5000);
    void *reader = rig_stream (rig, 0, 3);
    rig_expect (rig, reader, 1, 5000, 181, 0, 5000);
    uint64_t deadline = clock_mono () + 20 * SEC;
    unsigned cut = 0, piece = 1;
    while (cut < 3) {
        const seen_t *s = rig_look (rig, SEND_REFUSED, 0, NULL, 200);
        if (s) {
            assert_true (s->piece == 11 || s->piece == 22 || s->piece == 23);
            assert_int_equal (s->code, DFS_ETIMEOUT);
            cut++;
        }
        rig_send_order (rig, 0, 3, ++piece, &small, 0, 5000);
        rig_expect (rig, reader, piece, 5000, 181, 0, 5000);
        assert_true (clock_mono () < deadline);
    }
    rig_close (rig, &stalled);
    rig_close (rig, &reader);
}

int main (int argc, char **argv)
{
    context_open ();
    const struct CMUnitTest tests[] = {
        SECURE (pieces_are_rounded_to_blocks),
        SECURE (what_is_not_there_is_said_in_a_frame),
        SECURE (only_the_clients_key_opens_its_stream),
        SECURE (client_that_left_is_told_where_anew),
        OPEN (client_that_left_is_told_where_anew),
        SECURE (cancelled_pieces_do_not_come),
        SECURE (what_waits_is_given_back),
        SECURE (stalled_reader_is_cut_off),
    };
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter (argv[1]);
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("worker_streams", tests, NULL, NULL);
    context_close ();
    return failed;
}
