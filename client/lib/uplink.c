/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/uplink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/resolve.h"
#include "common/units.h"

#define RESOLVE_MS 2000
#define DIAL_NS    (15 * SEC) /* each attempt has an event before, or had no socket */

typedef struct uplink {
    uint32_t worker;
    char name[64];
    char host[128]; /* as it was named */
    uint16_t port;
    uint8_t key[32];
    void *sock; /* NULL: not connected */
    void *monitor;
    bool full; /* refused a message: wait for POLLOUT */
    bool up;   /* the handshake is over */
    uint64_t dialed_at;
} uplink_t;

struct uplinks {
    void *ctx;
    const sock_identity_t *id;
    uplink_t *links;
    size_t n, cap;
};

uplinks_t *uplinks_new (void *ctx, const sock_identity_t *id)
{
    uplinks_t *self = calloc (1, sizeof *self);
    assert (self);
    self->ctx = ctx;
    self->id = id;
    return self;
}

static void hang_up (uplink_t *link)
{
    if (link->monitor)
        sock_monitor_close (link->sock, &link->monitor);
    sock_close (&link->sock);
    link->full = false;
}

void uplinks_destroy (uplinks_t **self_p)
{
    uplinks_t *self = *self_p;

    if (!self)
        return;
    for (size_t i = 0; i < self->n; i++)
        hang_up (&self->links[i]);
    free (self->links);
    free (self);
    *self_p = NULL;
}

static uplink_t *find (const uplinks_t *self, uint32_t worker)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->links[i].worker == worker)
            return &self->links[i];
    return NULL;
}

const char *uplinks_name (const uplinks_t *self, uint32_t worker)
{
    const uplink_t *link = find (self, worker);
    return link ? link->name : "?";
}

int uplinks_learn (uplinks_t *self, const Dfs__Worker *worker, dfs_error_t *err)
{
    uplink_t *link = find (self, worker->id);

    if (worker->id == 0 || worker->port == 0 || worker->port > 65535)
        return fail (err, DFS_EPROTO, "worker %u has no port", worker->id);
    if (self->id->secure && (!worker->has_key || worker->key.len != 32))
        return fail (err, DFS_EPROTO, "worker %u has no key", worker->id);
    if (!link) {
        if (self->n == self->cap) {
            self->cap = self->cap ? self->cap * 2 : 8;
            self->links = realloc (self->links, self->cap * sizeof *self->links);
            assert (self->links);
        }
        link = &self->links[self->n++];
        memset (link, 0, sizeof *link);
        link->worker = worker->id;
    } else if (link->port == worker->port && strcmp (link->host, worker->host) == 0 &&
               (!self->id->secure || memcmp (link->key, worker->key.data, 32) == 0))
        return 0;
    hang_up (link);
    snprintf (link->name, sizeof link->name, "%s", worker->name);
    snprintf (link->host, sizeof link->host, "%s", worker->host);
    link->port = (uint16_t)worker->port;
    if (self->id->secure)
        memcpy (link->key, worker->key.data, 32);
    return 0;
}

static int dial (uplinks_t *self, uplink_t *link, dfs_error_t *err)
{
    char host[128];
    int rc = resolve_host (link->host, host, sizeof host, RESOLVE_MS, err);

    if (rc < 0)
        return wrap (err, "worker %s", link->name);
    link->sock = sock_new (self->ctx, SOCK_UPLINK, self->id, NULL, err);
    if (!link->sock)
        return DFS_ESYS;
    link->monitor = sock_monitor (
        self->ctx, link->sock,
        ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
            ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
            ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_SUCCEEDED,
        err);
    link->up = false;
    link->dialed_at = clock_mono ();
    rc = link->monitor ? sock_connect (link->sock, self->id, host, link->port,
                                       self->id->secure ? link->key : NULL, err)
                       : DFS_ESYS;
    if (rc < 0)
        hang_up (link);
    return rc;
}

int uplinks_send (uplinks_t *self, uint32_t worker, zmq_msg_t *head, zmq_msg_t *bytes,
                  dfs_error_t *err)
{
    uplink_t *link = find (self, worker);

    if (!link)
        return fail (err, DFS_EUNAVAIL, "worker %u is not known", worker);
    if (!link->sock && dial (self, link, err) < 0)
        return DFS_EUNAVAIL;
    if (zmq_msg_send (head, link->sock, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        link->full = true;
        return DFS_EAGAIN;
    }
    /* ZeroMQ took the first part: it takes the second */
    while (zmq_msg_send (bytes, link->sock, ZMQ_DONTWAIT) < 0)
        if (errno != EINTR) {
            zmq_msg_close (bytes);
            zmq_msg_init (bytes);
            return fail (err, DFS_EUNAVAIL, "worker %s: %s", link->name,
                         zmq_strerror (errno));
        }
    return 0;
}

/* What ended LINK; NULL: nothing did. */
static const char *end_of (uplink_t *link)
{
    sock_event_t event;

    while (link->monitor && sock_monitor_read (link->monitor, &event) == 1)
        switch (event.event) {
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            link->up = true;
            break;
        case ZMQ_EVENT_DISCONNECTED:
            return "closed the connection";
        case ZMQ_EVENT_CONNECT_RETRIED:
        case ZMQ_EVENT_CLOSED:
            return "refuses connections";
        default:
            return "refuses the handshake";
        }
    /* The library could not make a connection and says nothing: no descriptors. */
    if (link->monitor && !link->up && clock_mono () > link->dialed_at + DIAL_NS)
        return "was not reached";
    return NULL;
}

uint32_t uplinks_broken (uplinks_t *self, char *why, size_t cap)
{
    for (size_t i = 0; i < self->n; i++) {
        uplink_t *link = &self->links[i];
        const char *end = end_of (link);
        if (!end)
            continue;
        snprintf (why, cap, "worker %s %s", link->name, end);
        hang_up (link);
        return link->worker;
    }
    return 0;
}

size_t uplinks_poll (uplinks_t *self, zmq_pollitem_t *items, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < self->n && n + 2 <= cap; i++) {
        uplink_t *link = &self->links[i];
        if (!link->sock)
            continue;
        items[n++] = (zmq_pollitem_t){.socket = link->monitor, .events = ZMQ_POLLIN};
        if (link->full) {
            items[n++] = (zmq_pollitem_t){.socket = link->sock, .events = ZMQ_POLLOUT};
            link->full = false;
        }
    }
    return n;
}
