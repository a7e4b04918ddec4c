/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>

#include "common/log.h"
#include "common/resolve.h"
#include "common/units.h"
#include "worker/links/link_private.h"

#define DIAL_NS       (1 * SEC) /* look up again while it is not connected */
#define HELLO_NS      (2 * SEC) /* say it again while no welcome came */
#define HELLO_SOON_NS (20 * MS) /* the connection is there, its pipe not yet */
#define PING_NS       (1 * SEC)
#define REFUSED_NS    (3 * SEC) /* after a failed handshake */
#define NAMES_NS      (2 * SEC) /* between two rounds of look-ups of members */
#define REFUSALS      2         /* in a row: a new key may take a moment to be known */
enum { RESOLVE_MS = 3000, NAMES_AT_ONCE = 4 };

/* --- on the dial thread --- */

static int look_up_broker (result_t *job, const cluster_t *cluster, dfs_error_t *err)
{
    int rc = resolve_host (job->node->host, job->address, sizeof job->address,
                           RESOLVE_MS, err);
    for (int i = 0; rc == DFS_OK && i < 3; i++)
        rc = cluster_broker_port (cluster, job->node, i + 1, &job->ports[i], err);
    return rc;
}

/* Says in run/ how we stand. */
static int tell_refused (const link_config_t *config, const result_t *job,
                         dfs_error_t *err)
{
    char text[300];
    if (!job->refused) {
        cluster_refused_remove (config->cluster, config->node->name);
        return DFS_OK;
    }
    snprintf (text, sizeof text, "broker %s refuses its key (%s/worker-%s_secret)",
              job->node->name, config->cluster->keys_dir, config->node->name);
    return cluster_refused_write (config->cluster, config->node->name, text, err);
}

void dial_work (void *arg, void *link)
{
    broker_link_t *self = link;
    result_t *job = arg;
    dfs_error_t err = {0};
    if (job->kind == RESULT_REFUSED) {
        job->code = tell_refused (&self->config, job, &err);
        if (job->code < 0)
            log_warn ("refusal_untold", "err=%d text=\"%s\"", job->code, err.text);
        mailbox_push (self->results, job);
        return;
    }
    if (job->kind == RESULT_ADDRESS)
        job->code = look_up_broker (job, self->config.cluster, &err);
    else
        job->code = resolve_host (job->host, job->address, sizeof job->address,
                                  RESOLVE_MS, &err);
    if (job->code < 0)
        log_debug ("address_unknown", "host=%s err=%d text=\"%s\"",
                   job->kind == RESULT_ADDRESS ? job->node->host : job->host, job->code,
                   err.text);
    mailbox_push (self->results, job);
}

/* --- on the link thread --- */

static result_t *job_new (enum result_kind kind)
{
    result_t *job = calloc (1, sizeof *job);
    assert (job);
    job->kind = kind;
    return job;
}

/* A few at a time, so that the thread has time for brokers too. Those whose name cannot
 * be looked up now are asked for again in the next round. */
void dial_members (broker_link_t *self)
{
    char host[256];
    int place;
    if (self->now < self->names_at)
        return;
    while (self->names_asked < NAMES_AT_ONCE &&
           (place = directory_unresolved (self->config.directory, self->names_from,
                                          host)) >= 0) {
        result_t *job = job_new (RESULT_MEMBER);
        memcpy (job->host, host, sizeof host);
        self->names_from = (size_t)place + 1;
        self->names_asked++;
        jobs_push (self->dial, job);
    }
    if (self->names_asked == 0) {
        self->names_from = 0;
        self->names_at = self->now + NAMES_NS;
    }
}

static void lost (broker_link_t *self, peer_t *peer)
{
    if (peer->welcomed) {
        atomic_fetch_sub (&self->welcomed, 1);
        log_info ("broker_lost", "peer=%s", peer->node->name);
    }
    peer->connected = peer->welcomed = false;
    peer->hello_at = 0;
    changes_stop (peer);
}

static void **socket_of (peer_t *peer, enum link_socket which)
{
    return which == LINK_DEALER  ? &peer->dealer
           : which == LINK_PULSE ? &peer->pulse
                                 : &peer->listen;
}

static void close_one (peer_t *peer, enum link_socket which)
{
    if (peer->monitors[which])
        sock_monitor_close (*socket_of (peer, which), &peer->monitors[which]);
    sock_close (socket_of (peer, which));
    peer->again_at[which] = 0;
}

void peer_close (broker_link_t *self, peer_t *peer)
{
    lost (self, peer);
    for (enum link_socket which = 0; which < LINK_SOCKETS; which++)
        close_one (peer, which);
}

static int connect_one (broker_link_t *self, peer_t *peer, enum link_socket which,
                        dfs_error_t *err)
{
    static const enum sock_kind kinds[] = {SOCK_WORKER, SOCK_WORKER_PULSE, SOCK_LISTEN};
    const link_config_t *config = &self->config;
    void **socket = socket_of (peer, which);
    int events = ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    if (which == LINK_DEALER)
        events |= ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED;
    *socket = sock_new (config->ctx, kinds[which], config->identity, NULL, err);
    if (!*socket)
        return err->code;
    /* The monitor must be there before the connection is. */
    peer->monitors[which] = sock_monitor (config->ctx, *socket, events, err);
    if (!peer->monitors[which])
        return err->code;
    return sock_connect (*socket, config->identity, peer->address, peer->ports[which],
                         peer->has_key ? peer->key : NULL, err);
}

void peer_address (broker_link_t *self, peer_t *peer, const result_t *result)
{
    peer->dialing = false;
    peer->dial_at = self->now + DIAL_NS;
    if (result->code < 0)
        return;
    bool same = peer->dealer && strcmp (peer->address, result->address) == 0 &&
                memcmp (peer->ports, result->ports, sizeof peer->ports) == 0;
    if (same || peer->connected)
        return;
    peer_close (self, peer);
    snprintf (peer->address, sizeof peer->address, "%s", result->address);
    memcpy (peer->ports, result->ports, sizeof peer->ports);
    dfs_error_t err = {0};
    int rc = 0;
    for (enum link_socket which = 0; rc == 0 && which < LINK_SOCKETS; which++)
        rc = connect_one (self, peer, which, &err);
    if (rc < 0) {
        log_error ("broker_connect", "peer=%s err=%d text=\"%s\"", peer->node->name,
                   err.code, err.text);
        peer_close (self, peer);
    }
}

static void push_refused (broker_link_t *self, const peer_t *peer, bool is)
{
    result_t *job = job_new (RESULT_REFUSED);
    self->refused = job->refused = is;
    job->node = peer->node;
    jobs_push (self->dial, job);
}

void peer_admitted (broker_link_t *self)
{
    for (size_t i = 0; i < self->n; i++)
        self->peers[i].refusals = 0;
    if (self->refused)
        push_refused (self, &self->peers[0], false);
}

/* The key is not the one that this broker knows; when all that are there say so, that
 * is for who started us. */
static void count_refusal (broker_link_t *self, peer_t *peer)
{
    bool inside = false;
    peer->refusals++;
    for (size_t i = 0; i < self->n; i++)
        inside |= self->peers[i].connected;
    if (peer->refusals >= REFUSALS && !inside && !self->refused)
        push_refused (self, peer, true);
}

static void refused (const peer_t *peer, const char *socket, int code)
{
    log_warn ("broker_refused", "peer=%s socket=%s err=%d text=\"handshake failed\"",
              peer->node->name, socket, code);
}

/* A connection that was refused is not tried again by the library. */
void peer_events (broker_link_t *self, peer_t *peer)
{
    sock_event_t event;
    for (enum link_socket which = LINK_PULSE; which < LINK_SOCKETS; which++)
        if (peer->monitors[which] &&
            sock_monitor_read (peer->monitors[which], &event)) {
            refused (peer, which == LINK_PULSE ? "pulse" : "announce", event.value);
            close_one (peer, which);
            peer->again_at[which] = self->now + REFUSED_NS;
        }
    while (peer->monitors[LINK_DEALER] &&
           sock_monitor_read (peer->monitors[LINK_DEALER], &event))
        switch (event.event) {
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            peer->connected = true;
            peer->hello_at = self->now;
            break;
        case ZMQ_EVENT_DISCONNECTED:
            lost (self, peer);
            break;
        default:
            refused (peer, "back", event.value);
            if (event.event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
                count_refusal (self, peer);
            peer_close (self, peer);
            peer->dial_at = self->now + REFUSED_NS;
            return;
        }
}

static void connect_again (broker_link_t *self, peer_t *peer, enum link_socket which)
{
    dfs_error_t err = {0};
    if (!peer->again_at[which] || self->now < peer->again_at[which])
        return;
    peer->again_at[which] = 0;
    if (connect_one (self, peer, which, &err) < 0) {
        log_error ("broker_connect", "peer=%s err=%d text=\"%s\"", peer->node->name,
                   err.code, err.text);
        close_one (peer, which);
        peer->again_at[which] = self->now + REFUSED_NS;
    }
}

void peer_tick (broker_link_t *self, peer_t *peer)
{
    if (!peer->connected && !peer->dialing && self->now >= peer->dial_at) {
        peer->dialing = true;
        result_t *job = job_new (RESULT_ADDRESS);
        job->peer = peer->index;
        job->node = peer->node;
        jobs_push (self->dial, job);
    }
    connect_again (self, peer, LINK_PULSE);
    connect_again (self, peer, LINK_LISTEN);
    if (peer->connected && peer->hello_at && self->now >= peer->hello_at)
        peer->hello_at =
            self->now + (send_hello (self, peer) == DFS_OK ? HELLO_NS : HELLO_SOON_NS);
    if (peer->welcomed || peer->here_at == 0)
        peer->here_at = self->now;
    if (peer->welcomed && self->now >= peer->ping_at) {
        peer->ping_at = self->now + PING_NS;
        send_ping (self, peer);
    }
}
