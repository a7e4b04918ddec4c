/* SPDX-License-Identifier: MPL-2.0 */
/* First pass of fsck: references are tallied, and their targets must be there. */
#include <inttypes.h>
#include <string.h>

#include "broker/namespace/extent.h"
#include "broker/namespace/fsck_checks.h"
#include "broker/namespace/inode.h"
#include "broker/namespace/page.h"
#include "broker/namespace/tables.h"
#include "msgs/path.h"

static bool exists (fsck_t *f, enum table table, const void *key, size_t len)
{
    const void *value;
    size_t size;
    return table_fetch (&f->view, table, key, len, &value, &size, NULL) > 0;
}

static void tally_page (fsck_t *f, const char *what, uint64_t owner, uint64_t page)
{
    uint8_t key[KEY_MAX];
    if (page == 0)
        return;
    key_id (key, page);
    if (!exists (f, T_PAGE, key, 8))
        fsck_fault (f, "%s %" PRIu64 ": page %" PRIu64 " is missing", what, owner,
                    page);
    tally_add (f->map, TALLY_PAGE, key, 8, 1);
}

static void tally_dentry (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecDentry *dentry = rec;
    uint8_t id[KEY_MAX];
    char name[1100];
    if (len <= 8 || len > 8 + NAME_MAX_LEN) {
        fsck_fault (f, "dentry: a key of %zu bytes", len);
        return;
    }
    path_escape (key + 8, len - 8, name, sizeof name);
    uint64_t parent = get64 (key);
    key_id (id, dentry->inode);
    tally_add (f->map, TALLY_LINK, id, 8, 1);
    if (dentry->since > f->applied)
        fsck_fault (f, "dentry %" PRIu64 "/%s: is from the future", parent, name);
    if (!exists (f, T_INODE, key, 8))
        fsck_fault (f, "dentry %" PRIu64 "/%s: its directory is missing", parent, name);
    arena_reset (f->scratch);
    Dfs__RecInode *inode;
    if (inode_read (&f->view, f->scratch, dentry->inode, &inode, NULL) <= 0)
        fsck_fault (f, "dentry %" PRIu64 "/%s: inode %" PRIu64 " is missing", parent,
                    name, dentry->inode);
    else if (inode->type != dentry->type)
        fsck_fault (f, "dentry %" PRIu64 "/%s: inode %" PRIu64 " has another type",
                    parent, name, dentry->inode);
    else if (inode->type == DFS__FILE_TYPE__FILE_DIRECTORY && inode->parent != parent)
        fsck_fault (f, "inode %" PRIu64 ": its parent is not %" PRIu64, dentry->inode,
                    parent);
}

static void tally_inode (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecInode *inode = rec;
    if (len == 8)
        tally_page (f, "inode", get64 (key), inode->root);
    else
        fsck_fault (f, "inode: a key of %zu bytes", len);
}

static void tally_past_inode (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecInode *inode = rec;
    f->counted[C_PAST]++;
    if (len != 16) {
        fsck_fault (f, "past_inode: a key of %zu bytes", len);
        return;
    }
    tally_page (f, "past inode", get64 (key), inode->root);
    if (inode->since >= ~get64 (key + 8))
        fsck_fault (f, "past inode %" PRIu64 ": ends before it begins", get64 (key));
}

static void tally_past_dentry (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecDentry *dentry = rec;
    f->counted[C_PAST]++;
    if (len < 8 + 1 + 1 + 8 || key[len - 9] != 0)
        fsck_fault (f, "past_dentry: a key of %zu bytes", len);
    else if (dentry->since >= ~get64 (key + len - 8))
        fsck_fault (f, "past dentry in %" PRIu64 ": ends before it begins",
                    get64 (key));
}

/* Turns a key of the log into that of the record it stands for. */
static void tally_past_log (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecPast *past = rec;
    uint8_t name[KEY_MAX];
    if (len < 17 || len > KEY_MAX - 16 ||
        (key[8] != T_PAST_INODE && key[8] != T_PAST_DENTRY)) {
        fsck_fault (f, "past_log: a malformed key");
        return;
    }
    uint64_t index = get64 (key);
    size_t n = len - 9;
    memcpy (name, key + 9, n);
    if (key[8] == T_PAST_DENTRY)
        name[n++] = 0;
    put64 (name + n, ~index);
    if (!exists (f, (enum table)key[8], name, n + 8))
        fsck_fault (f, "past_log: the record replaced at %" PRIu64 " is missing",
                    index);
    tally_add (f->map, TALLY_PAST, name, n + 8, 1);
    if (index > f->applied || past->time_ns > f->counters[C_TIME])
        fsck_fault (f, "past_log: entry %" PRIu64 " is from the future", index);
}

static void tally_upload (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    (void)rec;
    f->counted[C_UPLOADS]++;
    if (len != 16 || !exists (f, T_SESSION, key, 8))
        if (len != 16 || get64 (key) != 0)
            fsck_fault (f, "upload: its session is missing");
}

static void tally_staged (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecStaged *row = rec;
    Dfs__RecUpload *upload;
    arena_reset (f->scratch);
    if (len != 20 ||
        table_read (&f->view, T_UPLOAD, key, 16, &dfs__rec_upload__descriptor,
                    f->scratch, &upload, NULL) <= 0)
        fsck_fault (f, "staged page %" PRIu64 ": its upload is missing", row->page);
    else if (!upload->committed)
        tally_page (f, "staged page of upload", get64 (key + 8), row->page);
}

static void tally_content (fsck_t *f, uint64_t page, const Dfs__RecPage *rec,
                           const Dfs__RecExtent *e)
{
    uint8_t key[COPYKEY_LEN + 4];
    if (extent_kind (e) == DFS__EXTENT_KIND__EXTENT_HOLE)
        return;
    if (!e->has_digest || e->digest.len != 32) {
        fsck_fault (f, "page %" PRIu64 ": an extent without digest", page);
        return;
    }
    char hex[65];
    digest_hex (e->digest.data, 32, hex);
    if (extent_kind (e) == DFS__EXTENT_KIND__EXTENT_INLINE) {
        tally_add (f->map, TALLY_INLINE, e->digest.data, 32, 1);
        if (!exists (f, T_INLINE, e->digest.data, 32))
            fsck_fault (f, "page %" PRIu64 ": inline content %s is missing", page, hex);
        return;
    }
    copykey_t copy = {.domain = e->domain};
    memcpy (copy.digest, e->digest.data, 32);
    copykey_pack (&copy, key);
    put32 (key + COPYKEY_LEN, rec->policy);
    tally_add (f->map, TALLY_CHUNK, key, sizeof key, 1);
    Dfs__RecChunk *chunk;
    arena_reset (f->scratch);
    if (table_read (&f->view, T_CHUNK, key, COPYKEY_LEN, &dfs__rec_chunk__descriptor,
                    f->scratch, &chunk, NULL) <= 0)
        fsck_fault (f, "page %" PRIu64 ": chunk %s is missing", page, hex);
    else if (chunk->length != extent_chunk_length (e))
        fsck_fault (f, "page %" PRIu64 ": chunk %s has another length", page, hex);
}

static void tally_children (fsck_t *f, uint64_t id, const Dfs__RecPage *page)
{
    for (size_t i = 0; i < page->n_child; i++) {
        tally_page (f, "page", id, page->child[i]);
        if (i >= page->n_length || i >= page->n_count)
            continue;
        Dfs__RecPage *child;
        arena_reset (f->scratch);
        if (page_read (&f->view, f->scratch, page->child[i], &child, NULL) < 0)
            continue;
        uint64_t length = 0, count = child->n_extents;
        for (size_t j = 0; j < child->n_child; j++) {
            length += child->length[j];
            count += child->count[j];
        }
        for (size_t j = 0; j < child->n_extents; j++)
            length += child->extents[j]->length;
        if (length != page->length[i] || count != page->count[i] ||
            child->level + 1 != page->level)
            fsck_fault (f, "page %" PRIu64 ": child %" PRIu64 " is not what it says",
                        id, page->child[i]);
    }
}

static void tally_one_page (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecPage *page = rec;
    f->counted[C_PAGES]++;
    if (len != 8) {
        fsck_fault (f, "page: a key of %zu bytes", len);
        return;
    }
    uint64_t id = get64 (key);
    if (id >= f->counters[C_NEXT_PAGE])
        fsck_fault (f, "page %" PRIu64 ": its number is not used yet", id);
    if (!exists (f, T_REAP, key, 8))
        tally_children (f, id, page);
    else
        for (size_t i = 0; i < page->n_child; i++)
            tally_page (f, "page", id, page->child[i]);
    for (size_t i = 0; i < page->n_extents; i++)
        tally_content (f, id, page, page->extents[i]);
}

int fsck_tally_all (fsck_t *f)
{
    int rc = fsck_each (f, T_DENTRY, &dfs__rec_dentry__descriptor, tally_dentry);
    if (rc == 0)
        rc = fsck_each (f, T_INODE, &dfs__rec_inode__descriptor, tally_inode);
    if (rc == 0)
        rc = fsck_each (f, T_PAST_INODE, &dfs__rec_inode__descriptor, tally_past_inode);
    if (rc == 0)
        rc = fsck_each (f, T_PAST_DENTRY, &dfs__rec_dentry__descriptor,
                        tally_past_dentry);
    if (rc == 0)
        rc = fsck_each (f, T_PAST_LOG, &dfs__rec_past__descriptor, tally_past_log);
    if (rc == 0)
        rc = fsck_each (f, T_UPLOAD, &dfs__rec_upload__descriptor, tally_upload);
    if (rc == 0)
        rc = fsck_each (f, T_STAGED, &dfs__rec_staged__descriptor, tally_staged);
    if (rc == 0)
        rc = fsck_each (f, T_PAGE, &dfs__rec_page__descriptor, tally_one_page);
    return rc;
}
