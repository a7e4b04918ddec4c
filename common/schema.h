/* SPDX-License-Identifier: MPL-2.0 */
/* Typed keys of a config section: a table says for each key its type, its field in a
 * struct, its default and its bounds; reading, defaults and printing follow from it.
 * Plain functions. */
#ifndef COMMON_SCHEMA_H
#define COMMON_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "zpl.h"

enum schema_type {
    SCHEMA_TEXT,     /* char *, owned (free) */
    SCHEMA_SIZE,     /* uint64_t, bytes: 4MiB */
    SCHEMA_DURATION, /* uint64_t, ns: 500ms */
    SCHEMA_COUNT,    /* uint32_t */
    SCHEMA_PORT,     /* uint16_t */
    SCHEMA_PORTS,    /* uint16_t[2]: "20000-20999", or 0 for none */
    SCHEMA_BOOL,     /* bool; choices = "word for false|word for true" */
    SCHEMA_CHOICE,   /* unsigned, place of the word in choices = "none|some|all" */
};

typedef struct schema_key {
    const char *name;
    enum schema_type type;
    size_t offset;        /* of the field */
    const char *standard; /* the default as text; NULL: the reader sets it */
    uint64_t min, max;    /* of numbers; max 0: no upper bound */
    const char *choices;
} schema_key_t;

/* Sets every field of OBJECT that has a default. */
void schema_defaults (const schema_key_t *keys, size_t n, void *object);
/* Reads the children of SECTION (NULL: nothing to do) into OBJECT. Unknown keys, bad
 * and missing values are DFS_ECONFIG with the line. */
int schema_read (const schema_key_t *keys, size_t n, const zpl_t *zpl,
                 const zpl_node_t *section, void *object, dfs_error_t *err);
/* Prints the keys as ZPL, each line with INDENT spaces before it. */
void schema_print (const schema_key_t *keys, size_t n, const void *object, int indent,
                   void *stdio_file);
/* Exact text of a size or duration, which reads back as the same number; returns BUF.
 */
const char *schema_size_text (char *buf, size_t cap, uint64_t bytes);
const char *schema_duration_text (char *buf, size_t cap, uint64_t ns);

#endif
