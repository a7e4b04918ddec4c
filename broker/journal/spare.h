/* SPDX-License-Identifier: MPL-2.0 */
/* The helper of the write-ahead log: a thread that keeps one segment ready ahead of the
 * writer and removes trimmed ones, so that the writer never waits for either. When the
 * disk is full it tries again each half second, and at once after a removal. Threads:
 * any may call. */
#ifndef BROKER_JOURNAL_SPARE_H
#define BROKER_JOURNAL_SPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#include "segment.h"

typedef struct spare spare_t;

/* Next segment to be made is SEQ; READY (taken, may be NULL) is one that exists. */
spare_t *spare_new (const char *dir, uint64_t segment_size, uint64_t seq,
                    segment_t *ready);
/* Finishes removals, closes a segment that was not taken. */
void spare_destroy (spare_t **self_p);

/* The ready segment (returned owned), after waiting while it is being made. NULL:
 * DFS_ENOSPC (or DFS_EQUOTA) when there is no room now, anything else is for good. */
segment_t *spare_take (spare_t *self, dfs_error_t *err);
/* True unless the last attempt found no room. */
bool spare_hopeful (spare_t *self);
/* Closes and unlinks SEGMENT (taken); in the order of calls, each durable before the
 * next. */
void spare_remove (spare_t *self, segment_t *segment);

#endif
