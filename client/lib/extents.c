/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/extents.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "msgs/check.h"

void extents_clear (extents_t *self)
{
    for (size_t i = 0; i < self->n; i++)
        free (self->list[i].data);
    free (self->list);
    memset (self, 0, sizeof *self);
}

uint64_t extents_end (const extents_t *self)
{
    return self->n ? self->list[self->n - 1].offset + self->list[self->n - 1].length
                   : 0;
}

static int take_data (extent_t *to, Dfs__InlineData *const *data, size_t n,
                      dfs_error_t *err)
{
    uint8_t digest[32];

    for (size_t i = 0; i < n; i++) {
        if (data[i]->digest.len != 32 ||
            memcmp (data[i]->digest.data, to->digest, 32) != 0)
            continue;
        digest_sha256 (data[i]->data.data, data[i]->data.len, digest);
        if (data[i]->data.len != to->chunk_length ||
            memcmp (digest, to->digest, 32) != 0)
            return fail (err, DFS_EDAMAGED, "inline bytes do not have their digest");
        to->data = malloc (to->chunk_length);
        assert (to->data);
        memcpy (to->data, data[i]->data.data, to->chunk_length);
        return 0;
    }
    return fail (err, DFS_EPROTO, "inline extent without its bytes");
}

static int add_one (extents_t *self, const Dfs__Extent *from,
                    Dfs__InlineData *const *data, size_t n_data, dfs_error_t *err)
{
    if (self->n == self->cap) {
        self->cap = self->cap ? self->cap * 2 : 1;
        self->list = realloc (self->list, self->cap * sizeof *self->list);
        assert (self->list);
    }
    extent_t *to = &self->list[self->n];
    memset (to, 0, sizeof *to);
    to->offset = from->offset;
    to->length = from->length;
    to->kind = (enum extent_kind)from->kind;
    if (to->kind != EXTENT_HOLE) {
        memcpy (to->digest, from->digest.data, 32);
        to->domain = from->domain;
        to->chunk_offset = from->chunk_offset;
        to->chunk_length = from->chunk_length;
    }
    int rc = to->kind == EXTENT_INLINE ? take_data (to, data, n_data, err) : 0;
    if (rc == 0)
        self->n++;
    return rc;
}

int extents_add (extents_t *self, Dfs__Extent *const *page, size_t n,
                 Dfs__InlineData *const *data, size_t n_data, bool more,
                 dfs_error_t *err)
{
    uint64_t end;

    if (n == 0) {
        self->more = false;
        return more ? fail (err, DFS_EPROTO, "empty page of extents") : 0;
    }
    int rc = check_extents (page, n, self->n ? extents_end (self) : page[0]->offset,
                            &end, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add_one (self, page[i], data, n_data, err);
    self->more = more;
    return rc;
}

const extent_t *extents_find (const extents_t *self, uint64_t at)
{
    size_t lo = 0, hi = self->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const extent_t *extent = &self->list[mid];
        if (at < extent->offset)
            hi = mid;
        else if (at >= extent->offset + extent->length)
            lo = mid + 1;
        else
            return extent;
    }
    return NULL;
}

void extents_trim (extents_t *self, uint64_t at)
{
    size_t n = 0;

    while (n < self->n && self->list[n].offset + self->list[n].length <= at)
        free (self->list[n++].data);
    self->n -= n;
    if (n > 0)
        memmove (self->list, self->list + n, self->n * sizeof *self->list);
}
