/* SPDX-License-Identifier: MPL-2.0 */
/* Peers that are out of reach for a while: handshakes that are refused (ZeroMQ does not
 * try again by itself), names that cannot be looked up or mean another host now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/resolve.h"
#include "common/units.h"
#include "t/unit/worker_rig.h"
#include "worker/context.h"
#include "worker/flow/forward.h"

#define PATIENCE (60 * SEC)

/* --- names --- */

enum names { NAMES_SILENT, NAMES_ELSEWHERE, NAMES_RIGHT, NAMES };
static atomic_int names;
static atomic_uint asked[NAMES]; /* for w2.test, by what it was then */

/* Instead of common/resolve.c. */
int resolve_host (const char *host, char *out, size_t cap, int timeout_ms,
                  dfs_error_t *err)
{
    (void)timeout_ms;
    int now = atomic_load (&names);
    if (strcmp (host, "w2.test") != 0)
        snprintf (out, cap, "%s", host);
    else if (atomic_fetch_add (&asked[now], 1), now == NAMES_SILENT)
        return fail (err, DFS_ETIMEOUT, "no answer from the name server");
    else
        snprintf (out, cap, "%s", now == NAMES_ELSEWHERE ? "192.0.2.1" : "127.0.0.1");
    return DFS_OK;
}

static void wait_asked (rig_t *rig, enum names now, unsigned times)
{
    uint64_t deadline = clock_mono () + PATIENCE;
    while (atomic_load (&asked[now]) < times) {
        rig_pump (rig, 20);
        assert_true (clock_mono () < deadline);
    }
}

/* Sends worker 1 a chunk that is to go on to worker 2. */
static copykey_t send_through (rig_t *rig, unsigned seed)
{
    static const uint32_t both[] = {1, 2};
    copykey_t key;
    uint8_t *data = rig_chunk (3000, seed, &key);
    grant_t grant = rig_grant (rig, &key, 3000, 2, both);
    void *push = rig_push (rig, &rig->client, 0);
    rig_send (rig, push, &grant, data, 3000, &(upload_t){.session = CLIENT});
    rig_wait (rig, CHANGES, 0, &key);
    rig_close (rig, &push);
    free (data);
    return key;
}

static void names_are_looked_up_again (void **state)
{
    rig_t *rig = *state;
    rig->hosts[1] = "w2.test";
    rig_stop (rig, 0);
    rig_start (rig, 0);
    /* A name server that is away for a while: nobody tells the worker when it is back.
     */
    wait_asked (rig, NAMES_SILENT, 1);
    atomic_store (&names, NAMES_ELSEWHERE);
    wait_asked (rig, NAMES_ELSEWHERE, 1);
    /* A host that has another address since then. */
    copykey_t key = send_through (rig, 900);
    assert_non_null (rig_look (rig, REFUSED, 0, &key, PATIENCE / MS));
    atomic_store (&names, NAMES_RIGHT);
    uint64_t deadline = clock_mono () + PATIENCE;
    for (unsigned seed = 901;; seed++) {
        key = send_through (rig, seed);
        if (rig_look (rig, CHANGES, 1, &key, 1000))
            break;
        assert_true (clock_mono () < deadline);
    }
}

/* --- a worker's own sockets --- */

/* Starts the modules of worker 0 from FIRST on, up to (not with) LAST. */
static void start_modules (rig_t *rig, const char *first, const char *last)
{
    dfs_error_t err = {0};
    bool begun = false;
    for (const daemon_module_t *m = worker_modules; m->name; m++) {
        begun |= strcmp (m->name, first) == 0;
        if (last && strcmp (m->name, last) == 0)
            return;
        if (begun)
            assert_int_equal (m->start (rig->workers[0], &err), 0);
    }
}

/* Whoever comes back to a worker that starts anew is there at the first moment. */
static void keys_are_known_before_anybody_can_connect (void **state)
{
    rig_t *rig = *state;
    dfs_error_t err = {0};
    keypair_t pair;
    sock_event_t event = {0};
    rig_stop (rig, 0);
    rig->worker_ctx[0] = zmq_ctx_new ();
    rig->workers[0] =
        worker_new (rig->worker_ctx[0], rig->cluster, &rig->cluster->workers[0], -1);
    start_modules (rig, "tables", "links");

    assert_int_equal (
        keys_load_public (rig->cluster->keys_dir, "worker", "w1", &pair, &err), 0);
    void *push = sock_new (rig->ctx, SOCK_FORWARD, &rig->client, NULL, &err);
    void *monitor = sock_monitor (
        rig->ctx, push, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
        &err);
    assert_int_equal (sock_connect (push, &rig->client, "127.0.0.1", rig_port (rig, 0),
                                    pair.public_key, &err),
                      0);
    zmq_pollitem_t item = {.socket = monitor, .events = ZMQ_POLLIN};
    assert_int_equal (zmq_poll (&item, 1, 60000), 1);
    assert_int_equal (sock_monitor_read (monitor, &event), 1);
    assert_int_equal (event.event, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    sock_monitor_close (push, &monitor);
    sock_close (&push);
    start_modules (rig, "links", NULL);
}

static void heartbeats_come_after_a_refusal (void **state)
{
    rig_t *rig = *state;
    dfs_error_t err = {0};
    keypair_t pair;
    rig_stop (rig, 0);
    rig_stop (rig, 1);
    assert_int_equal (
        keys_load_public (rig->cluster->keys_dir, "worker", "w1", &pair, &err), 0);
    zap_forbid (rig->zap, sock_domain (SOCK_PULSE), pair.public_key);
    uint64_t refused = zap_refused (rig->zap);
    rig_start (rig, 0);
    uint64_t deadline = clock_mono () + PATIENCE;
    while (!rig->said_hello[0] || !worker_welcomed (rig->workers[0]) ||
           zap_refused (rig->zap) == refused) {
        rig_pump (rig, 20);
        assert_true (clock_mono () < deadline);
    }
    zap_allow (rig->zap, sock_domain (SOCK_PULSE), pair.public_key,
               DFS__ROLE__ROLE_WORKER, "w1");
    size_t heard = rig->heartbeats;
    deadline = clock_mono () + PATIENCE;
    while (rig->heartbeats < heard + 3) {
        rig_pump (rig, 20);
        assert_true (clock_mono () < deadline);
    }
    assert_int_equal (worker_welcomed (rig->workers[0]), 1);
}

/* Who started the worker is told in run/ that no broker lets it in, until one does. */
static void a_key_that_is_refused_is_told (void **state)
{
    rig_t *rig = *state;
    dfs_error_t err = {0};
    keypair_t pair;
    char text[300] = "";
    int pid = (int)getpid ();
    rig_stop (rig, 0);
    rig_stop (rig, 1);
    assert_int_equal (
        keys_load_public (rig->cluster->keys_dir, "worker", "w1", &pair, &err), 0);
    zap_forbid (rig->zap, sock_domain (SOCK_BACK), pair.public_key);
    rig_start (rig, 0);
    uint64_t deadline = clock_mono () + PATIENCE;
    while (!cluster_refused_read (rig->cluster, "w1", pid, text, sizeof text)) {
        rig_pump (rig, 20);
        assert_true (clock_mono () < deadline);
    }
    assert_int_equal (strncmp (text, "broker b1 refuses its key (", 27), 0);
    assert_false (cluster_refused_read (rig->cluster, "w1", pid + 1, text, 300));
    assert_int_equal (worker_welcomed (rig->workers[0]), 0);
    zap_allow (rig->zap, sock_domain (SOCK_BACK), pair.public_key,
               DFS__ROLE__ROLE_WORKER, "w1");
    deadline = clock_mono () + PATIENCE;
    while (!worker_welcomed (rig->workers[0]) ||
           cluster_refused_read (rig->cluster, "w1", pid, text, sizeof text)) {
        rig_pump (rig, 20);
        assert_true (clock_mono () < deadline);
    }
}

/* --- what is sent on --- */

typedef struct chain {
    void *ctx;
    zap_t *zap;
    sock_identity_t here, there;
    directory_t *directory;
    notes_t *notes;
    store_t *store;
    forward_t *forward;
    copykey_t key;
    uint64_t orders;
} chain_t;

static void ignore_changes (uint32_t disk, const store_change_t *changes, size_t n,
                            void *arg)
{
    (void)disk;
    (void)changes;
    (void)n;
    (void)arg;
}

/* A worker's forward with a chunk to send, and a directory that has worker 2 at PORT.
 */
static void chain_open (chain_t *chain, uint64_t patience)
{
    dfs_error_t err = {0};
    *chain = (chain_t){.ctx = zmq_ctx_new (),
                       .here = {.secure = true},
                       .there = {.secure = true},
                       .directory = directory_new (),
                       .notes = notes_new ()};
    chain->zap = zap_new (chain->ctx, &err);
    keys_generate (&chain->here.keys);
    keys_generate (&chain->there.keys);
    store_config_t store = {.node = "w1", .changed = ignore_changes};
    chain->store = store_open (&store, &err);
    uint8_t *data = rig_chunk (3000, 5, &chain->key);
    fake_add (chain->store, &chain->key, 7, data, 3000);
    free (data);
    store_info_t info;
    for (uint64_t end = clock_mono () + PATIENCE;
         !store_find (chain->store, &chain->key, &info, &err);)
        assert_true (clock_mono () < end);
    forward_config_t config = {.ctx = chain->ctx,
                               .identity = &chain->here,
                               .directory = chain->directory,
                               .store = chain->store,
                               .notes = chain->notes,
                               .patience_ns = patience};
    chain->forward = forward_new (&config, &err);
    assert_non_null (chain->forward);
}

static void chain_tell (chain_t *chain, uint16_t port)
{
    member_t member = {
        .id = 2, .name = "w2", .host = "127.0.0.1", .address = "127.0.0.1"};
    member.port = port;
    member.has_key = true;
    memcpy (member.key, chain->there.keys.public_key, 32);
    directory_set_members (chain->directory, &member, 1);
}

static void chain_close (chain_t *chain)
{
    forward_destroy (&chain->forward);
    store_close (&chain->store);
    notes_destroy (&chain->notes);
    directory_destroy (&chain->directory);
    zap_destroy (&chain->zap);
    zmq_ctx_term (chain->ctx);
}

static void chain_send (chain_t *chain)
{
    forward_item_t *item = forward_item_new ();
    item->target = 2;
    item->order = ++chain->orders;
    item->key = chain->key;
    item->stored_len = 3000;
    forward_queue (chain->forward, &item);
}

/* Whether an order has failed since the last look. */
static bool chain_failed (chain_t *chain)
{
    note_t *note;
    bool failed = false;
    while ((note = notes_pop (chain->notes))) {
        failed |= note->kind == NOTE_ORDER_RESULT && note->code == DFS_EUNAVAIL;
        note_destroy (&note);
    }
    return failed;
}

static void chunks_go_on_after_a_refusal (void **state)
{
    (void)state;
    chain_t chain;
    dfs_error_t err = {0};
    uint16_t port;
    chain_open (&chain, 0);
    void *pull = sock_new (chain.ctx, SOCK_INGEST, &chain.there, NULL, &err);
    assert_int_equal (sock_bind (pull, "127.0.0.1", 0, &port, &err), 0);
    chain_tell (&chain, port);
    chain_send (&chain);
    uint64_t deadline = clock_mono () + PATIENCE;
    zmq_pollitem_t item = {.socket = pull, .events = ZMQ_POLLIN};
    while (zap_refused (chain.zap) == 0) {
        zmq_poll (&item, 1, 10);
        assert_true (clock_mono () < deadline);
    }
    /* The directory that has the sender's key comes a little later. */
    zap_allow (chain.zap, sock_domain (SOCK_INGEST), chain.here.keys.public_key,
               DFS__ROLE__ROLE_WORKER, "w1");
    deadline = clock_mono () + PATIENCE;
    while (zmq_poll (&item, 1, 100) == 0) {
        assert_true (clock_mono () < deadline);
        if (chain_failed (&chain))
            chain_send (&chain);
    }
    sock_close (&pull);
    chain_close (&chain);
}

/* Another worker has the port now: each attempt ends, and is made again. */
static void a_peer_that_always_hangs_up_is_given_up (void **state)
{
    (void)state;
    chain_t chain;
    dfs_error_t err = {0};
    uint16_t port;
    sock_identity_t other = {.secure = true};
    keys_generate (&other.keys);
    chain_open (&chain, 2500 * MS);
    void *pull = sock_new (chain.ctx, SOCK_INGEST, &other, NULL, &err);
    assert_int_equal (sock_bind (pull, "127.0.0.1", 0, &port, &err), 0);
    chain_tell (&chain, port);
    chain_send (&chain);
    uint64_t deadline = clock_mono () + PATIENCE;
    while (!chain_failed (&chain)) {
        usleep (20000);
        assert_true (clock_mono () < deadline);
    }
    sock_close (&pull);
    chain_close (&chain);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        SECURE (keys_are_known_before_anybody_can_connect),
        SECURE (heartbeats_come_after_a_refusal),
        SECURE (a_key_that_is_refused_is_told),
        cmocka_unit_test (chunks_go_on_after_a_refusal),
        cmocka_unit_test (a_peer_that_always_hangs_up_is_given_up),
        SECURE (names_are_looked_up_again),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("worker_refused", tests, NULL, NULL);
    context_close ();
    return failed;
}
