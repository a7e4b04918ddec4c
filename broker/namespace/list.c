/* SPDX-License-Identifier: MPL-2.0 */
/* Listings by pages: names in byte order, trees depth first. A page ends at its bounds
 * in entries, bytes and records looked at; its cursor is the path looked at last. */
#include <fnmatch.h>
#include <string.h>

#include "broker/namespace/attributes.h"
#include "broker/namespace/chunk.h"
#include "broker/namespace/dentry.h"
#include "broker/namespace/extent.h"
#include "broker/namespace/inode.h"
#include "broker/namespace/page.h"
#include "broker/namespace/readers.h"
#include "broker/namespace/tables.h"
#include "msgs/path.h"

enum {
    LIST_DEFAULT = 1000,
    LIST_MAX = 10000,
    LIST_BYTES = 900 * 1024,
    LIST_VISITED = 50000,
    LIST_EXTENTS = 512,
    LIST_ENTRY = 16 * 1024, /* more than any entry needs */
    CONTENT_BYTES = 13,     /* packed, at most */
    LIST_DEPTH = PATH_MAX_LEN / 2 + 2,
};

typedef struct level {
    uint64_t dir;
    size_t prefix; /* length of the path to it, with the slash behind */
} level_t;

typedef struct lister {
    const namespace_reader_t *reader;
    view_t *view;
    arena_t *scratch; /* of a record at a time */
    arena_t *arena;   /* of the answer */
    const Dfs__List *asked;
    MDB_cursor *cursor;
    level_t *levels;
    size_t depth;                /* levels in use */
    char path[PATH_MAX_LEN + 1]; /* at hand, relative */
    size_t len;
    char last[PATH_MAX_LEN + 1]; /* looked at last: the cursor */
    size_t last_len;
    Dfs__Listing *out;
    size_t limit;
    size_t bytes;
    size_t visited;
    uint64_t part; /* of the file looked at next: extents that need no look any more */
    uint64_t part_lost;
    dfs_error_t *err;
} lister_t;

static bool matches (const lister_t *l, const char *name, size_t len)
{
    char text[NAME_MAX_LEN + 1];
    if (!l->asked->pattern || !l->asked->pattern[0])
        return true;
    memcpy (text, name, len);
    text[len] = 0;
    return fnmatch (l->asked->pattern, text, 0) == 0;
}

/* No page has more: extents that are looked at, and those of the last piece. */
#define CONTENTS_MOST (LIST_VISITED + LIST_EXTENTS)

static int add_content (lister_t *l, const Dfs__RecExtent *e)
{
    Dfs__Listing *out = l->out;
    bool inlined = extent_kind (e) == DFS__EXTENT_KIND__EXTENT_INLINE;
    if (extent_kind (e) == DFS__EXTENT_KIND__EXTENT_HOLE || e->digest.len != 32)
        return 0;
    if (!out->contents) {
        out->contents = arena_alloc (l->arena, CONTENTS_MOST * sizeof *out->contents);
        out->content_lengths =
            arena_alloc (l->arena, CONTENTS_MOST * sizeof *out->content_lengths);
        if (!out->contents || !out->content_lengths)
            return refuse (l->err, DFS_ENOMEM);
    }
    uint64_t id = get64 (e->digest.data);
    uint32_t bits = l->asked->content_bits < 63 ? l->asked->content_bits : 63;
    if (id & ((1ULL << bits) - 1))
        return 0;
    out->contents[out->n_contents++] = id;
    out->content_lengths[out->n_content_lengths++] =
        extent_chunk_length (e) << 1 | inlined;
    l->bytes += CONTENT_BYTES;
    return 0;
}

/* Counts extents of the file INODE whose chunk is lost, or says what they hold; *ENDED
 * when the page ends in the middle of it. */
static int look_through (lister_t *l, uint64_t inode, uint64_t *lost, bool *ended)
{
    Dfs__RecInode *rec;
    uint64_t root, all, at = l->part, n_lost = l->part_lost;
    int rc = inode_must (l->view, l->scratch, inode, &rec, l->err);

    *lost = 0;
    *ended = false;
    if (rc < 0)
        return rc;
    root = rec->root;
    all = root ? rec->extents : 0;
    l->part = l->part_lost = 0;
    while (at < all) {
        Dfs__RecExtent **extents;
        uint64_t offset;
        size_t n;
        if (l->visited >= LIST_VISITED ||
            (l->asked->contents &&
             l->bytes + LIST_EXTENTS * CONTENT_BYTES > LIST_BYTES - LIST_ENTRY)) {
            l->part = at;
            l->part_lost = n_lost;
            *ended = true;
            return 0;
        }
        arena_reset (l->scratch);
        rc = page_extents (l->view, l->scratch, root, PAGE_BY_NUMBER, at, LIST_EXTENTS,
                           &extents, &n, &offset, l->err);
        if (rc < 0 || n == 0)
            return rc;
        for (size_t i = 0; i < n; i++) {
            copykey_t key = {.domain = extents[i]->domain};
            if (l->asked->contents && (rc = add_content (l, extents[i])) < 0)
                return rc;
            if (extent_kind (extents[i]) != DFS__EXTENT_KIND__EXTENT_CHUNK ||
                extents[i]->digest.len != sizeof key.digest)
                continue;
            memcpy (key.digest, extents[i]->digest.data, sizeof key.digest);
            n_lost += reader_is_lost (l->reader, &key);
        }
        at += n;
        l->visited += n;
    }
    *lost = n_lost;
    return 0;
}

/* Adds the path at hand; 0 added, 1 no room for it, negative. */
static int add (lister_t *l, uint64_t inode, Dfs__FileType type, uint64_t lost)
{
    Dfs__Attr attr;
    Dfs__RecInode *rec = NULL;
    if (l->asked->brief) {
        dfs__attr__init (&attr);
        attr.inode = inode;
        attr.type = type;
    } else {
        int rc = inode_must (l->view, l->scratch, inode, &rec, l->err);
        if (rc < 0)
            return rc;
        attributes_fill (l->view, inode, rec, &attr);
    }
    Dfs__ListEntry entry = DFS__LIST_ENTRY__INIT;
    uint8_t *path = arena_dup (l->arena, l->path, l->len);
    Dfs__ListEntry *kept = arena_alloc (l->arena, sizeof *kept);
    if (!path || !kept)
        return refuse (l->err, DFS_ENOMEM);
    entry.path.data = path;
    entry.path.len = l->len;
    entry.attr = &attr;
    entry.has_lost = lost > 0;
    entry.lost = lost;
    size_t size = dfs__list_entry__get_packed_size (&entry) + 4;
    if (l->bytes + size > LIST_BYTES)
        return 1;
    l->bytes += size;
    *kept = entry;
    l->out->entries[l->out->n_entries++] = kept;
    if (rec)
        return attributes_new (l->view, l->arena, inode, rec, &kept->attr, l->err);
    kept->attr = arena_dup (l->arena, &attr, sizeof attr);
    return kept->attr ? 0 : refuse (l->err, DFS_ENOMEM);
}

/* Puts the cursor at the first name of the level at hand, or behind AFTER. 1 found, 0
 * none, negative. */
static int seek (lister_t *l, const char *after, size_t len, MDB_val *k, MDB_val *v)
{
    uint64_t dir = l->levels[l->depth - 1].dir;
    uint8_t key[KEY_MAX];
    size_t n = key_dentry (key, dir, after, len);
    *k = (MDB_val){.mv_size = n, .mv_data = key};
    int rc = mdb_cursor_get (l->cursor, k, v, MDB_SET_RANGE);
    if (rc == 0 && len && k->mv_size == n && memcmp (k->mv_data, key, n) == 0)
        rc = mdb_cursor_get (l->cursor, k, v, MDB_NEXT);
    if (rc == MDB_NOTFOUND || (rc == 0 && memcmp (k->mv_data, key, 8) != 0))
        return 0;
    if (rc != 0) {
        l->view->broken = true;
        return kv_fail (l->err, rc, "dentry");
    }
    return 1;
}

static int next (lister_t *l, MDB_val *k, MDB_val *v)
{
    uint64_t dir = l->levels[l->depth - 1].dir;
    int rc = mdb_cursor_get (l->cursor, k, v, MDB_NEXT);
    if (rc == MDB_NOTFOUND || (rc == 0 && get64 (k->mv_data) != dir))
        return 0;
    if (rc != 0) {
        l->view->broken = true;
        return kv_fail (l->err, rc, "dentry");
    }
    return 1;
}

static void descend (lister_t *l, uint64_t dir)
{
    l->path[l->len++] = '/';
    l->levels[l->depth++] = (level_t){.dir = dir, .prefix = l->len};
}

/* Goes down to where the last page ended. FROM and FROM_LEN are the name to go on
 * behind, at the level that was reached. */
static int resume (lister_t *l, const char **from, size_t *from_len)
{
    if (!l->asked->has_cursor || l->asked->cursor.len == 0) {
        *from = "";
        *from_len = 0;
        return 0;
    }
    const char *p = (const char *)l->asked->cursor.data;
    const char *end = p + l->asked->cursor.len;
    *from = "";
    *from_len = 0;
    while (p < end) {
        const char *slash = memchr (p, '/', (size_t)(end - p));
        size_t n = slash ? (size_t)(slash - p) : (size_t)(end - p);
        if (n == 0 || n > NAME_MAX_LEN || l->len + n > PATH_MAX_LEN)
            return fail (l->err, DFS_EINVAL, "bad cursor");
        *from = p;
        *from_len = n;
        p += n + (slash != NULL);
        if (!l->asked->recursive)
            return p < end ? fail (l->err, DFS_EINVAL, "bad cursor") : 0;
        Dfs__RecDentry *dentry;
        int rc = dentry_read (l->view, l->scratch, l->levels[l->depth - 1].dir, *from,
                              n, &dentry, l->err);
        if (rc < 0)
            return rc;
        if (rc == 0 || dentry->type != DFS__FILE_TYPE__FILE_DIRECTORY ||
            l->depth >= LIST_DEPTH || l->len + n + 1 > PATH_MAX_LEN)
            return 0;
        memcpy (l->path + l->len, *from, n);
        l->len += n;
        descend (l, dentry->inode);
        *from_len = 0;
    }
    return 0;
}

/* Looks at the record the cursor is on. 0 go on, 1 the page ends before it, 2 gone down
 * into it. */
static int visit (lister_t *l, const MDB_val *k, const MDB_val *v)
{
    size_t prefix = l->levels[l->depth - 1].prefix;
    size_t n = k->mv_size - 8;
    if (k->mv_size <= 8 || n > NAME_MAX_LEN)
        return broken (l->view, l->err, DFS_EDAMAGED, "malformed name",
                       l->levels[l->depth - 1].dir);
    if (prefix + n > PATH_MAX_LEN) /* deeper than any path may be */
        return 0;
    arena_reset (l->scratch);
    Dfs__RecDentry *dentry =
        dfs__rec_dentry__unpack (arena_allocator (l->scratch), v->mv_size, v->mv_data);
    if (!dentry)
        return broken (l->view, l->err, DFS_EDAMAGED, "dentry does not unpack",
                       l->levels[l->depth - 1].dir);
    if (l->visited >= LIST_VISITED || l->out->n_entries >= l->limit)
        return 1;
    const char *name = (const char *)k->mv_data + 8;
    memcpy (l->path + prefix, name, n);
    l->len = prefix + n;
    uint64_t inode = dentry->inode, lost = 0;
    Dfs__FileType type = dentry->type;
    bool wanted = matches (l, name, n);
    if (wanted && (l->asked->lost || l->asked->contents)) {
        bool ended = false;
        int rc = type == DFS__FILE_TYPE__FILE_REGULAR
                     ? look_through (l, inode, &lost, &ended)
                     : 0;
        if (rc < 0 || ended)
            return rc < 0 ? rc : 1;
        wanted = lost > 0 || !l->asked->lost;
    }
    l->part = l->part_lost = 0;
    if (wanted) {
        int rc = add (l, inode, type, lost);
        if (rc != 0)
            return rc;
    }
    memcpy (l->last, l->path, l->len);
    l->last_len = l->len;
    l->visited++;
    if (!l->asked->recursive || type != DFS__FILE_TYPE__FILE_DIRECTORY ||
        l->depth >= LIST_DEPTH || l->len + 1 > PATH_MAX_LEN)
        return 0;
    descend (l, inode);
    return 2;
}

/* Up one level: the cursor goes behind the directory that is done. 1, 0 at the end. */
static int ascend (lister_t *l, MDB_val *k, MDB_val *v)
{
    while (l->depth > 1) {
        l->depth--;
        size_t prefix = l->levels[l->depth - 1].prefix;
        size_t end = l->levels[l->depth].prefix - 1; /* without the slash */
        int rc = seek (l, l->path + prefix, end - prefix, k, v);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int fill (lister_t *l)
{
    const char *from;
    size_t from_len;
    int rc = resume (l, &from, &from_len);
    if (rc < 0)
        return rc;
    l->last_len = l->asked->has_cursor ? l->asked->cursor.len : 0;
    if (l->last_len)
        memcpy (l->last, l->asked->cursor.data, l->last_len);
    MDB_val k, v;
    rc = seek (l, from, from_len, &k, &v);
    for (;;) {
        if (rc == 0)
            rc = ascend (l, &k, &v);
        if (rc <= 0)
            return rc;
        rc = visit (l, &k, &v);
        if (rc == 1 || rc < 0)
            break;
        rc = rc == 2 ? seek (l, "", 0, &k, &v) : next (l, &k, &v);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    l->out->has_cursor = 1;
    l->out->cursor.data = arena_dup (l->arena, l->last, l->last_len);
    l->out->cursor.len = l->last_len;
    l->out->has_part = l->part > 0;
    l->out->part = l->part;
    l->out->has_part_lost = l->part_lost > 0;
    l->out->part_lost = l->part_lost;
    return l->out->cursor.data ? 0 : refuse (l->err, DFS_ENOMEM);
}

static int list (lister_t *l, const place_t *at)
{
    arena_t *own = arena_new (1024 * 1024); /* reset at each record */
    l->scratch = own;
    l->levels = arena_alloc (l->arena, (LIST_DEPTH + 1) * sizeof *l->levels);
    l->out->entries = arena_alloc (l->arena, l->limit * sizeof *l->out->entries);
    l->cursor = table_cursor (l->view, T_DENTRY, l->err);
    int rc = DFS_ENOMEM;
    if (!l->levels || !l->out->entries)
        refuse (l->err, rc);
    else if (!l->cursor)
        rc = l->err ? l->err->code : DFS_EINTERNAL;
    else {
        l->levels[0] = (level_t){.dir = at->inode};
        l->depth = 1;
        rc = fill (l);
    }
    if (l->cursor)
        mdb_cursor_close (l->cursor);
    arena_destroy (&own);
    return rc;
}

int namespace_list (namespace_reader_t *self, const Dfs__List *asked, arena_t *arena,
                    Dfs__Listing **out, dfs_error_t *err)
{
    if (asked->pattern && strlen (asked->pattern) > PATH_MAX_LEN)
        return refuse (err, DFS_ENAMETOOLONG);
    if (asked->has_cursor && asked->cursor.len > PATH_MAX_LEN)
        return fail (err, DFS_EINVAL, "bad cursor");
    snapshot_t snapshot;
    int rc = reader_take (self, asked->has_cursor || asked->part ? asked->index : 0,
                          &snapshot, err);
    if (rc < 0)
        return rc;
    lister_t *l = arena_zalloc (reader_scratch (self), sizeof *l);
    Dfs__Listing *listing = *out = arena_alloc (arena, sizeof *listing);
    place_t at;
    if (!l || !listing)
        rc = refuse (err, DFS_ENOMEM);
    else
        rc = walk_existing (&snapshot.view, reader_scratch (self), asked->path.data,
                            asked->path.len, WALK_FOLLOW, &at, err);
    if (rc == 0 && at.type != DFS__FILE_TYPE__FILE_DIRECTORY)
        rc = refuse (err, DFS_ENOTDIR);
    if (rc == 0) {
        dfs__listing__init (listing);
        listing->index = snapshot.index;
        l->reader = self;
        l->view = &snapshot.view;
        l->part = asked->part;
        l->part_lost = asked->part_lost;
        l->arena = arena;
        l->asked = asked;
        l->out = listing;
        l->err = err;
        l->limit = asked->limit == 0         ? LIST_DEFAULT
                   : asked->limit > LIST_MAX ? LIST_MAX
                                             : asked->limit;
        rc = list (l, &at);
    }
    reader_give (self, &snapshot, rc == 0 && listing->has_cursor);
    return rc;
}

int namespace_chunks (namespace_reader_t *self, const copykey_t *after,
                      chunk_row_t *out, size_t max, dfs_error_t *err)
{
    snapshot_t snapshot;
    int rc = reader_take (self, 0, &snapshot, err);
    if (rc < 0)
        return rc;
    uint8_t key[COPYKEY_LEN] = {0};
    if (after)
        copykey_pack (after, key);
    MDB_cursor *cursor = table_cursor (&snapshot.view, T_CHUNK, err);
    MDB_val k = {.mv_size = sizeof key, .mv_data = key}, v;
    size_t n = 0, looked = 0;
    rc = cursor ? mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE) : MDB_NOTFOUND;
    while (rc == 0 && n < max) {
        if (looked++ % 256 == 0)
            arena_reset (reader_scratch (self));
        Dfs__RecChunk *rec = NULL;
        if (k.mv_size == COPYKEY_LEN)
            rec = dfs__rec_chunk__unpack (arena_allocator (reader_scratch (self)),
                                          v.mv_size, v.mv_data);
        if (!rec)
            break;
        if (rec->n_refs && (!after || memcmp (k.mv_data, key, sizeof key) > 0)) {
            copykey_unpack (k.mv_data, &out[n].key);
            chunk_describe (&snapshot.view, rec, &out[n++].facts);
        }
        rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT);
    }
    bool damaged = rc == 0 && n < max;
    if (cursor)
        mdb_cursor_close (cursor);
    reader_give (self, &snapshot, false);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    return damaged ? fail (err, DFS_EDAMAGED, "chunk record does not unpack") : (int)n;
}
