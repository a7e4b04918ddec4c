/* SPDX-License-Identifier: MPL-2.0 */
/* dfs-worker: options, configuration, and the parts of the worker started in order. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/daemon_options.h"
#include "common/io.h"
#include "common/log.h"
#include "config.h"
#include "worker/context.h"
#include "worker/offline.h"
#include "worker/worker.h"

const char *argp_program_version = "dfs-worker " PACKAGE_VERSION;

typedef struct options {
    daemon_options_t common;
    bool dump;
    bool rebuild_index;
    bool quarantine;
    const char *restore;
    const char *format;
    bool force;
} options_t;

enum {
    OPT_DUMP = 256,
    OPT_REBUILD_INDEX,
    OPT_QUARANTINE,
    OPT_RESTORE,
    OPT_FORMAT,
    OPT_FORCE
};

static const struct argp_option option_table[] = {
    {"dump", OPT_DUMP, NULL, 0, "Print what the stopped worker's disks hold", 0},
    {"rebuild-index", OPT_REBUILD_INDEX, NULL, 0,
     "Make the stopped worker's index anew from its volumes", 0},
    {"quarantine", OPT_QUARANTINE, NULL, 0,
     "List the dropped copies that the stopped worker still has", 0},
    {"restore", OPT_RESTORE, "CHUNK", 0,
     "Take a dropped copy of the stopped worker back, or 'all'", 0},
    {"format", OPT_FORMAT, "DIR", 0, "Mark DIR as a data directory of this worker", 0},
    {"force", OPT_FORCE, NULL, 0, "With --format: even if that removes data", 0},
    {0},
};

static error_t parse_option (int key, char *arg, struct argp_state *state)
{
    options_t *o = state->input;
    switch (key) {
    case OPT_DUMP:
        o->dump = true;
        break;
    case OPT_REBUILD_INDEX:
        o->rebuild_index = true;
        break;
    case OPT_QUARANTINE:
        o->quarantine = true;
        break;
    case OPT_RESTORE:
        o->restore = arg;
        break;
    case OPT_FORMAT:
        o->format = arg;
        break;
    case OPT_FORCE:
        o->force = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    .options = option_table,
    .parser = parse_option,
    .doc = "Stores chunks of a dfs cluster and sends them to who asks.",
};

/* Chunk frames of 1 MiB come and go all the time: keep their memory (the default would
 * give it back to the kernel and take it again for each), and share it between threads
 * (each arena would keep its own). */
static void tune_memory (void)
{
    mallopt (M_ARENA_MAX, 2);
    mallopt (M_MMAP_THRESHOLD, 8 * 1024 * 1024);
    mallopt (M_TRIM_THRESHOLD, 32 * 1024 * 1024);
}

static int failure (const dfs_error_t *err)
{
    fprintf (stderr, "dfs-worker: %s\n", err->text);
    return dfs_error_status (err->code);
}

static int run (worker_t *worker, const cluster_t *cluster, const options_t *options,
                int signal_fd)
{
    char ready_path[4200];
    dfs_error_t err = {0};
    snprintf (ready_path, sizeof ready_path, "%s/%s.ready", cluster->run_dir,
              options->common.node);
    int rc = io_mkdir (cluster->run_dir, 0755, &err);
    if (rc == DFS_OK || rc == DFS_EEXIST)
        rc = daemon_run (worker_modules, worker, signal_fd, -1, ready_path,
                         worker_ready, worker_reload, &err);
    return rc < 0 ? failure (&err) : 0;
}

/* True when the options ask for something that runs no worker; *RC is how it went. */
static bool run_offline (const cluster_t *cluster, const cluster_node_t *node,
                         const options_t *options, int *rc, dfs_error_t *err)
{
    if (options->format)
        *rc = offline_format (cluster, node, options->format, options->force, err);
    else if (options->rebuild_index)
        *rc = offline_rebuild_index (node, err);
    else if (options->restore)
        *rc = offline_restore (node, options->restore, err);
    else if (options->quarantine)
        *rc = offline_quarantine (node, err);
    else if (options->dump)
        *rc = offline_dump (node, err);
    else
        return false;
    return true;
}

static int with_config (const cluster_t *cluster, const options_t *options,
                        int signal_fd)
{
    dfs_error_t err = {0};
    if (options->common.dump_config) {
        cluster_dump (cluster, stdout);
        return 0;
    }
    const cluster_node_t *node = cluster_worker (cluster, options->common.node);
    if (!node) {
        fail (&err, DFS_ECONFIG, "%s: no worker is called %s", cluster->path,
              options->common.node);
        return failure (&err);
    }
    log_setup (node->name, options->common.level < 0 ? cluster->log_level
                                                     : (unsigned)options->common.level);
    log_set_slow (cluster->slow_ns);
    int rc;
    if (run_offline (cluster, node, options, &rc, &err))
        return rc < 0 ? failure (&err) : 0;
    tune_memory ();
    void *ctx = context_open ();
    worker_t *worker = worker_new (ctx, cluster, node, options->common.level);
    int status = 0;
    if (worker_check (worker, &err) < 0)
        status = failure (&err);
    else if (!options->common.check)
        status = run (worker, cluster, options, signal_fd);
    worker_destroy (&worker);
    context_close ();
    return status;
}

int main (int argc, char **argv)
{
    options_t options = {0};
    dfs_error_t err = {0};
    io_standard ();
    daemon_options_parse (&options.common, &argp, &options, argc, argv);
    int signal_fd = daemon_signals ();
    char *path = cluster_find (options.common.config, &err);
    if (!path)
        return failure (&err);
    cluster_t *cluster = cluster_load (path, &err);
    free (path);
    if (!cluster)
        return failure (&err);
    int status = with_config (cluster, &options, signal_fd);
    cluster_destroy (&cluster);
    close (signal_fd);
    return status;
}
