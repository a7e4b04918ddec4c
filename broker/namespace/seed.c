/* SPDX-License-Identifier: MPL-2.0 */
/* The first entry of a cluster: identity, policies, members, users and the root. */
#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/inode.h"
#include "broker/namespace/tables.h"

#define SEED_MAX 1024 /* members, users, policies; more are added later */

static int check_seed (const Dfs__OpSeed *seed, dfs_error_t *err)
{
    if (seed->cluster_id.len != 16 || strlen (seed->name) > 255 ||
        seed->n_policies == 0 || seed->n_policies > SEED_MAX ||
        seed->n_members > SEED_MAX || seed->n_users > SEED_MAX ||
        seed->inline_max > INLINE_MAX)
        return fail (err, DFS_EINVAL, "seed is out of range");
    for (size_t i = 0; i < seed->n_policies; i++)
        if (seed->policies[i]->id == 1)
            return 0;
    return fail (err, DFS_EINVAL, "seed has no policy 1");
}

static int write_seed (op_t *op, const Dfs__OpSeed *seed, dfs_error_t *err)
{
    Dfs__RecSeed rec = DFS__REC_SEED__INIT;
    rec.cluster_id = seed->cluster_id;
    rec.name = seed->name;
    rec.feature_level = seed->feature_level;
    rec.incarnation = seed->incarnation;
    rec.inline_max = seed->has_inline_max ? seed->inline_max : 4096;
    rec.inline_budget = seed->has_inline_budget ? seed->inline_budget : 1ULL << 30;
    rec.index = op->index;
    int rc = table_write (op, T_META, "seed", 4, &rec.base, PUT_NEW, err);
    return rc < 0 ? rc : state_load_seed (op->ns, err);
}

/* Faults in the parts of a seed are found before anything is written. */
static int check_parts (const Dfs__OpSeed *seed, dfs_error_t *err)
{
    for (size_t i = 0; i < seed->n_policies; i++)
        for (size_t j = 0; j < i; j++)
            if (seed->policies[i]->id == seed->policies[j]->id)
                return fail (err, DFS_EINVAL, "policy %u twice", seed->policies[i]->id);
    for (size_t i = 0; i < seed->n_members; i++)
        for (size_t j = 0; j < i; j++)
            if (seed->members[i]->id == seed->members[j]->id ||
                strcmp (seed->members[i]->name, seed->members[j]->name) == 0)
                return fail (err, DFS_EINVAL, "member %s twice",
                             seed->members[i]->name);
    for (size_t i = 0; i < seed->n_users; i++)
        for (size_t j = 0; j < i; j++)
            if (seed->users[i]->id == seed->users[j]->id ||
                strcmp (seed->users[i]->name, seed->users[j]->name) == 0)
                return fail (err, DFS_EINVAL, "user %s twice", seed->users[i]->name);
    return 0;
}

static int write_id (op_t *op, enum table table, uint32_t id,
                     const ProtobufCMessage *rec, dfs_error_t *err)
{
    uint8_t key[4];
    put32 (key, id);
    return table_write (op, table, key, sizeof key, rec, PUT_NEW, err);
}

int op_seed (op_t *op, const Dfs__OpSeed *seed, dfs_error_t *err)
{
    if (op->ns->seeded)
        return fail (err, DFS_EEXIST, "the cluster is seeded already");
    int rc = check_seed (seed, err);
    if (rc == 0)
        rc = check_parts (seed, err);
    for (size_t i = 0; rc == 0 && i < seed->n_policies; i++)
        rc = catalog_check_policy (seed->policies[i], err);
    for (size_t i = 0; rc == 0 && i < seed->n_members; i++)
        rc = catalog_check_member (seed->members[i], err);
    for (size_t i = 0; rc == 0 && i < seed->n_users; i++)
        rc = catalog_check_user (seed->users[i], err);
    if (rc < 0)
        return rc;
    rc = write_seed (op, seed, err);
    for (size_t i = 0; rc == 0 && i < seed->n_policies; i++)
        rc = write_id (op, T_POLICY, seed->policies[i]->id, &seed->policies[i]->base,
                       err);
    for (size_t i = 0; rc == 0 && i < seed->n_members; i++)
        rc =
            write_id (op, T_MEMBER, seed->members[i]->id, &seed->members[i]->base, err);
    for (size_t i = 0; rc == 0 && i < seed->n_users; i++)
        rc = write_id (op, T_USER, seed->users[i]->id, &seed->users[i]->base, err);
    op->ns->counters[C_CATALOG] = op->index;
    if (rc == 0)
        rc = catalog_load (&op->ns->catalog, op->view, op->index, err);
    if (rc < 0)
        return rc;
    Dfs__RecInode root;
    uint64_t id;
    inode_init (op, &root, DFS__FILE_TYPE__FILE_DIRECTORY, 0755, 1, &id);
    set_field (&root, parent, id);
    return inode_add (op, id, &root, err);
}
