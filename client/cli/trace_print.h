/* SPDX-License-Identifier: MPL-2.0 */
/* --trace: where the time of an operation went, as a table or as a line of JSON. */
#ifndef CLI_TRACE_PRINT_H
#define CLI_TRACE_PRINT_H

#include "client/lib/dfs.h"

/* The dfs_trace_f: prints on stderr, from any thread. */
void trace_print (uint64_t operation, uint64_t ns, const dfs_hop_t *hops, size_t n,
                  void *arg);

#endif
