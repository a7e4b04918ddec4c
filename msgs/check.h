/* SPDX-License-Identifier: MPL-2.0 */
/* Validation of what a peer sent, before anybody uses it. Each returns 0 or DFS_EPROTO
 * (DFS_EINVAL for paths and names) with the field named. Plain functions. */
#ifndef MSGS_CHECK_H
#define MSGS_CHECK_H

#include <stdbool.h>

#include "common/error.h"
#include "copykey.h"
#include "msgs/control.pb-c.h"

int check_copykey (const Dfs__CopyKey *key, copykey_t *out, dfs_error_t *err);
int check_bytes (const ProtobufCBinaryData *data, size_t want, const char *field,
                 dfs_error_t *err);
/* Printable, no control bytes, 1..MAX bytes, valid UTF-8. */
int check_text (const char *text, size_t max, const char *field, dfs_error_t *err);
/* Order, overlap, coverage of [0, size), digests, kinds, lengths (chunk <= 64 MiB). */
int check_extents (Dfs__Extent *const *extents, size_t n, uint64_t first_offset,
                   uint64_t *end, dfs_error_t *err);
/* Shape of an op as a client may send it (paths, counts, digests, sizes of inline
 * data); not whether it can succeed. LEADER: ops only a leader proposes are fine too.
 */
int check_op (const Dfs__Op *op, bool leader, dfs_error_t *err);
/* Converts for sending; DIGEST points into KEY. */
void check_put_copykey (const copykey_t *key, Dfs__CopyKey *out);

#endif
