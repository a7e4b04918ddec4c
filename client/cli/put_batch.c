/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "put_batch.h"
#include "tool.h"

/* What the running dfs_put has sent; its last word is kept for the sum. */
static uint64_t sent_now;

static int on_progress (const dfs_progress_t *now, void *arg)
{
    sent_now = now->bytes_sent;
    return progress_update (now, arg);
}

void put_batch_init (put_batch_t *self, dfs_t *dfs, int flags, uint64_t chunk_size)
{
    memset (self, 0, sizeof *self);
    self->dfs = dfs;
    self->options.flags = flags;
    self->options.chunk_size = chunk_size;
    self->options.progress = on_progress;
    self->items = calloc (PUT_BATCH, sizeof *self->items);
    assert (self->items);
}

void put_batch_clear (put_batch_t *self)
{
    free (self->items);
    self->items = NULL;
}

void put_batch_add (put_batch_t *self, const char *source, int fd, const char *dest,
                    uint64_t if_version)
{
    dfs_put_item_t *item = &self->items[self->n++];
    *item = (dfs_put_item_t){
        .source = source ? strdup (source) : NULL,
        .fd = fd,
        .dest = strdup (dest),
        .mode = UINT32_MAX,
        .mtime_ns = UINT64_MAX,
        .if_version = if_version,
    };
    assert (item->dest && (item->source || !source));
    if (self->n == PUT_BATCH)
        put_batch_flush (self);
}

static void print_json (put_batch_t *self, const dfs_put_item_t *item)
{
    json_t *o = json_object ();
    json_object_set_new (o, "source", out_text (item->source ? item->source : "-"));
    json_object_set_new (o, "path", out_text (item->dest));
    json_object_set_new (o, "version", out_number (item->version));
    json_object_set_new (o, "size", out_number (item->size));
    json_object_set_new (o, "copies", out_number (item->copies));
    out_array_add (&self->json, o);
}

/* A file that was there keeps its policy in the put. */
static void assign_policy (put_batch_t *self, const char *path)
{
    dfs_error_t err = {0};
    dfs_stat_t st = {0};
    int rc = dfs_stat (self->dfs, path, false, &st, &err);

    if (rc == 0 && st.policy != self->options.policy)
        rc = dfs_policy_assign (self->dfs, path, self->options.policy, &err);
    dfs_stat_clear (&st);
    if (rc < 0)
        tool_worst (&self->status, tool_fail (path, &err));
}

/* What may be wrong with one of many: it cannot be read, went away while the tree was
 * read, or has too long a path. */
static bool is_local (int code)
{
    return code == DFS_EPERM || code == DFS_ENOENT || code == DFS_ENAMETOOLONG;
}

static void finish (put_batch_t *self, dfs_put_item_t *item)
{
    if (item->code < 0) {
        if (item->code == DFS_ECANCELED)
            self->canceled = true;
        else {
            item->error.code = item->code;
            int status = tool_fail (item->dest, &item->error);
            tool_worst (&self->status, self->tree && is_local (item->code)
                                           ? TOOL_EXIT_FAILED
                                           : status);
        }
        return;
    }
    if (self->assign)
        assign_policy (self, item->dest);
    self->files++;
    self->bytes += item->size;
    if (item->size && item->copies < item->wanted) {
        if (self->short_files++ == 0 || item->copies < self->copies) {
            self->copies = item->copies;
            self->wanted = item->wanted;
        }
    }
    if (tool_common.json)
        print_json (self, item);
    else if (tool_common.verbose) {
        char *shown = tool_shown (item->dest);
        progress_clear ();
        printf ("%s: version %" PRIu64 ", %" PRIu64 " bytes\n", shown, item->version,
                item->size);
        free (shown);
    }
}

/* Nobody answered for any of them, as long as the library is patient: nobody will for
 * those that follow. */
static bool nobody_answers (const put_batch_t *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->items[i].code >= 0 ||
            dfs_error_status (self->items[i].code) != dfs_error_status (DFS_EUNAVAIL))
            return false;
    return self->n > 1;
}

void put_batch_flush (put_batch_t *self)
{
    dfs_error_t err = {0};
    if (self->n == 0)
        return;
    dfs_progress_t done = {.bytes = self->bytes, .files = self->files};
    progress_base (&done, self->bytes_total, self->files_total);
    sent_now = 0;
    int rc = self->canceled
                 ? DFS_ECANCELED
                 : dfs_put (self->dfs, self->items, self->n, &self->options, &err);
    self->sent += sent_now;
    bool told = false, nobody = nobody_answers (self);
    for (size_t i = 0; i < self->n; i++) {
        dfs_put_item_t *item = &self->items[i];
        told = told || item->code < 0;
        if (!self->canceled && !(nobody && i > 0))
            finish (self, item);
        free ((char *)(uintptr_t)item->source);
        free ((char *)(uintptr_t)item->dest);
    }
    /* The call as a whole was refused. */
    if (rc < 0 && !told && rc != DFS_ECANCELED) {
        err.code = rc;
        tool_worst (&self->status, tool_fail (NULL, &err));
    }
    if (nobody && !self->canceled)
        tool_error (
            NULL,
            "given up, as %zu files after it failed the same way; run again it sends "
            "what is missing",
            self->n - 1);
    if (nobody || rc == DFS_ECANCELED || progress_interrupted ())
        self->canceled = true;
    self->n = 0;
}
