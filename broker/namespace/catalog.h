/* SPDX-License-Identifier: MPL-2.0 */
/* Policies, members and users: records in the log, seeded once from cluster.cfg. */
#ifndef BROKER_NAMESPACE_CATALOG_H
#define BROKER_NAMESPACE_CATALOG_H

#include "broker/namespace/state.h"

/* Reads policies and users anew through VIEW. */
int catalog_load (catalog_t *self, view_t *view, uint64_t index, dfs_error_t *err);
void catalog_clear (catalog_t *self);
/* Borrowed until the next load, or NULL. */
const Dfs__Policy *catalog_policy (const catalog_t *self, uint32_t id);
/* Whether something may be put under it. */
int catalog_assign (const catalog_t *self, uint32_t id, dfs_error_t *err);
const Dfs__User *catalog_user (const catalog_t *self, uint32_t id);

/* Values in range; whether they fit the others is for the ops below. */
int catalog_check_policy (const Dfs__Policy *policy, dfs_error_t *err);
int catalog_check_member (const Dfs__Member *member, dfs_error_t *err);
int catalog_check_user (const Dfs__User *user, dfs_error_t *err);

int op_seed (op_t *op, const Dfs__OpSeed *seed, dfs_error_t *err);
int op_policy_set (op_t *op, const Dfs__Policy *policy, dfs_error_t *err);
int op_member_set (op_t *op, const Dfs__Member *member, dfs_error_t *err);
int op_user_set (op_t *op, const Dfs__User *user, dfs_error_t *err);
int catalog_write (op_t *op, enum table table, uint32_t id, const ProtobufCMessage *rec,
                   dfs_error_t *err);
/* After a change of policies or users. */
int catalog_reload (op_t *op, dfs_error_t *err);
/* Every record of TABLE, unpacked into ARENA. */
int catalog_all (view_t *view, enum table table, const ProtobufCMessageDescriptor *type,
                 arena_t *arena, size_t max, void ***out, size_t *n, dfs_error_t *err);

#endif
