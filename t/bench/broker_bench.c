/* SPDX-License-Identifier: MPL-2.0 */
/* Requests per second of the brokers that run: `broker_bench CLUSTER.CFG stat|mkdir
 * COUNT DEPTH [CLIENTS]`. Each client has DEPTH messages outstanding, one request in
 * each, and goes to the broker that leads. Figures only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/clock.h"
#include "common/units.h"
#include "msgs/cluster.h"
#include "msgs/envelope.h"
#include "msgs/sock.h"

#define CLIENTS_MAX 1024

typedef struct client {
    void *sock;
    uint64_t sent; /* requests of this client so far; the last one's number */
    uint64_t done;
    uint64_t *times; /* ns: when request i was sent, then how long it took */
} client_t;

static void *ctx;
static arena_t *arena;
static client_t clients[CLIENTS_MAX];
static size_t n_clients = 1;

static void die (const char *what)
{
    fprintf (stderr, "broker_bench: %s\n", what);
    exit (1);
}

/* What came on SOCK, or NULL after WAIT_MS. */
static Dfs__Envelope *answer (void *sock, int wait_ms)
{
    zmq_pollitem_t item = {.socket = sock, .events = ZMQ_POLLIN};
    envelope_from_t from;
    Dfs__Envelope *env;
    dfs_error_t err;

    arena_reset (arena);
    int rc = envelope_recv (sock, false, false, arena, &from, &env, &err);
    if (rc == 0 && wait_ms && zmq_poll (&item, 1, wait_ms) > 0)
        rc = envelope_recv (sock, false, false, arena, &from, &env, &err);
    return rc > 0 ? env : NULL;
}

static void send_env (void *sock, Dfs__Envelope *env, uint64_t seq)
{
    env->has_seq = true;
    env->seq = seq;
    for (int i = 0; envelope_send (sock, NULL, 0, env) < 0; i++) {
        if (i == 5000)
            die ("cannot send");
        usleep (1000);
    }
}

/* True when SOCK's broker leads and has given a session. */
static bool hello (void *sock, cluster_t *cluster)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Hello body = DFS__HELLO__INIT;
    char name[] = "admin";

    body.version_min = body.version_max = ENVELOPE_VERSION;
    body.cluster_id.data = cluster->id;
    body.cluster_id.len = sizeof cluster->id;
    body.role = DFS__ROLE__ROLE_CLIENT;
    body.name = name;
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &body;
    send_env (sock, &env, 1);
    Dfs__Envelope *got = answer (sock, 5000);
    return got && !got->status && got->body_case == DFS__ENVELOPE__BODY_WELCOME;
}

/* A session at the broker that leads. */
static void connect_client (client_t *client, cluster_t *cluster, sock_identity_t *id)
{
    dfs_error_t err;

    for (int tries = 0; tries < 100; tries++) {
        for (size_t i = 0; i < cluster->n_brokers; i++) {
            const cluster_node_t *node = &cluster->brokers[i];
            keypair_t pair = {0};
            uint16_t port;

            client->sock = sock_new (ctx, SOCK_CLIENT, id, NULL, &err);
            if (!client->sock)
                die (err.text);
            if ((!id->secure || keys_load_public (cluster->keys_dir, "broker",
                                                  node->name, &pair, &err) == 0) &&
                cluster_broker_port (cluster, node, 0, &port, &err) == 0 &&
                sock_connect (client->sock, id, "127.0.0.1", port, pair.public_key,
                              &err) == 0 &&
                hello (client->sock, cluster))
                return;
            sock_close (&client->sock);
        }
        usleep (100000);
    }
    die ("no broker leads");
}

static void ask_stat (client_t *client)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Stat body = DFS__STAT__INIT;
    uint8_t root[] = "/";
    ProtobufCBinaryData path = {.data = root, .len = 1};

    body.paths = &path;
    body.n_paths = 1;
    env.body_case = DFS__ENVELOPE__BODY_STAT;
    env.stat = &body;
    send_env (client->sock, &env, client->sent);
}

static void ask_mkdir (client_t *client, uint64_t depth)
{
    static char prefix[32];
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Change body = DFS__CHANGE__INIT;
    Dfs__Request row = DFS__REQUEST__INIT;
    Dfs__Request *rows = &row;
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpMkdir mk = DFS__OP_MKDIR__INIT;
    char path[64];

    if (!prefix[0])
        snprintf (prefix, sizeof prefix, "/b%llx", (unsigned long long)clock_wall ());
    int len = snprintf (path, sizeof path, "%s-%zu-%llu", prefix,
                        (size_t)(client - clients), (unsigned long long)client->sent);
    mk.path.data = (uint8_t *)path;
    mk.path.len = (size_t)len;
    op.op_case = DFS__OP__OP_MKDIR;
    op.mkdir = &mk;
    row.request = client->sent;
    row.op = &op;
    body.requests = &rows;
    body.n_requests = 1;
    body.has_done_below = true;
    body.done_below = client->done > depth ? client->done - depth : 0;
    env.body_case = DFS__ENVELOPE__BODY_CHANGE;
    env.change = &body;
    send_env (client->sock, &env, client->sent);
}

static void took (client_t *client, uint64_t i, uint64_t now)
{
    client->times[i - 1] = now - client->times[i - 1];
}

static uint64_t count_of (client_t *client, const Dfs__Envelope *env, const char *kind)
{
    uint64_t now = clock_mono ();

    if (env->status)
        die (env->status->text ? env->status->text : "refused");
    if (kind[0] == 's') {
        took (client, env->seq, now);
        return env->body_case == DFS__ENVELOPE__BODY_STAT_REPLY;
    }
    if (env->body_case != DFS__ENVELOPE__BODY_CHANGED)
        return 0;
    for (size_t i = 0; i < env->changed->n_results; i++) {
        if (env->changed->results[i]->result->code < 0)
            die (env->changed->results[i]->result->text);
        took (client, env->changed->results[i]->request, now);
    }
    return env->changed->n_results;
}

static int by_size (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void report (const char *kind, uint64_t *times, uint64_t count, uint64_t depth,
                    bool secure, uint64_t ns)
{
    qsort (times, count, sizeof *times, by_size);
    printf ("%s clients=%zu depth=%llu security=%s %.0f/s p50=%.0fus p99=%.0fus "
            "max=%.0fus\n",
            kind, n_clients, (unsigned long long)depth, secure ? "curve" : "none",
            (double)count * 1e9 / (double)ns, (double)times[count / 2] / 1e3,
            (double)times[count * 99 / 100] / 1e3, (double)times[count - 1] / 1e3);
}

/* CLIENT sends what it may and takes what came; returns how many were done. */
static uint64_t turn (client_t *client, const char *kind, uint64_t share,
                      uint64_t depth)
{
    uint64_t before = client->done;
    Dfs__Envelope *env;

    while ((env = answer (client->sock, 0)))
        client->done += count_of (client, env, kind);
    while (client->sent < share && client->sent - client->done < depth) {
        client->times[client->sent++] = clock_mono ();
        if (kind[0] == 's')
            ask_stat (client);
        else
            ask_mkdir (client, depth);
    }
    return client->done - before;
}

static void run (const char *kind, uint64_t share, uint64_t depth)
{
    zmq_pollitem_t items[CLIENTS_MAX];
    uint64_t done = 0;

    for (size_t i = 0; i < n_clients; i++) {
        items[i] = (zmq_pollitem_t){.socket = clients[i].sock, .events = ZMQ_POLLIN};
        done += turn (&clients[i], kind, share, depth);
    }
    while (done < share * n_clients) {
        if (zmq_poll (items, (int)n_clients, 10000) <= 0)
            die ("no answer");
        for (size_t i = 0; i < n_clients; i++) {
            if (items[i].revents)
                done += turn (&clients[i], kind, share, depth);
        }
    }
}

int main (int argc, char **argv)
{
    dfs_error_t err;
    sock_identity_t id = {0};

    if (argc < 5 || argc > 6)
        die ("usage: broker_bench CLUSTER.CFG stat|mkdir COUNT DEPTH [CLIENTS]");
    cluster_t *cluster = cluster_load (argv[1], &err);
    if (!cluster)
        die (err.text);
    uint64_t count = strtoull (argv[3], NULL, 10), depth = strtoull (argv[4], NULL, 10);
    if (argc > 5)
        n_clients = strtoull (argv[5], NULL, 10);
    if (n_clients < 1 || n_clients > CLIENTS_MAX || count < n_clients || depth < 1)
        die ("COUNT, DEPTH or CLIENTS");
    uint64_t share = count / n_clients;
    count = share * n_clients;
    id.secure = cluster->secure;
    if (cluster->secure &&
        keys_load_secret (cluster->keys_dir, "user", "admin", &id.keys, &err) < 0)
        die (err.text);
    ctx = zmq_ctx_new ();
    zmq_ctx_set (ctx, ZMQ_MAX_SOCKETS, 4 * CLIENTS_MAX);
    arena = arena_new (ENVELOPE_ARENA);
    uint64_t *times = calloc (count + 1, sizeof *times);
    if (!times)
        die ("memory");
    for (size_t i = 0; i < n_clients; i++) {
        clients[i].times = times + i * share;
        connect_client (&clients[i], cluster, &id);
    }
    uint64_t start = clock_mono ();
    run (argv[2], share, depth);
    report (argv[2], times, count, depth, cluster->secure, clock_mono () - start);
    free (times);
    for (size_t i = 0; i < n_clients; i++)
        sock_close (&clients[i].sock);
    zmq_ctx_term (ctx);
    arena_destroy (&arena);
    cluster_destroy (&cluster);
    return 0;
}
