/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/envelope.h"

#define RETRY_DEFAULT (5 * SEC)
#define BUSY_MIN      (20 * MS) /* after "busy, try again" */
#define BUSY_MAX      (1 * SEC)

typedef struct request {
    struct request *next;
    uint64_t seq;
    uint64_t session; /* packed in */
    uint64_t retry_ns;
    uint64_t due; /* send (again) at */
    uint64_t busy;
    uint64_t asked_at;
    const char *kind; /* static */
    request_done_f *done;
    void *arg;
    zmq_msg_t msg; /* packed; sent as copies that share its bytes */
} request_t;

struct requests {
    conn_t *conn;
    uint64_t seq;
    uint64_t trace;
    trace_t *hops;
    uint64_t patience_ns;
    request_t *head; /* oldest first */
    request_t **tail;
    size_t n;
};

requests_t *requests_new (conn_t *conn)
{
    requests_t *self = calloc (1, sizeof *self);
    assert (self);
    self->conn = conn;
    self->tail = &self->head;
    return self;
}

static request_t *unlink_at (requests_t *self, request_t **at)
{
    request_t *request = *at;

    *at = request->next;
    if (self->tail == &request->next)
        self->tail = at;
    self->n--;
    return request;
}

static void request_free (request_t *request)
{
    zmq_msg_close (&request->msg);
    free (request);
}

void requests_destroy (requests_t **self_p)
{
    requests_t *self = *self_p;

    if (!self)
        return;
    requests_forget (self, NULL);
    free (self);
    *self_p = NULL;
}

void requests_forget (requests_t *self, const void *arg)
{
    request_t **at = &self->head;

    while (*at)
        if (!arg || (*at)->arg == arg)
            request_free (unlink_at (self, at));
        else
            at = &(*at)->next;
}

void requests_cancel (requests_t *self, void (*release) (void *arg))
{
    while (self->head) {
        release (self->head->arg);
        request_free (unlink_at (self, &self->head));
    }
}

size_t requests_open (const requests_t *self)
{
    return self->n;
}

void requests_set_trace (requests_t *self, uint64_t trace)
{
    self->trace = trace;
}

void requests_set_hops (requests_t *self, trace_t *hops)
{
    self->hops = hops;
}

trace_t *requests_hops (const requests_t *self)
{
    return self->hops;
}

void requests_set_patience (requests_t *self, uint64_t ns)
{
    self->patience_ns = ns;
}

uint64_t requests_trace (const requests_t *self)
{
    return self->trace;
}

uint64_t requests_seq (requests_t *self)
{
    return ++self->seq;
}

static int pack (zmq_msg_t *msg, Dfs__Envelope *env)
{
    env->version = ENVELOPE_VERSION;
    size_t len = dfs__envelope__get_packed_size (env);
    if (len > ENVELOPE_MAX || zmq_msg_init_size (msg, len) != 0)
        return DFS_ETOOBIG;
    dfs__envelope__pack (env, zmq_msg_data (msg));
    return 0;
}

/* The session changed (the old one had left no trace): the same question under it. */
static void repack (request_t *request, uint64_t session)
{
    Dfs__Envelope *env = dfs__envelope__unpack (NULL, zmq_msg_size (&request->msg),
                                                zmq_msg_data (&request->msg));
    assert (env); /* we packed it */
    env->has_session = true;
    env->session = session;
    zmq_msg_t msg;
    if (pack (&msg, env) == 0) {
        zmq_msg_close (&request->msg);
        request->msg = msg;
        request->session = session;
    }
    dfs__envelope__free_unpacked (env, NULL);
}

static void send_now (requests_t *self, request_t *request, uint64_t now)
{
    uint64_t session = conn_facts (self->conn)->session;
    zmq_msg_t copy;

    if (!conn_up (self->conn)) {
        request->due = UINT64_MAX; /* requests_resend does it */
        return;
    }
    if (request->session != session)
        repack (request, session);
    zmq_msg_init (&copy);
    zmq_msg_copy (&copy, &request->msg);
    if (conn_send (self->conn, &copy) == 0)
        request->due = now + request->retry_ns;
    else {
        zmq_msg_close (&copy);
        request->due = now + BUSY_MIN;
    }
}

uint64_t requests_send (requests_t *self, Dfs__Envelope *env, uint64_t retry_ns,
                        request_done_f *done, void *arg)
{
    request_t *request = calloc (1, sizeof *request);
    assert (request);
    request->session = conn_facts (self->conn)->session;
    env->has_session = true;
    env->session = request->session;
    env->has_seq = true;
    env->seq = request->seq = requests_seq (self);
    env->has_trace = self->trace != 0;
    env->trace = self->trace;
    env->has_traced = env->traced = self->hops != NULL;
    env->has_time_left_ms = self->patience_ns > 0;
    env->time_left_ms = (uint32_t)(self->patience_ns / MS);
    request->kind = envelope_kind (env);
    request->asked_at = clock_mono ();
    if (pack (&request->msg, env) < 0) {
        free (request);
        return 0;
    }
    request->retry_ns = retry_ns ? retry_ns : RETRY_DEFAULT;
    request->busy = BUSY_MIN;
    request->done = done;
    request->arg = arg;
    *self->tail = request;
    self->tail = &request->next;
    self->n++;
    send_now (self, request, clock_mono ());
    return request->seq;
}

bool requests_answer (requests_t *self, const Dfs__Envelope *env, uint64_t now)
{
    request_t **at = &self->head;
    dfs_error_t err = {0};

    while (*at && (*at)->seq != env->seq)
        at = &(*at)->next;
    if (!*at || !env->has_seq)
        return false;
    int code = env->status ? env->status->code : 0;
    if (code > 0)
        code = DFS_EPROTO;
    if (code == DFS_EAGAIN || code == DFS_ENOTLEADER) {
        request_t *request = *at;
        request->due = now + request->busy;
        request->busy = request->busy * 2 < BUSY_MAX ? request->busy * 2 : BUSY_MAX;
        return true;
    }
    request_t *request = unlink_at (self, at);
    trace_since (self->hops, request->kind, request->asked_at, 0);
    if (code < 0)
        fail (&err, code, "%.400s",
              env->status->text ? env->status->text : dfs_error_text (code));
    request->done (request->arg, code, env, &err);
    request_free (request);
    return true;
}

void requests_resend (requests_t *self)
{
    uint64_t now = clock_mono ();

    for (request_t *request = self->head; request; request = request->next)
        send_now (self, request, now);
}

uint64_t requests_tick (requests_t *self, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    for (request_t *request = self->head; request; request = request->next) {
        if (request->due <= now)
            send_now (self, request, now);
        if (request->due < next)
            next = request->due;
    }
    return next;
}
