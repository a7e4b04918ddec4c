/* SPDX-License-Identifier: MPL-2.0 */
/* Blocks of chunks that are read again and again, as their CRCs said they are: a limit
 * in bytes, the block that was used longest ago goes first. What is read once leaves
 * only a mark, so a long stream does not push out what is hot. Any thread. */
#ifndef WORKER_STORE_CACHE_H
#define WORKER_STORE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cache cache_t;

/* LIMIT 0: keeps nothing and counts nothing. */
cache_t *cache_new (uint64_t limit);
void cache_destroy (cache_t **self_p);
/* Holds LIMIT bytes from now on. */
void cache_resize (cache_t *self, uint64_t limit);
/* Copies bytes [OFFSET, OFFSET + LEN) of the copy with change SEQ on DISK into BUF when
 * every block of them is here. OFFSET is a multiple of 64 KiB; the last block may be
 * shorter. A copy's number is not used twice, so nothing here is ever out of date. */
bool cache_get (cache_t *self, uint32_t disk, uint64_t seq, uint64_t offset, void *buf,
                size_t len);
/* Bytes that were just read and found good. */
void cache_put (cache_t *self, uint32_t disk, uint64_t seq, uint64_t offset,
                const void *data, size_t len);
void cache_counts (cache_t *self, uint64_t *hits, uint64_t *misses);

#endif
