/* SPDX-License-Identifier: MPL-2.0 */
/* Layout of the write-ahead log on disk: segment header and records (the format is in
 * doc/format/journal.md). Encoding and checking of bytes, nothing else. Threads: any.
 */
#ifndef BROKER_JOURNAL_RECORD_H
#define BROKER_JOURNAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define RECORD_HEADER 40
#define RECORD_MAX_DATA                                                                \
    (1024 * 1024 + 4096) /* an entry, and room for what wraps it                       \
                          */
#define SEGMENT_HEADER 4096

enum record_type {
    RECORD_END = 0,      /* zeros: nothing was written here */
    RECORD_COMMAND = 1,  /* entry for the state machine */
    RECORD_BARRIER = 2,  /* entry without content, made at an election */
    RECORD_CHANGE = 3,   /* entry: a new configuration of voters */
    RECORD_TRUNCATE = 4, /* entries from INDEX on are void */
    RECORD_RESET = 5,    /* the log is empty; INDEX, TERM is what a snapshot holds */
    RECORD_MARK = 6,     /* says only what was durable; written at a clean stop */
    RECORD_OPENED = 7,   /* first of a new epoch, durable before the others of it */
    RECORD_SEALED = 8,   /* the log goes on in the next segment */
};

/* The writer did not sync what came before: DURABLE says nothing. */
#define RECORD_UNSYNCED 1

typedef struct record {
    uint64_t index;
    uint64_t term;
    uint32_t len;
    uint32_t durable; /* offset in the segment up to which all was durable before */
    uint32_t epoch;   /* number of the writer: grows with each process */
    enum record_type type;
    uint8_t flags;
    const void *data; /* borrowed */
} record_t;

typedef struct segment_header {
    uint64_t seq;
    uint64_t size; /* of the whole file */
    uint32_t salt; /* secret: start value of the CRCs, tag of the records */
} segment_header_t;

/* Bytes a record with LEN bytes of data takes (a multiple of 8). */
static inline size_t record_size (size_t len)
{
    return (RECORD_HEADER + len + 7) & ~(size_t)7;
}

static inline bool record_is_entry (enum record_type type)
{
    return type >= RECORD_COMMAND && type <= RECORD_CHANGE;
}

/* Writes RECORD to OUT (record_size (len) bytes). */
void record_encode (const record_t *record, uint32_t salt, uint8_t *out);

enum record_state {
    RECORD_VALID,
    RECORD_NONE, /* a header of zeros: the end */
    RECORD_BAD,
};

/* Looks only at the header at P (RECORD_HEADER bytes), which lies at OFFSET of a
 * segment of SIZE bytes: NONE, BAD, or VALID when it is plausible, with RECORD filled
 * in but for data. */
enum record_state record_peek (const uint8_t *p, uint64_t offset, uint64_t size,
                               uint32_t salt, record_t *record);
/* Checks the CRC of a record that record_peek found plausible; P has record_size (len)
 * bytes. Sets data. */
bool record_check (const uint8_t *p, uint32_t salt, record_t *record);

void segment_header_encode (const segment_header_t *header,
                            uint8_t out[SEGMENT_HEADER]);
int segment_header_decode (const uint8_t in[SEGMENT_HEADER], segment_header_t *header,
                           dfs_error_t *err);

#endif
