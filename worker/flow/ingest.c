/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/knock.h"
#include "worker/flow/ingest.h"
#include "worker/links/actor.h"

enum {
    BURST = 64,                    /* messages …           */
    BURST_BYTES = 8 * 1024 * 1024, /* … or bytes per wake-up */
    TICK_MS = 1000,
};

struct ingest {
    ingest_config_t config;
    void *socket;
    void *monitor;
    knock_t knock;
    uint16_t port;
    assemble_t *assemble;
    actor_t *actor;
    uint64_t next_expire;
    atomic_uint_least64_t bytes;
    atomic_uint_least64_t garbage;
};

/* Logged at powers of two: a flood of garbage must not become a flood of lines. */
static void note_garbage (ingest_t *self, zmq_msg_t *msg, const char *why)
{
    uint64_t n = atomic_fetch_add (&self->garbage, 1) + 1;
    if ((n & (n - 1)) != 0)
        return;
    const char *peer = zmq_msg_gets (msg, "Peer-Address");
    char quoted_peer[128], quoted_why[256];
    log_warn ("ingest_garbage", "peer=%s n=%llu text=%s",
              log_quote (quoted_peer, sizeof quoted_peer, peer ? peer : "?"),
              (unsigned long long)n, log_quote (quoted_why, sizeof quoted_why, why));
}

static void sender_of (zmq_msg_t *msg, sender_t *sender)
{
    sender->fd = zmq_msg_get (msg, ZMQ_SRCFD);
    sender->has_key = zap_message_key (msg, sender->key) == 0;
}

/* HEADER was received and has more parts. */
static void take_message (ingest_t *self, zmq_msg_t *header, size_t *bytes,
                          uint64_t now)
{
    zmq_msg_t body;
    zmq_msg_init (&body);
    bool extra = false;
    if (zmq_msg_recv (&body, self->socket, ZMQ_DONTWAIT) < 0)
        goto out;
    while (zmq_msg_more (&body)) {
        extra = true;
        if (zmq_msg_recv (&body, self->socket, ZMQ_DONTWAIT) < 0)
            goto out;
    }
    dfs_error_t err = {0};
    frame_t frame;
    int rc = frame_unpack (zmq_msg_data (header), zmq_msg_size (header), &frame, &err);
    if (rc == DFS_OK && (extra || frame.kind != FRAME_DATA))
        rc = fail (&err, DFS_EPROTO, "not a data frame of two parts");
    if (rc < 0) {
        note_garbage (self, header, err.text);
        goto out;
    }
    sender_t sender;
    sender_of (header, &sender);
    *bytes += zmq_msg_size (&body);
    assemble_frame (self->assemble, &frame, &sender, &body, now);
out:
    zmq_msg_close (&body);
}

static void drain (ingest_t *self, uint64_t now)
{
    size_t bytes = 0;
    for (int i = 0; i < BURST && bytes < BURST_BYTES; i++) {
        zmq_msg_t header;
        zmq_msg_init (&header);
        if (zmq_msg_recv (&header, self->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&header);
            break;
        }
        if (zmq_msg_more (&header))
            take_message (self, &header, &bytes, now);
        else
            note_garbage (self, &header, "message of one part");
        zmq_msg_close (&header);
    }
    atomic_fetch_add (&self->bytes, bytes);
    assemble_flush (self->assemble);
}

static void run (void *pipe, void *arg)
{
    ingest_t *self = arg;
    zmq_pollitem_t items[] = {
        {.socket = pipe, .events = ZMQ_POLLIN},
        {.socket = self->monitor, .events = ZMQ_POLLIN},
        {.socket = self->socket, .events = ZMQ_POLLIN},
    };
    for (;;) {
        int rc = zmq_poll (items, 3, TICK_MS);
        if ((rc < 0 && errno != EINTR) || (rc > 0 && items[0].revents))
            break;
        uint64_t now = clock_mono ();
        sock_event_t event;
        while (sock_monitor_read (self->monitor, &event)) {
            knock_event (&self->knock, "ingest", &event, now);
            if (event.event == ZMQ_EVENT_DISCONNECTED)
                assemble_lost (self->assemble, event.value, now);
        }
        if (rc > 0 && items[2].revents)
            drain (self, now);
        if (now >= self->next_expire) {
            assemble_expire (self->assemble, now);
            self->next_expire = now + TICK_MS * MS;
        }
    }
}

ingest_t *ingest_new (const ingest_config_t *config, dfs_error_t *err)
{
    ingest_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = *config;
    self->assemble = assemble_new (&config->assemble);
    self->socket = sock_new (config->ctx, SOCK_INGEST, config->identity, NULL, err);
    if (!self->socket)
        goto failed;
    self->monitor = sock_monitor (config->ctx, self->socket, KNOCK_EVENTS, err);
    if (!self->monitor ||
        sock_bind (self->socket, config->bind, config->port, &self->port, err) < 0)
        goto failed;
    self->actor = actor_new (run, self);
    if (self->actor)
        return self;
    fail (err, DFS_ESYS, "start the ingest thread");
failed:
    ingest_destroy (&self);
    return NULL;
}

void ingest_stop (ingest_t *self)
{
    actor_destroy (&self->actor);
    assemble_destroy (&self->assemble);
    if (self->monitor)
        sock_monitor_close (self->socket, &self->monitor);
    sock_close (&self->socket);
}

void ingest_destroy (ingest_t **self_p)
{
    ingest_t *self = *self_p;
    if (!self)
        return;
    ingest_stop (self);
    free (self);
    *self_p = NULL;
}

uint16_t ingest_port (const ingest_t *self)
{
    return self->port;
}

uint64_t ingest_bytes (ingest_t *self)
{
    return atomic_load (&self->bytes);
}

uint64_t ingest_garbage (ingest_t *self)
{
    return atomic_load (&self->garbage);
}
