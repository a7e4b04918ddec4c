/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/steal.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/route.h"

#define BUSY_BYTES (8 * MIB) /* less waiting is not worth a message */
#define BUSY_PART  4         /* idle: has not even this part of what the busy one has */
#define BUSY_NS    (2 * SEC) /* what a heartbeat said is true for so long */

/* Pieces that a worker gave back, while their copies are being looked up. */
typedef struct yielded {
    uint64_t token;
    uint64_t session;
    uint32_t from;
    size_t n;
    core_send_piece_t pieces[];
} yielded_t;

struct steal {
    table_t *waiting;
    /* the busiest of those that were heard of lately, and has not been told */
    uint32_t busy;
    uint64_t busy_bytes;
    uint64_t busy_at;
    uint64_t stolen;
};

static bool match (const void *entry, const void *key)
{
    return ((const yielded_t *)entry)->token == *(const uint64_t *)key;
}

steal_t *steal_new (void)
{
    steal_t *self = core_zalloc (sizeof *self);

    self->waiting = table_new (match);
    return self;
}

void steal_destroy (steal_t **self_p)
{
    size_t cursor = 0;
    yielded_t *yielded;

    if (!*self_p)
        return;
    while ((yielded = table_next ((*self_p)->waiting, &cursor)))
        free (yielded);
    table_destroy (&(*self_p)->waiting);
    free (*self_p);
    *self_p = NULL;
}

void steal_beat (core_t *core, uint32_t id)
{
    steal_t *self = core->steal;
    const worker_t *worker = members_find (core, id);
    action_t *action;

    if (!worker || !core->leader)
        return;
    uint64_t queued = worker->beat.stream_queued;
    bool old = self->busy != 0 && core->now - self->busy_at > BUSY_NS;

    if (self->busy == id || old)
        self->busy = 0;
    if (queued >= BUSY_BYTES && (self->busy == 0 || queued > self->busy_bytes)) {
        self->busy = id;
        self->busy_bytes = queued;
        self->busy_at = core->now;
        return;
    }
    if (self->busy == 0 || !worker_live (worker) ||
        queued >= self->busy_bytes / BUSY_PART)
        return;
    action = actions_add (core->out, ACTION_YIELD_ORDER);
    action->u.yield.worker = self->busy;
    action->u.yield.bytes = (self->busy_bytes - queued) / 2;
    self->busy = 0; /* until it says again that it is */
}

/* One order to WORKER for all pieces that TO sends there. */
static void send (core_t *core, session_t *session, const yielded_t *yielded,
                  const uint32_t *to, uint32_t worker)
{
    core_send_piece_t *pieces = actions_alloc (core->out, yielded->n * sizeof *pieces);
    action_t *action = actions_add (core->out, ACTION_SEND_ORDER);

    action->u.send.worker = worker;
    action->u.send.session = session->id;
    memcpy (action->u.send.client_key, session->client_key, sizeof session->client_key);
    action->u.send.pieces = pieces;
    for (size_t i = 0; i < yielded->n; i++) {
        if (to[i] != worker)
            continue;
        pieces[action->u.send.n] = yielded->pieces[i];
        pieces[action->u.send.n++].keep = true;
    }
    route_remember (session, worker);
}

/* Orders the pieces anew and tells the client which of them come from somebody else. */
static void order (core_t *core, const yielded_t *yielded, const uint32_t *to)
{
    session_t *session = sessions_find (core, yielded->session);
    core_fetching_t *answers;
    size_t n = 0;
    action_t *action;

    if (!session)
        return;
    answers = actions_alloc (core->out, yielded->n * sizeof *answers);
    for (size_t i = 0; i < yielded->n; i++) {
        size_t before = 0;

        while (before < i && to[before] != to[i])
            before++;
        if (before == i)
            send (core, session, yielded, to, to[i]);
        if (to[i] != yielded->from)
            answers[n++] =
                (core_fetching_t){.piece = yielded->pieces[i].piece, .worker = to[i]};
    }
    core->steal->stolen += n;
    if (n == 0)
        return;
    action = actions_add (core->out, ACTION_FETCHING);
    action->u.fetching.session = session->id;
    action->u.fetching.pieces = answers;
    action->u.fetching.n = n;
}

void steal_yielded (core_t *core, const event_yielded_t *event)
{
    steal_t *self = core->steal;
    worker_t *worker = members_find (core, event->worker);
    yielded_t *yielded;
    action_t *action;
    copykey_t *keys;

    if (!worker || event->n == 0 || event->n > CORE_FETCH_PIECES ||
        table_count (self->waiting) >= core->config.max_requests)
        return; /* their client will miss them and ask again */
    yielded = core_zalloc (sizeof *yielded + event->n * sizeof *yielded->pieces);
    yielded->token = core_id (core);
    yielded->session = event->session;
    yielded->from = event->worker;
    yielded->n = event->n;
    memcpy (yielded->pieces, event->pieces, event->n * sizeof *event->pieces);
    table_put (self->waiting, table_hash (yielded->token), yielded);
    keys = actions_alloc (core->out, event->n * sizeof *keys);
    for (size_t i = 0; i < event->n; i++) {
        uint64_t length = event->pieces[i].length,
                 *queued = &worker->beat.stream_queued;

        keys[i] = event->pieces[i].key;
        *queued -= length < *queued ? length : *queued;
    }
    action = actions_add (core->out, ACTION_LOOKUP_CHUNKS);
    action->u.chunks.token = yielded->token;
    action->u.chunks.keys = keys;
    action->u.chunks.n = event->n;
}

bool steal_found (core_t *core, const event_chunks_t *found)
{
    steal_t *self = core->steal;
    yielded_t *yielded =
        table_remove (self->waiting, table_hash (found->token), &found->token);
    const session_t *session;
    uint32_t *to;

    if (!yielded)
        return false;
    session = sessions_find (core, yielded->session);
    to = actions_alloc (core->out, yielded->n * sizeof *to);
    for (size_t i = 0; i < yielded->n && session; i++) {
        event_piece_t piece = {.avoid = {yielded->from}, .n_avoid = 1};
        worker_t *worker = NULL;
        int code;

        if (i < found->n && found->code == DFS_OK)
            worker = route_pick (core, session, &piece, &found->chunks[i], &code);
        if (!worker) /* nobody else: it does it after all */
            worker = members_find (core, yielded->from);
        to[i] = worker ? worker->member.id : yielded->from;
        if (worker)
            worker->ordered += yielded->pieces[i].length;
    }
    order (core, yielded, to);
    free (yielded);
    return true;
}

void steal_status (const core_t *core, core_status_t *out)
{
    out->reads_stolen = core->steal->stolen;
}
