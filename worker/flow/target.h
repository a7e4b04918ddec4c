/* SPDX-License-Identifier: MPL-2.0 */
/* One worker that chunks are sent on to: its PUSH, what waits for it, and what was sent
 * and may have to be sent again when the connection breaks. Owned by the forward
 * thread. */
#ifndef WORKER_FLOW_TARGET_H
#define WORKER_FLOW_TARGET_H

#include "worker/flow/forward.h"
#include "worker/flow/window.h"

typedef struct target target_t;

enum target_result {
    TARGET_SENT,
    TARGET_IDLE,
    TARGET_FULL,    /* not connected, or its socket takes nothing now */
    TARGET_NO_ROOM, /* no buffer, or too much unacknowledged */
};

/* CONFIG and WINDOW are borrowed for the target's life. FAILED reports and takes an
 * item that will not be sent. */
typedef void (target_failed_f) (forward_item_t *item, int code, const char *text,
                                void *arg);
target_t *target_new (const forward_config_t *config, window_t *window, uint32_t id,
                      target_failed_f *failed, void *arg, uint64_t now);
void target_destroy (target_t **self_p);

/* Takes the item. */
void target_queue (target_t *self, forward_item_t *item, uint64_t now);
/* Sends at most one frame; SEQ counts frames of all targets. */
enum target_result target_send (target_t *self, size_t share, uint64_t *seq,
                                uint64_t now, size_t *bytes);
/* As forward_answer; true when the chunk was one of its. */
bool target_answer (target_t *self, const link_answer_t *answer, uint64_t now);
/* Connects when an address is known, reads the monitor, gives up what takes too long.
 * True when the target has been idle for so long that it may go. */
bool target_watch (target_t *self, uint64_t now);

uint32_t target_id (const target_t *self);
bool target_busy (const target_t *self);
/* NULL while there is none. */
void *target_socket (const target_t *self);
void *target_monitor (const target_t *self);

#endif
