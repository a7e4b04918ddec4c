/* SPDX-License-Identifier: MPL-2.0 */
#include "broker_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/rng.h"
#include "common/units.h"
#include "msgs/keys.h"
#include "msgs/mark.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

extern char **environ;

static rig_t *current; /* of the running test */

static void nap (void)
{
    nanosleep (&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void append (const char *path, const char *text)
{
    FILE *f = fopen (path, "a");

    assert_non_null (f);
    fputs (text, f);
    assert_int_equal (fclose (f), 0);
}

static void load (rig_t *self)
{
    dfs_error_t err;

    cluster_destroy (&self->cluster);
    self->cluster = cluster_load (self->config, &err);
    if (!self->cluster)
        fail_msg ("%s", err.text);
}

static void make_key (rig_t *self, const char *role, const char *name)
{
    keypair_t pair;
    dfs_error_t err;

    assert_int_equal (keys_generate (&pair), 0);
    assert_int_equal (keys_save (self->cluster->keys_dir, role, name, &pair, &err), 0);
    if (strcmp (role, "broker") == 0)
        self->broker_key = pair;
}

static void make_mark (rig_t *self, const char *role, const cluster_node_t *node)
{
    mark_t mark = {.format = MARK_FORMAT};
    dfs_error_t err;

    memcpy (mark.cluster_id, self->cluster->id, sizeof mark.cluster_id);
    rng_secret (mark.disk_id, sizeof mark.disk_id);
    snprintf (mark.role, sizeof mark.role, "%s", role);
    snprintf (mark.node, sizeof mark.node, "%s", node->name);
    assert_int_equal (mark_create (node->data[0], &mark, &err), 0);
}

static void worker_section (rig_t *self, const char *name)
{
    char text[256];

    snprintf (text, sizeof text,
              "    %s\n        host = 127.0.0.1\n        port = 0\n"
              "        data = data/%s\n",
              name, name);
    append (self->config, text);
}

rig_t *rig_new (bool secure, unsigned workers, unsigned replicas)
{
    rig_t *self = calloc (1, sizeof *self);
    char text[512], name[32];
    uint8_t hmac[32];
    dfs_error_t err;

    assert_non_null (self);
    current = self;
    self->secure = secure;
    snprintf (self->dir, sizeof self->dir, "%s/dfs-broker-XXXXXX",
              getenv ("TMPDIR") ? getenv ("TMPDIR") : "/tmp");
    assert_non_null (mkdtemp (self->dir));
    snprintf (self->config, sizeof self->config, "%s/cluster.cfg", self->dir);
    snprintf (text, sizeof text,
              "cluster\n    name = rig\n    id = 000102030405060708090a0b0c0d0e0f\n"
              "    security = %s\n    keys = keys\npolicy\n    replicas = %u\n"
              "    min-replicas = 1\nheartbeat\n    interval = 100ms\n"
              "    timeout = 500ms\nbrokers\n    b1\n        host = 127.0.0.1\n"
              "        port = 0\n        data = data/b1\nworkers\n",
              secure ? "curve" : "none", replicas);
    append (self->config, text);
    for (unsigned i = 1; i <= workers; i++) {
        snprintf (name, sizeof name, "w%u", i);
        worker_section (self, name);
    }
    load (self);
    assert_int_equal (mkdir (self->cluster->keys_dir, 0700), 0);
    rng_secret (hmac, sizeof hmac);
    assert_int_equal (keys_hmac_save (self->cluster->keys_dir, hmac, &err), 0);
    make_key (self, "broker", "b1");
    make_key (self, "user", "admin");
    make_key (self, "user", "other");
    for (size_t i = 0; i < self->cluster->n_workers; i++)
        make_key (self, "worker", self->cluster->workers[i].name);
    make_mark (self, "broker", &self->cluster->brokers[0]);
    self->zmq = zmq_ctx_new ();
    assert_non_null (self->zmq);
    return self;
}

void rig_add_worker (rig_t *self, const char *name)
{
    worker_section (self, name);
    load (self);
    make_key (self, "worker", name);
}

void rig_destroy (rig_t **self_p)
{
    rig_t *self = *self_p;
    char command[300];

    if (self->pid)
        rig_stop (self, SIGKILL);
    zmq_ctx_term (self->zmq);
    cluster_destroy (&self->cluster);
    snprintf (command, sizeof command, "rm -rf '%s'", self->dir);
    assert_int_equal (system (command), 0);
    free (self);
    current = NULL;
    *self_p = NULL;
}

/* Sockets of the failed test may still be open: its ZeroMQ context stays. */
int rig_cleanup (void **state)
{
    (void)state;
    if (current && current->pid) {
        kill (current->pid, SIGKILL);
        waitpid (current->pid, NULL, 0);
    }
    current = NULL;
    return 0;
}

void rig_spawn (rig_t *self)
{
    char program[4096], log[300];
    char *argv[] = {program, "--config", self->config, "--node", "b1", NULL};
    posix_spawn_file_actions_t actions;
    const char *build = getenv ("builddir");

    snprintf (program, sizeof program, "%s/broker/dfs-broker", build ? build : ".");
    snprintf (log, sizeof log, "%s/log", self->dir);
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND,
                                      0644);
    assert_int_equal (posix_spawn (&self->pid, program, &actions, NULL, argv, environ),
                      0);
    posix_spawn_file_actions_destroy (&actions);
}

static void show_log (const rig_t *self)
{
    char path[300];
    void *text;
    size_t len;

    snprintf (path, sizeof path, "%s/log", self->dir);
    if (io_slurp (path, 1 << 20, &text, &len, NULL) == 0) {
        fprintf (stderr, "%s", (char *)text);
        free (text);
    }
}

void rig_start (rig_t *self)
{
    uint64_t end = clock_mono () + RIG_WAIT_MS * MS;
    dfs_error_t err;

    rig_spawn (self);
    while (clock_mono () < end) {
        if (cluster_ready_read (self->cluster, "b1", &self->ready, &err) == 0 &&
            self->ready.pid == self->pid)
            return;
        int status;
        if (waitpid (self->pid, &status, WNOHANG) == self->pid) {
            self->pid = 0;
            break;
        }
        nap ();
    }
    show_log (self);
    fail_msg ("the broker does not become ready");
}

int rig_wait (rig_t *self)
{
    uint64_t end = clock_mono () + RIG_WAIT_MS * MS;
    int status = 0;

    while (waitpid (self->pid, &status, WNOHANG) == 0) {
        if (clock_mono () > end) {
            show_log (self);
            kill (self->pid, SIGKILL);
            waitpid (self->pid, &status, 0);
            self->pid = 0;
            fail_msg ("the broker does not end");
        }
        nap ();
    }
    self->pid = 0;
    return status;
}

int rig_stop (rig_t *self, int signal)
{
    assert_int_equal (kill (self->pid, signal), 0);
    return rig_wait (self);
}

bool rig_logged (const rig_t *self, const char *text)
{
    char path[300];
    void *log;
    size_t len;

    snprintf (path, sizeof path, "%s/log", self->dir);
    if (io_slurp (path, 16 << 20, &log, &len, NULL) < 0)
        return false;
    bool found = strstr (log, text) != NULL;
    free (log);
    return found;
}

/* --- peers --- */

peer_t *peer_new_with (rig_t *rig, enum sock_kind kind, int port, const keypair_t *key)
{
    peer_t *self = calloc (1, sizeof *self);
    dfs_error_t err;

    assert_non_null (self);
    self->rig = rig;
    self->arena = arena_new (ENVELOPE_ARENA);
    self->id.secure = rig->secure;
    if (key)
        self->id.keys = *key;
    self->sock = sock_new (rig->zmq, kind, &self->id, NULL, &err);
    assert_non_null (self->sock);
    int zero = 0;
    zmq_setsockopt (self->sock, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal (sock_connect (self->sock, &self->id, "127.0.0.1",
                                    rig->ready.ports[port], rig->broker_key.public_key,
                                    &err),
                      0);
    return self;
}

peer_t *peer_new (rig_t *rig, const char *role, const char *name)
{
    keypair_t pair;
    dfs_error_t err;
    bool worker = strcmp (role, "worker") == 0;

    if (keys_load_secret (rig->cluster->keys_dir, role, name, &pair, &err) < 0)
        fail_msg ("%s", err.text);
    return peer_new_with (rig, worker ? SOCK_WORKER : SOCK_CLIENT, worker ? 1 : 0,
                          &pair);
}

void peer_destroy (peer_t **self_p)
{
    sock_close (&(*self_p)->sock);
    arena_destroy (&(*self_p)->arena);
    free (*self_p);
    *self_p = NULL;
}

uint64_t peer_send (peer_t *self, Dfs__Envelope *env)
{
    uint64_t end = clock_mono () + RIG_WAIT_MS * MS;
    int rc;

    env->has_seq = true;
    env->seq = ++self->seq;
    /* Nothing is queued for a connection that is not there yet. */
    while ((rc = envelope_send (self->sock, NULL, 0, env)) == DFS_EAGAIN &&
           clock_mono () < end)
        nap ();
    assert_int_equal (rc, 0);
    return self->seq;
}

Dfs__Envelope *peer_recv (peer_t *self, int wait_ms)
{
    zmq_pollitem_t item = {.socket = self->sock, .events = ZMQ_POLLIN};
    envelope_from_t from;
    Dfs__Envelope *env;
    dfs_error_t err;

    arena_reset (self->arena);
    if (zmq_poll (&item, 1, wait_ms) <= 0)
        return NULL;
    int rc = envelope_recv (self->sock, false, false, self->arena, &from, &env, &err);
    return rc == 1 ? env : NULL;
}

Dfs__Envelope *peer_ask (peer_t *self, Dfs__Envelope *env)
{
    uint64_t seq = peer_send (self, env);
    Dfs__Envelope *answer;

    while ((answer = peer_recv (self, RIG_WAIT_MS))) {
        if (answer->has_seq && answer->seq == seq)
            return answer;
    }
    show_log (self->rig);
    fail_msg ("no answer");
    return NULL;
}

static void fill_hello (peer_t *self, Dfs__Hello *hello, const uint8_t cluster_id[16],
                        uint32_t version, Dfs__Role role, const char *name)
{
    union {
        const void *in;
        uint8_t *bytes;
        char *text;
    } id = {.in = cluster_id}, text = {.in = name};

    dfs__hello__init (hello);
    hello->version_min = hello->version_max = version;
    hello->cluster_id.data = id.bytes;
    hello->cluster_id.len = 16;
    hello->role = role;
    hello->name = text.text;
    hello->has_key = self->rig->secure;
    hello->key.data = self->id.keys.public_key;
    hello->key.len = 32;
}

int peer_hello_code (peer_t *self, const uint8_t cluster_id[16], uint32_t version,
                     Dfs__Role role, const char *name, uint64_t resume)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Hello hello;

    fill_hello (self, &hello, cluster_id, version, role, name);
    hello.has_resume = resume != 0;
    hello.resume = resume;
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &hello;
    Dfs__Envelope *answer = peer_ask (self, &env);
    if (answer->status)
        return answer->status->code;
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_WELCOME);
    self->session = answer->welcome->session;
    return 0;
}

void peer_hello (peer_t *self, uint64_t resume)
{
    assert_int_equal (peer_hello_code (self, self->rig->cluster->id, ENVELOPE_VERSION,
                                       DFS__ROLE__ROLE_CLIENT, "admin", resume),
                      0);
    assert_true (self->session != 0);
}

int peer_mkdir (peer_t *self, uint64_t request, const char *path, uint64_t *version)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Change change = DFS__CHANGE__INIT;
    Dfs__Request row = DFS__REQUEST__INIT;
    Dfs__Request *rows = &row;
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpMkdir mkdir_op = DFS__OP_MKDIR__INIT;
    union {
        const char *in;
        uint8_t *out;
    } p = {.in = path};

    mkdir_op.path.data = p.out;
    mkdir_op.path.len = strlen (path);
    op.op_case = DFS__OP__OP_MKDIR;
    op.mkdir = &mkdir_op;
    row.request = request;
    row.op = &op;
    change.requests = &rows;
    change.n_requests = 1;
    env.body_case = DFS__ENVELOPE__BODY_CHANGE;
    env.change = &change;
    Dfs__Envelope *answer = peer_ask (self, &env);
    if (answer->status)
        return answer->status->code;
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_CHANGED);
    assert_int_equal (answer->changed->n_results, 1);
    const Dfs__ChangeResult *result = answer->changed->results[0];
    assert_int_equal (result->request, request);
    if (version)
        *version = result->result->version;
    return result->result->has_code ? result->result->code : 0;
}

int peer_stat (peer_t *self, const char *path)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Stat stat_ask = DFS__STAT__INIT;
    ProtobufCBinaryData data;
    union {
        const char *in;
        uint8_t *out;
    } p = {.in = path};

    data.data = p.out;
    data.len = strlen (path);
    stat_ask.paths = &data;
    stat_ask.n_paths = 1;
    env.body_case = DFS__ENVELOPE__BODY_STAT;
    env.stat = &stat_ask;
    Dfs__Envelope *answer = peer_ask (self, &env);
    if (answer->status)
        return answer->status->code;
    assert_int_equal (answer->body_case, DFS__ENVELOPE__BODY_STAT_REPLY);
    assert_int_equal (answer->stat_reply->n_results, 1);
    return answer->stat_reply->results[0]->code;
}
