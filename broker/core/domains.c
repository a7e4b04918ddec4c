/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/domains.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/memory.h"
#include "broker/core/table.h"
#include "common/units.h"

#define DISTANCE_WORTH (4 * MIB) /* of one component */

typedef struct node {
    uint32_t id;     /* > 0 */
    uint32_t parent; /* 0: none */
    size_t len;
    char name[];
} node_t;

typedef struct want {
    uint32_t parent;
    const char *name;
    size_t len;
} want_t;

struct domains {
    table_t *nodes; /* by parent and name */
    uint32_t last_id;
    uint32_t *sizes;               /* by id - 1 */
    uint32_t levels[DOMAIN_DEPTH]; /* domains with a size */
    size_t cap_sizes;
};

static bool match (const void *entry, const void *key)
{
    const node_t *node = entry;
    const want_t *want = key;

    return node->parent == want->parent && node->len == want->len &&
           memcmp (node->name, want->name, want->len) == 0;
}

static uint64_t hash (const want_t *want)
{
    uint64_t h = table_hash (want->parent + 1);

    for (size_t i = 0; i < want->len; i++)
        h = (h ^ (uint8_t)want->name[i]) * 0x100000001b3ULL;
    return table_hash (h);
}

domains_t *domains_new (void)
{
    domains_t *self = core_zalloc (sizeof *self);

    self->nodes = table_new (match);
    return self;
}

void domains_destroy (domains_t **self_p)
{
    size_t cursor = 0;
    node_t *node;

    if (!*self_p)
        return;
    while ((node = table_next ((*self_p)->nodes, &cursor)))
        free (node);
    table_destroy (&(*self_p)->nodes);
    free ((*self_p)->sizes);
    free (*self_p);
    *self_p = NULL;
}

/* Next component of *TEXT into WANT; false at the end. */
static bool component (const char **text, want_t *want)
{
    const char *at = *text + strspn (*text, "/");

    want->name = at;
    want->len = strcspn (at, "/");
    *text = at + want->len;
    return want->len > 0;
}

static node_t *find (const domains_t *self, const want_t *want)
{
    return table_get (self->nodes, hash (want), want);
}

domain_path_t domains_path (domains_t *self, const char *location)
{
    domain_path_t path = {0};
    want_t want = {0};

    while (path.depth < DOMAIN_DEPTH && component (&location, &want)) {
        node_t *node = find (self, &want);

        if (!node) {
            void *sizes = self->sizes;

            node = core_zalloc (sizeof *node + want.len + 1);
            node->id = ++self->last_id;
            core_grow (&sizes, &self->cap_sizes, node->id - 1, sizeof *self->sizes);
            self->sizes = sizes;
            node->parent = want.parent;
            node->len = want.len;
            memcpy (node->name, want.name, want.len);
            table_put (self->nodes, hash (&want), node);
        }
        path.nodes[path.depth++] = node->id;
        want.parent = node->id;
    }
    return path;
}

domain_path_t domains_look (const domains_t *self, const char *location)
{
    domain_path_t path = {0};
    want_t want = {0};

    while (path.depth < DOMAIN_DEPTH && component (&location, &want)) {
        node_t *node = find (self, &want);

        if (!node)
            break;
        path.nodes[path.depth++] = node->id;
        want.parent = node->id;
    }
    return path;
}

uint32_t domains_common (const domain_path_t *a, const domain_path_t *b)
{
    uint32_t n = 0;

    while (n < a->depth && n < b->depth && a->nodes[n] == b->nodes[n])
        n++;
    return n;
}

uint64_t domains_distance (const domain_path_t *a, const domain_path_t *b)
{
    return (DOMAIN_DEPTH - domains_common (a, b)) * DISTANCE_WORTH;
}

void domains_count (domains_t *self, const domain_path_t *path, int delta)
{
    for (uint32_t i = 0; i < path->depth; i++) {
        uint32_t *size = &self->sizes[path->nodes[i] - 1];
        bool before = *size > 0;

        *size += (uint32_t)delta;
        if (before != (*size > 0))
            self->levels[i] += before ? UINT32_MAX : 1;
    }
}

uint32_t domains_size (const domains_t *self, uint32_t node)
{
    return self->sizes[node - 1];
}

uint32_t domains_at (const domains_t *self, uint32_t level)
{
    return self->levels[level];
}

uint32_t domains_limit (const domains_t *self)
{
    return self->last_id + 1;
}
