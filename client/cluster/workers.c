/* SPDX-License-Identifier: MPL-2.0 */
/* add-worker and remove-worker: the text of cluster.cfg stays as it is but for the
 * lines of the worker; brokers that run read it again at SIGHUP. */
#include <assert.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/tool.h"
#include "client/lib/dfs.h"
#include "common/io.h"
#include "common/zpl.h"
#include "deploy.h"
#include "hosts.h"
#include "lifecycle.h"
#include "node.h"
#include "process.h"
#include "remote.h"
#include "seed.h"
#include "verbs.h"

#define START_MS 60000
#define TELL_MS  10000
#define STOP_MS  30000
#define ASK_MS   30000

#define ANSWER_MS 30000

enum { KEY_HOST = 256, KEY_PORT, KEY_DATA, KEY_LOCATION, KEY_FORCE };

const tool_option_t remove_options[] = {
    {KEY_FORCE, "force", NULL, "a dead worker, though data is lost with it"},
    {0, NULL, NULL, NULL},
};

const tool_option_t add_options[] = {
    {KEY_HOST, "host", "HOST", "where it runs (default: 127.0.0.1)"},
    {KEY_PORT, "port", "P", "its port (default: the next after the others'); 0: any"},
    {KEY_DATA, "data", "DIR", "its data directory (default: data/NAME)"},
    {KEY_LOCATION, "location", "PLACE", "its place (default: local/NAME)"},
    {0, NULL, NULL, NULL},
};

typedef struct plan {
    const char *dir, *name, *host, *data, *location;
    int port; /* -1: choose */
} plan_t;

/* The port after all those that workers on HOST use; on a host without workers the
 * lowest that any uses elsewhere; 0 when they let the kernel pick. */
static unsigned next_port (const cluster_t *cluster, const char *host)
{
    unsigned port = 0, elsewhere = 0;
    bool alone = true;
    for (size_t i = 0; i < cluster->n_workers; i++) {
        const cluster_node_t *worker = &cluster->workers[i];
        if (strcmp (worker->host, host)) {
            if (worker->port && (!elsewhere || worker->port < elsewhere))
                elsewhere = worker->port;
            continue;
        }
        alone = false;
        if (worker->port > port)
            port = worker->port;
        if (worker->port && worker->stream_hi > port)
            port = worker->stream_hi;
    }
    return alone ? elsewhere : port ? port + 1 : 0;
}

static int last_line (const zpl_node_t *node)
{
    int line = node->line;
    for (const zpl_node_t *c = node->child; c; c = c->next)
        line = last_line (c);
    return line;
}

/* The lines FROM to TO (from 1) of OLD are left out, and PLAN (may be NULL) comes in
 * their place; TO below FROM: nothing is left out. Returns owned. */
static char *edit (const char *old, int from, int to, const plan_t *plan, unsigned port)
{
    char *text = NULL;
    size_t len;
    FILE *file = open_memstream (&text, &len);
    assert (file);
    const char *p = old;
    for (int line = 1; *p && (line < from || line <= to); line++) {
        size_t n = strcspn (p, "\n");
        if (line < from) {
            fwrite (p, 1, n, file);
            fputc ('\n', file);
        }
        p += n + (p[n] == '\n');
    }
    if (plan)
        seed_node_text (file, plan->name, plan->host, port, plan->data, plan->location);
    fputs (p, file);
    fclose (file);
    return text;
}

/* The new text, with the worker of PLAN or (REMOVE) without it, checked; *FRESH is the
 * cluster as it then is. Returns owned. */
static char *compose (const cluster_t *cluster, const plan_t *plan, bool remove,
                      cluster_t **fresh, dfs_error_t *err)
{
    void *old = NULL;
    size_t len = 0;
    if (io_slurp (cluster->path, ZPL_FILE_MAX, &old, &len, err) < 0)
        return NULL;
    zpl_t *zpl = zpl_parse (old, cluster->path, err);
    char *text = NULL;
    if (zpl) {
        const zpl_node_t *workers = zpl_child (zpl_root (zpl), "workers");
        if (remove) {
            const zpl_node_t *node = zpl_child (workers, plan->name);
            text = edit (old, node->line, last_line (node), NULL, 0);
        } else {
            int end = last_line (workers);
            text = edit (old, end + 1, end, plan,
                         plan->port >= 0 ? (unsigned)plan->port
                                         : next_port (cluster, plan->host));
        }
        *fresh = seed_try (cluster->path, text, err);
    }
    if (!*fresh) {
        free (text);
        text = NULL;
    }
    zpl_destroy (&zpl);
    free (old);
    return text;
}

/* Tells running brokers to read the file again; returns how many there are, those of
 * other hosts included. */
static size_t tell_brokers (nodes_t *nodes, int *status)
{
    size_t n = 0;
    for (size_t i = 0; i < nodes->n; i++) {
        node_t *node = &nodes->all[i];
        process_t p;
        dfs_error_t err = {0};
        bool chosen = node->chosen;
        if (strcmp (node->role, "broker"))
            continue;
        if (!node->local) {
            node->chosen = true;
            n += hosts_do (nodes, "broker", "kill", "", "HUP", TELL_MS) == 0;
            node->chosen = chosen;
            continue;
        }
        if (!process_find (nodes->cluster, node, &p))
            continue;
        if (process_signal (&p, SIGHUP, &err) < 0)
            tool_worst (status, tool_fail (node->config->name, &err));
        process_close (&p);
        n++;
    }
    return n;
}

/* The new file goes to the hosts of brokers and of the new worker. */
static int give (const char *dir, const char *name)
{
    nodes_t *nodes = nodes_new (dir, NULL, 0, false);
    for (size_t i = 0; i < nodes->n; i++) {
        node_t *node = &nodes->all[i];
        node->chosen = !node->local && (strcmp (node->role, "broker") == 0 ||
                                        strcmp (node->config->name, name) == 0);
    }
    int status = hosts_any (nodes) ? deploy_hosts (nodes, NULL, NULL) : 0;
    nodes_destroy (&nodes);
    return status;
}

static int take_in (const plan_t *plan)
{
    char *name = strdup (plan->name);
    assert (name);
    int status = give (plan->dir, name);
    nodes_t *nodes = nodes_new (plan->dir, &name, 1, false);
    nodes->fresh = true;
    if (status == 0 && tell_brokers (nodes, &status) == 0)
        tool_say ("no broker runs here: %s joins when the cluster is started\n", name);
    else if (status == 0)
        status = lifecycle_start (nodes, START_MS);
    nodes_destroy (&nodes);
    free (name);
    return status;
}

static int seed (const cluster_t *fresh, const plan_t *plan, const char *text,
                 dfs_error_t *err)
{
    const cluster_node_t *worker = cluster_worker (fresh, plan->name);
    assert (worker);
    int rc = seed_keys (fresh, "worker", plan->name, err);
    if (rc == 0 && node_is_local (worker->host))
        rc = seed_marks (fresh, "worker", worker, false, err);
    if (rc == 0)
        rc = seed_commit (fresh->path, text, true, err);
    return rc;
}

/* Whether HOST can be given anything: asked before the cluster knows of the worker. It
 * is named on stderr when not. */
static bool answers (const char *host)
{
    remote_t remote = {.host = host, .command = strdup ("true")};
    assert (remote.command);
    remote_run (&remote, 1, ANSWER_MS);
    bool answered = remote.answered;
    remote_clear (&remote);
    return answered;
}

static int add (const plan_t *plan)
{
    cluster_t *cluster = node_cluster (plan->dir), *fresh = NULL;
    dfs_error_t err = {0};
    int status = 0, lock = -1;
    mkdir (cluster->run_dir, 0755);
    char *lock_path = node_path (cluster->run_dir, "dfs-cluster", ".lock");
    char *text = NULL;
    if (cluster_worker (cluster, plan->name) || cluster_broker (cluster, plan->name)) {
        tool_error (plan->name, "exists already in %s", cluster->path);
        status = dfs_error_status (DFS_EEXIST);
    } else if (!node_is_local (plan->host) && !answers (plan->host)) {
        tool_error (plan->name, "not added: it could not be set up on %s", plan->host);
        status = TOOL_EXIT_FAILED;
    } else if ((lock = io_lock (lock_path, &err)) < 0 ||
               !(text = compose (cluster, plan, false, &fresh, &err)) ||
               seed (fresh, plan, text, &err) < 0)
        status = tool_fail (plan->name, &err);
    else
        tool_say ("added worker %s to %s\n", plan->name, cluster->path);
    if (lock >= 0)
        close (lock);
    free (lock_path);
    free (text);
    cluster_destroy (&fresh);
    cluster_destroy (&cluster);
    return status;
}

int verb_add_worker (int argc, char **argv)
{
    plan_t plan = {.host = "127.0.0.1", .port = -1};
    char *data = NULL, *location = NULL;
    const char *value;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        switch (key) {
        case KEY_HOST:
            plan.host = value;
            break;
        case KEY_PORT:
            plan.port = (int)tool_number ("--port", value, 65535);
            break;
        case KEY_DATA:
            plan.data = value;
            break;
        case KEY_LOCATION:
            plan.location = value;
            break;
        default:
            break;
        }
    tool_operands (argc, 2, 2);
    plan.dir = argv[optind];
    plan.name = argv[optind + 1];
    if (!plan.data)
        plan.data = data = node_path ("data", plan.name, "");
    if (!plan.location)
        plan.location = location = node_path ("local", plan.name, "");
    int status = add (&plan);
    if (status == 0)
        status = take_in (&plan);
    free (data);
    free (location);
    return status;
}

/* --- remove-worker --- */

/* The cluster does without it; true also when it did already. */
static bool let_go (const cluster_t *cluster, const char *name, bool force,
                    dfs_error_t *err)
{
    dfs_options_t options = {.config = cluster->path, .timeout_ms = ASK_MS};
    dfs_t *dfs = dfs_open (&options, err);
    int rc = !dfs    ? err->code
             : force ? dfs_worker_abandon (dfs, name, err)
                     : dfs_worker_remove (dfs, name, err);
    dfs_close (&dfs);
    return rc >= 0 || rc == DFS_ENOENT;
}

/* A worker that gets this name later is another one, by its key. */
static void drop_files (const cluster_t *cluster, const char *name)
{
    char *key = node_path (cluster->keys_dir, "worker-", name);
    char *secret = NULL;
    if (asprintf (&secret, "%s_secret", key) < 0)
        abort ();
    char *marks = node_path (cluster->run_dir, name, ".marks");
    unlink (key);
    unlink (secret);
    unlink (marks);
    free (key);
    free (secret);
    free (marks);
}

/* Its lines and files go. */
static int forget (const cluster_t *cluster, const plan_t *plan)
{
    dfs_error_t err = {0};
    cluster_t *fresh = NULL;
    char *text = NULL;
    char *lock_path = node_path (cluster->run_dir, "dfs-cluster", ".lock");
    int status = 0, lock = io_lock (lock_path, &err);
    if (lock < 0 || !(text = compose (cluster, plan, true, &fresh, &err)) ||
        seed_commit (cluster->path, text, true, &err) < 0)
        status = tool_fail (plan->name, &err);
    else
        drop_files (cluster, plan->name);
    if (lock >= 0)
        close (lock);
    free (lock_path);
    free (text);
    cluster_destroy (&fresh);
    return status;
}

int verb_remove_worker (int argc, char **argv)
{
    plan_t plan = {.port = -1};
    const char *value;
    bool force = false;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == KEY_FORCE)
            force = true;
    tool_operands (argc, 2, 2);
    plan.dir = argv[optind];
    plan.name = argv[optind + 1];
    nodes_t *nodes = nodes_new (plan.dir, &argv[optind + 1], 1, false);
    const cluster_t *cluster = nodes->cluster;
    dfs_error_t err = {0};
    int status = 0;
    if (!cluster_worker (cluster, plan.name)) {
        tool_error (plan.name, "is no worker of %s", cluster->path);
        status = dfs_error_status (DFS_ENOENT);
    } else if (!let_go (cluster, plan.name, force, &err))
        status = tool_fail (plan.name, &err);
    else
        status = lifecycle_stop (nodes, STOP_MS);
    if (status == 0)
        status = forget (cluster, &plan);
    nodes_destroy (&nodes);
    if (status)
        return status;
    tool_say ("removed worker %s; its data directories are left as they are\n",
              plan.name);
    status = give (plan.dir, plan.name);
    nodes = nodes_new (plan.dir, NULL, 0, false);
    tell_brokers (nodes, &status);
    nodes_destroy (&nodes);
    return status;
}
