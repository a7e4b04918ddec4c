/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "table.h"

#define BLOCK   512 /* rows */
#define COLUMNS 16
#define GAP     2 /* 1 where room is short */
#define CUT_MIN 8 /* a column is made no narrower */

struct table {
    char kinds[COLUMNS + 1];
    size_t n;
    FILE *file;
    size_t widths[COLUMNS];
    size_t gap;   /* between two columns */
    bool dropped; /* the columns that may be missing are */
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
    self->gap = GAP;
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

/* The byte at which character N of TEXT begins. */
static size_t offset (const char *text, size_t n)
{
    size_t at = 0;
    while (text[at] && (n > 0 || ((unsigned char)text[at] & 0xc0) == 0x80))
        n -= ((unsigned char)text[at++] & 0xc0) != 0x80 && n > 0;
    return at;
}

/* Takes the middle out of CELL, in place: what tells names apart is at the ends. */
static void cut (char *cell, size_t most)
{
    size_t all = width (cell), tail = most / 2;
    if (all <= most)
        return;
    char *to = cell + offset (cell, most - tail - 1);
    const char *from = cell + offset (cell, all - tail);
    *to++ = '~';
    memmove (to, from, strlen (from) + 1);
}

static size_t total (const table_t *self)
{
    size_t sum = 0;
    for (size_t i = 0; i < self->n; i++)
        if (!self->dropped || self->kinds[i] != 'd')
            sum += self->widths[i] + (sum ? self->gap : 0);
    return sum;
}

/* Makes rows as narrow as the terminal, if it is one, by what is missed least. */
static void fit (table_t *self)
{
    struct winsize size = {0};
    int fd = fileno (self->file);
    if (fd < 0 || ioctl (fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return;
    if (total (self) > size.ws_col)
        self->gap = 1;
    if (total (self) > size.ws_col)
        self->dropped = true;
    while (total (self) > size.ws_col) {
        size_t widest = self->n;
        for (size_t i = 0; i < self->n; i++)
            if (self->kinds[i] == 'm' && self->widths[i] > CUT_MIN &&
                (widest == self->n || self->widths[i] > self->widths[widest]))
                widest = i;
        if (widest == self->n)
            return;
        self->widths[widest]--;
    }
}

static void print_cell (table_t *self, size_t i)
{
    size_t column = i % self->n;
    char *cell = self->cells[i];
    bool last = column + 1 == self->n || i + 1 == self->used;
    if (self->kinds[column] == 'm')
        cut (cell, self->widths[column]);
    int pad = (int)(self->widths[column] - width (cell)), gap = (int)self->gap;
    if (self->dropped && self->kinds[column] == 'd')
        ;
    else if (self->kinds[column] == 'r')
        fprintf (self->file, "%*s%s%*s", pad, "", cell, last ? 0 : gap, "");
    else
        fprintf (self->file, "%s%*s", cell, last ? 0 : pad + gap, "");
    if (last)
        fputc ('\n', self->file);
    free (cell);
}

static void flush (table_t *self)
{
    fit (self);
    for (size_t i = 0; i < self->used; i++)
        print_cell (self, i);
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
