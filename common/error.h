/* SPDX-License-Identifier: MPL-2.0 */
/* How functions of this code base report failure: `return fail (err, DFS_ENOSPC,
 * "volume %u", id);`. ERR may be NULL everywhere (the text is then dropped). */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include "dfs_error.h"

#undef fail /* cmocka has a macro of that name: tests include it first */

/* Sets ERR to CODE and the formatted text ("TEXT: what the code means" where FMT does
 * not say it itself is the caller's choice) and returns CODE. */
int fail (dfs_error_t *err, int code, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));

/* As fail, with ": strerror (errno)" appended; maps ENOSPC, EIO, EROFS, ENOENT, EEXIST,
 * EACCES… to their DFS_E code and everything else to DFS_ESYS. Keeps errno. */
int fail_errno (dfs_error_t *err, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Puts "formatted text: " before the text that ERR has; returns its code. */
int wrap (dfs_error_t *err, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));

/* DFS_E code for an errno value. */
int error_from_errno (int errnum);

#endif
