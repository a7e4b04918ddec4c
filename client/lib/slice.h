/* SPDX-License-Identifier: MPL-2.0 */
/* Slices: reference-counted buffers of at most 1 MiB that hold a chunk's bytes between
 * source and socket, under one byte budget whatever the chunk size. Any thread:
 * ZeroMQ's I/O thread drops the last reference of a slice that was sent. */
#ifndef CLIENT_LIB_SLICE_H
#define CLIENT_LIB_SLICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#define SLICE_MAX (1024 * 1024)

typedef struct slice_pool slice_pool_t;

typedef struct slice {
    slice_pool_t *pool;
    uint8_t *data;
    uint32_t len;
    uint32_t cap; /* what it costs of the budget */
    atomic_uint refs;
    struct slice *next; /* in the list of free ones */
} slice_t;

slice_pool_t *slice_pool_new (uint64_t budget);
/* All slices must have come back (assert). */
void slice_pool_destroy (slice_pool_t **self_p);
/* eventfd, readable when memory came back after a refused reservation. */
int slice_pool_fd (const slice_pool_t *self);
/* Frees buffers kept for later, but for KEEP of them. */
void slice_pool_trim (slice_pool_t *self, size_t keep);

/* What LEN bytes of a chunk cost. */
uint64_t slice_cost (uint64_t len);
/* Sets COST aside without waiting; false (and the fd will tell) when it is not free. */
bool slice_reserve (slice_pool_t *self, uint64_t cost);
/* Nothing is set aside; when something is, the fd will tell. */
bool slice_none_reserved (slice_pool_t *self);
void slice_unreserve (slice_pool_t *self, uint64_t cost);
/* A slice for LEN bytes, with one reference. RESERVED: out of a reservation, never
 * waits; else waits for memory and returns NULL when the pool is cancelled meanwhile.
 */
slice_t *slice_new (slice_pool_t *self, uint32_t len, bool reserved);
/* While ON, waiters get NULL. */
void slice_pool_cancel (slice_pool_t *self, bool on);

slice_t *slice_ref (slice_t *self);
void slice_unref (slice_t **self_p);
/* Makes MSG of the slice's bytes without copying; holds a reference until sent. */
int slice_message (slice_t *self, zmq_msg_t *msg);

#endif
