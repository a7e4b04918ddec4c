/* SPDX-License-Identifier: MPL-2.0 */
/* The index for the files that implement index.h. */
#ifndef WORKER_STORE_INDEX_PRIVATE_H
#define WORKER_STORE_INDEX_PRIVATE_H

#include "worker/store/changes.h"
#include "worker/store/index.h"

#define INDEX_FORMAT 1
#define STATE_PACKED 60                /* the checkpoint's own record, in table meta */
#define STAT_PACKED  24                /* what is kept of a volume */
#define ROW_LEN      (8 + COPYKEY_LEN) /* quarantine: when, then the key */

struct index {
    kv_t *kv;
    MDB_txn *reader; /* reset between uses */
    uint8_t disk_id[16];
    position_t position; /* of the checkpoint */

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

static inline bool entry_quarantined (const entry_t *entry)
{
    return entry->state == ENTRY_DROPPED || entry->state == ENTRY_DAMAGED;
}

#endif
