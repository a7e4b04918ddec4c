/* SPDX-License-Identifier: MPL-2.0 */
/* A bump allocator with a budget, also as a ProtobufCAllocator: unpacking a hostile
 * message fails with NULL at the budget instead of eating memory. One thread. */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stddef.h>
#include <protobuf-c/protobuf-c.h>

typedef struct arena arena_t;

/* BUDGET: bytes that may be out at once, between two resets. */
arena_t *arena_new (size_t budget);
void arena_destroy (arena_t **self_p);
/* 16-byte aligned, not zeroed; NULL past the budget. */
void *arena_alloc (arena_t *self, size_t size);
void *arena_zalloc (arena_t *self, size_t size);
/* Copies LEN bytes and adds a NUL behind them. */
void *arena_dup (arena_t *self, const void *data, size_t len);
/* Everything allocated so far is gone; memory is kept for the next use. */
void arena_reset (arena_t *self);
/* Returns borrowed, valid as long as the arena. Its free does nothing. */
ProtobufCAllocator *arena_allocator (arena_t *self);

#endif
