/* SPDX-License-Identifier: MPL-2.0 */
/* Second pass of fsck: records against what was tallied. */
#include <inttypes.h>
#include <string.h>

#include "broker/namespace/extent.h"
#include "broker/namespace/fsck_checks.h"
#include "broker/namespace/page.h"
#include "broker/namespace/tables.h"
#include "broker/namespace/tree.h"

/* Size, number of extents and tree hash of a file against its pages. */
static void check_content (fsck_t *f, uint64_t id, const Dfs__RecInode *inode)
{
    tree_t tree;
    tree_start (&tree, f->digest, NULL, 0);
    uint64_t size = 0, extents = 0, chunks = 0;
    for (;;) {
        Dfs__RecExtent **list;
        size_t n;
        uint64_t offset;
        arena_reset (f->scratch);
        if (page_extents (&f->view, f->scratch, inode->root, PAGE_BY_NUMBER, extents,
                          TREE_GROUP, &list, &n, &offset, NULL) < 0) {
            fsck_fault (f, "inode %" PRIu64 ": its pages cannot be read", id);
            return;
        }
        if (n && offset != size)
            fsck_fault (f, "inode %" PRIu64 ": extents do not follow each other", id);
        tree_add (&tree, list, n);
        for (size_t i = 0; i < n; i++)
            size += list[i]->length;
        extents += n;
        chunks += extents_chunks (list, n);
        if (n < TREE_GROUP)
            break;
    }
    if (size != inode->size || extents != inode->extents || chunks != inode->chunks)
        fsck_fault (
            f,
            "inode %" PRIu64 ": %" PRIu64 " bytes in %" PRIu64 " extents (%" PRIu64
            " chunks) kept, %" PRIu64 " in %" PRIu64 " (%" PRIu64 ") found",
            id, inode->size, inode->extents, inode->chunks, size, extents, chunks);
    Dfs__RecInode want = DFS__REC_INODE__INIT;
    if (tree_finish (&tree, f->scratch, &want, NULL) < 0)
        return;
    if (inode->tree.len != 32 || memcmp (inode->tree.data, want.tree.data, 32) != 0 ||
        inode->chain.len != want.chain.len ||
        (want.chain.len && memcmp (inode->chain.data, want.chain.data, 32) != 0))
        fsck_fault (f, "inode %" PRIu64 ": the tree hash is not that of its extents",
                    id);
}

static void compare_inode (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecInode *inode = rec;
    if (len != 8)
        return;
    uint64_t id = get64 (key);
    uint64_t links = tally_get (f->map, TALLY_LINK, key, 8);
    if (id >= f->counters[C_NEXT_INODE] || inode->since > f->applied)
        fsck_fault (f, "inode %" PRIu64 ": is from the future", id);
    if (inode->type == DFS__FILE_TYPE__FILE_DIRECTORY) {
        f->counted[C_DIRECTORIES]++;
        bool top = id == ROOT_INODE || tally_get (f->map, TALLY_DETACHED, key, 8);
        if (links != !top)
            fsck_fault (f, "inode %" PRIu64 ": directory with %" PRIu64 " names", id,
                        links);
        return;
    }
    if (links != inode->nlink && !inode->orphan)
        fsck_fault (f, "inode %" PRIu64 ": link count %u, %" PRIu64 " names", id,
                    inode->nlink, links);
    if (inode->type == DFS__FILE_TYPE__FILE_SYMLINK) {
        f->counted[C_SYMLINKS]++;
        return;
    }
    f->counted[C_FILES]++;
    f->counted[C_BYTES_LOGICAL] += inode->size;
    if (inode->type == DFS__FILE_TYPE__FILE_REGULAR)
        check_content (f, id, inode);
}

static void compare_past (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    (void)rec;
    if (!tally_get (f->map, TALLY_PAST, key, len))
        fsck_fault (f, "past: a record of %" PRIu64 " is not in the log", get64 (key));
}

static void compare_page (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    (void)rec;
    if (len != 8)
        return;
    uint64_t id = get64 (key);
    uint64_t refs, found = tally_get (f->map, TALLY_PAGE, key, 8);
    const void *value;
    size_t size;
    bool reap = table_fetch (&f->view, T_REAP, key, 8, &value, &size, NULL) > 0;
    if (page_refs (&f->view, id, &refs, NULL) < 0)
        return;
    if (reap)
        refs--;
    if (refs != found)
        fsck_fault (f,
                    "page %" PRIu64 ": %" PRIu64 " references kept, %" PRIu64 " found",
                    id, refs, found);
}

static void compare_page_refs (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecCount *count = rec;
    const void *value;
    size_t size;
    if (count->count < 2 ||
        table_fetch (&f->view, T_PAGE, key, len, &value, &size, NULL) <= 0)
        fsck_fault (f, "page_refs: count of a page that has none");
}

static void compare_reap (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    (void)rec;
    const void *value;
    size_t size;
    if (table_fetch (&f->view, T_PAGE, key, len, &value, &size, NULL) <= 0)
        fsck_fault (f, "reap: a page that is gone");
}

static void compare_chunk (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecChunk *chunk = rec;
    uint8_t full[COPYKEY_LEN + 4];
    if (len != COPYKEY_LEN || chunk->n_policy != chunk->n_refs) {
        fsck_fault (f, "chunk: a malformed record");
        return;
    }
    char hex[65];
    digest_hex (key + 4, 32, hex);
    memcpy (full, key, COPYKEY_LEN);
    for (size_t i = 0; i < chunk->n_refs; i++) {
        put32 (full + COPYKEY_LEN, chunk->policy[i]);
        uint64_t found = tally_get (f->map, TALLY_CHUNK, full, sizeof full);
        if (found != chunk->refs[i] || found == 0)
            fsck_fault (f,
                        "chunk %s: %" PRIu64
                        " references under policy %u kept, %" PRIu64 " found",
                        hex, chunk->refs[i], chunk->policy[i], found);
        f->counted_refs++;
    }
    if (chunk->n_refs) {
        f->counted[C_CHUNKS]++;
        f->counted[C_CHUNK_BYTES] += chunk->length;
    } else
        f->found_free++;
}

/* A chunk without references stands in exactly one of the lists. */
static void compare_free (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    Dfs__RecChunk *chunk;
    (void)rec;
    arena_reset (f->scratch);
    if (len != 8 + COPYKEY_LEN ||
        table_read (&f->view, T_CHUNK, key + 8, COPYKEY_LEN,
                    &dfs__rec_chunk__descriptor, f->scratch, &chunk, NULL) <= 0 ||
        chunk->n_refs ||
        (chunk->freed != get64 (key) && chunk->condemned != get64 (key)))
        fsck_fault (f, "free: a row of a chunk that is not");
    else
        f->counted_free++;
}

static void compare_condemned (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    f->counted[C_CONDEMNED]++;
    compare_free (f, key, len, rec);
}

static void compare_drop (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    (void)key;
    (void)rec;
    f->counted[C_DROPS]++;
    if (len != COPYKEY_LEN + 4)
        fsck_fault (f, "drop: a key of %zu bytes", len);
}

static void compare_inline (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecInline *content = rec;
    uint8_t digest[32];
    char hex[65];
    if (len != 32) {
        fsck_fault (f, "inline: a key of %zu bytes", len);
        return;
    }
    digest_hex (key, 32, hex);
    digest_sha256 (content->data.data, content->data.len, digest);
    if (memcmp (digest, key, 32) != 0)
        fsck_fault (f, "inline %s: the bytes have another digest", hex);
    uint64_t found = tally_get (f->map, TALLY_INLINE, key, 32);
    if (found != content->refs)
        fsck_fault (f, "inline %s: %" PRIu64 " references kept, %" PRIu64 " found", hex,
                    content->refs, found);
    f->counted[C_INLINE]++;
    f->counted[C_INLINE_BYTES] += content->data.len;
}

static void compare_session (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecSession *session = rec;
    (void)key;
    (void)len;
    f->counted[C_SESSIONS] += !session->expired;
}

static void compare_request (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const void *value;
    size_t size;
    (void)rec;
    if (len != 16 ||
        table_fetch (&f->view, T_SESSION, key, 8, &value, &size, NULL) <= 0)
        fsck_fault (f, "request: its session is missing");
}

static void compare_job (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecJob *job = rec;
    uint8_t id[KEY_MAX];
    (void)key;
    (void)len;
    f->counted[C_JOBS]++;
    if (job->kind == DFS__JOB_KIND__JOB_REMOVE_TREE) {
        key_id (id, job->root);
        tally_add (f->map, TALLY_DETACHED, id, 8, 1);
    }
}

int fsck_compare_all (fsck_t *f)
{
    int rc = fsck_each (f, T_JOB, &dfs__rec_job__descriptor, compare_job);
    if (rc == 0)
        rc = fsck_each (f, T_INODE, &dfs__rec_inode__descriptor, compare_inode);
    if (rc == 0)
        rc = fsck_each (f, T_PAST_INODE, NULL, compare_past);
    if (rc == 0)
        rc = fsck_each (f, T_PAST_DENTRY, NULL, compare_past);
    if (rc == 0)
        rc = fsck_each (f, T_PAGE, NULL, compare_page);
    if (rc == 0)
        rc = fsck_each (f, T_PAGE_REFS, &dfs__rec_count__descriptor, compare_page_refs);
    if (rc == 0)
        rc = fsck_each (f, T_REAP, NULL, compare_reap);
    if (rc == 0)
        rc = fsck_each (f, T_CHUNK, &dfs__rec_chunk__descriptor, compare_chunk);
    if (rc == 0 && f->counted_refs != tally_keys (f->map, TALLY_CHUNK))
        fsck_fault (f, "chunk: references that no record counts");
    if (rc == 0)
        rc = fsck_each (f, T_FREE, &dfs__rec_free__descriptor, compare_free);
    if (rc == 0)
        rc = fsck_each (f, T_CONDEMNED, &dfs__rec_free__descriptor, compare_condemned);
    if (rc == 0)
        rc = fsck_each (f, T_DROP, &dfs__rec_drop__descriptor, compare_drop);
    if (rc == 0 && f->counted_free != f->found_free)
        fsck_fault (f, "chunk: %" PRIu64 " without references, %" PRIu64 " listed",
                    f->found_free, f->counted_free);
    if (rc == 0)
        rc = fsck_each (f, T_INLINE, &dfs__rec_inline__descriptor, compare_inline);
    if (rc == 0)
        rc = fsck_each (f, T_SESSION, &dfs__rec_session__descriptor, compare_session);
    if (rc == 0)
        rc = fsck_each (f, T_REQUEST, &dfs__op_result__descriptor, compare_request);
    return rc;
}
