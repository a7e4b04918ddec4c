/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <endian.h>
#include <string.h>

#include "common/digest.h"

#include "record.h"

#define SEGMENT_VERSION 1

static const char segment_magic[8] = {'d', 'f', 's', '-', 'w', 'a', 'l', '\n'};

/* On disk, little-endian. */
typedef struct disk_record {
    uint32_t crc; /* of all that follows and the data, started with the salt */
    uint32_t len;
    uint64_t index;
    uint64_t term;
    uint32_t durable;
    uint32_t epoch;
    uint8_t type;
    uint8_t flags;
    uint16_t tag; /* low half of the salt */
    uint32_t zero;
} disk_record_t;
_Static_assert(sizeof (disk_record_t) == RECORD_HEADER, "layout of a record");

typedef struct disk_segment {
    char magic[8];
    uint32_t version;
    uint32_t header_size;
    uint64_t seq;
    uint64_t size;
    uint32_t salt;
    uint32_t crc; /* of what is before it */
} disk_segment_t;
_Static_assert(sizeof (disk_segment_t) == 40, "layout of a segment header");

void record_encode (const record_t *record, uint32_t salt, uint8_t *out)
{
    assert (record->len <= RECORD_MAX_DATA);
    disk_record_t d = {
        .len = htole32 (record->len),
        .index = htole64 (record->index),
        .term = htole64 (record->term),
        .durable = htole32 (record->durable),
        .epoch = htole32 (record->epoch),
        .type = (uint8_t)record->type,
        .flags = record->flags,
        .tag = htole16 ((uint16_t)salt),
    };
    size_t size = record_size (record->len);
    memcpy (out, &d, sizeof d);
    if (record->len)
        memcpy (out + RECORD_HEADER, record->data, record->len);
    memset (out + RECORD_HEADER + record->len, 0, size - RECORD_HEADER - record->len);
    uint32_t crc = digest_crc32c (salt, out + sizeof d.crc, size - sizeof d.crc);
    d.crc = htole32 (crc);
    memcpy (out, &d.crc, sizeof d.crc);
}

enum record_state record_peek (const uint8_t *p, uint64_t offset, uint64_t size,
                               uint32_t salt, record_t *record)
{
    static const uint8_t zeros[RECORD_HEADER];
    if (memcmp (p, zeros, RECORD_HEADER) == 0)
        return RECORD_NONE;
    disk_record_t d;
    memcpy (&d, p, sizeof d);
    *record = (record_t){
        .index = le64toh (d.index),
        .term = le64toh (d.term),
        .len = le32toh (d.len),
        .durable = le32toh (d.durable),
        .epoch = le32toh (d.epoch),
        .type = (enum record_type)d.type,
        .flags = d.flags,
    };
    if (le16toh (d.tag) != (uint16_t)salt || d.type < RECORD_COMMAND ||
        d.type > RECORD_SEALED || record->len > RECORD_MAX_DATA ||
        record->durable < SEGMENT_HEADER || record->durable > offset ||
        record_size (record->len) > size - offset)
        return RECORD_BAD;
    return RECORD_VALID;
}

bool record_check (const uint8_t *p, uint32_t salt, record_t *record)
{
    uint32_t crc;
    memcpy (&crc, p, sizeof crc);
    record->data = p + RECORD_HEADER;
    return le32toh (crc) ==
           digest_crc32c (salt, p + sizeof crc, record_size (record->len) - sizeof crc);
}

void segment_header_encode (const segment_header_t *header, uint8_t out[SEGMENT_HEADER])
{
    disk_segment_t d = {
        .version = htole32 (SEGMENT_VERSION),
        .header_size = htole32 (SEGMENT_HEADER),
        .seq = htole64 (header->seq),
        .size = htole64 (header->size),
        .salt = htole32 (header->salt),
    };
    memcpy (d.magic, segment_magic, sizeof d.magic);
    d.crc = htole32 (digest_crc32c (0, &d, offsetof (disk_segment_t, crc)));
    memset (out, 0, SEGMENT_HEADER);
    memcpy (out, &d, sizeof d);
}

int segment_header_decode (const uint8_t in[SEGMENT_HEADER], segment_header_t *header,
                           dfs_error_t *err)
{
    disk_segment_t d;
    memcpy (&d, in, sizeof d);
    if (memcmp (d.magic, segment_magic, sizeof d.magic) != 0)
        return fail (err, DFS_EDAMAGED, "no journal segment (offset 0: wrong magic)");
    if (le32toh (d.crc) != digest_crc32c (0, &d, offsetof (disk_segment_t, crc)))
        return fail (err, DFS_EDAMAGED, "damaged at offset 0: checksum of the header");
    if (le32toh (d.version) != SEGMENT_VERSION ||
        le32toh (d.header_size) != SEGMENT_HEADER)
        return fail (err, DFS_EVERSION,
                     "format version %u is not known to this program",
                     le32toh (d.version));
    *header = (segment_header_t){
        .seq = le64toh (d.seq),
        .size = le64toh (d.size),
        .salt = le32toh (d.salt),
    };
    return DFS_OK;
}
