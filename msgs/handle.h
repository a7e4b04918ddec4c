/* SPDX-License-Identifier: MPL-2.0 */
/* Read handle: a token that any broker can check, so that readers leave nothing in the
 * log. Plain functions. */
#ifndef MSGS_HANDLE_H
#define MSGS_HANDLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define HANDLE_LEN 56

typedef struct handle {
    uint32_t user;
    uint64_t inode;
    uint64_t version;
    uint64_t expiry_ns; /* log time */
} handle_t;

void handle_pack (const handle_t *handle, const uint8_t hmac_key[32],
                  uint8_t out[HANDLE_LEN]);
int handle_unpack (const void *data, size_t len, const uint8_t hmac_key[32],
                   handle_t *handle, dfs_error_t *err);

#endif
