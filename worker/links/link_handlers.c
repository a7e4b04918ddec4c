/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/grant.h"
#include "worker/links/link_private.h"

enum { BURST = 64, PIECES_MAX = 4096, KEYS_MAX = 4096 };
#define HELLO_SOON_NS  (100 * MS)
#define HELLO_LATER_NS (5 * SEC)

/* --- what brokers tell --- */

/* A broker tells its epoch, and who leads (NULL: not known there). Only one that leads
 * makes an epoch the highest: orders of those before it are refused from then on. What
 * one says that is behind does not count. */
static int read_epoch (broker_link_t *self, peer_t *peer, const Dfs__Epoch *epoch,
                       const char *leader, dfs_error_t *err)
{
    uint32_t incarnation;
    uint64_t term;
    int rc = DFS_OK;
    if (leader && strcmp (leader, peer->node->name) == 0)
        rc = epoch_see (self->config.epoch, epoch->incarnation, epoch->term, err);
    if (rc == DFS_ESTALE)
        rc = DFS_OK;
    if (rc < 0)
        return rc;
    peer->incarnation = epoch->incarnation;
    peer->term = epoch->term;
    epoch_get (self->config.epoch, &incarnation, &term);
    peer->stale = epoch->incarnation < incarnation ||
                  (epoch->incarnation == incarnation && epoch->term < term);
    return DFS_OK;
}

static void set_leader (broker_link_t *self, const peer_t *peer, const char *name)
{
    dfs_error_t err;
    if (peer->stale || !name || strcmp (name, self->leader) == 0 ||
        check_text (name, sizeof self->leader - 1, "leader", &err) < 0)
        return;
    snprintf (self->leader, sizeof self->leader, "%s", name);
    log_info ("leader", "peer=%s", self->leader);
}

/* Credits for what this worker sends come back in the session at the leader. */
static void choose_session (broker_link_t *self, uint32_t worker)
{
    const peer_t *chosen = NULL;
    for (size_t i = 0; i < self->n; i++) {
        const peer_t *peer = &self->peers[i];
        if (peer->welcomed && (!chosen || strcmp (peer->node->name, self->leader) == 0))
            chosen = peer;
    }
    if (chosen)
        directory_set_self (self->config.directory, worker, chosen->session);
}

static int read_members (broker_link_t *self, Dfs__Worker *const *workers, size_t n,
                         dfs_error_t *err)
{
    if (n > DIRECTORY_MEMBERS)
        return fail (err, DFS_EPROTO, "directory of %zu workers", n);
    member_t *members = calloc (n ? n : 1, sizeof *members);
    assert (members);
    int rc = DFS_OK;
    for (size_t i = 0; i < n && rc == DFS_OK; i++) {
        const Dfs__Worker *w = workers[i];
        member_t *m = &members[i];
        rc = check_text (w->name, sizeof m->name - 1, "worker.name", err);
        if (rc == DFS_OK)
            rc = check_text (w->host, sizeof m->host - 1, "worker.host", err);
        if (rc == DFS_OK && w->has_key)
            rc = check_bytes (&w->key, 32, "worker.key", err);
        if (rc == DFS_OK && (w->id == 0 || w->port > 65535))
            rc = fail (err, DFS_EPROTO, "worker.id or port");
        if (rc < 0)
            break;
        m->id = w->id;
        m->port = (uint16_t)w->port;
        snprintf (m->name, sizeof m->name, "%s", w->name);
        snprintf (m->host, sizeof m->host, "%s", w->host);
        m->has_key = w->has_key;
        if (w->has_key)
            memcpy (m->key, w->key.data, 32);
    }
    if (rc == DFS_OK) {
        directory_set_members (self->config.directory, members, n);
        access_refresh (self->config.access);
        self->names_at = 0;
        self->names_from = 0;
    }
    free (members);
    return rc;
}

static int on_welcome (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                       dfs_error_t *err)
{
    const Dfs__Welcome *w = env->welcome;
    grant_key_t keys[DIRECTORY_KEYS];
    if (w->version != ENVELOPE_VERSION)
        return fail (err, DFS_EVERSION, "broker speaks version %u", w->version);
    if (!w->has_worker || w->worker == 0)
        return fail (err, DFS_EPROTO, "welcome without a member id");
    if (w->n_grant_keys > DIRECTORY_KEYS)
        return fail (err, DFS_EPROTO, "welcome with %zu keys", w->n_grant_keys);
    int rc = DFS_OK;
    for (size_t i = 0; i < w->n_grant_keys && rc == DFS_OK; i++) {
        rc = check_bytes (&w->grant_keys[i]->key, 32, "grant_keys.key", err);
        keys[i].id = w->grant_keys[i]->id;
        if (rc == DFS_OK)
            memcpy (keys[i].key, w->grant_keys[i]->key.data, 32);
    }
    for (size_t i = 0; i < w->n_marks && rc == DFS_OK; i++)
        rc = check_bytes (&w->marks[i]->id, 16, "marks.id", err);
    if (rc == DFS_OK)
        rc = read_epoch (self, peer, w->epoch, w->leader, err);
    /* Only who leads tells of the other workers. */
    if (rc == DFS_OK && w->n_workers > 0 && !peer->stale)
        rc = read_members (self, w->workers, w->n_workers, err);
    if (rc < 0)
        return rc;
    directory_set_keys (self->config.directory, keys, w->n_grant_keys);
    set_leader (self, peer, w->leader);
    if (w->has_log_time_ns && !peer->stale)
        directory_set_log_time (self->config.directory, w->log_time_ns, self->now);
    if (!peer->welcomed)
        atomic_fetch_add (&self->welcomed, 1);
    peer->welcomed = true;
    peer_admitted (self);
    peer->hello_at = 0;
    peer->session = w->session;
    choose_session (self, w->worker);
    log_info ("welcome", "peer=%s worker=%u epoch=%u.%" PRIu64, peer->node->name,
              w->worker, peer->incarnation, peer->term);
    changes_welcome (self, peer, w->marks, w->n_marks);
    self->beat_at = 0;
    return DFS_OK;
}

static int on_directory (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                         dfs_error_t *err)
{
    (void)peer;
    return read_members (self, env->directory->workers, env->directory->n_workers, err);
}

static int on_changes_ack (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                           dfs_error_t *err)
{
    (void)err;
    changes_acked (self, peer, env->changes_ack->marks, env->changes_ack->n_marks);
    return DFS_OK;
}

static int on_ping (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                    dfs_error_t *err)
{
    (void)err;
    Dfs__Envelope answer;
    Dfs__Ping ping = DFS__PING__INIT;
    if (env->has_seq && env->seq == self->incarnation)
        return DFS_OK; /* the answer to send_ping */
    envelope_answer (&answer, env);
    answer.body_case = DFS__ENVELOPE__BODY_PING;
    answer.ping = &ping;
    peer_send (self, peer, &answer);
    return DFS_OK;
}

/* --- orders --- */

static int on_send (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                    dfs_error_t *err)
{
    const Dfs__SendOrder *order = env->send_order;
    if (order->n_pieces > PIECES_MAX)
        return fail (err, DFS_EPROTO, "order of %zu pieces", order->n_pieces);
    int rc = DFS_OK;
    if (order->has_client_key && order->client_key.len)
        rc = check_bytes (&order->client_key, 32, "client_key", err);
    link_piece_t *pieces = arena_alloc (
        self->arena, (order->n_pieces ? order->n_pieces : 1) * sizeof *pieces);
    if (rc < 0 || !pieces)
        return rc < 0 ? rc
                      : fail (err, DFS_ENOMEM, "order of %zu pieces", order->n_pieces);
    for (size_t i = 0; i < order->n_pieces && rc == DFS_OK; i++) {
        const Dfs__SendPiece *p = order->pieces[i];
        pieces[i].piece = p->piece;
        pieces[i].offset = p->offset;
        pieces[i].length = p->length;
        pieces[i].keep = p->has_keep && p->keep;
        rc = check_copykey (p->key, &pieces[i].key, err);
    }
    if (rc < 0)
        return rc;
    link_send_t plain = {.link = peer->index,
                         .session = order->session,
                         .trace = env->trace,
                         .traced = env->has_traced && env->traced,
                         .pieces = pieces,
                         .n = order->n_pieces};
    if (order->has_client_key && order->client_key.len)
        plain.client_key = order->client_key.data;
    self->config.orders.send (&plain, self->config.orders.arg);
    return DFS_OK;
}

static int on_cancel (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                      dfs_error_t *err)
{
    (void)peer;
    const Dfs__CancelOrder *order = env->cancel_order;
    if (order->n_pieces > PIECES_MAX)
        return fail (err, DFS_EPROTO, "cancel of %zu pieces", order->n_pieces);
    self->config.orders.cancel (order->session, order->pieces, order->n_pieces,
                                self->config.orders.arg);
    return DFS_OK;
}

static int on_yield (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                     dfs_error_t *err)
{
    (void)err;
    self->config.orders.yield (peer->index, env->yield_order->bytes,
                               self->config.orders.arg);
    return DFS_OK;
}

static int on_replicate (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                         dfs_error_t *err)
{
    const Dfs__Replicate *order = env->replicate;
    link_replicate_t plain = {.link = peer->index,
                              .order = order->order,
                              .trace = env->trace,
                              .grant = order->grant.data,
                              .grant_len = order->grant.len};
    int rc = check_copykey (order->key, &plain.key, err);
    if (rc == DFS_OK && order->grant.len > GRANT_LEN_MAX)
        rc = fail (err, DFS_EPROTO, "grant of %zu bytes", order->grant.len);
    if (rc == DFS_OK)
        self->config.orders.replicate (&plain, self->config.orders.arg);
    return rc;
}

static int on_verify (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                      dfs_error_t *err)
{
    const Dfs__VerifyOrder *order = env->verify_order;
    if (order->n_keys > KEYS_MAX)
        return fail (err, DFS_EPROTO, "verify of %zu chunks", order->n_keys);
    copykey_t *keys =
        arena_alloc (self->arena, (order->n_keys ? order->n_keys : 1) * sizeof *keys);
    if (!keys)
        return fail (err, DFS_ENOMEM, "verify of %zu chunks", order->n_keys);
    for (size_t i = 0; i < order->n_keys; i++)
        if (check_copykey (order->keys[i], &keys[i], err) < 0)
            return err->code;
    link_verify_t plain = {.link = peer->index,
                           .order = order->order,
                           .trace = env->trace,
                           .peek = order->has_peek && order->peek,
                           .keys = keys,
                           .n = order->n_keys};
    self->config.orders.verify (&plain, self->config.orders.arg);
    return DFS_OK;
}

static int on_drop (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                    dfs_error_t *err)
{
    const Dfs__DropOrder *order = env->drop_order;
    if (order->n_items > KEYS_MAX)
        return fail (err, DFS_EPROTO, "drop of %zu copies", order->n_items);
    link_drop_item_t *items = arena_alloc (
        self->arena, (order->n_items ? order->n_items : 1) * sizeof *items);
    if (!items)
        return fail (err, DFS_ENOMEM, "drop of %zu copies", order->n_items);
    for (size_t i = 0; i < order->n_items; i++) {
        items[i].birth_limit = order->items[i]->birth_limit;
        if (check_copykey (order->items[i]->key, &items[i].key, err) < 0)
            return err->code;
    }
    link_drop_t plain = {.link = peer->index,
                         .order = order->order,
                         .trace = env->trace,
                         .items = items,
                         .n = order->n_items};
    self->config.orders.drop (&plain, self->config.orders.arg);
    return DFS_OK;
}

static int on_scrub (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                     dfs_error_t *err)
{
    (void)env;
    (void)err;
    log_info ("scrub_ordered", "peer=%s", peer->node->name);
    self->config.orders.scrub (self->config.orders.arg);
    self->beat_at = 0;
    return DFS_OK;
}

/* --- answers to what this worker sent on --- */

static int on_credit (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                      dfs_error_t *err)
{
    (void)peer;
    const Dfs__Credit *in = env->credit;
    link_answer_t answer = {.worker = in->has_worker ? in->worker : 0,
                            .upload = in->has_upload ? in->upload : 0,
                            .consumed = in->consumed};
    int rc = check_copykey (in->key, &answer.key, err);
    if (rc == DFS_OK)
        self->config.orders.answer (&answer, self->config.orders.arg);
    return rc;
}

static int on_refused (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                       dfs_error_t *err)
{
    (void)peer;
    const Dfs__Refused *in = env->refused;
    link_answer_t answer = {.worker = in->has_worker ? in->worker : 0,
                            .upload = in->has_upload ? in->upload : 0,
                            .code = in->code < 0 ? in->code : DFS_EINTERNAL};
    int rc = check_copykey (in->key, &answer.key, err);
    if (rc == DFS_OK)
        self->config.orders.answer (&answer, self->config.orders.arg);
    return rc;
}

/* --- table --- */

enum { BEFORE_WELCOME = 1, NEEDS_EPOCH = 2 };

static const struct {
    Dfs__Envelope__BodyCase type;
    int (*handler) (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                    dfs_error_t *err);
    int flags;
} handlers[] = {
    {DFS__ENVELOPE__BODY_WELCOME, on_welcome, BEFORE_WELCOME},
    {DFS__ENVELOPE__BODY_PING, on_ping, BEFORE_WELCOME},
    {DFS__ENVELOPE__BODY_DIRECTORY, on_directory, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_CHANGES_ACK, on_changes_ack, 0},
    {DFS__ENVELOPE__BODY_SEND_ORDER, on_send, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_CANCEL_ORDER, on_cancel, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_YIELD_ORDER, on_yield, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_REPLICATE, on_replicate, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_VERIFY_ORDER, on_verify, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_DROP_ORDER, on_drop, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_SCRUB_ORDER, on_scrub, NEEDS_EPOCH},
    {DFS__ENVELOPE__BODY_CREDIT, on_credit, 0},
    {DFS__ENVELOPE__BODY_REFUSED, on_refused, 0},
};

/* An order of a leader that is not one any more. The asker hears so. */
static int check_epoch (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                        dfs_error_t *err)
{
    int rc = env->epoch
                 ? epoch_see (self->config.epoch, env->epoch->incarnation,
                              env->epoch->term, err)
                 : epoch_see (self->config.epoch, peer->incarnation, peer->term, err);
    uint64_t order;
    if (rc == DFS_OK)
        return rc;
    if (env->body_case == DFS__ENVELOPE__BODY_REPLICATE)
        order = env->replicate->order;
    else if (env->body_case == DFS__ENVELOPE__BODY_VERIFY_ORDER)
        order = env->verify_order->order;
    else if (env->body_case == DFS__ENVELOPE__BODY_DROP_ORDER)
        order = env->drop_order->order;
    else
        return rc; /* nobody waits for it */
    notes_order (self->config.notes, peer->index, order, env->trace, rc, err->text);
    return rc;
}

static int dispatch (broker_link_t *self, peer_t *peer, const Dfs__Envelope *env,
                     dfs_error_t *err)
{
    if (env->status && env->status->code < 0) {
        char text[256];
        log_warn (
            "broker_says", "peer=%s err=%d text=%s", peer->node->name,
            env->status->code,
            log_quote (text, sizeof text, env->status->text ? env->status->text : ""));
        /* "Say hello first", "not ready yet" pass; a refusal stays for a while. */
        bool passes = env->status->code == DFS_ESTALE ||
                      env->status->code == DFS_EUNAVAIL ||
                      env->status->code == DFS_EAGAIN;
        uint64_t at = self->now + (passes ? HELLO_SOON_NS : HELLO_LATER_NS);
        if (!peer->hello_at || !passes || at < peer->hello_at)
            peer->hello_at = at;
        return DFS_OK;
    }
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (handlers[i].type != env->body_case)
            continue;
        if (!peer->welcomed && !(handlers[i].flags & BEFORE_WELCOME))
            return fail (err, DFS_EPROTO, "message before the welcome");
        if (handlers[i].flags & NEEDS_EPOCH) {
            int rc = check_epoch (self, peer, env, err);
            if (rc < 0)
                return rc;
        }
        return handlers[i].handler (self, peer, env, err);
    }
    return fail (err, DFS_EPROTO, "message that no broker sends");
}

void peer_receive (broker_link_t *self, peer_t *peer)
{
    for (int i = 0; i < BURST && peer->dealer; i++) {
        dfs_error_t err = {0};
        envelope_from_t from;
        Dfs__Envelope *env;
        arena_reset (self->arena);
        int rc =
            envelope_recv (peer->dealer, false, false, self->arena, &from, &env, &err);
        if (rc == 0)
            return;
        if (rc > 0)
            rc = dispatch (self, peer, env, &err);
        if (rc < 0) {
            char text[256];
            log_warn ("message_refused", "peer=%s type=%d err=%d text=%s",
                      peer->node->name, env ? (int)env->body_case : 0, rc,
                      log_quote (text, sizeof text, err.text));
        }
    }
}

void peer_listen (broker_link_t *self, peer_t *peer)
{
    for (int i = 0; i < BURST && peer->listen; i++) {
        dfs_error_t err = {0};
        envelope_from_t from;
        Dfs__Envelope *env;
        arena_reset (self->arena);
        int rc =
            envelope_recv (peer->listen, false, true, self->arena, &from, &env, &err);
        if (rc == 0)
            return;
        if (rc < 0 || env->body_case != DFS__ENVELOPE__BODY_ANNOUNCEMENT)
            continue;
        const Dfs__Announcement *a = env->announcement;
        if (read_epoch (self, peer, a->epoch, a->leader, &err) < 0 || peer->stale)
            continue;
        if (a->leader && strcmp (a->leader, self->leader) != 0) {
            set_leader (self, peer, a->leader);
            choose_session (self, directory_self (self->config.directory));
        }
        if (a->has_log_time_ns)
            directory_set_log_time (self->config.directory, a->log_time_ns, self->now);
    }
}
