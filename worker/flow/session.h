/* SPDX-License-Identifier: MPL-2.0 */
/* The stream of one client session: a bound PUSH that only this client's key may
 * connect to, and the pieces it was ordered to send. Owned by the streams thread. */
#ifndef WORKER_FLOW_SESSION_H
#define WORKER_FLOW_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msgs/sock.h"
#include "msgs/zap.h"
#include "worker/flow/window.h"
#include "worker/links/notes.h"
#include "worker/store/store.h"

#define SESSION_PIECES 4096 /* queued at most */

typedef struct session session_t;

typedef struct stream_piece {
    uint64_t piece;
    copykey_t key;
    uint64_t offset;
    uint64_t length;
    uint64_t trace;
    bool traced; /* the client wants to hear where the time goes */
    uint64_t queued_at;
    bool keep; /* was somebody else's: not given back */
} stream_piece_t;

typedef struct session_config {
    void *ctx;
    const sock_identity_t *identity;
    zap_t *zap;
    store_t *store;
    window_t *window;
    notes_t *notes;
    const char *bind;
    uint16_t port_lo; /* 0: the kernel picks */
    uint16_t port_hi;
    bool *taken; /* 65536: ports of the range that sessions have now */
} session_config_t;

enum session_result {
    SESSION_SENT,    /* one frame went out */
    SESSION_IDLE,    /* nothing to send */
    SESSION_FULL,    /* the socket takes nothing now */
    SESSION_NO_ROOM, /* no buffer, or its share of the window is used up */
};

/* Binds the stream. CONFIG is borrowed for the session's life; CLIENT_KEY is NULL
 * without security. */
session_t *session_open (const session_config_t *config, uint64_t id,
                         const uint8_t *client_key, uint64_t now, dfs_error_t *err);
/* Tells the orderer which pieces will not come (CODE), then closes. */
void session_close (session_t **self_p, int code);

/* Queues; DFS_EAGAIN when too many wait. ORDERER: link to answer through. */
int session_queue (session_t *self, const stream_piece_t *piece, int orderer,
                   uint64_t now);
void session_cancel (session_t *self, uint64_t piece);
/* Gives back pieces that are not begun, the last first, at most BYTES of them and never
 * the only one; returns their bytes. ORDERER hears which. */
uint64_t session_yield (session_t *self, uint64_t bytes, int orderer);
/* Tells the client where its stream is unless it is there or was told a moment ago. */
void session_announce (session_t *self, uint64_t now);
/* Sends at most one frame of FRAME_LIMIT bytes while less than SHARE bytes are out.
 * *BYTES: of the chunk sent. */
enum session_result session_send (session_t *self, size_t frame_limit, size_t share,
                                  uint64_t now, size_t *bytes);
/* Whether it should be closed: 0, or DFS_EUNAVAIL (the client left), DFS_ETIMEOUT (it
 * takes nothing), DFS_ECANCELED (idle for long). Reads the monitor. */
int session_watch (session_t *self, uint64_t now);

uint64_t session_id (const session_t *self);
/* Has something to send. */
bool session_busy (const session_t *self);
/* Has something to send or buffers out. */
bool session_active (const session_t *self);
void *session_socket (const session_t *self);
void *session_monitor (const session_t *self);
uint16_t session_port (const session_t *self);
/* Bytes of pieces that wait. */
uint64_t session_queued (const session_t *self);

#endif
