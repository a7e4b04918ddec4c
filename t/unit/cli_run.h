/* SPDX-License-Identifier: MPL-2.0 */
/* Runs a command line program as a user would, in a child of its own. */
#ifndef T_CLI_RUN_H
#define T_CLI_RUN_H

#include "client/cli/tool.h"

/* What the last one said. */
extern char out[65536], err[65536];

/* WORDS, split at spaces, are its arguments. Returns the exit status; the test fails
 * when a signal ended it. Writes the files `out` and `err` of the current directory. */
int run_program (const tool_info_t *info, const char *words);
/* system (3), which must succeed. */
void shell (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));
/* Reads a file into BUF as text; what cannot be read is empty. */
void slurp (const char *path, char *buf, size_t cap);

#endif
