/* SPDX-License-Identifier: MPL-2.0 */
/* deploy: each host gets the config file, everybody's public keys and the secret ones
 * of its own nodes, brokers' hosts also the key that signs grants; then it marks its
 * data directories itself. tar through ssh; the config comes last, by rename. */
#include <assert.h>
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/tool.h"
#include "common/digest.h"
#include "deploy.h"
#include "hosts.h"
#include "seed.h"
#include "verbs.h"

#define COPY_MS 600000
#define MARK_MS 30000

enum { KEY_PREFIX = 256, KEY_FROM, KEY_NEW };

const tool_option_t deploy_options[] = {
    {KEY_PREFIX, "prefix", "P", "install the programs below P there"},
    {KEY_FROM, "from", "TREE", "DESTDIR of an installation under P (default: /)"},
    {0, NULL, NULL, NULL},
};

/* The directory of the keys, relative to that of the config; NULL when it lies
 * elsewhere. */
static const char *keys_name (const cluster_t *cluster)
{
    size_t len = strlen (cluster->dir);
    if (strncmp (cluster->keys_dir, cluster->dir, len) || cluster->keys_dir[len] != '/')
        return NULL;
    return cluster->keys_dir + len + 1;
}

static bool ends_with (const char *text, const char *end)
{
    size_t a = strlen (text), b = strlen (end);
    return a >= b && strcmp (text + a - b, end) == 0;
}

/* Whether HOST may have the file NAME of the keys. */
static bool is_key_of (const nodes_t *nodes, const char *host, const char *name)
{
    bool secret = ends_with (name, "_secret");
    bool hmac = strcmp (name, "cluster-hmac") == 0;
    if (!secret && !hmac)
        return strncmp (name, "broker-", 7) == 0 || strncmp (name, "worker-", 7) == 0 ||
               strncmp (name, "user-", 5) == 0;
    for (size_t i = 0; i < nodes->n; i++) {
        const node_t *node = &nodes->all[i];
        char own[160];
        if (strcmp (node->config->host, host))
            continue;
        if (hmac && strcmp (node->role, "broker") == 0)
            return true;
        snprintf (own, sizeof own, "%s-%s_secret", node->role, node->config->name);
        if (strcmp (name, own) == 0)
            return true;
    }
    return false;
}

/* `tar -c …` of what HOST gets. Returns owned, NULL when the keys cannot be listed. */
static char *pack (const nodes_t *nodes, const char *host, dfs_error_t *err)
{
    const cluster_t *cluster = nodes->cluster;
    DIR *keys = opendir (cluster->keys_dir);
    if (!keys) {
        fail_errno (err, "%s", cluster->keys_dir);
        return NULL;
    }
    char *text = NULL, *dir = tool_quoted (cluster->dir);
    char *config = tool_quoted (strrchr (cluster->path, '/') + 1);
    size_t len;
    FILE *file = open_memstream (&text, &len);
    assert (file);
    fprintf (file, "tar -C %s -c -f - -- %s", dir, config);
    for (const struct dirent *e; (e = readdir (keys));)
        if (is_key_of (nodes, host, e->d_name)) {
            char *path = node_path (keys_name (cluster), e->d_name, "");
            char *quoted = tool_quoted (path);
            fprintf (file, " %s", quoted);
            free (quoted);
            free (path);
        }
    fclose (file);
    closedir (keys);
    free (config);
    free (dir);
    return text;
}

/* What the host's shell does with that: the files stand whole, or not at all, and never
 * in place of another cluster's. */
static char *unpack (const cluster_t *cluster)
{
    char *dir = tool_quoted (cluster->dir), *keys = tool_quoted (keys_name (cluster));
    char *config = tool_quoted (strrchr (cluster->path, '/') + 1);
    char id[33], *script = NULL, *command = NULL;
    digest_hex (cluster->id, sizeof cluster->id, id);
    if (asprintf (&script,
                  "set -e; umask 077; mkdir -p %s; cd %s; if test -e %s; then "
                  "grep -qi '^ *id *= *\"*%s' %s || { echo \"$(pwd) holds another "
                  "cluster\" >&2; exit 4; }; fi; "
                  "rm -rf .deploy; mkdir .deploy; tar -C .deploy -x -p -o -f -; "
                  "mkdir -p %s; mv -f .deploy/%s/* %s/; mv -f .deploy/%s %s; "
                  "rm -rf .deploy",
                  dir, dir, config, id, config, keys, keys, keys, config, config) < 0)
        abort ();
    char *quoted = tool_quoted (script);
    if (asprintf (&command, "exec sh -c %s", quoted) < 0)
        abort ();
    free (quoted);
    free (script);
    free (config);
    free (keys);
    free (dir);
    return command;
}

/* The programs: TREE/PREFIX here is PREFIX there, and DIR/bin leads to them. */
static void plan_programs (const nodes_t *nodes, const char *prefix, const char *tree,
                           remote_t *r)
{
    char *from = node_path (tree, prefix, ""), *quoted = tool_quoted (from);
    char *p = tool_quoted (prefix), *dir = tool_quoted (nodes->cluster->dir);
    char *script = NULL;
    if (asprintf (&r->input, "tar -C %s -c -f - .", quoted) < 0 ||
        asprintf (&script,
                  "set -e; mkdir -p %s %s; tar -C %s -x -p -o -f -; "
                  "ln -sfn %s/bin %s/bin",
                  p, dir, p, p, dir) < 0)
        abort ();
    char *inner = tool_quoted (script);
    if (asprintf (&r->command, "exec sh -c %s", inner) < 0)
        abort ();
    free (inner);
    free (script);
    free (dir);
    free (p);
    free (quoted);
    free (from);
}

/* Chooses the nodes on HOSTS (N of them; none: all). */
static void choose (nodes_t *nodes, char **hosts, int n)
{
    for (size_t i = 0; i < nodes->n && n; i++)
        nodes->all[i].chosen = false;
    for (int k = 0; k < n; k++) {
        bool found = false;
        for (size_t i = 0; i < nodes->n; i++)
            if (strcmp (nodes->all[i].config->host, hosts[k]) == 0)
                nodes->all[i].chosen = found = true;
        if (!found) {
            tool_error (hosts[k], "no node of %s is there", nodes->cluster->path);
            exit (TOOL_EXIT_USAGE);
        }
    }
}

/* A host where a step failed takes no further part. */
static int run_step (nodes_t *nodes, remote_t **all, size_t n)
{
    int status = hosts_run (*all, n, COPY_MS);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < nodes->n; i++)
            if ((*all)[k].status &&
                strcmp (nodes->all[i].config->host, (*all)[k].host) == 0)
                nodes->all[i].chosen = false;
    hosts_free (all, n);
    return status;
}

static void drop_command (remote_t *r)
{
    free (r->command);
    r->command = NULL;
}

static int mark_here (const nodes_t *nodes, bool again)
{
    int status = 0;
    for (size_t i = 0; i < nodes->n; i++) {
        const node_t *node = &nodes->all[i];
        dfs_error_t err = {0};
        if (!node->chosen || !node->local)
            continue;
        mkdir (nodes->cluster->log_dir, 0755);
        if (seed_marks (nodes->cluster, node->role, node->config, again, &err) < 0)
            tool_worst (&status, tool_fail (node->config->name, &err));
    }
    return status;
}

int deploy_hosts (nodes_t *nodes, const char *prefix, const char *tree)
{
    const cluster_t *cluster = nodes->cluster;
    int status = 0;
    size_t n;
    dfs_error_t err = {0};
    if (!hosts_any (nodes))
        return mark_here (nodes, false);
    if (!keys_name (cluster)) {
        tool_error (cluster->keys_dir, "the keys are not below %s: copy them yourself",
                    cluster->dir);
        return TOOL_EXIT_USAGE;
    }
    if (prefix) {
        remote_t *all = hosts_plan (nodes, NULL, "", "", "", &n);
        for (size_t k = 0; k < n; k++) {
            drop_command (&all[k]);
            plan_programs (nodes, prefix, tree, &all[k]);
        }
        status = run_step (nodes, &all, n);
    }
    remote_t *all = hosts_plan (nodes, NULL, "", "", "", &n);
    for (size_t k = 0; k < n; k++) {
        drop_command (&all[k]);
        all[k].command = unpack (cluster);
        if (!(all[k].input = pack (nodes, all[k].host, &err))) {
            hosts_free (&all, n);
            return tool_fail (NULL, &err);
        }
    }
    tool_worst (&status, run_step (nodes, &all, n));
    tool_worst (&status, mark_here (nodes, false));
    all = hosts_plan (nodes, NULL, "mark", "", "", &n);
    int rc = n ? hosts_run (all, n, MARK_MS) : 0;
    for (size_t k = 0; k < n; k++)
        if (all[k].status == 0)
            tool_say ("%s: deployed\n", all[k].host);
    tool_worst (&status, rc);
    hosts_free (&all, n);
    return status;
}

int verb_deploy (int argc, char **argv)
{
    const char *value, *prefix = NULL, *tree = NULL;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == KEY_PREFIX)
            prefix = value;
        else
            tree = value;
    if (optind >= argc)
        tool_usage ("which cluster? DIR is missing");
    if (prefix && *prefix != '/')
        tool_usage ("--prefix: '%s' does not begin with '/'", prefix);
    if (tree && !prefix)
        tool_usage ("--from goes with --prefix");
    nodes_t *nodes = nodes_new (argv[optind], NULL, 0, false);
    choose (nodes, argv + optind + 1, argc - optind - 1);
    int status = deploy_hosts (nodes, prefix, tree ? tree : "");
    nodes_destroy (&nodes);
    return status;
}

const tool_option_t mark_options[] = {
    {KEY_NEW, "new", NULL,
     "the disks are new: directories that had a mark get another"},
    {NODE_HERE, "here", NULL, NODE_HERE_HELP},
    {0, NULL, NULL, NULL},
};

int verb_mark (int argc, char **argv)
{
    bool here = false, again = false;
    const char *value;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == KEY_NEW)
            again = true;
        else
            here = true;
    if (optind >= argc)
        tool_usage ("which cluster? DIR is missing");
    if (again && argc - optind < 2)
        tool_usage ("--new: which node? Its disks are taken for empty ones");
    nodes_t *nodes =
        nodes_new (argv[optind], argv + optind + 1, argc - optind - 1, here);
    int status = mark_here (nodes, again);
    tool_worst (&status,
                hosts_do (nodes, NULL, "mark", again ? "--new" : "", "", MARK_MS));
    nodes_destroy (&nodes);
    return status;
}
