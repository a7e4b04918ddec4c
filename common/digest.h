/* SPDX-License-Identifier: MPL-2.0 */
/* SHA-256 (OpenSSL), HMAC-SHA-256 and CRC32C (ISA-L). A digest_t belongs to one thread
 * and is reused: one EVP context for its whole life. */
#ifndef COMMON_DIGEST_H
#define COMMON_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_LEN   32
#define DIGEST_BLOCK (64 * 1024) /* bytes covered by one CRC32C */

typedef struct digest digest_t;

digest_t *digest_new (void);
void digest_destroy (digest_t **self_p);
void digest_start (digest_t *self);
void digest_update (digest_t *self, const void *data, size_t len);
void digest_finish (digest_t *self, uint8_t out[DIGEST_LEN]);

/* One call, any thread. */
void digest_sha256 (const void *data, size_t len, uint8_t out[DIGEST_LEN]);
void digest_hmac (const void *key, size_t key_len, const void *data, size_t len,
                  uint8_t out[DIGEST_LEN]);
/* CRC32C (Castagnoli), standard form: digest_crc32c (0, "123456789", 9) = 0xE3069283.
 * CRC is the value for the bytes before, 0 at the start. */
uint32_t digest_crc32c (uint32_t crc, const void *data, size_t len);
/* Fills CRCS with one CRC per DIGEST_BLOCK of DATA (the last may be shorter); returns
 * their number. LEN 0 gives 0. */
size_t digest_blocks (const void *data, size_t len, uint32_t *crcs);

/* Hex, lower case; OUT gets 2 * LEN + 1 bytes. digest_unhex returns 0 or -1. */
void digest_hex (const uint8_t *data, size_t len, char *out);
int digest_unhex (const char *hex, uint8_t *out, size_t len);

#endif
