/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "broker/namespace/chunk.h"
#include "broker/namespace/page.h"
#include "broker/namespace/tables.h"

enum {
    LOOKED = 64, /* extents whose reading counts as a record */
    SIBLINGS = PAGE_CHILDREN * (2 + PAGE_EXTENTS / LOOKED),
};

/* An index page with its lists. */
typedef struct index {
    Dfs__RecPage page;
    uint64_t child[PAGE_CHILDREN], length[PAGE_CHILDREN], count[PAGE_CHILDREN];
} index_t;

int page_read (view_t *view, arena_t *arena, uint64_t id, Dfs__RecPage **out,
               dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    int rc = table_read (view, T_PAGE, key, key_id (key, id),
                         &dfs__rec_page__descriptor, arena, out, err);
    if (rc == 0)
        return broken (view, err, DFS_EDAMAGED, "extent page is missing", id);
    if (rc < 0)
        return rc;
    const Dfs__RecPage *page = *out;
    if (page->level > PAGE_LEVELS || page->n_child != page->n_length ||
        page->n_child != page->n_count || (page->level > 0) != (page->n_child > 0) ||
        page->n_child > PAGE_CHILDREN || page->n_extents > PAGE_EXTENTS)
        return broken (view, err, DFS_EDAMAGED, "extent page is malformed", id);
    return 0;
}

static int add_page (op_t *op, const Dfs__RecPage *page, uint64_t *id, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    *id = op->ns->counters[C_NEXT_PAGE]++;
    op->ns->counters[C_PAGES]++;
    return table_write (op, T_PAGE, key, key_id (key, *id), &page->base, PUT_LAST, err);
}

int page_leaf (op_t *op, uint32_t policy, Dfs__RecExtent *const *extents, size_t n,
               branch_t *out, dfs_error_t *err)
{
    assert (n > 0 && n <= PAGE_EXTENTS);
    Dfs__RecExtent *list[PAGE_EXTENTS];
    memcpy (list, extents, n * sizeof *extents);
    Dfs__RecPage page = DFS__REC_PAGE__INIT;
    set_field (&page, policy, policy);
    page.n_extents = n;
    page.extents = list;
    *out = (branch_t){.count = n};
    for (size_t i = 0; i < n; i++)
        out->length += extents[i]->length;
    int rc = contents_take (op, extents, n, policy, err);
    return rc < 0 ? rc : add_page (op, &page, &out->page, err);
}

int page_leaves (op_t *op, uint32_t policy, Dfs__RecExtent *const *extents, size_t n,
                 branch_t *out, size_t *n_out, dfs_error_t *err)
{
    for (size_t i = 0; i < n; i += PAGE_EXTENTS) {
        size_t m = n - i < PAGE_EXTENTS ? n - i : PAGE_EXTENTS;
        int rc = page_leaf (op, policy, extents + i, m, &out[(*n_out)++], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_index (op_t *op, uint32_t level, const branch_t *children, size_t n,
                      branch_t *out, dfs_error_t *err)
{
    assert (n > 0 && n <= PAGE_CHILDREN && level <= PAGE_LEVELS);
    uint64_t child[PAGE_CHILDREN], length[PAGE_CHILDREN], count[PAGE_CHILDREN];
    *out = (branch_t){0};
    for (size_t i = 0; i < n; i++) {
        child[i] = children[i].page;
        out->length += length[i] = children[i].length;
        out->count += count[i] = children[i].count;
    }
    Dfs__RecPage page = DFS__REC_PAGE__INIT;
    set_field (&page, level, level);
    page.n_child = page.n_length = page.n_count = n;
    page.child = child;
    page.length = length;
    page.count = count;
    return add_page (op, &page, &out->page, err);
}

int page_build (op_t *op, branch_t *leaves, size_t n, branch_t *root, dfs_error_t *err)
{
    *root = (branch_t){0};
    for (uint32_t level = 1; n > 1; level++) {
        size_t made = 0;
        for (size_t i = 0; i < n; i += PAGE_CHILDREN) {
            size_t m = n - i < PAGE_CHILDREN ? n - i : PAGE_CHILDREN;
            branch_t index;
            int rc = add_index (op, level, leaves + i, m, &index, err);
            if (rc < 0)
                return rc;
            leaves[made++] = index;
        }
        n = made;
    }
    if (n == 1)
        *root = leaves[0];
    return 0;
}

int page_refs (view_t *view, uint64_t id, uint64_t *refs, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    const void *value;
    size_t len;
    *refs = 1;
    int rc = table_fetch (view, T_PAGE_REFS, key, key_id (key, id), &value, &len, err);
    if (rc <= 0)
        return rc;
    Dfs__RecCount *rec = dfs__rec_count__unpack (NULL, len, value);
    if (!rec)
        return broken (view, err, DFS_EDAMAGED, "page count does not unpack", id);
    *refs = rec->count;
    dfs__rec_count__free_unpacked (rec, NULL);
    return 0;
}

static int set_refs (op_t *op, uint64_t id, uint64_t refs, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_id (key, id);
    if (refs == 1)
        return table_del (op, T_PAGE_REFS, key, n, err);
    Dfs__RecCount rec = DFS__REC_COUNT__INIT;
    rec.count = refs;
    return table_write (op, T_PAGE_REFS, key, n, &rec.base, PUT_ANY, err);
}

int page_share (op_t *op, uint64_t id, dfs_error_t *err)
{
    uint64_t refs;
    int rc = page_refs (op->view, id, &refs, err);
    return rc < 0 ? rc : set_refs (op, id, refs + 1, err);
}

/* The leaf of EXTENTS below index page ID of level 1, merged with the leaves before it
 * that are not larger: sizes fall like the digits of a binary counter, so a file made
 * by N appends has few pages and each extent is counted again only log N times. */
static int join_leaves (op_t *op, uint32_t policy, const Dfs__RecPage *page,
                        Dfs__RecExtent *const *extents, size_t n, size_t *keep,
                        branch_t *out, dfs_error_t *err)
{
    Dfs__RecExtent *list[PAGE_EXTENTS];
    size_t start = PAGE_EXTENTS - n;
    memcpy (list + start, extents, n * sizeof *extents);
    *keep = page->n_child;
    while (*keep > 0 && page->count[*keep - 1] <= n &&
           page->count[*keep - 1] + n <= PAGE_EXTENTS) {
        Dfs__RecPage *leaf;
        int rc = page_read (op->view, op->scratch, page->child[*keep - 1], &leaf, err);
        if (rc < 0)
            return rc;
        if (leaf->policy != policy)
            break;
        start -= leaf->n_extents;
        n += leaf->n_extents;
        memcpy (list + start, leaf->extents, leaf->n_extents * sizeof *list);
        (*keep)--;
    }
    return page_leaf (op, policy, list + start, n, out, err);
}

/* Appends below page ID. OUT gets one branch that replaces it, or ID itself (shared)
 * and one branch beside it; *LEVEL is theirs. */
static int append_below (op_t *op, uint32_t policy, uint64_t id,
                         Dfs__RecExtent *const *extents, size_t n, branch_t out[2],
                         size_t *n_out, uint32_t *level, dfs_error_t *err)
{
    Dfs__RecPage *page;
    int rc = page_read (op->view, op->scratch, id, &page, err);
    if (rc < 0)
        return rc;
    *level = page->level;
    Dfs__RecPage single = DFS__REC_PAGE__INIT;
    branch_t self = {.page = id};
    size_t keep;
    branch_t sub[2];
    size_t n_sub = 1;
    if (page->level == 0) {
        for (size_t i = 0; i < page->n_extents; i++)
            self.length += page->extents[i]->length;
        self.count = page->n_extents;
        single.n_child = 1;
        single.child = &self.page;
        single.length = &self.length;
        single.count = &self.count;
        rc = join_leaves (op, policy, &single, extents, n, &keep, sub, err);
        if (rc < 0)
            return rc;
        *n_out = keep + 1;
        out[0] = keep ? self : sub[0];
        out[1] = sub[0];
        return keep ? page_share (op, id, err) : 0;
    }
    if (page->level == 1)
        rc = join_leaves (op, policy, page, extents, n, &keep, sub, err);
    else {
        uint32_t below;
        keep = page->n_child - 1;
        rc = append_below (op, policy, page->child[keep], extents, n, sub, &n_sub,
                           &below, err);
    }
    if (rc < 0)
        return rc;
    branch_t children[PAGE_CHILDREN + 1];
    for (size_t i = 0; i < page->n_child; i++) {
        children[i] = (branch_t){page->child[i], page->length[i], page->count[i]};
        self.length += page->length[i];
        self.count += page->count[i];
    }
    if (keep + n_sub > PAGE_CHILDREN) { /* full, and nothing below it changed */
        if (n_sub == 2 && (rc = page_release (op, sub[0].page, err)) < 0)
            return rc;
        out[0] = self;
        *n_out = 2;
        rc = page_share (op, id, err);
        return rc < 0 ? rc
                      : add_index (op, page->level, &sub[n_sub - 1], 1, &out[1], err);
    }
    for (size_t i = 0; i < keep; i++)
        if ((rc = page_share (op, page->child[i], err)) < 0)
            return rc;
    memcpy (children + keep, sub, n_sub * sizeof *sub);
    *n_out = 1;
    return add_index (op, page->level, children, keep + n_sub, &out[0], err);
}

int page_append (op_t *op, uint32_t policy, uint64_t root,
                 Dfs__RecExtent *const *extents, size_t n, branch_t *out,
                 dfs_error_t *err)
{
    uint64_t made = 0; /* a root of ours, replaced by the next step */
    *out = (branch_t){.page = root};
    for (size_t i = 0; i < n; i += PAGE_EXTENTS) {
        size_t m = n - i < PAGE_EXTENTS ? n - i : PAGE_EXTENTS;
        branch_t two[2];
        size_t n_two = 1;
        uint32_t level = 0;
        int rc;
        if (out->page == 0)
            rc = page_leaf (op, policy, extents + i, m, &two[0], err);
        else
            rc = append_below (op, policy, out->page, extents + i, m, two, &n_two,
                               &level, err);
        if (rc == 0 && n_two == 2)
            rc = add_index (op, level + 1, two, 2, out, err);
        else
            *out = two[0];
        if (rc == 0 && made)
            rc = page_release (op, made, err);
        if (rc < 0)
            return rc;
        made = out->page;
    }
    return 0;
}

/* Gives back what the last N parts of PAGE refer to and forgets them. */
static int strip (op_t *op, Dfs__RecPage *page, size_t n, dfs_error_t *err)
{
    if (page->level == 0) {
        page->n_extents -= n;
        return contents_drop (op, page->extents + page->n_extents, n, page->policy,
                              err);
    }
    page->n_child -= n;
    page->n_length = page->n_count = page->n_child;
    for (size_t i = 0; i < n; i++) {
        int rc = page_release (op, page->child[page->n_child + i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Reads page ID to give back what it refers to. Leaves are large and many: they lie in
 * an arena that the next one empties, with what an index page says copied to KEEP. */
static int look (op_t *op, uint64_t id, index_t *keep, Dfs__RecPage **out,
                 dfs_error_t *err)
{
    arena_reset (op->ns->leaf);
    int rc = page_read (op->view, op->ns->leaf, id, out, err);
    if (rc < 0)
        return rc;
    Dfs__RecPage *page = *out;
    if (page->level > 0) {
        size_t n = page->n_child;
        keep->page = *page;
        memcpy (keep->child, page->child, n * sizeof *keep->child);
        memcpy (keep->length, page->length, n * sizeof *keep->length);
        memcpy (keep->count, page->count, n * sizeof *keep->count);
        keep->page.child = keep->child;
        keep->page.length = keep->length;
        keep->page.count = keep->count;
        *out = &keep->page;
    }
    return 0;
}

static int free_page (op_t *op, uint64_t id, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t len = key_id (key, id);
    index_t keep;
    Dfs__RecPage *page;
    int rc = look (op, id, &keep, &page, err);
    if (rc < 0)
        return rc;
    op->records += (unsigned)page->n_extents / LOOKED; /* work, if nothing is written */
    /* A chunk that loses its last reference costs two records. */
    size_t n = page->level ? page->n_child : 2 * page->n_extents;
    /* Room is left for the siblings, which are looked at and cost a record each if they
     * must wait. */
    if (op->records + n + 1 + SIBLINGS > op->limit)
        return table_store (op, T_REAP, key, len, "", 0, PUT_NEW, err);
    rc = strip (op, page, page->level ? page->n_child : page->n_extents, err);
    op->ns->counters[C_PAGES]--;
    return rc < 0 ? rc : table_del (op, T_PAGE, key, len, err);
}

int page_release (op_t *op, uint64_t id, dfs_error_t *err)
{
    if (id == 0)
        return 0;
    uint64_t refs;
    int rc = page_refs (op->view, id, &refs, err);
    if (rc < 0)
        return rc;
    return refs > 1 ? set_refs (op, id, refs - 1, err) : free_page (op, id, err);
}

int page_reap (op_t *op, dfs_error_t *err)
{
    MDB_val k, v;
    int rc;
    while (op->records + 3 < op->limit) {
        rc = table_seek (op->view, T_REAP, NULL, 0, &k, &v, err);
        if (rc <= 0)
            return rc;
        uint8_t key[KEY_MAX];
        memcpy (key, k.mv_data, 8);
        index_t keep;
        Dfs__RecPage *page;
        rc = look (op, get64 (key), &keep, &page, err);
        if (rc < 0)
            return rc;
        size_t n = page->level ? page->n_child : page->n_extents;
        size_t room = op->limit - op->records - 3;
        op->records += (unsigned)page->n_extents / LOOKED;
        if (page->level == 0)
            room /= 2; /* two records for a chunk */
        bool whole = n <= room;
        rc = strip (op, page, whole ? n : room, err);
        if (rc < 0)
            return rc;
        if (!whole)
            return table_write (op, T_PAGE, key, 8, &page->base, PUT_ANY, err);
        op->ns->counters[C_PAGES]--;
        if ((rc = table_del (op, T_PAGE, key, 8, err)) < 0 ||
            (rc = table_del (op, T_REAP, key, 8, err)) < 0)
            return rc;
    }
    return 0;
}

int page_leaf_branches (view_t *view, arena_t *arena, uint64_t root, branch_t *out,
                        size_t max, size_t *n, dfs_error_t *err)
{
    Dfs__RecPage *page;
    int rc = root ? page_read (view, arena, root, &page, err) : 0;
    if (rc < 0 || root == 0)
        return rc;
    if (page->level == 0) {
        if (*n == max)
            return fail (err, DFS_ETOOBIG, "file has too many pages");
        branch_t self = {.page = root, .count = page->n_extents};
        for (size_t i = 0; i < page->n_extents; i++)
            self.length += page->extents[i]->length;
        out[(*n)++] = self;
        return 0;
    }
    for (size_t i = 0; i < page->n_child; i++) {
        if (page->level > 1)
            rc = page_leaf_branches (view, arena, page->child[i], out, max, n, err);
        else if (*n == max)
            return fail (err, DFS_ETOOBIG, "file has too many pages");
        else
            out[(*n)++] = (branch_t){page->child[i], page->length[i], page->count[i]};
        if (rc < 0)
            return rc;
    }
    return 0;
}

typedef struct gather {
    view_t *view;
    arena_t *arena;
    enum page_by by;
    uint64_t from;
    size_t max;
    Dfs__RecExtent **out;
    size_t n;
    uint64_t offset; /* of the first in OUT */
    dfs_error_t *err;
} gather_t;

/* OFFSET and NUMBER: of the first extent below ID. */
static int gather (gather_t *g, uint64_t id, uint64_t offset, uint64_t number)
{
    Dfs__RecPage *page;
    int rc = page_read (g->view, g->arena, id, &page, g->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < page->n_child && g->n < g->max; i++) {
        uint64_t end = g->by == PAGE_BY_OFFSET ? offset + page->length[i]
                                               : number + page->count[i];
        if (end > g->from && (rc = gather (g, page->child[i], offset, number)) < 0)
            return rc;
        offset += page->length[i];
        number += page->count[i];
    }
    for (size_t i = 0; i < page->n_extents && g->n < g->max; i++) {
        uint64_t end =
            g->by == PAGE_BY_OFFSET ? offset + page->extents[i]->length : number + 1;
        if (end > g->from) {
            if (g->n == 0)
                g->offset = offset;
            g->out[g->n++] = page->extents[i];
        }
        offset += page->extents[i]->length;
        number++;
    }
    return 0;
}

int page_extents (view_t *view, arena_t *arena, uint64_t root, enum page_by by,
                  uint64_t from, size_t max, Dfs__RecExtent ***out, size_t *n,
                  uint64_t *offset, dfs_error_t *err)
{
    gather_t g = {.view = view, .arena = arena, .by = by, .from = from, .max = max};
    g.err = err;
    g.out = arena_alloc (arena, max * sizeof *g.out + 1);
    if (!g.out)
        return fail (err, DFS_ENOMEM, "too many extents at once");
    int rc = root ? gather (&g, root, 0, 0) : 0;
    *out = g.out;
    *n = g.n;
    *offset = g.offset;
    return rc;
}
