/* SPDX-License-Identifier: MPL-2.0 */
/* Counts by key, in memory: what fsck expects of records. Plain, one thread. */
#ifndef BROKER_NAMESPACE_TALLY_H
#define BROKER_NAMESPACE_TALLY_H

#include <stddef.h>
#include <stdint.h>

typedef struct tally_map tally_map_t;

tally_map_t *tally_new (void);
void tally_destroy (tally_map_t **self_p);
/* Adds BY to the count of KEY under KIND. */
void tally_add (tally_map_t *self, int kind, const void *key, size_t len, uint64_t by);
uint64_t tally_get (const tally_map_t *self, int kind, const void *key, size_t len);
/* Number of keys with a count under KIND. */
uint64_t tally_keys (const tally_map_t *self, int kind);

#endif
