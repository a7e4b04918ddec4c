/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/seed.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msgs/keys.h"

#define FEATURE_LEVEL 1
#define USER_PREFIX   "user-"
#define SECRET_SUFFIX "_secret"

static void *need (arena_t *arena, size_t size)
{
    void *p = arena_zalloc (arena, size ? size : 1);

    assert (p);
    return p;
}

static char *text (arena_t *arena, const char *s)
{
    return arena_dup (arena, s, strlen (s));
}

static int put_key (const cluster_t *cluster, const char *role, const char *name,
                    arena_t *arena, protobuf_c_boolean *has, ProtobufCBinaryData *out,
                    dfs_error_t *err)
{
    keypair_t pair;

    if (!cluster->secure)
        return DFS_OK;
    int rc = keys_load_public (cluster->keys_dir, role, name, &pair, err);
    if (rc < 0)
        return rc;
    *has = true;
    out->data = arena_dup (arena, pair.public_key, sizeof pair.public_key);
    out->len = sizeof pair.public_key;
    return DFS_OK;
}

Dfs__Member *seed_member (const cluster_t *cluster, const cluster_node_t *node,
                          Dfs__MemberRole role, uint32_t id, arena_t *arena,
                          dfs_error_t *err)
{
    Dfs__Member *m = need (arena, sizeof *m);

    dfs__member__init (m);
    m->id = id;
    m->role = role;
    m->name = text (arena, node->name);
    m->host = text (arena, node->host);
    m->port = node->port;
    if (node->location)
        m->location = text (arena, node->location);
    const char *role_name =
        role == DFS__MEMBER_ROLE__MEMBER_BROKER ? "broker" : "worker";
    if (put_key (cluster, role_name, node->name, arena, &m->has_key, &m->key, err) < 0)
        return NULL;
    return m;
}

Dfs__User *seed_user (const cluster_t *cluster, const char *name, uint32_t id,
                      arena_t *arena, dfs_error_t *err)
{
    Dfs__User *u = need (arena, sizeof *u);

    dfs__user__init (u);
    u->id = id;
    u->name = text (arena, name);
    u->has_admin = u->admin = true;
    if (put_key (cluster, "user", name, arena, &u->has_key, &u->key, err) < 0)
        return NULL;
    return u;
}

static int by_name (const void *a, const void *b)
{
    return strcmp (*(char *const *)a, *(char *const *)b);
}

int seed_users (const cluster_t *cluster, arena_t *arena, char ***names,
                dfs_error_t *err)
{
    char **list = need (arena, SEED_USERS * sizeof *list);
    int n = 0;

    *names = list;
    if (!cluster->secure) {
        list[0] = text (arena, "admin");
        return 1;
    }
    DIR *dir = opendir (cluster->keys_dir);
    if (!dir)
        return fail_errno (err, "keys directory %s", cluster->keys_dir);
    struct dirent *entry;
    while (n < SEED_USERS && (entry = readdir (dir))) {
        const char *name = entry->d_name;
        size_t len = strlen (name);
        if (strncmp (name, USER_PREFIX, strlen (USER_PREFIX)) != 0 ||
            len == strlen (USER_PREFIX) || len > 64)
            continue;
        if (len > strlen (SECRET_SUFFIX) &&
            strcmp (name + len - strlen (SECRET_SUFFIX), SECRET_SUFFIX) == 0)
            continue;
        list[n++] = text (arena, name + strlen (USER_PREFIX));
    }
    closedir (dir);
    qsort (list, (size_t)n, sizeof *list, by_name);
    return n;
}

static Dfs__Policy *default_policy (const cluster_t *cluster, arena_t *arena)
{
    Dfs__Policy *p = need (arena, sizeof *p);

    dfs__policy__init (p);
    p->id = 1;
    p->name = text (arena, "default");
    p->replicas = cluster->replicas;
    p->min_replicas = cluster->min_replicas;
    p->chunk_size = cluster->chunk_size;
    p->history_ns = cluster->history_ns;
    return p;
}

static int seed_members (const cluster_t *cluster, Dfs__OpSeed *seed, arena_t *arena,
                         dfs_error_t *err)
{
    size_t n = cluster->n_brokers + cluster->n_workers;

    seed->members = need (arena, n * sizeof *seed->members);
    for (size_t i = 0; i < n; i++) {
        bool broker = i < cluster->n_brokers;
        const cluster_node_t *node =
            broker ? &cluster->brokers[i] : &cluster->workers[i - cluster->n_brokers];
        Dfs__MemberRole role =
            broker ? DFS__MEMBER_ROLE__MEMBER_BROKER : DFS__MEMBER_ROLE__MEMBER_WORKER;
        seed->members[i] =
            seed_member (cluster, node, role, (uint32_t)i + 1, arena, err);
        if (!seed->members[i])
            return err->code;
        seed->n_members++;
    }
    return DFS_OK;
}

Dfs__Op *seed_op (const cluster_t *cluster, arena_t *arena, dfs_error_t *err)
{
    Dfs__Op *op = need (arena, sizeof *op);
    Dfs__OpSeed *seed = need (arena, sizeof *seed);
    char **names;

    dfs__op__init (op);
    dfs__op_seed__init (seed);
    op->op_case = DFS__OP__OP_SEED;
    op->seed = seed;
    seed->cluster_id.data = arena_dup (arena, cluster->id, sizeof cluster->id);
    seed->cluster_id.len = sizeof cluster->id;
    seed->name = text (arena, cluster->name);
    seed->feature_level = FEATURE_LEVEL;
    seed->incarnation = 1;
    seed->policies = need (arena, sizeof *seed->policies);
    seed->policies[0] = default_policy (cluster, arena);
    seed->n_policies = 1;
    seed->has_inline_max = seed->has_inline_budget = true;
    seed->inline_max = cluster->inline_max;
    seed->inline_budget = cluster->inline_budget;
    if (seed_members (cluster, seed, arena, err) < 0)
        return NULL;
    int n = seed_users (cluster, arena, &names, err);
    if (n < 0)
        return NULL;
    seed->users = need (arena, (size_t)n * sizeof *seed->users);
    for (int i = 0; i < n; i++) {
        seed->users[i] = seed_user (cluster, names[i], (uint32_t)i + 1, arena, err);
        if (!seed->users[i])
            return NULL;
        seed->n_users++;
    }
    return op;
}
