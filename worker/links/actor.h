/* SPDX-License-Identifier: MPL-2.0 */
/* A CZMQ actor for files that also use common/log.h and msgs/sock.h, whose names
 * collide with the system headers that czmq.h brings. */
#ifndef WORKER_LINKS_ACTOR_H
#define WORKER_LINKS_ACTOR_H

typedef struct actor actor_t;

/* Starts a thread in CZMQ's context. RUN returns as soon as PIPE (a ZeroMQ socket to
 * poll) is readable. NULL when no thread can be had. */
actor_t *actor_new (void (*run) (void *pipe, void *arg), void *arg);
/* Ends the thread and waits for it. */
void actor_destroy (actor_t **self_p);

#endif
