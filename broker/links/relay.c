/* SPDX-License-Identifier: MPL-2.0 */
/* What workers report: changes of their stores and results of orders for the core; word
 * of streams, credits and refusals that goes on to whoever it concerns. What is relayed
 * is built anew from checked fields, with the worker's identity as its connection
 * proved it. */
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"

#define PIECES_MAX   4096
#define VERIFIED_MAX 4096
#define STEPS_MAX    16
#define TEXT_MAX     500

static void malformed (links_t *self, const job_t *job, const char *why)
{
    links_drop (self, "back", &job->from, why);
}

/* --- for the core --- */

static int take_changes (links_t *self, const Dfs__Changes *in, event_changes_t *out,
                         dfs_error_t *err)
{
    core_change_t *items;

    int rc = check_bytes (&in->store, sizeof out->store, "store id", err);
    if (rc < 0)
        return rc;
    memcpy (out->store, in->store.data, sizeof out->store);
    items = links_need (self, in->n_changes * sizeof *items);
    for (size_t i = 0; i < in->n_changes; i++) {
        const Dfs__LocationChange *c = in->changes[i];
        if (c->kind < DFS__LOCATION_KIND__LOCATION_STORED ||
            c->kind > DFS__LOCATION_KIND__LOCATION_RENEWED)
            return fail (err, DFS_EPROTO, "changes: kind %d", (int)c->kind);
        rc = check_copykey (c->key, &items[i].key, err);
        if (rc < 0)
            return rc;
        items[i].kind = (int)c->kind;
        items[i].birth = c->has_birth ? c->birth : 0;
        items[i].length = c->has_length ? c->length : 0;
        items[i].upload = c->has_upload ? c->upload : 0;
    }
    out->items = items;
    out->n = in->n_changes;
    return DFS_OK;
}

void back_changes (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Changes *in = job->env->changes;
    event_t event = {.type = EVENT_CHANGES};
    event_changes_t *out = &event.u.changes;
    dfs_error_t err;

    arena_reset (self->scratch);
    if (take_changes (self, in, out, &err) < 0) {
        malformed (self, job, err.text);
        out->unreadable = true;
    }
    out->worker = conn->worker;
    out->conn = conn->number;
    out->incarnation = in->incarnation;
    out->counted = in->has_page;
    out->page = in->page;
    out->first_seq = in->first_seq;
    out->last_seq = in->has_last_seq ? in->last_seq : 0;
    out->inventory = in->has_inventory && in->inventory;
    out->inventory_end = in->has_inventory_end && in->inventory_end;
    links_step (self, &event);
}

void back_yielded (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Yielded *in = job->env->yielded;
    core_send_piece_t *pieces;
    dfs_error_t err;

    if (in->n_pieces == 0 || in->n_pieces > CORE_FETCH_PIECES) {
        malformed (self, job, "yielded: number of pieces");
        return;
    }
    arena_reset (self->scratch);
    pieces = links_need (self, in->n_pieces * sizeof *pieces);
    for (size_t i = 0; i < in->n_pieces; i++) {
        const Dfs__SendPiece *p = in->pieces[i];
        if (check_copykey (p->key, &pieces[i].key, &err) < 0) {
            malformed (self, job, err.text);
            return;
        }
        pieces[i].piece = p->piece;
        pieces[i].offset = p->offset;
        pieces[i].length = p->length;
        pieces[i].keep = false;
    }
    event_t event = {.type = EVENT_YIELDED,
                     .u.yielded = {.worker = conn->worker,
                                   .session = in->session,
                                   .pieces = pieces,
                                   .n = in->n_pieces}};
    links_step (self, &event);
}

void back_order_result (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__OrderResult *in = job->env->order_result;
    core_verified_t *verified;
    dfs_error_t err;

    if (in->n_verified > VERIFIED_MAX) {
        malformed (self, job, "order result: number of keys");
        return;
    }
    arena_reset (self->scratch);
    verified = links_need (self, in->n_verified * sizeof *verified);
    for (size_t i = 0; i < in->n_verified; i++) {
        if (check_copykey (in->verified[i]->key, &verified[i].key, &err) < 0) {
            malformed (self, job, err.text);
            return;
        }
        verified[i].code = in->verified[i]->code;
        verified[i].bytes = in->verified[i]->has_bytes ? in->verified[i]->bytes : 0;
        verified[i].verified_at =
            in->verified[i]->has_verified_at_ns ? in->verified[i]->verified_at_ns : 0;
    }
    event_t event = {.type = EVENT_ORDER_RESULT,
                     .u.order = {.worker = conn->worker,
                                 .order = in->order,
                                 .code = in->code,
                                 .verified = verified,
                                 .n = in->n_verified}};
    links_step (self, &event);
}

/* --- for clients and for workers that send --- */

void back_stream_ready (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__StreamReady *in = job->env->stream_ready;
    session_t *session = clients_get (self->clients, in->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__StreamReady out = DFS__STREAM_READY__INIT;
    Dfs__Worker worker = DFS__WORKER__INIT;

    if (in->worker->port == 0 || in->worker->port > UINT16_MAX) {
        malformed (self, job, "stream ready: port");
        return;
    }
    if (!session)
        return;
    worker.id = conn->worker;
    worker.name = conn->name;
    worker.host = conn->host;
    worker.port = in->worker->port;
    worker.has_key = conn->has_key;
    worker.key.data = conn->key;
    worker.key.len = sizeof conn->key;
    out.session = session->id;
    out.worker = &worker;
    env.body_case = DFS__ENVELOPE__BODY_STREAM_READY;
    env.stream_ready = &out;
    front_send (self, session, &env);
}

void back_send_refused (links_t *self, conn_t *conn, job_t *job)
{
    Dfs__SendRefused *in = job->env->send_refused;
    session_t *session = clients_get (self->clients, in->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    event_t event = {
        .type = EVENT_SEND_REFUSED,
        .u.send_refused = {.worker = conn->worker, .session = in->session}};

    if (in->n_pieces == 0 || in->n_pieces > PIECES_MAX) {
        malformed (self, job, "send refused: number of pieces");
        return;
    }
    for (size_t i = 0; i < in->n_pieces; i++) {
        char *text = in->pieces[i]->text;
        if (text && strlen (text) > TEXT_MAX)
            text[TEXT_MAX] = 0;
    }
    links_step (self, &event);
    if (!session)
        return;
    in->has_worker = true;
    in->worker = conn->worker;
    env.body_case = DFS__ENVELOPE__BODY_SEND_REFUSED;
    env.send_refused = in;
    front_send (self, session, &env);
}

void back_traced (links_t *self, conn_t *conn, job_t *job)
{
    Dfs__Traced *in = job->env->traced_steps;
    session_t *session = clients_get (self->clients, in->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;

    if (in->n_steps > STEPS_MAX) {
        malformed (self, job, "traced: number of steps");
        return;
    }
    /* A later hop knows the number of the operation, not the client. */
    for (size_t pos = 0; !session && job->env->has_trace;) {
        session_t *any = idmap_next (self->clients->by_id, &pos);
        if (!any)
            break;
        if (any->traced && any->trace == job->env->trace)
            session = any;
    }
    if (!session || !session->traced)
        return;
    in->session = session->id;
    in->node = conn->name;
    env.body_case = DFS__ENVELOPE__BODY_TRACED_STEPS;
    env.traced_steps = in;
    front_send (self, session, &env);
}

void back_credit (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Credit *in = job->env->credit;
    session_t *session = clients_get (self->clients, in->session);
    conn_t *sender = idmap_get (self->clients->senders, in->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Credit out = DFS__CREDIT__INIT;
    Dfs__CopyKey wire;
    copykey_t key;
    dfs_error_t err;

    if (check_copykey (in->key, &key, &err) < 0) {
        malformed (self, job, err.text);
        return;
    }
    event_t event = {.type = EVENT_PROGRESS,
                     .u.progress = {.worker = conn->worker,
                                    .session = sender ? 0 : in->session,
                                    .upload = in->has_upload ? in->upload : 0,
                                    .key = key,
                                    .consumed = in->consumed}};
    links_step (self, &event);
    check_put_copykey (&key, &wire);
    out.session = in->session;
    out.key = &wire;
    out.consumed = in->consumed;
    out.has_upload = in->has_upload;
    out.upload = in->upload;
    out.has_worker = true;
    out.worker = conn->worker;
    env.body_case = DFS__ENVELOPE__BODY_CREDIT;
    env.credit = &out;
    if (session)
        front_send (self, session, &env);
    else if (sender)
        back_send (self, sender, &env);
}

/* A client hears of it by the core (Durable with a code), which may know better; a
 * worker that sends on hears of it as it is. */
void back_refused (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Refused *in = job->env->refused;
    conn_t *sender = idmap_get (self->clients->senders, in->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Refused out = DFS__REFUSED__INIT;
    Dfs__CopyKey wire;
    copykey_t key;
    char text[TEXT_MAX + 1];
    dfs_error_t err;

    if (check_copykey (in->key, &key, &err) < 0) {
        malformed (self, job, err.text);
        return;
    }
    /* One that sends on may say who did not take it: that is the lost target, not the
     * sender. Of its own state nobody speaks but a worker itself. */
    bool other = !sender && in->has_worker && in->worker && in->worker != conn->worker;
    event_t event = {.type = EVENT_REFUSED,
                     .u.refused = {.worker = other ? in->worker : conn->worker,
                                   .session = sender ? 0 : in->session,
                                   .upload = in->has_upload ? in->upload : 0,
                                   .key = key,
                                   .code = other ? DFS_EUNAVAIL : in->code}};
    links_step (self, &event);
    if (!sender)
        return;
    check_put_copykey (&key, &wire);
    out.session = in->session;
    out.key = &wire;
    out.code = in->code;
    if (in->text) {
        strncpy (text, in->text, TEXT_MAX);
        text[TEXT_MAX] = 0;
        out.text = text;
    }
    out.has_upload = in->has_upload;
    out.upload = in->upload;
    out.has_worker = true;
    out.worker = conn->worker;
    env.body_case = DFS__ENVELOPE__BODY_REFUSED;
    env.refused = &out;
    back_send (self, sender, &env);
}
