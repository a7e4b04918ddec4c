/* SPDX-License-Identifier: MPL-2.0 */
/* Requests per second of a running broker: `broker_bench CLUSTER.CFG stat|mkdir COUNT
 * DEPTH`. One client, DEPTH messages outstanding, one request in each. Figures only. */
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

static void *sock;
static arena_t *arena;
static uint64_t *times; /* ns: when request i was sent, then how long it took */

static void die (const char *what)
{
    fprintf (stderr, "broker_bench: %s\n", what);
    exit (1);
}

static Dfs__Envelope *answer (int wait_ms)
{
    zmq_pollitem_t item = {.socket = sock, .events = ZMQ_POLLIN};
    envelope_from_t from;
    Dfs__Envelope *env;
    dfs_error_t err;

    arena_reset (arena);
    int rc = envelope_recv (sock, false, false, arena, &from, &env, &err);
    if (rc == 0 && zmq_poll (&item, 1, wait_ms) > 0)
        rc = envelope_recv (sock, false, false, arena, &from, &env, &err);
    return rc > 0 ? env : NULL;
}

static void send_env (Dfs__Envelope *env, uint64_t seq)
{
    env->has_seq = true;
    env->seq = seq;
    for (int i = 0; envelope_send (sock, NULL, 0, env) < 0; i++) {
        if (i == 5000)
            die ("cannot send");
        usleep (1000);
    }
}

static void hello (cluster_t *cluster)
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
    send_env (&env, 1);
    Dfs__Envelope *got = answer (5000);
    if (!got || got->status || got->body_case != DFS__ENVELOPE__BODY_WELCOME)
        die ("no welcome");
}

static void ask_stat (uint64_t i)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Stat body = DFS__STAT__INIT;
    uint8_t root[] = "/";
    ProtobufCBinaryData path = {.data = root, .len = 1};

    body.paths = &path;
    body.n_paths = 1;
    env.body_case = DFS__ENVELOPE__BODY_STAT;
    env.stat = &body;
    send_env (&env, i);
}

static void ask_mkdir (uint64_t i, uint64_t done)
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
    int len = snprintf (path, sizeof path, "%s-%llu", prefix, (unsigned long long)i);
    mk.path.data = (uint8_t *)path;
    mk.path.len = (size_t)len;
    op.op_case = DFS__OP__OP_MKDIR;
    op.mkdir = &mk;
    row.request = i;
    row.op = &op;
    body.requests = &rows;
    body.n_requests = 1;
    body.has_done_below = true;
    body.done_below = done;
    env.body_case = DFS__ENVELOPE__BODY_CHANGE;
    env.change = &body;
    send_env (&env, i);
}

static void took (uint64_t i, uint64_t now)
{
    times[i - 1] = now - times[i - 1];
}

static uint64_t count_of (const Dfs__Envelope *env, const char *kind)
{
    uint64_t now = clock_mono ();

    if (env->status)
        die (env->status->text ? env->status->text : "refused");
    if (kind[0] == 's') {
        took (env->seq, now);
        return env->body_case == DFS__ENVELOPE__BODY_STAT_REPLY;
    }
    if (env->body_case != DFS__ENVELOPE__BODY_CHANGED)
        return 0;
    for (size_t i = 0; i < env->changed->n_results; i++) {
        if (env->changed->results[i]->result->code < 0)
            die (env->changed->results[i]->result->text);
        took (env->changed->results[i]->request, now);
    }
    return env->changed->n_results;
}

static int by_size (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void report (const char *kind, uint64_t count, uint64_t depth, bool secure,
                    uint64_t ns)
{
    qsort (times, count, sizeof *times, by_size);
    printf ("%s depth=%llu security=%s %.0f/s p50=%.0fus p99=%.0fus max=%.0fus\n", kind,
            (unsigned long long)depth, secure ? "curve" : "none",
            (double)count * 1e9 / (double)ns, (double)times[count / 2] / 1e3,
            (double)times[count * 99 / 100] / 1e3, (double)times[count - 1] / 1e3);
}

int main (int argc, char **argv)
{
    dfs_error_t err;
    sock_identity_t id = {0};
    keypair_t broker;
    uint16_t port;

    if (argc != 5)
        die ("usage: broker_bench CLUSTER.CFG stat|mkdir COUNT DEPTH");
    cluster_t *cluster = cluster_load (argv[1], &err);
    if (!cluster)
        die (err.text);
    uint64_t count = strtoull (argv[3], NULL, 10), depth = strtoull (argv[4], NULL, 10);
    id.secure = cluster->secure;
    if (cluster->secure &&
        (keys_load_secret (cluster->keys_dir, "user", "admin", &id.keys, &err) < 0 ||
         keys_load_public (cluster->keys_dir, "broker", cluster->brokers[0].name,
                           &broker, &err) < 0))
        die (err.text);
    void *ctx = zmq_ctx_new ();
    arena = arena_new (ENVELOPE_ARENA);
    sock = sock_new (ctx, SOCK_CLIENT, &id, NULL, &err);
    if (cluster_broker_port (cluster, &cluster->brokers[0], 0, &port, &err) < 0 ||
        sock_connect (sock, &id, "127.0.0.1", port, broker.public_key, &err) < 0)
        die (err.text);
    hello (cluster);
    times = calloc (count + 1, sizeof *times);
    if (!times || count == 0)
        die ("COUNT");
    uint64_t start = clock_mono (), sent = 0, done = 0;
    while (done < count) {
        for (; sent < count && sent - done < depth; sent++) {
            times[sent] = clock_mono ();
            if (argv[2][0] == 's')
                ask_stat (sent + 1);
            else
                ask_mkdir (sent + 1, done > depth ? done - depth : 0);
        }
        Dfs__Envelope *env = answer (10000);
        if (!env)
            die ("no answer");
        done += count_of (env, argv[2]);
    }
    report (argv[2], count, depth, cluster->secure, clock_mono () - start);
    free (times);
    sock_close (&sock);
    zmq_ctx_term (ctx);
    arena_destroy (&arena);
    cluster_destroy (&cluster);
    return 0;
}
