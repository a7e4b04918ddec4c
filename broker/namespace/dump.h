/* SPDX-License-Identifier: MPL-2.0 */
/* Every record of a namespace as a line of text, for a person. */
#ifndef BROKER_NAMESPACE_DUMP_H
#define BROKER_NAMESPACE_DUMP_H

#include <stdio.h>

#include "common/error.h"

/* Prints DIR/namespace to FILE, in the order of tables and keys. */
int namespace_dump (const char *dir, FILE *file, dfs_error_t *err);

#endif
