/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "path.h"

int path_check_name (const void *name, size_t len, dfs_error_t *err)
{
    const char *p = name;
    if (len == 0)
        return fail (err, DFS_EINVAL, "empty name");
    if (len > NAME_MAX_LEN)
        return fail (err, DFS_ENAMETOOLONG, "name of %zu bytes; 255 are allowed", len);
    if (memchr (p, '/', len) || memchr (p, 0, len))
        return fail (err, DFS_EINVAL, "name with '/' or NUL");
    if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
        return fail (err, DFS_EINVAL, "'%.*s' is not a name", (int)len, p);
    return DFS_OK;
}

int path_normalise (const void *path, size_t len, char *out, dfs_error_t *err)
{
    const char *p = path;
    if (len == 0 || p[0] != '/')
        return fail (err, DFS_EINVAL, "path is not absolute");
    if (len > PATH_MAX_LEN)
        return fail (err, DFS_ENAMETOOLONG, "path of %zu bytes; %d are allowed", len,
                     PATH_MAX_LEN);
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        if (p[i] == '/') {
            i++;
            continue;
        }
        const char *slash = memchr (p + i, '/', len - i);
        size_t part = slash ? (size_t)(slash - (p + i)) : len - i;
        int rc = path_check_name (p + i, part, err);
        if (rc < 0)
            return rc;
        out[n++] = '/';
        memcpy (out + n, p + i, part);
        n += part;
        i += part;
    }
    if (n == 0)
        out[n++] = '/';
    out[n] = 0;
    return (int)n;
}

size_t path_next (const char *path, size_t len, size_t *pos, const char **name)
{
    size_t i = *pos;
    while (i < len && path[i] == '/')
        i++;
    const char *slash = i < len ? memchr (path + i, '/', len - i) : NULL;
    size_t part = slash ? (size_t)(slash - (path + i)) : len - i;
    *name = path + i;
    *pos = i + part;
    return part;
}

void path_split (const char *path, size_t len, size_t *parent_len, const char **name,
                 size_t *name_len)
{
    size_t i = len;
    while (i > 0 && path[i - 1] != '/')
        i--;
    *name = path + i;
    *name_len = len - i;
    *parent_len = i > 1 ? i - 1 : i;
}

/* Length of the valid UTF-8 sequence of printable text at P, 0 when there is none. */
static size_t utf8 (const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] >= ' ' && p[0] != 0x7f ? 1 : 0;
    size_t n = p[0] >= 0xf5   ? 0
               : p[0] >= 0xf0 ? 4
               : p[0] >= 0xe0 ? 3
               : p[0] >= 0xc2 ? 2
                              : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0; /* overlong, surrogate, past U+10FFFF */
    if (p[0] == 0xc2 && p[1] < 0xa0)
        return 0; /* C1 controls move terminals too */
    return n;
}

char *path_escape (const void *path, size_t len, char *out, size_t cap)
{
    const unsigned char *p = path;
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        size_t part = utf8 (p + i, len - i);
        size_t need = part == 0 ? 4 : p[i] == '\\' ? 2 : part;
        if (n + need + 1 > cap)
            break;
        if (part == 0) {
            snprintf (out + n, 5, "\\x%02x", p[i]);
            part = 1;
        } else if (p[i] == '\\')
            memcpy (out + n, "\\\\", 2);
        else
            memcpy (out + n, p + i, part);
        n += need;
        i += part;
    }
    if (cap)
        out[n] = 0;
    return out;
}
