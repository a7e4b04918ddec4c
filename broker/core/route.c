/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/route.h"

#include <stdlib.h>
#include <string.h>

/* A Fetch whose extents are being looked up. */
typedef struct fetch {
    uint64_t token;
    uint64_t session;
    uint64_t seq;
    size_t n;
    event_piece_t pieces[];
} fetch_t;

struct route {
    table_t *fetches;
    uint64_t ordered; /* pieces */
    uint64_t seconds;
};

static bool match_fetch (const void *entry, const void *key)
{
    return ((const fetch_t *)entry)->token == *(const uint64_t *)key;
}

route_t *route_new (void)
{
    route_t *self = core_zalloc (sizeof *self);

    self->fetches = table_new (match_fetch);
    return self;
}

void route_destroy (route_t **self_p)
{
    size_t cursor = 0;
    fetch_t *fetch;

    if (!*self_p)
        return;
    while ((fetch = table_next ((*self_p)->fetches, &cursor)))
        free (fetch);
    table_destroy (&(*self_p)->fetches);
    free (*self_p);
    *self_p = NULL;
}

/* Answers all pieces with CODE. */
static void refuse (core_t *core, uint64_t session, uint64_t seq,
                    const event_piece_t *pieces, size_t n, int code)
{
    action_t *action = actions_add (core->out, ACTION_FETCHING);
    core_fetching_t *out = actions_alloc (core->out, n * sizeof *out);

    for (size_t i = 0; i < n; i++) {
        out[i].piece = pieces[i].piece;
        out[i].code = code;
    }
    action->u.fetching.session = session;
    action->u.fetching.seq = seq;
    action->u.fetching.code = code;
    action->u.fetching.pieces = out;
    action->u.fetching.n = n;
}

void route_fetch (core_t *core, const event_fetch_t *event)
{
    route_t *self = core->route;
    fetch_t *fetch;
    action_t *action;

    if (!sessions_find (core, event->session) || event->n > CORE_FETCH_PIECES ||
        table_count (self->fetches) >= core->config.max_requests) {
        bool known = sessions_find (core, event->session) != NULL;

        refuse (core, event->session, event->seq, event->pieces, event->n,
                !known                         ? DFS_ESTALE
                : event->n > CORE_FETCH_PIECES ? DFS_ETOOBIG
                                               : DFS_EAGAIN);
        return;
    }
    fetch = core_zalloc (sizeof *fetch + event->n * sizeof *fetch->pieces);
    fetch->token = core_id (core);
    fetch->session = event->session;
    fetch->seq = event->seq;
    fetch->n = event->n;
    if (event->n > 0)
        memcpy (fetch->pieces, event->pieces, event->n * sizeof *fetch->pieces);
    table_put (self->fetches, table_hash (fetch->token), fetch);
    action = actions_add (core->out, ACTION_LOOKUP_EXTENTS);
    action->u.extents.token = fetch->token;
    action->u.extents.pieces =
        actions_dup (core->out, event->pieces, event->n * sizeof *event->pieces);
    action->u.extents.n = event->n;
}

/* --- picking --- */

static bool avoided (const event_piece_t *piece, uint32_t worker)
{
    for (uint32_t i = 0; i < piece->n_avoid && i < CORE_AVOID; i++)
        if (piece->avoid[i] == worker)
            return true;
    return false;
}

static uint64_t cost (const session_t *session, const worker_t *worker)
{
    /* Without a place of the client all are equally far. */
    return worker_sending (worker) +
           (session->path.depth > 0 ? domains_distance (&session->path, &worker->path)
                                    : 0);
}

worker_t *route_pick (core_t *core, const session_t *session,
                      const event_piece_t *piece, const core_chunk_t *chunk, int *code)
{
    worker_t *best = NULL;
    uint64_t best_cost = 0, ties = 0;
    bool unsure = false, left_out = false;

    for (uint32_t i = 0; i < chunk->n_copies && i < CORE_COPIES; i++) {
        const core_copy_t *copy = &chunk->copies[i];
        worker_t *worker = members_find (core, copy->worker);
        uint64_t c;

        if (!worker || copy->damaged)
            continue;
        if (!worker_live (worker)) {
            unsure = unsure || worker_unsure (worker);
            continue;
        }
        if (avoided (piece, copy->worker)) {
            left_out = true;
            continue;
        }
        c = cost (session, worker);
        if (best && c > best_cost)
            continue;
        ties = best && c == best_cost ? ties + 1 : 1;
        best_cost = c;
        if (ties == 1 || rng_below (&core->rng, ties) == 0)
            best = worker;
    }
    if (best)
        return best;
    /* A worker that has not told all it has may have this. */
    if (members_unsure (core) > 0 || !members_caught_up (core))
        unsure = true;
    *code = unsure || left_out ? DFS_EUNAVAIL : DFS_ELOST;
    return NULL;
}

void route_remember (session_t *session, uint32_t worker)
{
    void *data = session->readers;

    for (size_t i = 0; i < session->n_readers; i++)
        if (session->readers[i] == worker)
            return;
    core_grow (&data, &session->cap_readers, session->n_readers, sizeof (uint32_t));
    session->readers = data;
    session->readers[session->n_readers++] = worker;
}

static void send_order (core_t *core, session_t *session, const fetch_t *fetch,
                        const event_extents_t *found, const core_fetching_t *answers,
                        size_t first)
{
    uint32_t worker = answers[first].worker;
    core_send_piece_t *pieces =
        actions_alloc (core->out, (fetch->n - first) * sizeof *pieces);
    action_t *action = actions_add (core->out, ACTION_SEND_ORDER);
    action_send_t *send = &action->u.send;

    send->worker = worker;
    send->session = session->id;
    memcpy (send->client_key, session->client_key, sizeof send->client_key);
    send->pieces = pieces;
    for (size_t i = first; i < fetch->n; i++)
        if (answers[i].worker == worker)
            pieces[send->n++] = (core_send_piece_t){
                .piece = fetch->pieces[i].piece,
                .key = found->extents[i].chunk.key,
                .offset = fetch->pieces[i].offset,
                .length = fetch->pieces[i].length,
            };
    route_remember (session, worker);
}

/* True when an earlier piece goes to the same worker, whose order has this one too. */
static bool ordered_before (const core_fetching_t *answers, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (answers[k].worker == answers[i].worker)
            return true;
    return false;
}

void route_found (core_t *core, const event_extents_t *found)
{
    fetch_t *fetch =
        table_remove (core->route->fetches, table_hash (found->token), &found->token);
    session_t *session = fetch ? sessions_find (core, fetch->session) : NULL;
    core_fetching_t *answers;
    action_t *action;

    if (!session) {
        free (fetch);
        return;
    }
    if (found->code != DFS_OK || found->n != fetch->n) {
        refuse (core, fetch->session, fetch->seq, fetch->pieces, fetch->n,
                found->code != DFS_OK ? found->code : DFS_EINTERNAL);
        free (fetch);
        return;
    }
    answers = actions_alloc (core->out, fetch->n * sizeof *answers);
    for (size_t i = 0; i < fetch->n; i++) {
        const event_extent_t *extent = &found->extents[i];
        worker_t *worker;

        answers[i].piece = fetch->pieces[i].piece;
        answers[i].code = extent->code;
        if (extent->code != DFS_OK)
            continue;
        worker = route_pick (core, session, &fetch->pieces[i], &extent->chunk,
                             &answers[i].code);
        if (!worker)
            continue;
        core->route->ordered++;
        core->route->seconds += fetch->pieces[i].second;
        answers[i].worker = worker->member.id;
        worker->ordered += fetch->pieces[i].length;
    }
    for (size_t i = 0; i < fetch->n; i++)
        if (answers[i].worker != 0 && !ordered_before (answers, i))
            send_order (core, session, fetch, found, answers, i);
    action = actions_add (core->out, ACTION_FETCHING);
    action->u.fetching.session = fetch->session;
    action->u.fetching.seq = fetch->seq;
    action->u.fetching.pieces = answers;
    action->u.fetching.n = fetch->n;
    free (fetch);
}

/* --- cancelling --- */

static void cancel (core_t *core, session_t *session, const uint64_t *pieces, size_t n)
{
    const uint64_t *copy =
        n > 0 ? actions_dup (core->out, pieces, n * sizeof *pieces) : NULL;

    for (size_t i = 0; i < session->n_readers; i++) {
        const worker_t *worker = members_find (core, session->readers[i]);
        action_t *action;

        if (!worker || worker->conn == 0)
            continue;
        action = actions_add (core->out, ACTION_CANCEL_ORDER);
        action->u.cancel.worker = worker->member.id;
        action->u.cancel.session = session->id;
        action->u.cancel.pieces = copy;
        action->u.cancel.n = n;
    }
    if (n == 0)
        session->n_readers = 0;
}

void route_cancel (core_t *core, const event_cancel_t *event)
{
    session_t *session = sessions_find (core, event->session);

    if (session)
        cancel (core, session, event->pieces, event->n);
}

void route_session_gone (core_t *core, session_t *session)
{
    cancel (core, session, NULL, 0);
}

void route_status (const core_t *core, core_status_t *out)
{
    out->reads = core->route->ordered;
    out->reads_hedged = core->route->seconds;
}

void route_refused (core_t *core, const event_send_refused_t *event)
{
    worker_t *worker = members_find (core, event->worker);

    if (worker)
        worker->ordered -=
            event->bytes < worker->ordered ? event->bytes : worker->ordered;
}
