/* SPDX-License-Identifier: MPL-2.0 */
/* Extent lists of a put: filled in file order while chunks are still on their way,
 * staged page by page when long, committed when all is durable. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/put.h"
#include "common/rng.h"

#define MISSING_MAX 8

static void stage_build (change_t *change, arena_t *arena, Dfs__Op *op);
static void stage_done (change_t *change, int code, const Dfs__OpResult *result,
                        const dfs_error_t *err);

static put_page_t *new_page (put_file_t *file)
{
    put_page_t *page = calloc (1, sizeof *page);
    assert (page);
    page->file = file;
    page->number = file->next_page++;
    page->index = UINT64_MAX;
    TAILQ_INSERT_TAIL (&file->pages, page, link);
    file->n_pages++;
    return page;
}

void put_page_free (put_page_t *page)
{
    changes_drop (page->file->put->dfs->changes, &page->change);
    TAILQ_REMOVE (&page->file->pages, page, link);
    page->file->n_pages--;
    free (page->extents);
    free (page);
}

put_page_t *put_page_extent (put_file_t *file, uint64_t offset, uint64_t length,
                             bool hole)
{
    put_page_t *page = TAILQ_LAST (&file->pages, page_queue);

    if (!page || page->n == PUT_PAGE)
        page = new_page (file);
    if (page->n == page->cap) {
        page->cap = page->cap ? page->cap * 4 : 1;
        if (page->cap > PUT_PAGE)
            page->cap = PUT_PAGE;
        page->extents = realloc (page->extents, page->cap * sizeof *page->extents);
        assert (page->extents);
    }
    page->extents[page->n++] =
        (put_extent_t){.offset = offset, .length = length, .hole = hole};
    if (!hole)
        page->open++;
    return page;
}

static Dfs__Extent **build_extents (const put_page_t *page, arena_t *arena,
                                    bool inlined)
{
    Dfs__Extent **list = arena_alloc (arena, (page->n + 1) * sizeof *list);
    Dfs__Extent *extents = arena_alloc (arena, (page->n + 1) * sizeof *extents);

    assert (list && extents);
    for (size_t i = 0; i < page->n; i++) {
        put_extent_t *from = &page->extents[i];
        Dfs__Extent *to = list[i] = &extents[i];
        dfs__extent__init (to);
        to->offset = from->offset;
        to->length = from->length;
        to->kind = from->hole ? DFS__EXTENT_KIND__EXTENT_HOLE
                   : inlined  ? DFS__EXTENT_KIND__EXTENT_INLINE
                              : DFS__EXTENT_KIND__EXTENT_CHUNK;
        if (from->hole)
            continue;
        to->has_digest = to->has_chunk_length = true;
        to->digest.data = from->digest;
        to->digest.len = 32;
        to->chunk_length = from->length;
    }
    return list;
}

static void stage_build (change_t *change, arena_t *arena, Dfs__Op *op)
{
    put_page_t *page = (put_page_t *)change;
    Dfs__OpStage *stage = arena_alloc (arena, sizeof *stage);

    assert (stage);
    dfs__op_stage__init (stage);
    stage->upload = page->file->upload;
    stage->page = page->number;
    stage->extents = build_extents (page, arena, false);
    stage->n_extents = page->n;
    stage->has_placed_index = page->index != UINT64_MAX;
    stage->placed_index = page->index;
    stage->has_policy = page->file->policy.id != 0;
    stage->policy = page->file->policy.id;
    op->op_case = DFS__OP__OP_STAGE;
    op->stage = stage;
}

static void commit_build (change_t *change, arena_t *arena, Dfs__Op *op)
{
    put_file_t *file = (put_file_t *)((char *)change - offsetof (put_file_t, change));
    put_page_t *page = TAILQ_LAST (&file->pages, page_queue);
    Dfs__OpCommit *commit = arena_alloc (arena, sizeof *commit);
    const dfs_put_item_t *item = file->item;
    int flags = file->put->flags;

    assert (commit);
    dfs__op_commit__init (commit);
    commit->path.data = (uint8_t *)(uintptr_t)item->dest;
    commit->path.len = strlen (item->dest);
    commit->has_create = commit->has_replace = commit->has_append = true;
    commit->create = (flags & DFS_PUT_CREATE) != 0;
    commit->replace = (flags & DFS_PUT_REPLACE) != 0;
    commit->append = (flags & DFS_PUT_APPEND) != 0;
    commit->has_make_parents = true;
    commit->make_parents = (flags & DFS_PUT_PARENTS) != 0;
    commit->has_expected_version = item->if_version != 0;
    commit->expected_version = item->if_version;
    commit->size = file->source.size;
    commit->has_upload = file->upload != 0;
    commit->upload = file->upload;
    commit->has_mode = true;
    commit->mode = item->mode != UINT32_MAX ? item->mode & 07777 : file->source.mode;
    commit->mtime_ns =
        item->mtime_ns != UINT64_MAX ? item->mtime_ns : file->source.mtime_ns;
    commit->has_mtime_ns = commit->mtime_ns != UINT64_MAX;
    commit->has_policy = file->put->options->policy != 0;
    commit->policy = file->put->options->policy;
    commit->has_placed_policy = file->policy.id != 0;
    commit->placed_policy = file->policy.id;
    if (!page)
        return (void)(op->op_case = DFS__OP__OP_COMMIT, op->commit = commit);
    commit->extents = build_extents (page, arena, file->inline_data != NULL);
    commit->n_extents = page->n;
    commit->has_placed_index = page->index != UINT64_MAX;
    commit->placed_index = page->index;
    if (file->inline_data) {
        Dfs__InlineData *data = arena_alloc (arena, sizeof *data);
        commit->inline_ = arena_alloc (arena, sizeof *commit->inline_);
        assert (data && commit->inline_);
        dfs__inline_data__init (data);
        data->digest = commit->extents[0]->digest;
        data->data.data = file->inline_data;
        data->data.len = page->extents[0].length;
        commit->inline_[0] = data;
        commit->n_inline_ = 1;
    }
    op->op_case = DFS__OP__OP_COMMIT;
    op->commit = commit;
}

/* Chunks of PAGE were condemned since they were placed: the whole page is placed again,
 * so that one index stands for all of it; only what is gone will be sent. */
static bool place_again (put_page_t *page, const Dfs__OpResult *result)
{
    put_file_t *file = page->file;

    if (!result || result->n_missing == 0 || file->inline_data ||
        file->missing++ == MISSING_MAX)
        return false;
    page->index = UINT64_MAX;
    for (size_t i = 0; i < page->n; i++) {
        put_extent_t *extent = &page->extents[i];
        if (extent->hole)
            continue;
        put_chunk_t *chunk = put_chunk_new (file->put, file);
        chunk->page = page;
        chunk->slot = (uint32_t)i;
        chunk->offset = extent->offset;
        chunk->length = extent->length;
        memcpy (chunk->key.digest, extent->digest, 32);
        page->open++;
        file->put->progress.bytes -= extent->length;
        put_chunk_hashed (chunk);
    }
    return true;
}

static void stage_done (change_t *change, int code, const Dfs__OpResult *result,
                        const dfs_error_t *err)
{
    put_page_t *page = (put_page_t *)change;
    put_file_t *file = page->file;

    file->stages--;
    client_progress (file->put->dfs);
    if (code == 0) {
        page->state = PAGE_STAGED;
        file->missing = 0;
        free (page->extents);
        page->extents = NULL;
        put_page_free (page);
    } else if (code == DFS_EMISSING && place_again (page, result))
        page->state = PAGE_OPEN;
    else
        put_file_failed (file, code, err->text);
    put_file_step (file);
}

static void drop_build (change_t *change, arena_t *arena, Dfs__Op *op)
{
    put_file_t *file = (put_file_t *)((char *)change - offsetof (put_file_t, change));
    Dfs__OpUploadDrop *drop = arena_alloc (arena, sizeof *drop);

    assert (drop);
    dfs__op_upload_drop__init (drop);
    drop->upload = file->upload;
    op->op_case = DFS__OP__OP_UPLOAD_DROP;
    op->upload_drop = drop;
}

static void drop_done (change_t *change, int code, const Dfs__OpResult *result,
                       const dfs_error_t *err)
{
    put_file_t *file = (put_file_t *)((char *)change - offsetof (put_file_t, change));

    (void)code;
    (void)result;
    (void)err;
    file->upload = 0;
    file->committing = false;
    put_file_step (file);
}

static void commit_done (change_t *change, int code, const Dfs__OpResult *result,
                         const dfs_error_t *err)
{
    put_file_t *file = (put_file_t *)((char *)change - offsetof (put_file_t, change));
    put_page_t *page = TAILQ_LAST (&file->pages, page_queue);

    file->committing = false;
    if (code == 0 && result) {
        file->item->version = result->version;
        file->item->size = result->has_size ? result->size : file->source.size;
        file->item->copies = file->copies != UINT32_MAX
                                 ? file->copies
                                 : conn_facts (file->put->dfs->conn)->replicas;
        file->item->wanted = file->policy.replicas;
        file->finished = true;
        file->upload = 0;
    } else if (!put_inline_refused (file, code) &&
               (code != DFS_EMISSING || !page || !place_again (page, result)))
        put_file_failed (file, code, err->text);
    put_file_step (file);
}

static void commit (put_file_t *file)
{
    file->committing = true;
    file->change.build = commit_build;
    file->change.done = commit_done;
    changes_add (file->put->dfs->changes, &file->change);
}

void put_commit_step (put_file_t *file)
{
    put_page_t *page, *last = TAILQ_LAST (&file->pages, page_queue);

    if (file->committing)
        return;
    if (file->item->code < 0) {
        if (file->upload && file->stages == 0 && file->chunks == 0) {
            file->committing = true;
            file->change.build = drop_build;
            file->change.done = drop_done;
            changes_add (file->put->dfs->changes, &file->change);
        }
        return;
    }
    TAILQ_FOREACH (page, &file->pages, link)
    {
        if (page == last || page->open > 0)
            break; /* pages are staged in order */
        if (page->state != PAGE_OPEN)
            continue;
        while (!file->upload)
            file->upload = rng_secret_u64 ();
        page->state = PAGE_STAGING;
        page->change.build = stage_build;
        page->change.done = stage_done;
        file->stages++;
        changes_add (file->put->dfs->changes, &page->change);
    }
    if (!file->ended || file->reading || file->chunks > 0 || file->stages > 0 ||
        file->n_pages > 1)
        return;
    if (file->source.stream)
        file->source.size = file->offset;
    commit (file);
}
