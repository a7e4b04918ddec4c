/* SPDX-License-Identifier: MPL-2.0 */
/* What brokers say to each other, told by one that is made up here: hellos of all
 * kinds, and questions at bad moments. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal/journal_private.h"
#include "common/bytes.h"
#include "common/units.h"

#include "journal_dir.h"
#include "journal_trio.h"

#include <cmocka.h> /* last: it has a macro fail */

/* --- a broker that is made up --- */

typedef struct fake {
    const char *name;
    void *sock;
} fake_t;

static fake_t fake_new (const char *name, uint16_t port)
{
    sock_identity_t none = {0};
    dfs_error_t err;
    fake_t fake = {name, sock_new (trio.zmq, SOCK_PEER, &none, NULL, &err)};
    assert_non_null (fake.sock);
    assert_int_equal (sock_connect (fake.sock, &none, "127.0.0.1", port, NULL, &err),
                      0);
    return fake;
}

/* What a hello says; ENTRY may be NULL. */
typedef struct said {
    uint32_t flags;
    uint64_t id;   /* own */
    uint64_t last; /* index of its log */
    uint64_t to;   /* id of whom it takes the receiver for */
    uint64_t term;
    const uint8_t *entry;
    size_t len;
} said_t;

static void hello (const fake_t *fake, const said_t *said)
{
    uint8_t bytes[HELLO_SIZE + POINT_CONF_MAX] = {0};
    put_le32 (bytes, HELLO_VERSION);
    put_le32 (bytes + 4, said->flags);
    put_le64 (bytes + 8, said->id);
    put_le64 (bytes + 16, said->last);
    put_le64 (bytes + 24, said->to);
    put_le64 (bytes + 48, said->term);
    if (said->len)
        memcpy (bytes + HELLO_SIZE, said->entry, said->len);
    peers_send_on (fake->sock, fake->name, PEERS_HELLO, bytes, HELLO_SIZE + said->len);
}

/* Says hello until CONDITION, up to a minute; and TIMES when there is none. */
#define SAY_UNTIL(condition, ...)                                                      \
    do {                                                                               \
        int say_i = 0;                                                                 \
        while (!(condition) && say_i++ < 1200) {                                       \
            __VA_ARGS__;                                                               \
            usleep (50000);                                                            \
        }                                                                              \
        assert_true (condition);                                                       \
    } while (0)

/* --- hellos --- */

/* What is said of the one that had this name before is not said of this one: a newly
 * marked broker is no voter that has lost its data. One with its old mark is. */
static void test_said_of_another (void **state)
{
    (void)state;
    trio_new (3, false);
    trio_start (2);
    node_t *node = &trio.nodes[2];
    fake_t a = fake_new ("b1", node->port);
    said_t said = {HELLO_VOTER, 1000, 50, node->id - 1, 3, NULL, 0};
    int said_times = 0;
    SAY_UNTIL (said_times++ > 20, hello (&a, &said));
    assert_int_equal (node->failed, 0);
    said.to = node->id;
    SAY_UNTIL (node->failed, hello (&a, &said));
    assert_int_equal (node->failed, DFS_EDAMAGED);
    assert_non_null (strstr (node->text, "lost its data"));
    sock_close (&a.sock);
    trio_destroy ();
}

/* The first set of brokers is taken only when all are heard and none has gone on: one
 * that was there before may have voted. */
static void test_first_set (void **state)
{
    (void)state;
    const char *names[] = {"b1#00000000000003e8", "b2#00000000000003e9",
                           "b3#00000000000003ea"};
    const uint64_t ids[] = {1000, 1001, 1002};
    size_t len;
    uint8_t *entry = raft_driver_bootstrap (ids, names, 3, &len);
    trio_new (3, false);
    trio_start (2);
    node_t *node = &trio.nodes[2];
    assert_int_equal (node->id, 1002);
    fake_t a = fake_new ("b1", node->port), b = fake_new ("b2", node->port);
    said_t first = {0, 1000, 1, 1002, 1, entry, len},
           other = {0, 1001, 1, 1002, 2, NULL, 0};
    /* The other one is not heard, has voted in another term, has a longer log. */
    SAY_UNTIL (strstr (trio_stats (2).why, "b2 is not heard"), hello (&a, &first));
    SAY_UNTIL (strstr (trio_stats (2).why, "b2 has gone on"), hello (&b, &other),
               hello (&a, &first));
    other.term = 1;
    other.last = 2;
    int times = 0;
    SAY_UNTIL (times++ > 10, hello (&b, &other), hello (&a, &first));
    assert_int_equal (trio_stats (2).last_index, 0);
    /* It has just begun as well. */
    other.last = 1;
    SAY_UNTIL (trio_stats (2).last_index == 1, hello (&b, &other), hello (&a, &first));
    assert_int_equal (node->failed, 0);
    sock_close (&a.sock);
    sock_close (&b.sock);
    trio_destroy ();
    free (entry);
}

/* --- questions at bad moments --- */

static atomic_uint n_heard;

static void count (peers_message_t *message, void *arg)
{
    (void)arg;
    n_heard++;
    free (message->bytes);
}

static int nowhere (const char *name, char *host, size_t cap, uint16_t *port, void *arg,
                    dfs_error_t *err)
{
    (void)name;
    (void)host;
    (void)cap;
    (void)port;
    (void)arg;
    err->code = DFS_EUNAVAIL;
    return DFS_EUNAVAIL;
}

/* Nothing is heard before the start, which comes when all is there that it is for, nor
 * after the stop, when that goes. */
static void test_start_and_stop (void **state)
{
    (void)state;
    trio_new (2, false);
    sock_identity_t none = {0};
    const journal_broker_t brokers[] = {{.name = "b1"}, {.name = "b2"}};
    dfs_error_t err;
    peers_t *peers = peers_new (&(peers_config_t){.peers = {.zmq = trio.zmq,
                                                            .secret = &none,
                                                            .bind = "127.0.0.1",
                                                            .brokers = brokers,
                                                            .n = 2,
                                                            .address = nowhere},
                                                  .name = "b1",
                                                  .received = count},
                                &err);
    assert_non_null (peers);
    fake_t b = fake_new ("b2", peers_port (peers));
    n_heard = 0;
    for (int i = 0; i < 10; i++, usleep (20000))
        peers_send_on (b.sock, "b2", PEERS_ASK, "what?", 5);
    assert_int_equal (n_heard, 0);
    assert_int_equal (peers_start (peers, &err), DFS_OK);
    SAY_UNTIL (n_heard >= 10, peers_send_on (b.sock, "b2", PEERS_ASK, "what?", 5));
    peers_stop (peers);
    unsigned heard = n_heard;
    for (int i = 0; i < 10; i++, usleep (20000))
        peers_send_on (b.sock, "b2", PEERS_ASK, "what?", 5);
    assert_int_equal (n_heard, heard);
    peers_destroy (&peers);
    sock_close (&b.sock);
    trio_destroy ();
}

static uint16_t port_of (size_t i)
{
    pthread_mutex_lock (&trio.lock);
    uint16_t port = trio.nodes[i].port;
    pthread_mutex_unlock (&trio.lock);
    return port;
}

static void *ask_on (void *arg)
{
    atomic_bool *stop = arg;
    uint8_t ask[32] = {1};
    while (!*stop) {
        uint16_t port = port_of (0);
        if (!port) {
            usleep (1000);
            continue;
        }
        fake_t b = fake_new ("b2", port);
        while (!*stop && port_of (0) == port) {
            for (int i = 0; i < 100; i++)
                peers_send_on (b.sock, "b2", PEERS_ASK, ask, sizeof ask);
            usleep (200);
        }
        sock_close (&b.sock);
    }
    return NULL;
}

/* A broker that is asked for its state stops all the same. */
static void test_asked_at_the_end (void **state)
{
    (void)state;
    atomic_bool stop = false;
    pthread_t thread;
    trio_new (2, false);
    assert_int_equal (pthread_create (&thread, NULL, ask_on, &stop), 0);
    for (int i = 0; i < 8; i++) {
        trio_start (0);
        usleep (100000);
        journal_t *journal = trio.nodes[0].journal; /* its port stays known */
        trio.nodes[0].journal = NULL;
        journal_close (&journal);
    }
    stop = true;
    pthread_join (thread, NULL);
    trio_destroy ();
}

/* --- exchanges --- */

/* Leaders know that the broker with ID is not there. */
static bool is_away (uint64_t id)
{
    bool away = false;
    journal_stats_t s = trio_stats (trio_leader ());
    for (size_t i = 0; i < s.n_members; i++)
        away |= s.members[i].id == id && !s.members[i].connected;
    return away;
}

static int replace (const char *name)
{
    node_t *node = &trio.nodes[trio_leader ()];
    uint64_t before = node->n_answers;
    journal_replace (node->journal, name, name, 5);
    TRIO_WAIT (node->n_answers > before);
    return node->answer;
}

/* A broker is exchanged for what has its name now, not for what was heard of before:
 * nothing done is not "done", and one that is marked again ends what goes on. */
static void test_replace_whom (void **state)
{
    (void)state;
    trio_new (3, false);
    trio.trailing = 100;
    trio_start_all ();
    trio_commit (700);
    trio_same (700);
    size_t wiped = (trio_leader () + 1) % 3;
    node_t *fresh = &trio.nodes[wiped];
    uint64_t old = fresh->id;
    trio_stop (wiped);
    trio_wipe (wiped);
    /* It does not run yet; its old id was heard of a moment ago. */
    TRIO_UNTIL (is_away (old));
    int code = replace (fresh->name);
    for (int i = 0; i < 5 && code == DFS_ENOTLEADER; i++)
        code = replace (fresh->name);
    assert_int_equal (code, DFS_EUNAVAIL);
    bool voter = false;
    journal_stats_t s = trio_stats (trio_leader ());
    for (size_t i = 0; i < s.n_members; i++)
        voter |= s.members[i].id == old && s.members[i].part == JOURNAL_VOTER;
    assert_true (voter);

    /* It is marked once more while it is taken in. */
    fresh->refuses = true;
    trio_start (wiped);
    node_t *node = &trio.nodes[trio_leader ()];
    uint64_t before = node->n_answers;
    journal_replace (node->journal, fresh->name, fresh->name, 5);
    TRIO_WAIT (fresh->refused > 0 || node->n_answers > before);
    if (node->n_answers == before) {
        trio_stop (wiped);
        trio_wipe (wiped);
        fresh->refuses = false;
        trio_start (wiped);
        TRIO_WAIT (node->n_answers > before);
        assert_true (node->answer == DFS_EAGAIN || node->answer == DFS_ENOTLEADER);
    }
    code = DFS_EAGAIN;
    for (int i = 0; i < 20 && code != DFS_OK; i++)
        code = replace (fresh->name);
    assert_int_equal (code, DFS_OK);
    trio_commit (20);
    trio_same (720);
    trio_destroy ();
}

int main (int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_said_of_another),
        cmocka_unit_test (test_first_set),
        cmocka_unit_test (test_start_and_stop),
        cmocka_unit_test (test_asked_at_the_end),
        cmocka_unit_test (test_replace_whom),
    };
    if (argc < 2)
        log_nothing ();
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("journal_peers", tests, NULL, NULL);
}
