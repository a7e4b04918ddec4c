/* SPDX-License-Identifier: MPL-2.0 */
/* Dispatch of operations. */
#ifndef BROKER_NAMESPACE_APPLY_H
#define BROKER_NAMESPACE_APPLY_H

#include "broker/namespace/state.h"

/* What the union of OP holds, or DFS_EVERSION for an operation this version lacks
 * (which breaks the namespace: others may know it). */
int apply_op (op_t *op, const Dfs__Op *what, dfs_error_t *err);

#endif
