/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "places.h"

void places_init (places_t *self)
{
    *self = (places_t){.first = 1};
}

void places_release (places_t *self)
{
    free (self->all);
    places_init (self);
}

const place_t *places_get (const places_t *self, uint64_t index)
{
    if (index < self->first || index - self->first >= self->n)
        return NULL;
    return &self->all[self->front + (size_t)(index - self->first)];
}

void places_push (places_t *self, const place_t *place)
{
    if (self->front + self->n == self->cap) {
        if (self->front > self->n) {
            memmove (self->all, self->all + self->front, self->n * sizeof *self->all);
            self->front = 0;
        } else {
            self->cap = self->cap ? self->cap * 2 : 1024;
            self->all = reallocarray (self->all, self->cap, sizeof *self->all);
            if (!self->all)
                abort ();
        }
    }
    self->all[self->front + self->n++] = *place;
}

void places_truncate (places_t *self, uint64_t index)
{
    assert (index >= self->first);
    if (index - self->first < self->n)
        self->n = (size_t)(index - self->first);
}

void places_trim (places_t *self, uint64_t index)
{
    if (index < self->first)
        return;
    assert (index <= places_last (self));
    self->base_term = places_get (self, index)->term;
    size_t gone = (size_t)(index - self->first + 1);
    self->front += gone;
    self->n -= gone;
    self->first += gone;
    if (self->n == 0)
        self->front = 0;
}

void places_reset (places_t *self, uint64_t index, uint64_t term)
{
    self->n = self->front = 0;
    self->first = index + 1;
    self->base_term = term;
}
