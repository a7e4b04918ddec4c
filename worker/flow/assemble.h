/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks that are arriving: each frame is checked and goes straight to reserved space
 * of the store; a chunk is never put together in memory. Owned by the ingest thread. */
#ifndef WORKER_FLOW_ASSEMBLE_H
#define WORKER_FLOW_ASSEMBLE_H

#include <zmq.h>

#include "worker/flow/admit.h"
#include "worker/flow/settle.h"
#include "worker/links/notes.h"
#include "worker/store/store.h"

#define ASSEMBLE_APPENDS 1024          /* chunks arriving at a time, at most … */
#define ASSEMBLE_BYTES   (16ULL << 30) /* … and their lengths together */

typedef struct assemble assemble_t;

typedef struct assemble_config {
    admit_t admit;
    store_t *store;
    notes_t *notes;
    settler_t *settler;
} assemble_config_t;

assemble_t *assemble_new (const assemble_config_t *config);
/* Aborts what is not complete. */
void assemble_destroy (assemble_t **self_p);

/* One frame and its bytes (borrowed). */
void assemble_frame (assemble_t *self, const frame_t *frame, const sender_t *sender,
                     zmq_msg_t *body, uint64_t now);
/* Sends credits for what was consumed since the last call. */
void assemble_flush (assemble_t *self);
/* The connection FD is gone: what it was sending is aborted unless frames that are
 * still queued complete it within a second. */
void assemble_lost (assemble_t *self, int fd, uint64_t now);
/* Aborts what has been silent for 30 s. Call about once a second. */
void assemble_expire (assemble_t *self, uint64_t now);

/* Chunks in the making. */
size_t assemble_pending (const assemble_t *self);

#endif
