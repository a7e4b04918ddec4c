/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/filetime.h"
#include "output.h"
#include "tool.h"

#define FLAGS (JSON_PRESERVE_ORDER | JSON_ENCODE_ANY)

json_t *out_text (const char *text)
{
    char *shown = tool_shown (text);
    json_t *value = json_string (shown);
    assert (value);
    free (shown);
    return value;
}

json_t *out_number (uint64_t number)
{
    return json_integer (number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

void out_json (json_t *value)
{
    json_dumpf (value, stdout, FLAGS | JSON_INDENT (2));
    putchar ('\n');
    json_decref (value);
}

void out_array_add (out_array_t *array, json_t *value)
{
    fputs (array->begun ? ",\n  " : "[\n  ", stdout);
    array->begun = true;
    json_dumpf (value, stdout, FLAGS);
    json_decref (value);
}

void out_array_end (out_array_t *array)
{
    fputs (array->begun ? "\n]\n" : "[]\n", stdout);
}

const char *out_type_name (enum dfs_type type)
{
    switch (type) {
    case DFS_FILE:
        return "file";
    case DFS_DIRECTORY:
        return "directory";
    case DFS_SYMLINK:
        return "symlink";
    case DFS_SPECIAL:
        return "special";
    case DFS_NONE:
        break;
    }
    return "none";
}

char *out_mode (const dfs_stat_t *st, char buf[11])
{
    static const char letters[] = "rwxrwxrwx";
    static const char types[] = "?-dl?";
    buf[0] = st->type <= DFS_SPECIAL ? types[st->type] : '?';
    for (int i = 0; i < 9; i++)
        buf[1 + i] = st->mode & (0400u >> i) ? letters[i] : '-';
    if (st->mode & 04000)
        buf[3] = st->mode & 0100 ? 's' : 'S';
    if (st->mode & 02000)
        buf[6] = st->mode & 0010 ? 's' : 'S';
    if (st->mode & 01000)
        buf[9] = st->mode & 0001 ? 't' : 'T';
    buf[10] = 0;
    return buf;
}

char *out_time (uint64_t ns, char *buf, size_t cap)
{
    time_t seconds = filetime_unpack (ns).tv_sec;
    struct tm tm;
    if (!localtime_r (&seconds, &tm) || !strftime (buf, cap, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf (buf, cap, "?");
    return buf;
}

char *out_time_json (uint64_t ns, char *buf, size_t cap)
{
    struct timespec time = filetime_unpack (ns);
    struct tm tm;
    char day[32];
    if (!gmtime_r (&time.tv_sec, &tm) ||
        !strftime (day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf (buf, cap, "?");
    else
        snprintf (buf, cap, "%s.%09ldZ", day, time.tv_nsec);
    return buf;
}

json_t *out_stat_json (const char *path, const dfs_stat_t *st)
{
    char time[64];
    const char *last = strrchr (path, '/');
    json_t *o = json_object ();
    json_object_set_new (o, "name", out_text (last && last[1] ? last + 1 : path));
    json_object_set_new (o, "path", out_text (path));
    json_object_set_new (o, "type", json_string (out_type_name (st->type)));
    json_object_set_new (o, "size", out_number (st->size));
    json_object_set_new (o, "mtime",
                         json_string (out_time_json (st->mtime_ns, time, sizeof time)));
    json_object_set_new (o, "version", out_number (st->version));
    if (st->target)
        json_object_set_new (o, "target", out_text (st->target));
    return o;
}
