/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "units.h"

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit_t;

/* Largest first; the last always divides. */
static const unit_t size_units[] = {
    {"TiB", 1024 * GIB}, {"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"", 1}};
static const unit_t duration_units[] = {
    {"d", 86400 * SEC}, {"h", 3600 * SEC}, {"m", 60 * SEC}, {"s", SEC},
    {"ms", MS},         {"us", 1000},      {"ns", 1}};

static const char *unit_text (char *buf, size_t cap, uint64_t value,
                              const unit_t *units, size_t n)
{
    size_t i = 0;
    while (i + 1 < n && (value == 0 || value % units[i].factor))
        i++;
    snprintf (buf, cap, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
    return buf;
}

const char *schema_size_text (char *buf, size_t cap, uint64_t bytes)
{
    return unit_text (buf, cap, bytes, size_units,
                      sizeof size_units / sizeof size_units[0]);
}

const char *schema_duration_text (char *buf, size_t cap, uint64_t ns)
{
    return unit_text (buf, cap, ns, duration_units,
                      sizeof duration_units / sizeof duration_units[0]);
}

/* Text of NUMBER in the way of KEY. */
static const char *number_text (const schema_key_t *key, char *buf, size_t cap,
                                uint64_t number)
{
    switch (key->type) {
    case SCHEMA_SIZE:
        return schema_size_text (buf, cap, number);
    case SCHEMA_DURATION:
        return schema_duration_text (buf, cap, number);
    default:
        snprintf (buf, cap, "%" PRIu64, number);
        return buf;
    }
}

static int parse_count (const char *text, uint64_t max, uint64_t *number,
                        dfs_error_t *err)
{
    uint64_t value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
        if (value > max)
            return fail (err, DFS_EINVAL, "'%s' is more than %" PRIu64, text, max);
    }
    if (*p || p == text)
        return fail (err, DFS_EINVAL, "'%s' is not a number", text);
    *number = value;
    return 0;
}

static int parse_ports (const char *text, uint16_t ports[2], dfs_error_t *err)
{
    char low[16];
    const char *dash = strchr (text, '-');
    uint64_t lo = 0, hi = 0;
    if (strcmp (text, "0") == 0) {
        ports[0] = ports[1] = 0;
        return 0;
    }
    if (!dash || (size_t)(dash - text) >= sizeof low)
        return fail (err, DFS_EINVAL, "'%s' is not a port range such as 20000-20999",
                     text);
    memcpy (low, text, (size_t)(dash - text));
    low[dash - text] = 0;
    if (parse_count (low, UINT16_MAX, &lo, err) < 0 ||
        parse_count (dash + 1, UINT16_MAX, &hi, err) < 0)
        return DFS_EINVAL;
    if (lo == 0 || lo > hi)
        return fail (err, DFS_EINVAL, "'%s' is not a port range such as 20000-20999",
                     text);
    ports[0] = (uint16_t)lo;
    ports[1] = (uint16_t)hi;
    return 0;
}

/* The place of TEXT among CHOICES. */
static int parse_choice (const char *choices, const char *text, unsigned *value,
                         dfs_error_t *err)
{
    size_t len = strlen (text);
    *value = 0;
    for (const char *p = choices;; p++, (*value)++) {
        size_t n = strcspn (p, "|");
        if (n == len && strncmp (p, text, n) == 0)
            return 0;
        p += n;
        if (!*p)
            return fail (err, DFS_EINVAL, "'%s' is none of %s", text, choices);
    }
}

static const char *choice_text (const char *choices, unsigned value, char *buf,
                                size_t cap)
{
    const char *p = choices;
    for (; value > 0; value--)
        p += strcspn (p, "|") + 1;
    snprintf (buf, cap, "%.*s", (int)strcspn (p, "|"), p);
    return buf;
}

static int check_bounds (const schema_key_t *key, uint64_t number, dfs_error_t *err)
{
    char a[32], b[32], c[32];
    if (key->max && (number < key->min || number > key->max))
        return fail (err, DFS_EINVAL, "%s is not within %s and %s",
                     number_text (key, a, sizeof a, number),
                     number_text (key, b, sizeof b, key->min),
                     number_text (key, c, sizeof c, key->max));
    if (number < key->min)
        return fail (err, DFS_EINVAL, "%s is less than %s",
                     number_text (key, a, sizeof a, number),
                     number_text (key, b, sizeof b, key->min));
    return 0;
}

static int set (const schema_key_t *key, void *object, const char *text,
                dfs_error_t *err)
{
    void *field = (char *)object + key->offset;
    uint64_t number = 0;
    unsigned choice;
    int rc = 0;
    switch (key->type) {
    case SCHEMA_TEXT:
        free (*(char **)field);
        *(char **)field = strdup (text);
        assert (*(char **)field);
        return 0;
    case SCHEMA_PORTS:
        return parse_ports (text, field, err);
    case SCHEMA_BOOL:
    case SCHEMA_CHOICE:
        if ((rc = parse_choice (key->choices, text, &choice, err)) < 0)
            return rc;
        if (key->type == SCHEMA_BOOL)
            *(bool *)field = choice != 0;
        else
            *(unsigned *)field = choice;
        return 0;
    case SCHEMA_SIZE:
        rc = units_parse_size (text, &number, err);
        break;
    case SCHEMA_DURATION:
        rc = units_parse_duration (text, &number, err);
        break;
    case SCHEMA_COUNT:
        rc = parse_count (text, UINT32_MAX, &number, err);
        break;
    case SCHEMA_PORT:
        rc = parse_count (text, UINT16_MAX, &number, err);
        break;
    }
    if (rc < 0 || (rc = check_bounds (key, number, err)) < 0)
        return rc;
    if (key->type == SCHEMA_COUNT)
        *(uint32_t *)field = (uint32_t)number;
    else if (key->type == SCHEMA_PORT)
        *(uint16_t *)field = (uint16_t)number;
    else
        *(uint64_t *)field = number;
    return 0;
}

void schema_defaults (const schema_key_t *keys, size_t n, void *object)
{
    for (size_t i = 0; i < n; i++)
        if (keys[i].standard) {
            int rc = set (&keys[i], object, keys[i].standard, NULL);
            assert (rc == 0);
        }
}

int schema_read (const schema_key_t *keys, size_t n, const zpl_t *zpl,
                 const zpl_node_t *section, void *object, dfs_error_t *err)
{
    if (!section)
        return 0;
    for (const zpl_node_t *node = section->child; node; node = node->next) {
        size_t i = 0;
        while (i < n && strcmp (keys[i].name, node->name))
            i++;
        if (i == n)
            return zpl_fail (zpl, node->line, err, "unknown key '%s' in '%s'",
                             node->name, section->name);
        if (node->child)
            return zpl_fail (zpl, node->child->line, err, "'%s' has no keys of its own",
                             node->name);
        if (!*node->value)
            return zpl_fail (zpl, node->line, err, "'%s' has no value", node->name);
        dfs_error_t why;
        if (set (&keys[i], object, node->value, &why) < 0)
            return zpl_fail (zpl, node->line, err, "%s: %s", node->name, why.text);
    }
    return 0;
}

void schema_print (const schema_key_t *keys, size_t n, const void *object, int indent,
                   void *stdio_file)
{
    FILE *file = stdio_file;
    for (size_t i = 0; i < n; i++) {
        const void *field = (const char *)object + keys[i].offset;
        char buf[64];
        const char *text = buf;
        switch (keys[i].type) {
        case SCHEMA_TEXT:
            text = *(char *const *)field ? *(char *const *)field : "";
            break;
        case SCHEMA_SIZE:
        case SCHEMA_DURATION:
            number_text (&keys[i], buf, sizeof buf, *(const uint64_t *)field);
            break;
        case SCHEMA_COUNT:
            number_text (&keys[i], buf, sizeof buf, *(const uint32_t *)field);
            break;
        case SCHEMA_PORT:
            number_text (&keys[i], buf, sizeof buf, *(const uint16_t *)field);
            break;
        case SCHEMA_PORTS: {
            const uint16_t *ports = field;
            if (ports[0])
                snprintf (buf, sizeof buf, "%u-%u", ports[0], ports[1]);
            else
                strcpy (buf, "0");
            break;
        }
        case SCHEMA_BOOL:
            choice_text (keys[i].choices, *(const bool *)field, buf, sizeof buf);
            break;
        case SCHEMA_CHOICE:
            choice_text (keys[i].choices, *(const unsigned *)field, buf, sizeof buf);
            break;
        }
        const char *quote = "";
        if (strpbrk (text, "#'") || !*text)
            quote = "\"";
        else if (*text == '"')
            quote = "'";
        fprintf (file, "%*s%s = %s%s%s\n", indent, "", keys[i].name, quote, text,
                 quote);
    }
}
