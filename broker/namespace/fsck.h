/* SPDX-License-Identifier: MPL-2.0 */
/* Offline check of a namespace: names each fault. Memory grows with the number of
 * records, about 100 bytes for each. No broker may have it open. */
#ifndef BROKER_NAMESPACE_FSCK_H
#define BROKER_NAMESPACE_FSCK_H

#include "common/error.h"

/* Verifies DIR/namespace: state hash, totals, reachability, link counts, references of
 * pages and contents, and the past. FAULT is called once for each fault found. Returns
 * the number of faults, or negative when it could not be read to the end. */
int namespace_fsck (const char *dir, void (*fault) (const char *text, void *arg),
                    void *arg, dfs_error_t *err);

#endif
