/* SPDX-License-Identifier: MPL-2.0 */
/* One disk of the store: what its files share. Nobody outside worker/store includes
 * this. LOCK guards every field that says nothing else; it is held for memory work and
 * for the few small writes that must stay in order, never over an fsync (but for a new
 * volume). */
#ifndef WORKER_STORE_DISK_H
#define WORKER_STORE_DISK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/buf.h"
#include "common/io.h"
#include "worker/store/batch.h"
#include "worker/store/cache.h"
#include "worker/store/index.h"
#include "worker/store/record.h"
#include "worker/store/ring.h"
#include "worker/store/store.h"

/* One volume file. */
typedef struct volume {
    uint32_t number;
    int fd;              /* -1: closed */
    int direct;          /* same file with O_DIRECT; -1: none */
    unsigned refs;       /* users of the fds */
    unsigned inflight;   /* extents reserved and not yet sealed or freed */
    uint64_t end;        /* where the next item goes */
    uint64_t punched;    /* bytes below END given back to the file system */
    uint64_t live_bytes; /* of entries in the index */
    uint64_t live_count; /* places that index entries name */
    uint64_t allocated;  /* up to here space is allocated ahead; 0: not known */
    uint64_t carried;    /* bytes of notes that compaction brought: still wanted */
    bool scattered;      /* its file system cannot allocate space ahead */
    bool bad;            /* do not compact: something in it cannot be read */
    bool stuck;          /* compacted as far as it goes until a place in it is left */
    uint64_t cursor;     /* where its compaction goes on; 0: not begun */
    store_chunk_t *open; /* chunks open for reading */
} volume_t;

/* A copy of which another one has taken the place, to be let go. */
typedef struct replaced {
    copykey_t key;
    entry_t entry;
} replaced_t;

#define DISK_WRITERS 2
/* Threads whose writes are timed: that of the commits, the writers. */
#define DISK_COMMITS 0
#define DISK_RING    1
#define DISK_WAITS   (1 + DISK_WRITERS)

typedef struct disk {
    /* constant after open */
    const store_config_t *config;
    uint32_t number; /* in the store */
    char dir[256];
    uint8_t id[16];
    uint64_t incarnation;
    uint64_t volume_size;
    uint64_t capacity; /* 0: the file system's */
    uint64_t reserve;
    buf_pool_t *staging; /* aligned buffers for O_DIRECT */
    cache_t *cache;
    int lock_fd;

    /* patience: no lock */
    atomic_uint_fast64_t busy[DISK_WAITS]; /* clock_mono when a write began; 0: none */
    atomic_uint_fast64_t stalled;          /* … since when nobody gets LOCK; 0: not */
    _Atomic (store_chunk_t *) unclosed;    /* chunks that could not be closed then */
    pthread_mutex_t saying;
    store_disk_t said; /* what was last told of it; under `saying` */

    pthread_mutex_t lock;
    pthread_cond_t work; /* the commit thread has something to do */
    pthread_cond_t room; /* the filling batch was taken */
    pthread_cond_t tend; /* the keeper has something to do */

    atomic_bool usable; /* can be read */
    int condition;      /* enum worker_condition: FULL is worked out, the others stay */
    int trouble_code;
    char trouble[256];

    volume_t **volumes; /* ascending by number */
    size_t n_volumes;
    volume_t *active;  /* where items go; NULL until the first */
    uint64_t used;     /* sum of end - punched */
    uint64_t space_at; /* clock_mono of the last look at the file system */
    uint64_t space_free;
    uint64_t promised; /* bytes of extents that are still to be written */

    index_t *index;
    table_t *leaving;  /* keys with a drop or damage record under way */
    table_t *renewing; /* keys with a newer birth under way: a drop must see it; or
                        * on their way back out of quarantine */
    atomic_bool spare; /* there is one: see spare.c */
    bool rebuilding;
    bool missing;    /* volumes that entries name are not there or too short */
    bool index_lost; /* its file cannot be read any more */
    bool index_bad;  /* a flipped bit was met in it: rebuild at the next start */

    batch_t fill;   /* gathers */
    batch_t commit; /* commit thread only */
    size_t waiting; /* bytes at the start of `fill` that found no space before */
    bool eager;     /* somebody waits for what is in `fill` */
    bool push;      /* a batch is wanted, though nothing has to go into it */
    uint64_t taken; /* batches */
    uint64_t ended;
    bool sleeping; /* the commit thread waits for work */
    bool stop;
    uint64_t next_batch;
    uint64_t next_seq;
    uint32_t mark_volume;
    uint64_t mark_end;
    position_t durable;      /* all below is durable and in the index */
    uint32_t folding_volume; /* the batch that is being folded */
    uint64_t folding_offset;
    replaced_t *replaced; /* sealed in that batch: freed when another one follows */
    size_t n_replaced;
    pthread_t commit_thread;
    bool commit_runs;

    pthread_cond_t spill; /* a writer has something to do */
    struct piece *pieces; /* staged bytes on their way to extents, oldest first */
    struct piece **pieces_end;
    pthread_t writers[DISK_WRITERS];
    ring_t *ring; /* NULL: the writers write */
    atomic_uint ring_writes;
    size_t n_writers; /* started */
    int n_writing;    /* … and running */
    bool writers_stop;

    /* large chunks that ask for space: see reserve.c */
    pthread_mutex_t asking;
    pthread_cond_t asked;
    pthread_cond_t answered;
    struct ask *asks;
    struct ask **asks_end;
    pthread_t opener;
    bool opener_runs;
    bool opener_stop;

    pthread_t keeper_thread;
    bool keeper_runs;
    bool keeper_stop;
    pthread_mutex_t checkpoint; /* one at a time */
    pthread_mutex_t tending;    /* one reclaim or compaction at a time */

    /* scrub: one caller */
    pthread_mutex_t scrubbing;
    copykey_t scrub_after;
    bool scrub_resumes;
    store_scrub_t scrub;
    uint64_t pass_since; /* a pass is wanted or under way: its beginning, wall clock */
    bool pass_begins;    /* it has to start with the first copy */
} disk_t;

/* --- disk.c --- */

/* Returns owned; never NULL: a disk that cannot be used says why. */
disk_t *disk_open (const store_config_t *config, uint32_t number, cache_t *cache);
void disk_close (disk_t **self_p);
/* A write or fsync failed with CODE: nothing is written from now on, reads go on. An
 * fsync is never tried again: the kernel may have dropped what it could not write.
 * Locked. */
void disk_fail (disk_t *self, int code, const char *text);
/* DFS_OK, or why LEN more bytes may not be written. Locked. */
int disk_room (disk_t *self, uint64_t len, bool use_reserve, dfs_error_t *err);
uint64_t disk_capacity (disk_t *self); /* locked */
bool disk_full (disk_t *self);         /* locked */
int disk_writable (const disk_t *self, dfs_error_t *err);
/* Whether the file system of a disk that fails takes no change any more: then it is
 * read-only. NOT locked. */
void disk_try_change (disk_t *self);
/* The entry of a copy that may be served: 1, 0, negative. Locked. */
int disk_find (disk_t *self, const copykey_t *key, entry_t *entry, dfs_error_t *err);
/* Fails the disk when its index cannot be read any more. Locked. */
void disk_check_index (disk_t *self);
/* New incarnation, durable: the store cannot say what it lost. NOT locked. */
int disk_renew (disk_t *self, dfs_error_t *err);

/* --- patience.c: a disk that does not answer is not waited for --- */

/* Takes the lock, unless the disk hangs in a write under it: then false, soon. */
bool disk_try (disk_t *self);
/* A write of thread WHO (DISK_COMMITS, 1 …) begins, has ended. */
void disk_busy (disk_t *self, int who);
void disk_idle (disk_t *self, int who);
/* For how long to wait for it: next to nothing when that was in vain before, ns. */
uint64_t disk_patience (const disk_t *self);
/* For how long it has owed an answer, ns. */
uint64_t disk_owes (const disk_t *self);
/* DFS_ETIMEOUT when that is too long to give it anything more. */
int disk_answers (const disk_t *self, dfs_error_t *err);
/* Puts what a hung disk looks like into what is told of it. */
void disk_tell_slow (const disk_t *self, store_disk_t *out);

/* --- fold.c --- */

/* Applies a record that stands at VOLUME, OFFSET to the index; fills CHANGE and returns
 * true when the record carries a new change. Locked. */
bool disk_fold (disk_t *self, const record_t *rec, uint32_t crc0, uint32_t volume,
                uint64_t offset, store_change_t *change);
/* Entry out of the index, its space accounted dead. Locked. */
void disk_forget (disk_t *self, const copykey_t *key, const entry_t *entry);
volume_stat_t *disk_stats (disk_t *self, size_t *n); /* locked; returns owned */
/* One checkpoint; DFS_OK when all that was durable before is in LMDB. NOT locked. */
int disk_checkpoint (disk_t *self, dfs_error_t *err);

/* --- reclaim.c --- */

/* Gives back the extent of a copy that is no longer the one of its key, now or when its
 * last reader closes it. Locked. */
void disk_let_go (disk_t *self, const copykey_t *key, const entry_t *entry);
/* … of those that stand in batches before the one that is being folded. Locked. */
void disk_let_go_replaced (disk_t *self);

/* --- volume.c --- */

/* Opens what lies in DIR/volumes. NOT locked. */
int volume_load_all (disk_t *self, dfs_error_t *err);
void volume_close_all (disk_t *self);
volume_t *volume_find (const disk_t *self, uint32_t number);
/* Finds and holds it open. NULL with DFS_ENOENT, DFS_EIO … */
volume_t *volume_use (disk_t *self, uint32_t number, dfs_error_t *err);
void volume_done (disk_t *self, volume_t *vol);
/* Gives LEN bytes (a multiple of 4 KiB) of the active volume and holds it; rolls on to
 * a new one when it is full. */
int volume_take (disk_t *self, uint64_t len, volume_t **vol, uint64_t *offset,
                 dfs_error_t *err);
/* Gives back what is allocated behind the last item. Locked. */
void volume_trim (disk_t *self, volume_t *vol);
/* The next item goes into a new volume. Locked. */
int volume_roll (disk_t *self, dfs_error_t *err);
/* Reserves an extent under a header. The volume is held and has one more in flight.
 * *PROMISED bytes of it are not allocated yet and counted in the disk's. */
int volume_reserve (disk_t *self, const record_t *rec, volume_t **vol, uint64_t *offset,
                    uint64_t *promised, dfs_error_t *err);
/* Marks an extent as free space and gives its bytes back. */
void volume_free_extent (disk_t *self, volume_t *vol, const extent_head_t *head);
/* Removes an empty volume for good. */
int volume_remove (disk_t *self, volume_t *vol, dfs_error_t *err);
int volume_path (const disk_t *self, uint32_t number, char *out, size_t cap);
/* Writes bytes of an extent through the aligned fd where there is one. NOT locked. */
int volume_write_data (disk_t *self, volume_t *vol, uint64_t offset, const void *data,
                       size_t len, dfs_error_t *err);
static inline int volume_sync (const disk_t *self, const volume_t *vol,
                               dfs_error_t *err)
{
    return self->config->memory_durability ? DFS_OK : io_fdatasync (vol->fd, err);
}

/* --- spare.c --- */

void spare_look (disk_t *self); /* at the open */
/* There is no space left: true when there is now. Locked or not. */
bool spare_give (disk_t *self);
/* Has one when there is room for it. NOT locked. */
void spare_keep (disk_t *self);

/* --- reserve.c, stage.c --- */

/* Waits for those who ask for space and ends the thread that answers. NOT locked. */
void reserve_stop (disk_t *self);
/* Waits for the staged bytes and ends the threads that write them. NOT locked. */
void writers_stop (disk_t *self);

/* --- commit.c --- */

/* Waits until the filling batch takes LEN more bytes. Locked; drops the lock while it
 * waits. DFS_EIO … when the disk stopped. */
int commit_wait_room (disk_t *self, size_t len, dfs_error_t *err);
/* Tells the commit thread about new items. Locked. */
void commit_wake (disk_t *self);
/* Waits until everything queued so far has ended. NOT locked. */
void commit_drain (disk_t *self);
/* Has a batch written even when nothing is queued: the end of what is durable moves to
 * the active volume. Locked. */
void commit_push (disk_t *self);
void *commit_main (void *arg);
/* Queues a record without bytes about a copy (gone, damaged, renewed, back). Locked. */
int commit_note (disk_t *self, int type, const copykey_t *key, const entry_t *entry,
                 uint64_t birth, const uint64_t *cookie, dfs_error_t *err);

/* --- recover.c --- */

/* Brings the index up to the volumes and finds the end. NOT locked, no thread yet. */
int disk_recover (disk_t *self, dfs_error_t *err);
/* Queues the loss of every entry whose volume is missing or too short. */
int disk_report_missing (disk_t *self, dfs_error_t *err);

/* --- reader.c --- */

/* The copy turned out bad: quarantine it, tell by a change. Locked. */
void disk_damaged (disk_t *self, const copykey_t *key, const entry_t *entry);
bool disk_place_open (const volume_t *vol, uint64_t offset);
/* Those who read at OFFSET are to let it go. Locked. */
void chunks_orphan (const volume_t *vol, uint64_t offset);

store_chunk_t *disk_open_chunk (disk_t *self, const copykey_t *key, int *code,
                                dfs_error_t *err);
/* As store_read, always from the disk. */
int chunk_read (store_chunk_t *chunk, uint64_t offset, void *buf, size_t len,
                uint32_t *crcs, bool check, dfs_error_t *err);
/* Closes what could not be closed while the disk hung. Locked. */
void chunks_close_late (disk_t *disk);
const uint32_t *chunk_crcs (const store_chunk_t *chunk); /* of a large one */
/* As store_verify, on this disk. */
int disk_verify (disk_t *self, const copykey_t *key, uint64_t *bytes, dfs_error_t *err);

/* --- keeper.c, reclaim.c, compact.c, scrub.c --- */

void *keeper_main (void *arg);
/* Frees copies in quarantine since before BEFORE (wall clock), the oldest first, until
 * ENOUGH bytes are free. NOT locked. Returns the number freed or negative. */
int64_t disk_reclaim (disk_t *self, uint64_t before, uint64_t enough, dfs_error_t *err);
/* Takes one sparse volume with a number under BELOW, moves about BUDGET bytes out of it
 * and removes it when it is empty. Returns 1 when it did something, 0 when no volume is
 * worth it, negative. NOT locked. */
int disk_compact (disk_t *self, uint64_t budget, unsigned live_percent, uint32_t below,
                  dfs_error_t *err);
/* As store_scrub, on this disk. */
int disk_scrub (disk_t *self, uint64_t budget, uint64_t since, dfs_error_t *err);
/* A step of the pass that was asked for. */
int disk_pass (disk_t *self, dfs_error_t *err);

#endif
