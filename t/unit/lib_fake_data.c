/* SPDX-License-Identifier: MPL-2.0 */
/* The workers' half of the fake cluster. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/error.h"
#include "lib_fake.h"
#include "msgs/check.h"
#include "msgs/sock.h"

static void notify (fake_t *self, fake_chunk_t *chunk, int code, bool refused,
                    uint64_t consumed)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__CopyKey key;
    Dfs__DurableItem item = DFS__DURABLE_ITEM__INIT, *items[1] = {&item};
    Dfs__Durable durable = DFS__DURABLE__INIT;
    Dfs__Refused refusal = DFS__REFUSED__INIT;
    Dfs__Credit credit = DFS__CREDIT__INIT;

    check_put_copykey (&chunk->key, &key);
    if (consumed > 0) {
        credit.session = self->session;
        credit.key = &key;
        credit.consumed = consumed;
        env.body_case = DFS__ENVELOPE__BODY_CREDIT;
        env.credit = &credit;
    } else if (refused) {
        refusal.session = self->session;
        refusal.key = &key;
        refusal.code = code;
        refusal.has_worker = true;
        refusal.worker = chunk->worker;
        env.body_case = DFS__ENVELOPE__BODY_REFUSED;
        env.refused = &refusal;
    } else {
        item.upload = chunk->upload;
        item.key = &key;
        item.copies = 1;
        item.has_code = true;
        item.code = code;
        durable.items = items;
        durable.n_items = 1;
        env.body_case = DFS__ENVELOPE__BODY_DURABLE;
        env.durable = &durable;
    }
    fake_send (self, &env);
}

static bool take (atomic_uint *knob)
{
    unsigned n = atomic_load (knob);
    return n > 0 && atomic_compare_exchange_strong (knob, &n, n - 1);
}

static void take_frame (fake_t *self, const frame_t *frame, const uint8_t *data)
{
    fake_chunk_t *chunk = fake_chunk (self, frame->key.digest, false);
    uint8_t digest[32];

    assert (chunk && frame->session == self->session);
    assert (frame->stored_len == chunk->length && frame->true_len == chunk->length);
    assert (frame_check (frame, data, frame->length, NULL) == 0);
    if (chunk->whole)
        return; /* sent again after a reconnection */
    if (frame->offset == 0) {
        assert (frame->grant_len == 16);
        free (chunk->bytes);
        chunk->bytes = malloc (chunk->length);
        chunk->crcs = realloc (chunk->crcs, (chunk->length / DIGEST_BLOCK + 1) * 4);
        chunk->got = 0;
    }
    if (!chunk->bytes || frame->offset != chunk->got)
        return;
    if (self->knobs.credit > 0 && chunk->length > self->knobs.credit &&
        !(frame->flags & FRAME_CREDIT))
        self->counts.credit_violations++;
    memcpy (chunk->bytes + frame->offset, data, frame->length);
    memcpy (chunk->crcs + frame->offset / DIGEST_BLOCK, frame->crcs, 4 * frame->n_crcs);
    chunk->got += frame->length;
    assert (((frame->flags & FRAME_LAST) != 0) == (chunk->got == chunk->length));
    if (chunk->got < chunk->length) {
        if (self->knobs.credit > 0)
            notify (self, chunk, 0, false, chunk->got);
        return;
    }
    digest_sha256 (chunk->bytes, chunk->length, digest);
    assert (memcmp (digest, chunk->key.digest, 32) == 0);
    if (take (&self->knobs.refuse_chunk))
        notify (self, chunk, DFS_ENOSPC, true, 0);
    else if (take (&self->knobs.lose_durable)) {
        chunk->late = true;
        notify (self, chunk, DFS_EAGAIN, false, 0);
    } else {
        chunk->whole = true;
        notify (self, chunk, 0, false, 0);
    }
}

void fake_ingest (fake_t *self, int worker)
{
    for (;;) {
        zmq_msg_t head, bytes;
        frame_t frame;
        zmq_msg_init (&head);
        zmq_msg_init (&bytes);
        if (zmq_msg_recv (&head, self->ingest[worker], ZMQ_DONTWAIT) < 0)
            return;
        assert (zmq_msg_more (&head));
        assert (zmq_msg_recv (&bytes, self->ingest[worker], 0) >= 0);
        assert (frame_unpack (zmq_msg_data (&head), zmq_msg_size (&head), &frame,
                              NULL) == 0);
        self->counts.frames_in++;
        self->counts.bytes_in += frame.length;
        take_frame (self, &frame, zmq_msg_data (&bytes));
        zmq_msg_close (&head);
        zmq_msg_close (&bytes);
    }
}

/* --- streams --- */

static void open_stream (fake_t *self, int w)
{
    dfs_error_t err;
    int none = 0;

    self->stream[w] = sock_new (self->ctx, SOCK_STREAM, NULL, NULL, &err);
    zmq_setsockopt (self->stream[w], ZMQ_SNDHWM, &none, sizeof none);
    int rc = sock_bind (self->stream[w], "127.0.0.1", 0, &self->stream_port[w], &err);
    assert (rc == 0);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__StreamReady body = DFS__STREAM_READY__INIT;
    Dfs__Worker worker = DFS__WORKER__INIT;
    char name[] = "w", host[] = "127.0.0.1";
    worker.id = (uint32_t)w + 1;
    worker.name = name;
    worker.host = host;
    worker.port = self->stream_port[w];
    body.session = self->session;
    body.worker = &worker;
    env.body_case = DFS__ENVELOPE__BODY_STREAM_READY;
    env.stream_ready = &body;
    fake_send (self, &env);
    /* a PUSH takes nothing before somebody is connected */
    zmq_pollitem_t item = {.socket = self->stream[w], .events = ZMQ_POLLOUT};
    zmq_poll (&item, 1, 2000);
}

static void push (void *sock, const frame_t *frame, const uint8_t *data)
{
    uint8_t head[FRAME_HEADER_MAX];
    size_t len = frame_pack (frame, head);
    if (zmq_send (sock, head, len, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return; /* the client is gone */
    zmq_send (sock, data, frame->length, ZMQ_DONTWAIT);
}

static void send_piece (fake_t *self, int w, uint64_t id, const fake_chunk_t *chunk,
                        uint64_t offset, uint64_t length)
{
    uint64_t size = self->knobs.frame_size ? self->knobs.frame_size : FRAME_MAX;
    size_t n = (length + size - 1) / size;
    unsigned bit = 1u << w;

    if (self->knobs.silent & bit)
        return;
    for (size_t i = 0; i < n; i++) {
        uint64_t at = offset + (self->knobs.reverse ? n - 1 - i : i) * size;
        frame_t frame = {.kind = FRAME_DATA,
                         .session = self->session,
                         .seq = id,
                         .key = chunk->key,
                         .offset = at,
                         .true_len = chunk->length,
                         .stored_len = chunk->length};
        uint64_t left = offset + length - at;
        frame.length = (uint32_t)(left < size ? left : size);
        frame.flags = at + frame.length == offset + length ? FRAME_LAST : 0;
        if (self->knobs.refuse & bit) {
            frame.kind = FRAME_REFUSE;
            frame.code = DFS_EDAMAGED;
            frame.length = 0;
            push (self->stream[w], &frame, chunk->bytes);
            return;
        }
        frame.n_crcs = (frame.length + DIGEST_BLOCK - 1) / DIGEST_BLOCK;
        memcpy (frame.crcs, chunk->crcs + at / DIGEST_BLOCK, 4 * frame.n_crcs);
        uint8_t *copy = malloc (frame.length);
        memcpy (copy, chunk->bytes + at, frame.length);
        if (self->knobs.damage & bit)
            copy[frame.length / 2] ^= 1;
        push (self->stream[w], &frame, copy);
        if (self->knobs.twice)
            push (self->stream[w], &frame, copy);
        free (copy);
    }
}

static uint32_t pick (fake_t *self, const Dfs__Piece *piece)
{
    for (unsigned i = 0; i < FAKE_WORKERS; i++) {
        uint32_t worker = 1 + (self->turn + i) % FAKE_WORKERS;
        bool bad = false;
        for (size_t k = 0; k < piece->n_avoid; k++)
            bad = bad || piece->avoid[k] == worker;
        if (!bad) {
            self->turn += i + 1;
            return worker;
        }
    }
    return 0;
}

static const fake_chunk_t *chunk_of (fake_t *self, const Dfs__Fetch *ask,
                                     const Dfs__Piece *piece)
{
    const ProtobufCBinaryData *handle = &ask->handles[piece->handle];
    const fake_file_t *file = fake_file (self, handle->data, handle->len);

    assert (file);
    for (size_t i = 0; i < file->n; i++)
        if (file->extents[i].offset == piece->extent_offset)
            return fake_chunk (self, file->extents[i].digest, false);
    assert (!"no such extent");
    return NULL;
}

void fake_fetch (fake_t *self, const Dfs__Envelope *asked)
{
    const Dfs__Fetch *ask = asked->fetch;
    Dfs__Envelope env;
    Dfs__Fetching body = DFS__FETCHING__INIT;
    Dfs__FetchingPiece pieces[256], *list[256];

    self->counts.fetches++;
    for (size_t i = 0; i < ask->n_pieces; i++) {
        dfs__fetching_piece__init (list[i] = &pieces[i]);
        pieces[i].piece = ask->pieces[i]->piece;
        self->counts.seconds += ask->pieces[i]->has_second && ask->pieces[i]->second;
        pieces[i].worker = pick (self, ask->pieces[i]);
        pieces[i].has_code = pieces[i].worker == 0;
        pieces[i].code = DFS_EUNAVAIL;
    }
    envelope_answer (&env, asked);
    body.pieces = list;
    body.n_pieces = ask->n_pieces;
    env.body_case = DFS__ENVELOPE__BODY_FETCHING;
    env.fetching = &body;
    fake_send (self, &env);
    for (size_t i = 0; i < ask->n_pieces; i++) {
        const Dfs__Piece *piece = ask->pieces[i];
        int w = (int)pieces[i].worker - 1;
        if (w < 0)
            continue;
        if (!self->stream[w])
            open_stream (self, w);
        send_piece (self, w, piece->piece, chunk_of (self, ask, piece), piece->offset,
                    piece->length);
        unsigned limit = self->knobs.hang_up;
        if (w == 0 && limit && ++self->served[w] % limit == 0)
            sock_close (&self->stream[w]); /* what is queued is lost */
    }
}
