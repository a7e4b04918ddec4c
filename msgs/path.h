/* SPDX-License-Identifier: MPL-2.0 */
/* Rules for names and paths, checked here and nowhere else: a name is 1 to 255 bytes
 * without '/' and NUL, not "." or ".."; a path is absolute, at most 4096 bytes. */
#ifndef MSGS_PATH_H
#define MSGS_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define PATH_MAX_LEN 4096
#define NAME_MAX_LEN 255

int path_check_name (const void *name, size_t len, dfs_error_t *err);
/* Checks and normalises (repeated and trailing slashes go; the root is "/"); "." and
 * ".." are refused, not resolved. OUT has PATH_MAX_LEN + 1 bytes, gets a NUL. Returns
 * the length or a negative code. */
int path_normalise (const void *path, size_t len, char *out, dfs_error_t *err);
/* Walks a normalised path: the next component at *POS; returns its length, 0 at the
 * end. */
size_t path_next (const char *path, size_t len, size_t *pos, const char **name);
/* Splits a normalised path at its last component; NAME is empty for "/". */
void path_split (const char *path, size_t len, size_t *parent_len, const char **name,
                 size_t *name_len);
/* For terminals and JSON text: bytes that are no UTF-8, and control bytes, as \xNN; a
 * backslash as \\. Returns OUT (cut to CAP). */
char *path_escape (const void *path, size_t len, char *out, size_t cap);

#endif
