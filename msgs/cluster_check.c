/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_read.h"
#include "common/schema.h"

#define BROKER_PORTS 5
#define NODES_MAX    4096

char *cluster_directory (const char *path, dfs_error_t *err)
{
    const char *slash = strrchr (path, '/');
    char *dir = slash ? strndup (path, (size_t)(slash - path) + 1) : strdup (".");
    assert (dir);
    char *real = realpath (dir, NULL);
    if (!real)
        fail_errno (err, "%s", dir);
    free (dir);
    return real;
}

char *cluster_absolute (const char *dir, const char *path)
{
    char *whole = NULL;
    if (asprintf (&whole, "%s/%s", *path == '/' ? "" : dir, path) < 0)
        abort ();
    char *to = whole;
    for (const char *from = whole; *from; from++)
        if (*from != '/' || (from[1] != '/' && (from[1] || to == whole)))
            *to++ = *from;
    *to = 0;
    return whole;
}

/* Line of a key, or of its section, or 0. */
static int line_of (const zpl_t *zpl, const char *section, const char *key)
{
    const zpl_node_t *top = zpl_child (zpl_root (zpl), section);
    const zpl_node_t *at = top ? zpl_child (top, key) : NULL;
    return at ? at->line : top ? top->line : 0;
}

static int line_of_node (const zpl_t *zpl, const char *section,
                         const cluster_node_t *node, const char *key)
{
    const zpl_node_t *top = zpl_child (zpl_root (zpl), section);
    const zpl_node_t *at = top ? zpl_child (top, node->name) : NULL;
    const zpl_node_t *leaf = at ? zpl_child (at, key) : NULL;
    return leaf ? leaf->line : node->line;
}

/* Names become file names (run/NAME.ready, logs/NAME.log, keys). */
static bool good_name (const char *name)
{
    if (!isalnum ((unsigned char)*name) || strlen (name) > 63)
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum ((unsigned char)*p) && !strchr ("._-", *p))
            return false;
    return true;
}

static bool good_text (const char *text, size_t max)
{
    if (!*text || strlen (text) > max)
        return false;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return true;
}

static bool good_host (const char *host)
{
    return good_text (host, 253) && !strpbrk (host, " /,");
}

static bool good_location (const char *location)
{
    return good_text (location, 255) && *location != '/' && !strstr (location, "//") &&
           location[strlen (location) - 1] != '/';
}

/* One range of ports that a node listens on. */
typedef struct range {
    const cluster_node_t *node;
    unsigned lo, hi;
    int line;
} range_t;

typedef struct ranges {
    range_t *all;
    size_t n;
} ranges_t;

static bool same_host (const char *a, const char *b)
{
    if (strcasecmp (a, "localhost") == 0)
        a = "127.0.0.1";
    if (strcasecmp (b, "localhost") == 0)
        b = "127.0.0.1";
    return strcasecmp (a, b) == 0;
}

static int add_range (const zpl_t *zpl, ranges_t *ranges, const range_t *range,
                      dfs_error_t *err)
{
    if (range->hi > 65535)
        return zpl_fail (zpl, range->line, err,
                         "broker '%s' uses ports %u to %u: 65535 is the last",
                         range->node->name, range->lo, range->hi);
    for (size_t i = 0; i < ranges->n; i++) {
        const range_t *other = &ranges->all[i];
        if (range->lo > other->hi || other->lo > range->hi ||
            !same_host (range->node->host, other->node->host))
            continue;
        char mine[32], theirs[32];
        snprintf (mine, sizeof mine, range->lo == range->hi ? "%u" : "%u-%u", range->lo,
                  range->hi);
        snprintf (theirs, sizeof theirs, other->lo == other->hi ? "%u" : "%u-%u",
                  other->lo, other->hi);
        return zpl_fail (zpl, range->line, err,
                         "port %s of '%s' overlaps port %s of '%s' (line %d)", mine,
                         range->node->name, theirs, other->node->name, other->line);
    }
    ranges->all[ranges->n++] = *range;
    return 0;
}

static int check_ports (const zpl_t *zpl, const char *section,
                        const cluster_node_t *node, ranges_t *ranges, dfs_error_t *err)
{
    int rc = 0;
    if (node->port) {
        unsigned hi = node->port;
        if (strcmp (section, "brokers") == 0)
            hi += BROKER_PORTS - 1;
        range_t range = {node, node->port, hi,
                         line_of_node (zpl, section, node, "port")};
        rc = add_range (zpl, ranges, &range, err);
    }
    if (rc == 0 && node->stream_lo) {
        range_t range = {node, node->stream_lo, node->stream_hi,
                         line_of_node (zpl, section, node, "stream-ports")};
        rc = add_range (zpl, ranges, &range, err);
    }
    return rc;
}

static int check_node (const zpl_t *zpl, const char *section,
                       const cluster_node_t *node, dfs_error_t *err)
{
    if (!good_name (node->name))
        return zpl_fail (zpl, node->line, err,
                         "'%s': a node's name has letters, digits, '.', '_' and '-', "
                         "begins with a letter or digit, and has at most 63 of them",
                         node->name);
    if (!good_host (node->host))
        return zpl_fail (zpl, line_of_node (zpl, section, node, "host"), err,
                         "host: '%s' is neither a name nor an address", node->host);
    if (!good_host (node->bind))
        return zpl_fail (zpl, line_of_node (zpl, section, node, "bind"), err,
                         "bind: '%s' is neither '*', a name nor an address",
                         node->bind);
    if (!good_location (node->location))
        return zpl_fail (zpl, line_of_node (zpl, section, node, "location"), err,
                         "location: '%s' is not of the form dc1/rack1/host1",
                         node->location);
    if (strcmp (section, "brokers") == 0 && node->n_data != 1)
        return zpl_fail (zpl, line_of_node (zpl, section, node, "data"), err,
                         "data: a broker has one directory");
    return 0;
}

/* NODE against the nodes before it. */
static int check_pair (const zpl_t *zpl, const char *section,
                       const cluster_node_t *node, const cluster_node_t *other,
                       dfs_error_t *err)
{
    if (strcasecmp (node->name, other->name) == 0)
        return zpl_fail (zpl, node->line, err,
                         "duplicate name '%s' (the first is in line %d)", node->name,
                         other->line);
    if (!same_host (node->host, other->host))
        return 0;
    for (size_t i = 0; i < node->n_data; i++)
        for (size_t j = 0; j < other->n_data; j++)
            if (strcmp (node->data[i], other->data[j]) == 0)
                return zpl_fail (zpl, line_of_node (zpl, section, node, "data"), err,
                                 "data: %s belongs to '%s' (line %d) already",
                                 node->data[i], other->name, other->line);
    return 0;
}

static int check_own_disks (const zpl_t *zpl, const cluster_node_t *node,
                            dfs_error_t *err)
{
    for (size_t i = 0; i < node->n_data; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp (node->data[i], node->data[j]) == 0)
                return zpl_fail (zpl, line_of_node (zpl, "workers", node, "data"), err,
                                 "data: %s stands there twice", node->data[i]);
    return 0;
}

static int check_nodes (const zpl_t *zpl, const cluster_t *c, dfs_error_t *err)
{
    size_t n = c->n_brokers + c->n_workers;
    if (n > NODES_MAX)
        return zpl_fail (zpl, 0, err, "more than %d nodes", NODES_MAX);
    ranges_t ranges = {calloc (2 * n, sizeof (range_t)), 0};
    assert (ranges.all);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        bool broker = i < c->n_brokers;
        const cluster_node_t *node =
            broker ? &c->brokers[i] : &c->workers[i - c->n_brokers];
        const char *section = broker ? "brokers" : "workers";
        rc = check_node (zpl, section, node, err);
        for (size_t j = 0; j < i && rc == 0; j++)
            rc = check_pair (
                zpl, section, node,
                j < c->n_brokers ? &c->brokers[j] : &c->workers[j - c->n_brokers], err);
        if (rc == 0)
            rc = check_own_disks (zpl, node, err);
        if (rc == 0)
            rc = check_ports (zpl, section, node, &ranges, err);
    }
    free (ranges.all);
    return rc;
}

int cluster_check (const zpl_t *zpl, const cluster_t *c, dfs_error_t *err)
{
    char buf[32];
    if (!good_text (c->name, 63))
        return zpl_fail (zpl, line_of (zpl, "cluster", "name"), err,
                         "name: 1 to 63 printable bytes");
    int rc = check_nodes (zpl, c, err);
    if (rc < 0)
        return rc;
    if (c->replicas > c->n_workers)
        return zpl_fail (zpl, line_of (zpl, "policy", "replicas"), err,
                         "replicas: %u copies, but only %zu worker%s", c->replicas,
                         c->n_workers, c->n_workers == 1 ? "" : "s");
    if (c->min_replicas > c->replicas)
        return zpl_fail (zpl, line_of (zpl, "policy", "min-replicas"), err,
                         "min-replicas: %u is more than replicas (%u)", c->min_replicas,
                         c->replicas);
    if (c->heartbeat_timeout_ns < 2 * c->heartbeat_ns)
        return zpl_fail (zpl, line_of (zpl, "heartbeat", "timeout"), err,
                         "timeout: less than two intervals (%s)",
                         schema_duration_text (buf, sizeof buf, 2 * c->heartbeat_ns));
    if (c->reclaim_grace_ns < c->upload_timeout_ns)
        return zpl_fail (zpl, line_of (zpl, "policy", "reclaim-grace"), err,
                         "reclaim-grace: less than upload-timeout (%s)",
                         schema_duration_text (buf, sizeof buf, c->upload_timeout_ns));
    return 0;
}
