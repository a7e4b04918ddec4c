/* SPDX-License-Identifier: MPL-2.0 */
/* The state hash: sum mod 2^128 of one hash per record, so that it is kept up at each
 * change, plus a hash of the counters. Plain functions. */
#ifndef BROKER_NAMESPACE_STATE_HASH_H
#define BROKER_NAMESPACE_STATE_HASH_H

#include <stdatomic.h>

#include "broker/namespace/state.h"

unsigned __int128 state_hash_record (enum table table, const void *key, size_t key_len,
                                     const void *value, size_t len);
/* SUM and COUNTERS as 16 bytes, big-endian. */
void state_hash_whole (unsigned __int128 sum, const uint64_t counters[C_COUNT],
                       uint8_t hash[16]);
/* Remembers the hash after the entry just applied; and what a leader says it was after
 * INDEX. An index no longer remembered is not compared. */
void state_hash_remember (namespace_t *ns);
void state_hash_said (namespace_t *ns, uint64_t index, const uint8_t hash[16]);
/* Sums every record that VIEW sees but the state itself; DFS_ECANCELED when STOP (may
 * be NULL) becomes true. */
int state_hash_sum (view_t *view, const atomic_bool *stop, unsigned __int128 *sum,
                    dfs_error_t *err);

#endif
