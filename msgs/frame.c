/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "common/bytes.h"
#include "frame.h"

#define MAGIC      0xd5f1
#define CHUNK_MAX  (64ULL * 1024 * 1024)
#define FIXED_LEN  128
#define STORED_MAX (CHUNK_MAX + DIGEST_BLOCK)

/* Fixed part, by offset: 0 magic u16, 2 version u8, 3 kind u8, 4 header length u16,
 * 6 flags u8, 7 hop u8, 8 encoding u8, 9..11 zero, 12 code i32, 16 session u64, 24 seq
 * u64, 32 trace u64, 40 copy key (38), 78 grant length u16, 80 offset u64, 88 length
 * u32, 92 number of CRCs u32, 96 true length u64, 104 stored length u64, 112..127 zero
 * (cipher, key id). Then CRCs (u32 each), then the grant. */
size_t frame_pack (const frame_t *f, uint8_t *out)
{
    size_t len = FIXED_LEN + 4 * (size_t)f->n_crcs + f->grant_len;
    memset (out, 0, FIXED_LEN);
    put_le16 (out, MAGIC);
    out[2] = FRAME_VERSION;
    out[3] = f->kind;
    put_le16 (out + 4, (uint16_t)len);
    out[6] = f->flags;
    out[7] = f->hop;
    out[8] = f->encoding;
    put_le32 (out + 12, (uint32_t)f->code);
    put_le64 (out + 16, f->session);
    put_le64 (out + 24, f->seq);
    put_le64 (out + 32, f->trace);
    copykey_pack (&f->key, out + 40);
    put_le16 (out + 78, (uint16_t)f->grant_len);
    put_le64 (out + 80, f->offset);
    put_le32 (out + 88, f->length);
    put_le32 (out + 92, f->n_crcs);
    put_le64 (out + 96, f->true_len);
    put_le64 (out + 104, f->stored_len);
    uint8_t *p = out + FIXED_LEN;
    for (uint32_t i = 0; i < f->n_crcs; i++, p += 4)
        put_le32 (p, f->crcs[i]);
    if (f->grant_len)
        memcpy (p, f->grant, f->grant_len);
    return len;
}

static int unpack_fixed (const uint8_t *p, size_t len, frame_t *f, dfs_error_t *err)
{
    if (len < FIXED_LEN || get_le16 (p) != MAGIC)
        return fail (err, DFS_EPROTO, "frame: not a chunk frame");
    if (p[2] != FRAME_VERSION)
        return fail (err, DFS_EVERSION, "frame: version %u", p[2]);
    if (get_le16 (p + 4) > len || get_le16 (p + 4) < FIXED_LEN)
        return fail (err, DFS_EPROTO, "frame: header length");
    f->kind = p[3];
    f->flags = p[6];
    f->hop = p[7];
    f->encoding = p[8];
    f->code = (int32_t)get_le32 (p + 12);
    f->session = get_le64 (p + 16);
    f->seq = get_le64 (p + 24);
    f->trace = get_le64 (p + 32);
    copykey_unpack (p + 40, &f->key);
    f->grant_len = get_le16 (p + 78);
    f->offset = get_le64 (p + 80);
    f->length = get_le32 (p + 88);
    f->n_crcs = get_le32 (p + 92);
    f->true_len = get_le64 (p + 96);
    f->stored_len = get_le64 (p + 104);
    if (f->kind != FRAME_DATA && f->kind != FRAME_REFUSE)
        return fail (err, DFS_EPROTO, "frame: kind %u", f->kind);
    if (f->grant_len > FRAME_GRANT_MAX)
        return fail (err, DFS_EPROTO, "frame: grant length %u", f->grant_len);
    if (f->length > FRAME_MAX)
        return fail (err, DFS_EPROTO, "frame: length %u", f->length);
    if (f->true_len > CHUNK_MAX || f->stored_len > STORED_MAX)
        return fail (err, DFS_EPROTO, "frame: chunk length");
    if (f->encoding != 0)
        return fail (err, DFS_EVERSION, "frame: encoding %u", f->encoding);
    return DFS_OK;
}

/* A refusal says nothing of bytes; data must lie in the chunk, on block borders. */
static int check_range (const frame_t *f, dfs_error_t *err)
{
    if (f->kind == FRAME_REFUSE) {
        if (f->length || f->n_crcs || f->code >= 0)
            return fail (err, DFS_EPROTO, "frame: refusal with bytes or without code");
        return DFS_OK;
    }
    if (f->true_len != f->stored_len)
        return fail (err, DFS_EPROTO, "frame: plain chunk of two lengths");
    if (f->offset > f->stored_len || f->length > f->stored_len - f->offset)
        return fail (err, DFS_EPROTO, "frame: range past the chunk's end");
    if (f->offset % DIGEST_BLOCK)
        return fail (err, DFS_EPROTO, "frame: offset is not on a block border");
    if (f->length % DIGEST_BLOCK && f->offset + f->length != f->stored_len)
        return fail (err, DFS_EPROTO, "frame: length is not whole blocks");
    if (f->length == 0 && f->stored_len != 0)
        return fail (err, DFS_EPROTO, "frame: empty");
    if (f->n_crcs != (f->length + DIGEST_BLOCK - 1) / DIGEST_BLOCK)
        return fail (err, DFS_EPROTO, "frame: %u CRCs for %u bytes", f->n_crcs,
                     f->length);
    return DFS_OK;
}

int frame_unpack (const void *data, size_t len, frame_t *f, dfs_error_t *err)
{
    const uint8_t *p = data;
    int rc = unpack_fixed (p, len, f, err);
    if (rc == 0)
        rc = check_range (f, err);
    if (rc < 0)
        return rc;
    if (get_le16 (p + 4) < FIXED_LEN + 4 * (size_t)f->n_crcs + f->grant_len)
        return fail (err, DFS_EPROTO, "frame: header too short for its parts");
    p += FIXED_LEN;
    for (uint32_t i = 0; i < f->n_crcs; i++, p += 4)
        f->crcs[i] = get_le32 (p);
    memcpy (f->grant, p, f->grant_len);
    return DFS_OK;
}

int frame_check (const frame_t *f, const void *bytes, size_t len, dfs_error_t *err)
{
    if (len != f->length)
        return fail (err, DFS_EPROTO, "frame: %zu bytes came, %u announced", len,
                     f->length);
    uint32_t crcs[FRAME_BLOCKS];
    size_t n = digest_blocks (bytes, len, crcs);
    for (size_t i = 0; i < n; i++)
        if (crcs[i] != f->crcs[i]) {
            char text[COPYKEY_TEXT];
            return fail (err, DFS_EDAMAGED,
                         "chunk %s: bytes at %llu differ from their CRC",
                         copykey_text (&f->key, text),
                         (unsigned long long)(f->offset + i * DIGEST_BLOCK));
        }
    return DFS_OK;
}
