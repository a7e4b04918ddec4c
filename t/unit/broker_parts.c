/* SPDX-License-Identifier: MPL-2.0 */
/* Parts of the daemon by themselves: the table of ids, who is who, what is kept for
 * slow peers, clocks that jump, sessions that end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <zmq.h>

#include "broker/links/idmap.h"
#include "broker/links/outbox.h"
#include "broker/links/roster_private.h"
#include "broker/links/timekeeper.h"
#include "common/rng.h"
#include "common/units.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

/* Against a plain array, with many collisions of removal and insertion. */
static void ids (void **state)
{
    static int items[512];
    bool there[512] = {false};
    idmap_t *map = idmap_new ();
    rng_t rng;
    size_t count = 0;

    (void)state;
    rng_seed (&rng, 1);
    for (int i = 0; i < 200000; i++) {
        uint64_t id = rng_below (&rng, 512);
        if (rng_below (&rng, 2)) {
            idmap_put (map, id * 0x100000001ULL, &items[id]);
            count += !there[id];
            there[id] = true;
        } else {
            void *was = idmap_remove (map, id * 0x100000001ULL);
            assert_ptr_equal (was, there[id] ? &items[id] : NULL);
            count -= there[id];
            there[id] = false;
        }
        uint64_t look = rng_below (&rng, 512);
        assert_ptr_equal (idmap_get (map, look * 0x100000001ULL),
                          there[look] ? &items[look] : NULL);
        assert_int_equal (idmap_count (map), count);
    }
    size_t pos = 0, seen = 0;
    for (int *item; (item = idmap_next (map, &pos)); seen++)
        assert_true (there[item - items]);
    assert_int_equal (seen, count);
    idmap_destroy (&map);
}

/* Members are found by name and number, whatever order they come in; brokers are none
 * of them, and who was removed only as such. */
static void who_is_who (void **state)
{
    enum { N = 300 };
    static Dfs__Member members[N];
    static Dfs__User users[N];
    static char names[N][16];
    Dfs__Member *all[N];
    Dfs__User *people[N];
    mail_directory_t *mail = mail_new (MAIL_DIRECTORY, sizeof *mail);
    roster_t *roster = roster_new ();

    (void)state;
    assert_null (roster_worker_id (roster, 1));
    assert_null (roster_worker (roster, "w1"));
    assert_null (roster_user (roster, "w1"));
    for (uint32_t k = 0; k < N; k++) {
        uint32_t i = k * 7 % N;

        snprintf (names[i], sizeof names[i], "w%u", i);
        dfs__member__init (&members[i]);
        members[i].id = i + 1;
        members[i].name = names[i];
        members[i].role = i % 10 == 3 ? DFS__MEMBER_ROLE__MEMBER_BROKER
                                      : DFS__MEMBER_ROLE__MEMBER_WORKER;
        members[i].has_removed = members[i].removed = i % 10 == 4;
        all[k] = &members[i];
        dfs__user__init (&users[i]);
        users[i].id = 1000 - i;
        users[i].name = names[i];
        users[i].has_admin = users[i].admin = i % 3 == 0;
        people[k] = &users[i];
    }
    mail->members = all;
    mail->users = people;
    mail->n_members = mail->n_users = N;
    roster->directory = mail;
    roster_index (roster);
    for (uint32_t i = 0; i < N; i++) {
        bool worker = i % 10 != 3, removed = worker && i % 10 == 4;
        const Dfs__Member *want = worker && !removed ? &members[i] : NULL;

        assert_ptr_equal (roster_worker_id (roster, i + 1), want);
        assert_ptr_equal (roster_worker (roster, names[i]), want);
        assert_int_equal (roster_was_worker (roster, names[i]), removed);
        assert_ptr_equal (roster_user (roster, names[i]), &users[i]);
        assert_int_equal (roster_admin (roster, 1000 - i), i % 3 == 0);
    }
    assert_null (roster_worker_id (roster, N + 1));
    assert_null (roster_worker (roster, "w"));
    assert_false (roster_admin (roster, 1001));
    /* The next directory has none of them. */
    mail->n_members = mail->n_users = 0;
    roster_index (roster);
    assert_null (roster_worker_id (roster, 1));
    assert_null (roster_user (roster, "w1"));
    mail->members = NULL;
    mail->users = NULL;
    roster_destroy (&roster);
}

static void ping (Dfs__Envelope *env, uint64_t seq)
{
    static Dfs__Ping body = DFS__PING__INIT;

    dfs__envelope__init (env);
    env->has_seq = true;
    env->seq = seq;
    env->body_case = DFS__ENVELOPE__BODY_PING;
    env->ping = &body;
}

static Dfs__Envelope *receive (void *sock, bool router, arena_t *arena,
                               envelope_from_t *from, int wait_ms)
{
    zmq_pollitem_t item = {.socket = sock, .events = ZMQ_POLLIN};
    Dfs__Envelope *env;
    dfs_error_t err;

    arena_reset (arena);
    if (zmq_poll (&item, 1, wait_ms) <= 0)
        return NULL;
    int rc = envelope_recv (sock, router, false, arena, from, &env, &err);
    return rc == 1 ? env : NULL;
}

/* A peer that does not read for a while gets everything, in order; one that does not
 * read at all costs a bounded amount. */
static void slow_peer (void **state)
{
    void *ctx = zmq_ctx_new ();
    void *router = zmq_socket (ctx, ZMQ_ROUTER), *dealer = zmq_socket (ctx, ZMQ_DEALER);
    int one = 1, few = 4, zero = 0;
    char endpoint[] = "inproc://slow";
    arena_t *arena = arena_new (ENVELOPE_ARENA);
    envelope_from_t from;
    Dfs__Envelope env;
    link_t link;
    uint64_t sent = 0;

    (void)state;
    zmq_setsockopt (router, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    zmq_setsockopt (router, ZMQ_SNDHWM, &few, sizeof few);
    zmq_setsockopt (dealer, ZMQ_RCVHWM, &few, sizeof few);
    zmq_setsockopt (router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (dealer, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal (zmq_bind (router, endpoint), 0);
    assert_int_equal (zmq_connect (dealer, endpoint), 0);
    link_init (&link, "test");
    link.sock = router;
    ping (&env, 1);
    assert_int_equal (envelope_send (dealer, NULL, 0, &env), 0);
    assert_non_null (receive (router, true, arena, &from, 5000));
    conn_t *conn = link_hello (&link, &from);
    assert_non_null (conn);
    assert_ptr_equal (link_conn (&link, &from.route), conn);

    int rc;
    do {
        ping (&env, ++sent);
        rc = outbox_send (&link, conn, &env);
    } while (rc == 0);
    assert_int_equal (rc, DFS_EAGAIN);
    assert_in_range (sent, OUTBOX_MESSAGES, OUTBOX_MESSAGES + 100);
    assert_true (conn->kept_bytes <= OUTBOX_BYTES);
    for (uint64_t seq = 1; seq < sent; seq++) {
        Dfs__Envelope *got = NULL;
        /* As the reactor does: what cannot go now goes a little later. */
        for (int i = 0; i < 5000 && !got; i++) {
            outbox_retry (&link);
            got = receive (dealer, false, arena, &from, 1);
        }
        assert_non_null (got);
        assert_int_equal (got->seq, seq);
    }
    assert_false (outbox_retry (&link));
    assert_int_equal (conn->n_kept, 0);

    /* Gone with something kept: nothing is left of it. */
    while (outbox_send (&link, conn, &env) == 0 && conn->n_kept < 10)
        ;
    link_drop (&link, &conn);
    assert_null (link.blocked);
    link_clear (&link);
    zmq_close (dealer);
    zmq_close (router);
    zmq_ctx_term (ctx);
    arena_destroy (&arena);
}

/* Slow tuning is followed; a jump is not, until the clock is back. */
static void clock_that_jumps (void **state)
{
    timekeeper_t t;
    uint64_t wall = 1000000 * SEC, boot = 50 * SEC;

    (void)state;
    timekeeper_start (&t, wall, boot);
    for (int i = 0; i < 100; i++) {
        wall += SEC + SEC / 10; /* a second too fast every ten */
        boot += SEC;
        assert_false (timekeeper_look (&t, wall, boot));
        assert_int_equal (t.off, 0);
        assert_int_equal (timekeeper_now (&t, wall, boot), wall);
    }
    uint64_t true_wall = wall;
    wall += 86400 * SEC;
    assert_true (timekeeper_look (&t, wall, boot));
    assert_int_equal (t.off, 86400 * SEC);
    wall += 10 * SEC;
    boot += 10 * SEC;
    true_wall += 10 * SEC;
    assert_false (timekeeper_look (&t, wall, boot));
    assert_int_equal (timekeeper_now (&t, wall, boot), true_wall);
    wall = true_wall - 3600 * SEC;
    assert_false (timekeeper_look (&t, wall, boot));
    assert_int_equal (timekeeper_now (&t, wall, boot), true_wall);
    assert_true (timekeeper_look (&t, true_wall + SEC, boot));
    assert_int_equal (t.off, 0);
}

static void sessions_end (void **state)
{
    clients_t *clients = clients_new ();
    session_t *out[4], *live = clients_add (clients, 100);
    conn_t conn = {0};

    (void)state;
    live->conn = &conn;
    for (uint64_t i = 1; i <= 6; i++)
        clients_add (clients, i)->gone_at = i <= 5 ? SEC : 1000 * SEC;
    size_t n = clients_expired (clients, 1001 * SEC, out, 4);
    assert_int_equal (n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_in_range (out[i]->id, 1, 5);
        clients_remove (clients, &out[i]);
    }
    n = clients_expired (clients, 1001 * SEC, out, 4);
    assert_int_equal (n, 1);
    clients_remove (clients, &out[0]);
    assert_int_equal (clients_expired (clients, 1001 * SEC, out, 4), 0);
    assert_non_null (clients_get (clients, 6));
    assert_non_null (clients_get (clients, 100));
    assert_false (clients_full (clients));
    clients_destroy (&clients);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (sessions_end),     cmocka_unit_test (ids),
        cmocka_unit_test (clock_that_jumps), cmocka_unit_test (who_is_who),
        cmocka_unit_test (slow_peer),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_parts", tests, NULL, NULL);
}
