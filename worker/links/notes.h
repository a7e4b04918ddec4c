/* SPDX-License-Identifier: MPL-2.0 */
/* What the threads of a worker have to tell brokers: plain values in a queue that the
 * link empties. Pushing: any thread, never blocks. Popping: the link. */
#ifndef WORKER_LINKS_NOTES_H
#define WORKER_LINKS_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msgs/copykey.h"
#include "worker/store/store.h"

typedef struct notes notes_t;

enum note_kind {
    NOTE_REFUSED,      /* a chunk that was sent is not taken, or not sent on */
    NOTE_CREDIT,       /* bytes of a chunk that were consumed */
    NOTE_STREAM_READY, /* where a client finds its stream */
    NOTE_SEND_REFUSED, /* pieces that no stream can refuse */
    NOTE_YIELDED,      /* pieces that were given back */
    NOTE_TRACED,       /* where the time of an operation went */
    NOTE_ORDER_RESULT,
    NOTE_STORED_AGAIN, /* a copy that was there is offered as stored */
    NOTE_CHANGED,      /* durable changes of a disk */
    NOTE_STATE,        /* condition may have changed: send a heartbeat now */
};

/* Whom a note is for, beside the number of a link. */
enum note_to {
    NOTE_TO_LEADER = -1, /* every broker while the leader is not known */
    NOTE_TO_ALL = -2,
};

typedef struct note_piece {
    uint64_t piece;
    int code;
} note_piece_t;

typedef struct note_yielded {
    uint64_t piece;
    copykey_t key;
    uint64_t offset;
    uint64_t length;
} note_yielded_t;

typedef struct note_step {
    int step; /* enum of TraceStep in control.proto */
    uint64_t ns;
    uint64_t bytes;
} note_step_t;

#define NOTE_STEPS 2

typedef struct note_verified {
    copykey_t key;
    int code;
    uint64_t bytes;
    uint64_t verified_at; /* wall clock ns, 0 never */
} note_verified_t;

typedef struct note {
    enum note_kind kind;
    int to;
    int code;
    uint32_t worker; /* REFUSED: who did not take it (0: this worker) */
    uint32_t disk;   /* CHANGED, STORED_AGAIN */
    uint16_t port;   /* STREAM_READY */
    uint64_t session;
    uint64_t upload;
    uint64_t order;
    uint64_t consumed;
    uint64_t trace;
    copykey_t key;
    store_change_t change; /* STORED_AGAIN */
    size_t n;              /* of what follows */
    note_piece_t *pieces;
    note_yielded_t *yielded;
    note_verified_t *verified;
    store_change_t *changes;
    note_step_t steps[NOTE_STEPS]; /* TRACED: N of them */
    char text[160];
} note_t;

notes_t *notes_new (void);
void notes_destroy (notes_t **self_p);

/* Returns a zeroed note, owned by the caller until notes_push or note_destroy. The
 * arrays it gets are owned by it (free). */
note_t *note_new (enum note_kind kind, int to);
void note_destroy (note_t **note_p);
/* Takes the note. While far too many wait (no broker to tell), refusals, credits and
 * ready notes are dropped: whoever misses one asks again; changes never come this way
 * alone (worker/links/sequence.h). */
void notes_push (notes_t *self, note_t **note_p);
note_t *notes_pop (notes_t *self);
int notes_fd (const notes_t *self);

/* Short forms. */
void notes_refused (notes_t *self, uint64_t session, uint64_t upload, uint64_t trace,
                    const copykey_t *key, uint32_t worker, int code, const char *text);
void notes_credit (notes_t *self, uint64_t session, uint64_t upload,
                   const copykey_t *key, uint64_t consumed);
/* TO: link, or NOTE_TO_LEADER. */
void notes_traced (notes_t *self, int to, uint64_t session, uint64_t trace,
                   const note_step_t *steps, size_t n);
void notes_order (notes_t *self, int to, uint64_t order, uint64_t trace, int code,
                  const char *text);

#endif
