/* SPDX-License-Identifier: MPL-2.0 */
/* The process's ZeroMQ context: CZMQ's, without its signal handlers. Apart, because
 * czmq.h and our log and socket names do not go together in one file. */
#ifndef BROKER_CONTEXT_H
#define BROKER_CONTEXT_H

/* Main thread, once, before any socket. Returns borrowed. */
void *context_open (void);
/* Last of all: waits for what closed sockets still send (their linger). */
void context_close (void);

#endif
