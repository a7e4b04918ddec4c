/* SPDX-License-Identifier: MPL-2.0 */
/* One file of the write-ahead log: preallocated, filled with zeros and made durable
 * under its final name before it is used, so that a write into it changes no metadata
 * and can not run out of space. Threads: a segment is shared under its owner's lock;
 * the functions here keep no state but the segment itself. */
#ifndef BROKER_JOURNAL_SEGMENT_H
#define BROKER_JOURNAL_SEGMENT_H

#include <stdint.h>

#include "common/error.h"

#include "record.h"

#define SEGMENT_TEMPORARY "prepare.tmp"

typedef struct segment {
    segment_header_t header;
    int fd;
    uint32_t refs; /* readers at work; the owner's lock guards it */
} segment_t;

/* Path of segment SEQ in DIR: "DIR/%016x.wal". OUT has CAP bytes. */
void segment_path (const char *dir, uint64_t seq, char *out, size_t cap);
/* The number in a file name, 0 when it is no segment's (numbers start at 1). */
uint64_t segment_seq (const char *name);

/* Makes segment SEQ of SIZE bytes. On failure nothing is left. Returns owned. */
segment_t *segment_create (const char *dir, uint64_t seq, uint64_t size,
                           dfs_error_t *err);
/* Opens segment SEQ and checks its header and size. Returns owned. */
segment_t *segment_open (const char *dir, uint64_t seq, dfs_error_t *err);
void segment_close (segment_t **self_p);

#endif
