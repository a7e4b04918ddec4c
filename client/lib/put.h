/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of dfs_put: files, their pages of extents, their chunks, and the way a chunk
 * goes: read and hashed, placed, sent, durable; then the commit. Everything belongs to
 * the caller's thread, but for a job while the pool has it. */
#ifndef CLIENT_LIB_PUT_H
#define CLIENT_LIB_PUT_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "client/lib/client.h"
#include "client/lib/split.h"
#include "msgs/copykey.h"
#include "msgs/frame.h"

#define PUT_PAGE    512          /* extents in a page */
#define PUT_SMALL   (256 * 1024) /* files up to here are read when opened */
#define PUT_AVOID   8
#define PUT_TARGETS 8

typedef struct put put_t;
typedef struct put_file put_file_t;
typedef struct put_page put_page_t;
typedef struct put_chunk put_chunk_t;

enum chunk_state {
    CHUNK_HASH,    /* a job reads it, the first time */
    CHUNK_FOLLOW,  /* another chunk in flight has the same bytes */
    CHUNK_PLACE,   /* to be asked about */
    CHUNK_PLACING, /* asked */
    CHUNK_WAIT,    /* to be asked about again, later */
    CHUNK_MEMORY,  /* granted, but its bytes must be read again: waits for memory */
    CHUNK_REREAD,  /* a job does that */
    CHUNK_SEND,    /* granted, in its worker's lane */
    CHUNK_SENT,    /* waits for Durable */
    CHUNK_STATES
};

TAILQ_HEAD (chunk_queue, put_chunk);

struct put_chunk {
    job_t job;
    put_t *put;
    put_file_t *file;
    put_page_t *page;
    uint32_t slot; /* in the page */
    enum chunk_state state;
    uint64_t since;            /* in it */
    struct chunk_queue *queue; /* it is in, by LINK */
    TAILQ_ENTRY (put_chunk) link;
    put_chunk_t *bucket;    /* chunks in flight, by key */
    put_chunk_t *followers; /* same key, by follow */
    put_chunk_t *follow;
    uint64_t offset; /* in the source */
    uint64_t length;
    copykey_t key;
    uint8_t sha[32]; /* of what a job has just read */
    uint32_t *crcs;  /* one per DIGEST_BLOCK */
    slice_t **slices;
    size_t n_slices;
    bool held;         /* there are bytes in slices */
    bool greedy;       /* its job waits for memory instead of having it reserved */
    uint64_t reserved; /* memory set aside for slices to come */
    bool durable;      /* told so while a job had it */
    uint64_t due;      /* WAIT: ask then; PLACING, SENT: ask again then */
    uint64_t asked;    /* seq of the Place */
    uint32_t attempts;
    uint32_t avoid[PUT_AVOID];
    size_t n_avoid;
    uint8_t grant[FRAME_GRANT_MAX];
    size_t grant_len;
    uint32_t targets[PUT_TARGETS];
    size_t n_targets;
    uint64_t credit, consumed; /* credit 0: all of it */
    uint64_t sent;             /* offset of the next frame */
    uint64_t index;            /* log index of the answer */
    uint32_t copies;
    dfs_error_t *why; /* of the job that failed, or the last refusal; owned */
};

typedef struct put_extent {
    uint64_t offset, length;
    bool hole;
    uint8_t digest[32];
} put_extent_t;

enum page_state { PAGE_OPEN, PAGE_STAGING, PAGE_STAGED };

struct put_page {
    change_t change; /* OpStage */
    put_file_t *file;
    TAILQ_ENTRY (put_page) link;
    enum page_state state;
    uint32_t number;
    size_t n, cap, open; /* extents, of which open are not durable */
    uint64_t index;
    put_extent_t *extents;
};

/* What a file is placed under. */
typedef struct put_policy {
    uint32_t id;       /* 0: the default */
    uint32_t replicas; /* 0: not known */
} put_policy_t;

TAILQ_HEAD (page_queue, put_page);

struct put_file {
    job_t job;       /* open, and read when small */
    change_t change; /* OpCommit */
    put_t *put;
    dfs_put_item_t *item;
    put_policy_t policy;
    TAILQ_ENTRY (put_file) link; /* in files or big */
    source_t source;
    put_chunk_t *first; /* read by the opening job */
    uint8_t *inline_data;
    uint64_t offset; /* next to split */
    bool ended;      /* everything is split */
    bool reading;    /* of a stream: a chunk is being read */
    bool big;        /* in the queue of those being split */
    bool committing;
    bool finished;
    bool checked;     /* unchanged when all was read */
    size_t hashing;   /* chunks that are read the first time */
    size_t rereading; /* chunks that are read once more */
    size_t chunks;    /* in flight */
    size_t stages;    /* in flight */
    unsigned missing; /* times that a commit or page had to be placed again */
    struct page_queue pages;
    size_t n_pages; /* in the queue */
    uint32_t next_page;
    uint64_t upload; /* of staged pages; 0: none */
    uint64_t index;  /* lowest of all placed chunks */
    uint32_t copies;
};

TAILQ_HEAD (file_queue, put_file);

typedef struct put_lane {
    uint32_t worker;
    struct chunk_queue queue;
} put_lane_t;

#define PUT_LANES   256 /* workers that one put sends to */
#define PUT_BUCKETS 2048

struct put {
    dfs_t *dfs;
    dfs_put_item_t *items;
    size_t n_items, next_item, done_items;
    const dfs_put_options_t *options;
    int flags;
    uint64_t chunk_size;
    put_policy_t *policies;  /* of each item */
    uint64_t upload;         /* pins of all chunks, with the policy's number added */
    struct file_queue files; /* all in flight, but big ones */
    struct file_queue big;   /* being split */
    size_t n_files;
    struct chunk_queue queues[CHUNK_STATES];
    put_lane_t lanes[PUT_LANES]; /* stay in place: chunks link to their queues */
    size_t n_lanes;
    put_chunk_t *buckets[PUT_BUCKETS];
    size_t n_chunks;
    size_t placing; /* Place messages out */
    size_t greedy;  /* jobs that wait for memory */
    job_t *jobs;    /* to submit at the end of this turn */
    job_t **jobs_tail;
    uint64_t frames; /* counter of the sender */
    uint64_t stored; /* chunks that were sent and became durable */
    atomic_bool cancel;
    bool aborting;
    bool inline_full; /* the namespace took no content: they go to workers */
    int code;         /* first failure of an item */
    dfs_error_t error;
    dfs_progress_t progress;
    uint64_t progress_at;
};

/* put.c */
void put_submit (put_t *put, job_t *job);
void put_file_failed (put_file_t *file, int code, const char *text);
/* Something of FILE ended: goes on with it, or ends it. */
void put_file_step (put_file_t *file);

/* put_chunk.c: from the source to Placed */
put_chunk_t *put_chunk_new (put_t *put, put_file_t *file);
void put_chunk_free (put_chunk_t *chunk);
void put_chunk_move (put_chunk_t *chunk, enum chunk_state state);
void put_chunk_drop_bytes (put_chunk_t *chunk);
/* Forgets its grant; what was sent in part must be sent whole again. */
void put_chunk_rewind (put_chunk_t *chunk);
/* Reads and hashes LENGTH bytes at OFFSET into slices; returns bytes read. For jobs. */
int64_t put_chunk_read (put_chunk_t *chunk, const source_t *source, digest_t *digest,
                        dfs_error_t *err);
/* Starts the job that reads a chunk of a big file. */
void put_chunk_start (put_chunk_t *chunk);
/* CHUNK has its key: finds its twin, or asks about it. */
void put_chunk_hashed (put_chunk_t *chunk);
put_chunk_t *put_chunk_find (put_t *put, const copykey_t *key);
/* Durable, or nothing had to be sent. */
void put_chunk_done (put_chunk_t *chunk);
/* Its file failed, or everything did. */
void put_chunk_failed (put_chunk_t *chunk, int code, const char *text);
/* Must be placed again: at once, or after a while that grows. AVOID 0: nobody. */
void put_chunk_again (put_chunk_t *chunk, uint32_t avoid, bool later, int code,
                      const char *text);

/* put_inline.c */
/* FILE, of LENGTH bytes, may go with its commit. */
bool put_inline_fits (const put_file_t *file, uint64_t length);
/* FILE, read whole into CHUNK (taken), goes with its commit. */
void put_inline_keep (put_file_t *file, put_chunk_t *chunk);
/* The commit of FILE was refused with CODE: true when its content goes to workers now,
 * as there was no room for it. */
bool put_inline_refused (put_file_t *file, int code);

/* put.c: dfs_put once, with the policies as they are looked up now. */
int put_run (dfs_t *dfs, dfs_put_item_t *items, size_t n,
             const dfs_put_options_t *options, dfs_error_t *err);

/* put_policy.c: the policy of each of N files; *POLICIES is owned. Before client_enter.
 * Returns 0, or the error of a look-up that found no answer. */
int put_policies (dfs_t *dfs, const dfs_put_item_t *items, size_t n,
                  const dfs_put_options_t *options, put_policy_t **policies,
                  dfs_error_t *err);

/* put_place.c */
void put_place (put_t *put, uint64_t now);
void put_placed (put_t *put, const Dfs__Placed *placed);
void put_message (void *arg, const Dfs__Envelope *env);
void put_reconnected (void *arg, bool new_session);
void put_timeouts (put_t *put, uint64_t now);

/* put_send.c */
/* CHUNK was granted: into its lane, or first read again. */
void put_send_start (put_chunk_t *chunk);
void put_send (put_t *put);
void put_uplink_broken (void *arg, uint32_t worker, const char *why);
struct chunk_queue *put_lane (put_t *put, uint32_t worker);

/* put_commit.c */
/* Room for one more extent of FILE; returns its page. */
put_page_t *put_page_extent (put_file_t *file, uint64_t offset, uint64_t length,
                             bool hole);
void put_page_free (put_page_t *page);
/* Stages complete pages and commits a complete file. */
void put_commit_step (put_file_t *file);

#endif
