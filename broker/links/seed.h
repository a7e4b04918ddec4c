/* SPDX-License-Identifier: MPL-2.0 */
/* From cluster.cfg and the keys directory to entries of the log. Plain functions; what
 * they make is in the arena given. */
#ifndef BROKER_LINKS_SEED_H
#define BROKER_LINKS_SEED_H

#include "common/arena.h"
#include "common/error.h"
#include "msgs/cluster.h"
#include "msgs/control.pb-c.h"

#define SEED_USERS 1024

/* First entry of a cluster. NULL when a key cannot be read. */
Dfs__Op *seed_op (const cluster_t *cluster, arena_t *arena, dfs_error_t *err);
/* Member record of NODE, a user's record. */
Dfs__Member *seed_member (const cluster_t *cluster, const cluster_node_t *node,
                          Dfs__MemberRole role, uint32_t id, arena_t *arena,
                          dfs_error_t *err);
Dfs__User *seed_user (const cluster_t *cluster, const char *name, uint32_t id,
                      arena_t *arena, dfs_error_t *err);
/* Names of the users that have a public key in the keys directory (`admin` alone
 * without security), at most SEED_USERS, sorted. Returns their number. */
int seed_users (const cluster_t *cluster, arena_t *arena, char ***names,
                dfs_error_t *err);

#endif
