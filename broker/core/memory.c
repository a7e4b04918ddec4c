/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void *core_zalloc (size_t size)
{
    void *data = calloc (1, size > 0 ? size : 1);

    if (!data)
        abort ();
    return data;
}

void core_grow (void **data, size_t *cap, size_t n, size_t size)
{
    size_t want = *cap > 0 ? *cap * 2 : 8;

    assert (n <= *cap);
    if (n < *cap)
        return;
    *data = realloc (*data, want * size);
    if (!*data)
        abort ();
    memset ((char *)*data + *cap * size, 0, (want - *cap) * size);
    *cap = want;
}
