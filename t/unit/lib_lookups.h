/* SPDX-License-Identifier: MPL-2.0 */
/* A name server that knows one host more, "a.worker" (this machine), and counts
 * who asks for it. In a file of its own: netdb.h and sock.h do not go together. */
#ifndef T_UNIT_LIB_LOOKUPS_H
#define T_UNIT_LIB_LOOKUPS_H

#include <stdatomic.h>

extern atomic_uint lookups_done;
extern atomic_bool lookups_masked; /* the last one: no signal comes to its thread */

#endif
