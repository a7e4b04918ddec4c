/* SPDX-License-Identifier: MPL-2.0 */
/* Name of one copy: deduplication domain, SHA-256 of the bytes, part (0: the whole
 * chunk, others: erasure shards). Plain value. */
#ifndef MSGS_COPYKEY_H
#define MSGS_COPYKEY_H

#include <stdint.h>

#define COPYKEY_LEN 38 /* packed: domain, digest, part; big-endian, so it sorts */

typedef struct copykey {
    uint32_t domain;
    uint8_t digest[32];
    uint16_t part;
} copykey_t;

void copykey_pack (const copykey_t *key, uint8_t out[COPYKEY_LEN]);
void copykey_unpack (const uint8_t in[COPYKEY_LEN], copykey_t *key);
/* < 0, 0, > 0 in packed order. */
int copykey_cmp (const copykey_t *a, const copykey_t *b);
/* For hash tables: the digest is uniform already. */
uint64_t copykey_hash (const copykey_t *key);
/* "sha256 hex", with "domain/" before and ".part" behind where they are not 0; OUT has
 * COPYKEY_TEXT bytes. Returns OUT. */
#define COPYKEY_TEXT 88
char *copykey_text (const copykey_t *key, char out[COPYKEY_TEXT]);

#endif
