/* SPDX-License-Identifier: MPL-2.0 */
/* The process's ZeroMQ context, which is CZMQ's. Main thread only. */
#ifndef WORKER_CONTEXT_H
#define WORKER_CONTEXT_H

/* Call before any socket is made. Signals stay the caller's. */
void *context_open (void);
/* Waits for sockets that still send, last of all. */
void context_close (void);

#endif
