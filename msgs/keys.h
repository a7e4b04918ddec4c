/* SPDX-License-Identifier: MPL-2.0 */
/* CURVE keys on disk, in CZMQ's certificate format (NAME with the public key, 0644, and
 * NAME_secret with both, 0600), and the cluster's HMAC keys. Plain functions. */
#ifndef MSGS_KEYS_H
#define MSGS_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define KEY_TEXT 41 /* Z85 of 32 bytes and a NUL */

typedef struct keypair {
    uint8_t public_key[32];
    uint8_t secret_key[32];
    char public_text[KEY_TEXT];
    char secret_text[KEY_TEXT]; /* empty when only the public key is known */
} keypair_t;

int keys_generate (keypair_t *pair);
/* Files are DIR/ROLE-NAME and DIR/ROLE-NAME_secret; ROLE is broker, worker or user. */
int keys_save (const char *dir, const char *role, const char *name,
               const keypair_t *pair, dfs_error_t *err);
/* A secret file that others may read is refused (DFS_EAUTH). */
int keys_load_secret (const char *dir, const char *role, const char *name,
                      keypair_t *pair, dfs_error_t *err);
int keys_load_public (const char *dir, const char *role, const char *name,
                      keypair_t *pair, dfs_error_t *err);
int keys_text_to_raw (const char *text, uint8_t raw[32]);
void keys_raw_to_text (const uint8_t raw[32], char text[KEY_TEXT]);

/* 32 random bytes in DIR/cluster-hmac (0600, hex), held by brokers only. Nothing is
 * sealed with them: each purpose has a key of its own, derived from them, of which the
 * others cannot be told. */
int keys_hmac_save (const char *dir, const uint8_t key[32], dfs_error_t *err);
int keys_hmac_load (const char *dir, uint8_t key[32], dfs_error_t *err);
#define KEYS_GRANT  "grant"  /* workers have it too */
#define KEYS_HANDLE "handle" /* brokers alone */
void keys_derive (const uint8_t master[32], const char *purpose, uint8_t key[32]);

#endif
