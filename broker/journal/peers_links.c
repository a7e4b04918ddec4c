/* SPDX-License-Identifier: MPL-2.0 */
/* The connection to one broker, for sending. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/log.h"
#include "msgs/sock.h"

#include "peers_private.h"

#define QUEUE_MAX (16u * 1024 * 1024) /* bytes that wait for one peer */
#define RETRY_MS  500 /* after a refused handshake, which is not tried again */
#define MONITORED                                                                      \
    (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |                          \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |           \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)

void peer_init (peer_t *self, const journal_broker_t *broker)
{
    memset (self, 0, sizeof *self);
    snprintf (self->name, sizeof self->name, "%s", broker->name);
    memcpy (self->key, broker->key, sizeof self->key);
    self->end = &self->first;
}

static void disconnect (peer_t *self)
{
    if (!self->sock)
        return;
    sock_monitor_close (self->sock, &self->monitor);
    sock_close (&self->sock);
    self->up = false;
    self->retry_at = 0;
}

static void connect_now (peer_t *self, const peer_env_t *env)
{
    dfs_error_t err;
    disconnect (self);
    self->sock = sock_new (env->zmq, SOCK_PEER, env->secret, NULL, &err);
    if (self->sock)
        self->monitor = sock_monitor (env->zmq, self->sock, MONITORED, &err);
    if (self->monitor && sock_connect (self->sock, env->secret, self->host, self->port,
                                       self->key, &err) == DFS_OK)
        return;
    log_warn ("peer_connect", "node=%s err=\"%s\"", self->name, err.text);
    if (self->sock && self->monitor)
        sock_monitor_close (self->sock, &self->monitor);
    sock_close (&self->sock);
}

static void drop_all (peer_t *self)
{
    while (self->first) {
        peer_item_t *item = self->first;
        self->first = item->next;
        free (item);
    }
    self->end = &self->first;
    self->queued = 0;
}

void peer_release (peer_t *self)
{
    drop_all (self);
    disconnect (self);
}

void peer_address (peer_t *self, const peer_env_t *env, const char *host, uint16_t port)
{
    if (self->sock && self->port == port && strcmp (self->host, host) == 0)
        return;
    snprintf (self->host, sizeof self->host, "%s", host);
    self->port = port;
    drop_all (self);
    connect_now (self, env);
}

static void flush (peer_t *self, const peer_env_t *env)
{
    while (self->first) {
        peer_item_t *item = self->first;
        if (peers_send_on (self->sock, env->own_name, item->kind, item->bytes,
                           item->len) < 0)
            return;
        self->first = item->next;
        if (!self->first)
            self->end = &self->first;
        self->queued -= item->len;
        free (item);
    }
}

/* To one that is not there nothing is queued: what it would hear later is old. */
void peer_send (peer_t *self, const peer_env_t *env, enum peers_kind kind,
                const void *bytes, size_t len)
{
    if (!self->sock || !self->up || self->queued + len > QUEUE_MAX)
        return;
    flush (self, env);
    if (!self->first &&
        peers_send_on (self->sock, env->own_name, kind, bytes, len) == 0)
        return;
    peer_item_t *item = malloc (sizeof *item + len);
    if (!item)
        abort ();
    *item = (peer_item_t){.kind = kind, .len = len};
    if (len)
        memcpy (item->bytes, bytes, len);
    *self->end = item;
    self->end = &item->next;
    self->queued += len;
}

void peer_work (peer_t *self, const peer_env_t *env, uint64_t now_ms)
{
    sock_event_t event;
    while (self->monitor && sock_monitor_read (self->monitor, &event)) {
        bool was = self->up;
        self->up = event.event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        if (event.event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ||
            event.event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
            self->retry_at = now_ms + RETRY_MS;
        if (was != self->up) {
            log_info (self->up ? "peer_up" : "peer_down", "node=%s", self->name);
            drop_all (self);
        }
    }
    if (self->retry_at && now_ms >= self->retry_at)
        connect_now (self, env);
    if (self->sock && self->up)
        flush (self, env);
}
