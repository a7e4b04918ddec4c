/* SPDX-License-Identifier: MPL-2.0 */
/* What the files of this directory share: the namespace object, the view that look-ups
 * read through, and the operation being applied. Not for anybody else.
 *
 * Two kinds of failure: a refusal (a negative code; nothing was changed) and a broken
 * namespace (disk error, damaged record: `broken` is set and nothing more is applied).
 * An operation checks everything first and changes records only afterwards. */
#ifndef BROKER_NAMESPACE_STATE_H
#define BROKER_NAMESPACE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/namespace/namespace.h"
#include "common/digest.h"
#include "common/kv.h"
#include "msgs/cluster.h"
#include "msgs/record.pb-c.h"

enum table {
    T_META,
    T_INODE,       /* inode */
    T_DENTRY,      /* parent inode, name */
    T_PAGE,        /* page id */
    T_PAGE_REFS,   /* page id */
    T_REAP,        /* id of a page without references that is still there */
    T_CHUNK,       /* packed copy key */
    T_INLINE,      /* digest */
    T_POLICY,      /* id u32 */
    T_MEMBER,      /* id u32 */
    T_USER,        /* id u32 */
    T_UPLOAD,      /* session, upload */
    T_STAGED,      /* session, upload, page number u32 */
    T_SESSION,     /* session */
    T_REQUEST,     /* session, request */
    T_JOB,         /* job */
    T_PAST_INODE,  /* inode, ~index */
    T_PAST_DENTRY, /* parent inode, name, 0, ~index */
    T_PAST_LOG,    /* index, table u8, key of the past record without ~index */
    T_FREE,        /* index, packed copy key: nothing refers to the chunk */
    T_CONDEMNED,   /* index, packed copy key */
    T_DROP,        /* packed copy key, worker u32: counts as gone */
    T_COUNT,
};
extern const char *const table_names[T_COUNT];

enum counter {
    C_TIME, /* log time of the last entry */
    C_NEXT_INODE,
    C_NEXT_PAGE,
    C_NEXT_JOB,
    C_FILES,
    C_DIRECTORIES,
    C_SYMLINKS,
    C_BYTES_LOGICAL,
    C_CHUNKS,
    C_CHUNK_BYTES,
    C_INLINE,
    C_INLINE_BYTES,
    C_PAST,
    C_JOBS,
    C_SESSIONS,
    C_CATALOG, /* log index of the last change of policies or users */
    C_PAGES,
    C_UPLOADS,
    C_DROPS,     /* rows of drop */
    C_CONDEMNED, /* rows of condemned */
    C_FORGOTTEN, /* highest index of a condemnation whose record is gone */
    C_COUNT,
};

enum limits {
    ROOT_INODE = 1,
    ENTRY_RECORDS = 10000, /* records an entry may write */
    PAGE_EXTENTS = 512,
    PAGE_CHILDREN = 64,
    PAGE_LEVELS = 8,
    COMMIT_EXTENTS = 8192, /* in one entry; more are staged */
    REMAKE_EXTENTS = 4096, /* counted again under another policy by one entry */
    UPLOAD_PAGES = 8000,
    UPLOADS_PER_SESSION = 256,
    UPLOAD_INLINE_PAGES = 1024, /* rows cleared at once; more by a job */
    INLINE_PER_ENTRY = 512,
    INLINE_MAX = CLUSTER_INLINE_MAX,
    CHUNK_MAX = 64 * 1024 * 1024,
    TARGET_MAX = 4096,
    SYMLINKS_MAX = 40,
    DEPTH_MAX = 4096,
    REQUESTS_KEPT = 4096, /* request numbers of a session whose results are kept */
    POLICIES_MAX = 1024,
    MEMBERS_MAX = 4096,
    USERS_MAX = 16384,
    MISSING_MAX = 1024,
    KEY_MAX = 320,
    RECLAIM_ITEMS = 1024, /* chunks or copies in one entry about reclaim */
    HASH_RING = 16384,
    SESSIONS_LOOKED = 4096, /* in one search for idle ones */
    REMOVE_AT_ONCE = 2000,  /* records that rm -r writes before it leaves a job */
};
#define SESSION_GUARD_NS (60ULL * 1000000000) /* an expiry never hits younger ones */
#define TOMBSTONE_NS     (24ULL * 3600 * 1000000000)
#define FORMAT_VERSION   1

/* Policies and users by id, for attributes: few, kept in memory. */
typedef struct catalog {
    uint64_t index; /* of the last change it has */
    Dfs__Policy **policies;
    size_t n_policies;
    Dfs__User **users;
    size_t n_users;
    arena_t *arena;
} catalog_t;

typedef struct view {
    kv_t *kv;
    MDB_txn *txn;
    MDB_cursor **cursors; /* one per table, kept as long as TXN; NULL for readers */
    uint64_t at; /* 0: now; else names and inodes as they were after that log index */
    bool broken; /* a failure that is not the caller's */
    catalog_t *catalog;
} view_t;

typedef struct hash_slot {
    uint64_t index;
    uint8_t hash[16];
} hash_slot_t;

struct namespace_reader;

struct namespace
{
    view_t view; /* txn: the open write transaction */
    MDB_cursor
        *cursors[T_COUNT]; /* made on demand, ended by LMDB with the transaction */
    char *dir;
    uint64_t applied;
    uint64_t term;
    uint64_t durable;
    bool dirty;
    bool seeded;
    unsigned __int128 sum;
    uint64_t counters[C_COUNT];
    Dfs__RecSeed *seed; /* from seed_arena */
    arena_t *seed_arena;
    arena_t *scratch; /* reset at each entry and look-up */
    arena_t *item;    /* of one inline content at a time */
    arena_t *leaf;    /* of one page at a time, when many go */
    uint8_t *pack;    /* buffer for packing */
    size_t pack_cap;
    digest_t *digest;
    hash_slot_t *ring;       /* hashes after recent entries, by index mod HASH_RING */
    namespace_check_t check; /* not taken yet */
    catalog_t catalog;
    bool directory;              /* the last entry was about members, users, policies */
    namespace_effect_t *effects; /* of the last entry */
    size_t n_effects;
    size_t cap_effects;
    uint64_t reclaimed; /* chunks, since it was opened: not part of the state */
    uint64_t reclaimed_bytes;
    pthread_mutex_t lock; /* over readers */
    struct namespace_reader *readers;
};

/* The operation being applied. */
typedef struct op {
    namespace_t *ns;
    view_t *view;
    uint64_t index;
    uint64_t time;
    uint64_t session;
    uint32_t user;
    unsigned records; /* written so far */
    unsigned limit;
    arena_t *scratch;
    Dfs__OpResult *result;
    Dfs__InlineData **inl; /* contents that came with it */
    size_t n_inl;
} op_t;

/* Reads the identity that the seed entry left. */
int state_load_seed (namespace_t *ns, dfs_error_t *err);
/* Begins the write transaction where there is none: it belongs to the thread that does.
 */
int state_begin (namespace_t *ns, dfs_error_t *err);
/* Marks the view as broken and returns CODE. */
int broken (view_t *view, dfs_error_t *err, int code, const char *what, uint64_t id);
/* Closes without committing: what a crash leaves. For tests. */
void namespace_abandon (namespace_t **self_p);

#define set_field(msg, field, val)                                                     \
    do {                                                                               \
        (msg)->has_##field = 1;                                                        \
        (msg)->field = (val);                                                          \
    } while (0)

#endif
