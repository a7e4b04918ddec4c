/* SPDX-License-Identifier: MPL-2.0 */
/* What the fake broker answers about files that are there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "lib_fake.h"

static void put_attr (const fake_file_t *file, Dfs__Attr *attr)
{
    dfs__attr__init (attr);
    attr->inode = file->version;
    attr->type = DFS__FILE_TYPE__FILE_REGULAR;
    attr->mode = file->mode;
    attr->size = file->size;
    attr->mtime_ns = file->mtime_ns;
    attr->version = file->version;
}

/* A page of FILE's extents from OFFSET on. */
static size_t put_extents (fake_t *self, const fake_file_t *file, uint64_t offset,
                           Dfs__Extent ***list, bool *more)
{
    size_t page = self->knobs.extent_page, n = 0, i = 0;

    while (i < file->n && file->extents[i].offset + file->extents[i].length <= offset)
        i++;
    *list = arena_alloc (self->arena, (page + 1) * sizeof **list);
    for (; i < file->n && n < page; i++) {
        const fake_extent_t *from = &file->extents[i];
        Dfs__Extent *e = arena_alloc (self->arena, sizeof *e);
        dfs__extent__init (e);
        (*list)[n++] = e;
        e->offset = from->offset;
        e->length = from->length;
        e->kind = (Dfs__ExtentKind)from->kind;
        if (from->kind == DFS__EXTENT_KIND__EXTENT_HOLE)
            continue;
        e->has_digest = e->has_chunk_length = true;
        e->digest.data = (uint8_t *)(uintptr_t)from->digest;
        e->digest.len = 32;
        e->chunk_length = from->chunk_length;
    }
    *more = i < file->n;
    return n;
}

void fake_open (fake_t *self, const Dfs__Envelope *asked)
{
    Dfs__Envelope env;
    Dfs__Opened body = DFS__OPENED__INIT;
    Dfs__OpenResult results[256], *list[256];
    Dfs__Attr attrs[256];
    Dfs__InlineData data[256], *dlist[256];
    size_t n = asked->open->n_paths;

    self->counts.opens++;
    for (size_t i = 0; i < n; i++) {
        const ProtobufCBinaryData *path = &asked->open->paths[i];
        const fake_file_t *file = fake_file (self, path->data, path->len);
        bool more;
        dfs__open_result__init (list[i] = &results[i]);
        if (!file) {
            results[i].code = DFS_ENOENT;
            continue;
        }
        put_attr (file, &attrs[i]);
        results[i].attr = &attrs[i];
        results[i].has_handle = true;
        results[i].handle.data = (uint8_t *)(uintptr_t)file->path;
        results[i].handle.len = strlen (file->path);
        results[i].n_extents = put_extents (self, file, 0, &results[i].extents, &more);
        results[i].has_more = true;
        results[i].more = more;
        if (file->data) {
            dfs__inline_data__init (dlist[i] = &data[i]);
            data[i].digest.data = file->extents[0].digest;
            data[i].digest.len = 32;
            data[i].data.data = file->data;
            data[i].data.len = file->size;
            results[i].inline_ = &dlist[i];
            results[i].n_inline_ = 1;
        }
    }
    envelope_answer (&env, asked);
    body.results = list;
    body.n_results = n;
    env.body_case = DFS__ENVELOPE__BODY_OPENED;
    env.opened = &body;
    fake_send (self, &env);
}

void fake_extents (fake_t *self, const Dfs__Envelope *asked)
{
    Dfs__Envelope env;
    Dfs__ExtentsReply body = DFS__EXTENTS_REPLY__INIT;
    const fake_file_t *file =
        fake_file (self, asked->extents->handle.data, asked->extents->handle.len);
    bool more;

    body.n_extents =
        put_extents (self, file, asked->extents->offset, &body.extents, &more);
    body.has_more = true;
    body.more = more;
    envelope_answer (&env, asked);
    env.body_case = DFS__ENVELOPE__BODY_EXTENTS_REPLY;
    env.extents_reply = &body;
    fake_send (self, &env);
}

void fake_stat (fake_t *self, const Dfs__Envelope *asked)
{
    Dfs__Envelope env;
    Dfs__StatReply body = DFS__STAT_REPLY__INIT;
    size_t n = asked->stat->n_paths;
    Dfs__StatResult *results = calloc (n, sizeof *results);
    Dfs__StatResult **list = calloc (n, sizeof *list);
    Dfs__Attr *attrs = calloc (n, sizeof *attrs);

    for (size_t i = 0; i < n; i++) {
        const fake_file_t *file =
            fake_file (self, asked->stat->paths[i].data, asked->stat->paths[i].len);
        dfs__stat_result__init (list[i] = &results[i]);
        bool root = !file && asked->stat->paths[i].len == 1;
        results[i].code = file || root ? 0 : DFS_ENOENT;
        if (root) {
            dfs__attr__init (&attrs[i]);
            attrs[i].type = DFS__FILE_TYPE__FILE_DIRECTORY;
            attrs[i].has_policy = attrs[i].has_replicas = true;
            attrs[i].policy = self->knobs.policy;
            attrs[i].replicas = 3;
            results[i].attr = &attrs[i];
        } else if (file) {
            put_attr (file, &attrs[i]);
            results[i].attr = &attrs[i];
        }
    }
    body.results = list;
    body.n_results = n;
    envelope_answer (&env, asked);
    env.body_case = DFS__ENVELOPE__BODY_STAT_REPLY;
    env.stat_reply = &body;
    fake_send (self, &env);
    free (results);
    free (list);
    free (attrs);
}

static bool once (atomic_uint *knob)
{
    return *knob > 0 && (*knob)-- > 0;
}

/* Every directory has twelve files, in pages of four. */
void fake_list (fake_t *self, const Dfs__Envelope *asked)
{
    const Dfs__List *ask = asked->list;
    Dfs__Envelope env;
    Dfs__Listing body = DFS__LISTING__INIT;
    Dfs__ListEntry entries[4], *list[4];
    Dfs__Attr attr = DFS__ATTR__INIT;
    Dfs__Status status = DFS__STATUS__INIT;
    char names[4][8], cursor[8];
    unsigned at = ask->has_cursor ? (unsigned)atoi ((const char *)ask->cursor.data) : 0;
    bool first = !ask->has_cursor;

    attr.type = DFS__FILE_TYPE__FILE_REGULAR;
    envelope_answer (&env, asked);
    if (!first && once (&self->knobs.list_gone)) {
        status.code = DFS_ESTALE;
        env.status = &status;
        fake_send (self, &env);
        return;
    }
    body.index = first ? 7 + self->knobs.list_moved : ask->index;
    body.index += !first && once (&self->knobs.list_moved);
    for (; !(first && self->knobs.list_hollow) && at < 12 && body.n_entries < 4; at++) {
        size_t i = body.n_entries++;
        dfs__list_entry__init (list[i] = &entries[i]);
        snprintf (names[i], sizeof names[i], "f%02u", at);
        entries[i].path = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)names[i]};
        entries[i].attr = &attr;
    }
    body.entries = list;
    body.has_cursor = at < 12;
    snprintf (cursor, sizeof cursor, "%u", at);
    body.cursor =
        (ProtobufCBinaryData){.len = strlen (cursor) + 1, .data = (uint8_t *)cursor};
    env.body_case = DFS__ENVELOPE__BODY_LISTING;
    env.listing = &body;
    fake_send (self, &env);
}
