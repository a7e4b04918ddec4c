/* SPDX-License-Identifier: MPL-2.0 */
/* Policies that are removed: nothing may be under them, and their numbers are never
 * given again. */
#ifndef BROKER_NAMESPACE_POLICY_H
#define BROKER_NAMESPACE_POLICY_H

#include "broker/namespace/state.h"

int op_policy_remove (op_t *op, const Dfs__OpPolicyRemove *remove, dfs_error_t *err);
/* The highest number that a policy which was removed had; 0: none was. */
int policy_highest (view_t *view, arena_t *arena, uint32_t *out, dfs_error_t *err);

#endif
