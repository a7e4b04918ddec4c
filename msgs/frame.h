/* SPDX-License-Identifier: MPL-2.0 */
/* Header of a chunk frame. A data message has two ZeroMQ parts: [packed header][bytes,
 * at most FRAME_MAX]; the same for uploads, downloads, chained replication, repair and
 * rebalance. Little-endian, fixed offsets, then variable parts; header_len lets a
 * reader skip trailing fields it does not know. Plain functions, any thread. */
#ifndef MSGS_FRAME_H
#define MSGS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "copykey.h"

#define FRAME_MAX        (1024 * 1024) /* bytes of a chunk in one frame */
#define FRAME_BLOCKS     (FRAME_MAX / DIGEST_BLOCK)
#define FRAME_GRANT_MAX  256
#define FRAME_HEADER_MAX 1024 /* packed, with everything */
#define FRAME_VERSION    1

enum frame_kind {
    FRAME_DATA = 1,   /* bytes [offset, offset + length) of the stored form */
    FRAME_REFUSE = 2, /* stream: no bytes; code says why the piece cannot be had */
};

enum frame_flags {
    FRAME_LAST = 1,   /* ends the chunk (upload) or the piece (stream) */
    FRAME_CREDIT = 2, /* sender waits for Credit messages */
    FRAME_SMALL = 4,  /* whole chunk in this frame */
    FRAME_TRACED = 8, /* the sender wants to hear where the time goes */
};

/* Offsets are multiples of DIGEST_BLOCK, and so are lengths except at the chunk's end.
 */
typedef struct frame {
    uint8_t kind; /* enum frame_kind */
    uint8_t flags;
    uint8_t hop;      /* uploads: position of the receiver in the grant's targets */
    uint8_t encoding; /* 0: stored form = true form */
    int32_t code;     /* FRAME_REFUSE: DFS_E… */
    uint64_t session; /* of the sender (upload, forward), of the client (stream) */
    uint64_t seq;     /* stream: piece id; upload: counter of the sender */
    uint64_t trace;
    copykey_t key;
    uint64_t offset;
    uint32_t length;
    uint64_t true_len;           /* of the chunk */
    uint64_t stored_len;         /* of its stored form */
    uint32_t n_crcs;             /* = blocks covered by length */
    uint32_t crcs[FRAME_BLOCKS]; /* CRC32C per DIGEST_BLOCK of the stored form */
    uint32_t grant_len;          /* frame 0 of an upload, else 0 */
    uint8_t grant[FRAME_GRANT_MAX];
} frame_t;

/* Packs into OUT (at least FRAME_HEADER_MAX); returns the length. */
size_t frame_pack (const frame_t *frame, uint8_t *out);
/* Checks every field (version, lengths, alignment, number of CRCs, offset + length <=
 * stored_len, stored_len <= 64 MiB + 64 KiB); DFS_EPROTO names the bad one. */
int frame_unpack (const void *data, size_t len, frame_t *frame, dfs_error_t *err);
/* Checks the CRCs of the bytes that came with FRAME; DFS_EDAMAGED names the block. */
int frame_check (const frame_t *frame, const void *bytes, size_t len, dfs_error_t *err);

#endif
