/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "get_batch.h"
#include "progress.h"
#include "tool.h"

void get_batch_init (get_batch_t *self, dfs_t *dfs, bool sync)
{
    memset (self, 0, sizeof *self);
    self->dfs = dfs;
    self->options.sync = sync;
    self->options.progress = progress_update;
    self->items = calloc (GET_BATCH, sizeof *self->items);
    assert (self->items);
}

void get_batch_clear (get_batch_t *self)
{
    free (self->items);
    self->items = NULL;
}

void get_batch_add (get_batch_t *self, const char *source, const char *dest, int fd,
                    uint64_t offset, uint64_t length)
{
    if (!dest)
        get_batch_flush (self);
    dfs_get_item_t *item = &self->items[self->n++];
    *item = (dfs_get_item_t){
        .source = strdup (source),
        .dest = dest ? strdup (dest) : NULL,
        .fd = fd,
        .offset = offset,
        .length = length,
        .keep_attributes = dest != NULL,
    };
    assert (item->source && (item->dest || !dest));
    if (!dest || self->n == GET_BATCH)
        get_batch_flush (self);
}

static void finish (get_batch_t *self, dfs_get_item_t *item)
{
    if (item->code == DFS_ECANCELED)
        self->canceled = true;
    else if (item->code == DFS_EISDIR && item->dest) {
        tool_error (item->source, "is a directory (-r gets directories)");
        tool_worst (&self->status, dfs_error_status (item->code));
    } else if (item->code < 0) {
        item->error.code = item->code;
        tool_worst (&self->status, tool_fail (item->source, &item->error));
    } else {
        self->files++;
        self->bytes += item->size;
        if (tool_common.verbose && item->dest) {
            char *from = tool_shown (item->source), *to = tool_shown (item->dest);
            progress_clear ();
            printf ("%s -> %s: version %" PRIu64 ", %" PRIu64 " bytes\n", from, to,
                    item->version, item->size);
            free (from);
            free (to);
        }
    }
}

/* Nobody answered for any of them, as long as the library is patient: nobody will for
 * those that follow. */
static bool nobody_answers (const get_batch_t *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->items[i].code >= 0 ||
            dfs_error_status (self->items[i].code) != dfs_error_status (DFS_EUNAVAIL))
            return false;
    return self->n > 1;
}

void get_batch_flush (get_batch_t *self)
{
    dfs_error_t err = {0};
    if (self->n == 0)
        return;
    dfs_progress_t done = {.bytes = self->bytes, .files = self->files};
    progress_base (&done, self->bytes_total, self->files_total);
    int rc = self->canceled
                 ? DFS_ECANCELED
                 : dfs_get (self->dfs, self->items, self->n, &self->options, &err);
    bool told = false, nobody = nobody_answers (self);
    for (size_t i = 0; i < self->n; i++) {
        dfs_get_item_t *item = &self->items[i];
        told = told || item->code < 0;
        if (!self->canceled && !(nobody && i > 0))
            finish (self, item);
        free ((char *)(uintptr_t)item->source);
        free ((char *)(uintptr_t)item->dest);
    }
    if (rc < 0 && !told && rc != DFS_ECANCELED) {
        err.code = rc;
        tool_worst (&self->status, tool_fail (NULL, &err));
    }
    if (nobody && !self->canceled)
        tool_error (NULL,
                    "given up, as %zu files after it failed the same way: nothing "
                    "more is fetched",
                    self->n - 1);
    if (nobody || rc == DFS_ECANCELED || progress_interrupted ())
        self->canceled = true;
    self->n = 0;
}
