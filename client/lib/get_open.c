/* SPDX-License-Identifier: MPL-2.0 */
/* Opening what is fetched: handles, attributes, extents. */
#include <string.h>

#include "client/lib/get.h"
#include "common/units.h"

#define OPEN_BATCH  64
#define OPEN_FLIGHT 4

static void take_attr (get_file_t *file, const Dfs__Attr *attr)
{
    const dfs_get_item_t *item = file->item;

    file->size = attr->size;
    file->mode = attr->mode;
    file->mtime_ns = attr->mtime_ns;
    file->item->version = attr->version;
    file->begin = item->offset < attr->size ? item->offset : attr->size;
    file->end = item->length < attr->size - file->begin ? file->begin + item->length
                                                        : attr->size;
    file->next = file->begin;
}

static int take_result (get_file_t *file, const Dfs__OpenResult *result,
                        dfs_error_t *err)
{
    if (result->code < 0)
        return fail (err, result->code, "%.400s",
                     result->text ? result->text : dfs_error_text (result->code));
    if (!result->attr || !result->has_handle ||
        result->handle.len > sizeof file->handle)
        return fail (err, DFS_EPROTO, "broker gave no handle");
    if (result->attr->type == DFS__FILE_TYPE__FILE_DIRECTORY)
        return fail (err, DFS_EISDIR, "is a directory");
    if (result->attr->type != DFS__FILE_TYPE__FILE_REGULAR)
        return fail (err, DFS_EINVAL, "is not a regular file");
    if (file->stale && file->item->version != result->attr->version)
        return fail (err, DFS_ESTALE, "was replaced while it was read");
    memcpy (file->handle, result->handle.data, result->handle.len);
    file->handle_len = result->handle.len;
    if (file->stale)
        return 0;
    take_attr (file, result->attr);
    return extents_add (&file->extents, result->extents, result->n_extents,
                        result->inline_, result->n_inline_,
                        result->has_more && result->more, err);
}

/* Which kind of thing is written to; the first look at a local problem. */
static void opened (get_file_t *file, const Dfs__OpenResult *result)
{
    dfs_error_t err = {0};

    file->get->opened_items++;
    if (take_result (file, result, &err) < 0 ||
        (file->target.kind != TARGET_MEMORY &&
         target_init (&file->target, file->item->dest, file->item->fd, &err) < 0))
        get_file_failed (file, err.code, err.text);
    else
        file->get->progress.bytes_total += file->end - file->begin;
    get_file_stage (file, FILE_CUTTING);
    get_file_step (file);
}

static void open_done (void *arg, int code, const Dfs__Envelope *reply,
                       const dfs_error_t *err)
{
    get_t *get = arg;
    get_file_t *file, *next;
    size_t i = 0;

    get->opening--;
    client_progress (get->dfs);
    bool good = code == 0 && reply->body_case == DFS__ENVELOPE__BODY_OPENED;
    for (file = TAILQ_FIRST (&get->files[FILE_OPENING]); file; file = next) {
        next = TAILQ_NEXT (file, link);
        if (file->seq != reply->seq)
            continue;
        if (!good) {
            get->opened_items++;
            get_file_failed (file, code < 0 ? code : DFS_EPROTO,
                             code < 0 ? err->text : "broker answered another question");
            get_file_stage (file, FILE_CUTTING);
            get_file_step (file);
        } else if (i < reply->opened->n_results)
            opened (file, reply->opened->results[i++]);
        else /* the answer was full: ask for the rest */
            get_file_stage (file, FILE_UNOPENED);
    }
}

static bool ask_open (get_t *get)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Open body = DFS__OPEN__INIT;
    ProtobufCBinaryData paths[OPEN_BATCH];
    get_file_t *files[OPEN_BATCH], *file;
    size_t n = 0;

    TAILQ_FOREACH (file, &get->files[FILE_UNOPENED], link)
    {
        if (n == OPEN_BATCH)
            break;
        paths[n].data = (uint8_t *)(uintptr_t)file->item->source;
        paths[n].len = strlen (file->item->source);
        files[n++] = file;
    }
    if (n == 0)
        return false;
    body.paths = paths;
    body.n_paths = n;
    env.body_case = DFS__ENVELOPE__BODY_OPEN;
    env.open = &body;
    uint64_t seq = requests_send (get->dfs->requests, &env, 0, open_done, get);
    for (size_t i = 0; i < n; i++) {
        files[i]->seq = seq;
        get_file_stage (files[i], FILE_OPENING);
        if (seq == 0) { /* paths longer than a message: no file has one */
            get_file_failed (files[i], DFS_ENAMETOOLONG, "path is too long");
            get_file_stage (files[i], FILE_CUTTING);
            get_file_step (files[i]);
        }
    }
    get->opening += seq != 0;
    return true;
}

void get_open (get_t *get)
{
    while (get->opening < OPEN_FLIGHT && ask_open (get))
        ;
}

static void extents_done (void *arg, int code, const Dfs__Envelope *reply,
                          const dfs_error_t *err)
{
    get_file_t *file = arg;
    dfs_error_t local = {0};

    file->asking = false;
    client_progress (file->get->dfs);
    if (code == DFS_ESTALE)
        get_new_handle (file);
    else if (code < 0)
        get_file_failed (file, code, err->text);
    else if (reply->body_case != DFS__ENVELOPE__BODY_EXTENTS_REPLY)
        get_file_failed (file, DFS_EPROTO, "broker answered another question");
    else {
        const Dfs__ExtentsReply *body = reply->extents_reply;
        extents_trim (&file->extents, file->next);
        if (body->n_extents == 0)
            get_file_failed (file, DFS_EPROTO, "extents end before the file does");
        else if (extents_add (&file->extents, body->extents, body->n_extents,
                              body->inline_, body->n_inline_,
                              body->has_more && body->more, &local) < 0)
            get_file_failed (file, local.code, local.text);
    }
    get_file_step (file);
}

void get_more_extents (get_file_t *file, uint64_t at)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Extents body = DFS__EXTENTS__INIT;

    if (file->asking || file->stale)
        return;
    body.handle.data = file->handle;
    body.handle.len = file->handle_len;
    body.offset = at;
    env.body_case = DFS__ENVELOPE__BODY_EXTENTS;
    env.extents = &body;
    file->asking = true;
    requests_send (file->get->dfs->requests, &env, 0, extents_done, file);
}

static void handle_done (void *arg, int code, const Dfs__Envelope *reply,
                         const dfs_error_t *err)
{
    get_file_t *file = arg;
    dfs_error_t local = {0};

    client_progress (file->get->dfs);
    if (code < 0)
        get_file_failed (file, code, err->text);
    else if (reply->body_case != DFS__ENVELOPE__BODY_OPENED ||
             reply->opened->n_results != 1)
        get_file_failed (file, DFS_EPROTO, "broker answered another question");
    else if (take_result (file, reply->opened->results[0], &local) < 0)
        get_file_failed (file, local.code, local.text);
    file->stale = false;
    get_file_step (file);
}

void get_new_handle (get_file_t *file)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Open body = DFS__OPEN__INIT;
    ProtobufCBinaryData path = {.data = (uint8_t *)(uintptr_t)file->item->source,
                                .len = strlen (file->item->source)};

    if (file->stale)
        return;
    file->stale = true;
    body.paths = &path;
    body.n_paths = 1;
    env.body_case = DFS__ENVELOPE__BODY_OPEN;
    env.open = &body;
    requests_send (file->get->dfs->requests, &env, 0, handle_done, file);
}
