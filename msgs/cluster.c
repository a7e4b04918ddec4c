/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_read.h"
#include "common/digest.h"
#include "common/schema.h"
#include "common/units.h"
#include "grant.h"

#define COUNT(a) (sizeof (a) / sizeof (a)[0])

/* Keys as they stand in the file, before they are worked out. */
typedef struct draft {
    cluster_t c;
    char *id;
} draft_t;

typedef struct node_draft {
    cluster_node_t node;
    uint16_t streams[2];
    char *data;
    char *capacity;
} node_draft_t;

static const schema_key_t cluster_keys[] = {
    {"name", SCHEMA_TEXT, offsetof (draft_t, c.name), "dfs", 0, 0, NULL},
    {"id", SCHEMA_TEXT, offsetof (draft_t, id), NULL, 0, 0, NULL},
    {"security", SCHEMA_BOOL, offsetof (draft_t, c.secure), "curve", 0, 0,
     "none|curve"},
    {"keys", SCHEMA_TEXT, offsetof (draft_t, c.keys_dir), "keys", 0, 0, NULL},
};

static const schema_key_t policy_keys[] = {
    {"replicas", SCHEMA_COUNT, offsetof (cluster_t, replicas), NULL, 1, REPLICAS_MAX,
     NULL},
    {"min-replicas", SCHEMA_COUNT, offsetof (cluster_t, min_replicas), NULL, 1,
     REPLICAS_MAX, NULL},
    {"chunk-size", SCHEMA_SIZE, offsetof (cluster_t, chunk_size), "4MiB", 64 * KIB,
     64 * MIB, NULL},
    {"history", SCHEMA_DURATION, offsetof (cluster_t, history_ns), "24h", 0, 0, NULL},
    {"inline-max", SCHEMA_SIZE, offsetof (cluster_t, inline_max), "4KiB", 0,
     CLUSTER_INLINE_MAX, NULL},
    {"inline-budget", SCHEMA_SIZE, offsetof (cluster_t, inline_budget), "1GiB", 0, 0,
     NULL},
    {"upload-timeout", SCHEMA_DURATION, offsetof (cluster_t, upload_timeout_ns), "1h",
     SEC, 0, NULL},
    {"reclaim-grace", SCHEMA_DURATION, offsetof (cluster_t, reclaim_grace_ns), NULL,
     SEC, 0, NULL},
    {"durability", SCHEMA_BOOL, offsetof (cluster_t, memory_durability), "disk", 0, 0,
     "disk|memory"},
};

static const schema_key_t heartbeat_keys[] = {
    {"interval", SCHEMA_DURATION, offsetof (cluster_t, heartbeat_ns), "500ms", 10 * MS,
     60 * SEC, NULL},
    {"timeout", SCHEMA_DURATION, offsetof (cluster_t, heartbeat_timeout_ns), "2500ms",
     20 * MS, 600 * SEC, NULL},
};

static const schema_key_t repair_keys[] = {
    {"hold", SCHEMA_DURATION, offsetof (cluster_t, repair_hold_ns), "10m", 0, 0, NULL},
    {"bandwidth", SCHEMA_SIZE, offsetof (cluster_t, repair_bandwidth), "0", 0, 0, NULL},
};

static const schema_key_t scrub_keys[] = {
    {"rate", SCHEMA_SIZE, offsetof (cluster_t, scrub_rate), "16MiB", 0, 0, NULL},
};

static const schema_key_t cache_keys[] = {
    {"size", SCHEMA_SIZE, offsetof (cluster_t, cache_size), "32MiB", 0, 0, NULL},
};

/* In the order of enum log_level. */
static const schema_key_t log_keys[] = {
    {"level", SCHEMA_CHOICE, offsetof (cluster_t, log_level), "info", 0, 0,
     "error|warn|info|debug"},
    {"slow", SCHEMA_DURATION, offsetof (cluster_t, slow_ns), "1s", 0, 0, NULL},
};

static const schema_key_t broker_keys[] = {
    {"host", SCHEMA_TEXT, offsetof (node_draft_t, node.host), "127.0.0.1", 0, 0, NULL},
    {"bind", SCHEMA_TEXT, offsetof (node_draft_t, node.bind), "*", 0, 0, NULL},
    {"port", SCHEMA_PORT, offsetof (node_draft_t, node.port), "0", 0, 0, NULL},
    {"data", SCHEMA_TEXT, offsetof (node_draft_t, data), NULL, 0, 0, NULL},
};

static const schema_key_t worker_keys[] = {
    {"host", SCHEMA_TEXT, offsetof (node_draft_t, node.host), "127.0.0.1", 0, 0, NULL},
    {"bind", SCHEMA_TEXT, offsetof (node_draft_t, node.bind), "*", 0, 0, NULL},
    {"port", SCHEMA_PORT, offsetof (node_draft_t, node.port), "0", 0, 0, NULL},
    {"data", SCHEMA_TEXT, offsetof (node_draft_t, data), NULL, 0, 0, NULL},
    {"capacity", SCHEMA_TEXT, offsetof (node_draft_t, capacity), NULL, 0, 0, NULL},
    {"location", SCHEMA_TEXT, offsetof (node_draft_t, node.location), NULL, 0, 0, NULL},
    {"stream-ports", SCHEMA_PORTS, offsetof (node_draft_t, streams), "0", 0, 0, NULL},
};

/* Sections whose fields are cluster_t's own. */
static const struct section {
    const char *name;
    const schema_key_t *keys;
    size_t n;
} sections[] = {
    {"policy", policy_keys, COUNT (policy_keys)},
    {"heartbeat", heartbeat_keys, COUNT (heartbeat_keys)},
    {"repair", repair_keys, COUNT (repair_keys)},
    {"scrub", scrub_keys, COUNT (scrub_keys)},
    {"cache", cache_keys, COUNT (cache_keys)},
    {"log", log_keys, COUNT (log_keys)},
};

static void node_clear (cluster_node_t *node)
{
    free (node->name);
    free (node->host);
    free (node->bind);
    free (node->location);
    for (size_t i = 0; i < node->n_data; i++)
        free (node->data[i]);
}

static void cluster_clear (cluster_t *self)
{
    for (size_t i = 0; i < self->n_brokers; i++)
        node_clear (&self->brokers[i]);
    for (size_t i = 0; i < self->n_workers; i++)
        node_clear (&self->workers[i]);
    free (self->brokers);
    free (self->workers);
    free (self->path);
    free (self->dir);
    free (self->name);
    free (self->keys_dir);
    free (self->run_dir);
    free (self->log_dir);
}

void cluster_destroy (cluster_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    cluster_clear (*self_p);
    free (*self_p);
    *self_p = NULL;
}

/* --- reading --- */

/* Splits TEXT at commas and calls EACH with each trimmed item. */
static int each_item (const char *text, int (*each) (const char *item, void *arg),
                      void *arg)
{
    for (const char *p = text;;) {
        size_t len = strcspn (p, ",");
        const char *from = p + strspn (p, " ");
        const char *to = p + len;
        while (to > from && to[-1] == ' ')
            to--;
        char *item = strndup (from, to > from ? (size_t)(to - from) : 0);
        assert (item);
        int rc = each (item, arg);
        free (item);
        if (rc < 0)
            return rc;
        if (!p[len])
            return 0;
        p += len + 1;
    }
}

typedef struct items {
    const char *dir;
    cluster_node_t *node;
    size_t n;
    dfs_error_t *err;
} items_t;

static int add_directory (const char *item, void *arg)
{
    items_t *items = arg;
    if (!*item)
        return fail (items->err, DFS_EINVAL, "data: empty directory name");
    if (items->n == CLUSTER_DISKS)
        return fail (items->err, DFS_EINVAL, "data: more than %d directories",
                     CLUSTER_DISKS);
    items->node->data[items->n++] = cluster_absolute (items->dir, item);
    items->node->n_data = items->n;
    return 0;
}

static int add_capacity (const char *item, void *arg)
{
    items_t *items = arg;
    if (items->n == CLUSTER_DISKS)
        return fail (items->err, DFS_EINVAL, "capacity: more sizes than directories");
    int rc = units_parse_size (item, &items->node->capacity[items->n++], items->err);
    return rc < 0 ? wrap (items->err, "capacity") : 0;
}

static int read_disks (const char *dir, node_draft_t *draft, dfs_error_t *err)
{
    cluster_node_t *node = &draft->node;
    items_t items = {dir, node, 0, err};
    int rc = each_item (draft->data, add_directory, &items);
    if (rc < 0 || !draft->capacity)
        return rc;
    items.n = 0;
    if ((rc = each_item (draft->capacity, add_capacity, &items)) < 0)
        return rc;
    if (items.n == 1)
        for (size_t i = 1; i < node->n_data; i++)
            node->capacity[i] = node->capacity[0];
    else if (items.n != node->n_data)
        return fail (err, DFS_EINVAL,
                     "capacity: one size, or one for each directory of 'data'");
    return 0;
}

static int read_node (const zpl_t *zpl, const zpl_node_t *at, bool worker,
                      const char *dir, cluster_node_t *node, dfs_error_t *err)
{
    const schema_key_t *keys = worker ? worker_keys : broker_keys;
    size_t n = worker ? COUNT (worker_keys) : COUNT (broker_keys);
    node_draft_t draft = {0};
    dfs_error_t why;
    int rc = -1;
    schema_defaults (keys, n, &draft);
    draft.node.line = at->line;
    draft.node.name = strdup (at->name);
    assert (draft.node.name);
    if (*at->value) {
        zpl_fail (zpl, at->line, err, "'%s' takes keys, not a value", at->name);
        goto out;
    }
    if (schema_read (keys, n, zpl, at, &draft, err) < 0)
        goto out;
    if (!draft.data) {
        zpl_fail (zpl, at->line, err, "'%s' has no 'data'", at->name);
        goto out;
    }
    if (read_disks (dir, &draft, &why) < 0) {
        zpl_fail (zpl, at->line, err, "%s: %s", at->name, why.text);
        goto out;
    }
    if (!draft.node.location &&
        asprintf (&draft.node.location, "local/%s", at->name) < 0)
        abort ();
    draft.node.stream_lo = draft.streams[0];
    draft.node.stream_hi = draft.streams[1];
    rc = 0;
out:
    free (draft.data);
    free (draft.capacity);
    *node = draft.node;
    return rc;
}

static int read_nodes (const zpl_t *zpl, const char *section, const char *dir,
                       cluster_node_t **nodes, size_t *n_nodes, dfs_error_t *err)
{
    const zpl_node_t *top = zpl_child (zpl_root (zpl), section);
    if (!top || !top->child)
        return zpl_fail (zpl, top ? top->line : 0, err, "no %s", section);
    size_t n = 0;
    for (const zpl_node_t *at = top->child; at; at = at->next)
        n++;
    *nodes = calloc (n, sizeof **nodes);
    assert (*nodes);
    bool worker = strcmp (section, "workers") == 0;
    for (const zpl_node_t *at = top->child; at; at = at->next) {
        int rc = read_node (zpl, at, worker, dir, &(*nodes)[(*n_nodes)++], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_id (const zpl_t *zpl, const char *id, uint8_t out[16], dfs_error_t *err)
{
    const zpl_node_t *top = zpl_child (zpl_root (zpl), "cluster");
    const zpl_node_t *at = top ? zpl_child (top, "id") : NULL;
    if (!at)
        return zpl_fail (zpl, top ? top->line : 0, err,
                         "no 'id' in 'cluster' (dfs-cluster init writes it)");
    if (strlen (id) != 32 || digest_unhex (id, out, 16) < 0)
        return zpl_fail (zpl, at->line, err, "id: '%.40s' is not 32 hexadecimal digits",
                         id);
    return 0;
}

/* What has no fixed default. */
static void derive (cluster_t *c)
{
    if (c->replicas == 0)
        c->replicas = c->n_workers < 2 ? 1 : 2;
    if (c->min_replicas == 0)
        c->min_replicas = c->replicas < 2 ? 1 : 2;
    if (c->reclaim_grace_ns == 0)
        c->reclaim_grace_ns = c->upload_timeout_ns;
    char *keys = cluster_absolute (c->dir, c->keys_dir);
    free (c->keys_dir);
    c->keys_dir = keys;
    c->run_dir = cluster_absolute (c->dir, "run");
    c->log_dir = cluster_absolute (c->dir, "logs");
}

static int read_all (const zpl_t *zpl, draft_t *draft, dfs_error_t *err)
{
    const zpl_node_t *root = zpl_root (zpl);
    cluster_t *c = &draft->c;
    int rc;
    for (const zpl_node_t *at = root->child; at; at = at->next) {
        size_t i = 0;
        while (i < COUNT (sections) && strcmp (sections[i].name, at->name))
            i++;
        if (i == COUNT (sections) && strcmp (at->name, "cluster") &&
            strcmp (at->name, "brokers") && strcmp (at->name, "workers"))
            return zpl_fail (zpl, at->line, err, "unknown section '%s'", at->name);
        if (*at->value)
            return zpl_fail (zpl, at->line, err, "'%s' takes keys, not a value",
                             at->name);
    }
    schema_defaults (cluster_keys, COUNT (cluster_keys), draft);
    if ((rc = schema_read (cluster_keys, COUNT (cluster_keys), zpl,
                           zpl_child (root, "cluster"), draft, err)) < 0)
        return rc;
    for (size_t i = 0; i < COUNT (sections); i++) {
        schema_defaults (sections[i].keys, sections[i].n, c);
        if ((rc = schema_read (sections[i].keys, sections[i].n, zpl,
                               zpl_child (root, sections[i].name), c, err)) < 0)
            return rc;
    }
    if ((rc = read_id (zpl, draft->id, c->id, err)) < 0 ||
        (rc = read_nodes (zpl, "brokers", c->dir, &c->brokers, &c->n_brokers, err)) <
            0 ||
        (rc = read_nodes (zpl, "workers", c->dir, &c->workers, &c->n_workers, err)) < 0)
        return rc;
    derive (c);
    return cluster_check (zpl, c, err);
}

cluster_t *cluster_load (const char *path, dfs_error_t *err)
{
    zpl_t *zpl = zpl_load (path, err);
    if (!zpl)
        return NULL;
    cluster_t *self = NULL;
    draft_t draft = {0};
    draft.c.path = strdup (path);
    assert (draft.c.path);
    draft.c.dir = cluster_directory (path, err);
    if (draft.c.dir && read_all (zpl, &draft, err) == 0) {
        self = malloc (sizeof *self);
        assert (self);
        *self = draft.c;
    } else
        cluster_clear (&draft.c);
    free (draft.id);
    zpl_destroy (&zpl);
    return self;
}

/* --- printing --- */

static void dump_node (const cluster_node_t *node, bool worker, FILE *file)
{
    node_draft_t draft = {.node = *node, .streams = {node->stream_lo, node->stream_hi}};
    char *data = NULL, *capacity = NULL;
    size_t data_len, capacity_len;
    FILE *d = open_memstream (&data, &data_len);
    FILE *c = open_memstream (&capacity, &capacity_len);
    assert (d && c);
    for (size_t i = 0; i < node->n_data; i++) {
        char buf[32];
        fprintf (d, "%s%s", i ? ", " : "", node->data[i]);
        fprintf (c, "%s%s", i ? ", " : "",
                 schema_size_text (buf, sizeof buf, node->capacity[i]));
    }
    fclose (d);
    fclose (c);
    draft.data = data;
    draft.capacity = capacity;
    fprintf (file, "    %s\n", node->name);
    schema_print (worker ? worker_keys : broker_keys,
                  worker ? COUNT (worker_keys) : COUNT (broker_keys), &draft, 8, file);
    free (data);
    free (capacity);
}

void cluster_dump (const cluster_t *self, void *stdio_file)
{
    FILE *file = stdio_file;
    char id[33];
    digest_hex (self->id, sizeof self->id, id);
    draft_t draft = {.c = *self, .id = id};
    fprintf (file, "cluster\n");
    schema_print (cluster_keys, COUNT (cluster_keys), &draft, 4, file);
    for (size_t i = 0; i < COUNT (sections); i++) {
        fprintf (file, "%s\n", sections[i].name);
        schema_print (sections[i].keys, sections[i].n, self, 4, file);
    }
    fprintf (file, "brokers\n");
    for (size_t i = 0; i < self->n_brokers; i++)
        dump_node (&self->brokers[i], false, file);
    fprintf (file, "workers\n");
    for (size_t i = 0; i < self->n_workers; i++)
        dump_node (&self->workers[i], true, file);
}
