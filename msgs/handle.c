/* SPDX-License-Identifier: MPL-2.0 */
#include <openssl/crypto.h>
#include <string.h>

#include "common/bytes.h"
#include "common/digest.h"
#include "handle.h"

#define HANDLE_VERSION 1
#define BODY_LEN       40 /* then 16 bytes of HMAC-SHA-256 */

void handle_pack (const handle_t *h, const uint8_t hmac_key[32],
                  uint8_t out[HANDLE_LEN])
{
    memset (out, 0, BODY_LEN);
    out[0] = HANDLE_VERSION;
    memcpy (out + 1, "hdl", 3); /* a seal over something else is never a handle's */
    put_le32 (out + 4, h->user);
    put_le64 (out + 8, h->inode);
    put_le64 (out + 16, h->version);
    put_le64 (out + 24, h->expiry_ns);
    uint8_t seal[DIGEST_LEN];
    digest_hmac (hmac_key, 32, out, BODY_LEN, seal);
    memcpy (out + BODY_LEN, seal, HANDLE_LEN - BODY_LEN);
}

int handle_unpack (const void *data, size_t len, const uint8_t hmac_key[32],
                   handle_t *h, dfs_error_t *err)
{
    const uint8_t *p = data;
    if (len != HANDLE_LEN || p[0] != HANDLE_VERSION || memcmp (p + 1, "hdl", 3) != 0)
        return fail (err, DFS_EPROTO, "not a handle");
    uint8_t seal[DIGEST_LEN];
    digest_hmac (hmac_key, 32, p, BODY_LEN, seal);
    if (CRYPTO_memcmp (seal, p + BODY_LEN, HANDLE_LEN - BODY_LEN) != 0)
        return fail (err, DFS_EAUTH, "handle with a wrong seal");
    h->user = get_le32 (p + 4);
    h->inode = get_le64 (p + 8);
    h->version = get_le64 (p + 16);
    h->expiry_ns = get_le64 (p + 24);
    return DFS_OK;
}
