/* SPDX-License-Identifier: MPL-2.0 */
/* admin: what an operator does to a running cluster. */
#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_reclaim.h"
#include "common/units.h"
#include "msgs/grant.h"
#include "output.h"
#include "paths.h"
#include "table.h"
#include "verbs.h"

enum { KEY_REPLICAS = 256, KEY_MIN_REPLICAS, KEY_CHUNK_SIZE, KEY_FORCE };

const tool_option_t admin_options[] = {
    {KEY_REPLICAS, "replicas", "N", "policy: copies of each chunk"},
    {KEY_MIN_REPLICAS, "min-replicas", "N",
     "policy: fewer copies than that are refused (default: replicas, at most 2)"},
    {KEY_CHUNK_SIZE, "chunk-size", "SIZE", "policy: size of chunks"},
    {KEY_FORCE, "force", NULL, "remove: a dead worker, though data is lost with it"},
    {'r', "recursive", NULL, "policy assign: directories with everything in them"},
    {0, NULL, NULL, NULL},
};

typedef struct wish {
    uint32_t replicas, min_replicas; /* 0: not said */
    uint64_t chunk_size;
    bool recursive;
    bool force;
} wish_t;

typedef struct action {
    const char *words[2]; /* the second may be NULL */
    int min, max;         /* operands behind them */
    int (*run) (dfs_t *dfs, const wish_t *wish, char **operands, int n);
} action_t;

/* --- workers --- */

static int do_drain (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_error_t err = {0};

    (void)wish;
    (void)n;
    if (dfs_worker_drain (dfs, operands[0], true, &err) < 0)
        return tool_fail (operands[0], &err);
    tool_say ("%s is being drained; 'status' tells when it may be removed\n",
              operands[0]);
    return 0;
}

static int do_undrain (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_error_t err = {0};

    (void)wish;
    (void)n;
    return dfs_worker_drain (dfs, operands[0], false, &err) < 0
               ? tool_fail (operands[0], &err)
               : 0;
}

static int do_remove (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_error_t err = {0};

    (void)n;
    if ((wish->force ? dfs_worker_abandon (dfs, operands[0], &err)
                     : dfs_worker_remove (dfs, operands[0], &err)) < 0)
        return tool_fail (operands[0], &err);
    tool_say (
        "%s is no member any more; 'dfs-cluster remove-worker' takes it out of the "
        "config, too\n",
        operands[0]);
    return 0;
}

static int do_resume (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_error_t err = {0};

    (void)wish;
    (void)operands;
    (void)n;
    return dfs_repair_resume (dfs, &err) < 0 ? tool_fail (NULL, &err) : 0;
}

static int do_scrub (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_error_t err = {0};
    unsigned told = 0;

    (void)wish;
    if (dfs_scrub (dfs, n ? operands[0] : NULL, &told, &err) < 0)
        return tool_fail (n ? operands[0] : NULL, &err);
    tool_say ("%u worker%s hash%s all copies again\n", told, told == 1 ? "" : "s",
              told == 1 ? "es" : "");
    return 0;
}

/* --- space --- */

static int do_rebalance (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    (void)wish;
    (void)operands;
    (void)n;
    return admin_rebalance (dfs);
}

static int do_reclaim_status (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    (void)wish;
    (void)operands;
    (void)n;
    return admin_reclaim_status (dfs);
}

static int do_reclaim_resume (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    (void)wish;
    (void)operands;
    (void)n;
    return admin_reclaim_resume (dfs);
}

static int do_reclaim_undo (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    (void)wish;
    (void)operands;
    (void)n;
    return admin_reclaim_undo (dfs);
}

static int do_reclaim_explain (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    (void)wish;
    (void)n;
    return admin_reclaim_explain (dfs, operands[0]);
}

/* --- policies --- */

/* Ends the program when they cannot be had. */
static dfs_policy_t *all_policies (dfs_t *dfs, size_t *n)
{
    dfs_policy_t *policies;
    dfs_error_t err = {0};

    if (dfs_policies (dfs, &policies, n, &err) < 0)
        exit (tool_fail (NULL, &err));
    return policies;
}

/* By name, or by number; false: there is none. */
static bool find_policy (dfs_t *dfs, const char *name, dfs_policy_t *out)
{
    size_t n;
    dfs_policy_t *policies = all_policies (dfs, &n);
    bool found = false;
    char number[16];

    for (size_t i = 0; i < n && !found; i++) {
        snprintf (number, sizeof number, "%u", policies[i].id);
        found = strcmp (name, policies[i].name) == 0 || strcmp (name, number) == 0;
        if (found)
            *out = policies[i];
    }
    free (policies);
    return found;
}

static int do_list (dfs_t *dfs, const wish_t *wish, char **operands, int n_operands)
{
    size_t n;
    dfs_policy_t *policies = all_policies (dfs, &n);

    (void)wish;
    (void)operands;
    (void)n_operands;
    if (tool_common.json) {
        json_t *array = json_array ();
        for (size_t i = 0; i < n; i++) {
            json_t *o = json_object ();
            json_object_set_new (o, "id", out_number (policies[i].id));
            json_object_set_new (o, "name", out_text (policies[i].name));
            json_object_set_new (o, "replicas", out_number (policies[i].replicas));
            json_object_set_new (o, "min_replicas",
                                 out_number (policies[i].min_replicas));
            json_object_set_new (o, "chunk_size", out_number (policies[i].chunk_size));
            json_object_set_new (o, "removing", json_boolean (policies[i].removing));
            json_array_append_new (array, o);
        }
        out_json (array);
    } else {
        table_t *table = table_new ("rlrrr", stdout);
        table_row (table, "ID", "NAME", "COPIES", "AT LEAST", "CHUNKS", NULL);
        for (size_t i = 0; i < n; i++) {
            char size[32];
            table_add (table, "%u", policies[i].id);
            table_add (table, "%s%s", policies[i].name,
                       policies[i].removing ? " (being removed)" : "");
            table_add (table, "%u", policies[i].replicas);
            table_add (table, "%u", policies[i].min_replicas);
            table_row (table,
                       units_format_size (size, sizeof size, policies[i].chunk_size),
                       NULL);
        }
        table_destroy (&table);
    }
    free (policies);
    return 0;
}

static void apply_wish (dfs_policy_t *policy, const wish_t *wish)
{
    if (wish->replicas) {
        policy->replicas = wish->replicas;
        if (policy->min_replicas > policy->replicas)
            policy->min_replicas = policy->replicas;
    }
    if (wish->min_replicas)
        policy->min_replicas = wish->min_replicas;
    if (wish->chunk_size)
        policy->chunk_size = wish->chunk_size;
    if (policy->min_replicas > policy->replicas)
        tool_usage ("--min-replicas: more than the copies there are");
}

/* A policy is taken as it is: workers may be added later. */
static void warn_few (dfs_t *dfs, const dfs_policy_t *policy)
{
    dfs_status_t status;
    dfs_error_t err;
    size_t n = 0;

    if (dfs_status (dfs, &status, &err) < 0)
        return;
    for (size_t i = 0; i < status.n_workers; i++)
        n += strcmp (status.workers[i].state, "removed") != 0 &&
             strcmp (status.workers[i].state, "draining") != 0;
    dfs_status_clear (&status);
    if (policy->replicas > n)
        tool_error (policy->name,
                    "warning: %u copies, and there are %zu workers: what is under it "
                    "stays short of copies",
                    policy->replicas, n);
}

static int do_create (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_policy_t policy = {0};
    dfs_error_t err = {0};

    (void)n;
    if (!wish->replicas)
        tool_usage ("policy create needs --replicas");
    if (strlen (operands[0]) >= sizeof policy.name)
        tool_usage ("name of a policy: at most 63 bytes");
    if (!find_policy (dfs, "1", &policy)) {
        tool_error (NULL, "the cluster has no default policy");
        return TOOL_EXIT_FAILED;
    }
    policy.id = 0;
    snprintf (policy.name, sizeof policy.name, "%s", operands[0]);
    policy.min_replicas = wish->replicas < 2 ? wish->replicas : 2;
    apply_wish (&policy, wish);
    if (dfs_policy_set (dfs, &policy, &err) < 0)
        return tool_fail (operands[0], &err);
    warn_few (dfs, &policy);
    return 0;
}

static int no_policy (const char *name)
{
    tool_error (name, "no such policy");
    return dfs_error_status (DFS_ENOENT);
}

static int do_set (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_policy_t policy;
    dfs_error_t err = {0};

    (void)n;
    if (!find_policy (dfs, operands[0], &policy))
        return no_policy (operands[0]);
    apply_wish (&policy, wish);
    if (dfs_policy_set (dfs, &policy, &err) < 0)
        return tool_fail (operands[0], &err);
    warn_few (dfs, &policy);
    return 0;
}

static int do_policy_remove (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_policy_t policy;
    dfs_error_t err = {0};

    (void)wish;
    (void)n;
    if (!find_policy (dfs, operands[0], &policy))
        return no_policy (operands[0]);
    int rc = dfs_policy_remove (dfs, policy.id, &err);
    if (rc < 0 && rc != DFS_ENOENT) /* that: it went when it was asked for before */
        return tool_fail (operands[0], &err);
    if (tool_common.json)
        out_json (json_pack ("{s:I,s:s,s:b}", "id", (json_int_t)policy.id, "name",
                             policy.name, "removed", 1));
    else
        tool_say ("%s is removed\n", policy.name);
    return 0;
}

typedef struct tree {
    char **paths;
    size_t n, cap;
    const char *top;
} tree_t;

static int add_path (const char *rel, const dfs_stat_t *st, void *arg)
{
    tree_t *tree = arg;

    if (st->type != DFS_FILE && st->type != DFS_DIRECTORY)
        return 0;
    if (tree->n == tree->cap) {
        tree->cap = tree->cap ? 2 * tree->cap : 256;
        tree->paths = realloc (tree->paths, tree->cap * sizeof *tree->paths);
        assert (tree->paths);
    }
    tree->paths[tree->n++] = path_join (tree->top, rel);
    return 0;
}

/* PATH itself and, when it is a directory, all in it. */
static int assign_tree (dfs_t *dfs, const char *path, uint32_t policy, bool recursive)
{
    dfs_list_options_t options = {.recursive = true};
    tree_t tree = {.top = path};
    dfs_error_t err = {0};
    dfs_stat_t st = {0};
    int status = 0;

    if (dfs_policy_assign (dfs, path, policy, &err) < 0)
        return tool_fail (path, &err);
    if (!recursive)
        return 0;
    if (dfs_stat (dfs, path, true, &st, &err) < 0)
        return tool_fail (path, &err);
    dfs_stat_clear (&st);
    if (st.type == DFS_DIRECTORY &&
        dfs_list (dfs, path, &options, add_path, &tree, &err) < 0)
        status = tool_fail (path, &err);
    for (size_t i = 0; i < tree.n; i++) {
        /* What was removed meanwhile needs none. */
        int rc = dfs_policy_assign (dfs, tree.paths[i], policy, &err);
        if (rc < 0 && rc != DFS_ENOENT)
            tool_worst (&status, tool_fail (tree.paths[i], &err));
        free (tree.paths[i]);
    }
    free (tree.paths);
    return status;
}

static int do_assign (dfs_t *dfs, const wish_t *wish, char **operands, int n)
{
    dfs_policy_t policy;
    int status = 0;

    if (!find_policy (dfs, operands[0], &policy))
        return no_policy (operands[0]);
    for (int i = 1; i < n; i++) {
        char *path = path_remote (operands[i]);
        tool_worst (&status, assign_tree (dfs, path, policy.id, wish->recursive));
        free (path);
    }
    return status;
}

uint32_t admin_policy_of (dfs_t *dfs, uint32_t replicas)
{
    wish_t wish = {.replicas = replicas};
    dfs_policy_t policy;
    char name[32], *operand = name;

    snprintf (name, sizeof name, "copies-%u", replicas);
    if (find_policy (dfs, name, &policy) && policy.replicas == replicas)
        return policy.id;
    int status = do_create (dfs, &wish, &operand, 1);
    if (status != 0)
        exit (status);
    if (!find_policy (dfs, name, &policy))
        exit (no_policy (name));
    return policy.id;
}

/* --- */

static const action_t actions[] = {
    {{"drain", NULL}, 1, 1, do_drain},
    {{"undrain", NULL}, 1, 1, do_undrain},
    {{"remove", NULL}, 1, 1, do_remove},
    {{"rebalance", NULL}, 0, 0, do_rebalance},
    {{"reclaim", "status"}, 0, 0, do_reclaim_status},
    {{"reclaim", "explain"}, 1, 1, do_reclaim_explain},
    {{"reclaim", "resume"}, 0, 0, do_reclaim_resume},
    {{"reclaim", "undo"}, 0, 0, do_reclaim_undo},
    {{"scrub", NULL}, 0, 1, do_scrub},
    {{"repair", "resume"}, 0, 0, do_resume},
    {{"policy", "list"}, 0, 0, do_list},
    {{"policy", "create"}, 1, 1, do_create},
    {{"policy", "set"}, 1, 1, do_set},
    {{"policy", "remove"}, 1, 1, do_policy_remove},
    {{"policy", "assign"}, 2, INT32_MAX, do_assign},
    {{"policy", NULL}, 0, 0, do_list},
};

static const action_t *find_action (char **words, int n, int *used)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        const action_t *a = &actions[i];
        if (n < 1 || strcmp (words[0], a->words[0]) != 0)
            continue;
        if (a->words[1] && (n < 2 || strcmp (words[1], a->words[1]) != 0))
            continue;
        *used = a->words[1] ? 2 : 1;
        return a;
    }
    return NULL;
}

/* WORDS are no action; the first may be what some begin with. */
static void refuse_action (char **words, int n)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp (words[0], actions[i].words[0]) == 0 && n > 1)
            tool_usage ("unknown action '%s %s'", words[0], words[1]);
        else if (strcmp (words[0], actions[i].words[0]) == 0)
            tool_usage ("'%s': which action?", words[0]);
    tool_usage ("unknown action '%s'", words[0]);
}

int verb_admin (int argc, char **argv)
{
    wish_t wish = {0};
    const char *value;
    int key, used;

    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == KEY_REPLICAS)
            wish.replicas = (uint32_t)tool_number ("--replicas", value, REPLICAS_MAX);
        else if (key == KEY_MIN_REPLICAS)
            wish.min_replicas =
                (uint32_t)tool_number ("--min-replicas", value, REPLICAS_MAX);
        else if (key == KEY_CHUNK_SIZE)
            wish.chunk_size = tool_size ("--chunk-size", value);
        else if (key == KEY_FORCE)
            wish.force = true;
        else
            wish.recursive = true;
    tool_operands (argc, 1, INT32_MAX);
    /* They may be asked for when nobody leads. */
    if (strcmp (argv[optind], "brokers") == 0)
        return admin_brokers (argv + optind + 1, argc - optind - 1);
    const action_t *action = find_action (argv + optind, argc - optind, &used);
    if (!action)
        refuse_action (argv + optind, argc - optind);
    optind += used;
    tool_operands (argc, action->min, action->max);
    if (wish.chunk_size && (wish.chunk_size < 64 * KIB || wish.chunk_size > 64 * MIB))
        tool_usage ("--chunk-size: from 64KiB to 64MiB");
    dfs_t *dfs = tool_open ();
    int status = action->run (dfs, &wish, argv + optind, argc - optind);
    dfs_close (&dfs);
    return status;
}
