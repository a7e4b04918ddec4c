/* SPDX-License-Identifier: MPL-2.0 */
/* Random access to an open file: the machinery of dfs_get with memory as its target,
 * and the extents kept from one read to the next. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/client.h"
#include "client/lib/get.h"

#define EXTENTS_KEPT 4096

struct dfs_file {
    dfs_t *dfs;
    char *path;
    uint8_t handle[256];
    size_t handle_len;
    uint64_t size, version;
    extents_t extents;
};

static int take_open (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    dfs_file_t *self = arg;

    if (env->body_case != DFS__ENVELOPE__BODY_OPENED || env->opened->n_results != 1)
        return fail (err, DFS_EPROTO, "broker answered another question");
    const Dfs__OpenResult *result = env->opened->results[0];
    if (result->code < 0)
        return fail (err, result->code, "%.400s",
                     result->text ? result->text : dfs_error_text (result->code));
    if (!result->attr || !result->has_handle ||
        result->handle.len > sizeof self->handle)
        return fail (err, DFS_EPROTO, "broker gave no handle");
    if (result->attr->type == DFS__FILE_TYPE__FILE_DIRECTORY)
        return fail (err, DFS_EISDIR, "is a directory");
    memcpy (self->handle, result->handle.data, result->handle.len);
    self->handle_len = result->handle.len;
    self->size = result->attr->size;
    self->version = result->attr->version;
    return extents_add (&self->extents, result->extents, result->n_extents,
                        result->inline_, result->n_inline_,
                        result->has_more && result->more, err);
}

dfs_file_t *dfs_file_open (dfs_t *dfs, const char *path, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Open body = DFS__OPEN__INIT;
    ProtobufCBinaryData name = {.data = (uint8_t *)(uintptr_t)path,
                                .len = strlen (path)};

    if (client_enter (dfs, err) < 0)
        return NULL;
    dfs_file_t *self = calloc (1, sizeof *self);
    assert (self);
    self->dfs = dfs;
    self->path = strdup (path);
    assert (self->path);
    body.paths = &name;
    body.n_paths = 1;
    env.body_case = DFS__ENVELOPE__BODY_OPEN;
    env.open = &body;
    int rc = client_ask (dfs, &env, 0, take_open, self, err);
    client_leave (dfs);
    if (rc < 0)
        dfs_file_close (&self);
    return self;
}

uint64_t dfs_file_size (const dfs_file_t *file)
{
    return file->size;
}

void dfs_file_close (dfs_file_t **file_p)
{
    dfs_file_t *self = file_p ? *file_p : NULL;

    if (!self)
        return;
    extents_clear (&self->extents);
    free (self->path);
    free (self);
    *file_p = NULL;
}

static int read_range (dfs_file_t *self, void *buf, dfs_get_item_t *item,
                       dfs_error_t *err)
{
    get_t *get = get_new (self->dfs, item, 1, NULL, err);

    if (!get)
        return DFS_ESYS;
    item->version = self->version;
    get_file_t *file = get_file_new (get, item);
    get->next_item = get->opened_items = 1;
    memcpy (file->handle, self->handle, self->handle_len);
    file->handle_len = self->handle_len;
    file->size = self->size;
    file->begin = file->next = item->offset;
    file->end = item->offset + item->length;
    file->target.kind = TARGET_MEMORY;
    file->target.memory = buf;
    file->lend = &self->extents;
    file->extents = self->extents;
    memset (&self->extents, 0, sizeof self->extents);
    get_file_stage (file, FILE_CUTTING);
    int rc = get_run (get, err);
    get_destroy (&get);
    if (self->extents.n > EXTENTS_KEPT)
        extents_clear (&self->extents);
    return rc;
}

ssize_t dfs_file_read (dfs_file_t *file, void *buf, size_t len, uint64_t offset,
                       dfs_error_t *err)
{
    int rc = client_enter (file->dfs, err);

    if (rc < 0)
        return rc;
    if (offset >= file->size)
        len = 0;
    else if (len > file->size - offset)
        len = file->size - offset;
    dfs_get_item_t item = {
        .source = file->path, .fd = -1, .offset = offset, .length = len};
    if (len > 0)
        rc = read_range (file, buf, &item, err);
    client_leave (file->dfs);
    return rc < 0 ? rc : (ssize_t)len;
}
