/* SPDX-License-Identifier: MPL-2.0 */
/* The ingest: one bound PULL where clients and other workers push chunk frames, and the
 * thread that takes them in. It never waits for anything but the local disk. */
#ifndef WORKER_FLOW_INGEST_H
#define WORKER_FLOW_INGEST_H

#include "msgs/sock.h"
#include "worker/flow/assemble.h"

typedef struct ingest ingest_t;

typedef struct ingest_config {
    void *ctx;
    const sock_identity_t *identity;
    const char *bind;
    uint16_t port; /* 0: the kernel picks */
    assemble_config_t assemble;
} ingest_config_t;

/* Binds, then starts the thread. What CONFIG points to is borrowed until destroy. */
ingest_t *ingest_new (const ingest_config_t *config, dfs_error_t *err);
/* Takes nothing in any more, aborts what is not complete. The counters stay. */
void ingest_stop (ingest_t *self);
void ingest_destroy (ingest_t **self_p);

uint16_t ingest_port (const ingest_t *self);
/* Bytes taken in since the start, and messages that were no frames. Any thread. */
uint64_t ingest_bytes (ingest_t *self);
uint64_t ingest_garbage (ingest_t *self);

#endif
