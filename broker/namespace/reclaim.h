/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks that nothing refers to, on their way out: free, condemned, dropped copy by
 * copy, forgotten. Each step is an entry, decided here by what holds when it is
 * applied. */
#ifndef BROKER_NAMESPACE_RECLAIM_H
#define BROKER_NAMESPACE_RECLAIM_H

#include "broker/namespace/state.h"

/* KEY has lost its last reference. */
int reclaim_free (op_t *op, const copykey_t *key, dfs_error_t *err);
/* KEY has a reference again; REC is its record before. */
int reclaim_lift (op_t *op, const copykey_t *key, const Dfs__RecChunk *rec,
                  dfs_error_t *err);

int op_condemn (op_t *op, const Dfs__OpCondemn *condemn, dfs_error_t *err);
int op_drop (op_t *op, const Dfs__OpDrop *drop, dfs_error_t *err);
int op_dropped (op_t *op, const Dfs__OpDropped *dropped, dfs_error_t *err);
int op_forget (op_t *op, const Dfs__OpForget *forget, dfs_error_t *err);
int op_reclaim_hold (op_t *op, const Dfs__OpReclaimHold *hold, dfs_error_t *err);
int op_uncondemn (op_t *op, const Dfs__OpUncondemn *uncondemn, dfs_error_t *err);

/* Key of a row of T_FREE or T_CONDEMNED, and of T_DROP. */
size_t reclaim_key (uint8_t out[KEY_MAX], uint64_t index, const copykey_t *key);
size_t reclaim_drop_key (uint8_t out[KEY_MAX], const copykey_t *key, uint32_t worker);

#endif
