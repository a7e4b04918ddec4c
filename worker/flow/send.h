/* SPDX-License-Identifier: MPL-2.0 */
/* A chunk frame on its way out: header and bytes as one message. Plain function. */
#ifndef WORKER_FLOW_SEND_H
#define WORKER_FLOW_SEND_H

#include <zmq.h>

#include "msgs/frame.h"

/* Sends FRAME's header and BODY (taken) to SOCKET, a PUSH that is writable: it counts
 * whole messages against its mark, so the second part goes where the first went.
 * DFS_EAGAIN: nothing was sent, BODY is the caller's. */
int flow_send (void *socket, const frame_t *frame, zmq_msg_t *body);

#endif
