/* SPDX-License-Identifier: MPL-2.0 */
/* Where chunk bytes go out: one PUSH per worker that was named as a target, connected
 * to its ingest and monitored; a broken one is made anew when it is used again. One
 * thread. */
#ifndef CLIENT_LIB_UPLINK_H
#define CLIENT_LIB_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "common/error.h"
#include "msgs/control.pb-c.h"
#include "msgs/sock.h"

typedef struct uplinks uplinks_t;

/* Borrows CTX and ID. */
uplinks_t *uplinks_new (void *ctx, const sock_identity_t *id);
void uplinks_destroy (uplinks_t **self_p);
/* Remembers where a worker's ingest is; another address than before replaces the
 * connection. */
int uplinks_learn (uplinks_t *self, const Dfs__Worker *worker, dfs_error_t *err);
/* Sends HEAD and BYTES (both consumed on success) as one message. DFS_EAGAIN: not now,
 * it will be polled for; DFS_EUNAVAIL: the worker is not known or cannot be reached. */
int uplinks_send (uplinks_t *self, uint32_t worker, zmq_msg_t *head, zmq_msg_t *bytes,
                  dfs_error_t *err);
/* Id of a worker whose connection broke or was refused since, with WHY (CAP bytes), or
 * 0. What was sent to it may be lost. */
uint32_t uplinks_broken (uplinks_t *self, char *why, size_t cap);
/* Items for all connections; those that uplinks_send refused are polled for POLLOUT.
 * Returns their number (at most CAP). */
size_t uplinks_poll (uplinks_t *self, zmq_pollitem_t *items, size_t cap);
const char *uplinks_name (const uplinks_t *self, uint32_t worker);

#endif
