/* SPDX-License-Identifier: MPL-2.0 */
/* Reads the segments of a log after a stop of any kind: hands over the records in
 * order, tells a torn tail (cut, and cleared to zeros) from damage in the middle
 * (refused). Threads: the caller's, before any other uses the segments. */
#ifndef BROKER_JOURNAL_RECOVER_H
#define BROKER_JOURNAL_RECOVER_H

#include "segment.h"

typedef struct recover_config {
    const char *dir;
    segment_t **segments; /* oldest first, numbers without a gap */
    size_t n;
    /* Takes the next record; DFS_EDAMAGED when it does not follow the last one. */
    int (*record) (uint64_t seq, uint64_t offset, const record_t *record, void *arg,
                   dfs_error_t *err);
    void *arg;
} recover_config_t;

typedef struct recover_end {
    size_t
        segment; /* position in `segments`; those behind it hold nothing that counts */
    uint64_t offset;
    uint32_t epoch; /* of the last writer */
} recover_end_t;

/* DFS_EDAMAGED names segment and offset. */
int recover_run (const recover_config_t *config, recover_end_t *end, dfs_error_t *err);

#endif
