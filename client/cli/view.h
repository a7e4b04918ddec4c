/* SPDX-License-Identifier: MPL-2.0 */
/* The live view as text: rows that fit a screen, whatever the cluster's size. Plain
 * functions, one thread. */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/dfs.h"

typedef struct view {
    int columns, rows;
    bool full;               /* with the escapes of a terminal; else plain lines */
    const dfs_status_t *now; /* NULL: nobody has answered yet */
    const dfs_status_t *old; /* the look before, for rates; NULL: none */
    uint64_t between_ns;     /* the two looks */
    uint64_t wall_ns;        /* wall clock at NOW */
    uint64_t silent_ns;      /* nobody answers since; 0: somebody does */
    const char *why;         /* then; may be NULL */
    size_t first;            /* worker on top of the list; held within it */
    size_t page;             /* set: workers shown */
} view_t;

/* Returns owned, *LEN bytes. */
char *view_draw (view_t *view, size_t *len);

#endif
