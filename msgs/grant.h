/* SPDX-License-Identifier: MPL-2.0 */
/* Grant: a broker's permission to send one chunk to a row of workers, sealed with
 * HMAC-SHA-256 under a key that brokers give to workers. Plain functions. */
#ifndef MSGS_GRANT_H
#define MSGS_GRANT_H

#include "common/error.h"
#include "copykey.h"

#define GRANT_TARGETS 8
#define REPLICAS_MAX  GRANT_TARGETS /* copies of a chunk that a policy may ask for */
#define GRANT_LEN_MAX 256

typedef struct grant {
    uint32_t key_id;
    uint8_t client_key[32]; /* CURVE public key of the sender; zeros: worker or no
                               security */
    uint64_t upload;        /* 0: repair */
    copykey_t key;
    uint64_t length;      /* true length of the chunk */
    uint64_t birth;       /* log index */
    uint64_t expiry_ns;   /* log time */
    uint32_t incarnation; /* epoch of the broker that gave it */
    uint64_t term;
    uint64_t order; /* repair and re-placement: the order it belongs to; else 0 */
    uint32_t n_targets;
    uint32_t targets[GRANT_TARGETS]; /* member ids of workers */
} grant_t;

size_t grant_pack (const grant_t *grant, const uint8_t hmac_key[32],
                   uint8_t out[GRANT_LEN_MAX]);
/* Reads key_id first (to pick the key), without believing anything. */
int grant_key_id (const void *data, size_t len, uint32_t *key_id);
/* DFS_EAUTH when the seal is wrong, DFS_EPROTO when it is no grant. Expiry, epoch and
 * key are the caller's to compare. */
int grant_unpack (const void *data, size_t len, const uint8_t hmac_key[32],
                  grant_t *grant, dfs_error_t *err);

#endif
