/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "digest.h"

struct digest {
    EVP_MD_CTX *ctx;
    EVP_MD *md;
};

digest_t *digest_new (void)
{
    digest_t *self = calloc (1, sizeof *self);
    assert (self);
    self->ctx = EVP_MD_CTX_new ();
    self->md = EVP_MD_fetch (NULL, "SHA256", NULL);
    assert (self->ctx && self->md);
    digest_start (self);
    return self;
}

void digest_destroy (digest_t **self_p)
{
    digest_t *self = *self_p;
    if (!self)
        return;
    EVP_MD_CTX_free (self->ctx);
    EVP_MD_free (self->md);
    free (self);
    *self_p = NULL;
}

void digest_start (digest_t *self)
{
    int rc = EVP_DigestInit_ex2 (self->ctx, self->md, NULL);
    assert (rc == 1);
}

void digest_update (digest_t *self, const void *data, size_t len)
{
    int rc = EVP_DigestUpdate (self->ctx, data, len);
    assert (rc == 1);
}

void digest_finish (digest_t *self, uint8_t out[DIGEST_LEN])
{
    unsigned len = 0;
    int rc = EVP_DigestFinal_ex (self->ctx, out, &len);
    assert (rc == 1 && len == DIGEST_LEN);
}

void digest_sha256 (const void *data, size_t len, uint8_t out[DIGEST_LEN])
{
    unsigned n = 0;
    int rc = EVP_Digest (data, len, out, &n, EVP_sha256 (), NULL);
    assert (rc == 1 && n == DIGEST_LEN);
}

void digest_hmac (const void *key, size_t key_len, const void *data, size_t len,
                  uint8_t out[DIGEST_LEN])
{
    unsigned n = 0;
    const void *rc = HMAC (EVP_sha256 (), key, (int)key_len, data, len, out, &n);
    assert (rc && n == DIGEST_LEN);
}

uint32_t digest_crc32c (uint32_t crc, const void *data, size_t len)
{
    /* ISA-L takes an int length and a pointer it does not write through. */
    union {
        const void *in;
        unsigned char *out;
    } p = {.in = data};
    uint32_t state = ~crc;
    while (len) {
        int n = len > (1u << 30) ? (1 << 30) : (int)len;
        state = crc32_iscsi (p.out, n, state);
        p.out += n;
        len -= (size_t)n;
    }
    return ~state;
}

size_t digest_blocks (const void *data, size_t len, uint32_t *crcs)
{
    const uint8_t *p = data;
    size_t n = 0;
    for (size_t at = 0; at < len; at += DIGEST_BLOCK) {
        size_t part = len - at < DIGEST_BLOCK ? len - at : DIGEST_BLOCK;
        crcs[n++] = digest_crc32c (0, p + at, part);
    }
    return n;
}

void digest_hex (const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = 0;
}

static int nibble (char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int digest_unhex (const char *hex, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int hi = hex[2 * i] ? nibble (hex[2 * i]) : -1;
        int lo = hi < 0 ? -1 : nibble (hex[2 * i + 1]);
        if (lo < 0)
            return -1;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return hex[2 * len] ? -1 : 0;
}
