/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <openssl/crypto.h>
#include <string.h>

#include "common/bytes.h"
#include "common/digest.h"
#include "grant.h"

#define GRANT_VERSION 1
#define FIXED_LEN     140 /* up to the targets */
#define SEAL_LEN      16  /* HMAC-SHA-256, first half */

size_t grant_pack (const grant_t *g, const uint8_t hmac_key[32],
                   uint8_t out[GRANT_LEN_MAX])
{
    assert (g->n_targets <= GRANT_TARGETS);
    memset (out, 0, FIXED_LEN);
    out[0] = GRANT_VERSION;
    out[1] = (uint8_t)g->n_targets;
    put_le32 (out + 4, g->key_id);
    memcpy (out + 8, g->client_key, 32);
    copykey_pack (&g->key, out + 40);
    put_le64 (out + 80, g->upload);
    put_le64 (out + 88, g->length);
    put_le64 (out + 96, g->birth);
    put_le64 (out + 104, g->expiry_ns);
    put_le32 (out + 112, g->incarnation);
    put_le64 (out + 116, g->term);
    put_le64 (out + 124, g->order);
    size_t n = FIXED_LEN;
    for (uint32_t i = 0; i < g->n_targets; i++, n += 4)
        put_le32 (out + n, g->targets[i]);
    uint8_t seal[DIGEST_LEN];
    digest_hmac (hmac_key, 32, out, n, seal);
    memcpy (out + n, seal, SEAL_LEN);
    return n + SEAL_LEN;
}

int grant_key_id (const void *data, size_t len, uint32_t *key_id)
{
    const uint8_t *p = data;
    if (len < FIXED_LEN + SEAL_LEN || p[0] != GRANT_VERSION)
        return DFS_EPROTO;
    *key_id = get_le32 (p + 4);
    return DFS_OK;
}

int grant_unpack (const void *data, size_t len, const uint8_t hmac_key[32], grant_t *g,
                  dfs_error_t *err)
{
    const uint8_t *p = data;
    if (len < FIXED_LEN + SEAL_LEN || p[0] != GRANT_VERSION || p[1] > GRANT_TARGETS ||
        len != FIXED_LEN + 4 * (size_t)p[1] + SEAL_LEN)
        return fail (err, DFS_EPROTO, "not a grant");
    uint8_t seal[DIGEST_LEN];
    digest_hmac (hmac_key, 32, p, len - SEAL_LEN, seal);
    if (CRYPTO_memcmp (seal, p + len - SEAL_LEN, SEAL_LEN) != 0)
        return fail (err, DFS_EAUTH, "grant with a wrong seal");
    g->n_targets = p[1];
    g->key_id = get_le32 (p + 4);
    memcpy (g->client_key, p + 8, 32);
    copykey_unpack (p + 40, &g->key);
    g->upload = get_le64 (p + 80);
    g->length = get_le64 (p + 88);
    g->birth = get_le64 (p + 96);
    g->expiry_ns = get_le64 (p + 104);
    g->incarnation = get_le32 (p + 112);
    g->term = get_le64 (p + 116);
    g->order = get_le64 (p + 124);
    for (uint32_t i = 0; i < g->n_targets; i++)
        g->targets[i] = get_le32 (p + FIXED_LEN + 4 * i);
    return DFS_OK;
}
