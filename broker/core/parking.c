/* SPDX-License-Identifier: MPL-2.0 */
/* Items of Place that wait for credit or workers: one queue per session and lane, the
 * sessions in a ring. */
#include "broker/core/credit.h"
#include "broker/core/place_private.h"

#define RETRY_FAILURES 8   /* sessions in a row that get nothing end a round */
#define RETRY_MOST     512 /* answers of one round */
#define RETRY_LATER    (5 * MS)

size_t place_active (const core_t *core)
{
    return core->place->active;
}

size_t place_parked (const core_t *core)
{
    return core->place->parked;
}

void place_wake (core_t *core)
{
    core->place->wake = true;
}

void place_busy (core_t *core, session_t *session)
{
    bool busy = session->n_parked > 0 || session->n_grants > 0;

    if (busy != session->busy)
        core->place->active += busy ? 1 : (size_t)-1;
    session->busy = busy;
}

void place_set_timer (core_t *core, uint64_t when)
{
    place_t *self = core->place;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_RETRY, 0);
}

void place_unpark (core_t *core, pin_t *pin)
{
    session_t *session = sessions_find (core, pin->upload->session);

    if (pin->state != PIN_PARKED)
        return;
    list_remove (&pin->queue);
    pin->state = PIN_LOOKUP;
    core->place->parked--;
    if (session) {
        session->n_parked--;
        if (session->n_parked == 0)
            list_remove (&session->ring);
        place_busy (core, session);
    }
}

void place_park (core_t *core, pin_t *pin, session_t *session)
{
    enum lane lane = credit_lane (core, pin->length);

    if (pin->state == PIN_PARKED)
        return;
    pin->state = PIN_PARKED;
    list_push (&session->parked[lane], &pin->queue);
    core->place->parked++;
    if (session->n_parked++ == 0)
        list_push (&core->place->ring, &session->ring);
    place_busy (core, session);
}

/* --- rounds over parked pins --- */

/* One of each lane of SESSION; true when something was answered. */
static bool try_session (core_t *core, session_t *session)
{
    bool any = false;

    for (int lane = LANE_SMALL; lane <= LANE_LARGE; lane++) {
        list_t *parked = &session->parked[lane];

        if (!list_empty (parked) &&
            place_try (core, LIST_OF (parked->next, pin_t, queue), session))
            any = true;
    }
    return any;
}

void place_retry (core_t *core)
{
    place_t *self = core->place;
    size_t failures = 0, answers = 0, sessions = 0;

    if (!self->wake)
        return;
    self->wake = false;
    for (list_t *node = self->ring.next;
         node != &self->ring && sessions <= RETRY_FAILURES; node = node->next)
        sessions++;
    while (!list_empty (&self->ring)) {
        session_t *session = LIST_OF (self->ring.next, session_t, ring);

        list_remove (&session->ring);
        list_push (&self->ring, &session->ring);
        if (try_session (core, session)) {
            failures = 0;
            answers++;
        } else {
            failures++;
        }
        /* A whole round without success: credit that comes back will wake them. */
        if (failures >= sessions)
            return;
        if (failures >= RETRY_FAILURES || answers >= RETRY_MOST) {
            place_set_timer (core,
                             core->now + (answers >= RETRY_MOST ? 1 : RETRY_LATER));
            return;
        }
    }
}

void place_timer (core_t *core)
{
    place_t *self = core->place;

    if (self->timer > core->now)
        return;
    self->timer = 0;
    self->wake = true;
}
