/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define BLOCK   512 /* rows */
#define COLUMNS 16
#define GAP     2

struct table {
    char kinds[COLUMNS + 1];
    size_t n;
    FILE *file;
    size_t widths[COLUMNS];
    char *cells[BLOCK * COLUMNS];
    size_t used;
};

table_t *table_new (const char *columns, FILE *file)
{
    table_t *self = calloc (1, sizeof *self);
    assert (self && strlen (columns) <= COLUMNS);
    strcpy (self->kinds, columns);
    self->n = strlen (columns);
    self->file = file;
    return self;
}

/* Columns that TEXT takes: bytes that begin a UTF-8 character. */
static size_t width (const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void flush (table_t *self)
{
    for (size_t i = 0; i < self->used; i++) {
        size_t column = i % self->n;
        char *cell = self->cells[i];
        size_t pad = self->widths[column] - width (cell);
        bool last = column + 1 == self->n || i + 1 == self->used;
        if (self->kinds[column] == 'r')
            fprintf (self->file, "%*s%s", (int)pad, "", cell);
        else
            fprintf (self->file, "%s%*s", cell, last ? 0 : (int)pad, "");
        fprintf (self->file, "%*s", last ? 0 : GAP, "");
        if (last)
            fputc ('\n', self->file);
        free (cell);
    }
    self->used = 0;
}

static void add (table_t *self, char *cell)
{
    size_t column = self->used % self->n;
    size_t w = width (cell);
    if (w > self->widths[column])
        self->widths[column] = w;
    self->cells[self->used++] = cell;
    if (self->used == BLOCK * self->n)
        flush (self);
}

void table_add (table_t *self, const char *fmt, ...)
{
    char *cell = NULL;
    va_list ap;
    va_start (ap, fmt);
    int rc = vasprintf (&cell, fmt, ap);
    va_end (ap);
    assert (rc >= 0);
    add (self, cell);
}

void table_row (table_t *self, ...)
{
    va_list ap;
    va_start (ap, self);
    for (const char *text; (text = va_arg (ap, const char *));) {
        char *cell = strdup (text);
        assert (cell);
        add (self, cell);
    }
    va_end (ap);
}

void table_destroy (table_t **self_p)
{
    if (!self_p || !*self_p)
        return;
    flush (*self_p);
    free (*self_p);
    *self_p = NULL;
}
