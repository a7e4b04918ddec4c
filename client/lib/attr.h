/* SPDX-License-Identifier: MPL-2.0 */
/* From the wire's attributes to the public ones. Plain functions. */
#ifndef CLIENT_LIB_ATTR_H
#define CLIENT_LIB_ATTR_H

#include "client/lib/dfs.h"
#include "msgs/control.pb-c.h"

/* All but the target of a symlink. */
void attr_to_stat (const Dfs__Attr *attr, dfs_stat_t *st);
/* Sets ST's target to a copy (dfs_stat_clear frees it). */
void attr_target (const Dfs__Attr *attr, dfs_stat_t *st);

#endif
