/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/grants.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/copier.h"
#include "broker/core/place.h"

#define GRANT_RATE   MIB /* bytes a second that the slowest sender is given */
#define PATIENCE_MAX 64
#define EXPIRY_SLACK (30 * SEC)

enum slot_state { SLOT_WAITING, SLOT_STORED, SLOT_LOST };

/* One target of a grant. */
typedef struct slot {
    list_t in_worker; /* while the grant lives */
    struct grant_given *grant;
    uint32_t worker;
    enum slot_state state;
    bool charged;
} slot_t;

typedef struct grant_given {
    uint64_t id;
    pin_t *pin;
    uint64_t credit;
    uint64_t deadline;
    uint64_t patience; /* ns that progress buys */
    uint32_t times;    /* the session's patience when it was given */
    uint64_t consumed;
    uint32_t n;
    slot_t slots[];
} grant_given_t;

typedef struct told {
    uint64_t session;
    size_t order;
    core_durable_t durable;
} told_t;

struct grants {
    table_t *by_id;
    told_t *told; /* of this step */
    size_t n_told;
    size_t cap_told;
};

static bool match_grant (const void *entry, const void *key)
{
    return ((const grant_given_t *)entry)->id == *(const uint64_t *)key;
}

grants_t *grants_new (void)
{
    grants_t *self = core_zalloc (sizeof *self);

    self->by_id = table_new (match_grant);
    return self;
}

void grants_destroy (grants_t **self_p)
{
    size_t cursor = 0;
    grant_given_t *grant;

    if (!*self_p)
        return;
    while ((grant = table_next ((*self_p)->by_id, &cursor)))
        free (grant);
    table_destroy (&(*self_p)->by_id);
    free ((*self_p)->told);
    free (*self_p);
    *self_p = NULL;
}

size_t grants_count (const core_t *core)
{
    return table_count (core->grants->by_id);
}

/* --- giving and taking back --- */

void grants_give (core_t *core, pin_t *pin, session_t *session,
                  const placement_t *chosen, core_placed_t *answer)
{
    grant_given_t *given =
        core_zalloc (sizeof *given + chosen->n_chosen * sizeof *given->slots);
    grant_t *grant = &answer->grant;

    assert (!pin->grant);
    given->id = core_id (core);
    given->pin = pin;
    given->credit = chosen->credit;
    given->times = session->patience;
    given->patience = (core->config.grant_wait_ns + pin->length * SEC / GRANT_RATE) *
                      session->patience;
    given->deadline = core->now + given->patience;
    given->n = (uint32_t)chosen->n_chosen;
    memcpy (grant->client_key, session->client_key, sizeof grant->client_key);
    grant->upload = pin->upload->id;
    grant->key = pin->chunk->key;
    grant->length = pin->length;
    grant->birth = core->log_index;
    grant->expiry_ns = core->log_time + given->patience + EXPIRY_SLACK;
    grant->incarnation = core->incarnation;
    grant->term = core->term;
    grant->n_targets = given->n;
    for (uint32_t i = 0; i < given->n; i++) {
        worker_t *worker = chosen->chosen[i];
        slot_t *slot = &given->slots[i];

        slot->grant = given;
        slot->worker = worker->member.id;
        slot->charged = true;
        credit_take (worker, given->credit);
        list_init (&slot->in_worker);
        list_push (&worker->slots, &slot->in_worker);
        grant->targets[i] = slot->worker;
    }
    answer->credit = given->credit < grant->length ? given->credit : 0;
    answer->copies = pin->promise;
    pin->grant = given;
    pin->state = PIN_SENT;
    session->outstanding += given->credit;
    session->n_grants++;
    place_busy (core, session);
    table_put (core->grants->by_id, table_hash (given->id), given);
    core_timer (core, given->deadline, TIMER_GRANT, given->id);
}

static void discharge (core_t *core, slot_t *slot)
{
    worker_t *worker = members_find (core, slot->worker);

    if (slot->charged && worker) {
        credit_give (worker, slot->grant->credit);
        place_wake (core);
    }
    slot->charged = false;
}

void grants_end (core_t *core, pin_t *pin)
{
    grant_given_t *given = pin->grant;
    session_t *session;

    if (!given)
        return;
    for (uint32_t i = 0; i < given->n; i++) {
        discharge (core, &given->slots[i]);
        list_remove (&given->slots[i].in_worker);
    }
    session = sessions_find (core, pin->upload->session);
    if (session) {
        session->outstanding -= given->credit;
        session->n_grants--;
        place_busy (core, session);
        place_wake (core);
    }
    table_remove (core->grants->by_id, table_hash (given->id), &given->id);
    free (given);
    pin->grant = NULL;
}

/* --- telling clients --- */

static void tell (core_t *core, const pin_t *pin, uint32_t copies, int code)
{
    grants_t *self = core->grants;
    void *data = self->told;
    told_t *told;

    core_grow (&data, &self->cap_told, self->n_told, sizeof *self->told);
    self->told = data;
    told = &self->told[self->n_told];
    told->session = pin->upload->session;
    told->order = self->n_told++;
    told->durable.upload = pin->upload->id;
    told->durable.key = pin->chunk->key;
    told->durable.copies = copies;
    told->durable.code = code;
}

static int compare_told (const void *a, const void *b)
{
    const told_t *x = a, *y = b;

    if (x->session != y->session)
        return x->session < y->session ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void grants_flush (core_t *core)
{
    grants_t *self = core->grants;
    size_t end;

    if (self->n_told > 1)
        qsort (self->told, self->n_told, sizeof *self->told, compare_told);
    for (size_t i = 0; i < self->n_told; i = end) {
        core_durable_t *items;
        action_t *action;

        for (end = i;
             end < self->n_told && self->told[end].session == self->told[i].session;)
            end++;
        if (!sessions_find (core, self->told[i].session))
            continue;
        items = actions_alloc (core->out, (end - i) * sizeof *items);
        for (size_t k = i; k < end; k++)
            items[k - i] = self->told[k].durable;
        action = actions_add (core->out, ACTION_DURABLE);
        action->u.durable.session = self->told[i].session;
        action->u.durable.items = items;
        action->u.durable.n = end - i;
    }
    self->n_told = 0;
}

void grants_give_up (core_t *core, pin_t *pin, int code)
{
    tell (core, pin, 0, code);
    uploads_unpin (core, pin);
}

static void durable (core_t *core, pin_t *pin, uint32_t copies)
{
    session_t *session = sessions_find (core, pin->upload->session);

    tell (core, pin, copies, DFS_OK);
    if (session && session->patience > 1)
        session->patience /= 2;
    pin->promise = copies;
    uploads_pin_durable (core, pin);
}

/* --- what has become of it --- */

/* WAITING targets left, after taking note of what is stored. */
static uint32_t waiting (core_t *core, grant_given_t *given)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < given->n; i++) {
        slot_t *slot = &given->slots[i];

        if (slot->state == SLOT_WAITING &&
            chunk_on (core, given->pin->chunk, slot->worker)) {
            slot->state = SLOT_STORED;
            discharge (core, slot);
        }
        n += slot->state == SLOT_WAITING;
    }
    return n;
}

void grants_look (core_t *core, pin_t *pin)
{
    uint32_t live;

    if (pin->state != PIN_SENT && pin->state != PIN_MENDING)
        return;
    if (chunk_differs (pin->chunk, pin->length)) {
        grants_give_up (core, pin, DFS_EINVAL);
        return;
    }
    live = chunk_live (core, pin->chunk);
    if (live >= pin->promise && live > 0) {
        durable (core, pin, live);
        return;
    }
    if (pin->state == PIN_SENT && waiting (core, pin->grant) > 0)
        return;
    if (live == 0) {
        grants_give_up (core, pin, DFS_EAGAIN);
        return;
    }
    if (pin->state == PIN_SENT) {
        grants_end (core, pin);
        pin->state = PIN_MENDING;
    }
    copier_want (core, pin->chunk, pin->promise, COPY_URGENT);
}

/* Target I does not get the chunk, and so nobody behind it in the chain. */
static void lose (core_t *core, grant_given_t *given, uint32_t i)
{
    for (; i < given->n; i++) {
        slot_t *slot = &given->slots[i];

        if (slot->state != SLOT_WAITING)
            continue;
        slot->state = SLOT_LOST;
        discharge (core, slot);
    }
}

void grants_worker_told (core_t *core, worker_t *worker)
{
    list_t all;

    list_init (&all);
    list_move_all (&all, &worker->slots);
    while (!list_empty (&all)) {
        slot_t *slot = LIST_OF (all.next, slot_t, in_worker);

        list_remove (&slot->in_worker);
        list_push (&worker->slots, &slot->in_worker);
        grants_look (core, slot->grant->pin);
    }
}

void grants_worker_down (core_t *core, worker_t *worker)
{
    list_t down;

    /* Looking at a pin may end its grant, which takes the slot out of the list. */
    list_init (&down);
    list_move_all (&down, &worker->slots);
    while (!list_empty (&down)) {
        slot_t *slot = LIST_OF (down.next, slot_t, in_worker);
        grant_given_t *given = slot->grant;

        list_remove (&slot->in_worker);
        if (worker->state != WORKER_REMOVED)
            list_push (&worker->slots, &slot->in_worker);
        lose (core, given, (uint32_t)(slot - given->slots));
        grants_look (core, given->pin);
    }
}

void grants_timer (core_t *core, uint64_t id)
{
    grant_given_t *given = table_get (core->grants->by_id, table_hash (id), &id);
    session_t *session;

    if (!given)
        return;
    if (core->now < given->deadline) {
        core_timer (core, given->deadline, TIMER_GRANT, id);
        return;
    }
    session = sessions_find (core, given->pin->upload->session);
    /* Many that ran out together, as all of one worker do, count as one. */
    if (session && session->patience < PATIENCE_MAX &&
        given->times >= session->patience)
        session->patience *= 2;
    lose (core, given, 0);
    grants_look (core, given->pin);
}

void grants_progress (core_t *core, const event_progress_t *event)
{
    upload_t *upload = uploads_find (core, event->session, event->upload);
    pin_t *pin = upload ? uploads_pin (core, upload, &event->key) : NULL;

    /* A late message may make no grant live for ever: bytes have to move. */
    if (!pin || !pin->grant || event->consumed <= pin->grant->consumed)
        return;
    pin->grant->consumed = event->consumed;
    pin->grant->deadline = core->now + pin->grant->patience;
    pin->upload->touched = core->now;
}

/* --- refusals --- */

static int condition_of (int code)
{
    switch (code) {
    case DFS_ENOSPC:
        return CONDITION_FULL;
    case DFS_EROFS:
        return CONDITION_READ_ONLY;
    case DFS_EIO:
        return CONDITION_FAILING;
    default:
        return CONDITION_OK;
    }
}

/* The content is not what its name says: no other target would take it. */
static bool sender_is_wrong (int code)
{
    return code == DFS_EDAMAGED || code == DFS_EINVAL || code == DFS_EPROTO;
}

static void refused_pin (core_t *core, pin_t *pin, const event_refused_t *event)
{
    grant_given_t *given = pin->grant;

    for (uint32_t i = 0; given && i < given->n; i++) {
        if (given->slots[i].worker != event->worker ||
            given->slots[i].state != SLOT_WAITING)
            continue;
        if (i == 0 && sender_is_wrong (event->code)) {
            grants_give_up (core, pin, event->code);
            return;
        }
        lose (core, given, i);
        grants_look (core, pin);
        return;
    }
}

void grants_refused (core_t *core, const event_refused_t *event)
{
    chunk_t *chunk = chunks_find (core, &event->key);
    worker_t *worker = members_find (core, event->worker);
    list_t *node;

    if (!chunk || !worker)
        return;
    chunk->held++;
    if (condition_of (event->code) != CONDITION_OK && worker->condition == CONDITION_OK)
        members_condition (core, worker, condition_of (event->code));
    for (node = chunk->pins.next; node != &chunk->pins;) {
        pin_t *pin = LIST_OF (node, pin_t, in_chunk);

        node = node->next;
        if ((event->session == 0 || pin->upload->session == event->session) &&
            (event->upload == 0 || pin->upload->id == event->upload))
            refused_pin (core, pin, event);
    }
    copier_refused (core, chunk, event->worker);
    chunk->held--;
    chunks_release (core, chunk);
}
