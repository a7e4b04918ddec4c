/* SPDX-License-Identifier: MPL-2.0 */
/* dfs_list: pages of one moment; the next one is on its way while this one is shown. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/attr.h"
#include "client/lib/client.h"
#include "common/units.h"

#define PAGE_ENTRIES 8192
#define PAGE_ARENA   (16 * MIB)
#define BEGIN_MAX    8 /* times that a listing begins anew, before anything was shown */

typedef struct listing {
    dfs_t *dfs;
    const char *path;
    const dfs_list_options_t *options;
    arena_t *arena[2]; /* of the page that is shown and the one that came since */
    Dfs__Listing *page[2];
    uint8_t cursor[8192];
    size_t cursor_len;
    uint64_t index;
    uint64_t part, part_lost; /* of a long file between two pages */
    bool arrived;             /* page[1] is there, or code says why not */
    bool gone;                /* its moment is not kept any more */
    bool shown;               /* something of the moment at INDEX */
    unsigned begun;
    int code;
    dfs_error_t err;
} listing_t;

static void page_done (void *arg, int code, const Dfs__Envelope *reply,
                       const dfs_error_t *err)
{
    listing_t *self = arg;

    self->arrived = true;
    client_progress (self->dfs);
    if (code == DFS_ESTALE) {
        self->gone = true;
        return;
    }
    if (code < 0) {
        self->code = code;
        self->err = *err;
        return;
    }
    if (reply->body_case != DFS__ENVELOPE__BODY_LISTING) {
        self->code = fail (&self->err, DFS_EPROTO, "broker answered another question");
        return;
    }
    /* the reply is gone when the next message comes: a copy of our own */
    size_t len = dfs__listing__get_packed_size (reply->listing);
    uint8_t *packed = malloc (len + 1);
    assert (packed);
    dfs__listing__pack (reply->listing, packed);
    arena_reset (self->arena[1]);
    self->page[1] =
        dfs__listing__unpack (arena_allocator (self->arena[1]), len, packed);
    free (packed);
    if (!self->page[1])
        self->code = fail (&self->err, DFS_ENOMEM, "listing page is too large");
    else if (self->index && self->page[1]->index != self->index)
        self->gone = true; /* a broker that goes on with what is there now */
}

static int ask_page (listing_t *self)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__List body = DFS__LIST__INIT;

    body.path.data = (uint8_t *)(uintptr_t)self->path;
    body.path.len = strlen (self->path);
    body.has_recursive = body.has_brief = body.has_limit = true;
    body.recursive = self->options->recursive;
    body.brief = self->options->brief;
    body.limit = PAGE_ENTRIES;
    body.pattern = (char *)(uintptr_t)self->options->pattern;
    body.has_cursor = self->cursor_len > 0;
    body.cursor.data = self->cursor;
    body.cursor.len = self->cursor_len;
    body.has_lost = body.lost = self->options->lost;
    body.has_contents = body.contents = self->options->content != NULL;
    body.has_content_bits = body.contents;
    body.content_bits = self->options->content_bits;
    body.has_part = self->part > 0;
    body.part = self->part;
    body.has_part_lost = self->part_lost > 0;
    body.part_lost = self->part_lost;
    body.has_index = self->index != 0;
    body.index = self->index;
    env.body_case = DFS__ENVELOPE__BODY_LIST;
    env.list = &body;
    self->arrived = false;
    if (requests_send (self->dfs->requests, &env, 0, page_done, self) == 0)
        return fail (&self->err, DFS_ETOOBIG, "too large for a message");
    return 0;
}

/* The broker cannot go on with the moment that was listed: another one may have names
 * elsewhere, which would be missed. */
static int begin_again (listing_t *self)
{
    if (self->shown || self->begun++ == BEGIN_MAX)
        return fail (&self->err, DFS_ESTALE,
                     "%s changed while it was listed, and that took too long",
                     self->path);
    self->gone = false;
    self->index = self->part = self->part_lost = 0;
    self->cursor_len = 0;
    return ask_page (self);
}

/* Moves the page that arrived to the front and asks for the one after it. */
static int next_page (listing_t *self, bool *more)
{
    Dfs__Listing *page = self->page[1];
    arena_t *arena = self->arena[0];

    self->arena[0] = self->arena[1];
    self->arena[1] = arena;
    self->page[0] = page;
    self->page[1] = NULL;
    self->index = page->index;
    self->part = page->part;
    self->part_lost = page->part_lost;
    *more = page->has_cursor && (page->cursor.len > 0 || page->part > 0);
    if (!*more)
        return 0;
    if (page->cursor.len > sizeof self->cursor)
        return fail (&self->err, DFS_EPROTO, "cursor is too long");
    memcpy (self->cursor, page->cursor.data, page->cursor.len);
    self->cursor_len = page->cursor.len;
    return ask_page (self);
}

static int show (listing_t *self,
                 int (*each) (const char *path, const dfs_stat_t *st, void *arg),
                 void *arg)
{
    char path[4096 + 1], target[4096 + 1];
    dfs_stat_t st;

    const Dfs__Listing *page = self->page[0];
    self->shown |= page->n_entries > 0;
    for (size_t i = 0; i < page->n_contents && i < page->n_content_lengths; i++)
        if (self->options->content)
            self->options->content (page->contents[i], page->content_lengths[i] >> 1,
                                    page->content_lengths[i] & 1, arg);
    for (size_t i = 0; i < self->page[0]->n_entries; i++) {
        const Dfs__ListEntry *entry = self->page[0]->entries[i];
        if (entry->path.len >= sizeof path)
            return fail (&self->err, DFS_EPROTO, "path of an entry is too long");
        memcpy (path, entry->path.data, entry->path.len);
        path[entry->path.len] = 0;
        attr_to_stat (entry->attr, &st);
        st.lost = entry->lost;
        if (entry->attr->has_target && entry->attr->target.len < sizeof target) {
            memcpy (target, entry->attr->target.data, entry->attr->target.len);
            target[entry->attr->target.len] = 0;
            st.target = target;
        }
        int rc = each (path, &st, arg);
        if (rc != 0) {
            fail (&self->err, rc, "listing was ended");
            return rc;
        }
    }
    return 0;
}

int dfs_list (dfs_t *dfs, const char *path, const dfs_list_options_t *options,
              int (*each) (const char *path, const dfs_stat_t *st, void *arg),
              void *arg, dfs_error_t *err)
{
    static const dfs_list_options_t none = {0};
    bool more = true;
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    listing_t *self = calloc (1, sizeof *self);
    assert (self);
    self->dfs = dfs;
    self->path = path;
    self->options = options ? options : &none;
    self->arena[0] = arena_new (PAGE_ARENA);
    self->arena[1] = arena_new (PAGE_ARENA);
    rc = ask_page (self);
    while (rc == 0 && more) {
        rc = client_wait (dfs, &self->arrived, &self->err);
        if (rc == 0)
            rc = self->code;
        if (rc == 0 && self->gone) {
            rc = begin_again (self);
            continue;
        }
        if (rc == 0)
            rc = next_page (self, &more);
        if (rc == 0)
            rc = show (self, each, arg);
        client_progress (dfs);
    }
    requests_forget (dfs->requests, self);
    if (rc != 0)
        fail (err, rc, "%s", self->err.text);
    arena_destroy (&self->arena[0]);
    arena_destroy (&self->arena[1]);
    free (self);
    client_leave (dfs);
    return rc;
}
