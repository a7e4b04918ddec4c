/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/tool.h"
#include "common/digest.h"
#include "common/io.h"
#include "common/rng.h"
#include "common/zpl.h"
#include "msgs/grant.h"
#include "msgs/keys.h"
#include "node.h"
#include "seed.h"
#include "verbs.h"

#define BROKERS_MAX     5
#define BROKERS_DEFAULT (BROKERS_MAX + 1)
#define WORKERS_MAX     1000
#define WORKERS_DEFAULT (WORKERS_MAX + 1)
#define BROKER_PORTS    5

enum {
    KEY_NAME = 256,
    KEY_HOST,
    KEY_BROKERS,
    KEY_WORKERS,
    KEY_REPLICAS,
    KEY_CHUNK_SIZE,
    KEY_SECURITY,
    KEY_BASE_PORT,
    KEY_INLINE_MAX,
    KEY_HISTORY,
    KEY_WORKERS_ON,
    KEY_BROKERS_ON,
    KEY_FROM
};

const tool_option_t init_options[] = {
    {KEY_NAME, "name", "NAME", "name of the cluster (default: that of DIR)"},
    {KEY_FROM, "from", "FILE", "take this config with a new id; no other option then"},
    {KEY_HOST, "host", "HOST", "host of all nodes (default: 127.0.0.1)"},
    {KEY_WORKERS_ON, "workers-on", "HOST,…",
     "hosts of the workers, in turn (default: --host)"},
    {KEY_BROKERS_ON, "brokers-on", "HOST,…",
     "hosts of the brokers, in turn (default: --host)"},
    {KEY_BROKERS, "brokers", "N",
     "number of brokers: 1, 3 or 5 (default: 1, or one on each host)"},
    {KEY_WORKERS, "workers", "N",
     "number of workers (default: 3, or one on each host)"},
    {KEY_REPLICAS, "replicas", "R", "copies of each chunk (default: 2)"},
    {KEY_CHUNK_SIZE, "chunk-size", "SIZE", "64KiB to 64MiB (default: 4MiB)"},
    {KEY_SECURITY, "security", "MODE", "curve (default), or none for a closed bench"},
    {KEY_BASE_PORT, "base-port", "P",
     "first port (default: 9000); 0: kernel-picked ones"},
    {KEY_INLINE_MAX, "inline-max", "SIZE",
     "files that lie in the namespace (default: 4KiB)"},
    {KEY_HISTORY, "history", "TIME", "how long old versions stay (default: 24h)"},
    {0, NULL, NULL, NULL},
};

typedef struct plan {
    const char *from, *name, *host, *workers_on, *brokers_on, *chunk_size, *security,
        *inline_max, *history;
    unsigned brokers, workers, replicas, base_port;
} plan_t;

/* The hosts between the commas of TEXT. */
static unsigned count_hosts (const char *text)
{
    unsigned n = text ? 1 : 0;
    for (const char *p = text; p && *p; p++)
        n += *p == ',';
    return n;
}

/* Host I of TEXT. Returns owned. */
static char *pick_host (const char *text, unsigned i)
{
    for (; i; i--)
        text += strcspn (text, ",") + 1;
    char *host = strndup (text, strcspn (text, ","));
    assert (host);
    return host;
}

static void read_options (plan_t *plan, int argc, char **argv)
{
    const char *value;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        switch (key) {
        case KEY_NAME:
            plan->name = value;
            break;
        case KEY_HOST:
            plan->host = value;
            break;
        case KEY_BROKERS:
            plan->brokers = (unsigned)tool_number ("--brokers", value, BROKERS_MAX);
            break;
        case KEY_WORKERS:
            plan->workers = (unsigned)tool_number ("--workers", value, WORKERS_MAX);
            break;
        case KEY_REPLICAS:
            plan->replicas = (unsigned)tool_number ("--replicas", value, REPLICAS_MAX);
            if (!plan->replicas)
                tool_usage ("--replicas: at least one copy");
            break;
        case KEY_CHUNK_SIZE:
            plan->chunk_size = value;
            break;
        case KEY_SECURITY:
            plan->security = value;
            break;
        case KEY_BASE_PORT:
            plan->base_port = (unsigned)tool_number ("--base-port", value, 65535);
            break;
        case KEY_INLINE_MAX:
            plan->inline_max = value;
            break;
        case KEY_FROM:
            plan->from = value;
            break;
        case KEY_WORKERS_ON:
            plan->workers_on = value;
            break;
        case KEY_BROKERS_ON:
            plan->brokers_on = value;
            break;
        case KEY_HISTORY:
            plan->history = value;
            break;
        default:
            break;
        }
    tool_operands (argc, 1, 1);
    unsigned n_hosts = count_hosts (plan->workers_on);
    if (plan->workers == WORKERS_DEFAULT)
        plan->workers = n_hosts ? n_hosts : 3;
    if (plan->brokers == BROKERS_DEFAULT)
        plan->brokers = plan->brokers_on ? count_hosts (plan->brokers_on) : 1;
    if (plan->base_port == 0 && (n_hosts || plan->brokers_on))
        tool_usage ("--base-port 0: other hosts could not find the broker");
    if (plan->brokers > 0 && plan->brokers % 2 == 0)
        tool_usage (
            "--brokers: 1, 3 or 5; one more than an even number survives no more "
            "losses");
    if (plan->brokers < 1 || plan->workers < 1)
        tool_usage ("a cluster has at least one broker and one worker");
    if (plan->replicas > plan->workers)
        tool_usage ("--replicas: %u copies need as many workers, not %u",
                    plan->replicas, plan->workers);
    if (plan->replicas == 0)
        plan->replicas = plan->workers < 2 ? 1 : 2;
}

/* A name in the quotes that it needs. */
static void put_name (FILE *file, const char *name)
{
    const char *quote = strchr (name, '"') ? "'" : "\"";
    bool plain = !strpbrk (name, "#'\" ");
    fprintf (file, "    name = %s%s%s\n", plain ? "" : quote, name, plain ? "" : quote);
}

/* Returns owned text of cluster.cfg. */
static char *compose (const plan_t *plan)
{
    char *text = NULL, id[33], node[16], data[32];
    uint8_t raw[16];
    size_t len;
    FILE *file = open_memstream (&text, &len);
    assert (file);
    rng_secret (raw, sizeof raw);
    digest_hex (raw, sizeof raw, id);
    fprintf (file, "#   A dfs cluster; every host gets the same file. cluster.cfg(5) "
                   "explains each key.\n\ncluster\n");
    put_name (file, plan->name);
    fprintf (file, "    id = %s\n    security = %s\n    keys = keys\n\n", id,
             plan->security);
    fprintf (file,
             "policy\n    replicas = %u\n    chunk-size = %s\n    history = %s\n"
             "    inline-max = %s\n\n",
             plan->replicas, plan->chunk_size, plan->history, plan->inline_max);
    fprintf (file,
             "heartbeat\n    interval = 500ms\n    timeout = 2500ms\n\nbrokers\n");
    unsigned port = plan->base_port;
    for (unsigned i = 1; i <= plan->brokers; i++) {
        snprintf (node, sizeof node, "b%u", i);
        snprintf (data, sizeof data, "data/%s", node);
        char *host =
            plan->brokers_on
                ? pick_host (plan->brokers_on, (i - 1) % count_hosts (plan->brokers_on))
                : NULL;
        seed_node_text (file, node, host ? host : plan->host, port, data, NULL);
        free (host);
        port += port ? BROKER_PORTS : 0;
    }
    /* Workers begin at the next round number: 9010, or 9020 above three brokers. */
    if (port)
        port = plan->base_port + (port - plan->base_port + 9) / 10 * 10;
    fprintf (file, "\nworkers\n");
    for (unsigned i = 1; i <= plan->workers; i++) {
        unsigned n_hosts = count_hosts (plan->workers_on);
        char *host = n_hosts ? pick_host (plan->workers_on, (i - 1) % n_hosts) : NULL;
        snprintf (node, sizeof node, "w%u", i);
        snprintf (data, sizeof data, "data/%s", node);
        /* Copies go to different hosts first. */
        char *location = node_path (host ? host : "local", node, "");
        if (port > 65535) {
            fclose (file);
            free (text);
            free (location);
            free (host);
            tool_usage ("--base-port: %u leaves too few ports up to 65535",
                        plan->base_port);
        }
        seed_node_text (file, node, host ? host : plan->host, port, data, location);
        free (location);
        free (host);
        port += port ? 1 : 0;
    }
    fclose (file);
    return text;
}

/* The text of FILE under a new id. Returns owned. */
static char *adopt (const char *path, dfs_error_t *err)
{
    void *old = NULL;
    size_t len = 0;
    char *text = NULL, id[33];
    uint8_t raw[16];
    if (io_slurp (path, ZPL_FILE_MAX, &old, &len, err) < 0)
        return NULL;
    rng_secret (raw, sizeof raw);
    digest_hex (raw, sizeof raw, id);
    FILE *file = open_memstream (&text, &len);
    assert (file);
    for (const char *p = old; *p;) {
        size_t n = strcspn (p, "\n"), indent = strspn (p, " ");
        const char *key = p + indent;
        bool is_id = indent == 4 && strncmp (key, "id", 2) == 0 &&
                     strchr (" =", key[2]) && key[2];
        if (is_id)
            fprintf (file, "    id = %s", id);
        else
            fwrite (p, 1, n, file);
        p += n;
        if (*p)
            fputc (*p++, file);
    }
    fclose (file);
    free (old);
    return text;
}

static int make_directory (const char *path, mode_t mode, dfs_error_t *err)
{
    if (mkdir (path, mode) < 0 && errno != EEXIST)
        return fail_errno (err, "make directory %s", path);
    return 0;
}

/* mkdir -p. */
static int make_path (const char *dir, dfs_error_t *err)
{
    char *path = strdup (dir);
    assert (path);
    int rc = 0;
    for (char *p = path + 1; rc == 0 && *p; p++)
        if (*p == '/') {
            *p = 0;
            rc = make_directory (path, 0755, err);
            *p = '/';
        }
    if (rc == 0)
        rc = make_directory (path, 0755, err);
    free (path);
    return rc;
}

static int make_keys (const cluster_t *cluster, dfs_error_t *err)
{
    uint8_t hmac[32];
    int rc = make_directory (cluster->keys_dir, 0700, err);
    for (size_t i = 0; rc == 0 && i < cluster->n_brokers; i++)
        rc = seed_keys (cluster, "broker", cluster->brokers[i].name, err);
    for (size_t i = 0; rc == 0 && i < cluster->n_workers; i++)
        rc = seed_keys (cluster, "worker", cluster->workers[i].name, err);
    if (rc == 0)
        rc = seed_keys (cluster, "user", "admin", err);
    if (rc == 0) {
        rng_secret (hmac, sizeof hmac);
        rc = keys_hmac_save (cluster->keys_dir, hmac, err);
        explicit_bzero (hmac, sizeof hmac);
    }
    return rc;
}

static int make_all (const cluster_t *cluster, const char *text, dfs_error_t *err)
{
    int rc = make_keys (cluster, err);
    /* Other hosts mark theirs when they are deployed to. */
    for (size_t i = 0; rc == 0 && i < cluster->n_brokers; i++)
        if (node_is_local (cluster->brokers[i].host))
            rc = seed_marks (cluster, "broker", &cluster->brokers[i], false, err);
    for (size_t i = 0; rc == 0 && i < cluster->n_workers; i++)
        if (node_is_local (cluster->workers[i].host))
            rc = seed_marks (cluster, "worker", &cluster->workers[i], false, err);
    if (rc == 0)
        rc = make_directory (cluster->run_dir, 0755, err);
    if (rc == 0)
        rc = make_directory (cluster->log_dir, 0755, err);
    /* Last: a cluster.cfg means that everything is there. */
    if (rc == 0)
        rc = seed_commit (cluster->path, text, false, err);
    return rc;
}

static void say_made (const cluster_t *cluster, const char *dir)
{
    char *quoted = tool_quoted (dir), *deploy = NULL;
    bool elsewhere = false;
    for (size_t i = 0; i < cluster->n_brokers + cluster->n_workers; i++)
        elsewhere =
            elsewhere ||
            !node_is_local (i < cluster->n_brokers
                                ? cluster->brokers[i].host
                                : cluster->workers[i - cluster->n_brokers].host);
    if (elsewhere &&
        asprintf (&deploy, "give the hosts their part: dfs-cluster deploy %s\n",
                  quoted) < 0)
        abort ();
    tool_say ("made cluster '%s' of %zu broker%s and %zu worker%s: %s\n"
              "%sstart it with: dfs-cluster start %s\n",
              cluster->name, cluster->n_brokers, cluster->n_brokers == 1 ? "" : "s",
              cluster->n_workers, cluster->n_workers == 1 ? "" : "s", cluster->path,
              deploy ? deploy : "", quoted);
    free (deploy);
    free (quoted);
}

int verb_init (int argc, char **argv)
{
    plan_t plan = {.host = "127.0.0.1",
                   .chunk_size = "4MiB",
                   .security = "curve",
                   .inline_max = "4KiB",
                   .history = "24h",
                   .brokers = BROKERS_DEFAULT,
                   .workers = WORKERS_DEFAULT,
                   .base_port = 9000};
    dfs_error_t err = {0};
    char dir[PATH_MAX];
    read_options (&plan, argc, argv);
    const char *given = argv[optind];
    if (make_path (given, &err) < 0)
        return tool_fail (given, &err);
    if (!realpath (given, dir))
        return tool_fail (given, (fail_errno (&err, "%s", given), &err));
    struct stat st;
    if (stat (dir, &st) == 0 && !S_ISDIR (st.st_mode))
        return tool_fail (given, (fail (&err, DFS_ENOTDIR, "not a directory"), &err));
    if (!plan.name)
        plan.name = dir[1] ? strrchr (dir, '/') + 1 : "dfs";
    char *path = node_path (dir, "cluster", ".cfg");
    int status = 0;
    if (access (path, F_OK) == 0) {
        tool_error (path, "exists already: there is a cluster here");
        free (path);
        return dfs_error_status (DFS_EEXIST);
    }
    char *text = plan.from ? adopt (plan.from, &err) : compose (&plan);
    cluster_t *cluster = text ? seed_try (path, text, &err) : NULL;
    if (!cluster)
        status = tool_fail (plan.from, &err);
    else if (make_all (cluster, text, &err) < 0)
        status = tool_fail (given, &err);
    else
        say_made (cluster, given);
    cluster_destroy (&cluster);
    free (text);
    free (path);
    return status;
}
