/* SPDX-License-Identifier: MPL-2.0 */
/* Exactly once: what was decided for (session, request) is remembered and given again.
 * A session comes into being with its first entry and is expired by an entry. */
#ifndef BROKER_NAMESPACE_REQUESTS_H
#define BROKER_NAMESPACE_REQUESTS_H

#include "broker/namespace/state.h"

/* Before the operation: 1 when *RESULT is the answer already (remembered, or the
 * request is too old to be known: DFS_ESTALE), 0 to go on, negative when broken. */
int request_begin (op_t *op, const Dfs__Entry *entry, Dfs__RecSession *session,
                   Dfs__OpResult **result, dfs_error_t *err);
/* Afterwards: remembers op->result and forgets what the client is done with. */
int request_end (op_t *op, const Dfs__Entry *entry, Dfs__RecSession *session,
                 dfs_error_t *err);
int op_session_expire (op_t *op, const Dfs__OpSessionExpire *expire, dfs_error_t *err);

#endif
