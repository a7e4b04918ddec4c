/* SPDX-License-Identifier: MPL-2.0 */
/* Who may send which chunk to this worker: the first frame's grant against keys,
 * targets, lengths, expiry and epoch, and the sender's proved key against the grant.
 * Plain functions over thread-safe tables. */
#ifndef WORKER_FLOW_ADMIT_H
#define WORKER_FLOW_ADMIT_H

#include "msgs/frame.h"
#include "msgs/grant.h"
#include "msgs/zap.h"
#include "worker/links/directory.h"
#include "worker/links/epoch.h"

/* The connection that a frame came on. */
typedef struct sender {
    int fd;
    bool has_key; /* proved by CURVE */
    uint8_t key[32];
} sender_t;

/* A number below SLOTS, the same for all connections of a key. */
uint32_t sender_slot (const sender_t *sender, uint32_t slots);

typedef struct admit {
    directory_t *directory;
    epoch_t *epoch;
    zap_t *zap;  /* roles of keys in the domain "ingest" */
    bool secure; /* every sender has proved a key */
} admit_t;

/* FRAME begins a chunk. Returns 0 and fills GRANT, or DFS_EAUTH (no grant, forged, for
 * somebody else), DFS_ESTALE (expired, an older cluster), DFS_EUNAVAIL (no broker has
 * told this worker who it is), DFS_EPROTO. */
int admit_frame (const admit_t *self, const frame_t *frame, const sender_t *sender,
                 uint64_t now, grant_t *grant, dfs_error_t *err);
/* The bytes come from outside the trusted domain: SHA-256 must be checked here. Further
 * hops, and copies sent on a broker's order, come from a worker that did. */
bool admit_must_hash (const frame_t *frame, const grant_t *grant);

#endif
