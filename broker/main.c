/* SPDX-License-Identifier: MPL-2.0 */
/* dfs-broker: options, configuration, and the parts of the broker started in order. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/context.h"
#include "broker/namespace/dump.h"
#include "common/daemon_options.h"
#include "common/io.h"
#include "common/log.h"
#include "config.h"

const char *argp_program_version = "dfs-broker " PACKAGE_VERSION;

typedef struct options {
    daemon_options_t common;
    bool dump;
    bool fsck;
} options_t;

enum { OPT_DUMP = 256, OPT_FSCK };

static const struct argp_option option_table[] = {
    {"dump", OPT_DUMP, NULL, 0, "Print every record of the namespace and exit", 0},
    {"fsck", OPT_FSCK, NULL, 0, "Verify the namespace of a stopped broker and exit", 0},
    {0},
};

static error_t parse_option (int key, char *arg, struct argp_state *state)
{
    options_t *o = state->input;

    (void)arg;
    switch (key) {
    case OPT_DUMP:
        o->dump = true;
        break;
    case OPT_FSCK:
        o->fsck = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    .options = option_table,
    .parser = parse_option,
    .doc = "Serves the namespace of a dfs cluster: names, versions, where chunks are.",
};

static int failure (const dfs_error_t *err)
{
    fprintf (stderr, "dfs-broker: %s\n", err->text);
    return dfs_error_status (err->code);
}

static int dump (const cluster_node_t *node)
{
    dfs_error_t err;

    if (namespace_dump (node->data[0], stdout, &err) < 0)
        return failure (&err);
    return fflush (stdout) == 0 ? 0 : 1;
}

static int fsck (const cluster_t *cluster, const cluster_node_t *node)
{
    dfs_error_t err;

    int rc = broker_fsck (cluster, node, &err);
    if (rc > 0)
        fail (&err, DFS_EDAMAGED, "%s: %d faults", node->data[0], rc);
    return rc == 0 ? 0 : failure (&err);
}

static int run (const cluster_t *cluster, const cluster_node_t *node, int level,
                int signal_fd)
{
    char ready_path[4200];
    dfs_error_t err;

    log_setup (node->name, level < 0 ? cluster->log_level : (unsigned)level);
    log_set_slow (cluster->slow_ns);
    broker_t *broker = broker_new (context_open (), cluster, node, level);
    snprintf (ready_path, sizeof ready_path, "%s/%s.ready", cluster->run_dir,
              node->name);
    int rc = io_mkdir (cluster->run_dir, 0755, &err);
    if (rc == DFS_OK || rc == DFS_EEXIST)
        rc = daemon_run (broker_modules, broker, signal_fd, broker_fatal_fd (broker),
                         ready_path, broker_ready, broker_reload, &err);
    broker_destroy (&broker);
    context_close ();
    return rc < 0 ? failure (&err) : 0;
}

static int with_config (const cluster_t *cluster, const options_t *options,
                        int signal_fd)
{
    dfs_error_t err;

    if (options->common.dump_config) {
        cluster_dump (cluster, stdout);
        return 0;
    }
    const cluster_node_t *node = cluster_broker (cluster, options->common.node);
    if (!node) {
        fail (&err, DFS_ECONFIG, "%s: no broker is called %s", cluster->path,
              options->common.node);
        return failure (&err);
    }
    if (options->common.check)
        return broker_check (cluster, node, &err) < 0 ? failure (&err) : 0;
    if (options->dump)
        return dump (node);
    if (options->fsck)
        return fsck (cluster, node);
    return run (cluster, node, options->common.level, signal_fd);
}

int main (int argc, char **argv)
{
    options_t options = {0};
    dfs_error_t err;

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
