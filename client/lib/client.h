/* SPDX-License-Identifier: MPL-2.0 */
/* What the parts of libdfs share: the object behind dfs_t and its event loop, which
 * runs in the caller's thread while an operation is under way. One thread at a time. */
#ifndef CLIENT_LIB_CLIENT_H
#define CLIENT_LIB_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/lib/change.h"
#include "client/lib/conn.h"
#include "client/lib/dfs.h"
#include "client/lib/pool.h"
#include "client/lib/request.h"
#include "client/lib/slice.h"
#include "client/lib/streams.h"
#include "client/lib/uplink.h"
#include "common/arena.h"
#include "client/lib/trace.h"
#include "common/error.h"
#include "common/log.h"
#include "msgs/cluster.h"

/* An operation that moves chunks hears of what happens; members may be NULL. */
typedef struct engine {
    /* Placed, Durable, Credit, Refused, Fetching and SendRefused that no question was
     * waiting for. */
    void (*message) (void *arg, const Dfs__Envelope *env);
    /* Takes BYTES' content (zmq_msg_move). */
    void (*frame) (void *arg, const frame_t *frame, zmq_msg_t *bytes);
    /* Frames may be read now (memory is free). */
    bool (*reading) (void *arg);
    void (*stream_ended) (void *arg, uint32_t worker);
    void (*uplink_broken) (void *arg, uint32_t worker, const char *why);
    void (*reconnected) (void *arg, bool new_session);
} engine_t;

struct dfs {
    pid_t pid;
    bool busy; /* inside a call */
    cluster_t *cluster;
    char *user;
    uint64_t timeout_ns;
    bool stale;
    void (*log) (int level, const char *line, void *arg);
    void *log_arg;
    dfs_trace_f *trace_done;
    void *trace_arg;
    trace_t *trace; /* NULL: not wanted */
    void *ctx;      /* ZeroMQ */
    sock_identity_t id;
    conn_t *conn;
    requests_t *requests;
    changes_t *changes;
    streams_t *streams;
    uplinks_t *uplinks;
    pool_t *pool;         /* made when first needed */
    slice_pool_t *slices; /* same */
    arena_t *arena;       /* of the message being handled */
    const engine_t *engine;
    void *engine_arg;
    uint64_t session;     /* last seen */
    uint64_t next_piece;  /* numbers of pieces, unique in a session */
    uint64_t progress_at; /* the running operation got on */
};

/* At the start and end of every public call. Refuses a NULL or forked handle, and calls
 * from inside a callback. */
int client_enter (dfs_t *dfs, dfs_error_t *err);
void client_leave (dfs_t *dfs);
/* One turn of the loop, waiting at most until DEADLINE (clock_mono). Fails when the
 * broker refused us for good. */
int client_step (dfs_t *dfs, uint64_t deadline, dfs_error_t *err);
/* With a trace: waits a moment for what workers have yet to tell about STEP, of which
 * there should be N. */
void client_steps (dfs_t *dfs, const char *step, uint64_t n);
/* The running operation got on. */
void client_progress (dfs_t *dfs);
/* Fails when the running operation has not got on for the time given. */
int client_stalled (dfs_t *dfs, dfs_error_t *err);
/* Makes pool and slices. */
int client_threads (dfs_t *dfs, dfs_error_t *err);
/* Turns until *DONE. */
int client_wait (dfs_t *dfs, const bool *done, dfs_error_t *err);
void client_log (dfs_t *dfs, int level, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));

/* Asks ENV and waits. USE is called with the reply, which is borrowed; what it returns
 * is returned. */
int client_ask (dfs_t *dfs, Dfs__Envelope *env, uint64_t retry_ns,
                int (*use) (void *arg, const Dfs__Envelope *reply, dfs_error_t *err),
                void *arg, dfs_error_t *err);

#endif
