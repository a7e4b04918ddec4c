/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/chunk.h"
#include "broker/namespace/dentry.h"
#include "broker/namespace/extent.h"

Dfs__ExtentKind extent_kind (const Dfs__RecExtent *rec)
{
    return rec->has_kind ? rec->kind : DFS__EXTENT_KIND__EXTENT_CHUNK;
}

uint64_t extent_chunk_length (const Dfs__RecExtent *rec)
{
    return rec->has_chunk_length ? rec->chunk_length : rec->length;
}

uint64_t extents_chunks (Dfs__RecExtent *const *extents, size_t n)
{
    uint64_t chunks = 0;
    for (size_t i = 0; i < n; i++)
        chunks += extent_kind (extents[i]) != DFS__EXTENT_KIND__EXTENT_HOLE;
    return chunks;
}

const Dfs__InlineData *inline_of_entry (const op_t *op, const uint8_t digest[32])
{
    for (size_t i = 0; i < op->n_inl; i++)
        if (op->inl[i]->digest.len == 32 &&
            memcmp (op->inl[i]->digest.data, digest, 32) == 0)
            return op->inl[i];
    return NULL;
}

static int check_shape (const Dfs__Extent *e, uint64_t offset, dfs_error_t *err)
{
    if (e->offset != offset)
        return fail (err, DFS_EINVAL, "extent at %llu where %llu is expected",
                     (unsigned long long)e->offset, (unsigned long long)offset);
    if (e->length == 0 || e->length > INT64_MAX - offset)
        return fail (err, DFS_EINVAL, "extent has a bad length");
    if (e->kind == DFS__EXTENT_KIND__EXTENT_HOLE)
        return e->has_digest ? fail (err, DFS_EINVAL, "hole has a digest") : 0;
    if (e->kind != DFS__EXTENT_KIND__EXTENT_CHUNK &&
        e->kind != DFS__EXTENT_KIND__EXTENT_INLINE)
        return fail (err, DFS_EINVAL, "extent has an unknown kind");
    if (!e->has_digest || e->digest.len != 32)
        return fail (err, DFS_EINVAL, "extent has no digest");
    uint64_t whole = e->has_chunk_length ? e->chunk_length : e->length;
    if (whole > CHUNK_MAX || e->length > whole || e->chunk_offset > whole - e->length)
        return fail (err, DFS_EINVAL, "extent is not within its chunk");
    if (e->kind == DFS__EXTENT_KIND__EXTENT_INLINE && e->domain != 0)
        return fail (err, DFS_EINVAL, "inline extent in a domain");
    return 0;
}

static int missing (op_t *op, const ProtobufCBinaryData *digest, dfs_error_t *err)
{
    Dfs__OpResult *result = op->result;
    if (!result->missing) {
        result->missing = arena_alloc (op->scratch, MISSING_MAX * sizeof *digest);
        if (!result->missing)
            return refuse (err, DFS_ENOMEM);
    }
    size_t n = result->n_missing;
    if (n == MISSING_MAX ||
        (n && memcmp (result->missing[n - 1].data, digest->data, 32) == 0))
        return 0;
    result->missing[n].data = arena_dup (op->scratch, digest->data, 32);
    result->missing[n].len = 32;
    if (!result->missing[n].data)
        return refuse (err, DFS_ENOMEM);
    result->n_missing++;
    return 0;
}

/* CAME: bytes of contents that this entry would add; each is counted once, by the bits
 * in USED. */
static int check_inline (op_t *op, const Dfs__Extent *e, uint64_t *came, bool *used,
                         dfs_error_t *err)
{
    uint64_t whole = e->has_chunk_length ? e->chunk_length : e->length;
    const void *data;
    size_t len;
    arena_reset (op->ns->item);
    int rc =
        inline_read (op->view, op->ns->item, e->digest.data, &data, &len, NULL, err);
    if (rc < 0)
        return rc;
    if (rc > 0)
        return len == whole ? 0 : fail (err, DFS_EINVAL, "inline length differs");
    const Dfs__InlineData *inl = inline_of_entry (op, e->digest.data);
    if (!inl)
        return missing (op, &e->digest, err);
    if (inl->data.len != whole)
        return fail (err, DFS_EINVAL, "inline length differs");
    if (inl->data.len > op->ns->seed->inline_max)
        return fail (err, DFS_ETOOBIG, "content is too large to be inlined");
    size_t i = 0;
    while (op->inl[i] != inl)
        i++;
    if (used[i])
        return 0;
    used[i] = true;
    uint8_t digest[32];
    digest_sha256 (inl->data.data, inl->data.len, digest);
    if (memcmp (digest, e->digest.data, 32) != 0)
        return fail (err, DFS_EINVAL, "inline bytes do not match their digest");
    *came += inl->data.len;
    if (op->ns->counters[C_INLINE_BYTES] + *came > op->ns->seed->inline_budget)
        return fail (err, DFS_EQUOTA, "no room for inline contents");
    return 0;
}

static int check_chunk (op_t *op, const Dfs__Extent *e, uint64_t placed_index,
                        dfs_error_t *err)
{
    Dfs__RecChunk *rec;
    copykey_t key = {.domain = e->domain};
    memcpy (key.digest, e->digest.data, 32);
    int rc = chunk_read (op->view, op->scratch, &key, &rec, err);
    if (rc < 0)
        return rc;
    /* What was reclaimed since it was answered is not known any more. */
    if (rc == 0)
        return placed_index < op->ns->counters[C_FORGOTTEN]
                   ? missing (op, &e->digest, err)
                   : 0;
    if (rec->length &&
        rec->length != (e->has_chunk_length ? e->chunk_length : e->length))
        return fail (err, DFS_EINVAL, "chunk has another length: %llu",
                     (unsigned long long)rec->length);
    if (rec->condemned && rec->condemned > placed_index)
        return missing (op, &e->digest, err);
    return 0;
}

int extents_check (op_t *op, Dfs__Extent *const *extents, size_t n, uint64_t *end,
                   uint64_t placed_index, dfs_error_t *err)
{
    if (n > COMMIT_EXTENTS || op->n_inl > INLINE_PER_ENTRY)
        return fail (err, DFS_ETOOBIG, "too many extents in one entry: stage them");
    bool *used = arena_zalloc (op->scratch, op->n_inl + 1);
    if (!used)
        return refuse (err, DFS_ENOMEM);
    uint64_t came = 0;
    for (size_t i = 0; i < n; i++) {
        const Dfs__Extent *e = extents[i];
        int rc = check_shape (e, *end, err);
        if (rc == 0 && i > 0 && e->kind == DFS__EXTENT_KIND__EXTENT_HOLE &&
            extents[i - 1]->kind == e->kind)
            rc = fail (err, DFS_EINVAL, "two holes side by side");
        if (rc == 0 && e->kind == DFS__EXTENT_KIND__EXTENT_CHUNK)
            rc = check_chunk (op, e, placed_index, err);
        else if (rc == 0 && e->kind == DFS__EXTENT_KIND__EXTENT_INLINE)
            rc = check_inline (op, e, &came, used, err);
        if (rc < 0)
            return rc;
        *end += e->length;
    }
    if (op->result->n_missing)
        return fail (err, DFS_EMISSING, "%zu chunks must be sent again",
                     op->result->n_missing);
    return 0;
}

int extents_pack (op_t *op, Dfs__Extent *const *extents, size_t n,
                  Dfs__RecExtent ***out, dfs_error_t *err)
{
    Dfs__RecExtent *recs = arena_alloc (op->scratch, n * sizeof *recs + 1);
    *out = arena_alloc (op->scratch, n * sizeof **out + 1);
    if (!recs || !*out)
        return broken (op->view, err, DFS_ENOMEM, "too many extents", n);
    for (size_t i = 0; i < n; i++) {
        const Dfs__Extent *e = extents[i];
        Dfs__RecExtent *rec = &recs[i];
        dfs__rec_extent__init (rec);
        rec->length = e->length;
        if (e->kind != DFS__EXTENT_KIND__EXTENT_CHUNK)
            set_field (rec, kind, e->kind);
        if (e->kind != DFS__EXTENT_KIND__EXTENT_HOLE) {
            set_field (rec, digest, e->digest);
            if (e->domain)
                set_field (rec, domain, e->domain);
            if (e->chunk_offset)
                set_field (rec, chunk_offset, e->chunk_offset);
            if (e->has_chunk_length && e->chunk_length != e->length)
                set_field (rec, chunk_length, e->chunk_length);
        }
        (*out)[i] = rec;
    }
    return 0;
}

void extent_unpack (const Dfs__RecExtent *rec, uint64_t offset, Dfs__Extent *out)
{
    dfs__extent__init (out);
    out->offset = offset;
    out->length = rec->length;
    out->kind = extent_kind (rec);
    if (out->kind == DFS__EXTENT_KIND__EXTENT_HOLE)
        return;
    set_field (out, digest, rec->digest);
    if (rec->domain)
        set_field (out, domain, rec->domain);
    if (rec->chunk_offset)
        set_field (out, chunk_offset, rec->chunk_offset);
    set_field (out, chunk_length, extent_chunk_length (rec));
}
