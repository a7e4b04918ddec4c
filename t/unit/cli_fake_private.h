/* SPDX-License-Identifier: MPL-2.0 */
/* What the parts of the fake libdfs share. */
#ifndef T_CLI_FAKE_PRIVATE_H
#define T_CLI_FAKE_PRIVATE_H

#include "cli_fake.h"
#include "client/lib/dfs.h"
#include "common/error.h"

#define VERSION 7 /* every file has this one */

/* A line in the trace. */
void fake_trace (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));
/* Where PATH is in the local file system; valid until the next but one. */
const char *fake_path (const char *path);
/* Makes the directories above PATH. */
void fake_parents (const char *path);
/* ERR says what errno does about PATH. */
int fake_errno (dfs_error_t *err, const char *path);

#endif
