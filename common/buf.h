/* SPDX-License-Identifier: MPL-2.0 */
/* A pool of equal buffers under a budget: memory that is bounded whatever peers do.
 * Threads: every call from any thread (a ZeroMQ I/O thread returns buffers). */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stddef.h>
#include <stdint.h>

typedef struct buf_pool buf_pool_t;

/* Buffers of SIZE bytes (a multiple of 4 KiB, and aligned to that), at most COUNT of
 * them; allocated on demand, up to 2 MiB at once, and kept. Destroy waits for nothing:
 * all buffers must have come back (assert). */
buf_pool_t *buf_pool_new (size_t size, size_t count);
void buf_pool_destroy (buf_pool_t **self_p);

/* A buffer, or NULL when COUNT are out. */
void *buf_get (buf_pool_t *self);
/* As buf_get, waits until one is free. */
void *buf_wait (buf_pool_t *self);
/* As buf_wait, at most NS; then NULL. */
void *buf_wait_for (buf_pool_t *self, uint64_t ns);
void buf_put (buf_pool_t *self, void *buf);
/* The free callback for zmq_msg_init_data: HINT is the pool. */
void buf_free_callback (void *data, void *hint);
size_t buf_size (const buf_pool_t *self);
size_t buf_free_count (buf_pool_t *self);
/* FD (eventfd) that becomes readable whenever a buffer comes back after buf_get gave
 * NULL; the reader reads it empty. -1 with errno on failure. */
int buf_pool_fd (buf_pool_t *self);

#endif
