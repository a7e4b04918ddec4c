/* SPDX-License-Identifier: MPL-2.0 */
/* The chunk store of one worker: append-only volumes of records on one or more disks,
 * an index, group commit, a durable sequence of changes per disk. A chunk is there once
 * its store_done_f said DFS_OK: it is fsynced and its change has a number.
 *
 * Threads: store_begin … store_abort of one append from one thread at a time (different
 * appends from different threads are fine); store_open_chunk, store_read, store_stat
 * and the queries from any thread; store_drop, store_open, store_close from the owner.
 * The callbacks run on the store's threads (commits of one disk in order): they may not
 * block and may not call back; `changed` may come before store_open has returned (lost
 * volumes). Every append and chunk must be ended before store_close. */
#ifndef WORKER_STORE_STORE_H
#define WORKER_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"
#include "msgs/copykey.h"

typedef struct store store_t;
typedef struct store_append store_append_t;
typedef struct store_chunk store_chunk_t;

/* kind is an enum dfs__location_kind value of control.proto. */
typedef struct store_change {
    uint64_t seq;
    int kind;
    copykey_t key;
    uint64_t birth;
    uint64_t length;
    uint64_t upload; /* hint: of the append; 0 when read back after a restart */
} store_change_t;

/* Changes [first, first + n) of disk DISK became durable, in order. */
typedef void (store_changed_f) (uint32_t disk, const store_change_t *changes, size_t n,
                                void *arg);
/* One append ended: DFS_OK (durable), DFS_EEXIST (had it; birth renewed when newer),
 * or why not. Called after the changed callback that covers it. */
typedef void (store_done_f) (uint64_t cookie, int code, void *arg);

/* Copied by store_open; what it points to stays until store_close. */
typedef struct store_config {
    const char *const *dirs;  /* marked data directories (msgs/mark.h) */
    const uint64_t *capacity; /* per directory, bytes; 0: the file system's */
    size_t n_dirs;
    uint8_t cluster_id[16];
    const char *node;
    uint64_t volume_size;   /* 0: 1 GiB */
    uint64_t reserve;       /* bytes kept free for deletes and reclaim; 0: default */
    bool memory_durability; /* skip fdatasync: only when asked for */
    uint64_t grace;         /* ns a dropped copy stays in quarantine; 0: 1 day */
    uint64_t grace_short;   /* … while the disk is nearly full; 0: 1 minute */
    uint64_t compact_rate;  /* bytes/s moved out of sparse volumes; 0: 32 MiB */
    uint64_t scrub_rate;    /* bytes/s re-hashed in the background; 0: none */
    uint64_t scrub_every;   /* ns between two checks of a chunk; 0: 30 days */
    uint64_t cache_size;    /* bytes of hot blocks kept in memory; 0: none */
    bool no_ring;           /* for tests: as where the kernel has no io_uring … */
    bool no_direct;         /* … and the file system no O_DIRECT */
    store_changed_f *changed;
    store_done_f *done;
    void *arg;
} store_config_t;

/* Opens (and after a crash recovers) all disks. A disk that is unmarked, foreign or
 * broken is left out and reported by store_disks; DFS_E… only when none is usable. */
store_t *store_open (const store_config_t *config, dfs_error_t *err);
/* Commits what was sealed, then closes. */
void store_close (store_t **self_p);

/* --- writing --- */

typedef struct store_new {
    copykey_t key;
    uint64_t true_len;
    uint64_t stored_len;
    uint64_t birth;
    uint64_t upload;
    uint8_t encoding;
    uint16_t flags; /* of the record: metadata chunk … */
} store_new_t;

/* Reserves space. Returns NULL with DFS_ENOSPC, DFS_EROFS, DFS_EIO …; DFS_EEXIST when a
 * good copy of the same or a newer birth is there (nothing to write; `changed` will not
 * come: the caller reports Stored again from store_find). An older birth is renewed
 * durably, done comes for COOKIE, and NULL with DFS_EAGAIN is returned. */
store_append_t *store_begin (store_t *self, const store_new_t *what, uint64_t cookie,
                             dfs_error_t *err);
/* Writes bytes of the stored form at OFFSET (multiple of 64 KiB, any order, each once);
 * CRCS has one CRC32C per 64 KiB block of it. Does not keep DATA. Write-back is started
 * early. */
int store_write (store_append_t *append, uint64_t offset, const void *data, size_t len,
                 const uint32_t *crcs, dfs_error_t *err);
/* The bytes are all there and the caller has verified them: takes the append, queues it
 * for group commit; `done` says when it is durable. */
void store_seal (store_append_t **append_p);
/* Gives the space back. NULL is fine. */
void store_abort (store_append_t **append_p);
/* A whole small chunk (at most 1 MiB) in one call: begin, write, seal; copied. Codes as
 * store_begin (negative: `done` will not come, except DFS_EAGAIN). */
int store_put (store_t *self, const store_new_t *what, const void *data,
               const uint32_t *crcs, uint64_t cookie, dfs_error_t *err);

/* --- reading --- */

typedef struct store_info {
    copykey_t key;
    uint64_t true_len;
    uint64_t stored_len;
    uint64_t birth;
    uint64_t verified_at; /* wall clock ns of the last whole check, 0 never */
    uint8_t encoding;
    uint32_t disk;
    uint64_t seq; /* of its stored change */
} store_info_t;

/* 1 and *INFO, 0 not here, negative. */
int store_find (store_t *self, const copykey_t *key, store_info_t *info,
                dfs_error_t *err);
/* Opens a chunk for reading: it stays readable until closed, whatever compaction or
 * drop does meanwhile. NULL with DFS_ENOENT, DFS_EDAMAGED (quarantined), DFS_EIO. */
store_chunk_t *store_open_chunk (store_t *self, const copykey_t *key, dfs_error_t *err);
void store_close_chunk (store_chunk_t **chunk_p);
const store_info_t *store_chunk_info (const store_chunk_t *chunk);
/* Reads bytes [offset, offset + len) of the stored form; OFFSET is a multiple of 64 KiB
 * and LEN too, except at the end. Fills CRCS (one per block) with the stored values
 * and, when CHECK, compares them: DFS_EDAMAGED, and the chunk is quarantined and
 * reported by a change. */
int store_read (store_chunk_t *chunk, uint64_t offset, void *buf, size_t len,
                uint32_t *crcs, bool check, dfs_error_t *err);
/* Other values for what the config said at the open. Any thread. */
void store_tune (store_t *self, uint64_t scrub_rate, uint64_t cache_size);
/* Reads that memory answered, and those that went to a disk. */
void store_cache_counts (store_t *self, uint64_t *hits, uint64_t *misses);
/* Re-hashes the whole copy with SHA-256 from disk: DFS_OK, DFS_ENOENT, DFS_EDAMAGED
 * (then quarantined and reported), DFS_EIO. *BYTES read. */
int store_verify (store_t *self, const copykey_t *key, uint64_t *bytes,
                  dfs_error_t *err);

/* --- removing --- */

/* Quarantines the copy if its birth is below BIRTH_LIMIT (a `gone` change follows);
 * DFS_ENOENT, DFS_ECONFLICT when it is younger. Space comes back after the grace. */
int store_drop (store_t *self, const copykey_t *key, uint64_t birth_limit,
                dfs_error_t *err);

/* Takes a dropped copy back out of quarantine (a `stored` change follows); DFS_ENOENT
 * when there is none. */
int store_restore (store_t *self, const copykey_t *key, dfs_error_t *err);
/* What the keeper of each disk does by itself, now and to the end: frees copies whose
 * quarantine began before BEFORE (wall clock ns); moves live bytes out of volumes of
 * which less than LIVE_PERCENT is live and removes those that are empty. Returns DFS_OK
 * or the first failure. */
int store_reclaim (store_t *self, uint64_t before, dfs_error_t *err);
int store_compact (store_t *self, unsigned live_percent, dfs_error_t *err);

/* --- scrub --- */

typedef struct store_scrub {
    uint64_t chunks; /* looked at since the start */
    uint64_t bytes;
    uint64_t damaged;
    uint64_t rounds; /* whole walks over all disks */
    uint32_t passes; /* disks on which a pass that was asked for is under way */
    uint64_t passed; /* … has ended: its changes were all called before */
} store_scrub_t;

/* Re-hashes the next copies that were not verified since SINCE (wall clock ns), about
 * BUDGET bytes of them; resumes where the last call ended. Returns 1 when the walk came
 * to its end, 0 when more is left, or negative. One caller at a time. */
int store_scrub (store_t *self, uint64_t budget, uint64_t since, dfs_error_t *err);
/* Starts a pass over every copy of every disk now, on the keepers' threads, as fast as
 * the disks read; one that is under way starts over. Returns at once. */
void store_scrub_pass (store_t *self);
/* Sum over the disks, the background scrub included. */
void store_scrub_state (store_t *self, store_scrub_t *out);

/* --- changes --- */

/* Changes of DISK from sequence FIRST on, at most MAX, into OUT; returns their number.
 * DFS_ESTALE when FIRST was trimmed: take an inventory. */
int store_changes (store_t *self, uint32_t disk, uint64_t first, store_change_t *out,
                   size_t max, dfs_error_t *err);
/* Changes up to SEQ are no longer wanted by any broker. */
void store_trim_changes (store_t *self, uint32_t disk, uint64_t seq);
/* A page of all copies in key order after AFTER (NULL: from the start). *SEQ is the
 * sequence that the inventory stands for when this is its first page. */
int store_inventory (store_t *self, uint32_t disk, const copykey_t *after,
                     store_info_t *out, size_t max, uint64_t *seq, dfs_error_t *err);

/* --- state --- */

typedef struct store_disk {
    char dir[256];
    uint8_t id[16];
    uint64_t incarnation;
    uint64_t first_seq;
    uint64_t last_seq; /* durable */
    uint64_t capacity; /* bytes that chunks may take */
    uint64_t used;     /* by records, live and not yet reclaimed */
    uint64_t chunks;
    int condition; /* enum worker_condition */
    bool usable;
    char trouble[256]; /* why not usable, or what is wrong */
} store_disk_t;

size_t store_disks (store_t *self, store_disk_t *out, size_t max);
/* Leaves out a disk on which a write has failed, unless no other is left: then that one
 * is read as long as it can be. What a disk had that is left out does not count any
 * more. True when there was one. */
bool store_give_up (store_t *self);

/* --- offline: the directory may not be in use --- */

/* Prints volumes, batches, records and extents of DIR for a person; damage is named and
 * stepped over. */
int store_dump (const char *dir, FILE *out, dfs_error_t *err);
/* Throws the index of DIR away and makes it anew from the volumes. */
int store_rebuild_index (const char *dir, dfs_error_t *err);
/* Prints a line for each dropped copy of DIR that is still in quarantine. */
int store_quarantine (const char *dir, FILE *out, dfs_error_t *err);
/* Takes CHUNK (its name as the lists give it, or a unique beginning of it), or all
 * (NULL), back out of the quarantine of DIR, durably; *COUNT copies. Brokers hear of it
 * when the worker runs again, and leave alone what files refer to. */
int store_take_back (const char *dir, const char *chunk, uint64_t *count,
                     dfs_error_t *err);
/* Marks DIR as a data directory of this worker, with a disk id of its own. It must be
 * empty or absent, or carry another mark: then FORCE is needed, and what it held is
 * removed. */
int store_format (const char *dir, const uint8_t cluster_id[16], const char *node,
                  bool force, dfs_error_t *err);

#endif
