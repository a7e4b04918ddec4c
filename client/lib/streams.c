/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/streams.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/resolve.h"

#define STREAMS    256
#define RESOLVE_MS 2000

typedef struct stream {
    uint32_t worker; /* 0: free */
    char host[128];  /* as it was named */
    uint16_t port;
    char endpoint[160];
} stream_t;

struct streams {
    void *ctx;
    const sock_identity_t *id;
    void *pull; /* made with the first stream */
    void *monitor;
    stream_t streams[STREAMS];
};

streams_t *streams_new (void *ctx, const sock_identity_t *id)
{
    streams_t *self = calloc (1, sizeof *self);
    assert (self);
    self->ctx = ctx;
    self->id = id;
    return self;
}

void streams_destroy (streams_t **self_p)
{
    streams_t *self = *self_p;

    if (!self)
        return;
    if (self->monitor)
        sock_monitor_close (self->pull, &self->monitor);
    sock_close (&self->pull);
    free (self);
    *self_p = NULL;
}

static int make_pull (streams_t *self, dfs_error_t *err)
{
    self->pull = sock_new (self->ctx, SOCK_STREAM_CLIENT, self->id, NULL, err);
    if (!self->pull)
        return err ? err->code : DFS_ESYS;
    self->monitor = sock_monitor (
        self->ctx, self->pull,
        ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED |
            ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
            ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL,
        err);
    if (!self->monitor) {
        sock_close (&self->pull);
        return DFS_ESYS;
    }
    return 0;
}

/* As it is named: no name server is asked for what is connected. */
static bool is_open (const stream_t *stream, const Dfs__Worker *worker)
{
    return stream->worker == worker->id && stream->port == worker->port &&
           strcmp (stream->host, worker->host) == 0;
}

int streams_open (streams_t *self, const Dfs__Worker *worker, dfs_error_t *err)
{
    char host[128], endpoint[160];
    stream_t *at = NULL;

    if (worker->id == 0 || worker->port == 0 || worker->port > 65535)
        return fail (err, DFS_EPROTO, "stream of worker %u has no port", worker->id);
    if (self->id->secure && (!worker->has_key || worker->key.len != 32))
        return fail (err, DFS_EPROTO, "stream of worker %u has no key", worker->id);
    for (size_t i = 0; i < STREAMS; i++)
        if (is_open (&self->streams[i], worker))
            return 0;
    int rc = resolve_host (worker->host, host, sizeof host, RESOLVE_MS, err);
    if (rc == 0 && !self->pull)
        rc = make_pull (self, err);
    if (rc < 0)
        return rc;
    snprintf (endpoint, sizeof endpoint, "tcp://%s:%u", host, worker->port);
    for (size_t i = 0; i < STREAMS; i++) {
        if (self->streams[i].worker == 0) {
            if (!at)
                at = &self->streams[i];
        } else if (strcmp (self->streams[i].endpoint, endpoint) == 0)
            return 0;
    }
    if (!at)
        return fail (err, DFS_EAGAIN, "streams of more than %d workers", STREAMS);
    rc = sock_connect (self->pull, self->id, host, (uint16_t)worker->port,
                       self->id->secure ? worker->key.data : NULL, err);
    if (rc < 0)
        return rc;
    at->worker = worker->id;
    at->port = (uint16_t)worker->port;
    snprintf (at->host, sizeof at->host, "%s", worker->host);
    snprintf (at->endpoint, sizeof at->endpoint, "%s", endpoint);
    return 0;
}

int streams_recv (streams_t *self, frame_t *frame, zmq_msg_t *bytes, dfs_error_t *err)
{
    zmq_msg_t head, rest;
    int rc = 0;

    if (!self->pull)
        return 0;
    zmq_msg_init (&head);
    if (zmq_msg_recv (&head, self->pull, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (&head);
        return errno == EAGAIN || errno == EINTR
                   ? 0
                   : fail (err, DFS_EINTERNAL, "%s", zmq_strerror (errno));
    }
    bool more = zmq_msg_more (&head);
    rc = frame_unpack (zmq_msg_data (&head), zmq_msg_size (&head), frame, err);
    zmq_msg_close (&head);
    if (more) {
        if (zmq_msg_recv (bytes, self->pull, ZMQ_DONTWAIT) < 0)
            return fail (err, DFS_EPROTO, "frame without bytes");
        more = zmq_msg_more (bytes);
    }
    while (more) {
        rc = fail (err, DFS_EPROTO, "frame of too many parts");
        zmq_msg_init (&rest);
        if (zmq_msg_recv (&rest, self->pull, ZMQ_DONTWAIT) < 0)
            break;
        more = zmq_msg_more (&rest);
        zmq_msg_close (&rest);
    }
    if (rc < 0)
        return DFS_EPROTO;
    if (frame->kind == FRAME_DATA && zmq_msg_size (bytes) != frame->length)
        return fail (err, DFS_EPROTO, "frame with %zu bytes instead of %u",
                     zmq_msg_size (bytes), frame->length);
    return 1;
}

uint32_t streams_ended (streams_t *self)
{
    sock_event_t event;

    while (self->monitor && sock_monitor_read (self->monitor, &event) == 1)
        for (size_t i = 0; i < STREAMS; i++) {
            stream_t *stream = &self->streams[i];
            if (stream->worker == 0 || strcmp (stream->endpoint, event.endpoint) != 0)
                continue;
            uint32_t worker = stream->worker;
            zmq_disconnect (self->pull, stream->endpoint);
            stream->worker = 0;
            return worker;
        }
    return 0;
}

int streams_poll (streams_t *self, bool reading, zmq_pollitem_t *items)
{
    int n = 0;

    if (!self->pull)
        return 0;
    if (reading)
        items[n++] = (zmq_pollitem_t){.socket = self->pull, .events = ZMQ_POLLIN};
    items[n++] = (zmq_pollitem_t){.socket = self->monitor, .events = ZMQ_POLLIN};
    return n;
}
