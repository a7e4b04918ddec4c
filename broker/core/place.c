/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/place.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/grants.h"
#include "broker/core/place_private.h"
#include "broker/core/placement.h"

#define CHUNK_MAX (64 * MIB)

static bool match_request (const void *entry, const void *key)
{
    return ((const request_t *)entry)->token == *(const uint64_t *)key;
}

place_t *place_new (void)
{
    place_t *self = core_zalloc (sizeof *self);

    self->requests = table_new (match_request);
    list_init (&self->dirty);
    list_init (&self->ring);
    return self;
}

void place_destroy (place_t **self_p)
{
    size_t cursor = 0;
    request_t *request;

    if (!*self_p)
        return;
    while ((request = table_next ((*self_p)->requests, &cursor))) {
        free (request->ready);
        free (request);
    }
    table_destroy (&(*self_p)->requests);
    free (*self_p);
    *self_p = NULL;
}

/* --- answers --- */

static void free_request (core_t *core, request_t *request)
{
    table_remove (core->place->requests, table_hash (request->token), &request->token);
    list_remove (&request->in_session);
    list_remove (&request->dirty);
    free (request->ready);
    free (request);
}

static void make_dirty (core_t *core, request_t *request)
{
    if (list_empty (&request->dirty))
        list_push (&core->place->dirty, &request->dirty);
}

static core_placed_t *add_answer (core_t *core, request_t *request,
                                  const copykey_t *key)
{
    void *data = request->ready;
    core_placed_t *placed;

    core_grow (&data, &request->cap_ready, request->n_ready, sizeof *request->ready);
    request->ready = data;
    placed = &request->ready[request->n_ready++];
    memset (placed, 0, sizeof *placed);
    placed->key = *key;
    placed->index = core->log_index;
    make_dirty (core, request);
    return placed;
}

/* The answer for PIN, which waits no longer. */
static core_placed_t *answer (core_t *core, pin_t *pin)
{
    request_t *request = pin->request;

    place_unpark (core, pin);
    pin->request = NULL;
    request->waiting--;
    return add_answer (core, request, &pin->chunk->key);
}

void place_forget (core_t *core, pin_t *pin)
{
    place_unpark (core, pin);
    if (pin->request) {
        pin->request->waiting--;
        make_dirty (core, pin->request);
        pin->request = NULL;
    }
}

static void refuse (core_t *core, pin_t *pin, int code)
{
    answer (core, pin)->code = code;
    uploads_unpin (core, pin);
}

static void flush_request (core_t *core, request_t *request)
{
    action_t *action = actions_add (core->out, ACTION_PLACED);
    action_placed_t *placed = &action->u.placed;
    core_address_t *workers;
    uint64_t answer = core_id (core);
    size_t n = 0, cap = 0;

    for (size_t i = 0; i < request->n_ready; i++)
        cap += request->ready[i].grant.n_targets;
    workers = actions_alloc (core->out, cap * sizeof *workers);
    for (size_t i = 0; i < request->n_ready; i++) {
        const grant_t *grant = &request->ready[i].grant;

        for (uint32_t k = 0; k < grant->n_targets; k++) {
            worker_t *worker = members_find (core, grant->targets[k]);

            if (!worker || worker->named == answer)
                continue;
            worker->named = answer;
            workers[n++] = members_address (core, worker);
        }
    }
    placed->session = request->session;
    placed->seq = request->seq;
    placed->upload = request->upload;
    placed->items = actions_dup (core->out, request->ready,
                                 request->n_ready * sizeof *request->ready);
    placed->n = request->n_ready;
    placed->workers = workers;
    placed->n_workers = n;
    placed->last = request->waiting == 0;
    request->n_ready = 0;
}

void place_flush (core_t *core)
{
    list_t *dirty = &core->place->dirty;

    while (!list_empty (dirty)) {
        request_t *request = LIST_OF (dirty->next, request_t, dirty);

        list_remove (&request->dirty);
        if (request->n_ready > 0 || request->waiting == 0)
            flush_request (core, request);
        if (request->waiting == 0)
            free_request (core, request);
    }
}

/* --- deciding --- */

/* How long an item waits for workers before it is told that there are not enough. */
static uint64_t workers_wait (const core_t *core)
{
    return 2 * core->config.heartbeat_timeout_ns + core->config.heartbeat_ns;
}

static void have (core_t *core, pin_t *pin, uint32_t copies)
{
    core_placed_t *placed = answer (core, pin);

    placed->have = true;
    placed->copies = copies;
    pin->promise = copies;
    uploads_pin_durable (core, pin);
}

/* The target nearest to the client comes first: the long way is gone once. */
static void order_targets (const session_t *session, placement_t *ask)
{
    size_t best = 0;

    for (size_t i = 1; i < ask->n_chosen; i++)
        if (domains_common (&session->path, &ask->chosen[i]->path) >
            domains_common (&session->path, &ask->chosen[best]->path))
            best = i;
    if (best > 0) {
        worker_t *first = ask->chosen[best];

        ask->chosen[best] = ask->chosen[0];
        ask->chosen[0] = first;
    }
}

bool place_try (core_t *core, pin_t *pin, session_t *session)
{
    const core_policy_t *policy = uploads_policy (core, pin);
    chunk_t *chunk = pin->chunk;
    uint32_t live = chunk_live (core, chunk);
    uint32_t want = policy->replicas;
    uint32_t taken[CORE_COPIES];
    size_t active = core->place->active + (session->busy ? 0 : 1);
    placement_t ask = {
        .length = pin->length,
        .credit = credit_share (core, pin->length, active),
        .lane = credit_lane (core, pin->length),
        .taken = taken,
        .n_taken = chunk_workers (core, chunk, taken, CORE_COPIES),
        .avoid = pin->avoid,
        .n_avoid = pin->n_avoid,
    };

    if (chunk_differs (chunk, pin->length)) {
        refuse (core, pin, DFS_EINVAL);
        return true;
    }
    if (live >= want) {
        have (core, pin, live);
        return true;
    }
    /* What a worker had before it came back is about to be told. */
    if (chunk_untold (core, chunk) > 0 &&
        core->now < pin->since + workers_wait (core)) {
        place_set_timer (core, pin->since + workers_wait (core));
        place_park (core, pin, session);
        return false;
    }
    if (session->n_grants > 0 &&
        session->outstanding + ask.credit > credit_session_cap (core, active)) {
        place_park (core, pin, session);
        return false;
    }
    ask.n = want - live;
    placement_choose (core, &ask);
    if (ask.starved) {
        place_park (core, pin, session);
        return false;
    }
    if (live + ask.n_chosen < want) {
        uint32_t total = live + (uint32_t)ask.n_chosen;

        if (members_may_return (core) && core->now < pin->since + workers_wait (core)) {
            place_set_timer (core, pin->since + workers_wait (core));
            place_park (core, pin, session);
            return false;
        }
        if (!policy_enough (core, policy, total)) {
            refuse (core, pin, ask.full ? DFS_ENOSPC : DFS_ENOREPLICAS);
            return true;
        }
        if (ask.n_chosen == 0) {
            have (core, pin, live);
            return true;
        }
        want = total;
    }
    order_targets (session, &ask);
    pin->promise = want;
    grants_give (core, pin, session, &ask, answer (core, pin));
    return true;
}

static void try_or_park (core_t *core, pin_t *pin)
{
    session_t *session = sessions_find (core, pin->upload->session);

    if (!session)
        return;
    if (core->place->parked >= core->config.max_parked) {
        refuse (core, pin, DFS_EAGAIN);
        return;
    }
    /* Those of the same session that came before go first. */
    if (!list_empty (&session->parked[credit_lane (core, pin->length)]))
        place_park (core, pin, session);
    else
        place_try (core, pin, session);
}

/* --- events --- */

static void refuse_all (core_t *core, const event_place_t *event, int code)
{
    action_t *action = actions_add (core->out, ACTION_PLACED);
    core_placed_t *items = actions_alloc (core->out, event->n * sizeof *items);

    for (size_t i = 0; i < event->n; i++) {
        items[i].key = event->items[i].key;
        items[i].index = core->log_index;
        items[i].code = code;
    }
    action->u.placed.session = event->session;
    action->u.placed.seq = event->seq;
    action->u.placed.upload = event->upload;
    action->u.placed.items = items;
    action->u.placed.n = event->n;
    action->u.placed.last = true;
}

static void set_avoid (pin_t *pin, const event_place_item_t *item)
{
    free (pin->avoid);
    pin->avoid = NULL;
    pin->n_avoid = (uint32_t)(item->n_avoid < CORE_AVOID ? item->n_avoid : CORE_AVOID);
    if (pin->n_avoid == 0)
        return;
    pin->avoid = core_zalloc (pin->n_avoid * sizeof *pin->avoid);
    memcpy (pin->avoid, item->avoid, pin->n_avoid * sizeof *pin->avoid);
}

/* The pin of ITEM, ready to be looked up; NULL when it is answered already. */
static pin_t *start_item (core_t *core, request_t *request, upload_t *upload,
                          const event_place_item_t *item)
{
    const chunk_t *chunk = chunks_find (core, &item->key);
    pin_t *pin = uploads_pin (core, upload, &item->key);

    if (item->length == 0 || item->length > CHUNK_MAX ||
        (chunk && chunk_differs (chunk, item->length))) {
        add_answer (core, request, &item->key)->code = DFS_EINVAL;
        return NULL;
    }
    if (pin && pin->request == request)
        return NULL; /* named twice: one answer */
    if (!pin)
        pin = uploads_pin_new (core, upload, &item->key, item->length);
    if (!pin) {
        add_answer (core, request, &item->key)->code = DFS_EAGAIN;
        return NULL;
    }
    /* Asked for again: whatever it was waiting for is void. */
    place_forget (core, pin);
    grants_end (core, pin);
    list_remove (&pin->queue);
    pin->length = item->length;
    pin->state = PIN_LOOKUP;
    pin->since = core->now;
    set_avoid (pin, item);
    pin->request = request;
    request->waiting++;
    return pin;
}

void place_event (core_t *core, const event_place_t *event)
{
    place_t *self = core->place;
    session_t *session = sessions_find (core, event->session);
    action_t *action;
    request_t *request;
    upload_t *upload;
    copykey_t *keys;
    size_t n = 0;

    if (!session || !policies_find (core, event->policy) || !core->leader ||
        event->n > CORE_PLACE_ITEMS ||
        table_count (self->requests) >= core->config.max_requests) {
        refuse_all (core, event,
                    !core->leader                          ? DFS_ENOTLEADER
                    : !session                             ? DFS_ESTALE
                    : event->n > CORE_PLACE_ITEMS          ? DFS_ETOOBIG
                    : !policies_find (core, event->policy) ? DFS_EINVAL
                                                           : DFS_EAGAIN);
        return;
    }
    request = core_zalloc (sizeof *request);
    request->token = core_id (core);
    request->session = event->session;
    request->seq = event->seq;
    request->upload = event->upload;
    list_init (&request->in_session);
    list_init (&request->dirty);
    list_push (&session->requests, &request->in_session);
    table_put (self->requests, table_hash (request->token), request);

    upload = uploads_get (core, event->session, event->upload, event->policy);
    keys = actions_alloc (core->out, event->n * sizeof *keys);
    for (size_t i = 0; i < event->n; i++)
        if (start_item (core, request, upload, &event->items[i]))
            keys[n++] = event->items[i].key;
    uploads_unused (core, upload);
    if (n == 0) {
        make_dirty (core, request);
        return;
    }
    action = actions_add (core->out, ACTION_LOOKUP_CHUNKS);
    action->u.chunks.token = request->token;
    action->u.chunks.keys = keys;
    action->u.chunks.n = n;
}

bool place_found (core_t *core, const event_chunks_t *found)
{
    request_t *request =
        table_get (core->place->requests, table_hash (found->token), &found->token);

    if (!request)
        return false;
    for (size_t i = 0; i < found->n; i++) {
        const core_chunk_t *facts = &found->chunks[i];
        upload_t *upload = uploads_find (core, request->session, request->upload);
        pin_t *pin = upload ? uploads_pin (core, upload, &facts->key) : NULL;

        if (!pin || pin->request != request || pin->state != PIN_LOOKUP)
            continue;
        chunks_merge (core, pin->chunk, facts);
        try_or_park (core, pin);
    }
    /* Not found at all: storage could not answer. */
    if (found->code != DFS_OK) {
        upload_t *upload = uploads_find (core, request->session, request->upload);
        list_t *node = upload ? upload->pins.next : NULL;
        bool last = !upload || list_empty (&upload->pins);

        while (!last) {
            pin_t *pin = LIST_OF (node, pin_t, in_upload);

            node = node->next;
            last = node == &upload->pins;
            if (pin->request == request && pin->state == PIN_LOOKUP)
                refuse (core, pin, DFS_EUNAVAIL);
        }
    }
    return true;
}

void place_session_gone (core_t *core, session_t *session)
{
    while (!list_empty (&session->requests))
        free_request (core, LIST_OF (session->requests.next, request_t, in_session));
    list_remove (&session->ring);
    if (session->busy)
        core->place->active--;
}
