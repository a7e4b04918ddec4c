/* SPDX-License-Identifier: MPL-2.0 */
/* Surplus copies: late, and only after the other copies were hashed on order and found
 * whole, an entry says that one of them counts as gone. In batches; anything that
 * happens to a chunk meanwhile takes it out of the batch. */
#ifndef BROKER_CORE_TRIM_H
#define BROKER_CORE_TRIM_H

#include "broker/core/members.h"

typedef struct trim trim_t;

trim_t *trim_new (void);
void trim_destroy (trim_t **self_p);

/* KEY has more copies than it needs. SOURCE: the one that shall go, at once (a move);
 * 0: which one is seen later. */
void trim_note (core_t *core, const copykey_t *key, uint32_t source);
/* A copy of KEY changed. */
void trim_chunk_changed (core_t *core, const copykey_t *key);
/* Its answers will not come. */
void trim_worker_down (core_t *core, const worker_t *worker);
/* Each true when it was one of ours. */
bool trim_found (core_t *core, const event_chunks_t *found);
bool trim_result (core_t *core, const event_order_t *event);
bool trim_proposed (core_t *core, const event_proposed_t *event);
void trim_timer (core_t *core);
void trim_flush (core_t *core);
/* Chunks that are waiting or in work. */
size_t trim_count (const core_t *core);
/* Copies that were let go since this broker leads. */
uint64_t trim_done (const core_t *core);

#endif
