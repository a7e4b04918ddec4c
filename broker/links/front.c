/* SPDX-License-Identifier: MPL-2.0 */
/* The clients' ROUTER: takes messages, finds who sent them, calls handlers, answers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "broker/links/near.h"
#include "broker/links/outbox.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

/* What the file is not, or already is, is an answer; the rest is a refusal. */
#define REFUSAL_STATUS 5

/* A client's connection is gone; its session waits a while for it to come back. */
static void lose (links_t *self, conn_t *conn)
{
    if (conn->session) {
        conn->session->conn = NULL;
        conn->session->gone_at = self->now;
    }
    link_drop (&self->front, &conn);
}

void front_closed (links_t *self)
{
    sock_event_t event;

    while (sock_monitor_read (self->front.monitor, &event) == 1) {
        conn_t *conn = link_by_fd (&self->front, event.value);
        knock_event (&self->front.knock, "front", &event, self->now);
        if (event.event == ZMQ_EVENT_DISCONNECTED && conn)
            lose (self, conn);
    }
}

void front_forget (links_t *self, session_t *session)
{
    event_t event = {.type = EVENT_SESSION_GONE, .u.session = {.id = session->id}};
    job_t *job;

    while ((job = session->verifies)) {
        session->verifies = job->next;
        links_release (self, job);
    }
    clients_remove (self->clients, &session);
    links_step (self, &event);
}

static void lost (links_t *self, const envelope_from_t *from, int code)
{
    if (code == DFS_EAGAIN)
        links_drop (self, "front", from, "client does not read its answers");
    else if (code != DFS_EUNAVAIL)
        links_drop (self, "front", from, dfs_error_name (code));
}

static int send_answer (links_t *self, job_t *job)
{
    conn_t *conn = link_conn (&self->front, &job->from.route);

    return conn ? outbox_send (&self->front, conn, &job->answer)
                : envelope_send (self->front.sock, &job->from.route, 0, &job->answer);
}

/* Answers carry the trace of their question. */
static void note_answer (const job_t *job)
{
    const Dfs__Status *status = job->answer.status;
    char text[256];

    if (!job->answer.has_trace || !status || status->code >= 0)
        return;
    enum log_level level =
        dfs_error_status (status->code) >= REFUSAL_STATUS ? LOG_INFO : LOG_DEBUG;
    if (log_get_level () >= level)
        log_event (level, "refused", "req=%016" PRIx64 " code=%s err=%s",
                   job->answer.trace, dfs_error_name (status->code),
                   log_quote (text, sizeof text, status->text ? status->text : ""));
}

/* A question of SESSION came: its answer tells how long it took, if that is wanted. */
static void note_question (links_t *self, session_t *session, const Dfs__Envelope *env)
{
    size_t i = session->n_asked++ % SESSION_ASKED;

    session->traced = env->has_traced && env->traced;
    session->asked[i].seq = env->seq;
    session->asked[i].came = self->now;
    session->asked[i].trace = session->trace;
    session->asked[i].kind = envelope_kind (env);
}

/* ANSWER goes to SESSION: tells (if wanted) how long it took, logs it when that was
 * long. */
static void note_spent (links_t *self, session_t *session, Dfs__Envelope *answer)
{
    if (!answer->has_seq || answer->seq == 0)
        return;
    for (size_t i = 0; i < SESSION_ASKED; i++) {
        if (session->asked[i].seq != answer->seq)
            continue;
        uint64_t now = clock_mono ();
        uint64_t spent =
            now > session->asked[i].came ? now - session->asked[i].came : 0;

        session->asked[i].seq = 0;
        if (log_is_slow (spent))
            log_warn ("slow", "req=%016" PRIx64 " kind=%s ms=%" PRIu64,
                      session->asked[i].trace, session->asked[i].kind,
                      (uint64_t)(spent / MS));
        if (session->traced) {
            answer->has_spent_us = true;
            answer->spent_us = spent / 1000;
            answer->node = self->config.broker->name;
            answer->kind = (char *)(uintptr_t)session->asked[i].kind;
        }
        return;
    }
}

void front_reply (links_t *self, job_t *job)
{
    session_t *session =
        job->session ? clients_get (self->clients, job->session) : NULL;

    note_answer (job);
    if (session)
        note_spent (self, session, &job->answer);
    int rc = send_answer (self, job);

    if (rc == DFS_ETOOBIG) {
        job_refuse (job, DFS_ETOOBIG, "answer is too large");
        rc = send_answer (self, job);
    }
    if (rc < 0)
        lost (self, &job->from, rc);
}

void front_refuse (links_t *self, job_t *job, int code, const char *text)
{
    job_refuse (job, code, text);
    front_reply (self, job);
}

void front_send (links_t *self, session_t *session, Dfs__Envelope *env)
{
    if (!session->conn)
        return;
    env->has_session = true;
    env->session = session->id;
    note_spent (self, session, env);
    int rc = outbox_send (&self->front, session->conn, env);
    if (rc < 0)
        lost (self, NULL, rc);
}

void front_not_leader (links_t *self, job_t *job)
{
    const char *leader = links_leader (self);
    char text[CORE_NAME_MAX + 64];

    if (!agree_fit (self))
        snprintf (text, sizeof text,
                  "the namespace of broker %.63s is not to be believed",
                  self->config.broker->name);
    else if (self->stall.hangs)
        snprintf (text, sizeof text,
                  "the disk of the namespace of broker %.63s does not answer",
                  self->config.broker->name);
    else if (leader && strcmp (leader, self->config.broker->name) == 0)
        snprintf (text, sizeof text, "this broker has begun to lead, but not to serve");
    else if (leader)
        snprintf (text, sizeof text, "broker %.63s leads, not this one", leader);
    else
        snprintf (text, sizeof text, "no broker leads: no majority is together");
    job_refuse (job, DFS_ENOTLEADER, text);
    if (leader) {
        arena_reset (self->scratch);
        job->answer.status->leader = links_text (self, leader);
    }
    front_reply (self, job);
}

void front_leave (links_t *self)
{
    Dfs__Status status = DFS__STATUS__INIT;
    const char *leader = links_leader (self);
    char name[sizeof self->leader], text[] = "this broker does not lead any more";
    session_t *session;
    size_t pos = 0;

    status.code = DFS_ENOTLEADER;
    status.text = text;
    if (leader) {
        snprintf (name, sizeof name, "%s", leader);
        status.leader = name;
    }
    while ((session = idmap_next (self->clients->by_id, &pos))) {
        Dfs__Envelope env = DFS__ENVELOPE__INIT;

        env.status = &status;
        front_send (self, session, &env);
        if (session->conn)
            session->conn->session = NULL;
        while (session->verifies) {
            job_t *job = session->verifies;
            session->verifies = job->next;
            job->next = NULL;
            links_release (self, job);
        }
    }
    clients_clear (self->clients);
}

/* What a broker that does not lead answers to those for whom it will do. */
static bool may_be_stale (const links_t *self, Dfs__Envelope__BodyCase body)
{
    if ((!agree_fit (self) || self->stall.hangs) &&
        body != DFS__ENVELOPE__BODY_CLUSTER_STATUS)
        return false;
    switch (body) {
    case DFS__ENVELOPE__BODY_STAT:
    case DFS__ENVELOPE__BODY_LIST:
    case DFS__ENVELOPE__BODY_OPEN:
    case DFS__ENVELOPE__BODY_EXTENTS:
    case DFS__ENVELOPE__BODY_LOCATE:
    case DFS__ENVELOPE__BODY_FETCH:
    case DFS__ENVELOPE__BODY_CANCEL:
    case DFS__ENVELOPE__BODY_CLUSTER_STATUS:
        return true;
    default:
        return false;
    }
}

static void dispatch (links_t *self, job_t *job)
{
    const link_row_t *row = front_row (job->env->body_case);
    conn_t *conn = link_conn (&self->front, &job->from.route);

    envelope_answer (&job->answer, job->env);
    if (!row) {
        links_drop (self, "front", &job->from, "not a client's message");
        return;
    }
    if (row->role != DFS__ROLE__ROLE_NONE) {
        /* It ended with the leadership: the client says hello to whoever leads. */
        if ((!conn || !conn->session) && links_several (self)) {
            front_not_leader (self, job);
            return;
        }
        if (!conn || !conn->session) {
            front_refuse (self, job, DFS_ESTALE, "no session: say hello first");
            return;
        }
        if (!links_serves (self) &&
            !(conn->session->stale && may_be_stale (self, job->env->body_case))) {
            front_not_leader (self, job);
            return;
        }
        if (job->env->has_time_left_ms)
            job->expires = clock_mono () + job->env->time_left_ms * MS;
        job->stale = conn->session->stale;
        job->session = conn->session->id;
        job->user = conn->session->user;
        conn->session->trace = job->env->has_trace ? job->env->trace : 0;
        note_question (self, conn->session, job->env);
        if (conn->session->trace)
            log_debug ("request", "req=%016" PRIx64 " kind=%s session=%016" PRIx64,
                       conn->session->trace, envelope_kind (job->env), job->session);
    }
    row->handler (self, conn, job);
}

void front_drain (links_t *self)
{
    for (int i = 0; i < DRAIN_MAX; i++) {
        job_t *job = links_job (self);
        dfs_error_t err;

        int rc = envelope_recv (self->front.sock, true, false, job->arena, &job->from,
                                &job->env, &err);
        if (rc > 0)
            dispatch (self, job);
        else if (rc < 0)
            links_drop (self, "front", &job->from, err.text);
        links_release (self, job);
        if (rc == 0)
            return;
    }
}

/* --- hello --- */

static bool same_peer (const session_t *session, const conn_t *conn, uint32_t user)
{
    return session->user == user && session->has_key == conn->has_key &&
           memcmp (session->key, conn->key, sizeof conn->key) == 0;
}

/* The session that the client goes on with, or a new one. One that is not known here
 * any more (this broker was restarted) is taken up under its old number: what it sent
 * before stands in the log under that. */
static session_t *find_session (links_t *self, conn_t *conn, const Dfs__Hello *hello,
                                uint32_t user)
{
    uint64_t resume = hello->has_resume ? hello->resume : 0;
    session_t *session = resume ? clients_get (self->clients, resume) : conn->session;

    if (session && !same_peer (session, conn, user))
        return NULL;
    if (!session)
        session = clients_add (self->clients, resume);
    if (!session)
        return NULL;
    session->user = user;
    session->stale = hello->has_stale && hello->stale;
    session->has_key = conn->has_key;
    memcpy (session->key, conn->key, sizeof session->key);
    session_t *left = conn->session != session ? conn->session : NULL;
    if (session->conn && session->conn != conn)
        session->conn->session = NULL;
    session->conn = conn;
    conn->session = session;
    if (left) { /* by its own will: it does not come back */
        left->conn = NULL;
        front_forget (self, left);
    }
    return session;
}

static void welcome (links_t *self, session_t *session, job_t *job)
{
    uint64_t most = self->config.cluster->inline_max;
    Dfs__Welcome *w = hello_welcome (self);
    Dfs__Policy *policy = roster_policy (self->roster);

    w->session = session->id;
    w->policy = policy;
    w->has_inline_max = w->has_user = w->has_max_place = true;
    if (most > self->inline_max) /* what the log says counts */
        most = self->inline_max;
    /* A voter is a copy: nothing is inlined where they are fewer than replicas. */
    w->inline_max = policy && self->voters >= policy->replicas ? most : 0;
    w->user = session->user;
    w->max_place = CORE_PLACE_ITEMS;
    w->has_policies = w->policies = roster_policies_many (self->roster);
    job->answer.has_session = true;
    job->answer.session = session->id;
    job->answer.body_case = DFS__ENVELOPE__BODY_WELCOME;
    job->answer.welcome = w;
    front_reply (self, job);
}

/* What the workers at the address of the client at FD have in common; false when there
 * are none. */
static bool find_place (links_t *self, int fd, char place[CORE_LOCATION_MAX])
{
    uint8_t client[16];
    const conn_t *conn = NULL;
    bool found = false;

    if (!near_address (fd, client))
        return false;
    while ((conn = near_find (self->near, client, conn))) {
        const Dfs__Member *m = roster_worker_id (self->roster, conn->worker);

        /* One that said hello on another connection since is there, too. */
        if (!m || !m->location || back_worker (self, conn->worker) != conn)
            continue;
        if (found)
            near_common (place, m->location);
        else
            snprintf (place, CORE_LOCATION_MAX, "%s", m->location);
        found = true;
    }
    return found;
}

void front_hello (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Hello *hello = job->env->hello;
    dfs_error_t err;

    int rc = hello_check (self, job, DFS__ROLE__ROLE_CLIENT, "front", &err);
    if (rc < 0) {
        links_drop (self, "front", &job->from, err.text);
        front_refuse (self, job, rc, err.text);
        return;
    }
    const Dfs__User *user = roster_user (self->roster, hello->name);
    bool stale = hello->has_stale && hello->stale && roster_seeded (self->roster);
    if (!links_serves (self) && !stale) {
        front_not_leader (self, job);
        return;
    }
    if (!user) {
        front_refuse (self, job, DFS_EAUTH, "no such user");
        return;
    }
    /* The monitor has told by now if this descriptor had another connection before. */
    front_closed (self);
    conn = link_hello (&self->front, &job->from);
    session_t *session = conn ? find_session (self, conn, hello, user->id) : NULL;
    if (!session) {
        bool full = !conn || clients_full (self->clients);
        links_drop (self, "front", &job->from, "no session for this hello");
        front_refuse (self, job, full ? DFS_EAGAIN : DFS_EAUTH,
                      full ? "too many clients at once" : "this session cannot be had");
        return;
    }
    char place[CORE_LOCATION_MAX];
    event_t event = {.type = EVENT_SESSION_OPEN,
                     .u.session = {.id = session->id, .user = session->user}};
    if (find_place (self, conn->fd, place))
        event.u.session.location = place;
    memcpy (event.u.session.client_key, session->key, sizeof session->key);
    links_step (self, &event);
    welcome (self, session, job);
}

void front_ping (links_t *self, conn_t *conn, job_t *job)
{
    static Dfs__Ping ping = DFS__PING__INIT;

    if (links_several (self) && (!conn || !conn->session)) {
        front_not_leader (self, job);
        return;
    }
    job->answer.body_case = DFS__ENVELOPE__BODY_PING;
    job->answer.ping = &ping;
    front_reply (self, job);
}
