/* SPDX-License-Identifier: MPL-2.0 */
/* The daemon from outside: hellos, changes that survive kill -9, hostile peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker_rig.h"
#include "common/clock.h"
#include "common/rng.h"
#include "common/units.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

static void names_with (bool secure)
{
    rig_t *rig = rig_new (secure, 2, 1);
    uint64_t version = 0;

    rig_start (rig);
    peer_t *peer = peer_new (rig, "user", "admin");
    peer_hello (peer, 0);
    assert_int_equal (peer_mkdir (peer, 1, "/a", &version), 0);
    assert_true (version > 0);
    assert_int_equal (peer_mkdir (peer, 2, "/a", NULL), DFS_EEXIST);
    assert_int_equal (peer_mkdir (peer, 3, "/no/b", NULL), DFS_ENOENT);
    assert_int_equal (peer_stat (peer, "/a"), 0);
    assert_int_equal (peer_stat (peer, "/b"), DFS_ENOENT);

    /* A listing sees what was acknowledged a moment ago. */
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__List list = DFS__LIST__INIT;
    uint8_t root[] = "/";
    list.path.data = root;
    list.path.len = 1;
    env.body_case = DFS__ENVELOPE__BODY_LIST;
    env.list = &list;
    for (uint64_t i = 0; i < 20; i++) {
        char path[32];
        snprintf (path, sizeof path, "/d%02llu", (unsigned long long)i);
        assert_int_equal (peer_mkdir (peer, 10 + i, path, NULL), 0);
        Dfs__Envelope *answer = peer_ask (peer, &env);
        assert_null (answer->status);
        assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_LISTING);
        assert_int_equal (answer->listing->n_entries, i + 2);
    }
    /* A question whose time is over is not answered; the next one is. */
    Dfs__Stat stat = DFS__STAT__INIT;
    stat.paths = &list.path;
    stat.n_paths = 1;
    env.body_case = DFS__ENVELOPE__BODY_STAT;
    env.stat = &stat;
    env.has_time_left_ms = true;
    env.time_left_ms = 0;
    uint64_t late = peer_send (peer, &env);
    env.time_left_ms = 600000;
    uint64_t good = peer_send (peer, &env);
    for (uint64_t seen = 0; seen != good;) {
        Dfs__Envelope *answer = peer_recv (peer, 30000);
        assert_non_null (answer);
        seen = answer->seq;
        assert_int_not_equal (seen, late);
    }
    peer_destroy (&peer);
    int status = rig_stop (rig, SIGTERM);
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    dfs_error_t err;
    assert_true (cluster_ready_read (rig->cluster, "b1", &rig->ready, &err) < 0);
    rig_destroy (&rig);
}

static void names_plain (void **state)
{
    (void)state;
    names_with (false);
}

static void names_curve (void **state)
{
    (void)state;
    names_with (true);
}

static void hello_rules (void **state)
{
    rig_t *rig = rig_new (true, 1, 1);
    uint8_t other[16] = {9};

    (void)state;
    rig_start (rig);
    const uint8_t *id = rig->cluster->id;
    peer_t *peer = peer_new (rig, "user", "admin");
    assert_int_equal (peer_stat (peer, "/"), DFS_ESTALE);
    assert_int_equal (
        peer_hello_code (peer, other, 1, DFS__ROLE__ROLE_CLIENT, "admin", 0),
        DFS_ECLUSTER);
    assert_int_equal (peer_hello_code (peer, id, 2, DFS__ROLE__ROLE_CLIENT, "admin", 0),
                      DFS_EVERSION);
    assert_int_equal (peer_hello_code (peer, id, 1, DFS__ROLE__ROLE_CLIENT, "other", 0),
                      DFS_EAUTH);
    assert_int_equal (peer_hello_code (peer, id, 1, DFS__ROLE__ROLE_WORKER, "w1", 0),
                      DFS_EAUTH);
    assert_int_equal (peer_hello_code (peer, id, 1, DFS__ROLE__ROLE_CLIENT, "", 0),
                      DFS_EPROTO);
    assert_int_equal (peer_stat (peer, "/"), DFS_ESTALE);
    peer_hello (peer, 0);
    assert_int_equal (peer_stat (peer, "/"), 0);

    /* Another user cannot take a session over; its owner goes on with it. */
    uint64_t session = peer->session;
    peer_t *thief = peer_new (rig, "user", "other");
    assert_int_equal (
        peer_hello_code (thief, id, 1, DFS__ROLE__ROLE_CLIENT, "other", session),
        DFS_EAUTH);
    assert_int_equal (peer_stat (peer, "/"), 0);
    peer_destroy (&thief);
    peer_destroy (&peer);
    peer = peer_new (rig, "user", "admin");
    peer_hello (peer, session);
    assert_int_equal (peer->session, session);

    /* Keys of other roles, and unknown ones, do not get as far as a hello. */
    keypair_t worker, unknown;
    dfs_error_t err;
    assert_int_equal (
        keys_load_secret (rig->cluster->keys_dir, "worker", "w1", &worker, &err), 0);
    assert_int_equal (keys_generate (&unknown), 0);
    const keypair_t *keys[] = {&worker, &unknown};
    for (size_t i = 0; i < 2; i++) {
        peer_t *stranger = peer_new_with (rig, SOCK_CLIENT, 0, keys[i]);
        Dfs__Envelope env = DFS__ENVELOPE__INIT;
        Dfs__Ping ping = DFS__PING__INIT;
        env.body_case = DFS__ENVELOPE__BODY_PING;
        env.ping = &ping;
        uint64_t end = clock_mono () + 300 * MS;
        while (clock_mono () < end)
            assert_int_equal (envelope_send (stranger->sock, NULL, 0, &env),
                              DFS_EAGAIN);
        peer_destroy (&stranger);
    }
    assert_true (rig_logged (rig, "handshake_refused"));
    peer_destroy (&peer);
    rig_destroy (&rig);
}

/* Acknowledged stays, across kill -9; and a change that is sent again under its number
 * is the same change. */
static void kill_keeps (void **state)
{
    rig_t *rig = rig_new (false, 1, 1);
    uint64_t first = 0, again = 0, session;
    char path[32];

    (void)state;
    rig_start (rig);
    peer_t *peer = peer_new (rig, "user", "admin");
    peer_hello (peer, 0);
    session = peer->session;
    assert_int_equal (peer_mkdir (peer, 1, "/first", &first), 0);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 50; i++) {
            snprintf (path, sizeof path, "/r%llu-%llu", (unsigned long long)round,
                      (unsigned long long)i);
            assert_int_equal (peer_mkdir (peer, 2 + round * 50 + i, path, NULL), 0);
        }
        rig_stop (rig, SIGKILL);
        peer_destroy (&peer);
        rig_start (rig);
        peer = peer_new (rig, "user", "admin");
        peer_hello (peer, session);
        assert_int_equal (peer->session, session);
        for (uint64_t i = 0; i < 50; i++) {
            snprintf (path, sizeof path, "/r%llu-%llu", (unsigned long long)round,
                      (unsigned long long)i);
            assert_int_equal (peer_stat (peer, path), 0);
        }
        assert_int_equal (peer_mkdir (peer, 1, "/first", &again), 0);
        assert_int_equal (again, first);
    }
    peer_destroy (&peer);
    rig_destroy (&rig);
}

/* Bytes from nobody, on every port, change nothing. */
static void garbage (void **state)
{
    rig_t *rig = rig_new (false, 1, 1);
    uint8_t noise[4096];

    (void)state;
    rig_start (rig);
    peer_t *peer = peer_new (rig, "user", "admin");
    peer_hello (peer, 0);
    assert_int_equal (peer_mkdir (peer, 1, "/a", NULL), 0);
    for (int port = 0; port < 4; port++) {
        for (int i = 0; i < 8; i++) {
            rng_secret (noise, sizeof noise);
            rig_throw (rig->ready.ports[port], noise, sizeof noise);
        }
    }
    /* Through ZeroMQ: noise, an empty message, many parts, a routing id of its own, and
     * envelopes whose fields lie. */
    for (int port = 0; port < 2; port++) {
        void *dealer = zmq_socket (rig->zmq, ZMQ_DEALER);
        char endpoint[64];
        int zero = 0;
        zmq_setsockopt (dealer, ZMQ_LINGER, &zero, sizeof zero);
        zmq_setsockopt (dealer, ZMQ_ROUTING_ID, port ? "w1" : "admin", port ? 2 : 5);
        snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.1:%u",
                  rig->ready.ports[port]);
        assert_int_equal (zmq_connect (dealer, endpoint), 0);
        for (int i = 0; i < 100; i++) {
            rng_secret (noise, sizeof noise);
            zmq_send (dealer, noise, 1 + noise[0], 0);
        }
        zmq_send (dealer, "", 0, 0);
        for (int i = 0; i < 10; i++)
            zmq_send (dealer, "part", 4, ZMQ_SNDMORE);
        zmq_send (dealer, "", 0, 0);
        assert_int_equal (peer_stat (peer, "/a"), 0);
        zmq_close (dealer);
    }
    peer_t *liar = peer_new (rig, "user", "admin");
    peer_hello (liar, 0);
    assert_int_equal (peer_mkdir (liar, 0, "/zero", NULL), DFS_EPROTO);
    assert_int_equal (peer_mkdir (liar, 1, "relative", NULL), DFS_EINVAL);
    assert_int_equal (peer_mkdir (liar, 2, "/a/../b", NULL), DFS_EINVAL);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Extents extents = DFS__EXTENTS__INIT;
    extents.handle.data = noise;
    extents.handle.len = 56;
    env.body_case = DFS__ENVELOPE__BODY_EXTENTS;
    env.extents = &extents;
    Dfs__Envelope *answer = peer_ask (liar, &env);
    assert_non_null (answer->status);
    assert_true (answer->status->code < 0);
    assert_int_equal (peer_stat (peer, "/zero"), DFS_ENOENT);
    assert_int_equal (peer_stat (peer, "/b"), DFS_ENOENT);
    assert_int_equal (peer_stat (peer, "/a"), 0);
    assert_true (rig_logged (rig, "dropped"));
    peer_destroy (&liar);
    peer_destroy (&peer);
    int status = rig_stop (rig, SIGTERM);
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    rig_destroy (&rig);
}

static void start_rules (void **state)
{
    rig_t *rig = rig_new (false, 1, 1);
    char path[300], pid[32];
    int status;

    (void)state;
    rig_start (rig);
    pid_t running = rig->pid;
    rig_spawn (rig); /* the second one */
    status = rig_wait (rig);
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 1);
    snprintf (pid, sizeof pid, "%d", (int)running);
    assert_true (rig_logged (rig, pid));
    rig->pid = running;
    dfs_error_t err;
    assert_int_equal (cluster_ready_read (rig->cluster, "b1", &rig->ready, &err), 0);
    assert_int_equal (rig->ready.pid, running);
    status = rig_stop (rig, SIGTERM);
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);

    /* A directory without its mark is named and left alone. */
    snprintf (path, sizeof path, "%s/dfs-mark", rig->cluster->brokers[0].data[0]);
    assert_int_equal (unlink (path), 0);
    rig_spawn (rig);
    status = rig_wait (rig);
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 1);
    assert_true (rig_logged (rig, "not a marked data directory") ||
                 rig_logged (rig, "data/b1"));
    rig_destroy (&rig);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (names_plain, rig_cleanup),
        cmocka_unit_test_teardown (names_curve, rig_cleanup),
        cmocka_unit_test_teardown (hello_rules, rig_cleanup),
        cmocka_unit_test_teardown (kill_keeps, rig_cleanup),
        cmocka_unit_test_teardown (garbage, rig_cleanup),
        cmocka_unit_test_teardown (start_rules, rig_cleanup),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_links", tests, NULL, NULL);
}
