/* SPDX-License-Identifier: MPL-2.0 */
/* Results for people and for programs: JSON with jansson, times, types. Bytes that are
 * not UTF-8 are shown as \xNN (path_escape). Main thread. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/lib/dfs.h"

/* A JSON string of any bytes. Returns owned. */
json_t *out_text (const char *text);
json_t *out_number (uint64_t number);
/* Prints VALUE (taken) and a newline to stdout. */
void out_json (json_t *value);
/* An array that is printed element by element, so that it may have any length. */
typedef struct out_array {
    bool begun;
} out_array_t;
void out_array_add (out_array_t *array, json_t *value); /* takes VALUE */
void out_array_end (out_array_t *array);

const char *out_type_name (enum dfs_type type);
/* What every verb says of PATH: name, path, type, size, mtime, version, target. Returns
 * owned. */
json_t *out_stat_json (const char *path, const dfs_stat_t *st);
/* "drwxr-xr-x"; BUF has 11 bytes. Returns BUF. */
char *out_mode (const dfs_stat_t *st, char buf[11]);
/* "2026-11-21 09:14:07", local time; ISO form in UTC with ns for JSON. Return BUF. */
char *out_time (uint64_t ns, char *buf, size_t cap);
char *out_time_json (uint64_t ns, char *buf, size_t cap);

/* status: as text, or as the object of --json (returns owned). */
void out_status (const dfs_status_t *status);
/* Time that repair still takes, "-": not known. Returns BUF or a constant. */
const char *out_eta (const dfs_status_t *status, char *buf, size_t cap);
void out_brokers (const dfs_status_t *status);
json_t *out_brokers_json (const dfs_status_t *status);
/* Its reclaim part alone. */
json_t *out_reclaim_json (const dfs_status_t *s);
json_t *out_status_json (const dfs_status_t *status);

/* What a worker's copies that do not count any more still take: in quarantine, or not
 * yet given back. */
uint64_t out_held (const dfs_worker_info_t *w);

#endif
