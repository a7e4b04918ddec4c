/* SPDX-License-Identifier: MPL-2.0 */
/* Where the time of one operation went: sums per node and step, in the order in which
 * they first ended. Owned by the caller's thread. */
#ifndef CLIENT_LIB_TRACE_H
#define CLIENT_LIB_TRACE_H

#include "client/lib/dfs.h"

typedef struct trace trace_t;

trace_t *trace_new (void);
void trace_destroy (trace_t **self_p);
/* Forgets everything: an operation begins. */
void trace_begin (trace_t *self);
/* STEP took NS on NODE (NULL: this client). SELF may be NULL. STEP is static or copied
 * like NODE; more different ones than there is room for are not kept. */
void trace_add (trace_t *self, const char *node, const char *step, uint64_t ns,
                uint64_t bytes);
/* ... that began at SINCE (clock_mono); 0: nothing is known about it. */
void trace_since (trace_t *self, const char *step, uint64_t since, uint64_t bytes);
/* How often STEP was noted, on all nodes together. */
uint64_t trace_times (const trace_t *self, const char *step);
/* Returns borrowed, valid until the next call; *N of them; *NS since the beginning. */
const dfs_hop_t *trace_hops (const trace_t *self, size_t *n, uint64_t *ns);

#endif
