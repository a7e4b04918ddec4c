/* SPDX-License-Identifier: MPL-2.0 */
/* A binary heap of deadlines on a time that the caller supplies, so it runs on virtual
 * time as well. One thread. */
#ifndef COMMON_TIMER_H
#define COMMON_TIMER_H

#include <stdint.h>

typedef struct timer_heap timer_heap_t;

timer_heap_t *timer_heap_new (void);
void timer_heap_destroy (timer_heap_t **self_p);
/* Adds (KIND, ID) at WHEN (ns); duplicates are allowed: who pops checks whether the
 * deadline still means anything. O(log n). */
void timer_heap_add (timer_heap_t *self, uint64_t when, uint32_t kind, uint64_t id);
/* Pops one that is due at NOW; returns 1 and fills KIND and ID, or 0. */
int timer_heap_pop (timer_heap_t *self, uint64_t now, uint32_t *kind, uint64_t *id);
/* Earliest deadline, UINT64_MAX when empty. */
uint64_t timer_heap_next (const timer_heap_t *self);
uint64_t timer_heap_size (const timer_heap_t *self);

#endif
