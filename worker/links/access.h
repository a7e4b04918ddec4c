/* SPDX-License-Identifier: MPL-2.0 */
/* Keys that may connect to the ingest: users and workers of the keys directory, workers
 * of the brokers' directory. Owned by the link thread (access_refresh); the table that
 * it fills is ZAP's. */
#ifndef WORKER_LINKS_ACCESS_H
#define WORKER_LINKS_ACCESS_H

#include "msgs/zap.h"
#include "worker/links/directory.h"

typedef struct access access_t;

/* KEYS_DIR is copied; the others are borrowed. */
access_t *access_new (const char *keys_dir, zap_t *zap, directory_t *directory);
void access_destroy (access_t **self_p);
/* Reads the keys directory again if it changed since the last time, and takes over the
 * members. Keys that are gone from both are let in no more. */
void access_refresh (access_t *self);

#endif
