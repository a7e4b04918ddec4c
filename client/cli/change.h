/* SPDX-License-Identifier: MPL-2.0 */
/* Changes of names that a crew makes, many at a time. What fails is said, and kept in
 * *STATUS. Main thread. */
#ifndef CLI_CHANGE_H
#define CLI_CHANGE_H

#include "crew.h"

/* mkdir -p. */
void change_mkdir (crew_t *crew, int *status, const char *path, uint32_t mode);
void change_attributes (crew_t *crew, int *status, const char *path, uint32_t mode,
                        uint64_t mtime_ns);
/* MTIME_NS UINT64_MAX: now. */
void change_symlink (crew_t *crew, int *status, const char *target, const char *path,
                     uint64_t mtime_ns, bool replace);
void change_clone (crew_t *crew, int *status, const char *from, const char *to,
                   bool no_replace);

#endif
