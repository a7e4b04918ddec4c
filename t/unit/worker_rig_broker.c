/* SPDX-License-Identifier: MPL-2.0 */
/* The rig as the broker of its workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/keys.h"
#include "t/unit/worker_rig_private.h"

void rig_order (rig_t *self, int worker, Dfs__Envelope *env)
{
    assert_int_equal (envelope_send (self->back, &self->routes[worker], 0, env), 0);
}

void rig_send_order (rig_t *self, int worker, uint64_t session, uint64_t piece,
                     const copykey_t *key, uint64_t offset, uint64_t length)
{
    Dfs__CopyKey k = DFS__COPY_KEY__INIT;
    check_put_copykey (key, &k);
    Dfs__SendPiece p = DFS__SEND_PIECE__INIT, *pieces = &p;
    p.piece = piece;
    p.key = &k;
    p.offset = offset;
    p.length = length;
    Dfs__SendOrder order = DFS__SEND_ORDER__INIT;
    order.session = session;
    if (self->secure) {
        order.has_client_key = true;
        order.client_key.data = self->client.keys.public_key;
        order.client_key.len = 32;
    }
    order.n_pieces = 1;
    order.pieces = &pieces;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_SEND_ORDER;
    env.send_order = &order;
    rig_order (self, worker, &env);
}

static void fill_worker (rig_t *self, int i, Dfs__Worker *w)
{
    dfs__worker__init (w);
    w->id = rig_id (i);
    w->name = self->cluster->workers[i].name;
    const char *host = self->hosts[i] ? self->hosts[i] : "127.0.0.1";
    w->host = (char *)(uintptr_t)host;
    w->port = rig_port (self, i);
    if (self->secure) {
        static keypair_t pairs[RIG_WORKERS];
        dfs_error_t err;
        rig_must (keys_load_public (self->cluster->keys_dir, "worker", w->name,
                                    &pairs[i], &err),
                  &err);
        w->has_key = true;
        w->key.data = pairs[i].public_key;
        w->key.len = 32;
    }
}

void rig_welcome (rig_t *self, int i)
{
    Dfs__Worker workers[RIG_WORKERS], *pointers[RIG_WORKERS];
    for (int k = 0; k < RIG_WORKERS; k++) {
        fill_worker (self, k, &workers[k]);
        pointers[k] = &workers[k];
    }
    uint8_t store_id[16];
    memset (store_id, self->cluster->workers[i].name[1], sizeof store_id);
    Dfs__StoreMark mark = DFS__STORE_MARK__INIT, *marks = &mark;
    mark.id.data = store_id;
    mark.id.len = sizeof store_id;
    mark.incarnation = 7;
    mark.seq = self->marks[i];
    mark.has_pages = self->pages > 0;
    mark.pages = self->pages;
    Dfs__HmacKey key = DFS__HMAC_KEY__INIT, *keys = &key;
    key.id = 9;
    key.key.data = self->hmac;
    key.key.len = 32;
    Dfs__Epoch epoch = DFS__EPOCH__INIT;
    epoch.incarnation = 1;
    epoch.term = self->term;
    Dfs__Welcome w = DFS__WELCOME__INIT;
    w.version = 1;
    w.session = 0x1000 + rig_id (i);
    w.epoch = &epoch;
    w.leader = (char *)(uintptr_t) "b1";
    w.has_log_time_ns = true;
    w.log_time_ns = 1000 * SEC;
    w.has_worker = true;
    w.worker = rig_id (i);
    w.n_grant_keys = 1;
    w.grant_keys = &keys;
    w.n_marks = 1;
    w.marks = &marks;
    w.n_workers = RIG_WORKERS;
    w.workers = pointers;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_WELCOME;
    env.welcome = &w;
    rig_order (self, i, &env);
}

static seen_t *add_seen (rig_t *self, const Dfs__Envelope *env, int worker)
{
    assert_true (self->n_seen < RIG_SEEN);
    seen_t *s = &self->seen[self->n_seen++];
    *s = (seen_t){.type = env->body_case, .worker = worker};
    return s;
}

static void take_key (const Dfs__CopyKey *in, copykey_t *out)
{
    dfs_error_t err = {0};
    rig_must (check_copykey (in, out, &err), &err);
}

static void see_changes (rig_t *self, const Dfs__Envelope *env, int worker)
{
    const Dfs__Changes *c = env->changes;
    for (size_t i = 0; i < c->n_changes; i++) {
        seen_t *s = add_seen (self, env, worker);
        take_key (c->changes[i]->key, &s->key);
        s->kind = c->changes[i]->kind;
        s->birth = c->changes[i]->birth;
        s->upload = c->changes[i]->upload;
        s->seq = c->first_seq + (c->inventory ? 0 : i);
        s->inventory = c->inventory;
        s->inventory_end = c->inventory_end;
    }
    if (c->n_changes == 0) {
        seen_t *s = add_seen (self, env, worker);
        s->seq = c->first_seq;
        s->inventory = c->inventory;
        s->inventory_end = c->inventory_end;
    }
    if (self->mute)
        return;
    Dfs__StoreMark mark = DFS__STORE_MARK__INIT, *marks = &mark;
    mark.id = c->store;
    mark.incarnation = c->incarnation;
    mark.seq = c->first_seq + (c->inventory || !c->n_changes ? 0 : c->n_changes - 1);
    Dfs__ChangesAck ack = DFS__CHANGES_ACK__INIT;
    ack.n_marks = 1;
    ack.marks = &marks;
    Dfs__Envelope out = DFS__ENVELOPE__INIT;
    out.body_case = DFS__ENVELOPE__BODY_CHANGES_ACK;
    out.changes_ack = &ack;
    if (!c->inventory || c->inventory_end)
        rig_order (self, worker, &out);
}

/* Credits and refusals for a worker that sends on go to it, as a broker does. */
static void pass_on (rig_t *self, Dfs__Envelope *env, uint64_t session)
{
    if (session >= 0x1001 && session <= 0x1000 + RIG_WORKERS)
        rig_order (self, (int)(session - 0x1001), env);
}

static void see (rig_t *self, Dfs__Envelope *env, int worker)
{
    seen_t *s;
    switch (env->body_case) {
    case DFS__ENVELOPE__BODY_CHANGES:
        see_changes (self, env, worker);
        break;
    case DFS__ENVELOPE__BODY_REFUSED:
        s = add_seen (self, env, worker);
        take_key (env->refused->key, &s->key);
        s->session = env->refused->session;
        s->code = env->refused->code;
        s->about = env->refused->worker;
        s->upload = env->refused->upload;
        pass_on (self, env, s->session);
        break;
    case DFS__ENVELOPE__BODY_CREDIT:
        s = add_seen (self, env, worker);
        take_key (env->credit->key, &s->key);
        s->session = env->credit->session;
        s->consumed = env->credit->consumed;
        pass_on (self, env, s->session);
        break;
    case DFS__ENVELOPE__BODY_STREAM_READY:
        s = add_seen (self, env, worker);
        s->session = env->stream_ready->session;
        s->port = (uint16_t)env->stream_ready->worker->port;
        break;
    case DFS__ENVELOPE__BODY_SEND_REFUSED:
        for (size_t i = 0; i < env->send_refused->n_pieces; i++) {
            s = add_seen (self, env, worker);
            s->session = env->send_refused->session;
            s->piece = env->send_refused->pieces[i]->piece;
            s->code = env->send_refused->pieces[i]->code;
        }
        break;
    case DFS__ENVELOPE__BODY_YIELDED:
        for (size_t i = 0; i < env->yielded->n_pieces; i++) {
            s = add_seen (self, env, worker);
            s->session = env->yielded->session;
            s->piece = env->yielded->pieces[i]->piece;
            take_key (env->yielded->pieces[i]->key, &s->key);
        }
        break;
    case DFS__ENVELOPE__BODY_ORDER_RESULT:
        for (size_t i = 0; i < env->order_result->n_verified; i++) {
            s = add_seen (self, env, worker);
            s->order = env->order_result->order;
            take_key (env->order_result->verified[i]->key, &s->key);
            s->code = env->order_result->verified[i]->code;
        }
        if (env->order_result->n_verified == 0) {
            s = add_seen (self, env, worker);
            s->order = env->order_result->order;
            s->code = env->order_result->code;
        }
        break;
    case DFS__ENVELOPE__BODY_PING: /* it is quiet, and wants to be known */
        break;
    default:
        give_up ("worker sent type %d", env->body_case);
    }
}

static void receive (rig_t *self, arena_t *arena)
{
    envelope_from_t from;
    Dfs__Envelope *env;
    dfs_error_t err = {0};
    int rc;
    for (;;) {
        arena_reset (arena);
        rc = envelope_recv (self->back, true, false, arena, &from, &env, &err);
        if (rc == 0)
            return;
        rig_must (rc, &err);
        if (env->body_case == DFS__ENVELOPE__BODY_HELLO) {
            int i = env->hello->name[1] - '1';
            assert_in_range (i, 0, RIG_WORKERS - 1);
            assert_int_equal (env->hello->n_stores, 1);
            assert_memory_equal (env->hello->cluster_id.data, self->cluster->id, 16);
            self->routes[i] = from.route;
            self->said_hello[i] = true;
            self->hellos++;
            for (int k = 0; k < RIG_WORKERS && !self->shunned; k++)
                if (self->said_hello[k] && (k == i || self->hellos <= RIG_WORKERS))
                    rig_welcome (self, k);
            continue;
        }
        for (int i = 0; i < RIG_WORKERS; i++)
            if (self->routes[i].len == from.route.len &&
                memcmp (self->routes[i].id, from.route.id, from.route.len) == 0)
                see (self, env, i);
    }
}

void rig_pump (rig_t *self, int ms)
{
    arena_t *arena = arena_new (ENVELOPE_ARENA);
    zmq_pollitem_t items[] = {{.socket = self->back, .events = ZMQ_POLLIN},
                              {.socket = self->pulse, .events = ZMQ_POLLIN}};
    zmq_poll (items, 2, ms);
    receive (self, arena);
    envelope_from_t from;
    Dfs__Envelope *env;
    dfs_error_t err;
    while (arena_reset (arena),
           envelope_recv (self->pulse, false, true, arena, &from, &env, &err) > 0) {
        assert_int_equal (from.topic, 'H');
        self->heartbeats++;
        self->condition = (int)env->heartbeat->condition;
    }
    arena_destroy (&arena);
}

const seen_t *rig_look (rig_t *self, Dfs__Envelope__BodyCase type, int worker,
                        const copykey_t *key, int ms)
{
    uint64_t deadline = clock_mono () + (uint64_t)ms * MS;
    for (;;) {
        for (size_t i = 0; i < self->n_seen; i++) {
            seen_t *s = &self->seen[i];
            if (s->used || s->type != type || (worker >= 0 && s->worker != worker) ||
                (key && copykey_cmp (key, &s->key) != 0))
                continue;
            s->used = true;
            return s;
        }
        if (clock_mono () >= deadline)
            return NULL;
        rig_pump (self, 10);
    }
}

const seen_t *rig_wait (rig_t *self, Dfs__Envelope__BodyCase type, int worker,
                        const copykey_t *key)
{
    const seen_t *s = rig_look (self, type, worker, key, 10000);
    if (!s)
        give_up ("nothing of type %d came from worker %d", type, worker);
    return s;
}
