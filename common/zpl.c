/* SPDX-License-Identifier: MPL-2.0 */
#include <czmq.h>
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "zpl.h"

#define LINE_MAX_LEN 1000 /* zconfig cuts at 1024 */
#define DEPTH_MAX    16

struct zpl {
    char *path;
    zconfig_t *config; /* owns names and values */
    int *lines;        /* line of each node, in the order of the file */
    size_t n_lines;
    zpl_node_t *nodes; /* [0] is the root, then as lines */
};

int zpl_fail (const zpl_t *self, int line, dfs_error_t *err, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof text, fmt, ap);
    va_end (ap);
    if (line == 0)
        return fail (err, DFS_ECONFIG, "%s: %s", self->path, text);
    return fail (err, DFS_ECONFIG, "%s:%d: %s", self->path, line, text);
}

static bool name_char (char c)
{
    return isalnum ((unsigned char)c) || (c && strchr ("$-_@.&+/", c));
}

static bool rest_is_blank (const char *p)
{
    p += strspn (p, " ");
    return *p == 0 || *p == '#';
}

/* Checks what stands behind a name: nothing, or '=' and a value. */
static int check_value (zpl_t *self, int line, const char *p, dfs_error_t *err)
{
    p += strspn (p, " ");
    if (*p != '=') {
        if (*p == 0 || *p == '#')
            return 0;
        return zpl_fail (self, line, err, "expected '=' before '%.20s'", p);
    }
    p++;
    p += strspn (p, " ");
    if (*p == '"' || *p == '\'') {
        const char *end = strchr (p + 1, *p);
        if (!end)
            return zpl_fail (self, line, err, "missing closing %c", *p);
        if (!rest_is_blank (end + 1))
            return zpl_fail (self, line, err, "unexpected text behind the closing %c",
                             *end);
        return 0;
    }
    const char *hash = strchr (p, '#');
    if (hash && hash > p && hash[-1] != ' ')
        return zpl_fail (self, line, err,
                         "'#' inside a value: put the value in quotes, or a space "
                         "before a comment");
    return 0;
}

/* One line of text (NUL-terminated). Returns 1 when it holds a node of depth *DEPTH. */
static int check_line (zpl_t *self, int line, const char *text, int *depth,
                       dfs_error_t *err)
{
    size_t indent = strspn (text, " ");
    const char *p = text + indent;
    if (*p == 0 || *p == '#')
        return 0;
    for (const char *c = text; *c; c++)
        if (*c == '\t')
            return zpl_fail (self, line, err, "tab: indent with spaces");
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return zpl_fail (self, line, err, "control character");
    if (indent % 4)
        return zpl_fail (self, line, err, "indent by 4 spaces for each level, not %zu",
                         indent);
    int level = (int)(indent / 4);
    if (level > *depth + 1)
        return zpl_fail (self, line, err, "indented too far");
    if (level >= DEPTH_MAX)
        return zpl_fail (self, line, err, "nested too deeply");
    size_t len = 0;
    while (name_char (p[len]))
        len++;
    if (len == 0 || *p == '/')
        return zpl_fail (self, line, err, "a name was expected before '%.20s'", p);
    int rc = check_value (self, line, p + len, err);
    if (rc < 0)
        return rc;
    *depth = level;
    return 1;
}

static int check_text (zpl_t *self, const char *text, dfs_error_t *err)
{
    int line = 0, depth = -1;
    size_t cap = 0;
    char buf[LINE_MAX_LEN + 1];
    while (*text) {
        line++;
        size_t len = strcspn (text, "\n");
        if (len > LINE_MAX_LEN)
            return zpl_fail (self, line, err, "line is longer than %d bytes",
                             LINE_MAX_LEN);
        memcpy (buf, text, len);
        buf[len] = 0;
        if (len && buf[len - 1] == '\r')
            return zpl_fail (self, line, err, "carriage return at the end of the line");
        text += len + (text[len] == '\n');
        int rc = check_line (self, line, buf, &depth, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        if (self->n_lines == cap) {
            cap = cap ? 2 * cap : 64;
            self->lines = realloc (self->lines, cap * sizeof *self->lines);
            assert (self->lines);
        }
        self->lines[self->n_lines++] = line;
    }
    return 0;
}

/* Pairs zconfig's nodes, which come in the order of the file, with their lines. */
static int number (zpl_t *self, zconfig_t *config, zpl_node_t *parent, size_t *next,
                   dfs_error_t *err)
{
    zpl_node_t **tail = &parent->child;
    for (zconfig_t *c = zconfig_child (config); c; c = zconfig_next (c)) {
        if (*next >= self->n_lines)
            return zpl_fail (self, 0, err, "cannot be read as ZPL");
        zpl_node_t *node = &self->nodes[1 + *next];
        node->line = self->lines[*next];
        (*next)++;
        node->name = zconfig_name (c);
        node->value = zconfig_value (c);
        if (!node->value)
            node->value = "";
        const zpl_node_t *twin = zpl_child (parent, node->name);
        if (twin)
            return zpl_fail (self, node->line, err,
                             "duplicate '%s' (the first is in line %d)", node->name,
                             twin->line);
        *tail = node;
        tail = &node->next;
        int rc = number (self, c, node, next, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

zpl_t *zpl_parse (const char *text, const char *path, dfs_error_t *err)
{
    zpl_t *self = calloc (1, sizeof *self);
    assert (self);
    self->path = strdup (path);
    assert (self->path);
    if (check_text (self, text, err) < 0)
        goto out;
    self->nodes = calloc (1 + self->n_lines, sizeof *self->nodes);
    assert (self->nodes);
    self->nodes[0].name = "";
    self->nodes[0].value = "";
    if (self->n_lines == 0)
        return self;
    self->config = zconfig_str_load (text);
    size_t next = 0;
    if (!self->config) {
        zpl_fail (self, 0, err, "cannot be read as ZPL");
        goto out;
    }
    if (number (self, self->config, self->nodes, &next, err) < 0)
        goto out;
    if (next != self->n_lines) {
        zpl_fail (self, 0, err, "cannot be read as ZPL");
        goto out;
    }
    return self;
out:
    zpl_destroy (&self);
    return NULL;
}

zpl_t *zpl_load (const char *path, dfs_error_t *err)
{
    void *data = NULL;
    size_t len = 0;
    int rc = io_slurp (path, ZPL_FILE_MAX, &data, &len, err);
    if (rc == DFS_EISDIR)
        fail (err, DFS_ECONFIG, "%s: is a directory", path);
    if (rc < 0)
        return NULL;
    zpl_t *self = NULL;
    if (memchr (data, 0, len))
        fail (err, DFS_ECONFIG, "%s: not a text file", path);
    else
        self = zpl_parse (data, path, err);
    free (data);
    return self;
}

void zpl_destroy (zpl_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    zpl_t *self = *self_p;
    zconfig_destroy (&self->config);
    free (self->nodes);
    free (self->lines);
    free (self->path);
    free (self);
    *self_p = NULL;
}

const zpl_node_t *zpl_root (const zpl_t *self)
{
    return self->nodes;
}

const zpl_node_t *zpl_child (const zpl_node_t *node, const char *name)
{
    for (const zpl_node_t *c = node->child; c; c = c->next)
        if (strcmp (c->name, name) == 0)
            return c;
    return NULL;
}

const char *zpl_path (const zpl_t *self)
{
    return self->path;
}
