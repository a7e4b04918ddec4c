/* SPDX-License-Identifier: MPL-2.0 */
/* Host names to numeric addresses, so that ZeroMQ never resolves anything itself (it
 * would do so in its I/O thread). A literal address (IPv4, IPv6 with or without
 * brackets) answers at once; a name is looked up in a thread of its own. Any thread. */
#ifndef COMMON_RESOLVE_H
#define COMMON_RESOLVE_H

#include <stddef.h>

#include "error.h"

/* Fills OUT with a numeric address ("10.0.0.1", "[::1]": ready for tcp://OUT:PORT).
 * Waits at most TIMEOUT_MS; a name server that answers later is not waited for. */
int resolve_host (const char *host, char *out, size_t cap, int timeout_ms,
                  dfs_error_t *err);

#endif
