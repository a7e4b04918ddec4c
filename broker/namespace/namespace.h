/* SPDX-License-Identifier: MPL-2.0 */
/* The namespace: a deterministic state machine over LMDB tables. Entries go in by
 * namespace_apply in log order; point look-ups see everything applied so far; listings
 * read a committed snapshot. Plain structs and packed protobuf at the border, no
 * sockets.
 *
 * Threads: a namespace_t belongs to one thread (which holds its open write
 * transaction); another one may open it, and close it after a commit. A
 * namespace_reader_t belongs to another one and sees what namespace_commit made durable
 * or at least visible. */
#ifndef BROKER_NAMESPACE_NAMESPACE_H
#define BROKER_NAMESPACE_NAMESPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"
#include "msgs/control.pb-c.h"
#include "msgs/copykey.h"

typedef struct namespace namespace_t;
typedef struct namespace_reader namespace_reader_t;

/* Opens or makes DIR/namespace (LMDB). */
namespace_t *namespace_open (const char *dir, dfs_error_t *err);
/* Commits and closes. */
void namespace_close (namespace_t **self_p);

/* Writes what is committed to the file PATH, durably; *INDEX is its applied index. Any
 * thread, while the namespace is open. */
int namespace_copy (namespace_t *self, const char *path, uint64_t *index,
                    dfs_error_t *err);
/* Applied index of such a file, and the cluster it is of (zeros before the seed; may be
 * NULL); DFS_EDAMAGED, DFS_EVERSION. */
int namespace_file_index (const char *path, uint64_t *index, uint8_t cluster_id[16],
                          dfs_error_t *err);
/* Makes the file PATH (taken, on the same file system) the namespace of DIR, which is
 * not open: after a crash it is the one before or this one. */
int namespace_put (const char *dir, const char *path, dfs_error_t *err);

/* Index and term of the last entry applied; of the last one durable on disk. */
uint64_t namespace_applied (const namespace_t *self);
uint64_t namespace_durable (const namespace_t *self);
bool namespace_seeded (const namespace_t *self);

/* Applies the entry at INDEX (must be applied + 1); DATA is a packed Dfs__Entry. What
 * the entry asked for may be refused: that is in *RESULT (allocated from ARENA), and
 * the function still returns 0. A negative return means that this broker cannot go on
 * (disk error, damage: DFS_EDAMAGED, entry version it does not know). LEN 0 is an entry
 * of the journal's own: it only moves the index. */
int namespace_apply (namespace_t *self, uint64_t index, uint64_t term, const void *data,
                     size_t len, arena_t *arena, Dfs__OpResult **result,
                     dfs_error_t *err);
/* Commits the open transaction with full sync. Afterwards namespace_durable = applied.
 */
int namespace_commit (namespace_t *self, dfs_error_t *err);
/* True when there is something to commit. */
bool namespace_dirty (const namespace_t *self);
/* Sum over all records, 16 bytes. */
void namespace_hash (const namespace_t *self, uint8_t hash[16]);
/* What an entry said of that sum after an earlier one, beside what it was here. */
typedef struct namespace_check {
    uint64_t index;
    uint8_t own[16];
    uint8_t said[16];
} namespace_check_t;
/* The last one applied, once; false: none since it was last asked for. */
bool namespace_checked (namespace_t *self, namespace_check_t *out);
/* Any thread, while the namespace is open. Reads every record that is committed and
 * compares their sum with the one kept: 1 when they are not what was written, 0 when
 * they are; DFS_ECANCELED when STOP becomes true. */
int namespace_scan (namespace_t *self, const atomic_bool *stop, dfs_error_t *err);

/* --- point look-ups: see what is applied, before its commit as well --- */

/* PATH as a client sent it (normalised here). Fills ATTR from ARENA. */
int namespace_stat (namespace_t *self, const void *path, size_t len, bool follow,
                    arena_t *arena, Dfs__Attr **attr, dfs_error_t *err);
/* As namespace_stat, of names and inodes as they were after log index INDEX: exact as
 * far back as nothing has been pruned. */
int namespace_stat_at (namespace_t *self, uint64_t index, const void *path, size_t len,
                       bool follow, arena_t *arena, Dfs__Attr **attr, dfs_error_t *err);
/* Extents of INODE at VERSION (current, or still held by the past) from file offset
 * OFFSET on, at most MAX; *MORE when there are others. DFS_ESTALE when that version is
 * gone. */
int namespace_extents (namespace_t *self, uint64_t inode, uint64_t version,
                       uint64_t offset, size_t max, arena_t *arena,
                       Dfs__Extent ***extents, size_t *n, bool *more, dfs_error_t *err);
/* Inline bytes by digest; borrowed until the next apply. 1, 0 or negative. */
int namespace_inline (namespace_t *self, const uint8_t digest[32], const void **data,
                      size_t *len, dfs_error_t *err);

typedef struct chunk_facts {
    uint64_t refs;
    uint64_t length;
    uint32_t replicas;  /* strictest policy that refers to it */
    uint64_t condemned; /* log index, 0: not */
    uint64_t freed;     /* log index from which nothing refers to it */
} chunk_facts_t;
/* 1 with FACTS (refs 0: it waits to be reclaimed), 0 no record. */
int namespace_chunk (namespace_t *self, const copykey_t *key, chunk_facts_t *facts,
                     dfs_error_t *err);

/* Log time since which the chunk of FACTS is free or condemned; 0: it is neither. */
uint64_t namespace_chunk_since (namespace_t *self, const copykey_t *key,
                                const chunk_facts_t *facts);
/* Chunks that have a record and whose digests are from FROM to TO, at most MAX, in OUT;
 * returns their number. */
int namespace_chunks_between (namespace_t *self, const uint8_t from[32],
                              const uint8_t to[32], copykey_t *out, size_t max,
                              dfs_error_t *err);
/* Copies of KEY on WORKER born before this log index count as gone; 0: none does. */
uint64_t namespace_drop_limit (namespace_t *self, const copykey_t *key,
                               uint32_t worker);

enum reclaim_list {
    LIST_FREE,      /* chunks that nothing refers to, longest first */
    LIST_CONDEMNED, /* oldest condemnation first */
    LIST_DROPS,     /* copies whose workers have not confirmed that they are gone */
};
typedef struct reclaim_row {
    copykey_t key;
    uint64_t index;   /* since when it is in the list */
    uint64_t time_ns; /* log time then; 0 for drops */
    uint32_t worker;  /* drops */
    uint64_t limit;   /* drops: births before that */
    int why;          /* drops: enum dfs__drop_why */
} reclaim_row_t;
/* Rows of LIST behind AFTER (NULL: from the start) into OUT, at most MAX; returns their
 * number. */
int namespace_reclaim_rows (namespace_t *self, enum reclaim_list list,
                            const reclaim_row_t *after, reclaim_row_t *out, size_t max,
                            dfs_error_t *err);
typedef struct reclaim_hold {
    bool held;
    uint64_t index; /* since when it is held, or when it was last resumed */
    char why[160];
} reclaim_hold_t;
/* The highest condemnation of a chunk that was forgotten: a copy born before it, of a
 * chunk without a record, does not count. */
uint64_t namespace_forgotten (const namespace_t *self);
/* Rows of LIST_FREE. */
uint64_t namespace_free_chunks (namespace_t *self);
void namespace_reclaim_hold (namespace_t *self, reclaim_hold_t *out);

/* What the last entry did that routing and placement must know at once, in order; valid
 * until the next namespace_apply. Returns the number. */
enum namespace_effect_kind {
    EFFECT_CONDEMNED, /* key: at the entry's index */
    EFFECT_LIFTED,    /* key: not condemned any more */
    EFFECT_DROP,      /* key, worker, limit: counts as gone */
    EFFECT_DROPPED,   /* key, worker: confirmed */
    EFFECT_FORGOTTEN, /* key: has no record any more */
    EFFECT_HOLD,      /* reclaim was held or resumed */
};
typedef struct namespace_effect {
    int kind;
    copykey_t key;
    uint64_t index; /* of the entry */
    uint32_t worker;
    uint64_t limit;
    int why;
} namespace_effect_t;
/* The last entry may have changed members, users or policies. */
bool namespace_directory (const namespace_t *self);
size_t namespace_effects (const namespace_t *self, const namespace_effect_t **out);

/* The strictest policy id → policy; members; users. Returns 1, 0, negative. */
int namespace_policy (namespace_t *self, uint32_t id, arena_t *arena, Dfs__Policy **out,
                      dfs_error_t *err);
/* All members and users, n of them, from ARENA. */
int namespace_members (namespace_t *self, arena_t *arena, Dfs__Member ***out, size_t *n,
                       dfs_error_t *err);
int namespace_users (namespace_t *self, arena_t *arena, Dfs__User ***out, size_t *n,
                     dfs_error_t *err);

/* All policies, in order of their ids. */
int namespace_policies (namespace_t *self, arena_t *arena, Dfs__Policy ***out,
                        size_t *n, dfs_error_t *err);

/* A place in a table; len 0: its beginning. */
typedef struct namespace_place {
    uint8_t key[320];
    size_t len;
} namespace_place_t;

/* What is under a policy. Zeroed but for `policy` at the start. */
typedef struct policy_use {
    uint32_t policy;
    uint64_t removing; /* log index of the entry that began to remove it, or 0 */
    uint64_t files, directories, past, uploads, chunks; /* past: kept by history */
    unsigned table;                                     /* how far it was looked */
    namespace_place_t at;
} policy_use_t;

typedef struct namespace_totals {
    uint64_t files;
    uint64_t directories;
    uint64_t symlinks;
    uint64_t bytes_logical; /* sum of file sizes */
    uint64_t chunks;        /* records with references */
    uint64_t bytes_unique;  /* of chunks and inline contents */
    uint64_t inline_bytes;
    uint64_t past_records;
    uint64_t jobs; /* open ones */
    uint64_t sessions;
    uint64_t condemned; /* chunks */
    uint64_t drops;     /* copies not confirmed gone */
    uint64_t free;      /* chunks that nothing refers to and that are not condemned */
    uint64_t reclaimed; /* chunks given back since the namespace was opened... */
    uint64_t reclaimed_bytes; /* ...and the length of each, once */
} namespace_totals_t;
void namespace_totals (const namespace_t *self, namespace_totals_t *out);

/* What was decided for REQUEST of SESSION and is remembered: 1 and *RESULT in ARENA, 0
 * none, negative. */
int namespace_remembered (namespace_t *self, uint64_t session, uint64_t request,
                          arena_t *arena, Dfs__OpResult **result, dfs_error_t *err);
/* Work the leader should propose: an open job (id > 0) or 0. */
uint64_t namespace_next_job (namespace_t *self);
/* Sessions whose last entry is older than TIME_NS, at most MAX, from number *FROM on;
 * it is where to go on then, 0 at the end. Few enough are looked at for a look-up. */
size_t namespace_idle_sessions (namespace_t *self, uint64_t time_ns, uint64_t *from,
                                uint64_t *out, size_t max);
/* Time at which the oldest past record was overwritten, UINT64_MAX when there is none.
 */
uint64_t namespace_oldest_past (namespace_t *self);
/* Whether something of the past, from *AT on, is older than the history of its policy
 * at NOW: an OpPrune from *AT takes it away. Else *AT is where to go on: few enough are
 * looked at for a look-up. */
bool namespace_prune_due (namespace_t *self, uint64_t now, namespace_place_t *at);
/* Longest content that is taken inline now; 0 when their budget is nearly used up. */
uint64_t namespace_inline_max (const namespace_t *self);
/* Log time of the last entry. */
uint64_t namespace_time (const namespace_t *self);
void namespace_identity (const namespace_t *self, uint8_t cluster_id[16],
                         uint32_t *incarnation);

/* --- listings, on a thread of their own --- */

/* Readers are destroyed before their namespace is closed. */
namespace_reader_t *namespace_reader_new (namespace_t *self, dfs_error_t *err);
void namespace_reader_destroy (namespace_reader_t **self_p);
/* Index that a listing started now would see. */
uint64_t namespace_reader_index (namespace_reader_t *self);
/* One page of a listing (control.proto List → Listing), from ARENA, packed size bounded
 * to 900 KiB. Names come in byte order; recursive listings are depth first and give
 * paths relative to the listed directory. A cursor goes on at its name: at the index
 * asked for, or, when that is not kept any more, not at all (DFS_ESTALE); without an
 * index at what is there now. */
/* The chunks that listings of lost files look for: N keys, sorted here, taken. */
void namespace_reader_lost (namespace_reader_t *self, copykey_t *keys, size_t n);
int namespace_list (namespace_reader_t *self, const Dfs__List *asked, arena_t *arena,
                    Dfs__Listing **out, dfs_error_t *err);
/* Every chunk with references, in key order after AFTER (NULL: from the start): for
 * repair and statistics. Returns the number filled. */
typedef struct chunk_row {
    copykey_t key;
    chunk_facts_t facts;
} chunk_row_t;
int namespace_chunks (namespace_reader_t *self, const copykey_t *after,
                      chunk_row_t *out, size_t max, dfs_error_t *err);

/* Counts on in USE, at most MAX records; 1: call it again. What was put under the
 * policy since it began is not counted, unless that could only come from what is. */
int namespace_policy_use (namespace_reader_t *self, policy_use_t *use, size_t max,
                          dfs_error_t *err);

#endif
