/* SPDX-License-Identifier: MPL-2.0 */
/* Carries out what the core wants: questions to storage, orders to workers, a few
 * things of the reactor's own. What goes to clients is in act_clients.c. */
#include <assert.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"
#include "msgs/grant.h"

void *links_need (links_t *self, size_t size)
{
    void *p = arena_zalloc (self->scratch, size ? size : 1);

    assert (p);
    return p;
}

char *links_text (links_t *self, const char *text)
{
    char *copy = arena_dup (self->scratch, text, strlen (text));

    assert (copy);
    return copy;
}

Dfs__Worker *links_worker (links_t *self, const core_address_t *a)
{
    Dfs__Worker *w = links_need (self, sizeof *w);

    dfs__worker__init (w);
    w->id = a->id;
    w->name = links_text (self, a->name);
    w->host = links_text (self, a->host);
    w->port = a->port;
    w->location = a->location ? links_text (self, a->location) : NULL;
    w->has_key = self->config.cluster->secure;
    w->key.data = arena_dup (self->scratch, a->key, sizeof a->key);
    w->key.len = sizeof a->key;
    w->has_state = true;
    w->state = (uint32_t)a->state;
    return w;
}

static Dfs__CopyKey *wire_key (links_t *self, const copykey_t *key)
{
    Dfs__CopyKey *wire = links_need (self, sizeof *wire);

    check_put_copykey (key, wire);
    return wire;
}

static Dfs__StoreMark *wire_mark (links_t *self, const core_mark_t *mark)
{
    Dfs__StoreMark *wire = links_need (self, sizeof *wire);

    dfs__store_mark__init (wire);
    wire->id.data = arena_dup (self->scratch, mark->id, sizeof mark->id);
    wire->id.len = sizeof mark->id;
    wire->incarnation = mark->incarnation;
    wire->seq = mark->seq;
    wire->has_pages = mark->pages > 0;
    wire->pages = mark->pages;
    return wire;
}

/* --- storage --- */

static void to_storage (links_t *self, const action_t *action)
{
    storage_push (self->storage, &mail_core_new (action)->head);
}

/* --- workers --- */

/* Sends an order, under this leader's epoch: a worker that knows a higher one refuses.
 */
static void send_order (links_t *self, conn_t *conn, Dfs__Envelope *env)
{
    Dfs__Epoch epoch = DFS__EPOCH__INIT;

    epoch.incarnation = self->incarnation;
    epoch.term = self->term;
    env->epoch = &epoch;
    back_send (self, conn, env);
}

static void send_welcome (links_t *self, const action_t *action)
{
    const action_welcome_t *a = &action->u.welcome;
    conn_t *conn = link_by_number (&self->back, a->conn);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__HmacKey *key;

    if (!conn)
        return;
    Dfs__Welcome *w = hello_welcome (self);
    w->session = conn->sender;
    w->has_worker = w->has_heartbeat_ns = true;
    w->worker = a->worker;
    w->heartbeat_ns = self->config.cluster->heartbeat_ns;
    key = links_need (self, sizeof *key);
    dfs__hmac_key__init (key);
    key->id = GRANT_KEY_ID;
    key->key.data = self->config.grant_key;
    key->key.len = sizeof self->config.grant_key;
    w->grant_keys = &key;
    w->n_grant_keys = 1;
    w->marks = links_need (self, a->n * sizeof *w->marks);
    for (size_t i = 0; i < a->n; i++)
        w->marks[w->n_marks++] = wire_mark (self, &a->marks[i]);
    /* Others may not have heard yet where a worker listens. */
    if (links_leads (self)) {
        w->workers = self->directory;
        w->n_workers = self->n_directory;
    }
    env.has_seq = true;
    env.seq = conn->hello_seq;
    env.has_session = true;
    env.session = conn->sender;
    env.body_case = DFS__ENVELOPE__BODY_WELCOME;
    env.welcome = w;
    back_send (self, conn, &env);
    conn->welcomed = true;
}

static void send_ack (links_t *self, const action_t *action)
{
    const action_ack_t *a = &action->u.ack;
    conn_t *conn = link_by_number (&self->back, a->conn);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__ChangesAck ack = DFS__CHANGES_ACK__INIT;

    if (!conn)
        return;
    Dfs__StoreMark *mark = wire_mark (self, &a->mark);
    ack.marks = &mark;
    ack.n_marks = 1;
    env.body_case = DFS__ENVELOPE__BODY_CHANGES_ACK;
    env.changes_ack = &ack;
    back_send (self, conn, &env);
}

static void send_replicate (links_t *self, const action_t *action)
{
    const action_replicate_t *a = &action->u.replicate;
    conn_t *conn = back_worker (self, a->worker);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Replicate order = DFS__REPLICATE__INIT;
    grant_t grant = a->grant;
    uint8_t sealed[GRANT_LEN_MAX];

    if (!conn)
        return;
    grant.key_id = GRANT_KEY_ID;
    order.order = a->order;
    order.key = wire_key (self, &a->grant.key);
    order.grant.len = grant_pack (&grant, self->config.grant_key, sealed);
    order.grant.data = sealed;
    order.targets = links_need (self, a->n_targets * sizeof *order.targets);
    for (size_t i = 0; i < a->n_targets; i++)
        order.targets[order.n_targets++] = links_worker (self, &a->targets[i]);
    env.body_case = DFS__ENVELOPE__BODY_REPLICATE;
    env.replicate = &order;
    send_order (self, conn, &env);
}

static void send_verify_order (links_t *self, const action_t *action)
{
    const action_verify_order_t *a = &action->u.verify_order;
    conn_t *conn = back_worker (self, a->worker);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__VerifyOrder order = DFS__VERIFY_ORDER__INIT;

    if (!conn)
        return;
    order.order = a->order;
    order.has_peek = order.peek = a->peek;
    order.keys = links_need (self, a->n * sizeof *order.keys);
    for (size_t i = 0; i < a->n; i++)
        order.keys[order.n_keys++] = wire_key (self, &a->keys[i]);
    env.body_case = DFS__ENVELOPE__BODY_VERIFY_ORDER;
    env.verify_order = &order;
    send_order (self, conn, &env);
}

static void send_drop_order (links_t *self, const action_t *action)
{
    const action_drop_order_t *a = &action->u.drop_order;
    conn_t *conn = back_worker (self, a->worker);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__DropOrder order = DFS__DROP_ORDER__INIT;

    if (!conn)
        return;
    order.order = a->order;
    order.items = links_need (self, a->n * sizeof *order.items);
    for (size_t i = 0; i < a->n; i++) {
        Dfs__DropOrderItem *item = links_need (self, sizeof *item);

        dfs__drop_order_item__init (item);
        item->key = wire_key (self, &a->items[i].key);
        item->birth_limit = a->items[i].limit;
        order.items[order.n_items++] = item;
    }
    env.body_case = DFS__ENVELOPE__BODY_DROP_ORDER;
    env.drop_order = &order;
    send_order (self, conn, &env);
}

void act_scrub (links_t *self, conn_t *conn)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__ScrubOrder order = DFS__SCRUB_ORDER__INIT;

    env.body_case = DFS__ENVELOPE__BODY_SCRUB_ORDER;
    env.scrub_order = &order;
    send_order (self, conn, &env);
}

static void send_send_order (links_t *self, const action_t *action)
{
    const action_send_t *a = &action->u.send;
    conn_t *conn = back_worker (self, a->worker);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__SendOrder order = DFS__SEND_ORDER__INIT;
    uint8_t key[32];

    if (!conn)
        return;
    order.session = a->session;
    memcpy (key, a->client_key, sizeof key);
    order.has_client_key = self->config.cluster->secure;
    order.client_key.data = key;
    order.client_key.len = sizeof key;
    order.pieces = links_need (self, a->n * sizeof *order.pieces);
    for (size_t i = 0; i < a->n; i++) {
        Dfs__SendPiece *piece = links_need (self, sizeof *piece);
        dfs__send_piece__init (piece);
        piece->piece = a->pieces[i].piece;
        piece->key = wire_key (self, &a->pieces[i].key);
        piece->offset = a->pieces[i].offset;
        piece->length = a->pieces[i].length;
        piece->has_keep = piece->keep = a->pieces[i].keep;
        order.pieces[order.n_pieces++] = piece;
    }
    const session_t *session = clients_get (self->clients, a->session);
    env.trace = session ? session->trace : 0;
    env.has_trace = env.trace != 0;
    env.has_traced = env.traced = session && session->traced;
    env.body_case = DFS__ENVELOPE__BODY_SEND_ORDER;
    env.send_order = &order;
    send_order (self, conn, &env);
}

static void send_cancel_order (links_t *self, const action_t *action)
{
    const action_cancel_t *a = &action->u.cancel;
    conn_t *conn = back_worker (self, a->worker);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__CancelOrder order = DFS__CANCEL_ORDER__INIT;

    /* A session that ends here may go on at the broker that leads. */
    if (!conn || (a->n == 0 && !links_leads (self)))
        return;
    order.session = a->session;
    order.pieces = links_need (self, a->n * sizeof *order.pieces);
    if (a->n)
        memcpy (order.pieces, a->pieces, a->n * sizeof *order.pieces);
    order.n_pieces = a->n;
    env.body_case = DFS__ENVELOPE__BODY_CANCEL_ORDER;
    env.cancel_order = &order;
    send_order (self, conn, &env);
}

static void send_yield_order (links_t *self, const action_t *action)
{
    conn_t *conn = back_worker (self, action->u.yield.worker);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__YieldOrder order = DFS__YIELD_ORDER__INIT;

    if (!conn)
        return;
    order.bytes = action->u.yield.bytes;
    env.body_case = DFS__ENVELOPE__BODY_YIELD_ORDER;
    env.yield_order = &order;
    send_order (self, conn, &env);
}

/* Kept as well: a Welcome carries it. */
static void send_directory (links_t *self, const action_t *action)
{
    const action_directory_t *a = &action->u.directory;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Directory directory = DFS__DIRECTORY__INIT;
    arena_t *scratch = self->scratch;
    size_t pos = 0;
    conn_t *conn;

    arena_reset (self->directory_arena);
    self->scratch = self->directory_arena;
    self->directory = links_need (self, a->n * sizeof *self->directory);
    for (size_t i = 0; i < a->n; i++)
        self->directory[i] = links_worker (self, &a->workers[i]);
    self->scratch = scratch;
    self->n_directory = a->n;
    self->directory_version = a->version;
    directory.workers = self->directory;
    directory.n_workers = self->n_directory;
    env.body_case = DFS__ENVELOPE__BODY_DIRECTORY;
    env.directory = &directory;
    while (links_leads (self) && (conn = idmap_next (self->workers, &pos))) {
        if (conn->welcomed)
            send_order (self, conn, &env);
    }
}

/* --- the reactor's own --- */

static void probe (links_t *self, const action_t *action)
{
    const action_probe_t *a = &action->u.probe;
    mail_probe_t *mail = mail_new (MAIL_PROBE, sizeof *mail);

    mail->worker = a->worker;
    mail->probe = a->probe;
    mail->port = a->port;
    mail->timeout_ns = a->timeout_ns;
    strncpy (mail->host, a->host, sizeof mail->host - 1);
    prober_push (self->prober, mail);
}

static void close_conn (links_t *self, const action_t *action)
{
    conn_t *conn = link_by_number (&self->back, action->u.close.conn);

    if (conn)
        back_forget (self, conn);
}

static void announce (links_t *self, const action_t *action)
{
    announce_set (self, &action->u.announce);
}

static void commit_ok (links_t *self, const action_t *action)
{
    pending_commit_ok (self, &action->u.commit_ok);
}

static void commit_refused (links_t *self, const action_t *action)
{
    pending_commit_refused (self, &action->u.commit_refused);
}

static void write_log (links_t *self, const action_t *action)
{
    const action_log_t *a = &action->u.log;

    (void)self;
    log_event ((enum log_level)a->level, a->event, "%s", a->text);
}

static void verify_reply (links_t *self, const action_t *action)
{
    front_verified (self, &action->u.verify_reply);
}

typedef void (act_f) (links_t *self, const action_t *action);

static act_f *const acts[] = {
    [ACTION_LOOKUP_MARKS] = to_storage,
    [ACTION_LOCATIONS_APPLY] = to_storage,
    [ACTION_LOOKUP_CHUNKS] = to_storage,
    [ACTION_LOOKUP_EXTENTS] = to_storage,
    [ACTION_SCAN_WORKER] = to_storage,
    [ACTION_LOOKUP_RECLAIM] = to_storage,
    [ACTION_LOOKUP_BYTES] = to_storage,
    [ACTION_WELCOME] = send_welcome,
    [ACTION_CHANGES_ACK] = send_ack,
    [ACTION_REPLICATE] = send_replicate,
    [ACTION_VERIFY_ORDER] = send_verify_order,
    [ACTION_DROP_ORDER] = send_drop_order,
    [ACTION_SEND_ORDER] = send_send_order,
    [ACTION_CANCEL_ORDER] = send_cancel_order,
    [ACTION_YIELD_ORDER] = send_yield_order,
    [ACTION_DIRECTORY] = send_directory,
    [ACTION_PROBE] = probe,
    [ACTION_CLOSE] = close_conn,
    [ACTION_ANNOUNCE] = announce,
    [ACTION_PLACED] = act_placed,
    [ACTION_DURABLE] = act_durable,
    [ACTION_FETCHING] = act_fetching,
    [ACTION_VERIFY_REPLY] = verify_reply,
    [ACTION_COMMIT_OK] = commit_ok,
    [ACTION_COMMIT_REFUSED] = commit_refused,
    [ACTION_PROPOSE] = act_propose,
    [ACTION_LOG] = write_log,
};

/* Carrying out an action may step the core again (a connection that is closed): what it
 * wants then is behind the others. */
void act_run (links_t *self)
{
    for (size_t i = 0; i < actions_count (self->actions); i++) {
        action_t action = *actions_at (self->actions, i);

        arena_reset (self->scratch);
        assert (action.type < sizeof acts / sizeof acts[0] && acts[action.type]);
        acts[action.type](self, &action);
    }
    actions_reset (self->actions);
}
