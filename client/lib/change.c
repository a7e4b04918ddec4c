/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/change.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/envelope.h"

#define BUCKETS      1024
#define MESSAGE_OPS  256
#define MESSAGE_LEN  (900 * 1024)
#define MESSAGES     16 /* in flight; ids are remembered in one row of bits */
#define MESSAGES_ANY 2  /* up to here a message goes out with whatever waits */
#define WINDOW       3072 /* numbers ahead of the oldest: results are remembered of more */
#define SILENCE      (5 * SEC)
#define BUSY_MIN     (20 * MS)
#define BUSY_MAX     (1 * SEC)

TAILQ_HEAD (change_queue, change);

typedef struct message {
    uint64_t seq; /* 0: free */
    uint64_t due; /* repeat when silent until then */
    size_t open;  /* changes not answered */
} message_t;

struct changes {
    conn_t *conn;
    requests_t *requests;
    arena_t *arena;
    uint64_t next_id;
    struct change_queue live; /* all that are not answered, by id */
    struct change_queue wait; /* to send */
    size_t n_live, n_wait;
    change_t *buckets[BUCKETS]; /* by id */
    message_t messages[MESSAGES];
    uint64_t not_before; /* the broker was busy */
    uint64_t busy;
};

changes_t *changes_new (conn_t *conn, requests_t *requests)
{
    changes_t *self = calloc (1, sizeof *self);
    assert (self);
    self->conn = conn;
    self->requests = requests;
    self->arena = arena_new (8 * 1024 * 1024);
    self->busy = BUSY_MIN;
    TAILQ_INIT (&self->live);
    TAILQ_INIT (&self->wait);
    return self;
}

void changes_destroy (changes_t **self_p)
{
    changes_t *self = *self_p;

    if (!self)
        return;
    arena_destroy (&self->arena);
    free (self);
    *self_p = NULL;
}

void changes_add (changes_t *self, change_t *change)
{
    change->since = clock_mono ();
    change->id = ++self->next_id;
    change->message = 0;
    change->sent = false;
    change->bucket = self->buckets[change->id % BUCKETS];
    self->buckets[change->id % BUCKETS] = change;
    TAILQ_INSERT_TAIL (&self->live, change, live);
    TAILQ_INSERT_TAIL (&self->wait, change, wait);
    self->n_live++;
    self->n_wait++;
}

static change_t *find (changes_t *self, uint64_t id)
{
    change_t *change = self->buckets[id % BUCKETS];
    while (change && change->id != id)
        change = change->bucket;
    return change;
}

static message_t *message_of (changes_t *self, uint64_t seq)
{
    for (size_t i = 0; i < MESSAGES; i++)
        if (seq && self->messages[i].seq == seq)
            return &self->messages[i];
    return NULL;
}

/* CHANGE is no longer under way by its message. */
static void land (changes_t *self, change_t *change)
{
    message_t *message = message_of (self, change->message);
    if (message && --message->open == 0)
        message->seq = 0;
    change->message = 0;
}

void changes_drop (changes_t *self, change_t *change)
{
    if (change->id == 0)
        return;
    if (change->message)
        land (self, change);
    else {
        TAILQ_REMOVE (&self->wait, change, wait);
        self->n_wait--;
    }
    change_t **at = &self->buckets[change->id % BUCKETS];
    while (*at != change)
        at = &(*at)->bucket;
    *at = change->bucket;
    TAILQ_REMOVE (&self->live, change, live);
    self->n_live--;
    change->id = 0;
}

bool changes_unsure (const changes_t *self)
{
    const change_t *change;

    TAILQ_FOREACH (change, &self->live, live)
    if (change->sent)
        return true;
    return false;
}

size_t changes_open (const changes_t *self)
{
    return self->n_live;
}

/* Puts CHANGE back among those that wait, in order of ids. */
static void again (changes_t *self, change_t *change)
{
    change_t *at = TAILQ_FIRST (&self->wait);

    if (change->message == 0)
        return;
    land (self, change);
    while (at && at->id < change->id)
        at = TAILQ_NEXT (at, wait);
    if (at)
        TAILQ_INSERT_BEFORE (at, change, wait);
    else
        TAILQ_INSERT_TAIL (&self->wait, change, wait);
    self->n_wait++;
}

static void message_again (changes_t *self, uint64_t seq)
{
    change_t *change;

    TAILQ_FOREACH (change, &self->live, live)
    if (change->message == seq)
        again (self, change);
}

void changes_resend (changes_t *self)
{
    change_t *change;

    TAILQ_FOREACH (change, &self->live, live)
    again (self, change);
    self->not_before = 0;
}

/* One message of what waits; false when all of that is too far ahead of the oldest one
 * that is not answered. */
static bool send_message (changes_t *self, message_t *message, uint64_t now)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Change body = DFS__CHANGE__INIT;
    Dfs__Request *requests[MESSAGE_OPS];
    change_t *change, *took[MESSAGE_OPS];
    size_t n = 0, len = 0;
    uint64_t oldest = TAILQ_FIRST (&self->live)->id;

    arena_reset (self->arena);
    TAILQ_FOREACH (change, &self->wait, wait)
    {
        if (n == MESSAGE_OPS || change->id >= oldest + WINDOW)
            break;
        Dfs__Request *request = arena_alloc (self->arena, sizeof *request);
        Dfs__Op *op = arena_alloc (self->arena, sizeof *op);
        assert (request && op);
        dfs__request__init (request);
        dfs__op__init (op);
        request->request = change->id;
        request->op = op;
        change->build (change, self->arena, op);
        len += dfs__request__get_packed_size (request) + 8;
        if (n > 0 && len > MESSAGE_LEN)
            break;
        took[n] = change;
        requests[n++] = request;
    }
    if (n == 0)
        return false;
    body.requests = requests;
    body.n_requests = n;
    body.has_done_below = true;
    body.done_below = TAILQ_FIRST (&self->live)->id;
    env.body_case = DFS__ENVELOPE__BODY_CHANGE;
    env.change = &body;
    env.version = ENVELOPE_VERSION;
    env.has_session = true;
    env.session = conn_facts (self->conn)->session;
    env.has_seq = true;
    env.seq = requests_seq (self->requests);
    env.trace = requests_trace (self->requests);
    env.has_trace = env.trace != 0;
    env.has_traced = env.traced = requests_hops (self->requests) != NULL;
    zmq_msg_t msg;
    zmq_msg_init_size (&msg, dfs__envelope__get_packed_size (&env));
    dfs__envelope__pack (&env, zmq_msg_data (&msg));
    if (conn_send (self->conn, &msg) < 0) {
        zmq_msg_close (&msg);
        self->not_before = now + BUSY_MIN;
        return true;
    }
    message->seq = env.seq;
    message->open = n;
    message->due = now + SILENCE;
    for (size_t i = 0; i < n; i++) {
        TAILQ_REMOVE (&self->wait, took[i], wait);
        took[i]->message = env.seq;
        if (!took[i]->sent)
            took[i]->welcome = conn_welcomes (self->conn);
        took[i]->sent = true;
    }
    self->n_wait -= n;
    return true;
}

uint64_t changes_flush (changes_t *self, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    size_t busy = 0;
    message_t *unused = NULL;

    if (!conn_up (self->conn))
        return UINT64_MAX;
    for (size_t i = 0; i < MESSAGES; i++)
        if (self->messages[i].seq && self->messages[i].due <= now)
            message_again (self, self->messages[i].seq);
    while (self->n_wait > 0) {
        busy = 0;
        unused = NULL;
        for (size_t i = 0; i < MESSAGES; i++)
            if (self->messages[i].seq)
                busy++;
            else
                unused = &self->messages[i];
        if (self->not_before > now || !unused ||
            (busy >= MESSAGES_ANY && self->n_wait < MESSAGE_OPS))
            break;
        if (!send_message (self, unused, now))
            break;
    }
    if (self->n_wait > 0 && self->not_before > now)
        next = self->not_before;
    for (size_t i = 0; i < MESSAGES; i++)
        if (self->messages[i].seq && self->messages[i].due < next)
            next = self->messages[i].due;
    return next;
}

static void finish (changes_t *self, change_t *change, int code,
                    const Dfs__OpResult *result, const dfs_error_t *err)
{
    trace_since (requests_hops (self->requests), "change", change->since, 0);
    changes_drop (self, change);
    change->done (change, code, result, err);
}

static bool transient (int code)
{
    return code == DFS_EAGAIN || code == DFS_ENOTLEADER;
}

static void wait_a_little (changes_t *self, uint64_t now)
{
    self->not_before = now + self->busy;
    self->busy = self->busy * 2 < BUSY_MAX ? self->busy * 2 : BUSY_MAX;
}

/* Everything in flight was first sent in this session as it is now, expired: none of it
 * is done, and all can be asked for in another. */
static bool nothing_done (const changes_t *self)
{
    const change_t *change;

    TAILQ_FOREACH (change, &self->live, live)
    if (change->sent && change->welcome != conn_welcomes (self->conn))
        return false;
    return true;
}

bool changes_answer (changes_t *self, const Dfs__Envelope *env, uint64_t now)
{
    dfs_error_t err = {0};
    int code = env->status ? env->status->code : 0;

    if (env->body_case == DFS__ENVELOPE__BODY_CHANGED && code >= 0) {
        for (size_t i = 0; i < env->changed->n_results; i++) {
            const Dfs__ChangeResult *r = env->changed->results[i];
            change_t *change = find (self, r->request);
            code = r->result->has_code ? r->result->code : 0;
            if (!change || code > 0)
                continue;
            if (transient (code)) {
                again (self, change);
                wait_a_little (self, now);
                continue;
            }
            if (code == DFS_EEXPIRED && nothing_done (self)) {
                again (self, change);
                conn_renew (self->conn);
                continue;
            }
            self->busy = BUSY_MIN;
            fail (&err, code, "%.400s",
                  r->result->text ? r->result->text : dfs_error_text (code));
            finish (self, change, code, r->result, &err);
        }
        return true;
    }
    message_t *message = env->has_seq ? message_of (self, env->seq) : NULL;
    if (!message || code >= 0)
        return message != NULL;
    /* the message as a whole was refused */
    if (transient (code)) {
        message_again (self, env->seq);
        wait_a_little (self, now);
        return true;
    }
    fail (&err, code, "%.400s",
          env->status->text ? env->status->text : dfs_error_text (code));
    uint64_t seq = env->seq;
    change_t *change = TAILQ_FIRST (&self->live);
    while (change)
        if (change->message == seq) {
            finish (self, change, code, NULL, &err);
            change = TAILQ_FIRST (&self->live); /* done () may have dropped any */
        } else
            change = TAILQ_NEXT (change, live);
    return true;
}
