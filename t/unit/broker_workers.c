/* SPDX-License-Identifier: MPL-2.0 */
/* The daemon as workers meet it: registration, changes, heartbeats, what is relayed to
 * clients, and a worker that is added while the broker runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker_rig.h"
#include "common/clock.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/keys.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

static uint8_t store_id[16] = {1, 2, 3};

static void fill (peer_t *peer, Dfs__Hello *hello, char *name)
{
    dfs__hello__init (hello);
    hello->version_min = hello->version_max = ENVELOPE_VERSION;
    hello->cluster_id.data = peer->rig->cluster->id;
    hello->cluster_id.len = 16;
    hello->role = DFS__ROLE__ROLE_WORKER;
    hello->name = name;
    hello->has_port = true;
    hello->port = 9;
    hello->has_incarnation = true;
    hello->incarnation = 77;
}

/* Code of a worker's hello; the id it was given in *WORKER. */
static int join_as (peer_t *peer, char *name, uint32_t *worker)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Hello hello;
    Dfs__Store store = DFS__STORE__INIT;
    Dfs__Store *stores = &store;

    fill (peer, &hello, name);
    store.id.data = store_id;
    store.id.len = sizeof store_id;
    store.incarnation = 5;
    store.first_seq = 1;
    hello.stores = &stores;
    hello.n_stores = 1;
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &hello;
    Dfs__Envelope *answer = peer_ask (peer, &env);
    if (answer->status)
        return answer->status->code;
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_WELCOME);
    const Dfs__Welcome *w = answer->welcome;
    /* What seals grants, and of that nothing that seals handles. */
    uint8_t master[32], key[32];
    assert_int_equal (keys_hmac_load (peer->rig->cluster->keys_dir, master, NULL), 0);
    keys_derive (master, KEYS_GRANT, key);
    assert_int_equal (w->n_grant_keys, 1);
    assert_int_equal (w->grant_keys[0]->key.len, sizeof key);
    assert_memory_equal (w->grant_keys[0]->key.data, key, sizeof key);
    assert_int_equal (w->n_marks, 1);
    assert_memory_equal (w->marks[0]->id.data, store_id, sizeof store_id);
    peer->session = w->session;
    *worker = w->worker;
    return 0;
}

/* Next message with that body (others are skipped). */
static Dfs__Envelope *wait_body (peer_t *peer, Dfs__Envelope__BodyCase body)
{
    Dfs__Envelope *env;

    while ((env = peer_recv (peer, RIG_WAIT_MS))) {
        if (env->body_case == body)
            return env;
    }
    fail_msg ("message %d does not come", (int)body);
    return NULL;
}

static void heartbeat (void *pub, uint32_t worker, uint64_t number)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Heartbeat beat = DFS__HEARTBEAT__INIT;

    beat.worker = worker;
    beat.number = number;
    beat.incarnation = 77;
    beat.capacity = 1000 * MIB;
    beat.used = 10 * MIB;
    beat.chunks = 3;
    env.body_case = DFS__ENVELOPE__BODY_HEARTBEAT;
    env.heartbeat = &beat;
    envelope_send (pub, NULL, 'H', &env);
}

/* State of a worker as status shows it, with what its heartbeat said. */
static void look (peer_t *client, const char *name, char state[32], uint64_t *chunks)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__ClusterStatus ask = DFS__CLUSTER_STATUS__INIT;

    env.body_case = DFS__ENVELOPE__BODY_CLUSTER_STATUS;
    env.cluster_status = &ask;
    Dfs__Envelope *answer = peer_ask (client, &env);
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_CLUSTER_STATUS_REPLY);
    const Dfs__ClusterStatusReply *reply = answer->cluster_status_reply;
    assert_string_equal (reply->cluster, "rig");
    assert_int_equal (reply->n_brokers, 1);
    assert_string_equal (reply->brokers[0]->role, "leader");
    snprintf (state, 32, "unknown");
    *chunks = 0;
    for (size_t i = 0; i < reply->n_workers; i++) {
        if (strcmp (reply->workers[i]->name, name) == 0) {
            snprintf (state, 32, "%s", reply->workers[i]->state);
            *chunks = reply->workers[i]->chunks;
        }
    }
}

static void await_state (peer_t *client, const char *name, const char *want, void *pub,
                         uint32_t worker)
{
    uint64_t end = clock_mono () + RIG_WAIT_MS * MS;
    char state[32];
    uint64_t chunks, number = clock_mono ();

    do {
        if (pub)
            heartbeat (pub, worker, ++number);
        look (client, name, state, &chunks);
        if (strcmp (state, want) == 0 && (!pub || chunks == 3))
            return;
        nanosleep (&(struct timespec){.tv_nsec = 20000000}, NULL);
    } while (clock_mono () < end);
    fail_msg ("%s stays %s", name, state);
}

static void registration (void **state)
{
    rig_t *rig = rig_new (true, 2, 1);
    uint32_t id = 0;
    keypair_t key;
    dfs_error_t err;
    char w1[] = "w1", w2[] = "w2", nobody[] = "nobody";

    (void)state;
    rig_start (rig);
    peer_t *client = peer_new (rig, "user", "admin");
    peer_hello (client, 0);
    peer_t *worker = peer_new (rig, "worker", "w1");
    assert_int_equal (join_as (worker, w2, &id), DFS_EAUTH);
    assert_int_equal (join_as (worker, nobody, &id), DFS_EAUTH);
    assert_int_equal (join_as (worker, w1, &id), 0);
    assert_true (id > 0);

    assert_int_equal (
        keys_load_secret (rig->cluster->keys_dir, "worker", "w1", &key, &err), 0);
    peer_t *pulse = peer_new_with (rig, SOCK_WORKER_PULSE, 2, &key);
    await_state (client, "w1", "up", pulse->sock, id);

    /* A heartbeat under another's key is not believed. */
    assert_int_equal (
        keys_load_secret (rig->cluster->keys_dir, "worker", "w2", &key, &err), 0);
    peer_t *forger = peer_new_with (rig, SOCK_WORKER_PULSE, 2, &key);
    uint64_t end = clock_mono () + RIG_WAIT_MS * MS;
    while (!rig_logged (rig, "heartbeat for another worker") && clock_mono () < end) {
        heartbeat (forger->sock, id, 1);
        heartbeat (pulse->sock, id, clock_mono ());
        nanosleep (&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    assert_true (clock_mono () < end);

    /* Its connection ends: it is no longer up. */
    peer_destroy (&pulse);
    peer_destroy (&worker);
    await_state (client, "w1", "dead", NULL, 0);
    peer_destroy (&forger);
    peer_destroy (&client);
    rig_destroy (&rig);
}

static void changes (void **state)
{
    rig_t *rig = rig_new (false, 1, 1);
    copykey_t key = {.digest = {7}};
    Dfs__CopyKey wire;
    uint32_t id;
    char w1[] = "w1";

    (void)state;
    rig_start (rig);
    peer_t *worker = peer_new (rig, "worker", "w1");
    assert_int_equal (join_as (worker, w1, &id), 0);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        Dfs__Envelope env = DFS__ENVELOPE__INIT;
        Dfs__Changes body = DFS__CHANGES__INIT;
        Dfs__LocationChange change = DFS__LOCATION_CHANGE__INIT;
        Dfs__LocationChange *list = &change;

        key.digest[1] = (uint8_t)seq;
        check_put_copykey (&key, &wire);
        change.kind = DFS__LOCATION_KIND__LOCATION_STORED;
        change.key = &wire;
        change.has_birth = change.has_length = true;
        change.birth = seq;
        change.length = 100;
        body.store.data = store_id;
        body.store.len = sizeof store_id;
        body.incarnation = 5;
        body.first_seq = seq;
        body.changes = &list;
        body.n_changes = 1;
        env.body_case = DFS__ENVELOPE__BODY_CHANGES;
        env.changes = &body;
        peer_send (worker, &env);
        Dfs__Envelope *ack = wait_body (worker, DFS__ENVELOPE__BODY_CHANGES_ACK);
        assert_int_equal (ack->changes_ack->n_marks, 1);
        assert_int_equal (ack->changes_ack->marks[0]->seq, seq);
    }
    peer_destroy (&worker);

    /* It comes back and hears how far the broker has got. */
    worker = peer_new (rig, "worker", "w1");
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Hello hello;
    Dfs__Store store = DFS__STORE__INIT;
    Dfs__Store *stores = &store;
    fill (worker, &hello, w1);
    store.id.data = store_id;
    store.id.len = sizeof store_id;
    store.incarnation = 5;
    store.last_seq = 3;
    store.first_seq = 1;
    hello.stores = &stores;
    hello.n_stores = 1;
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &hello;
    Dfs__Envelope *answer = peer_ask (worker, &env);
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_WELCOME);
    assert_int_equal (answer->welcome->marks[0]->seq, 3);
    peer_destroy (&worker);
    rig_destroy (&rig);
}

/* Reports change SEQ of the chunk, and waits until it is known. */
static void report (peer_t *worker, Dfs__CopyKey *key, uint64_t seq, int kind)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Changes body = DFS__CHANGES__INIT;
    Dfs__LocationChange change = DFS__LOCATION_CHANGE__INIT;
    Dfs__LocationChange *list = &change;

    change.kind = (Dfs__LocationKind)kind;
    change.key = key;
    change.has_birth = change.has_length = true;
    change.birth = seq;
    change.length = 100;
    body.store.data = store_id;
    body.store.len = sizeof store_id;
    body.incarnation = 5;
    body.first_seq = seq;
    body.changes = &list;
    body.n_changes = 1;
    env.body_case = DFS__ENVELOPE__BODY_CHANGES;
    env.changes = &body;
    peer_send (worker, &env);
    wait_body (worker, DFS__ENVELOPE__BODY_CHANGES_ACK);
}

/* Code of an append of that chunk under a request number. */
static int append (peer_t *client, uint64_t number, Dfs__CopyKey *key,
                   uint64_t *version)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Change change = DFS__CHANGE__INIT;
    Dfs__Request request = DFS__REQUEST__INIT;
    Dfs__Request *list = &request;
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpCommit commit = DFS__OP_COMMIT__INIT;
    Dfs__Extent extent = DFS__EXTENT__INIT;
    Dfs__Extent *extents = &extent;
    char path[] = "/log";

    extent.length = extent.chunk_length = 100;
    extent.kind = DFS__EXTENT_KIND__EXTENT_CHUNK;
    extent.has_digest = extent.has_chunk_length = true;
    extent.digest = key->digest;
    commit.path.data = (uint8_t *)path;
    commit.path.len = strlen (path);
    commit.has_create = commit.create = commit.has_append = commit.append = true;
    commit.size = 100;
    commit.extents = &extents;
    commit.n_extents = 1;
    op.op_case = DFS__OP__OP_COMMIT;
    op.commit = &commit;
    request.request = number;
    request.op = &op;
    change.requests = &list;
    change.n_requests = 1;
    env.body_case = DFS__ENVELOPE__BODY_CHANGE;
    env.change = &change;
    Dfs__Envelope *answer = peer_ask (client, &env);
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_CHANGED);
    assert_int_equal (answer->changed->results[0]->request, number);
    const Dfs__OpResult *result = answer->changed->results[0]->result;
    *version = result->version;
    return result->has_code ? result->code : 0;
}

/* A commit that is sent again, because its answer got lost, hears what was decided,
 * even if it could not be done any more: its client would do it twice. */
static void sent_again (void **state)
{
    rig_t *rig = rig_new (false, 1, 1);
    copykey_t key = {.digest = {7}};
    Dfs__CopyKey wire;
    uint64_t version, again;
    uint32_t id;
    char w1[] = "w1";

    (void)state;
    rig_start (rig);
    peer_t *worker = peer_new (rig, "worker", "w1");
    assert_int_equal (join_as (worker, w1, &id), 0);
    peer_t *client = peer_new (rig, "user", "admin");
    peer_hello (client, 0);
    check_put_copykey (&key, &wire);
    report (worker, &wire, 1, DFS__LOCATION_KIND__LOCATION_STORED);
    assert_int_equal (append (client, 1, &wire, &version), 0);
    report (worker, &wire, 2, DFS__LOCATION_KIND__LOCATION_GONE);
    assert_int_equal (append (client, 1, &wire, &again), 0);
    assert_int_equal (again, version);
    assert_int_equal (append (client, 2, &wire, &again), DFS_EMISSING);
    peer_destroy (&client);
    peer_destroy (&worker);
    rig_destroy (&rig);
}

static void relay (void **state)
{
    rig_t *rig = rig_new (true, 1, 1);
    copykey_t key = {.digest = {7}};
    Dfs__CopyKey wire;
    uint32_t id;
    char w1[] = "w1", lie[] = "liar";

    (void)state;
    rig_start (rig);
    peer_t *client = peer_new (rig, "user", "admin");
    peer_hello (client, 0);
    peer_t *worker = peer_new (rig, "worker", "w1");
    assert_int_equal (join_as (worker, w1, &id), 0);

    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__StreamReady ready = DFS__STREAM_READY__INIT;
    Dfs__Worker self = DFS__WORKER__INIT;
    self.id = 99;
    self.name = self.host = lie;
    self.port = 4321;
    ready.session = client->session;
    ready.worker = &self;
    env.body_case = DFS__ENVELOPE__BODY_STREAM_READY;
    env.stream_ready = &ready;
    peer_send (worker, &env);
    Dfs__Envelope *got = wait_body (client, DFS__ENVELOPE__BODY_STREAM_READY);
    assert_int_equal (got->stream_ready->worker->id, id);
    assert_string_equal (got->stream_ready->worker->name, "w1");
    assert_int_equal (got->stream_ready->worker->port, 4321);
    assert_memory_equal (got->stream_ready->worker->key.data,
                         worker->id.keys.public_key, 32);

    Dfs__Envelope env2 = DFS__ENVELOPE__INIT;
    Dfs__Credit credit = DFS__CREDIT__INIT;
    check_put_copykey (&key, &wire);
    credit.session = client->session;
    credit.key = &wire;
    credit.consumed = 12345;
    env2.body_case = DFS__ENVELOPE__BODY_CREDIT;
    env2.credit = &credit;
    peer_send (worker, &env2);
    got = wait_body (client, DFS__ENVELOPE__BODY_CREDIT);
    assert_int_equal (got->credit->consumed, 12345);
    /* And to a worker that sends on. */
    credit.session = worker->session;
    peer_send (worker, &env2);
    got = wait_body (worker, DFS__ENVELOPE__BODY_CREDIT);
    assert_int_equal (got->credit->consumed, 12345);
    peer_destroy (&worker);
    peer_destroy (&client);
    rig_destroy (&rig);
}

static void added (void **state)
{
    rig_t *rig = rig_new (true, 1, 1);
    uint64_t end;
    uint32_t id = 0;
    char w2[] = "w2";
    int rc;

    (void)state;
    rig_start (rig);
    rig_add_worker (rig, "w2");
    assert_int_equal (kill (rig->pid, SIGHUP), 0);
    end = clock_mono () + RIG_WAIT_MS * MS;
    while (!rig_logged (rig, "member_added") && clock_mono () < end)
        nanosleep (&(struct timespec){.tv_nsec = 10000000}, NULL);
    peer_t *worker = peer_new (rig, "worker", "w2");
    while ((rc = join_as (worker, w2, &id)) == DFS_EAUTH && clock_mono () < end)
        nanosleep (&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal (rc, 0);
    assert_int_equal (id, 3);
    peer_destroy (&worker);
    /* It stands in the log: the next start knows it. */
    rig_stop (rig, SIGKILL);
    rig_start (rig);
    worker = peer_new (rig, "worker", "w2");
    assert_int_equal (join_as (worker, w2, &id), 0);
    assert_int_equal (id, 3);
    peer_destroy (&worker);
    rig_destroy (&rig);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (registration, rig_cleanup),
        cmocka_unit_test_teardown (changes, rig_cleanup),
        cmocka_unit_test_teardown (sent_again, rig_cleanup),
        cmocka_unit_test_teardown (relay, rig_cleanup),
        cmocka_unit_test_teardown (added, rig_cleanup),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_workers", tests, NULL, NULL);
}
