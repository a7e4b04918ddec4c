/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/digest.h"
#include "copykey.h"

void copykey_pack (const copykey_t *key, uint8_t out[COPYKEY_LEN])
{
    put_be32 (out, key->domain);
    memcpy (out + 4, key->digest, 32);
    put_be16 (out + 36, key->part);
}

void copykey_unpack (const uint8_t in[COPYKEY_LEN], copykey_t *key)
{
    key->domain = get_be32 (in);
    memcpy (key->digest, in + 4, 32);
    key->part = get_be16 (in + 36);
}

int copykey_cmp (const copykey_t *a, const copykey_t *b)
{
    if (a->domain != b->domain)
        return a->domain < b->domain ? -1 : 1;
    int rc = memcmp (a->digest, b->digest, 32);
    if (rc != 0)
        return rc;
    return (int)a->part - (int)b->part;
}

uint64_t copykey_hash (const copykey_t *key)
{
    return get_le64 (key->digest) ^ ((uint64_t)key->domain << 32) ^ key->part;
}

char *copykey_text (const copykey_t *key, char out[COPYKEY_TEXT])
{
    size_t n = 0;
    if (key->domain)
        n = (size_t)snprintf (out, COPYKEY_TEXT, "%u/", key->domain);
    digest_hex (key->digest, 32, out + n);
    n += 64;
    if (key->part)
        snprintf (out + n, COPYKEY_TEXT - n, ".%u", key->part);
    return out;
}
