/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/log.h"
#include "zap.h"

#define ENDPOINT "inproc://zeromq.zap.01"
#define PARTS    16

typedef struct rule {
    char domain[48];
    uint8_t key[32];
    int role;
    char name[64];
} rule_t;

struct zap {
    pthread_mutex_t lock;
    rule_t *rules; /* a handful per cluster and one per stream session: scanned */
    size_t n;
    size_t cap;
    uint64_t refused;
    void *ctx;
    void *rep;
    void *stop; /* PAIR, our end */
    void *stopped;
    pthread_t thread;
};

static rule_t *find (zap_t *self, const char *domain, const uint8_t key[32])
{
    for (size_t i = 0; i < self->n; i++)
        if (memcmp (self->rules[i].key, key, 32) == 0 &&
            strcmp (self->rules[i].domain, domain) == 0)
            return &self->rules[i];
    return NULL;
}

/* One request is 7 or 8 parts (RFC 27): version, request id, domain, address, identity,
 * mechanism, credentials …. */
typedef struct request {
    size_t n;
    size_t len[PARTS];
    uint8_t data[PARTS][256];
} request_t;

static int receive (void *rep, request_t *r)
{
    r->n = 0;
    int more = 1;
    while (more) {
        zmq_msg_t msg;
        zmq_msg_init (&msg);
        if (zmq_msg_recv (&msg, rep, 0) < 0) {
            zmq_msg_close (&msg);
            return -1;
        }
        more = zmq_msg_more (&msg);
        if (r->n < PARTS) {
            size_t len = zmq_msg_size (&msg);
            if (len > sizeof r->data[0] - 1)
                len = sizeof r->data[0] - 1;
            memcpy (r->data[r->n], zmq_msg_data (&msg), len);
            r->data[r->n][len] = 0;
            r->len[r->n++] = len;
        }
        zmq_msg_close (&msg);
    }
    return 0;
}

static void reply (void *rep, const request_t *r, const char *code, const char *text,
                   const char *user)
{
    zmq_send (rep, "1.0", 3, ZMQ_SNDMORE);
    zmq_send (rep, r->n > 1 ? r->data[1] : (const uint8_t *)"",
              r->n > 1 ? r->len[1] : 0, ZMQ_SNDMORE);
    zmq_send (rep, code, 3, ZMQ_SNDMORE);
    zmq_send (rep, text, strlen (text), ZMQ_SNDMORE);
    zmq_send (rep, user, strlen (user), ZMQ_SNDMORE);
    zmq_send (rep, "", 0, 0);
}

static void decide (zap_t *self, const request_t *r)
{
    if (r->n < 7 || strcmp ((const char *)r->data[0], "1.0") != 0 ||
        strcmp ((const char *)r->data[5], "CURVE") != 0 || r->len[6] != 32) {
        reply (self->rep, r, "400", "CURVE is required", "");
        return;
    }
    char text[KEY_TEXT];
    keys_raw_to_text (r->data[6], text);
    pthread_mutex_lock (&self->lock);
    bool allowed = find (self, (const char *)r->data[2], r->data[6]) != NULL;
    if (!allowed)
        self->refused++;
    pthread_mutex_unlock (&self->lock);
    if (!allowed) {
        char peer[280], domain[280];
        log_warn ("handshake_refused", "domain=%s peer=%s key=%s",
                  log_quote (domain, sizeof domain, (const char *)r->data[2]),
                  log_quote (peer, sizeof peer, (const char *)r->data[3]), text);
        reply (self->rep, r, "400", "key is not allowed here", "");
        return;
    }
    reply (self->rep, r, "200", "OK", text);
}

static void *run (void *arg)
{
    zap_t *self = arg;
    zmq_pollitem_t items[2] = {{.socket = self->rep, .events = ZMQ_POLLIN},
                               {.socket = self->stopped, .events = ZMQ_POLLIN}};
    for (;;) {
        int rc = zmq_poll (items, 2, -1);
        if (rc < 0 && errno != EINTR)
            break;
        if (rc < 0)
            continue;
        if (items[1].revents)
            break;
        request_t r;
        if (items[0].revents && receive (self->rep, &r) == 0)
            decide (self, &r);
    }
    zmq_close (self->rep);
    zmq_close (self->stopped);
    return NULL;
}

zap_t *zap_new (void *ctx, dfs_error_t *err)
{
    zap_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    self->ctx = ctx;
    self->rep = zmq_socket (ctx, ZMQ_REP);
    self->stop = zmq_socket (ctx, ZMQ_PAIR);
    self->stopped = zmq_socket (ctx, ZMQ_PAIR);
    int zero = 0;
    char name[64];
    snprintf (name, sizeof name, "inproc://dfs-zap-%p", (void *)self);
    if (!self->rep || !self->stop || !self->stopped ||
        zmq_setsockopt (self->rep, ZMQ_LINGER, &zero, sizeof zero) < 0 ||
        zmq_setsockopt (self->stop, ZMQ_LINGER, &zero, sizeof zero) < 0 ||
        zmq_bind (self->rep, ENDPOINT) < 0 || zmq_bind (self->stop, name) < 0 ||
        zmq_connect (self->stopped, name) < 0 ||
        pthread_create (&self->thread, NULL, run, self) != 0) {
        fail (err, DFS_ESYS, "start the ZAP handler: %s", zmq_strerror (errno));
        if (self->rep)
            zmq_close (self->rep);
        if (self->stop)
            zmq_close (self->stop);
        if (self->stopped)
            zmq_close (self->stopped);
        pthread_mutex_destroy (&self->lock);
        free (self);
        return NULL;
    }
    return self;
}

void zap_destroy (zap_t **self_p)
{
    zap_t *self = *self_p;
    if (!self)
        return;
    zmq_send (self->stop, "", 0, 0);
    pthread_join (self->thread, NULL);
    zmq_close (self->stop);
    pthread_mutex_destroy (&self->lock);
    free (self->rules);
    free (self);
    *self_p = NULL;
}

void zap_allow (zap_t *self, const char *domain, const uint8_t key[32], int role,
                const char *name)
{
    pthread_mutex_lock (&self->lock);
    rule_t *r = find (self, domain, key);
    if (!r) {
        if (self->n == self->cap) {
            self->cap = self->cap ? 2 * self->cap : 32;
            self->rules = realloc (self->rules, self->cap * sizeof *self->rules);
            assert (self->rules);
        }
        r = &self->rules[self->n++];
        snprintf (r->domain, sizeof r->domain, "%s", domain);
        memcpy (r->key, key, 32);
    }
    r->role = role;
    snprintf (r->name, sizeof r->name, "%s", name);
    pthread_mutex_unlock (&self->lock);
}

void zap_forbid (zap_t *self, const char *domain, const uint8_t key[32])
{
    pthread_mutex_lock (&self->lock);
    rule_t *r = find (self, domain, key);
    if (r)
        *r = self->rules[--self->n];
    pthread_mutex_unlock (&self->lock);
}

void zap_forget (zap_t *self, const char *domain)
{
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n;)
        if (strcmp (self->rules[i].domain, domain) == 0)
            self->rules[i] = self->rules[--self->n];
        else
            i++;
    pthread_mutex_unlock (&self->lock);
}

int zap_lookup (zap_t *self, const char *domain, const uint8_t key[32], char *name,
                unsigned long cap)
{
    pthread_mutex_lock (&self->lock);
    const rule_t *r = find (self, domain, key);
    int role = r ? r->role : 0;
    if (name && cap)
        snprintf (name, cap, "%s", r ? r->name : "");
    pthread_mutex_unlock (&self->lock);
    return role;
}

uint64_t zap_refused (zap_t *self)
{
    pthread_mutex_lock (&self->lock);
    uint64_t n = self->refused;
    pthread_mutex_unlock (&self->lock);
    return n;
}

int zap_message_key (void *msg, uint8_t key[32])
{
    const char *user = zmq_msg_gets (msg, "User-Id");
    return user && keys_text_to_raw (user, key) == DFS_OK ? 0 : -1;
}
