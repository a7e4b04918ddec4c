/* SPDX-License-Identifier: MPL-2.0 */
/* Writes that the kernel makes by itself (io_uring): any thread gives them, one thread
 * waits for their ends. Where library or kernel do not have it, there is no ring
 * (doc/design/0020-ways-to-the-disk.md). */
#ifndef WORKER_STORE_RING_H
#define WORKER_STORE_RING_H

#include <stddef.h>
#include <stdint.h>

typedef struct ring ring_t;

/* For DEPTH writes at a time; NULL: not available here. */
ring_t *ring_new (unsigned depth);
/* Nothing may be under way. */
void ring_destroy (ring_t **self_p);
/* Begins to write; BUF stays until ring_wait returned TAG (not NULL). 0 or -errno. */
int ring_write (ring_t *self, int fd, const void *buf, size_t len, uint64_t offset,
                void *tag);
/* Makes one ring_wait return NULL. */
void ring_wake (ring_t *self);
/* The next write that has ended: its tag, and bytes written or -errno. */
void *ring_wait (ring_t *self, int *result);

#endif
