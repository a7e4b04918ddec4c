/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "common/units.h"
#include "msgs/control.pb-c.h"
#include "msgs/knock.h"
#include "msgs/sock.h"
#include "msgs/zap.h"

#include "peers_private.h"

#define BURST      64  /* messages in one wake */
#define RESOLVE_MS 200 /* between questions for addresses of peers that are not up */
#define POLL_MS    100 /* longest wait: timers of refused connections */
#define LINKS_MAX  32

/* What others want of the thread. */
enum order_kind { ORDER_SEND, ORDER_ANSWER, ORDER_ADDRESS, ORDER_SET, ORDER_STOP };

typedef struct order {
    enum order_kind what;
    enum peers_kind kind;
    char name[JOURNAL_NAME];
    char host[256];
    uint16_t port;
    peers_route_t route;
    journal_broker_t *brokers; /* owned, with their names */
    size_t n;
    size_t len;
    uint8_t bytes[];
} order_t;

struct peers {
    peers_config_t config;
    char name[JOURNAL_NAME];
    peer_env_t env;
    void *router;
    void *monitor; /* of the router */
    knock_t knock;
    uint16_t port;
    mailbox_t *orders;
    pthread_t thread;
    bool running;
    bool going; /* the thread's, as the rest up to `dropped` */
    peer_t links[LINKS_MAX];
    size_t n_links;
    uint64_t dropped; /* messages of bad senders */

    pthread_t resolver;
    bool resolving;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    bool stop;
    size_t n_down; /* whose addresses are wanted */
    char down[LINKS_MAX][JOURNAL_NAME];
};

static order_t *order_new (enum order_kind what, size_t len)
{
    order_t *order = calloc (1, sizeof *order + len);
    if (!order)
        abort ();
    order->what = what;
    order->len = len;
    return order;
}

static void free_brokers (journal_broker_t *brokers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free ((void *)(uintptr_t)brokers[i].name);
    free (brokers);
}

static void order_free (void *item)
{
    order_t *order = item;
    free_brokers (order->brokers, order->n);
    free (order);
}

/* --- the resolver: a thread that may wait --- */

static void *resolve (void *arg)
{
    peers_t *self = arg;
    pthread_mutex_lock (&self->lock);
    while (!self->stop) {
        char names[LINKS_MAX][JOURNAL_NAME];
        size_t n = self->n_down;
        memcpy (names, self->down, n * sizeof names[0]);
        pthread_mutex_unlock (&self->lock);
        for (size_t i = 0; i < n; i++) {
            order_t *order = order_new (ORDER_ADDRESS, 0);
            dfs_error_t err;
            memcpy (order->name, names[i], sizeof order->name);
            if (self->config.peers.address (names[i], order->host, sizeof order->host,
                                            &order->port, self->config.peers.arg,
                                            &err) == DFS_OK)
                mailbox_push (self->orders, order);
            else
                order_free (order);
        }
        struct timespec until;
        clock_gettime (CLOCK_MONOTONIC, &until);
        until.tv_nsec += RESOLVE_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        pthread_mutex_lock (&self->lock);
        if (!self->stop)
            pthread_cond_timedwait (&self->wake, &self->lock, &until);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

static void want_addresses (peers_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->n_down = 0;
    for (size_t i = 0; i < self->n_links; i++)
        if (!self->links[i].up)
            memcpy (self->down[self->n_down++], self->links[i].name, JOURNAL_NAME);
    pthread_mutex_unlock (&self->lock);
}

/* --- the thread of the sockets --- */

static peer_t *peer_of (peers_t *self, const char *name)
{
    for (size_t i = 0; i < self->n_links; i++)
        if (strcmp (self->links[i].name, name) == 0)
            return &self->links[i];
    return NULL;
}

static const journal_broker_t *find (const journal_broker_t *brokers, size_t n,
                                     const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp (brokers[i].name, name) == 0)
            return &brokers[i];
    return NULL;
}

static void set_links (peers_t *self, const journal_broker_t *brokers, size_t n)
{
    const char *domain = sock_domain (SOCK_PEERS);
    zap_t *zap = self->config.peers.zap;
    for (size_t i = 0; i < self->n_links;) {
        peer_t *link = &self->links[i];
        const journal_broker_t *now = find (brokers, n, link->name);
        if (now && memcmp (now->key, link->key, sizeof link->key) == 0) {
            i++;
            continue;
        }
        if (zap)
            zap_forbid (zap, domain, link->key);
        peer_release (link);
        *link = self->links[--self->n_links];
        if (!link->first)
            link->end = &link->first;
    }
    for (size_t i = 0; i < n && self->n_links < LINKS_MAX; i++) {
        if (strcmp (brokers[i].name, self->name) == 0 ||
            peer_of (self, brokers[i].name))
            continue;
        if (zap)
            zap_allow (zap, domain, brokers[i].key, DFS__ROLE__ROLE_BROKER,
                       brokers[i].name);
        peer_init (&self->links[self->n_links++], &brokers[i]);
    }
}

static void obey (peers_t *self, order_t *order)
{
    peer_t *link;
    switch (order->what) {
    case ORDER_SEND:
        link = peer_of (self, order->name);
        if (link)
            peer_send (link, &self->env, order->kind, order->bytes, order->len);
        break;
    case ORDER_ANSWER:
        peers_route_on (self->router, &order->route, self->name, order->kind,
                        order->bytes, order->len);
        break;
    case ORDER_ADDRESS:
        link = peer_of (self, order->name);
        if (link)
            peer_address (link, &self->env, order->host, order->port);
        break;
    case ORDER_SET:
        set_links (self, order->brokers, order->n);
        break;
    case ORDER_STOP:
        self->going = false;
        break;
    }
    order_free (order);
}

/* The name a sender gives must be that of its key. */
static bool is_sender (peers_t *self, const peers_message_t *message, bool secure,
                       const uint8_t key[32])
{
    char name[JOURNAL_NAME];
    if (!self->config.peers.zap)
        return peer_of (self, message->name) != NULL;
    return secure &&
           zap_lookup (self->config.peers.zap, sock_domain (SOCK_PEERS), key, name,
                       sizeof name) == DFS__ROLE__ROLE_BROKER &&
           strcmp (name, message->name) == 0;
}

static void hear (peers_t *self)
{
    for (int i = 0; i < BURST; i++) {
        peers_message_t message;
        bool secure;
        uint8_t key[32];
        int rc = peers_receive_from (self->router, &message, &secure, key);
        if (rc == 0)
            return;
        if (rc > 0 && is_sender (self, &message, secure, key)) {
            self->config.received (&message, self->config.arg);
            continue;
        }
        if (self->dropped++ % 1000 == 0)
            log_warn ("peer_dropped", "messages=%llu",
                      (unsigned long long)self->dropped);
        if (rc > 0)
            free (message.bytes);
    }
}

/* Fills ITEMS: orders, router, then monitors and sockets that have a backlog. */
static int poll_items (peers_t *self, zmq_pollitem_t *items)
{
    int n = 0;
    items[n++] =
        (zmq_pollitem_t){.fd = mailbox_fd (self->orders), .events = ZMQ_POLLIN};
    items[n++] = (zmq_pollitem_t){.socket = self->router, .events = ZMQ_POLLIN};
    items[n++] = (zmq_pollitem_t){.socket = self->monitor, .events = ZMQ_POLLIN};
    for (size_t i = 0; i < self->n_links; i++) {
        peer_t *link = &self->links[i];
        if (link->monitor)
            items[n++] =
                (zmq_pollitem_t){.socket = link->monitor, .events = ZMQ_POLLIN};
        if (link->first && link->up)
            items[n++] = (zmq_pollitem_t){.socket = link->sock, .events = ZMQ_POLLOUT};
    }
    return n;
}

static void *run (void *arg)
{
    peers_t *self = arg;
    zmq_pollitem_t items[3 + 2 * LINKS_MAX];

    self->going = true;
    while (self->going) {
        int n = poll_items (self, items);
        int rc = zmq_poll (items, n, POLL_MS);
        if (rc < 0 && errno != EINTR)
            break;
        order_t *order;
        while (self->going && (order = mailbox_pop (self->orders)))
            obey (self, order);
        hear (self);
        knock_drain (&self->knock, "peers", self->monitor, clock_mono ());
        uint64_t now = clock_mono () / MS;
        for (size_t i = 0; i < self->n_links; i++)
            peer_work (&self->links[i], &self->env, now);
        want_addresses (self);
    }
    for (size_t i = 0; i < self->n_links; i++)
        peer_release (&self->links[i]);
    return NULL;
}

/* --- calls --- */

void peers_send (peers_t *self, const char *name, enum peers_kind kind,
                 const void *bytes, size_t len)
{
    order_t *order = order_new (ORDER_SEND, len);
    snprintf (order->name, sizeof order->name, "%s", name);
    order->kind = kind;
    if (len)
        memcpy (order->bytes, bytes, len);
    mailbox_push (self->orders, order);
}

void peers_answer (peers_t *self, const peers_route_t *route, enum peers_kind kind,
                   const void *bytes, size_t len)
{
    order_t *order = order_new (ORDER_ANSWER, len);
    order->route = *route;
    order->kind = kind;
    if (len)
        memcpy (order->bytes, bytes, len);
    mailbox_push (self->orders, order);
}

void peers_set (peers_t *self, const journal_broker_t *brokers, size_t n)
{
    order_t *order = order_new (ORDER_SET, 0);
    order->brokers = calloc (n + 1, sizeof *order->brokers);
    if (!order->brokers)
        abort ();
    for (order->n = 0; order->n < n; order->n++) {
        journal_broker_t *b = &order->brokers[order->n];
        *b = brokers[order->n];
        b->name = strdup (brokers[order->n].name);
        if (!b->name)
            abort ();
    }
    mailbox_push (self->orders, order);
}

uint16_t peers_port (const peers_t *self)
{
    return self->port;
}

static int bind_router (peers_t *self, dfs_error_t *err)
{
    const journal_peers_t *p = &self->config.peers;
    self->router = sock_new (p->zmq, SOCK_PEERS, p->secret, NULL, err);
    if (!self->router)
        return err->code;
    self->monitor = sock_monitor (p->zmq, self->router, KNOCK_EVENTS, err);
    if (!self->monitor)
        return err->code;
    return sock_bind (self->router, p->bind ? p->bind : "*", p->port, &self->port, err);
}

int peers_start (peers_t *self, dfs_error_t *err)
{
    int rc = pthread_create (&self->resolver, NULL, resolve, self);
    if (rc != 0) {
        errno = rc;
        return fail_errno (err, "start the resolver of brokers");
    }
    self->resolving = true;
    rc = pthread_create (&self->thread, NULL, run, self);
    if (rc != 0) {
        errno = rc;
        return fail_errno (err, "start the thread of the brokers' sockets");
    }
    self->running = true;
    return DFS_OK;
}

peers_t *peers_new (const peers_config_t *config, dfs_error_t *err)
{
    peers_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    snprintf (self->name, sizeof self->name, "%s", config->name);
    self->env = (peer_env_t){config->peers.zmq, config->peers.secret, self->name};
    self->orders = mailbox_new ();
    pthread_condattr_t attr;
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, &attr);
    pthread_condattr_destroy (&attr);
    set_links (self, config->peers.brokers, config->peers.n);
    want_addresses (self);
    if (bind_router (self, err) != DFS_OK)
        peers_destroy (&self);
    return self;
}

void peers_stop (peers_t *self)
{
    if (self->running) {
        mailbox_push (self->orders, order_new (ORDER_STOP, 0));
        pthread_join (self->thread, NULL);
        self->running = false;
    }
    if (self->resolving) {
        pthread_mutex_lock (&self->lock);
        self->stop = true;
        pthread_cond_signal (&self->wake);
        pthread_mutex_unlock (&self->lock);
        pthread_join (self->resolver, NULL);
        self->resolving = false;
    }
}

void peers_destroy (peers_t **self_p)
{
    peers_t *self = *self_p;
    if (!self)
        return;
    peers_stop (self);
    if (self->router)
        sock_monitor_close (self->router, &self->monitor);
    sock_close (&self->router);
    mailbox_destroy (&self->orders, order_free);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
