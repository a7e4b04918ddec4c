/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/client.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/units.h"

#define DRAIN        64
#define POLL_ITEMS   1024
#define SLICE_BUDGET (64 * MIB)
#define STEPS_WAIT   (2 * SEC)
#define TICK         (100 * MS) /* the longest sleep: progress, late pieces */

static void went_down (dfs_t *dfs)
{
    dfs_error_t why;

    conn_failure (dfs->conn, &why);
    client_log (dfs, LOG_INFO, "disconnected why=\"%s\"", why.text);
}

int client_enter (dfs_t *dfs, dfs_error_t *err)
{
    if (!dfs)
        return fail (err, DFS_EINVAL, "no handle");
    if (dfs->pid != getpid ())
        return fail (err, DFS_EFORK, "handle used after fork");
    if (dfs->busy)
        return fail (err, DFS_EINVAL, "handle used inside a callback");
    dfs->busy = true;
    dfs->progress_at = clock_mono ();
    /* One number for all that this call causes, on every host. */
    requests_set_trace (dfs->requests, rng_secret_u64 ());
    if (dfs->trace)
        trace_begin (dfs->trace);
    client_log (dfs, LOG_DEBUG, "operation req=%016" PRIx64,
                requests_trace (dfs->requests));
    /* What happened since the last call: nothing is sent on a connection that is gone.
     */
    conn_begin (dfs->conn);
    if (conn_tick (dfs->conn, dfs->progress_at) == CONN_DOWN)
        went_down (dfs);
    return 0;
}

void client_leave (dfs_t *dfs)
{
    dfs->busy = false;
    if (dfs->trace) {
        size_t n;
        uint64_t ns;
        const dfs_hop_t *hops = trace_hops (dfs->trace, &n, &ns);
        if (n > 0)
            dfs->trace_done (requests_trace (dfs->requests), ns, hops, n,
                             dfs->trace_arg);
    }
}

void client_progress (dfs_t *dfs)
{
    dfs->progress_at = clock_mono ();
}

int client_stalled (dfs_t *dfs, dfs_error_t *err)
{
    dfs_error_t why;

    if (clock_mono () - dfs->progress_at < dfs->timeout_ns)
        return 0;
    if (!conn_up (dfs->conn))
        conn_failure (dfs->conn, &why);
    else
        fail (&why, DFS_ETIMEOUT, "no progress for %llu s",
              (unsigned long long)(dfs->timeout_ns / SEC));
    return fail (err, why.code, "%.400s%s", why.text,
                 changes_unsure (dfs->changes) ? "; what was asked may yet be done"
                                               : "");
}

void client_log (dfs_t *dfs, int level, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    if (!dfs->log)
        return;
    va_start (args, fmt);
    vsnprintf (line, sizeof line, fmt, args);
    va_end (args);
    dfs->log (level, line, dfs->log_arg);
}

int client_threads (dfs_t *dfs, dfs_error_t *err)
{
    long cpus = sysconf (_SC_NPROCESSORS_ONLN);

    if (!dfs->pool)
        dfs->pool = pool_new (cpus < 1 ? 1 : cpus > 4 ? 4 : (size_t)cpus, err);
    if (dfs->pool && !dfs->slices) {
        dfs->slices = slice_pool_new (SLICE_BUDGET);
        if (!dfs->slices)
            return fail (err, DFS_ESYS, "eventfd");
    }
    return dfs->pool ? 0 : err ? err->code : DFS_ESYS;
}

static void came_up (dfs_t *dfs)
{
    uint64_t session = conn_facts (dfs->conn)->session;
    bool other = dfs->session != session;

    client_log (dfs, LOG_DEBUG, "connected session=%016llx",
                (unsigned long long)session);
    dfs->session = session;
    if (dfs->engine && dfs->engine->reconnected)
        dfs->engine->reconnected (dfs->engine_arg, other);
    changes_resend (dfs->changes);
    requests_resend (dfs->requests);
}

/* What a worker says about a chunk of this operation. */
static void take_steps (dfs_t *dfs, const Dfs__Traced *body)
{
    static const char *const names[] = {"?",       "receive", "store",
                                        "forward", "wait",    "send"};

    if (body->session != dfs->session)
        return;
    for (size_t i = 0; i < body->n_steps; i++) {
        const Dfs__TracedStep *s = body->steps[i];
        size_t step = (size_t)s->step;
        trace_add (dfs->trace, body->node ? body->node : "worker",
                   names[step < sizeof names / sizeof *names ? step : 0], s->us * 1000,
                   s->has_bytes ? s->bytes : 0);
    }
}

static void dispatch (dfs_t *dfs, const Dfs__Envelope *env, uint64_t now)
{
    dfs_error_t err = {0};

    if (env->body_case == DFS__ENVELOPE__BODY_STREAM_READY) {
        if (env->stream_ready->session == dfs->session &&
            streams_open (dfs->streams, env->stream_ready->worker, &err) < 0)
            client_log (dfs, LOG_WARN, "stream_refused err=\"%s\"", err.text);
        return;
    }
    if (env->body_case == DFS__ENVELOPE__BODY_TRACED_STEPS) {
        take_steps (dfs, env->traced_steps);
        return;
    }
    if (dfs->trace && env->has_spent_us)
        trace_add (dfs->trace, env->node ? env->node : "broker",
                   env->kind ? env->kind : "answer", env->spent_us * 1000, 0);
    if (changes_answer (dfs->changes, env, now)) {
        client_progress (dfs);
        return;
    }
    if (requests_answer (dfs->requests, env, now))
        return;
    if (dfs->engine && dfs->engine->message)
        dfs->engine->message (dfs->engine_arg, env);
}

static int drain_control (dfs_t *dfs, uint64_t now)
{
    for (int i = 0; i < DRAIN; i++) {
        enum conn_news news;
        Dfs__Envelope *env;
        arena_reset (dfs->arena);
        int rc = conn_recv (dfs->conn, dfs->arena, &env, &news);
        if (rc == 0)
            return 0;
        if (rc < 0) {
            client_log (dfs, LOG_WARN, "bad_message code=%s", dfs_error_name (rc));
            if (rc != DFS_EPROTO)
                return 0;
            continue;
        }
        if (news == CONN_FAILED)
            return -1;
        if (news == CONN_UP)
            came_up (dfs);
        if (news == CONN_DOWN)
            went_down (dfs);
        if (env)
            dispatch (dfs, env, now);
    }
    return 0;
}

static void drain_frames (dfs_t *dfs)
{
    dfs_error_t err = {0};
    frame_t frame;

    for (int i = 0; i < DRAIN; i++) {
        if (!dfs->engine || !dfs->engine->frame ||
            !dfs->engine->reading (dfs->engine_arg))
            break;
        zmq_msg_t bytes;
        zmq_msg_init (&bytes);
        int rc = streams_recv (dfs->streams, &frame, &bytes, &err);
        if (rc == 1 && frame.session == dfs->session)
            dfs->engine->frame (dfs->engine_arg, &frame, &bytes);
        else if (rc < 0)
            client_log (dfs, LOG_WARN, "bad_frame err=\"%s\"", err.text);
        zmq_msg_close (&bytes);
        if (rc == 0)
            break;
    }
}

static void watch_workers (dfs_t *dfs)
{
    char why[128];
    uint32_t worker;

    while ((worker = streams_ended (dfs->streams)) != 0)
        if (dfs->engine && dfs->engine->stream_ended)
            dfs->engine->stream_ended (dfs->engine_arg, worker);
    while ((worker = uplinks_broken (dfs->uplinks, why, sizeof why)) != 0)
        if (dfs->engine && dfs->engine->uplink_broken)
            dfs->engine->uplink_broken (dfs->engine_arg, worker, why);
}

static void empty_eventfd (int fd)
{
    uint64_t count;
    ssize_t rc = read (fd, &count, sizeof count);
    (void)rc;
}

static void sleep_until (dfs_t *dfs, uint64_t deadline)
{
    zmq_pollitem_t items[POLL_ITEMS];
    int n = conn_poll (dfs->conn, items), slices = -1;
    bool reading = dfs->engine && dfs->engine->frame && dfs->engine->reading &&
                   dfs->engine->reading (dfs->engine_arg);

    n += streams_poll (dfs->streams, reading, items + n);
    if (dfs->pool)
        items[n++] = (zmq_pollitem_t){.fd = pool_fd (dfs->pool), .events = ZMQ_POLLIN};
    if (dfs->slices) {
        slices = n;
        items[n++] =
            (zmq_pollitem_t){.fd = slice_pool_fd (dfs->slices), .events = ZMQ_POLLIN};
    }
    n += (int)uplinks_poll (dfs->uplinks, items + n, POLL_ITEMS - (size_t)n);
    uint64_t now = clock_mono ();
    if (deadline > now + TICK)
        deadline = now + TICK;
    long ms = deadline > now ? (long)((deadline - now + MS - 1) / MS) : 0;
    if (zmq_poll (items, n, ms) > 0 && slices >= 0 && items[slices].revents)
        empty_eventfd (slice_pool_fd (dfs->slices));
}

int client_step (dfs_t *dfs, uint64_t deadline, dfs_error_t *err)
{
    uint64_t now = clock_mono (), next;
    enum conn_news news;

    next = conn_next (dfs->conn);
    deadline = next < deadline ? next : deadline;
    next = requests_tick (dfs->requests, now);
    deadline = next < deadline ? next : deadline;
    next = changes_flush (dfs->changes, now);
    deadline = next < deadline ? next : deadline;
    sleep_until (dfs, deadline);

    now = clock_mono ();
    if (drain_control (dfs, now) < 0)
        return conn_failure (dfs->conn, err);
    news = conn_tick (dfs->conn, now);
    if (news == CONN_FAILED)
        return conn_failure (dfs->conn, err);
    if (news == CONN_DOWN)
        went_down (dfs);
    drain_frames (dfs);
    watch_workers (dfs);
    if (dfs->pool)
        pool_collect (dfs->pool, dfs->engine_arg);
    return 0;
}

void client_steps (dfs_t *dfs, const char *step, uint64_t n)
{
    uint64_t deadline = clock_mono () + STEPS_WAIT;

    while (dfs->trace && trace_times (dfs->trace, step) < n &&
           clock_mono () < deadline && client_step (dfs, deadline, NULL) == 0)
        ;
}

int client_wait (dfs_t *dfs, const bool *done, dfs_error_t *err)
{
    while (!*done) {
        int rc = client_step (dfs, UINT64_MAX, err);
        if (rc == 0 && !*done)
            rc = client_stalled (dfs, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

typedef struct ask {
    bool done;
    int code;
    int (*use) (void *arg, const Dfs__Envelope *reply, dfs_error_t *err);
    void *arg;
    dfs_error_t *err;
} ask_t;

static void ask_done (void *arg, int code, const Dfs__Envelope *reply,
                      const dfs_error_t *err)
{
    ask_t *ask = arg;

    ask->done = true;
    ask->code = code < 0 ? fail (ask->err, code, "%s", err->text)
                         : ask->use (ask->arg, reply, ask->err);
}

int client_ask (dfs_t *dfs, Dfs__Envelope *env, uint64_t retry_ns,
                int (*use) (void *arg, const Dfs__Envelope *reply, dfs_error_t *err),
                void *arg, dfs_error_t *err)
{
    ask_t ask = {.use = use, .arg = arg, .err = err};

    if (requests_send (dfs->requests, env, retry_ns, ask_done, &ask) == 0)
        return fail (err, DFS_ETOOBIG, "too large for a message");
    int rc = client_wait (dfs, &ask.done, err);
    if (rc < 0) {
        requests_forget (dfs->requests, &ask);
        return rc;
    }
    return ask.code;
}
