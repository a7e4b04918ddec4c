/* SPDX-License-Identifier: MPL-2.0 */
/* Checkpoints: what is new in memory goes to LMDB in one transaction with full sync. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "worker/store/index_private.h"
#include "worker/store/le.h"

#define CHANGES_KEPT 1000000 /* when no broker trims */

static void state_pack (const index_t *self, const position_t *pos, uint64_t chunks,
                        uint8_t out[STATE_PACKED])
{
    le_put32 (out, INDEX_FORMAT);
    memcpy (out + 4, self->disk_id, 16);
    le_put64 (out + 20, chunks);
    le_put32 (out + 28, pos->volume);
    le_put64 (out + 32, pos->offset);
    le_put64 (out + 40, pos->batch);
    le_put64 (out + 48, pos->next_seq);
    le_put32 (out + 56, digest_crc32c (0, out, 56));
}

bool index_frozen (const index_t *self)
{
    return self->frozen;
}

void index_freeze (index_t *self, const position_t *position,
                   const volume_stat_t *stats, size_t n)
{
    assert (!self->frozen);
    table_t *table = self->cold;
    self->cold = self->hot;
    self->hot = table;
    change_log_t log = self->cold_log;
    self->cold_log = self->hot_log;
    self->hot_log = log;
    self->cold_position = *position;
    self->cold_chunks = self->chunks;
    self->cold_first_seq = self->first_seq;
    free (self->cold_stats);
    self->cold_stats = malloc ((n + 1) * sizeof *stats);
    assert (self->cold_stats);
    if (n)
        memcpy (self->cold_stats, stats, n * sizeof *stats);
    self->n_cold_stats = n;
    self->frozen = true;
}

static void row_pack (uint64_t when, const uint8_t packed[COPYKEY_LEN],
                      uint8_t out[ROW_LEN])
{
    uint64_t be = htobe64 (when);
    memcpy (out, &be, 8);
    memcpy (out + 8, packed, COPYKEY_LEN);
}

/* Keeps the quarantine table in step with an entry that is about to be written. */
static int write_row (index_t *self, MDB_txn *txn, const uint8_t packed[COPYKEY_LEN],
                      const entry_t *entry, dfs_error_t *err)
{
    const void *value;
    size_t len;
    uint8_t row[ROW_LEN];
    entry_t old = {0};
    int rc =
        kv_get (self->kv, txn, INDEX_CHUNKS, packed, COPYKEY_LEN, &value, &len, err);
    if (rc == 1 && entry_unpack (value, len, packed, &old) < 0)
        old.state = ENTRY_NONE;
    if (rc >= 0 && entry_quarantined (&old) &&
        (!entry_quarantined (entry) || entry->dropped != old.dropped)) {
        row_pack (old.dropped, packed, row);
        rc = kv_del (self->kv, txn, INDEX_QUARANTINE, row, sizeof row, err);
    }
    if (rc >= 0 && entry_quarantined (entry)) {
        row_pack (entry->dropped, packed, row);
        rc = kv_put (self->kv, txn, INDEX_QUARANTINE, row, sizeof row, "", 0, err);
    }
    return rc;
}

static int write_entries (index_t *self, MDB_txn *txn, dfs_error_t *err)
{
    size_t pos = 0;
    copykey_t key;
    entry_t *entry;
    while (table_next (self->cold, &pos, &key, &entry)) {
        uint8_t packed[COPYKEY_LEN];
        uint8_t value[ENTRY_PACKED];
        copykey_pack (&key, packed);
        entry_pack (entry, packed, value);
        int rc = write_row (self, txn, packed, entry, err);
        if (rc < 0)
            return rc;
        rc = entry->state == ENTRY_NONE
                 ? kv_del (self->kv, txn, INDEX_CHUNKS, packed, sizeof packed, err)
                 : kv_put (self->kv, txn, INDEX_CHUNKS, packed, sizeof packed, value,
                           sizeof value, err);
        if (rc < 0)
            return rc;
    }
    return DFS_OK;
}

/* Volumes that are no more leave the table, the others are written anew. */
static int write_stats (index_t *self, MDB_txn *txn, dfs_error_t *err)
{
    size_t n;
    volume_stat_t *old = index_volumes (self, &n, err);
    if (!old)
        return err->code;
    int rc = DFS_OK;
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        uint8_t key[5] = {'v'};
        uint32_t be = htobe32 (old[i].number);
        memcpy (key + 1, &be, 4);
        rc = kv_del (self->kv, txn, INDEX_META, key, sizeof key, err);
    }
    free (old);
    for (size_t i = 0; rc >= 0 && i < self->n_cold_stats; i++) {
        const volume_stat_t *stat = &self->cold_stats[i];
        uint8_t key[5] = {'v'};
        uint8_t value[STAT_PACKED];
        uint32_t be = htobe32 (stat->number);
        memcpy (key + 1, &be, 4);
        le_put64 (value, stat->end);
        le_put64 (value + 8, stat->live_bytes);
        le_put64 (value + 16, stat->live_count);
        rc = kv_put (self->kv, txn, INDEX_META, key, sizeof key, value, sizeof value,
                     err);
    }
    return rc < 0 ? rc : DFS_OK;
}

static int write_all (index_t *self, dfs_error_t *err)
{
    dfs_error_t mine = {0};
    MDB_txn *txn = kv_begin (self->kv, true, &mine);
    if (!txn)
        return fail (err, mine.code, "index: %s", mine.text);
    int rc = write_entries (self, txn, &mine);
    if (rc == 0)
        rc = changes_write (self->kv, txn, &self->cold_log, &mine);
    if (rc == 0)
        rc = changes_prune (self->kv, txn, self->cold_first_seq, &mine);
    if (rc == 0)
        rc = write_stats (self, txn, &mine);
    uint8_t state[STATE_PACKED];
    state_pack (self, &self->cold_position, self->cold_chunks, state);
    if (rc == 0)
        rc = kv_put (self->kv, txn, INDEX_META, "state", 5, state, sizeof state, &mine);
    if (rc == 0)
        rc = kv_commit (self->kv, &txn, &mine);
    kv_abort (&txn);
    return rc < 0 ? fail (err, rc, "index: %s", mine.text) : DFS_OK;
}

int index_write (index_t *self, dfs_error_t *err)
{
    INDEX_GUARDED (self, err, write_all (self, err));
}

void index_thaw (index_t *self, bool written)
{
    if (!written)
        return; /* still frozen: the next write tries again */
    table_clear (self->cold);
    change_log_free (&self->cold_log);
    self->position = self->cold_position;
    self->frozen = false;
    if (self->position.next_seq > self->first_seq + CHANGES_KEPT)
        self->first_seq = self->position.next_seq - CHANGES_KEPT;
}
