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
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/keys.h"
#include "msgs/mark.h"
#include "t/unit/worker_rig_private.h"

#define HEX_ID "000102030405060708090a0b0c0d0e0f"

void rig_must (int rc, const dfs_error_t *err)
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
    rig_must (keys_save (dir, role, name, &pair, &err), &err);
    if (id)
        *id = (sock_identity_t){.secure = self->secure, .keys = pair};
}

static void write_file (rig_t *self, const char *name, const char *text)
{
    char path[128];
    dfs_error_t err = {0};
    snprintf (path, sizeof path, "%s/%s", self->dir, name);
    rig_must (io_replace (path, text, strlen (text), 0644, &err), &err);
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
        rig_must (mark_create (self->cluster->workers[i].data[0], &mark, &err), &err);
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
    rig_must (sock_bind (self->back, "127.0.0.1", 0, &ports[0], &err), &err);
    rig_must (sock_bind (self->pulse, "127.0.0.1", 0, &ports[1], &err), &err);
    rig_must (sock_bind (self->announce, "127.0.0.1", 0, &ports[2], &err), &err);
    char text[128];
    snprintf (text, sizeof text, "pid %d\nports 1 %u %u %u 1\n", (int)getpid (),
              ports[0], ports[1], ports[2]);
    char path[256];
    snprintf (path, sizeof path, "%s/b1.ready", self->cluster->run_dir);
    rig_must (io_replace (path, text, strlen (text), 0644, &err), &err);
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
        rig_must (m->start (self->workers[i], &err), &err);
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
        rig_must (keys_load_public (self->cluster->keys_dir, "worker",
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
            rig_welcome (self, i);
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

int rig_secure (void **state)
{
    *state = rig_new (true);
    return 0;
}

int rig_open (void **state)
{
    *state = rig_new (false);
    return 0;
}

int rig_drop (void **state)
{
    rig_t *rig = *state;
    rig_destroy (&rig);
    return 0;
}
