/* SPDX-License-Identifier: MPL-2.0 */
/* A set of contents, by the start of their digests: how many different ones there are,
 * and how long they are together. Owned by one thread. */
#ifndef CLIENT_CLI_CONTENTS_H
#define CLIENT_CLI_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct contents {
    uint64_t *slots; /* 0: free */
    size_t cap, used;
    uint64_t chunks; /* those on workers */
    uint64_t bytes;  /* of all */
} contents_t;

/* From zeros. One that is there already changes nothing. */
void contents_add (contents_t *self, uint64_t id, uint64_t length, bool inlined);
void contents_clear (contents_t *self);

#endif
