/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "worker/store/le.h"
#include "worker/store/record.h"

#define VOLUME_MAGIC 0x4c4f5653464400ffULL /* ff 00 "DFSVOL" */
#define EXTENT_MAGIC 0x54584553464400ffULL /* ff 00 "DFSEXT" */
#define BATCH_MAGIC  0x54414253464400ffULL /* ff 00 "DFSBAT" */
#define RECORD_MAGIC 0x434552ffU           /* ff "REC" */

/* Header frame shared by volume, extent and batch: magic u64, version u16, length u16,
 * CRC32C u32 of the whole with this field zero; fields follow at 16. */
static void seal_head (uint8_t *out, uint64_t magic, uint16_t len)
{
    le_put64 (out, magic);
    le_put16 (out + 8, VOLUME_VERSION);
    le_put16 (out + 10, len);
    le_put32 (out + 12, 0);
    le_put32 (out + 12, digest_crc32c (0, out, len));
}

/* The CRC skips its own field, so nothing is copied to check it. */
static uint32_t head_crc (const uint8_t *p, size_t len)
{
    static const uint8_t zero[4];
    uint32_t crc = digest_crc32c (0, p, 12);
    crc = digest_crc32c (crc, zero, 4);
    return digest_crc32c (crc, p + 16, len - 16);
}

static int check_head (const uint8_t *p, size_t len, uint64_t magic, size_t min)
{
    if (len < min || le_get64 (p) != magic)
        return DFS_EDAMAGED;
    size_t head_len = le_get16 (p + 10);
    if (head_len < min || head_len > len || head_crc (p, head_len) != le_get32 (p + 12))
        return DFS_EDAMAGED;
    return le_get16 (p + 8) == VOLUME_VERSION ? DFS_OK : DFS_EVERSION;
}

void volume_head_pack (const volume_head_t *head, uint8_t out[VOLUME_HEAD_PACKED])
{
    memset (out, 0, VOLUME_HEAD_PACKED);
    le_put32 (out + 16, head->number);
    memcpy (out + 24, head->disk_id, 16);
    le_put64 (out + 40, head->incarnation);
    le_put64 (out + 48, head->first_batch);
    le_put64 (out + 56, head->first_seq);
    le_put64 (out + 64, head->created);
    seal_head (out, VOLUME_MAGIC, VOLUME_HEAD_PACKED);
}

int volume_head_unpack (const void *data, size_t len, volume_head_t *head)
{
    const uint8_t *p = data;
    int rc = check_head (p, len, VOLUME_MAGIC, VOLUME_HEAD_PACKED);
    if (rc < 0)
        return rc;
    head->number = le_get32 (p + 16);
    memcpy (head->disk_id, p + 24, 16);
    head->incarnation = le_get64 (p + 40);
    head->first_batch = le_get64 (p + 48);
    head->first_seq = le_get64 (p + 56);
    head->created = le_get64 (p + 64);
    return head->number ? DFS_OK : DFS_EDAMAGED;
}

void extent_head_pack (const extent_head_t *head, uint8_t out[EXTENT_HEAD_PACKED])
{
    memset (out, 0, EXTENT_HEAD_PACKED);
    le_put32 (out + 16, head->volume);
    out[20] = head->state;
    le_put64 (out + 24, head->offset);
    le_put64 (out + 32, head->length);
    memcpy (out + 40, head->disk_id, 16);
    copykey_pack (&head->key, out + 56);
    le_put32 (out + 96, head->stored_len);
    le_put32 (out + 100, head->true_len);
    le_put64 (out + 104, head->birth);
    seal_head (out, EXTENT_MAGIC, EXTENT_HEAD_PACKED);
}

int extent_head_unpack (const void *data, size_t len, extent_head_t *head)
{
    const uint8_t *p = data;
    int rc = check_head (p, len, EXTENT_MAGIC, EXTENT_HEAD_PACKED);
    if (rc < 0)
        return rc;
    head->volume = le_get32 (p + 16);
    head->state = p[20];
    head->offset = le_get64 (p + 24);
    head->length = le_get64 (p + 32);
    memcpy (head->disk_id, p + 40, 16);
    copykey_unpack (p + 56, &head->key);
    head->stored_len = le_get32 (p + 96);
    head->true_len = le_get32 (p + 100);
    head->birth = le_get64 (p + 104);
    if (head->state != EXTENT_RESERVED && head->state != EXTENT_FREED)
        return DFS_EDAMAGED;
    if (head->stored_len > CHUNK_MAX ||
        head->length != extent_length (head->stored_len))
        return DFS_EDAMAGED;
    return DFS_OK;
}

void batch_head_pack (const batch_head_t *head, uint8_t out[BATCH_HEAD_PACKED])
{
    memset (out, 0, BATCH_HEAD_PACKED);
    le_put32 (out + 16, head->volume);
    le_put32 (out + 20, head->count);
    le_put64 (out + 24, head->offset);
    le_put64 (out + 32, head->length);
    memcpy (out + 40, head->disk_id, 16);
    le_put64 (out + 56, head->number);
    le_put64 (out + 64, head->first_seq);
    le_put64 (out + 72, head->next_seq);
    le_put64 (out + 80, head->mark_end);
    le_put32 (out + 88, head->mark_volume);
    seal_head (out, BATCH_MAGIC, BATCH_HEAD_PACKED);
}

int batch_head_unpack (const void *data, size_t len, batch_head_t *head)
{
    const uint8_t *p = data;
    int rc = check_head (p, len, BATCH_MAGIC, BATCH_HEAD_PACKED);
    if (rc < 0)
        return rc;
    head->volume = le_get32 (p + 16);
    head->count = le_get32 (p + 20);
    head->offset = le_get64 (p + 24);
    head->length = le_get64 (p + 32);
    memcpy (head->disk_id, p + 40, 16);
    head->number = le_get64 (p + 56);
    head->first_seq = le_get64 (p + 64);
    head->next_seq = le_get64 (p + 72);
    head->mark_end = le_get64 (p + 80);
    head->mark_volume = le_get32 (p + 88);
    if (head->length < BATCH_HEAD_PACKED || head->length > BATCH_MAX)
        return DFS_EDAMAGED;
    if (head->count > (head->length - BATCH_HEAD_PACKED) / RECORD_HEAD_MIN)
        return DFS_EDAMAGED;
    if (head->next_seq < head->first_seq ||
        head->next_seq - head->first_seq > head->count)
        return DFS_EDAMAGED;
    return DFS_OK;
}

/* Record: magic u32, CRC32C u32 of what follows in the header, version u8, type u8,
 * length u16; the block CRCs end the header. */
uint32_t record_seed (const uint8_t disk_id[16])
{
    return digest_crc32c (0, disk_id, 16);
}

static void seal_record (uint8_t *p, uint32_t seed)
{
    le_put32 (p + 4, digest_crc32c (seed, p + 8, le_get16 (p + 10) - 8U));
}

size_t record_pack (const record_t *rec, const uint32_t *crcs, uint32_t seed,
                    uint8_t *out)
{
    assert (rec->n_crcs <= CHUNK_BLOCKS_MAX);
    size_t len = record_head_len (rec->n_crcs);
    memset (out, 0, RECORD_HEAD_MIN);
    le_put32 (out, RECORD_MAGIC);
    out[8] = VOLUME_VERSION;
    out[9] = rec->type;
    le_put16 (out + 10, (uint16_t)len);
    le_put16 (out + 12, rec->flags);
    out[14] = rec->encoding;
    out[15] = rec->bits;
    copykey_pack (&rec->key, out + 16);
    le_put16 (out + 54, (uint16_t)rec->n_crcs);
    le_put32 (out + 56, rec->stored_len);
    le_put32 (out + 60, rec->true_len);
    le_put64 (out + 64, rec->birth);
    le_put64 (out + 72, rec->seq);
    le_put64 (out + 80, rec->place_offset);
    le_put32 (out + 88, rec->place_volume);
    le_put64 (out + 92, rec->time);
    for (size_t i = 0; i < rec->n_crcs; i++)
        le_put32 (out + RECORD_HEAD_MIN + 4 * i, crcs[i]);
    seal_record (out, seed);
    return len;
}

void record_set_seq (uint8_t *packed, uint64_t seq, uint32_t seed)
{
    le_put64 (packed + 72, seq);
    seal_record (packed, seed);
}

int record_unpack (const void *data, size_t len, uint32_t seed, record_t *rec)
{
    const uint8_t *p = data;
    if (len < RECORD_HEAD_MIN || le_get32 (p) != RECORD_MAGIC)
        return DFS_EDAMAGED;
    size_t head_len = le_get16 (p + 10);
    if (head_len < RECORD_HEAD_MIN || head_len > len)
        return DFS_EDAMAGED;
    if (digest_crc32c (seed, p + 8, head_len - 8) != le_get32 (p + 4))
        return DFS_EDAMAGED;
    if (p[8] != VOLUME_VERSION)
        return DFS_EVERSION;
    rec->type = p[9];
    rec->head_len = (uint32_t)head_len;
    rec->flags = le_get16 (p + 12);
    rec->encoding = p[14];
    rec->bits = p[15];
    copykey_unpack (p + 16, &rec->key);
    rec->n_crcs = le_get16 (p + 54);
    rec->stored_len = le_get32 (p + 56);
    rec->true_len = le_get32 (p + 60);
    rec->birth = le_get64 (p + 64);
    rec->seq = le_get64 (p + 72);
    rec->place_offset = le_get64 (p + 80);
    rec->place_volume = le_get32 (p + 88);
    rec->time = le_get64 (p + 92);
    rec->crcs = p + head_len - 4 * (size_t)rec->n_crcs;
    if (rec->n_crcs > CHUNK_BLOCKS_MAX || record_head_len (rec->n_crcs) > head_len)
        return DFS_EDAMAGED;
    bool chunk = rec->type == RECORD_CHUNK || rec->type == RECORD_SEAL;
    if (chunk && rec->n_crcs != chunk_blocks (rec->stored_len))
        return DFS_EDAMAGED;
    if (rec->type < RECORD_CHUNK || rec->type > RECORD_BACK)
        return DFS_EDAMAGED;
    if (rec->type == RECORD_CHUNK && rec->stored_len > len - head_len)
        return DFS_EDAMAGED;
    return DFS_OK;
}

size_t record_payload (const record_t *rec)
{
    return rec->type == RECORD_CHUNK ? rec->stored_len : 0;
}

uint32_t record_crc (const record_t *rec, size_t i)
{
    assert (i < rec->n_crcs);
    return le_get32 (rec->crcs + 4 * i);
}

int record_check_payload (const record_t *rec, const void *data)
{
    const uint8_t *p = data;
    size_t left = record_payload (rec);
    for (size_t i = 0; left; i++) {
        size_t n = left < DIGEST_BLOCK ? left : DIGEST_BLOCK;
        if (digest_crc32c (0, p, n) != record_crc (rec, i))
            return DFS_EDAMAGED;
        p += n;
        left -= n;
    }
    return DFS_OK;
}

const char *record_type_name (int type)
{
    static const char *const names[] = {"?",       "chunk",   "seal", "gone",
                                        "damaged", "renewed", "back"};
    return type >= RECORD_CHUNK && type <= RECORD_BACK ? names[type] : names[0];
}
