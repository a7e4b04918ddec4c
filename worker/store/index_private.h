/* SPDX-License-Identifier: MPL-2.0 */
/* The index for the files that implement index.h. */
#ifndef WORKER_STORE_INDEX_PRIVATE_H
#define WORKER_STORE_INDEX_PRIVATE_H

#include "worker/store/changes.h"
#include "worker/store/guard.h"
#include "worker/store/index.h"

#include <stdatomic.h>

#define INDEX_FORMAT 1
#define STATE_PACKED 60                /* the checkpoint's own record, in table meta */
#define STAT_PACKED  24                /* what is kept of a volume */
#define ROW_LEN      (8 + COPYKEY_LEN) /* quarantine: when, then the key */

struct index {
    kv_t *kv;
    MDB_txn *reader;    /* reset between uses */
    MDB_cursor *cursor; /* of a walk that is under way */
    uint8_t disk_id[16];
    position_t position; /* of the checkpoint */
    atomic_bool broken;  /* its file cannot be read any more: LMDB is not touched */

    table_t *hot; /* newer than the frozen one */
    change_log_t hot_log;
    table_t *cold; /* frozen: being written */
    change_log_t cold_log;
    bool frozen;
    position_t cold_position;
    volume_stat_t *cold_stats;
    size_t n_cold_stats;

    uint64_t chunks; /* live */
    uint64_t cold_chunks;
    uint64_t first_seq; /* of the changes that are kept */
    uint64_t cold_first_seq;
};

/* Ends the guard of a call that met a fault; DFS_EIO. */
int index_fault (index_t *self, const guard_t *guard, dfs_error_t *err);

/* Everything that touches LMDB: CALL gives an int, negative when the file is gone. */
#define INDEX_GUARDED(self, err, call)                                                 \
    do {                                                                               \
        guard_t guard_;                                                                \
        if (sigsetjmp (*guard_begin (&guard_), 0) || atomic_load (&(self)->broken))    \
            return index_fault (self, &guard_, err);                                   \
        int result_ = call;                                                            \
        guard_end (&guard_);                                                           \
        return result_;                                                                \
    } while (0)

static inline bool entry_quarantined (const entry_t *entry)
{
    return entry->state == ENTRY_DROPPED || entry->state == ENTRY_DAMAGED;
}

#endif
