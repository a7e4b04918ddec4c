/* SPDX-License-Identifier: MPL-2.0 */
/* Aligned columns on a terminal. One thread. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdio.h>

typedef struct table table_t;

/* COLUMNS: a letter for each, 'l' left, 'r' right. Where FILE is a terminal that is too
 * narrow for the rows a 'd' (else left) is not there, and an 'm' loses its middle. Rows are printed to FILE in blocks,
 * so that a listing of any length takes little memory; columns only grow. */
table_t *table_new (const char *columns, FILE *file);
/* Prints what is left. */
void table_destroy (table_t **self_p);
/* The next cell, row by row. */
void table_add (table_t *self, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));
/* Several cells, ended by NULL: for headings. */
void table_row (table_t *self, ...) __attribute__ ((sentinel));

#endif
