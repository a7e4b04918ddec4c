/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/keys.h"
#include "msgs/mark.h"
#include "t/unit/worker_rig.h"

#define HEX_ID "000102030405060708090a0b0c0d0e0f"

/* cmocka's fail_msg clashes with our fail. */
#define give_up(...)                                                                   \
    do {                                                                               \
        print_error (__VA_ARGS__);                                                     \
        print_error ("\n");                                                            \
        assert_true (false);                                                           \
    } while (0)

static void welcome (rig_t *self, int i);

static void must (int rc, const dfs_error_t *err)
{
    if (rc < 0)
        give_up ("%s", err->text);
}

static void make_key (rig_t *self, const char *role, const char *name,
                      sock_identity_t *id)
{
    char dir[128];
    keypair_t pair;
    dfs_error_t err = {0};
    snprintf (dir, sizeof dir, "%s/keys", self->dir);
    keys_generate (&pair);
    must (keys_save (dir, role, name, &pair, &err), &err);
    if (id)
        *id = (sock_identity_t){.secure = self->secure, .keys = pair};
}

static void write_file (rig_t *self, const char *name, const char *text)
{
    char path[128];
    dfs_error_t err = {0};
    snprintf (path, sizeof path, "%s/%s", self->dir, name);
    must (io_replace (path, text, strlen (text), 0644, &err), &err);
}

static void make_cluster (rig_t *self)
{
    char path[160], text[2048];
    dfs_error_t err = {0};
    snprintf (text, sizeof text,
              "cluster\n    name = rig\n    id = " HEX_ID "\n    security = %s\n"
              "    keys = keys\npolicy\n    replicas = 1\nheartbeat\n"
              "    interval = 100ms\n    timeout = 2500ms\n"
              "brokers\n    b1\n        host = 127.0.0.1\n        port = 0\n"
              "        data = data/b1\nworkers\n"
              "    w1\n        host = 127.0.0.1\n        port = 0\n"
              "        data = data/w1\n"
              "    w2\n        host = 127.0.0.1\n        port = 0\n"
              "        data = data/w2\n",
              self->secure ? "curve" : "none");
    write_file (self, "cluster.cfg", text);
    snprintf (path, sizeof path, "%s/cluster.cfg", self->dir);
    self->cluster = cluster_load (path, &err);
    if (!self->cluster)
        give_up ("%s", err.text);
    io_mkdir (self->cluster->run_dir, 0755, &err);
    for (int i = 0; i < RIG_WORKERS; i++) {
        mark_t mark = {.role = "worker", .format = MARK_FORMAT};
        memcpy (mark.cluster_id, self->cluster->id, sizeof mark.cluster_id);
        snprintf (mark.node, sizeof mark.node, "%s", self->cluster->workers[i].name);
        must (mark_create (self->cluster->workers[i].data[0], &mark, &err), &err);
    }
}

static void start_broker (rig_t *self)
{
    dfs_error_t err = {0};
    uint16_t ports[3];
    self->ctx = zmq_ctx_new ();
    self->zap = zap_new (self->ctx, &err);
    self->back = sock_new (self->ctx, SOCK_BACK, &self->broker, NULL, &err);
    self->pulse = sock_new (self->ctx, SOCK_PULSE, &self->broker, NULL, &err);
    self->announce = sock_new (self->ctx, SOCK_ANNOUNCE, &self->broker, NULL, &err);
    must (sock_bind (self->back, "127.0.0.1", 0, &ports[0], &err), &err);
    must (sock_bind (self->pulse, "127.0.0.1", 0, &ports[1], &err), &err);
    must (sock_bind (self->announce, "127.0.0.1", 0, &ports[2], &err), &err);
    char text[128];
    snprintf (text, sizeof text, "pid %d\nports 1 %u %u %u 1\n", (int)getpid (),
              ports[0], ports[1], ports[2]);
    char path[256];
    snprintf (path, sizeof path, "%s/b1.ready", self->cluster->run_dir);
    must (io_replace (path, text, strlen (text), 0644, &err), &err);
}

uint32_t rig_id (int i)
{
    return (uint32_t)i + 1;
}

uint16_t rig_port (rig_t *self, int i)
{
    cluster_ready_t ready;
    if (!self->program)
        return self->workers[i] ? worker_port (self->workers[i]) : 1;
    return cluster_ready_read (self->cluster, self->cluster->workers[i].name, &ready,
                               NULL) == 0
               ? ready.ports[0]
               : 1;
}

static void start_process (rig_t *self, int i)
{
    char config[128], log[128];
    snprintf (config, sizeof config, "%s/cluster.cfg", self->dir);
    snprintf (log, sizeof log, "%s/%s.log", self->dir, self->cluster->workers[i].name);
    char *argv[] = {
        (char *)(uintptr_t)self->program, (char *)(uintptr_t) "--config", config,
        (char *)(uintptr_t) "--node",     self->cluster->workers[i].name, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_addopen (&actions, 2, log, O_WRONLY | O_CREAT, 0644);
    assert_int_equal (
        posix_spawn (&self->pids[i], self->program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy (&actions);
    for (int k = 0; k < 500 && rig_port (self, i) == 1; k++)
        usleep (10000);
}

static void stop_process (rig_t *self, int i)
{
    int status;
    if (self->pids[i] == 0)
        return;
    kill (self->pids[i], SIGTERM);
    assert_int_equal (waitpid (self->pids[i], &status, 0), self->pids[i]);
    assert_int_equal (status, 0);
    self->pids[i] = 0;
    self->said_hello[i] = false;
}

void rig_start (rig_t *self, int i)
{
    dfs_error_t err = {0};
    if (self->program) {
        start_process (self, i);
        return;
    }
    self->worker_ctx[i] = zmq_ctx_new ();
    self->workers[i] =
        worker_new (self->worker_ctx[i], self->cluster, &self->cluster->workers[i], -1);
    for (const daemon_module_t *m = worker_modules; m->name; m++)
        must (m->start (self->workers[i], &err), &err);
}

void rig_stop (rig_t *self, int i)
{
    stop_process (self, i);
    if (!self->workers[i])
        return;
    size_t n = 0;
    while (worker_modules[n].name)
        n++;
    while (n > 0)
        worker_modules[--n].stop (self->workers[i]);
    worker_destroy (&self->workers[i]);
    zmq_ctx_term (self->worker_ctx[i]);
    self->said_hello[i] = false;
}

static bool all_welcomed (rig_t *self)
{
    for (int i = 0; i < RIG_WORKERS; i++)
        if (!self->said_hello[i] ||
            (self->workers[i] && !worker_welcomed (self->workers[i])))
            return false;
    return !self->program || self->heartbeats > RIG_WORKERS;
}

rig_t *rig_new (bool secure)
{
    return rig_new_processes (secure, NULL);
}

rig_t *rig_new_processes (bool secure, const char *program)
{
    rig_t *self = calloc (1, sizeof *self);
    assert (self);
    self->program = program;
    self->secure = secure;
    self->term = 3;
    self->seen = calloc (RIG_SEEN, sizeof *self->seen);
    strcpy (self->dir, "/tmp/dfs-worker-XXXXXX");
    assert_non_null (mkdtemp (self->dir));
    char path[128];
    snprintf (path, sizeof path, "%s/keys", self->dir);
    mkdir (path, 0700);
    log_setup ("rig", getenv ("RIG_LOG") ? LOG_DEBUG : LOG_ERROR);
    make_key (self, "broker", "b1", &self->broker);
    make_key (self, "user", "admin", &self->client);
    make_key (self, "worker", "w1", NULL);
    make_key (self, "worker", "w2", NULL);
    self->stranger.secure = secure;
    keys_generate (&self->stranger.keys);
    memset (self->hmac, 0x5a, sizeof self->hmac);
    make_cluster (self);
    start_broker (self);
    for (int i = 0; i < RIG_WORKERS; i++) {
        keypair_t pair;
        dfs_error_t err = {0};
        must (keys_load_public (self->cluster->keys_dir, "worker",
                                self->cluster->workers[i].name, &pair, &err),
              &err);
        for (int k = 0; k < 3; k++)
            zap_allow (self->zap,
                       sock_domain (k == 0   ? SOCK_BACK
                                    : k == 1 ? SOCK_PULSE
                                             : SOCK_ANNOUNCE),
                       pair.public_key, DFS__ROLE__ROLE_WORKER,
                       self->cluster->workers[i].name);
        rig_start (self, i);
    }
    uint64_t deadline = clock_mono () + 20 * SEC;
    while (!all_welcomed (self)) {
        rig_pump (self, 20);
        assert_true (clock_mono () < deadline);
    }
    if (program) /* both ports are known now */
        for (int i = 0; i < RIG_WORKERS; i++)
            welcome (self, i);
    return self;
}

void rig_destroy (rig_t **self_p)
{
    rig_t *self = *self_p;
    char command[128];
    for (int i = 0; i < RIG_WORKERS; i++)
        rig_stop (self, i);
    for (size_t i = 0; i < RIG_SOCKETS; i++)
        sock_close (&self->sockets[i]);
    sock_close (&self->back);
    sock_close (&self->pulse);
    sock_close (&self->announce);
    zap_destroy (&self->zap);
    zmq_ctx_term (self->ctx);
    cluster_destroy (&self->cluster);
    snprintf (command, sizeof command, "rm -rf %s", self->dir);
    assert_int_equal (system (command), 0);
    free (self->seen);
    free (self);
    *self_p = NULL;
}

/* --- the broker --- */

void rig_order (rig_t *self, int worker, Dfs__Envelope *env)
{
    assert_int_equal (envelope_send (self->back, &self->routes[worker], 0, env), 0);
}

static void fill_worker (rig_t *self, int i, Dfs__Worker *w)
{
    dfs__worker__init (w);
    w->id = rig_id (i);
    w->name = self->cluster->workers[i].name;
    const char *host = self->hosts[i] ? self->hosts[i] : "127.0.0.1";
    w->host = (char *)(uintptr_t)host;
    w->port = rig_port (self, i);
    if (self->secure) {
        static keypair_t pairs[RIG_WORKERS];
        dfs_error_t err;
        must (keys_load_public (self->cluster->keys_dir, "worker", w->name, &pairs[i],
                                &err),
              &err);
        w->has_key = true;
        w->key.data = pairs[i].public_key;
        w->key.len = 32;
    }
}

static void welcome (rig_t *self, int i)
{
    Dfs__Worker workers[RIG_WORKERS], *pointers[RIG_WORKERS];
    for (int k = 0; k < RIG_WORKERS; k++) {
        fill_worker (self, k, &workers[k]);
        pointers[k] = &workers[k];
    }
    uint8_t store_id[16];
    memset (store_id, self->cluster->workers[i].name[1], sizeof store_id);
    Dfs__StoreMark mark = DFS__STORE_MARK__INIT, *marks = &mark;
    mark.id.data = store_id;
    mark.id.len = sizeof store_id;
    mark.incarnation = 7;
    mark.seq = self->marks[i];
    mark.has_pages = self->pages > 0;
    mark.pages = self->pages;
    Dfs__HmacKey key = DFS__HMAC_KEY__INIT, *keys = &key;
    key.id = 9;
    key.key.data = self->hmac;
    key.key.len = 32;
    Dfs__Epoch epoch = DFS__EPOCH__INIT;
    epoch.incarnation = 1;
    epoch.term = self->term;
    Dfs__Welcome w = DFS__WELCOME__INIT;
    w.version = 1;
    w.session = 0x1000 + rig_id (i);
    w.epoch = &epoch;
    w.leader = (char *)(uintptr_t) "b1";
    w.has_log_time_ns = true;
    w.log_time_ns = 1000 * SEC;
    w.has_worker = true;
    w.worker = rig_id (i);
    w.n_grant_keys = 1;
    w.grant_keys = &keys;
    w.n_marks = 1;
    w.marks = &marks;
    w.n_workers = RIG_WORKERS;
    w.workers = pointers;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_WELCOME;
    env.welcome = &w;
    rig_order (self, i, &env);
}

static seen_t *add_seen (rig_t *self, const Dfs__Envelope *env, int worker)
{
    assert_true (self->n_seen < RIG_SEEN);
    seen_t *s = &self->seen[self->n_seen++];
    *s = (seen_t){.type = env->body_case, .worker = worker};
    return s;
}

static void take_key (const Dfs__CopyKey *in, copykey_t *out)
{
    dfs_error_t err = {0};
    must (check_copykey (in, out, &err), &err);
}

static void see_changes (rig_t *self, const Dfs__Envelope *env, int worker)
{
    const Dfs__Changes *c = env->changes;
    for (size_t i = 0; i < c->n_changes; i++) {
        seen_t *s = add_seen (self, env, worker);
        take_key (c->changes[i]->key, &s->key);
        s->kind = c->changes[i]->kind;
        s->birth = c->changes[i]->birth;
        s->upload = c->changes[i]->upload;
        s->seq = c->first_seq + (c->inventory ? 0 : i);
        s->inventory = c->inventory;
        s->inventory_end = c->inventory_end;
    }
    if (c->n_changes == 0) {
        seen_t *s = add_seen (self, env, worker);
        s->seq = c->first_seq;
        s->inventory = c->inventory;
        s->inventory_end = c->inventory_end;
    }
    if (self->mute)
        return;
    Dfs__StoreMark mark = DFS__STORE_MARK__INIT, *marks = &mark;
    mark.id = c->store;
    mark.incarnation = c->incarnation;
    mark.seq = c->first_seq + (c->inventory || !c->n_changes ? 0 : c->n_changes - 1);
    Dfs__ChangesAck ack = DFS__CHANGES_ACK__INIT;
    ack.n_marks = 1;
    ack.marks = &marks;
    Dfs__Envelope out = DFS__ENVELOPE__INIT;
    out.body_case = DFS__ENVELOPE__BODY_CHANGES_ACK;
    out.changes_ack = &ack;
    if (!c->inventory || c->inventory_end)
        rig_order (self, worker, &out);
}

/* Credits and refusals for a worker that sends on go to it, as a broker does. */
static void pass_on (rig_t *self, Dfs__Envelope *env, uint64_t session)
{
    if (session >= 0x1001 && session <= 0x1000 + RIG_WORKERS)
        rig_order (self, (int)(session - 0x1001), env);
}

static void see (rig_t *self, Dfs__Envelope *env, int worker)
{
    seen_t *s;
    switch (env->body_case) {
    case DFS__ENVELOPE__BODY_CHANGES:
        see_changes (self, env, worker);
        break;
    case DFS__ENVELOPE__BODY_REFUSED:
        s = add_seen (self, env, worker);
        take_key (env->refused->key, &s->key);
        s->session = env->refused->session;
        s->code = env->refused->code;
        s->about = env->refused->worker;
        s->upload = env->refused->upload;
        pass_on (self, env, s->session);
        break;
    case DFS__ENVELOPE__BODY_CREDIT:
        s = add_seen (self, env, worker);
        take_key (env->credit->key, &s->key);
        s->session = env->credit->session;
        s->consumed = env->credit->consumed;
        pass_on (self, env, s->session);
        break;
    case DFS__ENVELOPE__BODY_STREAM_READY:
        s = add_seen (self, env, worker);
        s->session = env->stream_ready->session;
        s->port = (uint16_t)env->stream_ready->worker->port;
        break;
    case DFS__ENVELOPE__BODY_SEND_REFUSED:
        for (size_t i = 0; i < env->send_refused->n_pieces; i++) {
            s = add_seen (self, env, worker);
            s->session = env->send_refused->session;
            s->piece = env->send_refused->pieces[i]->piece;
            s->code = env->send_refused->pieces[i]->code;
        }
        break;
    case DFS__ENVELOPE__BODY_YIELDED:
        for (size_t i = 0; i < env->yielded->n_pieces; i++) {
            s = add_seen (self, env, worker);
            s->session = env->yielded->session;
            s->piece = env->yielded->pieces[i]->piece;
            take_key (env->yielded->pieces[i]->key, &s->key);
        }
        break;
    case DFS__ENVELOPE__BODY_ORDER_RESULT:
        for (size_t i = 0; i < env->order_result->n_verified; i++) {
            s = add_seen (self, env, worker);
            s->order = env->order_result->order;
            take_key (env->order_result->verified[i]->key, &s->key);
            s->code = env->order_result->verified[i]->code;
        }
        if (env->order_result->n_verified == 0) {
            s = add_seen (self, env, worker);
            s->order = env->order_result->order;
            s->code = env->order_result->code;
        }
        break;
    case DFS__ENVELOPE__BODY_PING: /* it is quiet, and wants to be known */
        break;
    default:
        give_up ("worker sent type %d", env->body_case);
    }
}

static void receive (rig_t *self, arena_t *arena)
{
    envelope_from_t from;
    Dfs__Envelope *env;
    dfs_error_t err = {0};
    int rc;
    for (;;) {
        arena_reset (arena);
        rc = envelope_recv (self->back, true, false, arena, &from, &env, &err);
        if (rc == 0)
            return;
        must (rc, &err);
        if (env->body_case == DFS__ENVELOPE__BODY_HELLO) {
            int i = env->hello->name[1] - '1';
            assert_in_range (i, 0, RIG_WORKERS - 1);
            assert_int_equal (env->hello->n_stores, 1);
            assert_memory_equal (env->hello->cluster_id.data, self->cluster->id, 16);
            self->routes[i] = from.route;
            self->said_hello[i] = true;
            self->hellos++;
            for (int k = 0; k < RIG_WORKERS && !self->shunned; k++)
                if (self->said_hello[k] && (k == i || self->hellos <= RIG_WORKERS))
                    welcome (self, k);
            continue;
        }
        for (int i = 0; i < RIG_WORKERS; i++)
            if (self->routes[i].len == from.route.len &&
                memcmp (self->routes[i].id, from.route.id, from.route.len) == 0)
                see (self, env, i);
    }
}

void rig_pump (rig_t *self, int ms)
{
    arena_t *arena = arena_new (ENVELOPE_ARENA);
    zmq_pollitem_t items[] = {{.socket = self->back, .events = ZMQ_POLLIN},
                              {.socket = self->pulse, .events = ZMQ_POLLIN}};
    zmq_poll (items, 2, ms);
    receive (self, arena);
    envelope_from_t from;
    Dfs__Envelope *env;
    dfs_error_t err;
    while (arena_reset (arena),
           envelope_recv (self->pulse, false, true, arena, &from, &env, &err) > 0) {
        assert_int_equal (from.topic, 'H');
        self->heartbeats++;
        self->condition = (int)env->heartbeat->condition;
    }
    arena_destroy (&arena);
}

const seen_t *rig_look (rig_t *self, Dfs__Envelope__BodyCase type, int worker,
                        const copykey_t *key, int ms)
{
    uint64_t deadline = clock_mono () + (uint64_t)ms * MS;
    for (;;) {
        for (size_t i = 0; i < self->n_seen; i++) {
            seen_t *s = &self->seen[i];
            if (s->used || s->type != type || (worker >= 0 && s->worker != worker) ||
                (key && copykey_cmp (key, &s->key) != 0))
                continue;
            s->used = true;
            return s;
        }
        if (clock_mono () >= deadline)
            return NULL;
        rig_pump (self, 10);
    }
}

const seen_t *rig_wait (rig_t *self, Dfs__Envelope__BodyCase type, int worker,
                        const copykey_t *key)
{
    const seen_t *s = rig_look (self, type, worker, key, 10000);
    if (!s)
        give_up ("nothing of type %d came from worker %d", type, worker);
    return s;
}

/* --- the client --- */

uint8_t *rig_chunk (size_t len, unsigned seed, copykey_t *key)
{
    uint8_t *data = malloc (len);
    assert (data);
    uint64_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(x >> 56);
    }
    memset (key, 0, sizeof *key);
    digest_sha256 (data, len, key->digest);
    return data;
}

grant_t rig_grant (rig_t *self, const copykey_t *key, uint64_t len, uint32_t n,
                   const uint32_t *targets)
{
    grant_t g = {.key_id = 9,
                 .upload = 77,
                 .key = *key,
                 .length = len,
                 .birth = 100,
                 .expiry_ns = 5000 * SEC,
                 .incarnation = 1,
                 .term = self->term,
                 .n_targets = n};
    memcpy (g.targets, targets, n * sizeof *targets);
    if (self->secure)
        memcpy (g.client_key, self->client.keys.public_key, 32);
    return g;
}

static void *keep (rig_t *self, void *socket)
{
    size_t i = 0;
    while (i < RIG_SOCKETS && self->sockets[i])
        i++;
    assert (i < RIG_SOCKETS);
    return self->sockets[i] = socket;
}

void rig_close (rig_t *self, void **socket_p)
{
    for (size_t i = 0; i < RIG_SOCKETS; i++)
        if (self->sockets[i] == *socket_p)
            self->sockets[i] = NULL;
    sock_close (socket_p);
}

static const uint8_t *server_key (rig_t *self, int i, keypair_t *pair)
{
    dfs_error_t err = {0};
    if (!self->secure)
        return NULL;
    must (keys_load_public (self->cluster->keys_dir, "worker",
                            self->cluster->workers[i].name, pair, &err),
          &err);
    return pair->public_key;
}

void *rig_push (rig_t *self, const sock_identity_t *id, int i)
{
    dfs_error_t err = {0};
    keypair_t pair;
    void *push = sock_new (self->ctx, SOCK_FORWARD, id, NULL, &err);
    must (sock_connect (push, id, "127.0.0.1", rig_port (self, i),
                        server_key (self, i, &pair), &err),
          &err);
    return keep (self, push);
}

/* Waits for room, playing the broker meanwhile. */
static void send_part (rig_t *self, void *push, const void *data, size_t len, int flags)
{
    uint64_t deadline = clock_mono () + 10 * SEC;
    while (zmq_send (push, data, len, flags | ZMQ_DONTWAIT) < 0) {
        assert_true (clock_mono () < deadline);
        rig_pump (self, 5);
    }
}

void rig_send (rig_t *self, void *push, const grant_t *grant, const uint8_t *data,
               size_t len, const upload_t *how)
{
    size_t step = how->frame ? how->frame : FRAME_MAX;
    size_t n = 0;
    uint8_t *copy = malloc (step);
    assert (copy);
    for (size_t at = 0; at < len; at += step, n++) {
        if (how->frames && n == how->frames)
            break;
        size_t part = len - at < step ? len - at : step;
        memcpy (copy, data + at, part);
        frame_t f = {.kind = FRAME_DATA,
                     .flags = how->flags,
                     .hop = how->hop,
                     .session = how->session,
                     .seq = n,
                     .trace = 0xabc,
                     .key = grant->key,
                     .offset = at,
                     .length = (uint32_t)part,
                     .true_len = len,
                     .stored_len = len};
        f.n_crcs = (uint32_t)digest_blocks (copy, part, f.crcs);
        if (at + part == len)
            f.flags |= FRAME_LAST;
        if (at == 0) {
            uint8_t key[32];
            memcpy (key, self->hmac, sizeof key);
            key[0] ^= how->forge;
            f.grant_len = (uint32_t)grant_pack (grant, key, f.grant);
        }
        if (how->flip && (size_t)how->flip - 1 >= at &&
            (size_t)how->flip - 1 < at + part)
            copy[(size_t)how->flip - 1 - at] ^= 1;
        uint8_t header[FRAME_HEADER_MAX];
        size_t header_len = frame_pack (&f, header);
        send_part (self, push, header, header_len, ZMQ_SNDMORE);
        send_part (self, push, copy, part, 0);
    }
    free (copy);
}

void rig_send_order (rig_t *self, int worker, uint64_t session, uint64_t piece,
                     const copykey_t *key, uint64_t offset, uint64_t length)
{
    Dfs__CopyKey k = DFS__COPY_KEY__INIT;
    check_put_copykey (key, &k);
    Dfs__SendPiece p = DFS__SEND_PIECE__INIT, *pieces = &p;
    p.piece = piece;
    p.key = &k;
    p.offset = offset;
    p.length = length;
    Dfs__SendOrder order = DFS__SEND_ORDER__INIT;
    order.session = session;
    if (self->secure) {
        order.has_client_key = true;
        order.client_key.data = self->client.keys.public_key;
        order.client_key.len = 32;
    }
    order.n_pieces = 1;
    order.pieces = &pieces;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_SEND_ORDER;
    env.send_order = &order;
    rig_order (self, worker, &env);
}

void *rig_pull (rig_t *self, const sock_identity_t *id, int worker, uint16_t port)
{
    dfs_error_t err = {0};
    keypair_t pair;
    void *pull = sock_new (self->ctx, SOCK_STREAM_CLIENT, id, NULL, &err);
    must (sock_connect (pull, id, "127.0.0.1", port, server_key (self, worker, &pair),
                        &err),
          &err);
    return keep (self, pull);
}

int rig_recv (rig_t *self, void *pull, int ms, frame_t *frame, uint8_t **data)
{
    zmq_pollitem_t item = {.socket = pull, .events = ZMQ_POLLIN};
    uint64_t deadline = clock_mono () + (uint64_t)ms * MS;
    while (zmq_poll (&item, 1, 5) == 0) {
        rig_pump (self, 0);
        if (clock_mono () >= deadline)
            return 0;
    }
    zmq_msg_t header, body;
    dfs_error_t err = {0};
    zmq_msg_init (&header);
    zmq_msg_init (&body);
    assert_true (zmq_msg_recv (&header, pull, 0) > 0 && zmq_msg_more (&header));
    assert_true (zmq_msg_recv (&body, pull, 0) >= 0 && !zmq_msg_more (&body));
    must (frame_unpack (zmq_msg_data (&header), zmq_msg_size (&header), frame, &err),
          &err);
    if (frame->kind == FRAME_DATA)
        must (frame_check (frame, zmq_msg_data (&body), zmq_msg_size (&body), &err),
              &err);
    size_t len = zmq_msg_size (&body);
    *data = malloc (len + 1);
    assert (*data);
    memcpy (*data, zmq_msg_data (&body), len);
    zmq_msg_close (&header);
    zmq_msg_close (&body);
    return 1;
}
