/* SPDX-License-Identifier: MPL-2.0 */
/* Two workers with stores in memory, and a broker and a client played by the test: real
 * sockets on kernel-picked ports, real keys. The workers run in contexts of their own.
 */
#ifndef T_UNIT_WORKER_RIG_H
#define T_UNIT_WORKER_RIG_H

#include <sys/types.h>

#include "msgs/cluster.h"
#include "msgs/envelope.h"
#include "msgs/frame.h"
#include "msgs/grant.h"
#include "msgs/sock.h"
#include "msgs/zap.h"
#include "t/unit/worker_fake.h"
#include "worker/worker.h"

/* What a worker says, in short. */
#define CHANGES      DFS__ENVELOPE__BODY_CHANGES
#define REFUSED      DFS__ENVELOPE__BODY_REFUSED
#define CREDIT       DFS__ENVELOPE__BODY_CREDIT
#define STREAM_READY DFS__ENVELOPE__BODY_STREAM_READY
#define SEND_REFUSED DFS__ENVELOPE__BODY_SEND_REFUSED
#define YIELDED      DFS__ENVELOPE__BODY_YIELDED
#define ORDER_RESULT DFS__ENVELOPE__BODY_ORDER_RESULT
#define STORED       DFS__LOCATION_KIND__LOCATION_STORED

#define CLIENT      0x99u /* session of the client */
#define RIG_WORKERS 2
#define RIG_SEEN    8192
#define RIG_SOCKETS 512

/* Something a worker told the broker; which fields count depends on TYPE. */
typedef struct seen {
    Dfs__Envelope__BodyCase type;
    int worker; /* 0, 1: who said it */
    uint64_t session;
    uint64_t upload;
    uint64_t order;
    uint64_t consumed;
    uint64_t piece;
    uint64_t seq; /* of a change */
    uint64_t birth;
    copykey_t key;
    int kind;
    int code;
    uint32_t about; /* worker named in it */
    uint16_t port;
    bool inventory;
    bool inventory_end;
    bool used; /* rig_wait gave it out */
} seen_t;

typedef struct rig {
    char dir[64];
    bool secure;
    const char *program; /* run as a process; NULL: in this one */
    pid_t pids[RIG_WORKERS];
    cluster_t *cluster;
    void *ctx;
    zap_t *zap;
    sock_identity_t broker, client, stranger;
    void *back, *pulse, *announce;
    uint8_t hmac[32];
    worker_t *workers[RIG_WORKERS];
    void *worker_ctx[RIG_WORKERS];
    route_t routes[RIG_WORKERS];
    bool said_hello[RIG_WORKERS];
    uint64_t marks[RIG_WORKERS]; /* told in the next Welcome */
    uint64_t pages;              /* of a listing, likewise; 0: not counted */
    uint64_t hellos;
    const char *hosts[RIG_WORKERS]; /* told to workers; NULL: 127.0.0.1 */
    bool mute;                      /* no acknowledgements of changes */
    bool shunned;                   /* hellos are not answered */
    uint64_t term;
    seen_t *seen;
    size_t n_seen;
    void *sockets[RIG_SOCKETS]; /* of the client */
    size_t heartbeats;
    int condition; /* of the last heartbeat */
} rig_t;

rig_t *rig_new (bool secure);
/* As rig_new, with workers that are processes of PROGRAM, with their real stores. */
rig_t *rig_new_processes (bool secure, const char *program);
void rig_destroy (rig_t **self_p);
/* The same as a case's set-up and tear-down, and rows of a table of cases. */
int rig_secure (void **state);
int rig_open (void **state);
int rig_drop (void **state);
#define SECURE(test) cmocka_unit_test_setup_teardown (test, rig_secure, rig_drop)
#define OPEN(test)                                                                     \
    {                                                                                  \
#test " without security", test, rig_open, rig_drop, NULL                      \
    }
/* Member id of worker I: 1, 2. Its session as a sender: 0x1000 + id. */
uint32_t rig_id (int i);
uint16_t rig_port (rig_t *self, int i);
/* Stops and starts worker I; its store starts empty. */
void rig_stop (rig_t *self, int i);
void rig_start (rig_t *self, int i);

/* Plays the broker for up to MS, or until something came. */
void rig_pump (rig_t *self, int ms);
/* The next thing of TYPE said by WORKER (-1: any) about KEY (NULL: any) that was not
 * given out before; fails the test after 10 s. */
const seen_t *rig_wait (rig_t *self, Dfs__Envelope__BodyCase type, int worker,
                        const copykey_t *key);
/* Whether such a thing comes within MS. */
const seen_t *rig_look (rig_t *self, Dfs__Envelope__BodyCase type, int worker,
                        const copykey_t *key, int ms);
void rig_order (rig_t *self, int worker, Dfs__Envelope *env);

/* A chunk of LEN bytes made from SEED; owned data, its key in KEY. */
uint8_t *rig_chunk (size_t len, unsigned seed, copykey_t *key);
/* Grant for KEY to workers TARGETS (ids). */
grant_t rig_grant (rig_t *self, const copykey_t *key, uint64_t len, uint32_t n,
                   const uint32_t *targets);

/* A client's PUSH to the ingest of worker I. */
void *rig_push (rig_t *self, const sock_identity_t *id, int i);
typedef struct upload {
    uint64_t session;
    size_t frame; /* bytes in one; 0: FRAME_MAX */
    uint8_t hop;
    int flip; /* 1 + offset of a byte to flip after the CRCs were made */
    uint8_t flags;
    size_t frames; /* send only so many; 0: all */
    bool forge;    /* sealed with another key */
} upload_t;
void rig_send (rig_t *self, void *push, const grant_t *grant, const uint8_t *data,
               size_t len, const upload_t *how);

/* Sends a fresh chunk of LEN bytes, made from SEED, to worker 1 under a grant for N
 * workers, and waits until worker 1 has it. */
copykey_t rig_store (rig_t *self, size_t len, unsigned seed, uint32_t n);

/* Tells WORKER to send [offset, offset + length) of KEY to SESSION as PIECE. */
void rig_send_order (rig_t *self, int worker, uint64_t session, uint64_t piece,
                     const copykey_t *key, uint64_t offset, uint64_t length);
/* A client's PULL on the stream at PORT of WORKER. */
void *rig_pull (rig_t *self, const sock_identity_t *id, int worker, uint16_t port);
/* The same for SESSION, once WORKER has said where. */
void *rig_stream (rig_t *self, int worker, uint64_t session);
/* Closes what rig_push or rig_pull made; what is left open closes with the rig. */
void rig_close (rig_t *self, void **socket_p);
/* Receives a frame within MS: 1 and FRAME, DATA (owned); 0. */
int rig_recv (rig_t *self, void *pull, int ms, frame_t *frame, uint8_t **data);
/* Receives PIECE, bytes FROM to TO of the chunk of LEN bytes made from SEED. */
void rig_expect (rig_t *self, void *pull, uint64_t piece, size_t len, unsigned seed,
                 size_t from, size_t to);

#endif
