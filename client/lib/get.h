/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of dfs_get: files, their extents, and the pieces that are asked for, come in
 * as frames, are checked and written. Everything belongs to the caller's thread, but
 * for what a job works on while the pool has it. */
#ifndef CLIENT_LIB_GET_H
#define CLIENT_LIB_GET_H

#include <sys/queue.h>

#include "client/lib/client.h"
#include "client/lib/extents.h"
#include "client/lib/verify_write.h"
#include "msgs/copykey.h"
#include "msgs/frame.h"

#define GET_AVOID   8
#define GET_BUCKETS 4096
#define GET_SAMPLES 64
#define GET_SLOW    4

typedef struct get get_t;
typedef struct get_file get_file_t;
typedef struct get_piece get_piece_t;

/* Bytes of a piece as they came. */
typedef struct get_frame {
    struct get_frame *next;
    zmq_msg_t bytes;
    uint64_t offset;
    uint32_t length;
    uint32_t n_crcs;
    uint32_t crcs[FRAME_BLOCKS];
    bool second; /* of the second worker asked */
} get_frame_t;

/* One asking for a piece: its number on the wire. */
typedef struct get_attempt {
    struct get_attempt *bucket; /* by id */
    struct get_attempt *older;  /* of the same piece: its frames are still good */
    get_piece_t *piece;
    uint64_t id;
} get_attempt_t;

enum piece_state {
    PIECE_WANT,   /* to be asked for */
    PIECE_ASKED,  /* in a Fetch */
    PIECE_COMING, /* a worker was told to send it */
    PIECE_WAIT,   /* to be asked for later */
    PIECE_LOCAL,  /* needs no worker, or all of it is here and checked */
    PIECE_STATES
};

TAILQ_HEAD (piece_queue, get_piece);

struct get_piece {
    job_t job;
    get_t *get;
    get_file_t *file;
    TAILQ_ENTRY (get_piece) link;  /* by state */
    TAILQ_ENTRY (get_piece) order; /* of streams: as they are written */
    enum piece_state state;
    get_attempt_t *attempt; /* the latest */
    enum extent_kind kind;
    copykey_t key;
    uint64_t chunk_length;
    uint64_t extent_offset; /* of its extent, in the file */
    uint64_t lo, hi;        /* wanted bytes of the chunk */
    uint64_t begin, end;    /* those, in whole blocks: what is asked for */
    uint64_t to;            /* where byte LO goes in the target */
    bool whole;             /* the whole chunk: checked by SHA-256 */
    bool ordered;           /* in get->order */
    bool alone;             /* the whole file: its job does all that is left */
    /* the job's while running */
    bool running;
    uint64_t next;     /* checked up to here */
    digest_t *digest;  /* of a chunk that comes in several frames */
    get_frame_t *work; /* to check */
    get_frame_t *held; /* came too early, by offset */
    get_frame_t *kept; /* checked, for a stream, in order */
    int code;          /* what the job found */
    bool local;        /* … writing, so no other worker helps */
    bool by_second;    /* … in bytes of the second worker */
    dfs_error_t *why;
    /* the loop's */
    get_frame_t *inbox, **inbox_tail;
    uint64_t inbox_bytes, work_bytes;
    uint64_t asked_at, heard_at, due;
    uint64_t since;     /* in its state */
    uint64_t failed_at; /* the first time */
    uint64_t seq;       /* of the Fetch */
    uint32_t worker;
    get_attempt_t *second;  /* the same bytes of another worker, the first being slow */
    uint32_t second_worker; /* 0: the broker has not said yet */
    uint64_t second_seq;    /* of its Fetch */
    bool doubled;           /* once is enough */
    bool first_silent;      /* since then */
    bool anybody;           /* of slow workers too */
    uint32_t avoid[GET_AVOID];
    size_t n_avoid;
    unsigned attempts;
    unsigned spoilt; /* times that it came damaged from a worker that sent it whole */
    bool soft;       /* it failed by time or connection, which may pass */
    bool damaged;
};

/* A worker that another one was faster than by far: it gets nothing new for a while. */
typedef struct get_slow {
    uint32_t worker;
    uint64_t until;
} get_slow_t;

enum file_stage { FILE_UNOPENED, FILE_OPENING, FILE_CUTTING, FILE_CUT, FILE_ENDING };

struct get_file {
    job_t job; /* the end of it */
    get_t *get;
    dfs_get_item_t *item;
    TAILQ_ENTRY (get_file) link; /* by stage */
    enum file_stage stage;
    uint64_t seq; /* of the Open */
    uint8_t handle[256];
    size_t handle_len;
    uint32_t mode;
    uint64_t mtime_ns;
    uint64_t size;       /* of the whole file */
    uint64_t begin, end; /* wanted */
    uint64_t next;       /* cut up to here */
    extents_t extents;
    extents_t *lend; /* gets them back at the end; may be NULL */
    bool asking;     /* for extents, or for a new handle */
    bool stale;      /* the handle ran out */
    target_t target;
    bool ready;    /* target can be written */
    bool counted;  /* in get->n_open */
    bool ended;    /* a job did the ending */
    size_t pieces; /* in flight */
};

TAILQ_HEAD (get_file_queue, get_file);

struct get {
    dfs_t *dfs;
    dfs_get_item_t *items;
    size_t n_items, next_item, opened_items, done_items;
    const dfs_get_options_t *options;
    struct get_file_queue files[FILE_ENDING + 1];
    size_t n_files;
    struct piece_queue pieces[PIECE_STATES];
    struct piece_queue order; /* streams: pieces as they are written */
    bool writing;             /* the first of them is being written */
    size_t n_pieces;
    get_attempt_t *buckets[GET_BUCKETS];
    uint64_t next_id;
    uint64_t flight;          /* bytes of pieces in flight */
    uint64_t queued;          /* bytes of frames that wait for a job */
    size_t n_open;            /* temporary files of several pieces */
    size_t opening, fetching; /* questions out */
    digest_t *spare[64];
    size_t n_spare;
    job_t *jobs, **jobs_tail;      /* to submit at the end of this turn */
    uint64_t samples[GET_SAMPLES]; /* how long pieces took */
    size_t n_samples;
    uint64_t came; /* pieces, from workers */
    uint64_t asked_bytes, doubled_bytes;
    get_slow_t slow[GET_SLOW]; /* a ring */
    size_t n_slow;
    uint64_t checked_at;   /* for late pieces */
    uint64_t connected_at; /* last reconnection */
    bool aborting;
    int code;
    dfs_error_t error;
    dfs_progress_t progress;
    uint64_t progress_at;
};

/* get.c */
void get_submit (get_t *get, job_t *job);
void get_file_failed (get_file_t *file, int code, const char *text);
/* Something of FILE ended: goes on with it, or ends it. */
void get_file_step (get_file_t *file);
void get_file_stage (get_file_t *file, enum file_stage stage);
/* Runs GET until all its files have ended, or gives up; returns the first failure. */
int get_run (get_t *get, dfs_error_t *err);
/* Borrows ITEMS and OPTIONS; makes the handle's threads. */
get_t *get_new (dfs_t *dfs, dfs_get_item_t *items, size_t n,
                const dfs_get_options_t *options, dfs_error_t *err);
void get_destroy (get_t **self_p);
/* A file of GET, still to be opened. */
get_file_t *get_file_new (get_t *get, dfs_get_item_t *item);

/* get_open.c: handles and extents */
void get_open (get_t *get);
/* More extents of FILE, from AT on. */
void get_more_extents (get_file_t *file, uint64_t at);
void get_new_handle (get_file_t *file);

/* get_cut.c: from extents to pieces */
void get_cut (get_t *get);
void get_piece_free (get_piece_t *piece);
void get_piece_move (get_piece_t *piece, enum piece_state state);

/* get_fetch.c: asking for pieces */
void get_fetch (get_t *get, uint64_t now);
get_attempt_t *get_attempt_find (get_t *get, uint64_t id);
void get_attempts_free (get_piece_t *piece);
/* Another number for PIECE; those it has stay valid. The new one is the piece's own
 * from now on if FIRST. */
get_attempt_t *get_attempt_new (get_piece_t *piece, bool first);
/* Asks for N pieces under the numbers IDS: of another worker than they come from if
 * SECOND. Returns the number of the Fetch. */
uint64_t get_ask (get_t *get, get_piece_t *const *pieces, const uint64_t *ids, size_t n,
                  bool second);
/* Tells the worker that it need not send this one. */
void get_cancel (const get_attempt_t *attempt);
void get_message (void *arg, const Dfs__Envelope *env);
void get_stream_ended (void *arg, uint32_t worker);
void get_reconnected (void *arg, bool new_session);
/* WORKER did not deliver PIECE: somebody else should. SOFT: by time or connection. */
void get_piece_again (get_piece_t *piece, uint32_t worker, bool soft, int code,
                      const char *text);

/* get_late.c: what is slow, late or never comes */
void get_late (get_t *get, uint64_t now);
/* Workers that are slow now; returns how many of them TO (of GET_SLOW) got. */
size_t get_slow_now (const get_t *get, uint64_t now, uint32_t *to);
/* The second worker of PIECE will not send it. */
void get_second_failed (get_piece_t *piece);
/* The first worker of PIECE will not send it; true when the second goes on alone. */
bool get_second_takes_over (get_piece_t *piece);
/* All of PIECE is here: whoever still sends it need not. */
void get_second_done (get_piece_t *piece);

/* get_frames.c: frames in, checks, writes */
void get_frame (void *arg, const frame_t *frame, zmq_msg_t *bytes);
bool get_reading (void *arg);
/* PIECE has all it needs without a worker (a hole, inline bytes in its inbox). */
void get_piece_local (get_piece_t *piece);
void get_write_order (get_t *get);
void get_frames_free (get_frame_t **list);

#endif
