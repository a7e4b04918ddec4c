/* SPDX-License-Identifier: MPL-2.0 */
/* Sockets and envelopes: who is let in, what a bad peer can do. Real loopback sockets
 * on ports that the kernel picks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/envelope.h"
#include "msgs/knock.h"
#include "msgs/sock.h"
#include "msgs/zap.h"

void rig_throw (uint16_t port, const void *data, size_t len); /* broker_tcp.c */

typedef struct world {
    void *ctx;
    zap_t *zap;
    sock_identity_t server, user, stranger;
    void *front;
    uint16_t port;
    arena_t *arena;
} world_t;

static void quiet (enum log_level level, const char *line, void *arg)
{
    (void)level, (void)line, (void)arg;
}

static int setup (void **state)
{
    world_t *w = calloc (1, sizeof *w);
    log_set_sink (quiet, NULL);
    w->ctx = zmq_ctx_new ();
    w->zap = zap_new (w->ctx, NULL);
    w->server.secure = w->user.secure = w->stranger.secure = true;
    keys_generate (&w->server.keys);
    keys_generate (&w->user.keys);
    keys_generate (&w->stranger.keys);
    zap_allow (w->zap, "front", w->user.keys.public_key, DFS__ROLE__ROLE_CLIENT,
               "admin");
    w->front = sock_new (w->ctx, SOCK_FRONT, &w->server, NULL, NULL);
    w->arena = arena_new (ENVELOPE_ARENA);
    *state = w;
    return sock_bind (w->front, "127.0.0.1", 0, &w->port, NULL);
}

static int teardown (void **state)
{
    world_t *w = *state;
    sock_close (&w->front);
    zap_destroy (&w->zap);
    arena_destroy (&w->arena);
    zmq_ctx_term (w->ctx);
    log_set_sink (NULL, NULL);
    free (w);
    return 0;
}

/* Waits until the front has a message: its code, or 0 after TIMEOUT_MS. */
static int receive (world_t *w, int timeout_ms, envelope_from_t *from,
                    Dfs__Envelope **env)
{
    zmq_pollitem_t item = {.socket = w->front, .events = ZMQ_POLLIN};
    arena_reset (w->arena);
    if (zmq_poll (&item, 1, timeout_ms) <= 0)
        return 0;
    return envelope_recv (w->front, true, false, w->arena, from, env, NULL);
}

static int send_ping (void *s)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Ping ping = DFS__PING__INIT;
    env.body_case = DFS__ENVELOPE__BODY_PING;
    env.ping = &ping;
    env.has_seq = 1;
    env.seq = 42;
    /* The socket queues only for a finished handshake. */
    uint64_t until = clock_mono () + 3 * SEC;
    int rc;
    do {
        rc = envelope_send (s, NULL, 0, &env);
        zmq_poll (NULL, 0, 2);
    } while (rc == DFS_EAGAIN && clock_mono () < until);
    return rc;
}

static void test_known_key (void **state)
{
    world_t *w = *state;
    void *s = sock_new (w->ctx, SOCK_CLIENT, &w->user, NULL, NULL);
    assert_int_equal (sock_connect (s, &w->user, "127.0.0.1", w->port,
                                    w->server.keys.public_key, NULL),
                      0);
    assert_int_equal (send_ping (s), 0);
    envelope_from_t from;
    Dfs__Envelope *env;
    assert_int_equal (receive (w, 3000, &from, &env), 1);
    assert_int_equal (env->body_case, DFS__ENVELOPE__BODY_PING);
    assert_true (from.has_key && from.fd >= 0);
    assert_memory_equal (from.key, w->user.keys.public_key, 32);
    char name[16];
    assert_int_equal (zap_lookup (w->zap, "front", from.key, name, sizeof name),
                      DFS__ROLE__ROLE_CLIENT);
    assert_string_equal (name, "admin");
    /* The answer finds its way back. */
    Dfs__Envelope answer;
    envelope_answer (&answer, env);
    Dfs__Status status = DFS__STATUS__INIT;
    answer.status = &status;
    assert_int_equal (envelope_send (w->front, &from.route, 0, &answer), 0);
    zmq_pollitem_t item = {.socket = s, .events = ZMQ_POLLIN};
    assert_int_equal (zmq_poll (&item, 1, 3000), 1);
    assert_int_equal (envelope_recv (s, false, false, w->arena, &from, &env, NULL), 1);
    assert_int_equal (env->seq, 42);
    sock_close (&s);
    /* A peer that is gone is an error, not a message into the void. */
    uint64_t until = clock_mono () + 3 * SEC;
    route_t route = {.len = 5, .id = {0, 1, 2, 3, 4}};
    int rc = envelope_send (w->front, &route, 0, &answer);
    while (rc == 0 && clock_mono () < until)
        rc = envelope_send (w->front, &route, 0, &answer);
    assert_int_equal (rc, DFS_EUNAVAIL);
}

/* Gets a refusal from the handshake within 3 s: the monitor's event. */
static int handshake_error (world_t *w, const sock_identity_t *id,
                            const uint8_t *server)
{
    void *s = sock_new (w->ctx, SOCK_CLIENT, id, NULL, NULL);
    void *m = sock_monitor (w->ctx, s, ZMQ_EVENT_ALL, NULL);
    assert_non_null (m);
    assert_int_equal (sock_connect (s, id, "127.0.0.1", w->port, server, NULL), 0);
    int found = 0;
    uint64_t until = clock_mono () + 5 * SEC;
    while (!found && clock_mono () < until) {
        zmq_pollitem_t item = {.socket = m, .events = ZMQ_POLLIN};
        zmq_poll (&item, 1, 100);
        sock_event_t e;
        while (sock_monitor_read (m, &e) > 0)
            if (e.event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ||
                e.event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ||
                e.event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
                found = e.event;
            else if (e.event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
                found = -1;
    }
    sock_monitor_close (s, &m);
    sock_close (&s);
    return found;
}

static void test_strangers (void **state)
{
    world_t *w = *state;
    uint64_t before = zap_refused (w->zap);
    assert_int_equal (handshake_error (w, &w->stranger, w->server.keys.public_key),
                      ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    assert_int_equal (zap_refused (w->zap), before + 1);
    /* A wrong idea of the server's key. */
    assert_true (handshake_error (w, &w->user, w->stranger.keys.public_key) > 0);
    /* A key that is forbidden later is refused from then on. */
    zap_forbid (w->zap, "front", w->user.keys.public_key);
    assert_int_equal (handshake_error (w, &w->user, w->server.keys.public_key),
                      ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    zap_allow (w->zap, "front", w->user.keys.public_key, DFS__ROLE__ROLE_CLIENT,
               "admin");
    assert_int_equal (handshake_error (w, &w->user, w->server.keys.public_key), -1);
    /* One allowed in another domain only is a stranger here. */
    zap_allow (w->zap, "back", w->stranger.keys.public_key, DFS__ROLE__ROLE_WORKER,
               "w1");
    assert_int_equal (handshake_error (w, &w->stranger, w->server.keys.public_key),
                      ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    envelope_from_t from;
    Dfs__Envelope *env;
    assert_int_equal (receive (w, 0, &from, &env), 0);
}

/* Nobody reads the monitors of a client's handle while it is idle: a peer that does not
 * let it in leaves one event, not one for each try. */
static void test_client_tries_once (void **state)
{
    world_t *w = *state;
    const enum sock_kind kinds[] = {SOCK_CLIENT, SOCK_UPLINK, SOCK_STREAM_CLIENT};
    sock_event_t e;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        void *s = sock_new (w->ctx, kinds[i], &w->user, NULL, NULL);
        void *m = sock_monitor (w->ctx, s, ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, NULL);
        assert_int_equal (sock_connect (s, &w->user, "127.0.0.1", w->port,
                                        w->stranger.keys.public_key, NULL),
                          0);
        zmq_pollitem_t item = {.socket = m, .events = ZMQ_POLLIN};
        int first = zmq_poll (&item, 1, 60000) == 1 && sock_monitor_read (m, &e) == 1;
        int more = zmq_poll (&item, 1, 800);
        sock_monitor_close (s, &m);
        sock_close (&s);
        assert_int_equal (first, 1);
        assert_int_equal (more, 0);
    }
}

static void test_garbage (void **state)
{
    world_t *w = *state;
    void *s = sock_new (w->ctx, SOCK_CLIENT, &w->user, NULL, NULL);
    sock_connect (s, &w->user, "127.0.0.1", w->port, w->server.keys.public_key, NULL);
    assert_int_equal (send_ping (s), 0);
    envelope_from_t from;
    Dfs__Envelope *env;
    assert_int_equal (receive (w, 3000, &from, &env), 1);
    zmq_send (s, "garbage", 7, 0);
    assert_int_equal (receive (w, 3000, &from, &env), DFS_EPROTO);
    assert_true (from.route.len > 0);
    zmq_send (s, "two", 3, ZMQ_SNDMORE);
    zmq_send (s, "parts", 5, 0);
    assert_int_equal (receive (w, 3000, &from, &env), DFS_EPROTO);
    zmq_send (s, "", 0, 0);
    assert_int_equal (receive (w, 3000, &from, &env), DFS_EPROTO);
    /* A message that would unpack to far more than it weighs stops at the budget. */
    Dfs__Envelope big = DFS__ENVELOPE__INIT;
    Dfs__Stat stat = DFS__STAT__INIT;
    size_t n = 500000;
    ProtobufCBinaryData *paths = calloc (n, sizeof *paths);
    stat.n_paths = n;
    stat.paths = paths;
    big.version = 1;
    big.body_case = DFS__ENVELOPE__BODY_STAT;
    big.stat = &stat;
    size_t len = dfs__envelope__get_packed_size (&big);
    assert_true (len < ENVELOPE_MAX);
    uint8_t *packed = malloc (len);
    dfs__envelope__pack (&big, packed);
    zmq_send (s, packed, len, 0);
    arena_t *small = arena_new (64 * 1024);
    zmq_pollitem_t item = {.socket = w->front, .events = ZMQ_POLLIN};
    assert_int_equal (zmq_poll (&item, 1, 3000), 1);
    assert_int_equal (envelope_recv (w->front, true, false, small, &from, &env, NULL),
                      DFS_EPROTO);
    arena_destroy (&small);
    free (paths);
    free (packed);
    /* The connection still works. */
    assert_int_equal (send_ping (s), 0);
    assert_int_equal (receive (w, 3000, &from, &env), 1);
    sock_close (&s);
}

static void test_port_taken (void **state)
{
    world_t *w = *state;
    void *s = sock_new (w->ctx, SOCK_FRONT, &w->server, NULL, NULL);
    dfs_error_t err;
    assert_int_equal (sock_bind (s, "127.0.0.1", w->port, NULL, &err), DFS_EINUSE);
    assert_non_null (strstr (err.text, "port"));
    sock_close (&s);
}

/* A peer that is let in and was heard. */
static void *heard_friend (world_t *w)
{
    void *s = sock_new (w->ctx, SOCK_CLIENT, &w->user, NULL, NULL);
    assert_int_equal (sock_connect (s, &w->user, "127.0.0.1", w->port,
                                    w->server.keys.public_key, NULL),
                      0);
    assert_int_equal (send_ping (s), 0);
    envelope_from_t from;
    Dfs__Envelope *env;
    assert_int_equal (receive (w, 10000, &from, &env), 1);
    return s;
}

/* Reads the monitor until BAD were counted and nothing is open; fails after 10 s. */
static void count_bad (knock_t *knock, void *monitor, uint64_t bad)
{
    uint64_t until = clock_mono () + 10 * SEC;
    while ((knock->bad < bad || knock->n_open) && clock_mono () < until) {
        zmq_pollitem_t item = {.socket = monitor, .events = ZMQ_POLLIN};
        zmq_poll (&item, 1, 50);
        knock_drain (knock, "front", monitor, clock_mono ());
    }
    assert_int_equal (knock->bad, bad);
    assert_int_equal (knock->n_open, 0);
}

static char said[256];

static void keep_line (enum log_level level, const char *line, void *arg)
{
    (void)level, (void)arg;
    if (strstr (line, "bad_peer"))
        snprintf (said, sizeof said, "%s", line);
}

/* Bytes that are no handshake are counted and told of, whoever else comes and goes. */
static void test_knocks (void **state)
{
    world_t *w = *state;
    static const char garbage[] =
        "\x13 no greeting at all, and longer than a greeting is: 64 bytes and more";
    static const char null_greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL";
    static const char curve_greeting[75] = "\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE";
    knock_t knock = {.n_open = 0};
    void *monitor = sock_monitor (w->ctx, w->front, KNOCK_EVENTS, NULL);
    assert_non_null (monitor);
    log_set_sink (keep_line, NULL);
    said[0] = 0;
    /* A friend stays all the time, and others come and go. */
    void *friend = heard_friend (w);
    count_bad (&knock, monitor, 0);
    const struct {
        const char *bytes;
        size_t len;
    } kinds[] = {{"GET / HTTP/1.0\r\n\r\n", 18},
                 {garbage, sizeof garbage},
                 {null_greeting, sizeof null_greeting},
                 {curve_greeting, sizeof curve_greeting}};
    for (size_t i = 0; i < 4; i++) {
        rig_throw (w->port, kinds[i].bytes, kinds[i].len);
        count_bad (&knock, monitor, i + 1);
        void *other = heard_friend (w);
        sock_close (&other);
        count_bad (&knock, monitor, i + 1);
    }
    assert_non_null (strstr (said, "bad_peer door=front peer="));
    sock_close (&friend);
    log_set_sink (quiet, NULL);
    sock_monitor_close (w->front, &monitor);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_known_key, setup, teardown),
        cmocka_unit_test_setup_teardown (test_strangers, setup, teardown),
        cmocka_unit_test_setup_teardown (test_client_tries_once, setup, teardown),
        cmocka_unit_test_setup_teardown (test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown (test_knocks, setup, teardown),
        cmocka_unit_test_setup_teardown (test_port_taken, setup, teardown),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("sockets", tests, NULL, NULL);
}
