/* SPDX-License-Identifier: MPL-2.0 */
/* The rig as a client of its workers. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/units.h"
#include "msgs/keys.h"
#include "t/unit/worker_rig_private.h"

static const uint32_t both[] = {1, 2};

uint8_t *rig_chunk (size_t len, unsigned seed, copykey_t *key)
{
    uint8_t *data = malloc (len);
    assert (data);
    uint64_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(x >> 56);
    }
    memset (key, 0, sizeof *key);
    digest_sha256 (data, len, key->digest);
    return data;
}

grant_t rig_grant (rig_t *self, const copykey_t *key, uint64_t len, uint32_t n,
                   const uint32_t *targets)
{
    grant_t g = {.key_id = 9,
                 .upload = 77,
                 .key = *key,
                 .length = len,
                 .birth = 100,
                 .expiry_ns = 5000 * SEC,
                 .incarnation = 1,
                 .term = self->term,
                 .n_targets = n};
    memcpy (g.targets, targets, n * sizeof *targets);
    if (self->secure)
        memcpy (g.client_key, self->client.keys.public_key, 32);
    return g;
}

static void *keep (rig_t *self, void *socket)
{
    size_t i = 0;
    while (i < RIG_SOCKETS && self->sockets[i])
        i++;
    assert (i < RIG_SOCKETS);
    return self->sockets[i] = socket;
}

void rig_close (rig_t *self, void **socket_p)
{
    for (size_t i = 0; i < RIG_SOCKETS; i++)
        if (self->sockets[i] == *socket_p)
            self->sockets[i] = NULL;
    sock_close (socket_p);
}

static const uint8_t *server_key (rig_t *self, int i, keypair_t *pair)
{
    dfs_error_t err = {0};
    if (!self->secure)
        return NULL;
    rig_must (keys_load_public (self->cluster->keys_dir, "worker",
                                self->cluster->workers[i].name, pair, &err),
              &err);
    return pair->public_key;
}

void *rig_push (rig_t *self, const sock_identity_t *id, int i)
{
    dfs_error_t err = {0};
    keypair_t pair;
    void *push = sock_new (self->ctx, SOCK_FORWARD, id, NULL, &err);
    rig_must (sock_connect (push, id, "127.0.0.1", rig_port (self, i),
                            server_key (self, i, &pair), &err),
              &err);
    return keep (self, push);
}

/* Waits for room, playing the broker meanwhile. */
static void send_part (rig_t *self, void *push, const void *data, size_t len, int flags)
{
    uint64_t deadline = clock_mono () + 10 * SEC;
    while (zmq_send (push, data, len, flags | ZMQ_DONTWAIT) < 0) {
        assert_true (clock_mono () < deadline);
        rig_pump (self, 5);
    }
}

void rig_send (rig_t *self, void *push, const grant_t *grant, const uint8_t *data,
               size_t len, const upload_t *how)
{
    size_t step = how->frame ? how->frame : FRAME_MAX;
    size_t n = 0;
    uint8_t *copy = malloc (step);
    assert (copy);
    for (size_t at = 0; at < len; at += step, n++) {
        if (how->frames && n == how->frames)
            break;
        size_t part = len - at < step ? len - at : step;
        memcpy (copy, data + at, part);
        frame_t f = {.kind = FRAME_DATA,
                     .flags = how->flags,
                     .hop = how->hop,
                     .session = how->session,
                     .seq = n,
                     .trace = 0xabc,
                     .key = grant->key,
                     .offset = at,
                     .length = (uint32_t)part,
                     .true_len = len,
                     .stored_len = len};
        f.n_crcs = (uint32_t)digest_blocks (copy, part, f.crcs);
        if (at + part == len)
            f.flags |= FRAME_LAST;
        if (at == 0) {
            uint8_t key[32];
            memcpy (key, self->hmac, sizeof key);
            key[0] ^= how->forge;
            f.grant_len = (uint32_t)grant_pack (grant, key, f.grant);
        }
        if (how->flip && (size_t)how->flip - 1 >= at &&
            (size_t)how->flip - 1 < at + part)
            copy[(size_t)how->flip - 1 - at] ^= 1;
        uint8_t header[FRAME_HEADER_MAX];
        size_t header_len = frame_pack (&f, header);
        send_part (self, push, header, header_len, ZMQ_SNDMORE);
        send_part (self, push, copy, part, 0);
    }
    free (copy);
}

copykey_t rig_store (rig_t *self, size_t len, unsigned seed, uint32_t n)
{
    copykey_t key;
    uint8_t *data = rig_chunk (len, seed, &key);
    grant_t grant = rig_grant (self, &key, len, n, both);
    void *push = rig_push (self, &self->client, 0);
    rig_send (self, push, &grant, data, len, &(upload_t){.session = CLIENT});
    const seen_t *s = rig_wait (self, CHANGES, 0, &key);
    assert_int_equal (s->kind, STORED);
    assert_int_equal (s->birth, 100);
    assert_int_equal (s->upload, 77);
    rig_close (self, &push);
    free (data);
    return key;
}

void *rig_pull (rig_t *self, const sock_identity_t *id, int worker, uint16_t port)
{
    dfs_error_t err = {0};
    keypair_t pair;
    void *pull = sock_new (self->ctx, SOCK_STREAM_CLIENT, id, NULL, &err);
    rig_must (sock_connect (pull, id, "127.0.0.1", port,
                            server_key (self, worker, &pair), &err),
              &err);
    return keep (self, pull);
}

int rig_recv (rig_t *self, void *pull, int ms, frame_t *frame, uint8_t **data)
{
    zmq_pollitem_t item = {.socket = pull, .events = ZMQ_POLLIN};
    uint64_t deadline = clock_mono () + (uint64_t)ms * MS;
    while (zmq_poll (&item, 1, 5) == 0) {
        rig_pump (self, 0);
        if (clock_mono () >= deadline)
            return 0;
    }
    zmq_msg_t header, body;
    dfs_error_t err = {0};
    zmq_msg_init (&header);
    zmq_msg_init (&body);
    assert_true (zmq_msg_recv (&header, pull, 0) > 0 && zmq_msg_more (&header));
    assert_true (zmq_msg_recv (&body, pull, 0) >= 0 && !zmq_msg_more (&body));
    rig_must (
        frame_unpack (zmq_msg_data (&header), zmq_msg_size (&header), frame, &err),
        &err);
    if (frame->kind == FRAME_DATA)
        rig_must (frame_check (frame, zmq_msg_data (&body), zmq_msg_size (&body), &err),
                  &err);
    size_t len = zmq_msg_size (&body);
    *data = malloc (len + 1);
    assert (*data);
    memcpy (*data, zmq_msg_data (&body), len);
    zmq_msg_close (&header);
    zmq_msg_close (&body);
    return 1;
}

void rig_expect (rig_t *self, void *pull, uint64_t piece, size_t len, unsigned seed,
                 size_t from, size_t to)
{
    copykey_t key;
    uint8_t *want = rig_chunk (len, seed, &key);
    size_t at = from;
    for (bool last = false; !last;) {
        frame_t f;
        uint8_t *data;
        assert_int_equal (rig_recv (self, pull, 10000, &f, &data), 1);
        assert_int_equal (f.kind, FRAME_DATA);
        assert_int_equal (f.seq, piece);
        assert_int_equal (f.offset, at);
        assert_int_equal (f.true_len, len);
        assert_int_equal (copykey_cmp (&f.key, &key), 0);
        assert_memory_equal (data, want + at, f.length);
        at += f.length;
        last = f.flags & FRAME_LAST;
        free (data);
    }
    assert_int_equal (at, to);
    free (want);
}

void *rig_stream (rig_t *self, int worker, uint64_t session)
{
    const seen_t *s = rig_wait (self, STREAM_READY, worker, NULL);
    assert_int_equal (s->session, session);
    return rig_pull (self, &self->client, worker, s->port);
}
