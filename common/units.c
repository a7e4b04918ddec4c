/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit_t;

static const unit_t size_units[] = {
    {"", 1}, {"B", 1}, {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}, {"TiB", 1024 * GIB},
};
static const unit_t time_units[] = {
    {"ns", 1},         {"us", 1000},           {"ms", MS}, {"s", SEC}, {"m", 60 * SEC},
    {"h", 3600 * SEC}, {"d", 24 * 3600 * SEC},
};

static int parse (const char *text, const unit_t *units, size_t n, const char *what,
                  uint64_t *out, dfs_error_t *err)
{
    uint64_t value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (UINT64_MAX - 9) / 10)
            return fail (err, DFS_EINVAL, "'%s' is too large", text);
        value = value * 10 + (uint64_t)(*p - '0');
    }
    if (p == text)
        return fail (err, DFS_EINVAL, "'%s' is not a %s", text, what);
    for (size_t i = 0; i < n; i++)
        if (strcmp (p, units[i].name) == 0) {
            if (value > UINT64_MAX / units[i].factor)
                return fail (err, DFS_EINVAL, "'%s' is too large", text);
            *out = value * units[i].factor;
            return DFS_OK;
        }
    return fail (err, DFS_EINVAL, "'%s' is not a %s", text, what);
}

int units_parse_size (const char *text, uint64_t *bytes, dfs_error_t *err)
{
    return parse (text, size_units, sizeof size_units / sizeof size_units[0],
                  "size (a number with KiB, MiB, GiB or TiB)", bytes, err);
}

int units_parse_duration (const char *text, uint64_t *ns, dfs_error_t *err)
{
    return parse (text, time_units, sizeof time_units / sizeof time_units[0],
                  "duration (a number with ms, s, m, h or d)", ns, err);
}

const char *units_format_size (char *buf, size_t cap, uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024) {
        snprintf (buf, cap, "%" PRIu64 " B", bytes);
        return buf;
    }
    double value = (double)bytes;
    size_t i = 0;
    while (value >= 1024 && i < 5) {
        value /= 1024;
        i++;
    }
    snprintf (buf, cap,
              value < 10    ? "%.2f %s"
              : value < 100 ? "%.1f %s"
                            : "%.0f %s",
              value, names[i]);
    return buf;
}

const char *units_format_duration (char *buf, size_t cap, uint64_t ns)
{
    uint64_t s = ns / SEC;
    if (ns < MS)
        snprintf (buf, cap, "%" PRIu64 "us", ns / 1000);
    else if (ns < SEC)
        snprintf (buf, cap, "%" PRIu64 "ms", (uint64_t)(ns / MS));
    else if (s < 60)
        snprintf (buf, cap, "%.1fs", (double)ns / (double)SEC);
    else if (s < 3600)
        snprintf (buf, cap, "%" PRIu64 "m%02us", s / 60, (unsigned)(s % 60));
    else if (s < 24 * 3600)
        snprintf (buf, cap, "%" PRIu64 "h%02um", s / 3600, (unsigned)(s / 60 % 60));
    else
        snprintf (buf, cap, "%" PRIu64 "d%02uh", s / 86400, (unsigned)(s / 3600 % 24));
    return buf;
}
