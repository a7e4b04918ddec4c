/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "check.h"
#include "path.h"

#define CHUNK_MAX    (64ULL * 1024 * 1024)
#define FILE_MAX     (1ULL << 60)
#define STAGE_MAX    512 /* extents of one page */
#define COMMIT_MAX   512 /* extents in a commit; longer lists are staged */
#define INLINE_COUNT 64
#define INLINE_BYTES (64 * 1024)

int check_bytes (const ProtobufCBinaryData *data, size_t want, const char *field,
                 dfs_error_t *err)
{
    if (data->len != want)
        return fail (err, DFS_EPROTO, "%s: %zu bytes instead of %zu", field, data->len,
                     want);
    return DFS_OK;
}

int check_copykey (const Dfs__CopyKey *key, copykey_t *out, dfs_error_t *err)
{
    if (!key)
        return fail (err, DFS_EPROTO, "copy key: missing");
    int rc = check_bytes (&key->digest, 32, "copy key", err);
    if (rc < 0)
        return rc;
    if (key->has_part && key->part > UINT16_MAX)
        return fail (err, DFS_EPROTO, "copy key: part %u", key->part);
    out->domain = key->has_domain ? key->domain : 0;
    out->part = key->has_part ? (uint16_t)key->part : 0;
    memcpy (out->digest, key->digest.data, 32);
    return DFS_OK;
}

void check_put_copykey (const copykey_t *key, Dfs__CopyKey *out)
{
    dfs__copy_key__init (out);
    union {
        const uint8_t *in;
        uint8_t *out;
    } p = {.in = key->digest};
    out->digest.data = p.out;
    out->digest.len = 32;
    out->has_domain = key->domain != 0;
    out->domain = key->domain;
    out->has_part = key->part != 0;
    out->part = key->part;
}

int check_text (const char *text, size_t max, const char *field, dfs_error_t *err)
{
    if (!text || !text[0])
        return fail (err, DFS_EPROTO, "%s: empty", field);
    size_t len = strlen (text);
    if (len > max)
        return fail (err, DFS_EPROTO, "%s: longer than %zu bytes", field, max);
    /* path_escape leaves exactly what is printable UTF-8 without backslash alone. */
    char out[1025];
    if (len < sizeof out / 4) {
        path_escape (text, len, out, sizeof out);
        if (strcmp (out, text) != 0)
            return fail (err, DFS_EPROTO, "%s: not printable text", field);
        return DFS_OK;
    }
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return fail (err, DFS_EPROTO, "%s: not printable text", field);
    return DFS_OK;
}

int check_extents (Dfs__Extent *const *extents, size_t n, uint64_t first_offset,
                   uint64_t *end, dfs_error_t *err)
{
    uint64_t at = first_offset;
    for (size_t i = 0; i < n; i++) {
        const Dfs__Extent *e = extents[i];
        if (e->offset != at)
            return fail (err, DFS_EPROTO, "extent %zu: starts at %llu instead of %llu",
                         i, (unsigned long long)e->offset, (unsigned long long)at);
        if (e->length == 0 || e->length > FILE_MAX || at > FILE_MAX - e->length)
            return fail (err, DFS_EPROTO, "extent %zu: length", i);
        if (e->kind == DFS__EXTENT_KIND__EXTENT_HOLE) {
            if (e->has_digest)
                return fail (err, DFS_EPROTO, "extent %zu: a hole with a digest", i);
        } else if (e->kind == DFS__EXTENT_KIND__EXTENT_CHUNK ||
                   e->kind == DFS__EXTENT_KIND__EXTENT_INLINE) {
            if (!e->has_digest || e->digest.len != 32)
                return fail (err, DFS_EPROTO, "extent %zu: digest", i);
            uint64_t from = e->has_chunk_offset ? e->chunk_offset : 0;
            if (!e->has_chunk_length || e->chunk_length == 0 ||
                e->chunk_length > CHUNK_MAX || from > e->chunk_length ||
                e->length > e->chunk_length - from)
                return fail (err, DFS_EPROTO, "extent %zu: range in its chunk", i);
            if (e->has_domain && e->domain != 0)
                return fail (err, DFS_EPROTO, "extent %zu: domain %u is not known", i,
                             e->domain);
        } else
            return fail (err, DFS_EPROTO, "extent %zu: kind %d", i, (int)e->kind);
        at += e->length;
    }
    *end = at;
    return DFS_OK;
}

static int check_path (const ProtobufCBinaryData *path, dfs_error_t *err)
{
    char out[PATH_MAX_LEN + 1];
    int rc = path_normalise (path->data, path->len, out, err);
    return rc < 0 ? rc : DFS_OK;
}

static int check_two_paths (const ProtobufCBinaryData *a, const ProtobufCBinaryData *b,
                            dfs_error_t *err)
{
    int rc = check_path (a, err);
    return rc < 0 ? rc : check_path (b, err);
}

static int check_inline (Dfs__InlineData *const *list, size_t n, dfs_error_t *err)
{
    if (n > INLINE_COUNT)
        return fail (err, DFS_EPROTO, "inline: %zu contents", n);
    for (size_t i = 0; i < n; i++) {
        int rc = check_bytes (&list[i]->digest, 32, "inline digest", err);
        if (rc < 0)
            return rc;
        if (list[i]->data.len == 0 || list[i]->data.len > INLINE_BYTES)
            return fail (err, DFS_EPROTO, "inline: %zu bytes", list[i]->data.len);
    }
    return DFS_OK;
}

static int check_commit (const Dfs__OpCommit *c, dfs_error_t *err)
{
    int rc = check_path (&c->path, err);
    if (rc == 0 && c->n_extents > COMMIT_MAX)
        rc = fail (err, DFS_EPROTO, "commit: %zu extents; longer lists are staged",
                   c->n_extents);
    uint64_t end = 0;
    /* With staged pages before them, the extents go on where those end. */
    uint64_t first = c->has_upload && c->n_extents ? c->extents[0]->offset : 0;
    if (rc == 0)
        rc = check_extents (c->extents, c->n_extents, first, &end, err);
    if (rc == 0 && (c->n_extents || !c->has_upload) && end != c->size)
        rc = fail (err, DFS_EPROTO, "commit: extents end at %llu, size is %llu",
                   (unsigned long long)end, (unsigned long long)c->size);
    if (rc == 0 && c->size > FILE_MAX)
        rc = fail (err, DFS_ETOOBIG, "commit: size");
    if (rc == 0)
        rc = check_inline (c->inline_, c->n_inline_, err);
    if (rc == 0 && c->has_mode && c->mode > 07777)
        rc = fail (err, DFS_EPROTO, "commit: mode");
    return rc;
}

static int check_stage (const Dfs__OpStage *s, dfs_error_t *err)
{
    if (s->n_extents == 0 || s->n_extents > STAGE_MAX)
        return fail (err, DFS_EPROTO, "stage: %zu extents", s->n_extents);
    uint64_t end;
    int rc = check_extents (s->extents, s->n_extents, s->extents[0]->offset, &end, err);
    return rc < 0 ? rc : check_inline (s->inline_, s->n_inline_, err);
}

static int check_symlink (const Dfs__OpSymlink *s, dfs_error_t *err)
{
    if (s->target.len == 0 || s->target.len > PATH_MAX_LEN ||
        memchr (s->target.data, 0, s->target.len))
        return fail (err, DFS_EINVAL, "symlink: target");
    return check_path (&s->path, err);
}

int check_op (const Dfs__Op *op, bool leader, dfs_error_t *err)
{
    if (!op)
        return fail (err, DFS_EPROTO, "operation: missing");
    switch (op->op_case) {
    case DFS__OP__OP_COMMIT:
        return check_commit (op->commit, err);
    case DFS__OP__OP_STAGE:
        return check_stage (op->stage, err);
    case DFS__OP__OP_UPLOAD_DROP:
        return DFS_OK;
    case DFS__OP__OP_MKDIR:
        if (op->mkdir->has_mode && op->mkdir->mode > 07777)
            return fail (err, DFS_EPROTO, "mkdir: mode");
        return check_path (&op->mkdir->path, err);
    case DFS__OP__OP_RMDIR:
        return check_path (&op->rmdir->path, err);
    case DFS__OP__OP_UNLINK:
        return check_path (&op->unlink->path, err);
    case DFS__OP__OP_RENAME:
        return check_two_paths (&op->rename->from, &op->rename->to, err);
    case DFS__OP__OP_CLONE:
        return check_two_paths (&op->clone->from, &op->clone->to, err);
    case DFS__OP__OP_SYMLINK:
        return check_symlink (op->symlink, err);
    case DFS__OP__OP_LINK:
        return check_two_paths (&op->link->from, &op->link->to, err);
    case DFS__OP__OP_SETATTR:
        if (op->setattr->has_mode && op->setattr->mode > 07777)
            return fail (err, DFS_EPROTO, "setattr: mode");
        return check_path (&op->setattr->path, err);
    case DFS__OP__OP_SEED:
    case DFS__OP__OP_POLICY_SET:
    case DFS__OP__OP_POLICY_REMOVE:
    case DFS__OP__OP_MEMBER_SET:
    case DFS__OP__OP_USER_SET:
    case DFS__OP__OP_SESSION_EXPIRE:
    case DFS__OP__OP_JOB_STEP:
    case DFS__OP__OP_PRUNE:
        return leader ? DFS_OK : fail (err, DFS_EPERM, "operation: not for clients");
    default:
        return fail (err, DFS_EPROTO, "operation: kind %d", (int)op->op_case);
    }
}
