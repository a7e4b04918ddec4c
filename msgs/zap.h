/* SPDX-License-Identifier: MPL-2.0 */
/* Our ZAP handler (ZeroMQ RFC 27): decides by (domain, CURVE key). One per context,
 * with a thread of its own; the table is under a mutex, so zap_allow and zap_forbid may
 * be called from any thread. Must be made before any socket of the context is bound. */
#ifndef MSGS_ZAP_H
#define MSGS_ZAP_H

#include <stdint.h>

#include "common/error.h"
#include "keys.h"

typedef struct zap zap_t;

/* CTX: the ZeroMQ context (borrowed). */
zap_t *zap_new (void *ctx, dfs_error_t *err);
void zap_destroy (zap_t **self_p);

/* Lets PUBLIC_KEY (32 bytes) into DOMAIN as ROLE (an enum of control.proto) and NAME. A
 * second call replaces role and name. */
void zap_allow (zap_t *self, const char *domain, const uint8_t public_key[32], int role,
                const char *name);
void zap_forbid (zap_t *self, const char *domain, const uint8_t public_key[32]);
/* Forgets a whole domain (a stream session that ended). */
void zap_forget (zap_t *self, const char *domain);
/* Role and name of a key in DOMAIN; role ROLE_NONE (0) when it is not allowed. NAME may
 * be NULL, else has CAP bytes. */
int zap_lookup (zap_t *self, const char *domain, const uint8_t public_key[32],
                char *name, unsigned long cap);
/* Refused handshakes so far. */
uint64_t zap_refused (zap_t *self);

/* The key that the connection of MSG (a zmq_msg_t) proved, 32 bytes; 0, or -1 when it
 * proved none (no security). */
int zap_message_key (void *msg, uint8_t public_key[32]);

#endif
