/* SPDX-License-Identifier: MPL-2.0 */
/* The memory behind zero-copy sends: buffers of a few sizes under one budget, lent to
 * ZeroMQ and coming back from its threads, counted per receiver so that no receiver
 * holds more than its share. Threads: any, except where noted. */
#ifndef WORKER_FLOW_WINDOW_H
#define WORKER_FLOW_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

typedef struct window window_t;
typedef struct share share_t;
typedef struct lease lease_t;

/* One size of buffer and how many of it there may be. */
typedef struct window_class {
    size_t size;
    size_t count;
} window_class_t;

#define WINDOW_CLASSES 4

/* CLASSES: at most WINDOW_CLASSES, smallest first. */
window_t *window_new (const window_class_t *classes, size_t n);
/* Waits up to a second for buffers that ZeroMQ still has; what is out even then is left
 * behind (and logged), because its owner may still write to it. */
void window_destroy (window_t **self_p);

/* One receiver's account. It lives until share_close and the return of its last buffer.
 */
share_t *share_new (window_t *self);
void share_close (share_t **share_p);
/* Bytes of buffers out, and how many buffers have come back so far. */
size_t share_held (const share_t *share);
uint64_t share_returned (const share_t *share);

/* A buffer of at least WANT bytes if one is free, else the largest free one that has at
 * least FLOOR bytes, charged to SHARE. NULL: none; the descriptor of the window becomes
 * readable when one comes back. */
lease_t *window_take (window_t *self, share_t *share, size_t want, size_t floor);
void *lease_data (const lease_t *lease);
size_t lease_size (const lease_t *lease);
/* Gives back what was not sent. */
void lease_return (lease_t **lease_p);
/* Makes MSG of the first LEN bytes; takes the lease (it returns when ZeroMQ is done).
 */
void lease_message (lease_t **lease_p, size_t len, zmq_msg_t *msg);

/* Readable after a buffer came back since the last window_arm. The owner of the loop:
 * window_arm, try once more, poll; window_calm when that woke it: the descriptor would
 * stay readable otherwise. */
int window_fd (const window_t *self);
void window_arm (window_t *self);
void window_calm (window_t *self);
/* Bytes out. */
size_t window_held (const window_t *self);
/* Bytes of all classes. */
size_t window_size (const window_t *self);

#endif
