/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

typedef struct row {
    int code;
    const char *name;
    const char *text;
    int status;
} row_t;

static const row_t table[] = {
#define ROW(name, number, text, status) {number, #name, text, status},
    DFS_ERROR_TABLE (ROW)
#undef ROW
};

static const row_t *find (int code)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].code == code)
            return &table[i];
    return &table[1]; /* DFS_EINTERNAL */
}

const char *dfs_error_text (int code)
{
    return find (code)->text;
}

const char *dfs_error_name (int code)
{
    return find (code)->name;
}

int dfs_error_status (int code)
{
    return find (code)->status;
}

int error_from_errno (int errnum)
{
    switch (errnum) {
    case ENOENT:
        return DFS_ENOENT;
    case EEXIST:
        return DFS_EEXIST;
    case ENOTDIR:
        return DFS_ENOTDIR;
    case EISDIR:
        return DFS_EISDIR;
    case ENOTEMPTY:
        return DFS_ENOTEMPTY;
    case EACCES:
    case EPERM:
        return DFS_EPERM;
    case ENOSPC:
        return DFS_ENOSPC;
    case EDQUOT:
        return DFS_EQUOTA;
    case EIO:
        return DFS_EIO;
    case EROFS:
        return DFS_EROFS;
    case EADDRINUSE:
        return DFS_EINUSE;
    case ENAMETOOLONG:
        return DFS_ENAMETOOLONG;
    case ELOOP:
        return DFS_ELOOP;
    default:
        return DFS_ESYS;
    }
}

int fail (dfs_error_t *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start (ap, fmt);
        vsnprintf (err->text, sizeof err->text, fmt, ap);
        va_end (ap);
        err->code = code;
    }
    return code;
}

int fail_errno (dfs_error_t *err, const char *fmt, ...)
{
    int saved = errno;
    int code = error_from_errno (saved);
    if (err) {
        va_list ap;
        va_start (ap, fmt);
        int n = vsnprintf (err->text, sizeof err->text, fmt, ap);
        va_end (ap);
        if (n >= 0 && (size_t)n < sizeof err->text)
            snprintf (err->text + n, sizeof err->text - (size_t)n, ": %s",
                      strerror (saved));
        err->code = code;
    }
    errno = saved;
    return code;
}

int wrap (dfs_error_t *err, const char *fmt, ...)
{
    if (!err)
        return DFS_EINTERNAL;
    char prefix[sizeof err->text];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (prefix, sizeof prefix, fmt, ap);
    va_end (ap);
    char whole[2 * sizeof err->text + 4];
    snprintf (whole, sizeof whole, "%s: %s", prefix, err->text);
    memcpy (err->text, whole, sizeof err->text - 1);
    err->text[sizeof err->text - 1] = 0;
    return err->code;
}
