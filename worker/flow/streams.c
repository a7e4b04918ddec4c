/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "common/units.h"
#include "msgs/frame.h"
#include "worker/flow/streams.h"
#include "worker/links/actor.h"

enum {
    SESSIONS_MAX = 4096,
    TICK_MS = 250,
    BURST = 64, /* frames between two looks at the orders */
    /* More in flight to one reader brings nothing, and buffers that come back soon are
     * still in the processor's cache. */
    SESSION_BYTES = 2 * FRAME_MAX,
};

/* 96 MiB: what all stalled readers together can hold. */
static const window_class_t classes[] = {
    {8 * 1024, 512}, {64 * 1024, 192}, {256 * 1024, 96}, {FRAME_MAX, 56}};

struct streams {
    session_config_t config;
    char *bind;
    window_t *window;
    mailbox_t *orders;
    actor_t *actor;
    bool *taken;

    session_t **sessions; /* of SESSIONS_MAX */
    size_t n;
    size_t turn;  /* whose turn is next */
    bool starved; /* somebody waits for a buffer */
    uint64_t now;
    uint64_t next_watch;
    zmq_pollitem_t *items;

    atomic_uint_least64_t bytes;
    atomic_uint_least64_t queued;
    atomic_uint sessions_now;
};

stream_order_t *stream_order_new (size_t n)
{
    stream_order_t *order = calloc (1, sizeof *order + n * sizeof *order->pieces);
    assert (order);
    order->n = n;
    return order;
}

static session_t *find (streams_t *self, uint64_t id)
{
    for (size_t i = 0; i < self->n; i++)
        if (session_id (self->sessions[i]) == id)
            return self->sessions[i];
    return NULL;
}

static void end_session (streams_t *self, size_t i, int code)
{
    session_close (&self->sessions[i], code);
    self->sessions[i] = self->sessions[--self->n];
}

static void refuse (streams_t *self, const stream_order_t *order, size_t from, int code)
{
    note_t *note = note_new (NOTE_SEND_REFUSED, order->orderer);
    note->session = order->session;
    note->n = order->n - from;
    note->pieces = calloc (note->n ? note->n : 1, sizeof *note->pieces);
    assert (note->pieces);
    for (size_t i = from; i < order->n; i++)
        note->pieces[i - from] =
            (note_piece_t){.piece = order->pieces[i].piece, .code = code};
    notes_push (self->config.notes, &note);
}

static session_t *open_for (streams_t *self, const stream_order_t *order,
                            dfs_error_t *err)
{
    bool secure = self->config.identity->secure;
    if (self->n == SESSIONS_MAX) {
        fail (err, DFS_EAGAIN, "too many stream sessions");
        return NULL;
    }
    if (secure && !order->has_key) {
        fail (err, DFS_EAUTH, "order without the client's key");
        return NULL;
    }
    session_t *session =
        session_open (&self->config, order->session, secure ? order->client_key : NULL,
                      self->now, err);
    if (session)
        self->sessions[self->n++] = session;
    return session;
}

static void handle_cancel (streams_t *self, const stream_order_t *order)
{
    for (size_t i = 0; i < self->n; i++) {
        if (session_id (self->sessions[i]) != order->session)
            continue;
        for (size_t k = 0; k < order->n; k++)
            session_cancel (self->sessions[i], order->pieces[k].piece);
        if (order->n == 0)
            end_session (self, i, DFS_ECANCELED);
        return;
    }
}

/* The longest queue first. */
static void handle_yield (streams_t *self, const stream_order_t *order)
{
    uint64_t left = order->yield;
    size_t longest = 0;
    for (size_t i = 1; i < self->n; i++)
        if (session_queued (self->sessions[i]) >
            session_queued (self->sessions[longest]))
            longest = i;
    for (size_t k = 0; k < self->n && left > 0; k++) {
        session_t *session = self->sessions[(longest + k) % self->n];
        left -= session_yield (session, left, order->orderer);
    }
    log_debug ("streams_yielded", "bytes=%" PRIu64, order->yield - left);
}

static void handle_order (streams_t *self, const stream_order_t *order)
{
    if (order->yield) {
        handle_yield (self, order);
        return;
    }
    if (order->cancel) {
        handle_cancel (self, order);
        return;
    }
    dfs_error_t err = {0};
    session_t *session = find (self, order->session);
    if (!session)
        session = open_for (self, order, &err);
    if (!session) {
        log_warn ("stream_refused", "session=%016" PRIx64 " err=%d text=\"%s\"",
                  order->session, err.code, err.text);
        refuse (self, order, 0, err.code);
        return;
    }
    size_t i = 0;
    int rc = DFS_OK;
    for (; i < order->n && rc == DFS_OK; i++)
        rc = session_queue (session, &order->pieces[i], order->orderer, self->now);
    if (rc < 0)
        refuse (self, order, i - 1, rc);
    session_announce (session, self->now);
}

static void take_orders (streams_t *self)
{
    stream_order_t *order;
    for (int i = 0; i < BURST && (order = mailbox_pop (self->orders)); i++) {
        handle_order (self, order);
        free (order);
    }
}

/* Frames get smaller with the number of readers: each connection also has one encrypted
 * frame of its own on the way, outside the window. */
static size_t frame_limit (size_t active)
{
    return active <= 24 ? FRAME_MAX : active <= 96 ? FRAME_MAX / 4 : FRAME_MAX / 16;
}

/* So much may be in flight to each of them: many readers that stall one after the other
 * shall not have all of the window. */
static size_t share_of (size_t active)
{
    return active <= 8    ? SESSION_BYTES
           : active <= 24 ? SESSION_BYTES / 2
           : active <= 96 ? SESSION_BYTES / 4
                          : SESSION_BYTES / 8;
}

/* Sends in turns until nobody can go on or BURST frames went out; true in the latter
 * case. FULL[i] tells which sockets to poll. */
static bool pump (streams_t *self, bool *full)
{
    size_t active = 0;
    for (size_t i = 0; i < self->n; i++)
        active += session_active (self->sessions[i]);
    size_t limit = frame_limit (active);
    size_t share = window_size (self->window) / (active ? active : 1);
    if (share > share_of (active))
        share = share_of (active);
    if (share < limit)
        share = limit;
    int sent = 0;
    bool any = true;
    memset (full, 0, self->n * sizeof *full);
    while (any && sent < BURST) {
        any = false;
        for (size_t k = 0; k < self->n; k++) {
            size_t i = (self->turn + k) % self->n;
            size_t bytes;
            enum session_result result =
                session_send (self->sessions[i], limit, share, self->now, &bytes);
            full[i] = result == SESSION_FULL;
            self->starved |= result == SESSION_NO_ROOM;
            if (result != SESSION_SENT)
                continue;
            any = true;
            sent++;
            atomic_fetch_add (&self->bytes, bytes);
        }
    }
    if (self->n)
        self->turn = (self->turn + 1) % self->n;
    return any;
}

static void watch (streams_t *self)
{
    uint64_t queued = 0;
    for (size_t i = self->n; i > 0; i--) {
        session_t *session = self->sessions[i - 1];
        int code = session_watch (session, self->now);
        if (code < 0) {
            if (code == DFS_ETIMEOUT)
                log_info ("stream_stalled", "session=%016" PRIx64,
                          session_id (session));
            end_session (self, i - 1, code);
        } else
            queued += session_queued (session);
    }
    atomic_store (&self->queued, queued);
    atomic_store (&self->sessions_now, (unsigned)self->n);
    self->next_watch = self->now + TICK_MS * MS;
}

/* Waits for orders, buffers, room in a socket or news of a connection; -1 when the
 * actor is to end. */
static int wait_work (streams_t *self, void *pipe, const bool *full, bool busy)
{
    zmq_pollitem_t *items = self->items;
    size_t n = 0;
    items[n++] = (zmq_pollitem_t){.socket = pipe, .events = ZMQ_POLLIN};
    items[n++] =
        (zmq_pollitem_t){.fd = mailbox_fd (self->orders), .events = ZMQ_POLLIN};
    items[n++] = (zmq_pollitem_t){.fd = window_fd (self->window), .events = ZMQ_POLLIN};
    for (size_t i = 0; i < self->n; i++) {
        items[n++] = (zmq_pollitem_t){.socket = session_monitor (self->sessions[i]),
                                      .events = ZMQ_POLLIN};
        if (full[i])
            items[n++] = (zmq_pollitem_t){.socket = session_socket (self->sessions[i]),
                                          .events = ZMQ_POLLOUT};
    }
    int rc = zmq_poll (items, (int)n, busy ? 0 : self->n ? TICK_MS : -1);
    self->now = clock_mono ();
    if (rc < 0 && errno != EINTR)
        return -1;
    if (rc > 0 && items[0].revents)
        return -1;
    if (rc > 0 && items[2].revents)
        window_calm (self->window);
    for (size_t i = 3; rc > 0 && i < n; i++)
        if (items[i].revents && items[i].events == ZMQ_POLLIN)
            self->next_watch = 0;
    return 0;
}

static void run (void *pipe, void *arg)
{
    streams_t *self = arg;
    bool *full = calloc (SESSIONS_MAX, sizeof *full);
    self->items = calloc (2 * SESSIONS_MAX + 3, sizeof *self->items);
    assert (full && self->items);
    self->now = clock_mono ();
    bool busy = false;
    while (wait_work (self, pipe, full, busy) == 0) {
        take_orders (self);
        self->starved = false;
        busy = pump (self, full);
        if (self->starved && !busy) {
            window_arm (self->window);
            busy = pump (self, full);
        }
        if (self->now >= self->next_watch) {
            watch (self);
            /* Indices moved: look at all of them again. */
            busy = true;
            memset (full, 0, SESSIONS_MAX * sizeof *full);
        }
    }
    while (self->n)
        end_session (self, self->n - 1, DFS_EUNAVAIL);
    free (full);
    free (self->items);
}

streams_t *streams_new (const streams_config_t *config, dfs_error_t *err)
{
    streams_t *self = calloc (1, sizeof *self);
    assert (self);
    self->window = window_new (classes, sizeof classes / sizeof classes[0]);
    self->orders = mailbox_new ();
    self->bind = strdup (config->bind);
    self->taken = calloc (65536, sizeof *self->taken);
    self->sessions = calloc (SESSIONS_MAX, sizeof *self->sessions);
    assert (self->bind && self->taken && self->sessions);
    self->config = (session_config_t){.ctx = config->ctx,
                                      .identity = config->identity,
                                      .zap = config->zap,
                                      .store = config->store,
                                      .window = self->window,
                                      .notes = config->notes,
                                      .bind = self->bind,
                                      .port_lo = config->port_lo,
                                      .port_hi = config->port_hi,
                                      .taken = self->taken};
    self->actor = actor_new (run, self);
    if (!self->actor) {
        fail (err, DFS_ESYS, "start the streams thread");
        streams_destroy (&self);
    }
    return self;
}

void streams_destroy (streams_t **self_p)
{
    streams_t *self = *self_p;
    if (!self)
        return;
    actor_destroy (&self->actor);
    mailbox_destroy (&self->orders, free);
    window_destroy (&self->window);
    free (self->sessions);
    free (self->taken);
    free (self->bind);
    free (self);
    *self_p = NULL;
}

void streams_order (streams_t *self, stream_order_t **order_p)
{
    mailbox_push (self->orders, *order_p);
    *order_p = NULL;
}

void streams_stats (streams_t *self, streams_stats_t *stats)
{
    stats->bytes = atomic_load (&self->bytes);
    stats->queued = atomic_load (&self->queued);
    stats->sessions = atomic_load (&self->sessions_now);
}
