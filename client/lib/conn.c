/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "client/lib/leader.h"
#include "common/clock.h"
#include "common/units.h"
#include "msgs/envelope.h"

#define RETRY_MIN     (50 * MS)
#define RETRY_MAX     (500 * MS)
#define RETRY_SEVERAL (200 * MS) /* one of them will lead soon */
#define HELLO_WAIT    (3 * SEC)  /* for the welcome, before another try */
#define HELLO_FIRST   (500 * MS) /* the same, while others may answer at once */
#define QUIET         (400 * MS) /* then the broker is asked for a sign of life... */
#define QUIET_WAIT    (600 * MS) /* ...and others, when it gives none */
#define QUIET_LONGER  3          /* doublings of that, for machines with much to do */

struct conn {
    void *ctx;
    const cluster_t *cluster;
    const sock_identity_t *id;
    const char *user;
    leader_t *leader;
    leader_address_t at;
    void *sock;    /* NULL: waits for retry_at */
    void *monitor; /* PAIR of sock */
    bool greeted;  /* hello is sent: the socket takes nothing before it is connected */
    bool up;
    bool failed;       /* for good */
    bool absent;       /* the one tried last refuses connections, or has no port */
    uint64_t retry_at; /* sock == NULL: connect then; !up: give this try up then */
    uint64_t backoff;
    uint64_t hello_wait;
    unsigned tries; /* since it was up */
    bool stale;     /* any broker is good */
    uint64_t heard_at;
    uint64_t pinged_at; /* 0: not since it was heard */
    unsigned silences;  /* times that one was given up that only had much to do */
    const char *silent; /* the one given up last, NULL once another one leads */
    conn_facts_t facts;
    bool (*fresh) (void *arg);
    bool (*unsure) (void *arg);
    void *fresh_arg;
    bool renew; /* another session is needed */
    uint64_t welcomes;
    bool used;       /* something was sent since conn_begin */
    bool resumes;    /* the session of the facts, by the last hello */
    dfs_error_t why; /* the last trouble */
};

conn_t *conn_new (void *ctx, const cluster_t *cluster, const sock_identity_t *id,
                  const char *user, bool stale)
{
    conn_t *self = calloc (1, sizeof *self);
    assert (self);
    self->ctx = ctx;
    self->cluster = cluster;
    self->id = id;
    self->user = user;
    self->leader = leader_new (cluster);
    self->stale = stale;
    self->backoff = RETRY_MIN;
    self->hello_wait = leader_brokers (self->leader) > 1 ? HELLO_FIRST : HELLO_WAIT;
    fail (&self->why, DFS_EUNAVAIL, "no broker answered");
    return self;
}

static void drop (conn_t *self)
{
    if (self->monitor)
        sock_monitor_close (self->sock, &self->monitor);
    sock_close (&self->sock);
    self->up = false;
    self->greeted = false;
}

void conn_destroy (conn_t **self_p)
{
    conn_t *self = *self_p;

    if (!self)
        return;
    drop (self);
    leader_destroy (&self->leader);
    free (self);
    *self_p = NULL;
}

void conn_set_fresh (conn_t *self, bool (*fresh) (void *arg),
                     bool (*unsure) (void *arg), void *arg)
{
    self->fresh = fresh;
    self->unsure = unsure;
    self->fresh_arg = arg;
}

bool conn_up (const conn_t *self)
{
    return self->up;
}

bool conn_absent (const conn_t *self)
{
    return self->absent;
}

void conn_ask_policies (conn_t *self)
{
    self->facts.policies = true;
}

const conn_facts_t *conn_facts (const conn_t *self)
{
    return &self->facts;
}

static bool several (const conn_t *self)
{
    return leader_brokers (self->leader) > 1;
}

int conn_failure (const conn_t *self, dfs_error_t *err)
{
    char text[480];

    if (several (self) && !self->failed) {
        leader_why (self->leader, text, sizeof text);
        return fail (err, DFS_EUNAVAIL, "no broker leads (%s)", text);
    }
    return fail (err, self->why.code, "%s", self->why.text);
}

/* The next try: of several brokers each is tried at once, and then after a while. */
static void plan (conn_t *self, uint64_t now)
{
    uint64_t most = several (self) ? RETRY_SEVERAL : RETRY_MAX;

    drop (self);
    self->pinged_at = 0;
    self->retry_at = now;
    if (++self->tries % leader_brokers (self->leader) != 0)
        return;
    self->retry_at += self->backoff;
    self->backoff = self->backoff * 2 < most ? self->backoff * 2 : most;
    self->hello_wait =
        self->hello_wait * 2 < HELLO_WAIT ? self->hello_wait * 2 : HELLO_WAIT;
}

/* Gives the present try up and plans the next. */
static void retry (conn_t *self, uint64_t now)
{
    char port[32];
    snprintf (port, sizeof port, ":%u ", self->at.port);
    /* What happened, behind the address that the text begins with. */
    const char *why = strstr (self->why.text, port);
    if (why)
        why += strlen (port);
    else if (self->at.name && strncmp (self->why.text, "broker ", 7) == 0 &&
             strncmp (self->why.text + 7, self->at.name, strlen (self->at.name)) == 0) {
        why = self->why.text + 7 + strlen (self->at.name);
        why += strspn (why, ": ");
    }
    leader_failed (self->leader, why ? why : self->why.text, true);
    plan (self, now);
}

/* The broker does not lead; LEADER does, as far as it knows (NULL: it does not). */
static void redirect (conn_t *self, const Dfs__Status *status, uint64_t now)
{
    fail (&self->why, DFS_EUNAVAIL, "broker %s: %.200s", self->at.name,
          status->text ? status->text : dfs_error_text (status->code));
    leader_failed (self->leader,
                   status->text ? status->text : dfs_error_text (status->code), false);
    if (status->leader && status->leader[0])
        leader_hint (self->leader, status->leader);
    plan (self, now);
}

static int hello (conn_t *self)
{
    Dfs__Hello body = DFS__HELLO__INIT;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    char name[256];

    snprintf (name, sizeof name, "%s", self->user);
    body.version_min = body.version_max = ENVELOPE_VERSION;
    body.cluster_id.data = (uint8_t *)(uintptr_t)self->cluster->id;
    body.cluster_id.len = sizeof self->cluster->id;
    body.role = DFS__ROLE__ROLE_CLIENT;
    body.name = name;
    char software[] = "libdfs " PACKAGE_VERSION;
    body.software = software;
    if (self->id->secure) {
        body.has_key = true;
        body.key.data = (uint8_t *)(uintptr_t)self->id->keys.public_key;
        body.key.len = 32;
    }
    body.has_stale = body.stale = self->stale;
    self->resumes =
        self->facts.session && !(self->fresh && self->fresh (self->fresh_arg));
    if (self->resumes) {
        body.has_resume = true;
        body.resume = self->facts.session;
    }
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &body;
    return envelope_send (self->sock, NULL, 0, &env);
}

static void start (conn_t *self, uint64_t now)
{
    dfs_error_t err = {0};
    int rc = leader_pick (self->leader, &self->at, &err);

    if (rc == DFS_EUNAVAIL)
        self->absent = true;
    if (rc == 0) {
        self->sock = sock_new (self->ctx, SOCK_CLIENT, self->id, NULL, &err);
        if (!self->sock)
            rc = err.code;
    }
    if (rc == 0) {
        self->monitor = sock_monitor (
            self->ctx, self->sock,
            ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_SUCCEEDED,
            &err);
        if (!self->monitor)
            rc = err.code;
    }
    if (rc == 0)
        rc = sock_connect (self->sock, self->id, self->at.host, self->at.port,
                           self->id->secure ? self->at.key : NULL, &err);
    if (rc < 0) {
        if (err.code < 0)
            self->why = err;
        if (err.code == DFS_ECONFIG || err.code == DFS_EAUTH)
            self->failed = true;
        retry (self, now);
        return;
    }
    self->retry_at = now + self->hello_wait;
}

/* A broker that hangs up in the middle of a handshake looks like one with another key:
 * several in a row are believed, of brokers that never had the right one. */
static void handshake_failed (conn_t *self, const sock_event_t *event, uint64_t now)
{
    self->absent = false;
    if (event->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        fail (&self->why, DFS_EAUTH, "broker %s refuses the key of user %s",
              self->at.name, self->user);
        self->failed = true;
    } else if (leader_key (self->leader, LEADER_KEY_DOUBTFUL)) {
        fail (&self->why, DFS_EAUTH,
              event->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                  ? "broker %s at %s:%u speaks with other security than %s says"
                  : "broker %s at %s:%u has not the key that %s gives it",
              self->at.name, self->at.host, self->at.port,
              event->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                  ? self->cluster->path
                  : self->cluster->keys_dir);
        self->failed = true;
    } else
        fail (&self->why, DFS_EUNAVAIL, "broker %s at %s:%u: handshake failed",
              self->at.name, self->at.host, self->at.port);
    retry (self, now);
}

static enum conn_news watch (conn_t *self, uint64_t now)
{
    sock_event_t event;
    bool was_up = self->up;

    while (self->monitor && sock_monitor_read (self->monitor, &event) == 1)
        switch (event.event) {
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            leader_key (self->leader, LEADER_KEY_RIGHT);
            self->absent = false;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            handshake_failed (self, &event, now);
            return self->failed ? CONN_FAILED : was_up ? CONN_DOWN : CONN_NOTHING;
        default: /* closed, refused, disconnected */
            leader_key (self->leader, LEADER_KEY_NOTHING);
            self->absent = event.event != ZMQ_EVENT_DISCONNECTED;
            fail (&self->why, DFS_EUNAVAIL, "no broker: %s at %s:%u %s", self->at.name,
                  self->at.host, self->at.port,
                  event.event == ZMQ_EVENT_DISCONNECTED ? "closed the connection"
                                                        : "refuses connections");
            retry (self, now);
            return was_up ? CONN_DOWN : CONN_NOTHING;
        }
    return CONN_NOTHING;
}

/* A broker that stopped, or whose network ended, hangs nothing up. With others to ask
 * it is not waited for. */
static enum conn_news listen_for (conn_t *self, uint64_t now)
{
    unsigned doublings = self->silences < QUIET_LONGER ? self->silences : QUIET_LONGER;

    if (!several (self) || !self->up || now < self->heard_at + QUIET)
        return CONN_NOTHING;
    if (self->pinged_at == 0) {
        Dfs__Envelope env = DFS__ENVELOPE__INIT;
        Dfs__Ping body = DFS__PING__INIT;

        env.body_case = DFS__ENVELOPE__BODY_PING;
        env.ping = &body;
        envelope_send (self->sock, NULL, 0, &env);
        self->pinged_at = now;
    } else if (now >= self->pinged_at + (QUIET_WAIT << doublings)) {
        self->silences++;
        self->silent = self->at.name;
        fail (&self->why, DFS_EUNAVAIL, "broker %s at %s:%u does not answer",
              self->at.name, self->at.host, self->at.port);
        retry (self, now);
        return CONN_DOWN;
    }
    return CONN_NOTHING;
}

enum conn_news conn_tick (conn_t *self, uint64_t now)
{
    enum conn_news news = CONN_NOTHING;

    if (self->failed)
        return CONN_FAILED;
    if (self->renew) {
        self->renew = false;
        self->facts.session = 0;
        fail (&self->why, DFS_EEXPIRED, "session has expired");
        news = self->up ? CONN_DOWN : CONN_NOTHING;
        retry (self, now);
    } else if (self->sock)
        news = watch (self, now);
    if (self->sock && !self->greeted)
        self->greeted = hello (self) == 0;
    if (self->sock && !self->up && now >= self->retry_at) {
        self->absent = false;
        fail (&self->why, DFS_EUNAVAIL, "broker %s at %s:%u does not answer",
              self->at.name, self->at.host, self->at.port);
        retry (self, now);
    }
    if (news == CONN_NOTHING)
        news = listen_for (self, now);
    if (!self->failed && !self->sock && now >= self->retry_at)
        start (self, now);
    return self->failed ? CONN_FAILED : news;
}

uint64_t conn_next (const conn_t *self)
{
    return self->up || self->failed ? UINT64_MAX : self->retry_at;
}

int conn_poll (conn_t *self, zmq_pollitem_t *items)
{
    if (!self->sock)
        return 0;
    short events = self->greeted ? ZMQ_POLLIN : ZMQ_POLLIN | ZMQ_POLLOUT;
    items[0] = (zmq_pollitem_t){.socket = self->sock, .events = events};
    items[1] = (zmq_pollitem_t){.socket = self->monitor, .events = ZMQ_POLLIN};
    return 2;
}

void conn_begin (conn_t *self)
{
    self->used = false;
}

bool conn_used (const conn_t *self)
{
    return self->used;
}

uint64_t conn_welcomes (const conn_t *self)
{
    return self->welcomes;
}

void conn_renew (conn_t *self)
{
    self->renew = true;
}

int conn_send (conn_t *self, zmq_msg_t *msg)
{
    if (!self->up || zmq_msg_send (msg, self->sock, ZMQ_DONTWAIT) < 0)
        return DFS_EAGAIN;
    self->used = true;
    return 0;
}

static enum conn_news welcome (conn_t *self, const Dfs__Envelope *env)
{
    uint64_t now = clock_mono ();

    if (env->status && env->status->code < 0) {
        int code = env->status->code;
        if (code == DFS_ENOTLEADER) {
            redirect (self, env->status, now);
            return CONN_NOTHING;
        }
        fail (&self->why, code, "broker %s: %.200s", self->at.name,
              env->status->text ? env->status->text : dfs_error_text (code));
        if (code != DFS_EAGAIN && code != DFS_EUNAVAIL)
            self->failed = true;
        retry (self, now);
        return self->failed ? CONN_FAILED : CONN_NOTHING;
    }
    const Dfs__Welcome *body = env->welcome;
    if (body->version != ENVELOPE_VERSION || body->session == 0) {
        fail (&self->why, DFS_EVERSION, "broker %s speaks version %u", self->at.name,
              body->version);
        self->failed = true;
        retry (self, now);
        return CONN_FAILED;
    }
    if (self->resumes && self->facts.session != body->session && self->unsure &&
        self->unsure (self->fresh_arg)) {
        fail (&self->why, DFS_ESTALE, "session expired: what was asked may be done");
        self->failed = true;
        drop (self);
        return CONN_FAILED;
    }
    self->facts.session = body->session;
    if (body->policy) {
        self->facts.policy = body->policy->id;
        self->facts.chunk_size = body->policy->chunk_size;
        self->facts.replicas = body->policy->replicas;
    }
    self->facts.inline_max = body->has_inline_max ? body->inline_max : 0;
    self->facts.policies = body->has_policies && body->policies;
    self->facts.max_place =
        body->has_max_place && body->max_place > 0 && body->max_place < 256
            ? (uint32_t)body->max_place
            : 256;
    self->heard_at = now;
    self->pinged_at = 0;
    /* Another one leads: it was silent indeed. */
    if (self->silent && strcmp (self->silent, self->at.name) != 0)
        self->silences = 0;
    self->silent = NULL;
    self->up = true;
    self->welcomes++;
    self->tries = 0;
    self->backoff = RETRY_MIN;
    self->hello_wait = several (self) ? HELLO_FIRST : HELLO_WAIT;
    return CONN_UP;
}

int conn_recv (conn_t *self, arena_t *arena, Dfs__Envelope **env, enum conn_news *news)
{
    envelope_from_t from;

    *news = CONN_NOTHING;
    if (!self->sock)
        return 0;
    int rc = envelope_recv (self->sock, false, false, arena, &from, env, NULL);
    if (rc != 1)
        return rc;
    if (!self->up) {
        if ((*env)->body_case == DFS__ENVELOPE__BODY_WELCOME ||
            ((*env)->status && (*env)->status->code < 0))
            *news = welcome (self, *env);
        *env = NULL;
        return 1;
    }
    self->heard_at = clock_mono ();
    self->pinged_at = 0;
    /* Alone, it will lead soon: what was asked is asked again. */
    if ((*env)->status && (*env)->status->code == DFS_ENOTLEADER && several (self)) {
        redirect (self, (*env)->status, self->heard_at);
        *env = NULL;
        *news = CONN_DOWN;
    } else if ((*env)->body_case == DFS__ENVELOPE__BODY_PING)
        *env = NULL;
    return 1;
}
