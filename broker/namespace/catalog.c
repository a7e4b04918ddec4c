/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/dentry.h"
#include "broker/namespace/policy.h"
#include "broker/namespace/tables.h"
#include "msgs/grant.h"

#define TEXT_MAX 255 /* of names */

int catalog_all (view_t *view, enum table table, const ProtobufCMessageDescriptor *type,
                 arena_t *arena, size_t max, void ***out, size_t *n, dfs_error_t *err)
{
    size_t size = table_size (view, table);
    if (size > max)
        size = max;
    *n = 0;
    *out = arena_alloc (arena, size * sizeof **out + 1);
    if (!*out)
        return refuse (err, DFS_ENOMEM);
    MDB_cursor *cursor = table_cursor (view, table, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    MDB_val k, v;
    int rc = 0;
    while (*n < size && mdb_cursor_get (cursor, &k, &v, MDB_NEXT) == 0) {
        void *rec = protobuf_c_message_unpack (type, arena_allocator (arena), v.mv_size,
                                               v.mv_data);
        if (!rec) {
            rc = broken (view, err, DFS_EDAMAGED, table_names[table], *n);
            break;
        }
        (*out)[(*n)++] = rec;
    }
    mdb_cursor_close (cursor);
    return rc;
}

int catalog_load (catalog_t *self, view_t *view, uint64_t index, dfs_error_t *err)
{
    if (!self->arena)
        self->arena = arena_new (64 * 1024 * 1024);
    arena_reset (self->arena);
    void **policies, **users;
    int rc = catalog_all (view, T_POLICY, &dfs__policy__descriptor, self->arena,
                          POLICIES_MAX, &policies, &self->n_policies, err);
    if (rc == 0)
        rc = catalog_all (view, T_USER, &dfs__user__descriptor, self->arena, USERS_MAX,
                          &users, &self->n_users, err);
    if (rc < 0) {
        self->n_policies = self->n_users = 0;
        return rc;
    }
    memcpy (&self->policies, &policies, sizeof policies);
    memcpy (&self->users, &users, sizeof users);
    self->index = index;
    return 0;
}

void catalog_clear (catalog_t *self)
{
    arena_destroy (&self->arena);
    memset (self, 0, sizeof *self);
}

const Dfs__Policy *catalog_policy (const catalog_t *self, uint32_t id)
{
    for (size_t i = 0; i < self->n_policies; i++)
        if (self->policies[i]->id == id)
            return self->policies[i];
    return NULL;
}

int catalog_assign (const catalog_t *self, uint32_t id, dfs_error_t *err)
{
    const Dfs__Policy *policy = catalog_policy (self, id);
    if (!policy)
        return fail (err, DFS_EINVAL, "no policy %u", id);
    if (policy->removing)
        return fail (err, DFS_EINVAL, "policy %u is being removed", id);
    return 0;
}

const Dfs__User *catalog_user (const catalog_t *self, uint32_t id)
{
    size_t low = 0, high = self->n_users;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (self->users[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < self->n_users && self->users[low]->id == id ? self->users[low] : NULL;
}

int catalog_write (op_t *op, enum table table, uint32_t id, const ProtobufCMessage *rec,
                   dfs_error_t *err)
{
    uint8_t key[4];
    put32 (key, id);
    return table_write (op, table, key, sizeof key, rec, PUT_ANY, err);
}

int catalog_reload (op_t *op, dfs_error_t *err)
{
    op->ns->counters[C_CATALOG] = op->index;
    return catalog_load (&op->ns->catalog, op->view, op->index, err);
}

static bool short_text (const char *text)
{
    return text[0] && strlen (text) <= TEXT_MAX;
}

int catalog_check_policy (const Dfs__Policy *p, dfs_error_t *err)
{
    if (p->replicas > REPLICAS_MAX)
        return fail (err, DFS_EINVAL, "%u replicas: at most %d are kept", p->replicas,
                     REPLICAS_MAX);
    if (p->id == 0 || p->replicas == 0 || p->min_replicas == 0 ||
        p->min_replicas > p->replicas || p->chunk_size < 4096 ||
        p->chunk_size > CHUNK_MAX || (p->name && strlen (p->name) > TEXT_MAX))
        return fail (err, DFS_EINVAL, "policy %u is out of range", p->id);
    return 0;
}

static bool same_policy (const Dfs__Policy *a, const Dfs__Policy *b)
{
    return a->replicas == b->replicas && a->min_replicas == b->min_replicas &&
           a->chunk_size == b->chunk_size && a->history_ns == b->history_ns;
}

/* A new policy gets the next number. 1: it is there already. */
static int number_policy (op_t *op, Dfs__Policy *policy, dfs_error_t *err)
{
    const catalog_t *catalog = &op->ns->catalog;
    uint32_t last;
    int rc = policy_highest (op->view, op->scratch, &last, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < catalog->n_policies; i++) {
        const Dfs__Policy *there = catalog->policies[i];
        last = there->id > last ? there->id : last;
        if (!policy->name || !there->name || strcmp (there->name, policy->name) != 0)
            continue;
        return same_policy (there, policy) && !there->removing
                   ? 1
                   : fail (err, DFS_EEXIST, "a policy with this name is there");
    }
    policy->id = last + 1;
    return 0;
}

int op_policy_set (op_t *op, const Dfs__Policy *asked, dfs_error_t *err)
{
    Dfs__Policy fresh = *asked;
    const Dfs__Policy *policy = &fresh;
    fresh.has_removing = 0; /* who changes one wants it kept */
    fresh.removing = 0;
    int rc = asked->id ? 0 : number_policy (op, &fresh, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = catalog_check_policy (policy, err);
    uint32_t highest = 0;
    if (rc == 0)
        rc = policy_highest (op->view, op->scratch, &highest, err);
    if (rc < 0)
        return rc;
    if (policy->id <= highest && !catalog_policy (&op->ns->catalog, policy->id))
        return fail (err, DFS_ENOENT, "policy %u was removed", policy->id);
    if (!catalog_policy (&op->ns->catalog, policy->id) &&
        op->ns->catalog.n_policies >= POLICIES_MAX)
        return fail (err, DFS_ETOOBIG, "too many policies");
    rc = catalog_write (op, T_POLICY, policy->id, &policy->base, err);
    return rc < 0 ? rc : catalog_reload (op, err);
}

int catalog_check_member (const Dfs__Member *member, dfs_error_t *err)
{
    if (member->id == 0 || !short_text (member->name) || member->port > 65535 ||
        strlen (member->host) > TEXT_MAX ||
        (member->location && strlen (member->location) > TEXT_MAX) ||
        (member->has_key && member->key.len != 32))
        return fail (err, DFS_EINVAL, "member %u is out of range", member->id);
    return 0;
}

int catalog_check_user (const Dfs__User *user, dfs_error_t *err)
{
    if (user->id == 0 || !short_text (user->name) ||
        (user->has_key && user->key.len != 32))
        return fail (err, DFS_EINVAL, "user %u is out of range", user->id);
    return 0;
}

int op_member_set (op_t *op, const Dfs__Member *member, dfs_error_t *err)
{
    int rc = catalog_check_member (member, err);
    if (rc < 0)
        return rc;
    Dfs__Member **all;
    size_t n;
    rc = namespace_members (op->ns, op->scratch, &all, &n, err);
    if (rc < 0)
        return rc;
    bool known = false;
    for (size_t i = 0; i < n; i++) {
        if (all[i]->id == member->id) {
            known = true;
            if (all[i]->role != member->role ||
                strcmp (all[i]->name, member->name) != 0)
                return fail (err, DFS_EEXIST, "member %u is %s", member->id,
                             all[i]->name);
            if (all[i]->removed && !member->removed)
                return fail (err, DFS_EEXIST, "member %u was removed", member->id);
        } else if (!member->removed && !all[i]->removed &&
                   strcmp (all[i]->name, member->name) == 0)
            return fail (err, DFS_EEXIST, "%s is member %u", member->name, all[i]->id);
    }
    if (!known && n >= MEMBERS_MAX)
        return fail (err, DFS_ETOOBIG, "too many members");
    return catalog_write (op, T_MEMBER, member->id, &member->base, err);
}

int op_user_set (op_t *op, const Dfs__User *user, dfs_error_t *err)
{
    int rc = catalog_check_user (user, err);
    if (rc < 0)
        return rc;
    const catalog_t *catalog = &op->ns->catalog;
    for (size_t i = 0; i < catalog->n_users; i++)
        if (catalog->users[i]->id != user->id &&
            strcmp (catalog->users[i]->name, user->name) == 0)
            return fail (err, DFS_EEXIST, "%s is user %u", user->name,
                         catalog->users[i]->id);
    if (!catalog_user (catalog, user->id) && catalog->n_users >= USERS_MAX)
        return fail (err, DFS_ETOOBIG, "too many users");
    rc = catalog_write (op, T_USER, user->id, &user->base, err);
    return rc < 0 ? rc : catalog_reload (op, err);
}
