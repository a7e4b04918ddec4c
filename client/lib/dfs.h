/* SPDX-License-Identifier: MPL-2.0 */
/* libdfs: files in a dfs cluster, from any program. Calls block; work inside is
 * parallel. A dfs_t may be used by one thread at a time, several dfs_t by several
 * threads. The library has its own ZeroMQ context and threads, installs no signal or
 * atexit handler and keeps nothing process-wide; a dfs_t used after fork () in the
 * child answers DFS_EFORK. Paths are absolute, bytes, NUL-terminated. Functions return
 * 0 or a negative DFS_E… code with text in ERR (which may be NULL). */
#ifndef DFS_H
#define DFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dfs_error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dfs dfs_t;

/* One step of an operation on one node, all its occurrences together. Steps overlap:
 * their sum is not the time that the operation took. */
typedef struct dfs_hop {
    char node[64]; /* "client", or the broker's or worker's name */
    char step[32];
    uint64_t times, ns, longest_ns, bytes;
} dfs_hop_t;
/* OPERATION is the number under which all nodes log it. */
typedef void (dfs_trace_f) (uint64_t operation, uint64_t ns, const dfs_hop_t *hops,
                            size_t n, void *arg);

typedef struct dfs_options {
    const char
        *config;      /* path of cluster.cfg; NULL: $DFS_CONFIG and the usual places */
    const char *user; /* NULL: $DFS_USER, else "admin" */
    uint32_t timeout_ms; /* of one operation without any progress; 0: 30 s */
    void (*log) (int level, const char *line, void *arg); /* NULL: nothing is logged */
    void *log_arg;
    /* Reads do that may be old: any broker answers, also one without a majority. What
     * changes something is refused (DFS_EUNAVAIL). */
    bool stale;
    /* Called at the end of each call that asked a broker something; NULL: nothing is
     * measured. */
    dfs_trace_f *trace;
    void *trace_arg;
} dfs_options_t;

/* Connects (at most timeout_ms; 0: 15 s). Unless that is more than 15 s, it gives up
 * after 3 s when every broker is of this machine and does not run, after 5 s when all
 * hosts of brokers refuse the connection. OPTIONS may be NULL. Returns owned, NULL on
 * failure. */
dfs_t *dfs_open (const dfs_options_t *options, dfs_error_t *err);
/* Ends; NULL is fine. */
void dfs_close (dfs_t **dfs_p);
const char *dfs_version (void);

/* --- names --- */

enum dfs_type { DFS_NONE, DFS_FILE, DFS_DIRECTORY, DFS_SYMLINK, DFS_SPECIAL };

typedef struct dfs_stat {
    enum dfs_type type;
    uint32_t mode; /* permission bits */
    uint32_t uid, gid, nlink;
    uint64_t inode, size;
    uint64_t mtime_ns, ctime_ns; /* since 1970; before it: two's complement */
    uint64_t version;            /* log index of the commit that made it */
    uint64_t chunks, chunk_size;
    uint32_t replicas, policy;
    char owner[64];
    uint8_t sha256_tree[32]; /* over the extent list */
    bool has_tree;
    char *target;  /* of a symlink, else NULL */
    uint64_t lost; /* in a listing of lost files: its extents without a live copy */
} dfs_stat_t;

/* FOLLOW: a symlink at the end of PATH. Free the target with dfs_stat_clear. */
int dfs_stat (dfs_t *dfs, const char *path, bool follow, dfs_stat_t *st,
              dfs_error_t *err);
/* Many at once (for `stat` rates): CODES[i] and ST[i] for PATHS[i]. */
int dfs_stat_many (dfs_t *dfs, const char *const *paths, size_t n, bool follow,
                   dfs_stat_t *st, int *codes, dfs_error_t *err);
void dfs_stat_clear (dfs_stat_t *st);

typedef struct dfs_list_options {
    bool recursive;
    bool brief;          /* only names and types are needed: faster */
    const char *pattern; /* fnmatch of the name, or NULL */
    bool lost;           /* only files that need a chunk without a live copy */
    /* Not NULL: is told what the files hold, some of it several times: the start of its
     * digest, its length, and whether it lies in the namespace. */
    void (*content) (uint64_t id, uint64_t length, bool inlined, void *arg);
    uint32_t content_bits; /* tells only one of 2^bits contents, always the same */
} dfs_list_options_t;
/* Calls EACH for each entry in name order (recursive: depth first), PATH relative to
 * the directory; borrowed during the call. EACH returns 0 to go on; anything else ends
 * the listing and is returned. All entries are of one moment. */
int dfs_list (dfs_t *dfs, const char *path, const dfs_list_options_t *options,
              int (*each) (const char *path, const dfs_stat_t *st, void *arg),
              void *arg, dfs_error_t *err);

int dfs_mkdir (dfs_t *dfs, const char *path, uint32_t mode, bool parents,
               dfs_error_t *err);
int dfs_rmdir (dfs_t *dfs, const char *path, dfs_error_t *err);
/* RECURSIVE removes a tree at once. */
int dfs_unlink (dfs_t *dfs, const char *path, bool recursive, dfs_error_t *err);
/* Many files at once, many in flight; CODES[i] per path. */
int dfs_unlink_many (dfs_t *dfs, const char *const *paths, size_t n, int *codes,
                     dfs_error_t *err);
int dfs_rename (dfs_t *dfs, const char *from, const char *to, bool no_replace,
                dfs_error_t *err);
/* Copies one file without moving data. */
int dfs_clone (dfs_t *dfs, const char *from, const char *to, bool no_replace,
               dfs_error_t *err);
int dfs_symlink (dfs_t *dfs, const char *target, const char *path, bool replace,
                 dfs_error_t *err);
/* MTIME_NS UINT64_MAX and MODE UINT32_MAX: unchanged. */
int dfs_setattr (dfs_t *dfs, const char *path, uint32_t mode, uint64_t mtime_ns,
                 dfs_error_t *err);

/* --- content --- */

typedef struct dfs_progress {
    uint64_t bytes, bytes_total; /* total 0: not known (a pipe) */
    uint64_t files, files_total;
    uint64_t
        bytes_sent; /* put: what went over the network; the rest was there already */
} dfs_progress_t;
/* Called from the thread that called dfs_put or dfs_get, about ten times a second.
 * Returning anything but 0 cancels (DFS_ECANCELED). */
typedef int (dfs_progress_f) (const dfs_progress_t *progress, void *arg);

enum dfs_put_flags {
    DFS_PUT_CREATE = 1,  /* may make the file */
    DFS_PUT_REPLACE = 2, /* may replace it */
    DFS_PUT_APPEND = 4,  /* atomic append */
    DFS_PUT_PARENTS = 8, /* make missing directories */
};

/* One file to store: from PATH of the local file system, or FD when path is NULL. */
typedef struct dfs_put_item {
    const char *source;
    int fd;
    const char *dest;
    uint32_t mode;       /* permission bits; UINT32_MAX: the source's, or 0644 */
    uint64_t mtime_ns;   /* UINT64_MAX: the source's, or now */
    uint64_t if_version; /* 0: any */
    /* out */
    int code;
    dfs_error_t error; /* text when code < 0 */
    uint64_t version;
    uint64_t size;
    uint32_t copies; /* fewest of any chunk: below WANTED when workers are dead */
    uint32_t wanted; /* copies that its policy asks for; 0: not known */
} dfs_put_item_t;

typedef struct dfs_put_options {
    int flags;           /* enum dfs_put_flags; 0: create and replace */
    uint64_t chunk_size; /* 0: the policy's */
    uint32_t policy;     /* of new files; 0: the directory's */
    uint32_t replicas;   /* that POLICY asks for; 0: not known */
    dfs_progress_f *progress;
    void *progress_arg;
} dfs_put_options_t;

/* Stores N files, many in flight; each appears whole or not at all. Returns 0 when
 * every item's code is 0, else the first failure (the others go on). What is there
 * already, by content, is not sent again. */
int dfs_put (dfs_t *dfs, dfs_put_item_t *items, size_t n,
             const dfs_put_options_t *options, dfs_error_t *err);

/* One file to fetch: to PATH (written as a temporary file beside it, verified, renamed)
 * or to FD, in order, when path is NULL. */
typedef struct dfs_get_item {
    const char *source;
    const char *dest;
    int fd;
    uint64_t offset;      /* with length: only this range */
    uint64_t length;      /* UINT64_MAX: to the end */
    bool keep_attributes; /* mode and mtime */
    /* out */
    int code;
    dfs_error_t error;
    uint64_t size; /* bytes written */
    uint64_t version;
} dfs_get_item_t;

typedef struct dfs_get_options {
    bool sync; /* fsync each file before its rename */
    dfs_progress_f *progress;
    void *progress_arg;
} dfs_get_options_t;

int dfs_get (dfs_t *dfs, dfs_get_item_t *items, size_t n,
             const dfs_get_options_t *options, dfs_error_t *err);

/* Random access to an open file at one version. */
typedef struct dfs_file dfs_file_t;
dfs_file_t *dfs_file_open (dfs_t *dfs, const char *path, dfs_error_t *err);
/* Returns bytes read (0 at the end), or negative. */
ssize_t dfs_file_read (dfs_file_t *file, void *buf, size_t len, uint64_t offset,
                       dfs_error_t *err);
uint64_t dfs_file_size (const dfs_file_t *file);
void dfs_file_close (dfs_file_t **file_p);

/* --- health --- */

typedef struct dfs_broker_info {
    char name[64], endpoint[128], role[16];
    uint64_t log_index, applied, memory;
    uint64_t lag; /* entries that it has not confirmed yet, as the leader knows */
    uint64_t heard_ago_ns; /* 0: the one that answers, or never heard */
    uint64_t term;         /* of the one that answers, else 0 */
    bool voter;            /* false: it is new, or lost its data, and has no vote yet */
} dfs_broker_info_t;

typedef struct dfs_worker_info {
    uint32_t id;
    char name[64], endpoint[128], state[16], condition[16], location[256];
    uint64_t chunks, bytes_used, bytes_free, memory, bytes_in, bytes_out;
    uint64_t cache_hits, cache_misses, heard_ago_ns;
    uint32_t cpu_permille, disk_permille, streams;
    bool drained;          /* nothing depends on it: it may be removed */
    uint32_t scrub_passes; /* disks on which a pass that was asked for is under way */
    uint64_t scrubbed, scrub_damaged; /* chunks, since its start */
    char trouble[208];                /* of a disk, for a person; empty: none */
    uint64_t bytes_live; /* of bytes_used, those of copies that count; the others are in
                          * quarantine, or not yet given back */
    uint32_t flaps;      /* times that it came and went, of late */
    uint64_t damped_ns;  /* because of that it gets nothing new for so long */
    uint64_t copies;     /* that the brokers know of; chunks: what it told last */
} dfs_worker_info_t;

/* Copies should be in different failure domains of each level of their locations. */
typedef struct dfs_unmet {
    uint32_t level;    /* 1: the first component */
    char example[256]; /* a domain of that level */
    uint64_t chunks; /* that have two copies in one of them, though there are others */
} dfs_unmet_t;

typedef struct dfs_status {
    char cluster[64], health[16], epoch[32], security[16];
    dfs_broker_info_t *brokers;
    size_t n_brokers;
    dfs_worker_info_t *workers;
    size_t n_workers;
    char **notes;
    size_t n_notes;
    uint64_t files, directories, chunks, bytes_logical, bytes_unique, bytes_stored;
    uint64_t chunks_under_replicated, chunks_lost, chunks_surplus;
    uint64_t repair_queued, repair_active, repair_bytes_per_second, repair_eta_seconds;
    uint64_t uptime_ns, sessions, inline_bytes;
    uint32_t replicas, min_replicas;
    uint64_t chunk_size;
    uint64_t chunks_moving; /* to other workers, because of drains and domains */
    /* pieces read since the broker leads; of those, asked of a second worker because
     * the first was slow, and taken over from a busy worker by an idle one */
    uint64_t reads, reads_hedged, reads_stolen;
    bool reclaim_held, reclaim_waits; /* until an operator; until enough is known */
    char reclaim_why[160];
    uint64_t chunks_free, chunks_condemned; /* nothing refers to them */
    uint64_t chunks_reclaimed,
        bytes_reclaimed;      /* given back since the broker started */
    uint64_t copies_dropping; /* count as gone; their workers have not confirmed it */
    uint64_t copies_trimmed;  /* surplus ones, since the broker leads */
    bool rebalancing;
    uint64_t rebalance_moved;
    uint32_t fill_mean, fill_farthest; /* thousandths of capacity */
    uint64_t files_lost; /* that need lost chunks; so far, until all were looked at: */
    bool files_lost_known;
    char **lost_files; /* the first of them, by path */
    size_t n_lost_files;
    /* nothing can be done for them now; of those, no worker that takes new copies is
     * left for so many, and so many find no room */
    uint64_t repair_waiting, repair_no_worker, repair_no_room;
    /* how rebalance ended last: 0 it has not, 1 every worker is near the mean, 2 as
     * even as domains and chunks allow */
    uint32_t rebalance_end;
    uint64_t rebalance_ended_ago_ns, rebalance_looks; /* at the figures so far */
    char fill_farthest_worker[64];
    bool repair_eta_known;   /* else repair_eta_seconds is 0 and means nothing */
    uint64_t repair_held_ns; /* repair is held for so long; 0: it is not */
    dfs_unmet_t *unmet;      /* rules of placement that are not met */
    size_t n_unmet;
} dfs_status_t;
int dfs_status (dfs_t *dfs, dfs_status_t *status, dfs_error_t *err);
void dfs_status_clear (dfs_status_t *status);

typedef struct dfs_replica {
    uint32_t worker;
    char name[64], location[256], state[16];
    uint64_t verified_at_ns; /* last found whole, by the worker's clock; 0: never, or
                                the worker does not answer */
    int code; /* DFS_OK, DFS_ENOENT (missing), DFS_EUNAVAIL; dfs_verify: DFS_EDAMAGED …
               */
} dfs_replica_t;
typedef struct dfs_chunk_info {
    uint64_t index, offset, size;
    char id[88];
    bool inlined;
    const dfs_replica_t *replicas;
    size_t n_replicas;
} dfs_chunk_info_t;
typedef int (dfs_chunk_f) (const dfs_chunk_info_t *chunk, void *arg);
/* Where each chunk of a file is, and when each worker last verified its copy. */
int dfs_locate (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err);
/* Re-hashes every replica of each chunk of a file, on the workers. */
int dfs_verify (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err);
/* Starts a pass over all copies on WORKER (NULL: on every worker) now; *WORKERS, if not
 * NULL, becomes the number of those told to. Returns at once. For administrators. */
int dfs_scrub (dfs_t *dfs, const char *worker, unsigned *workers, dfs_error_t *err);

/* --- operation --- */

typedef struct dfs_policy {
    uint32_t id; /* 1: the cluster's default */
    char name[64];
    uint32_t replicas, min_replicas;
    uint64_t chunk_size, history_ns;
    bool removing; /* a removal has begun and not ended: nothing more is put under it */
} dfs_policy_t;

/* Moves everything off a worker (DRAIN), or takes it back; dfs_status tells how far it
 * is. */
int dfs_worker_drain (dfs_t *dfs, const char *worker, bool drain, dfs_error_t *err);
/* Forgets a worker that is drained or dead; DFS_EINUSE while data depends on it. */
int dfs_worker_remove (dfs_t *dfs, const char *worker, dfs_error_t *err);
/* Forgets a dead worker, and gives up what only it has. */
int dfs_worker_abandon (dfs_t *dfs, const char *worker, dfs_error_t *err);
/* Begins to even out how full workers are; dfs_status tells how far it is. */
int dfs_rebalance (dfs_t *dfs, dfs_error_t *err);
/* Ends a hold of reclaim: what is unknown on workers may go. */
int dfs_reclaim_resume (dfs_t *dfs, dfs_error_t *err);
/* Lifts every condemnation and holds reclaim. */
int dfs_reclaim_undo (dfs_t *dfs, dfs_error_t *err);

typedef struct dfs_reclaim_copy {
    uint32_t worker;
    uint64_t birth;
    bool damaged;
    bool dropped; /* counts as gone; the worker has not confirmed it */
} dfs_reclaim_copy_t;
typedef struct dfs_reclaim_chunk {
    char id[88];
    bool recorded; /* the namespace has a record of it */
    uint64_t refs, length;
    uint64_t freed, condemned; /* log indexes, 0: not */
    uint64_t since_ago_ns;     /* it is unused or condemned since then, if has_since */
    uint64_t drop_in_ns;       /* condemned: its grace ends then; 0: it has */
    bool has_since;
    const dfs_reclaim_copy_t *copies;
    size_t n_copies;
} dfs_reclaim_chunk_t;
/* What is known of chunks, named by their ids (64 hexadecimal digits), at most 256; a
 * single one also by the first of them, at least 8 (DFS_EINVAL when they are the first
 * of several). */
int dfs_reclaim_explain (dfs_t *dfs, const char *const *ids, size_t n,
                         int (*each) (const dfs_reclaim_chunk_t *chunk, void *arg),
                         void *arg, dfs_error_t *err);
/* Lets another broker lead; returns when it does. */
int dfs_broker_transfer (dfs_t *dfs, const char *broker, dfs_error_t *err);
/* Takes a broker in again that has lost its data and runs on a newly marked directory:
 * it gets everything, then the vote of the one before. Calls EACH (may be NULL) every
 * second or so; it returns 0 to go on. */
int dfs_broker_replace (dfs_t *dfs, const char *broker, int (*each) (void *arg),
                        void *arg, dfs_error_t *err);
/* Ends a hold of repair. */
int dfs_repair_resume (dfs_t *dfs, dfs_error_t *err);
/* All of them, in order of their ids. Free *POLICIES. */
int dfs_policies (dfs_t *dfs, dfs_policy_t **policies, size_t *n, dfs_error_t *err);
/* Makes a policy (ID 0: one with the same name is DFS_EEXIST) or changes one; every
 * file under it is brought to its number of copies. */
int dfs_policy_set (dfs_t *dfs, const dfs_policy_t *policy, dfs_error_t *err);
/* Removes a policy: DFS_EINUSE, with the counts in the text, while anything is under
 * it, history as well. Its number is never given again. */
int dfs_policy_remove (dfs_t *dfs, uint32_t policy, dfs_error_t *err);
/* Puts a file, or a directory and what is made in it from now on, under a policy. */
int dfs_policy_assign (dfs_t *dfs, const char *path, uint32_t policy, dfs_error_t *err);

#ifdef __cplusplus
}
#endif
#endif
