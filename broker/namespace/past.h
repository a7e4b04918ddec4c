/* SPDX-License-Identifier: MPL-2.0 */
/* The past tables: records that were overwritten or deleted, keyed by what they were
 * and by the log index of what replaced them. */
#ifndef BROKER_NAMESPACE_PAST_H
#define BROKER_NAMESPACE_PAST_H

#include "broker/namespace/state.h"

/* Keeps VALUE (copied) of a current record under KEY in TABLE (T_PAST_INODE or
 * T_PAST_DENTRY), as replaced by the entry being applied. References that the record
 * owns go with it. */
int past_put (op_t *op, enum table table, const void *key, size_t key_len,
              const void *value, size_t len, dfs_error_t *err);
/* The past record that was replaced first after log index AT; the caller compares its
 * `since` with AT. Returns 1, 0 or negative; the value is borrowed. */
int past_find (view_t *view, enum table table, const void *key, size_t key_len,
               uint64_t at, const void **value, size_t *len, dfs_error_t *err);

#endif
