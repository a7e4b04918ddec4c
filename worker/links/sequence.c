/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/links/sequence.h"

/* A ring: change SEQ lies at SEQ % SEQUENCE_RECENT. */
struct recent {
    uint64_t first; /* oldest kept */
    uint64_t end;   /* one behind the newest */
    store_change_t ring[SEQUENCE_RECENT];
};

recent_t *recent_new (void)
{
    recent_t *self = calloc (1, sizeof *self);
    assert (self);
    return self;
}

void recent_destroy (recent_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

void recent_add (recent_t *self, const store_change_t *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t seq = changes[i].seq;
        if (seq != self->end) /* the first one, or a hole: memory starts here */
            self->first = seq;
        self->ring[seq % SEQUENCE_RECENT] = changes[i];
        self->end = seq + 1;
        if (self->end - self->first > SEQUENCE_RECENT)
            self->first = self->end - SEQUENCE_RECENT;
    }
}

uint64_t recent_last (const recent_t *self)
{
    return self->end ? self->end - 1 : 0;
}

size_t recent_get (const recent_t *self, uint64_t first, store_change_t *out,
                   size_t max)
{
    if (first < self->first || first >= self->end)
        return 0;
    size_t n = (size_t)(self->end - first);
    if (n > max)
        n = max;
    for (size_t i = 0; i < n; i++)
        out[i] = self->ring[(first + i) % SEQUENCE_RECENT];
    return n;
}

void position_start (position_t *self, bool known, uint64_t seq, uint64_t now)
{
    uint32_t asked_as = self->asked_as + 1;
    *self = (position_t){.state = POSITION_FOLLOWING,
                         .next = seq + 1,
                         .acked = seq,
                         .moved = now,
                         .asked_as = asked_as};
    if (!known)
        position_list (self, now);
}

void position_list (position_t *self, uint64_t now)
{
    uint32_t asked_as = self->asked_as + 1;
    *self = (position_t){.state = POSITION_LISTING,
                         .moved = now,
                         .asked_as = asked_as,
                         .first = self->first,
                         .given = self->first};
}

void position_window (position_t *self, uint64_t first)
{
    self->first = self->given = first;
}

void position_given (position_t *self, uint64_t pages, uint64_t now)
{
    if (pages <= self->given)
        return;
    self->given = pages;
    self->moved = now;
}

bool position_may_list (position_t *self, uint64_t patience, uint64_t now, bool *ask)
{
    *ask = false;
    if (self->first == 0 || self->page < self->given)
        return true;
    if (now >= self->moved + patience) {
        self->moved = now;
        *ask = true;
    }
    return false;
}

void position_stop (position_t *self)
{
    *self = (position_t){.state = POSITION_OFF, .asked_as = self->asked_as + 1};
}

static void go_back (position_t *self, uint64_t now)
{
    self->next = self->acked + 1;
    self->moved = now;
    self->asked = false;
    self->asked_as++;
}

bool position_acked (position_t *self, uint64_t seq, uint64_t now)
{
    if (self->state != POSITION_FOLLOWING || seq >= self->next)
        return false;
    if (seq > self->acked) {
        self->acked = seq;
        self->moved = now;
        return false;
    }
    /* A broker acknowledges what it applied; the same again, or less, means that
     * something between is missing there. */
    if (seq + 1 == self->next)
        return false;
    self->acked = seq;
    go_back (self, now);
    return true;
}

bool position_late (position_t *self, uint64_t patience, uint64_t now)
{
    if (self->state != POSITION_FOLLOWING || self->acked + 1 == self->next ||
        now < self->moved + patience)
        return false;
    go_back (self, now);
    return true;
}

void position_sent (position_t *self, size_t n, uint64_t now)
{
    if (self->acked + 1 == self->next)
        self->moved = now;
    self->next += n;
}

void position_listed (position_t *self, uint64_t now)
{
    self->state = POSITION_FOLLOWING;
    self->next = self->stands + 1;
    self->acked = self->stands;
    self->moved = now;
}
