/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/control.pb-c.h"
#include "msgs/knock.h"
#include "worker/flow/send.h"
#include "worker/flow/session.h"

#define STALL_NS    (10 * SEC)  /* takes nothing for so long: closed */
#define IDLE_NS     (120 * SEC) /* nothing asked for so long: closed */
#define ANNOUNCE_NS (1 * SEC)

enum { REFUSALS = 32 }; /* fewer do not fill a socket (its mark is 64 messages) */

/* A piece is taken when its last buffer has come back. */
typedef struct flying {
    uint64_t piece;
    uint64_t last; /* number of that buffer */
} flying_t;

struct session {
    const session_config_t *config;
    uint64_t id;
    char domain[32];
    void *socket;
    void *monitor;
    knock_t knock;
    uint16_t port;
    share_t *share;
    int orderer;        /* link that asked last */
    bool connected;     /* the client was seen on the socket */
    uint64_t announced; /* when its place was told, 0 never */
    uint64_t progress;  /* when something was last taken, or asked while idle */
    uint64_t returned;  /* of the share, as last looked at */

    stream_piece_t *queue; /* ring of SESSION_PIECES, made on first use */
    size_t head;
    size_t n;
    flying_t *flying; /* ring of SESSION_PIECES: sent whole, perhaps not taken yet */
    size_t flying_head;
    size_t n_flying;
    uint64_t lent;       /* buffers had so far */
    uint64_t queued;     /* bytes asked for by the queue */
    size_t refusals;     /* the socket may hold: they lend nothing */
    uint64_t refused_at; /* buffers had when the last of them was sent */

    bool started; /* of the piece at the head */
    uint64_t started_at;
    uint64_t position;
    uint64_t end;
    store_chunk_t *chunk; /* last one read; kept for a next piece of it */
};

static int bind_stream (session_t *self, dfs_error_t *err)
{
    const session_config_t *config = self->config;
    if (config->port_lo == 0)
        return sock_bind (self->socket, config->bind, 0, &self->port, err);
    /* Each session starts elsewhere in the range, so that a port just left is not the
     * first one tried. */
    uint32_t count = (uint32_t)config->port_hi - config->port_lo + 1u;
    uint32_t first = (uint32_t)(self->id % count);
    int rc = DFS_EINUSE;
    for (uint32_t i = 0; i < count && rc == DFS_EINUSE; i++) {
        uint16_t port = (uint16_t)(config->port_lo + (first + i) % count);
        if (config->taken[port])
            continue;
        rc = sock_bind (self->socket, config->bind, port, &self->port, err);
        if (rc == DFS_OK)
            config->taken[port] = true;
    }
    if (rc == DFS_EINUSE)
        return fail (err, DFS_EINUSE, "no free port for a stream in %u-%u",
                     config->port_lo, config->port_hi);
    return rc;
}

session_t *session_open (const session_config_t *config, uint64_t id,
                         const uint8_t *client_key, uint64_t now, dfs_error_t *err)
{
    session_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = config;
    self->id = id;
    self->progress = now;
    self->share = share_new (config->window);
    snprintf (self->domain, sizeof self->domain, "stream-%016" PRIx64, id);
    if (client_key)
        zap_allow (config->zap, self->domain, client_key, DFS__ROLE__ROLE_CLIENT,
                   "stream");
    self->socket =
        sock_new (config->ctx, SOCK_STREAM, config->identity, self->domain, err);
    if (!self->socket)
        goto failed;
    self->monitor = sock_monitor (config->ctx, self->socket, KNOCK_EVENTS, err);
    if (!self->monitor || bind_stream (self, err) < 0)
        goto failed;
    log_debug ("stream_open", "session=%016" PRIx64 " port=%u", id, self->port);
    return self;
failed:
    session_close (&self, err ? err->code : DFS_ESYS);
    return NULL;
}

static stream_piece_t *piece_at (session_t *self, size_t i)
{
    return &self->queue[(self->head + i) % SESSION_PIECES];
}

static flying_t *flying_at (session_t *self, size_t i)
{
    return &self->flying[(self->flying_head + i) % SESSION_PIECES];
}

/* Forgets flying pieces that were taken. */
static void land (session_t *self)
{
    uint64_t returned = share_returned (self->share);
    while (self->n_flying && flying_at (self, 0)->last <= returned) {
        self->flying_head = (self->flying_head + 1) % SESSION_PIECES;
        self->n_flying--;
    }
}

static void refuse_all (session_t *self, int code)
{
    if (self->share)
        land (self);
    if (self->n + self->n_flying == 0)
        return;
    note_t *note = note_new (NOTE_SEND_REFUSED, self->orderer);
    note->session = self->id;
    note->pieces = calloc (self->n + self->n_flying, sizeof *note->pieces);
    assert (note->pieces);
    for (size_t i = 0; i < self->n_flying; i++)
        note->pieces[note->n++] =
            (note_piece_t){.piece = flying_at (self, i)->piece, .code = code};
    for (size_t i = 0; i < self->n; i++)
        note->pieces[note->n++] =
            (note_piece_t){.piece = piece_at (self, i)->piece, .code = code};
    notes_push (self->config->notes, &note);
}

void session_close (session_t **self_p, int code)
{
    session_t *self = *self_p;
    if (!self)
        return;
    refuse_all (self, code);
    if (self->monitor)
        sock_monitor_close (self->socket, &self->monitor);
    sock_close (&self->socket);
    if (self->config->port_lo && self->port)
        self->config->taken[self->port] = false;
    zap_forget (self->config->zap, self->domain);
    store_close_chunk (&self->chunk);
    share_close (&self->share);
    log_debug ("stream_closed", "session=%016" PRIx64 " err=%d", self->id, code);
    free (self->queue);
    free (self->flying);
    free (self);
    *self_p = NULL;
}

int session_queue (session_t *self, const stream_piece_t *piece, int orderer,
                   uint64_t now)
{
    self->orderer = orderer;
    if (self->n == SESSION_PIECES)
        return DFS_EAGAIN;
    if (!self->queue) {
        self->queue = calloc (SESSION_PIECES, sizeof *self->queue);
        self->flying = calloc (SESSION_PIECES, sizeof *self->flying);
        assert (self->queue && self->flying);
    }
    if (!session_active (self))
        self->progress = now;
    *piece_at (self, self->n++) = *piece;
    self->queued += piece->length;
    return DFS_OK;
}

static void piece_done (session_t *self)
{
    self->queued -= piece_at (self, 0)->length;
    self->head = (self->head + 1) % SESSION_PIECES;
    self->n--;
    self->started = false;
}

void session_cancel (session_t *self, uint64_t piece)
{
    for (size_t i = 0; i < self->n; i++) {
        if (piece_at (self, i)->piece != piece)
            continue;
        if (i == 0) {
            piece_done (self);
            return;
        }
        self->queued -= piece_at (self, i)->length;
        for (size_t k = i; k + 1 < self->n; k++)
            *piece_at (self, k) = *piece_at (self, k + 1);
        self->n--;
        return;
    }
}

uint64_t session_yield (session_t *self, uint64_t bytes, int orderer)
{
    uint64_t given = 0;
    size_t first = self->n, kept = 0;
    note_t *note = note_new (NOTE_YIELDED, orderer);
    note->session = self->id;
    note->yielded = calloc (self->n ? self->n : 1, sizeof *note->yielded);
    assert (note->yielded);
    for (; first > 1 && given < bytes; first--) {
        const stream_piece_t *piece = piece_at (self, first - 1);
        if (given + piece->length > bytes)
            break;
        if (piece->keep)
            continue;
        given += piece->length;
        note->yielded[note->n++] = (note_yielded_t){.piece = piece->piece,
                                                    .key = piece->key,
                                                    .offset = piece->offset,
                                                    .length = piece->length};
    }
    if (note->n == 0) {
        note_destroy (&note);
        return 0;
    }
    /* Those among them that stay close up. */
    for (size_t i = first; i < self->n; i++)
        if (piece_at (self, i)->keep)
            *piece_at (self, first + kept++) = *piece_at (self, i);
    self->n = first + kept;
    self->queued -= given;
    notes_push (self->config->notes, &note);
    return given;
}

void session_announce (session_t *self, uint64_t now)
{
    if (self->connected || (self->announced && now - self->announced < ANNOUNCE_NS))
        return;
    self->announced = now;
    note_t *note = note_new (NOTE_STREAM_READY, self->orderer);
    note->session = self->id;
    note->port = self->port;
    notes_push (self->config->notes, &note);
}

static bool writable (session_t *self)
{
    int events = 0;
    size_t len = sizeof events;
    if (zmq_getsockopt (self->socket, ZMQ_EVENTS, &events, &len) != 0)
        return false;
    if (events & ZMQ_POLLOUT)
        self->connected = true;
    return events & ZMQ_POLLOUT;
}

static enum session_result send_refusal (session_t *self, int code, uint64_t now)
{
    const stream_piece_t *piece = piece_at (self, 0);
    frame_t frame = {.kind = FRAME_REFUSE,
                     .flags = FRAME_LAST,
                     .code = code,
                     .session = self->id,
                     .seq = piece->piece,
                     .trace = piece->trace,
                     .key = piece->key};
    zmq_msg_t body;
    zmq_msg_init (&body);
    if (flow_send (self->socket, &frame, &body) < 0) {
        zmq_msg_close (&body);
        return SESSION_FULL;
    }
    char text[COPYKEY_TEXT];
    log_info ("piece_refused", "req=%016" PRIx64 " chunk=%s err=%d", piece->trace,
              copykey_text (&piece->key, text), code);
    self->progress = now;
    self->refusals++;
    self->refused_at = self->lent;
    piece_done (self);
    return SESSION_SENT;
}

/* Opens the chunk of the piece at the head and rounds its range to blocks. */
static int start_piece (session_t *self, dfs_error_t *err)
{
    const stream_piece_t *piece = piece_at (self, 0);
    if (self->chunk &&
        copykey_cmp (&store_chunk_info (self->chunk)->key, &piece->key) != 0)
        store_close_chunk (&self->chunk);
    if (!self->chunk) {
        self->chunk = store_open_chunk (self->config->store, &piece->key, err);
        if (!self->chunk)
            return err->code;
    }
    uint64_t size = store_chunk_info (self->chunk)->stored_len;
    if (piece->length == 0 || piece->offset >= size ||
        piece->length > size - piece->offset)
        return fail (err, DFS_EINVAL, "piece outside its chunk");
    uint64_t end = piece->offset + piece->length;
    self->position = piece->offset / DIGEST_BLOCK * DIGEST_BLOCK;
    self->end = (end + DIGEST_BLOCK - 1) / DIGEST_BLOCK * DIGEST_BLOCK;
    if (self->end > size)
        self->end = size;
    self->started = true;
    if (piece->trace && log_get_level () >= LOG_DEBUG) {
        char text[COPYKEY_TEXT];
        log_debug ("piece_goes", "req=%016" PRIx64 " chunk=%s length=%" PRIu64,
                   piece->trace, copykey_text (&piece->key, text),
                   (uint64_t)piece->length);
    }
    return DFS_OK;
}

/* PIECE went out whole. */
static void tell_time (session_t *self, const stream_piece_t *piece)
{
    uint64_t now = clock_mono (), wait = self->started_at - piece->queued_at;
    if (piece->traced) {
        note_step_t steps[] = {
            {DFS__TRACE_STEP__STEP_WAIT, wait, 0},
            {DFS__TRACE_STEP__STEP_SEND, now - self->started_at, piece->length}};
        notes_traced (self->config->notes, self->orderer, self->id, piece->trace, steps,
                      2);
    }
    if (piece->queued_at && log_is_slow (now - piece->queued_at)) {
        char text[COPYKEY_TEXT];
        log_warn ("slow",
                  "req=%016" PRIx64 " kind=read chunk=%s ms=%" PRIu64
                  " wait_ms=%" PRIu64,
                  piece->trace, copykey_text (&piece->key, text),
                  (uint64_t)((now - piece->queued_at) / MS), (uint64_t)(wait / MS));
    }
}

enum session_result session_send (session_t *self, size_t frame_limit, size_t share,
                                  uint64_t now, size_t *bytes)
{
    *bytes = 0;
    if (self->n == 0)
        return SESSION_IDLE;
    if (!writable (self))
        return SESSION_FULL;
    dfs_error_t err = {0};
    if (!self->started) {
        if (start_piece (self, &err) < 0)
            return send_refusal (self, err.code, now);
        self->started_at = clock_mono ();
    }
    uint64_t left = self->end - self->position;
    size_t want = left < frame_limit ? (size_t)left : frame_limit;
    size_t held = share_held (self->share);
    if (held > 0 && held + want > share)
        return SESSION_NO_ROOM;
    /* Somebody who has nothing yet gets even a small frame when memory is short. */
    size_t least = want < DIGEST_BLOCK ? want : DIGEST_BLOCK;
    lease_t *lease =
        window_take (self->config->window, self->share, want, held ? want : least);
    if (!lease)
        return SESSION_NO_ROOM;
    self->lent++;
    if (want > lease_size (lease))
        want = lease_size (lease) / DIGEST_BLOCK * DIGEST_BLOCK;

    const stream_piece_t *piece = piece_at (self, 0);
    const store_info_t *info = store_chunk_info (self->chunk);
    frame_t frame = {.kind = FRAME_DATA,
                     .encoding = info->encoding,
                     .session = self->id,
                     .seq = piece->piece,
                     .trace = piece->trace,
                     .key = piece->key,
                     .offset = self->position,
                     .length = (uint32_t)want,
                     .true_len = info->true_len,
                     .stored_len = info->stored_len};
    frame.n_crcs = (uint32_t)((want + DIGEST_BLOCK - 1) / DIGEST_BLOCK);
    if (self->position + want == self->end)
        frame.flags |= FRAME_LAST;
    if (store_read (self->chunk, self->position, lease_data (lease), want, frame.crcs,
                    true, &err) < 0) {
        lease_return (&lease);
        store_close_chunk (&self->chunk);
        self->started = false; /* the refusal may have to wait for the socket */
        return send_refusal (self, err.code, now);
    }
    zmq_msg_t body;
    lease_message (&lease, want, &body);
    if (flow_send (self->socket, &frame, &body) < 0) {
        zmq_msg_close (&body);
        return SESSION_FULL;
    }
    *bytes = want;
    /* What the socket queues is not taken yet: only buffers that come back count. */
    if (held == 0)
        self->progress = now;
    self->position += want;
    if (self->position == self->end) {
        tell_time (self, piece);
        land (self);
        if (self->n_flying < SESSION_PIECES)
            *flying_at (self, self->n_flying++) =
                (flying_t){.piece = piece->piece, .last = self->lent};
        piece_done (self);
    }
    if (self->n == 0)
        store_close_chunk (&self->chunk);
    return SESSION_SENT;
}

int session_watch (session_t *self, uint64_t now)
{
    sock_event_t event;
    /* Events only wake the thread: the connection that ended may be a stranger's, and
     * the socket may still have its pipe. */
    while (sock_monitor_read (self->monitor, &event)) {
        knock_event (&self->knock, "stream", &event, now);
        if (event.event == ZMQ_EVENT_DISCONNECTED)
            self->refusals = 0;
    }
    uint64_t returned = share_returned (self->share);
    if (returned != self->returned) {
        self->returned = returned;
        self->progress = now;
        if (returned > self->refused_at) /* what was sent after them is taken */
            self->refusals = 0;
    }
    /* Nothing waits in the socket and still it takes nothing: the client is gone. */
    bool was_connected = self->connected, empty = share_held (self->share) == 0;
    if (!writable (self) && was_connected && empty && self->refusals < REFUSALS)
        return DFS_EUNAVAIL;
    uint64_t quiet = now > self->progress ? now - self->progress : 0;
    if (session_active (self))
        return quiet > STALL_NS ? DFS_ETIMEOUT : 0;
    return quiet > IDLE_NS ? DFS_ECANCELED : 0;
}

uint64_t session_id (const session_t *self)
{
    return self->id;
}

bool session_busy (const session_t *self)
{
    return self->n > 0;
}

bool session_active (const session_t *self)
{
    return self->n > 0 || share_held (self->share) > 0;
}

void *session_socket (const session_t *self)
{
    return self->socket;
}

void *session_monitor (const session_t *self)
{
    return self->monitor;
}

uint16_t session_port (const session_t *self)
{
    return self->port;
}

uint64_t session_queued (const session_t *self)
{
    return self->queued;
}
