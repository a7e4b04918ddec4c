/* SPDX-License-Identifier: MPL-2.0 */
/* Where chunk bytes come in: one PULL, connected to the stream of each worker that
 * serves us and never reconnected by itself; a monitor tells which stream ended. One
 * thread. */
#ifndef CLIENT_LIB_STREAMS_H
#define CLIENT_LIB_STREAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "common/error.h"
#include "msgs/control.pb-c.h"
#include "msgs/frame.h"
#include "msgs/sock.h"

typedef struct streams streams_t;

/* Borrows CTX and ID. */
streams_t *streams_new (void *ctx, const sock_identity_t *id);
void streams_destroy (streams_t **self_p);
/* A worker says where its stream is; connects unless it is connected there. */
int streams_open (streams_t *self, const Dfs__Worker *worker, dfs_error_t *err);
/* 1 with a checked header and BYTES (initialised by the caller, who closes it), 0 when
 * nothing is there, DFS_EPROTO for what is no frame (dropped). */
int streams_recv (streams_t *self, frame_t *frame, zmq_msg_t *bytes, dfs_error_t *err);
/* Id of a worker whose stream ended since (read all frames first), or 0. */
uint32_t streams_ended (streams_t *self);
/* Appends what to poll (at most 2): frames only when READING. */
int streams_poll (streams_t *self, bool reading, zmq_pollitem_t *items);

#endif
