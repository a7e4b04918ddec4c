/* SPDX-License-Identifier: MPL-2.0 */
/* Changes of the namespace, done exactly once: each has an id in the session, under
 * which it is repeated until it is answered, over lost connections and restarted
 * brokers. Many travel in one message. One thread. */
#ifndef CLIENT_LIB_CHANGE_H
#define CLIENT_LIB_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/lib/conn.h"
#include "client/lib/request.h"
#include "common/arena.h"

typedef struct changes changes_t;

/* Part of the caller's object, from changes_add until its done () or changes_drop. */
typedef struct change {
    /* Fills OP, with memory of ARENA or its own; called for each (re)sending and always
     * with the same outcome. */
    void (*build) (struct change *change, arena_t *arena, Dfs__Op *op);
    /* The answer; RESULT (NULL when CODE is not from it) is borrowed. The change may be
     * freed or added again. */
    void (*done) (struct change *change, int code, const Dfs__OpResult *result,
                  const dfs_error_t *err);
    uint64_t since;   /* when it was added */
    uint64_t id;      /* 0: not added */
    uint64_t message; /* seq it went with; 0: waits */
    uint64_t welcome; /* the connection it was first sent on */
    bool sent;        /* once at least: it may be done */
    TAILQ_ENTRY (change) live, wait;
    struct change *bucket;
} change_t;

changes_t *changes_new (conn_t *conn, requests_t *requests);
void changes_destroy (changes_t **self_p);
void changes_add (changes_t *self, change_t *change);
/* Nobody wants the answer any more; it may be done or not. */
void changes_drop (changes_t *self, change_t *change);
/* Sends what waits, in messages as large as the load makes them. Returns when it wants
 * to be called again. */
uint64_t changes_flush (changes_t *self, uint64_t now);
/* ENV was received: true when it was about changes. */
bool changes_answer (changes_t *self, const Dfs__Envelope *env, uint64_t now);
/* Connected again: what was not answered is sent again. */
void changes_resend (changes_t *self);
size_t changes_open (const changes_t *self);
/* Something was sent and not answered: it may be done, or will be. */
bool changes_unsure (const changes_t *self);

#endif
