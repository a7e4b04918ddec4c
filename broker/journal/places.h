/* SPDX-License-Identifier: MPL-2.0 */
/* Where each entry of the log lies: an array with the first index at its front, 24
 * bytes per entry. Threads: the owner's lock. */
#ifndef BROKER_JOURNAL_PLACES_H
#define BROKER_JOURNAL_PLACES_H

#include <stddef.h>
#include <stdint.h>

typedef struct place {
    uint64_t term;
    uint32_t seq; /* of the segment */
    uint32_t offset;
    uint32_t len; /* of the data */
    uint32_t type;
} place_t;

typedef struct places {
    uint64_t first;     /* index of the first entry; next one to come when empty */
    uint64_t base_term; /* term of the entry before it, 0: not known */
    size_t n;
    size_t front; /* dead ones before the first */
    size_t cap;
    place_t *all;
} places_t;

void places_init (places_t *self);
void places_release (places_t *self);
static inline uint64_t places_last (const places_t *self)
{
    return self->first + self->n - 1;
}
/* NULL when INDEX is not there. */
const place_t *places_get (const places_t *self, uint64_t index);
void places_push (places_t *self, const place_t *place);
/* Drops those from INDEX on; up to INDEX; all, the next being INDEX + 1. */
void places_truncate (places_t *self, uint64_t index);
void places_trim (places_t *self, uint64_t index);
void places_reset (places_t *self, uint64_t index, uint64_t term);

#endif
