/* SPDX-License-Identifier: MPL-2.0 */
/* A worker's conversation with its broker: hello and welcome, changes and listings,
 * heartbeats, orders to verify; and what neither broker nor client would say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/check.h"
#include "t/unit/worker_rig.h"
#include "worker/context.h"

static void verify_order_rehashes (void **state)
{
    rig_t *rig = *state;
    copykey_t keys[3] = {
        rig_store (rig, 5000, 190, 1), rig_store (rig, 5000, 191, 1), {.domain = 4}};
    const int codes[] = {DFS_OK, DFS_EDAMAGED, DFS_ENOENT};
    fake_damage (fake_of ("w1"), &keys[1]);
    Dfs__CopyKey k[3], *pointers[3];
    for (int i = 0; i < 3; i++) {
        dfs__copy_key__init (&k[i]);
        check_put_copykey (&keys[i], &k[i]);
        pointers[i] = &k[i];
    }
    Dfs__VerifyOrder order = DFS__VERIFY_ORDER__INIT;
    order.order = 700;
    order.n_keys = 3;
    order.keys = pointers;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_VERIFY_ORDER;
    env.verify_order = &order;
    rig_order (rig, 0, &env);
    for (int i = 0; i < 3; i++) {
        const seen_t *s = rig_wait (rig, ORDER_RESULT, 0, &keys[i]);
        assert_int_equal (s->order, 700);
        assert_int_equal (s->code, codes[i]);
    }
    /* A leader of an epoch that is over is not obeyed. */
    Dfs__Epoch epoch = DFS__EPOCH__INIT;
    epoch.incarnation = 1;
    epoch.term = 2;
    env.epoch = &epoch;
    order.order = 701;
    rig_order (rig, 0, &env);
    const seen_t *s = rig_wait (rig, ORDER_RESULT, 0, NULL);
    assert_int_equal (s->order, 701);
    assert_int_equal (s->code, DFS_ESTALE);
    /* A higher one is, and is remembered beyond a restart. */
    epoch.term = 9;
    order.order = 702;
    rig_order (rig, 0, &env);
    assert_int_equal (rig_wait (rig, ORDER_RESULT, 0, NULL)->code, DFS_OK);
    char path[128], text[64] = "";
    snprintf (path, sizeof path, "%s/data/w1/epoch", rig->dir);
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    assert_non_null (fgets (text, sizeof text, file));
    fclose (file);
    assert_string_equal (text, "1 9\n");
}

static void changes_are_sent_again_after_a_gap (void **state)
{
    rig_t *rig = *state;
    rig_store (rig, 5000, 210, 1);
    rig->mute = true; /* the broker loses what comes now */
    copykey_t key = rig_store (rig, 5000, 211, 1);
    uint64_t seq = 0;
    for (size_t i = 0; i < rig->n_seen; i++)
        if (rig->seen[i].type == CHANGES && copykey_cmp (&rig->seen[i].key, &key) == 0)
            seq = rig->seen[i].seq;
    assert_int_equal (rig_wait (rig, CHANGES, 0, &key)->seq, seq);
    rig->mute = false;
    assert_int_equal (rig_wait (rig, CHANGES, 0, &key)->seq, seq);
    rig_pump (rig, 50);
    while (rig_look (rig, CHANGES, 0, &key, 0))
        ;
    assert_null (rig_look (rig, CHANGES, 0, &key, 1500));
}

/* The broker forgets the connection: "say hello first". */
static void say_hello (rig_t *rig, int worker)
{
    uint64_t before = rig->hellos;
    Dfs__Status status = DFS__STATUS__INIT;
    status.code = DFS_ESTALE;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.status = &status;
    rig_order (rig, worker, &env);
    for (int i = 0; i < 500 && rig->hellos == before; i++)
        rig_pump (rig, 20);
    assert_true (rig->hellos > before);
}

/* N copies of a listing come, and then nothing. */
static void take_pages (rig_t *rig, unsigned n)
{
    while (n-- > 0)
        assert_true (rig_wait (rig, CHANGES, 0, NULL)->inventory);
    assert_null (rig_look (rig, CHANGES, 0, NULL, 50));
}

static void give_pages (rig_t *rig, uint64_t pages)
{
    uint8_t id[16];
    Dfs__StoreMark mark = DFS__STORE_MARK__INIT, *marks = &mark;
    Dfs__ChangesAck ack = DFS__CHANGES_ACK__INIT;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;

    memset (id, '1', sizeof id); /* of the fake store of w1 */
    mark.id.data = id;
    mark.id.len = sizeof id;
    mark.incarnation = 7;
    mark.has_pages = true;
    mark.pages = pages;
    ack.n_marks = 1;
    ack.marks = &marks;
    env.body_case = DFS__ENVELOPE__BODY_CHANGES_ACK;
    env.changes_ack = &ack;
    rig_order (rig, 0, &env);
}

static void welcome_says_where_to_go_on (void **state)
{
    rig_t *rig = *state;
    enum { N = 1200 };
    copykey_t key;
    store_t *store = fake_of ("w1");
    for (unsigned i = 0; i < N; i++) {
        uint8_t data[16] = {(uint8_t)i, (uint8_t)(i >> 8)};
        memset (&key, 0, sizeof key);
        memcpy (key.digest, data, sizeof data);
        key.digest[31] = 1;
        fake_add (store, &key, 5, data, sizeof data);
    }
    while (rig_wait (rig, CHANGES, 0, NULL)->seq < N)
        ;
    rig->marks[0] = N - 3;
    say_hello (rig, 0);
    for (uint64_t seq = N - 2; seq <= N; seq++)
        assert_int_equal (rig_wait (rig, CHANGES, 0, NULL)->seq, seq);
    assert_null (rig_look (rig, CHANGES, 0, NULL, 50));
    /* From the start, out of the store, in order. */
    rig->marks[0] = 0;
    say_hello (rig, 0);
    for (uint64_t seq = 1; seq <= N; seq++)
        assert_int_equal (rig_wait (rig, CHANGES, 0, NULL)->seq, seq);
    /* More than there is: another past of this disk, so everything is listed. */
    rig->marks[0] = N + 50;
    say_hello (rig, 0);
    size_t listed = 0;
    for (bool end = false; !end; listed++) {
        const seen_t *s = rig_wait (rig, CHANGES, 0, NULL);
        assert_true (s->inventory);
        if (s->inventory_end)
            assert_int_equal (s->seq, N);
        end = s->inventory_end && listed + 1 == N;
    }
    assert_null (rig_look (rig, CHANGES, 0, NULL, 50));
    /* A broker that counts pages gets as many as it takes. */
    rig->pages = 1;
    rig->marks[0] = N + 50;
    say_hello (rig, 0);
    take_pages (rig, 512);
    give_pages (rig, 2);
    take_pages (rig, 512);
    give_pages (rig, 9);
    take_pages (rig, N - 1024);
    rig->pages = 0;
    /* And then the sequence goes on. */
    copykey_t next = rig_store (rig, 5000, 220, 1);
    (void)next;
}

static void trimmed_sequence_is_listed (void **state)
{
    rig_t *rig = *state;
    rig_store (rig, 5000, 230, 1);
    rig_stop (rig, 0);
    rig_start (rig, 0);
    while (!rig->said_hello[0] || !worker_welcomed (rig->workers[0]))
        rig_pump (rig, 20);
    copykey_t keys[3];
    for (unsigned i = 0; i < 3; i++)
        keys[i] = rig_store (rig, 3000, 231 + i, 1);
    fake_trim (fake_of ("w1"), 3);
    rig_stop (rig, 1);
    /* Memory still has them; a broker that is behind memory would get them from there.
     */
    rig->marks[0] = 1;
    say_hello (rig, 0);
    const seen_t *s = rig_wait (rig, CHANGES, 0, &keys[1]);
    assert_int_equal (s->seq, 2);
    assert_false (s->inventory);
    rig_start (rig, 1);
}

static void heartbeats_come (void **state)
{
    rig_t *rig = *state;
    size_t before = rig->heartbeats;
    uint64_t deadline = clock_mono () + 5 * SEC;
    while (rig->heartbeats < before + 6) {
        rig_pump (rig, 50);
        assert_true (clock_mono () < deadline);
    }
}

/* --- garbage --- */

/* --- garbage, strangers --- */

static void throw_garbage (rig_t *rig, void *socket)
{
    uint8_t junk[3000];
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned i = 0; i < 200; i++) {
        size_t len = (i * 37) % sizeof junk;
        unsigned parts = i % 4;
        for (unsigned p = 0; p < parts; p++)
            zmq_send (socket, junk, len, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send (socket, junk, len, ZMQ_DONTWAIT);
        rig_pump (rig, 0);
    }
}

static void garbage_changes_nothing (void **state)
{
    rig_t *rig = *state;
    void *push = rig_push (rig, &rig->client, 0);
    zmq_pollitem_t item = {.socket = push, .events = ZMQ_POLLOUT};
    assert_int_equal (zmq_poll (&item, 1, 5000), 1);
    throw_garbage (rig, push);
    rig_close (rig, &push);
    /* On the control link: what is no envelope, and envelopes out of place. */
    zmq_send (rig->back, rig->routes[0].id, rig->routes[0].len, ZMQ_SNDMORE);
    zmq_send (rig->back, "nonsense", 8, 0);
    zmq_send (rig->back, rig->routes[0].id, rig->routes[0].len, ZMQ_SNDMORE);
    zmq_send (rig->back, "non", 3, ZMQ_SNDMORE);
    zmq_send (rig->back, "sense", 5, 0);
    zmq_send (rig->announce, "A", 1, ZMQ_SNDMORE);
    zmq_send (rig->announce, "nonsense", 8, 0);
    Dfs__ClusterStatus status = DFS__CLUSTER_STATUS__INIT;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_CLUSTER_STATUS;
    env.cluster_status = &status;
    rig_order (rig, 0, &env);
    Dfs__CopyKey k = DFS__COPY_KEY__INIT;
    k.digest.data = (uint8_t *)(uintptr_t) "short";
    k.digest.len = 5;
    Dfs__Replicate replica = DFS__REPLICATE__INIT;
    replica.key = &k;
    env.body_case = DFS__ENVELOPE__BODY_REPLICATE;
    env.replicate = &replica;
    rig_order (rig, 0, &env);
    rig_store (rig, 2 * FRAME_MAX, 240, 2);
}

static void strangers_are_not_let_in (void **state)
{
    rig_t *rig = *state;
    void *push = rig_push (rig, &rig->stranger, 0);
    zmq_pollitem_t item = {.socket = push, .events = ZMQ_POLLOUT};
    assert_int_equal (zmq_poll (&item, 1, 300), 0);
    rig_close (rig, &push);
    rig_store (rig, 5000, 245, 1);
}

int main (int argc, char **argv)
{
    context_open ();
    const struct CMUnitTest tests[] = {
        SECURE (verify_order_rehashes),
        SECURE (changes_are_sent_again_after_a_gap),
        SECURE (welcome_says_where_to_go_on),
        SECURE (trimmed_sequence_is_listed),
        SECURE (heartbeats_come),
        SECURE (garbage_changes_nothing),
        OPEN (garbage_changes_nothing),
        SECURE (strangers_are_not_let_in),
    };
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter (argv[1]);
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("worker_broker", tests, NULL, NULL);
    context_close ();
    return failed;
}
