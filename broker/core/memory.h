/* SPDX-License-Identifier: MPL-2.0 */
/* Memory of the core: zeroed, never NULL (out of memory aborts; every count is bounded
 * by core_config_t). Plain functions. */
#ifndef BROKER_CORE_MEMORY_H
#define BROKER_CORE_MEMORY_H

#include <stddef.h>

void *core_zalloc (size_t size);
/* Makes room for N + 1 elements of SIZE in *DATA, whose capacity is *CAP. */
void core_grow (void **data, size_t *cap, size_t n, size_t size);

#endif
