/* SPDX-License-Identifier: MPL-2.0 */
/* Codec of everything that stands in a volume (doc/format/volume.md): the volume's
 * header, headers of extents (reserved space of large chunks), headers of batches and
 * the records in them. Decoders take any bytes and never read past LEN. Plain
 * functions, any thread. */
#ifndef WORKER_STORE_RECORD_H
#define WORKER_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "msgs/copykey.h"

#define VOLUME_VERSION   1
#define VOLUME_ALIGN     4096 /* batches and extents start at multiples of it */
#define VOLUME_HEAD_LEN  4096
#define VOLUME_SIZE_MAX  (1ULL << 40)
#define CHUNK_MAX        (64 * 1024 * 1024 + DIGEST_BLOCK)
#define CHUNK_BLOCKS_MAX (CHUNK_MAX / DIGEST_BLOCK)
#define PACK_MAX         DIGEST_BLOCK /* chunks up to here go into batches */

static inline uint64_t volume_align (uint64_t n)
{
    return (n + VOLUME_ALIGN - 1) & ~(uint64_t)(VOLUME_ALIGN - 1);
}

static inline size_t chunk_blocks (uint64_t stored_len)
{
    return (size_t)((stored_len + DIGEST_BLOCK - 1) / DIGEST_BLOCK);
}

/* Every decoder returns DFS_OK, DFS_EDAMAGED (magic, CRC or a field is wrong) or
 * DFS_EVERSION (sound, but of a format that is not ours). */

/* --- volume --- */

typedef struct volume_head {
    uint32_t number;
    uint8_t disk_id[16];
    uint64_t incarnation;
    uint64_t first_batch; /* number of the next batch when the volume was made */
    uint64_t first_seq;   /* next change number then */
    uint64_t created;     /* wall clock ns, for people */
} volume_head_t;

#define VOLUME_HEAD_PACKED 96
void volume_head_pack (const volume_head_t *head, uint8_t out[VOLUME_HEAD_PACKED]);
int volume_head_unpack (const void *data, size_t len, volume_head_t *head);

/* --- extent: one header page, then the bytes of one chunk, padded to 4 KiB --- */

enum extent_state { EXTENT_RESERVED = 1, EXTENT_FREED = 2 };

typedef struct extent_head {
    uint8_t state; /* enum extent_state */
    uint8_t disk_id[16];
    uint32_t volume; /* where it stands: a copy of it elsewhere is not it */
    uint64_t offset;
    uint64_t length; /* of the whole, header page included */
    copykey_t key;
    uint32_t stored_len;
    uint32_t true_len;
    uint64_t birth;
} extent_head_t;

#define EXTENT_HEAD_PACKED 128
#define EXTENT_DATA        VOLUME_ALIGN /* offset of the bytes in the extent */

static inline uint64_t extent_length (uint64_t stored_len)
{
    return EXTENT_DATA + volume_align (stored_len);
}

void extent_head_pack (const extent_head_t *head, uint8_t out[EXTENT_HEAD_PACKED]);
int extent_head_unpack (const void *data, size_t len, extent_head_t *head);

/* --- batch: header, then COUNT records back to back --- */

typedef struct batch_head {
    uint8_t disk_id[16];
    uint32_t volume;
    uint64_t offset;
    uint64_t length; /* header and records, without the padding */
    uint32_t count;
    uint64_t number;    /* of the disk, without gaps */
    uint64_t first_seq; /* first change number in it */
    uint64_t next_seq;  /* first one after it */
    /* The mark: all batches below NUMBER, and all bytes that they name, were durable
     * when this one was written; their end stood here. */
    uint32_t mark_volume;
    uint64_t mark_end;
} batch_head_t;

#define BATCH_HEAD_PACKED 128
#define BATCH_MAX         (8 * 1024 * 1024) /* longest batch */

void batch_head_pack (const batch_head_t *head, uint8_t out[BATCH_HEAD_PACKED]);
int batch_head_unpack (const void *data, size_t len, batch_head_t *head);

/* --- record --- */

enum record_type {
    RECORD_CHUNK = 1,   /* header, then the bytes */
    RECORD_SEAL = 2,    /* the extent at PLACE is a whole chunk */
    RECORD_GONE = 3,    /* the copy at PLACE is in quarantine since TIME */
    RECORD_DAMAGED = 4, /* the copy at PLACE is bad */
    RECORD_RENEWED = 5, /* the copy at PLACE has this birth now */
    RECORD_BACK = 6,    /* the copy at PLACE left quarantine */
};

enum record_bits {
    RECORD_MOVED = 1, /* by compaction: SEQ is the old one, no new change */
};

typedef struct record {
    uint8_t type;      /* enum record_type */
    uint8_t bits;      /* enum record_bits */
    uint8_t encoding;  /* of the chunk */
    uint16_t flags;    /* of the chunk */
    uint32_t head_len; /* set by unpack, ignored by pack */
    copykey_t key;
    uint32_t stored_len;
    uint32_t true_len;
    uint64_t birth;
    uint64_t seq;
    uint32_t place_volume;
    uint64_t place_offset;
    uint64_t time;       /* wall clock ns */
    uint32_t n_crcs;     /* blocks of stored_len for CHUNK and SEAL, else 0 */
    const uint8_t *crcs; /* packed; borrowed from the bytes that were unpacked */
} record_t;

#define RECORD_HEAD_MIN 104
#define RECORD_HEAD_MAX (RECORD_HEAD_MIN + 4 * CHUNK_BLOCKS_MAX)

static inline size_t record_head_len (size_t n_crcs)
{
    return RECORD_HEAD_MIN + 4 * n_crcs;
}

/* The CRC of a record starts from a SEED made of the disk's id, so that bytes inside a
 * chunk cannot pass for a record of this disk when damage makes a scan search for one.
 */
uint32_t record_seed (const uint8_t disk_id[16]);
/* Packs into OUT (record_head_len (n_crcs) bytes); CRCS are host numbers and replace
 * rec->crcs. Returns the length. */
size_t record_pack (const record_t *rec, const uint32_t *crcs, uint32_t seed,
                    uint8_t *out);
/* Puts SEQ into a packed record and makes its CRC good. */
void record_set_seq (uint8_t *packed, uint64_t seq, uint32_t seed);
int record_unpack (const void *data, size_t len, uint32_t seed, record_t *rec);
/* Bytes behind the header: stored_len for CHUNK, else 0. */
size_t record_payload (const record_t *rec);
/* CRC32C of block I as the client computed it. */
uint32_t record_crc (const record_t *rec, size_t i);
/* DFS_OK, or DFS_EDAMAGED when DATA (record_payload bytes) is not what the CRCs say. */
int record_check_payload (const record_t *rec, const void *data);
const char *record_type_name (int type);

#endif
