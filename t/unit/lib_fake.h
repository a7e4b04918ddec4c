/* SPDX-License-Identifier: MPL-2.0 */
/* A cluster in a thread, without security and without disks, that does what it is told
 * to do wrong: what libdfs is tested against. Knobs are set between calls of the
 * library, or at any time where they are atomic. */
#ifndef T_UNIT_LIB_FAKE_H
#define T_UNIT_LIB_FAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "msgs/control.pb-c.h"
#include "msgs/copykey.h"
#include "msgs/envelope.h"
#include "msgs/frame.h"

#define FAKE_WORKERS 3
#define FAKE_CHUNKS  65536
#define FAKE_FILES   20000

typedef struct fake_chunk {
    copykey_t key;
    uint8_t *bytes; /* NULL: on its way, or forgotten */
    uint64_t length, got;
    uint32_t worker; /* it was granted to */
    uint64_t upload;
    uint32_t *crcs;
    bool whole;
    bool late; /* it was said to be lost, and not placed since */
} fake_chunk_t;

typedef struct fake_extent {
    uint64_t offset, length;
    int kind;
    uint8_t digest[32];
    uint64_t chunk_length;
} fake_extent_t;

typedef struct fake_file {
    char path[300];
    fake_extent_t *extents;
    size_t n;
    uint64_t size, version, mtime_ns;
    uint32_t mode;
    uint8_t *data; /* inline */
} fake_file_t;

typedef struct fake_knobs {
    atomic_uint delay_us; /* before placing and changing: time to gather more */
    atomic_uint credit;   /* bytes; 0: no credit */
    atomic_uint inline_max;
    atomic_uint extent_page; /* extents in an answer */
    atomic_uint damage;      /* bit per worker: flips a byte of each piece it sends */
    atomic_uint refuse;      /* bit per worker: sends FRAME_REFUSE */
    atomic_uint silent;      /* bit per worker: takes orders, sends nothing */
    atomic_uint reverse;     /* frames of a piece come last first */
    atomic_uint twice;       /* each frame comes twice */
    atomic_uint hang_up; /* pieces after which the stream of worker 1 ends; 0: never */
    atomic_uint refuse_chunk; /* so many chunks are refused by their worker */
    atomic_uint lose_durable; /* so many chunks are said to be lost when whole */
    atomic_uint missing;      /* so many commits and stages say DFS_EMISSING */
    atomic_uint policy;       /* of the root since the welcome; 0: the default */
    atomic_uint expire;       /* the session is over: changes of it are refused */
    atomic_uint busy;         /* so many changes say DFS_EAGAIN */
    atomic_uint drop_answers; /* so many answers to changes never come, and the broker
                                 starts again each time */
    atomic_uint frame_size;   /* of streams; 0: FRAME_MAX */
    atomic_uint list_gone;    /* so many later pages of listings say DFS_ESTALE */
    atomic_uint list_moved;   /* so many are of another index */
    atomic_uint list_hollow;  /* first pages of listings have no entries */
    atomic_uint hang_ups;     /* before it listens again somebody else at its port
                                 takes so many connections and closes them */
    atomic_uint hold; /* the first answer to the change of this number gets lost */
} fake_knobs_t;

typedef struct fake_counts {
    atomic_uint places, placed_items, changes, requests, applied, stages, fetches,
        opens, frames_in, hellos, resumed, credit_violations, cancels, seconds;
    atomic_uint not_avoided; /* late chunks asked for without avoiding who had them */
    atomic_uint ahead;       /* the farthest number beyond one that had no answer */
    atomic_ullong bytes_in;
} fake_counts_t;

typedef struct fake {
    fake_knobs_t knobs;
    fake_counts_t counts;
    char dir[64]; /* temporary; config is in it */
    char config[96];
    /* the thread's */
    void *ctx, *router, *wake;
    void *ingest[FAKE_WORKERS], *stream[FAKE_WORKERS];
    uint16_t port, ingest_port[FAKE_WORKERS], stream_port[FAKE_WORKERS];
    unsigned served[FAKE_WORKERS];
    bool ready_sent[FAKE_WORKERS];
    fake_chunk_t *chunks;
    size_t n_chunks;
    fake_file_t *files;
    size_t n_files;
    fake_extent_t *staged;
    size_t n_staged;
    uint64_t done[70000]; /* results by request: version + 1 */
    route_t client;
    uint64_t session, index;
    unsigned turn;
    atomic_bool stop, restart;
    atomic_uint restarts; /* that are over */
    bool greeted;         /* since the last of them */
    unsigned long thread;
    arena_t *arena;
} fake_t;

fake_t *fake_new (void);
void fake_free (fake_t **self_p);
/* Closes every connection to the broker and listens again, soon. */
void fake_restart (fake_t *self);
/* The same, and waits until it is done. */
void fake_restart_now (fake_t *self);
/* The stored file, put together; NULL when there is none. Returns owned. */
uint8_t *fake_content (fake_t *self, const char *path, uint64_t *size);
/* Forgets the bytes of every chunk. */
void fake_forget (fake_t *self);

/* for the files of the fake */
fake_chunk_t *fake_chunk (fake_t *self, const uint8_t digest[32], bool make);
void fake_send (fake_t *self, Dfs__Envelope *env);
void fake_hang_up (fake_t *self);
void fake_ingest (fake_t *self, int worker);
void fake_fetch (fake_t *self, const Dfs__Envelope *env);
void fake_open (fake_t *self, const Dfs__Envelope *env);
void fake_extents (fake_t *self, const Dfs__Envelope *env);
void fake_stat (fake_t *self, const Dfs__Envelope *env);
void fake_list (fake_t *self, const Dfs__Envelope *env);
const fake_file_t *fake_file (const fake_t *self, const void *path, size_t len);

#endif
