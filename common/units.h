/* SPDX-License-Identifier: MPL-2.0 */
/* Sizes, durations and dates as people write them. Plain functions, any thread. */
#ifndef COMMON_UNITS_H
#define COMMON_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)
#define MS  1000000ULL /* nanoseconds in a millisecond */
#define SEC 1000000000ULL

/* "4MiB", "64KiB", "1GiB", "123" (bytes), also TiB; no sign, no fraction. */
int units_parse_size (const char *text, uint64_t *bytes, dfs_error_t *err);
/* "500ms", "2s", "10m", "24h", "7d"; result in nanoseconds. */
int units_parse_duration (const char *text, uint64_t *ns, dfs_error_t *err);
/* "1.5 MiB", "312 B"; returns BUF. */
const char *units_format_size (char *buf, size_t cap, uint64_t bytes);
/* "3m12s", "450ms"; returns BUF. */
const char *units_format_duration (char *buf, size_t cap, uint64_t ns);

#endif
