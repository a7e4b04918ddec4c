/* SPDX-License-Identifier: MPL-2.0 */
/* A run of a file's extents, as far as they were asked for. Plain data, one thread. */
#ifndef CLIENT_LIB_EXTENTS_H
#define CLIENT_LIB_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "msgs/control.pb-c.h"

enum extent_kind { EXTENT_CHUNK = 1, EXTENT_HOLE = 2, EXTENT_INLINE = 3 };

typedef struct extent {
    uint64_t offset, length; /* in the file */
    enum extent_kind kind;
    uint32_t domain;
    uint8_t digest[32];
    uint64_t chunk_offset, chunk_length;
    uint8_t *data; /* inline: chunk_length bytes, owned */
} extent_t;

typedef struct extents {
    extent_t *list; /* in order, without gaps */
    size_t n, cap;
    bool more; /* others follow the last */
} extents_t;

void extents_clear (extents_t *self);
/* Adds a page that follows what is there (or starts anew when nothing is). Checks
 * everything; inline bytes against their digest. */
int extents_add (extents_t *self, Dfs__Extent *const *page, size_t n,
                 Dfs__InlineData *const *data, size_t n_data, bool more,
                 dfs_error_t *err);
/* The one that holds file offset AT, or NULL. */
const extent_t *extents_find (const extents_t *self, uint64_t at);
uint64_t extents_end (const extents_t *self);
/* Forgets those that end at or before AT, so that a long file needs little memory. */
void extents_trim (extents_t *self, uint64_t at);

#endif
