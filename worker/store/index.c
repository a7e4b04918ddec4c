/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/io.h"
#include "common/units.h"
#include "worker/store/index_private.h"
#include "worker/store/le.h"

#define MAP_SIZE (256 * GIB) /* address space, not memory and not disk */

/* --- opening --- */

static int state_unpack (index_t *self, const uint8_t *p, size_t len, dfs_error_t *err)
{
    if (len != STATE_PACKED || le_get32 (p + 56) != digest_crc32c (0, p, 56))
        return fail (err, DFS_EDAMAGED, "state of the index is damaged");
    if (le_get32 (p) != INDEX_FORMAT || memcmp (p + 4, self->disk_id, 16) != 0)
        return fail (err, DFS_EDAMAGED, "index is of another disk or format");
    self->chunks = le_get64 (p + 20);
    self->position = (position_t){.volume = le_get32 (p + 28),
                                  .offset = le_get64 (p + 32),
                                  .batch = le_get64 (p + 40),
                                  .next_seq = le_get64 (p + 48)};
    return DFS_OK;
}

static int load_state (index_t *self, dfs_error_t *err)
{
    MDB_txn *txn = kv_begin (self->kv, false, err);
    if (!txn)
        return err->code;
    const void *value;
    size_t len;
    int rc = kv_get (self->kv, txn, INDEX_META, "state", 5, &value, &len, err);
    if (rc == 1)
        rc = state_unpack (self, value, len, err);
    if (rc == 0)
        rc = changes_first (self->kv, txn, self->position.next_seq, &self->first_seq,
                            err);
    kv_abort (&txn);
    return rc;
}

int index_fault (index_t *self, const guard_t *guard, dfs_error_t *err)
{
    guard_end (guard);
    atomic_store (&self->broken, true);
    return fail (err, DFS_EIO, "the index cannot be read: its disk is gone");
}

bool index_broken (const index_t *self)
{
    return atomic_load (&self->broken);
}

/* The file is mapped here, and read for the first time. */
static int open_env (index_t *self, const char *dir, dfs_error_t *err)
{
    static const char *const tables[] = {"chunks", "changes", "meta", "quarantine"};
    self->kv = kv_open (dir, tables, 4, MAP_SIZE, 0, err);
    return self->kv ? load_state (self, err) : err->code;
}

static int open_guarded (index_t *self, const char *dir, dfs_error_t *err)
{
    INDEX_GUARDED (self, err, open_env (self, dir, err));
}

index_t *index_open (const char *dir, const uint8_t disk_id[16], dfs_error_t *err)
{
    guard_install ();
    index_t *self = calloc (1, sizeof *self);
    assert (self);
    memcpy (self->disk_id, disk_id, 16);
    self->hot = table_new ();
    self->cold = table_new ();
    self->position.next_seq = 1;
    self->first_seq = 1;
    dfs_error_t mine = {0};
    if (open_guarded (self, dir, &mine) < 0) {
        fail (err, mine.code, "index %s: %s", dir, mine.text);
        index_close (&self);
    }
    return self;
}

/* Environments of disks that are gone stay as they are, where they can be found: to
 * take one apart is to touch it. */
typedef struct wreck {
    struct wreck *next;
    kv_t *kv;
    MDB_txn *reader;
    MDB_cursor *cursor;
} wreck_t;

static _Atomic (wreck_t *) wrecks;

static void leave_wreck (index_t *self)
{
    wreck_t *wreck = malloc (sizeof *wreck);
    assert (wreck);
    *wreck = (wreck_t){.kv = self->kv, .reader = self->reader, .cursor = self->cursor};
    wreck->next = atomic_load (&wrecks);
    while (!atomic_compare_exchange_weak (&wrecks, &wreck->next, wreck))
        continue;
}

void index_close (index_t **self_p)
{
    index_t *self = *self_p;
    if (!self)
        return;
    if (self->broken) {
        leave_wreck (self);
    } else {
        if (self->reader)
            mdb_txn_abort (self->reader);
        kv_close (&self->kv);
    }
    table_destroy (&self->hot);
    table_destroy (&self->cold);
    change_log_free (&self->hot_log);
    change_log_free (&self->cold_log);
    free (self->cold_stats);
    free (self);
    *self_p = NULL;
}

int index_wipe (const char *dir, dfs_error_t *err)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        snprintf (path, sizeof path, "%s/%s", dir, names[i]);
        dfs_error_t mine = {0};
        int rc = io_unlink (path, &mine);
        if (rc < 0 && rc != DFS_ENOENT)
            return fail (err, rc, "%s", mine.text);
    }
    return DFS_OK;
}

position_t index_position (const index_t *self)
{
    return self->position;
}

static int read_volumes (index_t *self, volume_stat_t **list, size_t *n,
                         dfs_error_t *err)
{
    MDB_txn *txn = kv_begin (self->kv, false, err);
    if (!txn)
        return err->code;
    MDB_stat stat;
    mdb_stat (txn, kv_dbi (self->kv, INDEX_META), &stat);
    volume_stat_t *out = calloc (stat.ms_entries + 1, sizeof *out);
    assert (out);
    MDB_cursor *cur;
    int rc = mdb_cursor_open (txn, kv_dbi (self->kv, INDEX_META), &cur);
    MDB_val k, v;
    int op = MDB_FIRST;
    while (rc == 0 && (rc = mdb_cursor_get (cur, &k, &v, op)) == 0) {
        op = MDB_NEXT;
        const uint8_t *key = k.mv_data;
        const uint8_t *p = v.mv_data;
        if (k.mv_size != 5 || key[0] != 'v' || v.mv_size != STAT_PACKED)
            continue;
        uint32_t be;
        memcpy (&be, key + 1, 4);
        out[(*n)++] = (volume_stat_t){.number = be32toh (be),
                                      .end = le_get64 (p),
                                      .live_bytes = le_get64 (p + 8),
                                      .live_count = le_get64 (p + 16)};
    }
    mdb_cursor_close (cur);
    kv_abort (&txn);
    if (rc != MDB_NOTFOUND) {
        free (out);
        return kv_fail (err, rc, "read volumes from the index");
    }
    *list = out;
    return DFS_OK;
}

static int guarded_volumes (index_t *self, volume_stat_t **list, size_t *n,
                            dfs_error_t *err)
{
    INDEX_GUARDED (self, err, read_volumes (self, list, n, err));
}

volume_stat_t *index_volumes (index_t *self, size_t *n, dfs_error_t *err)
{
    volume_stat_t *list = NULL;
    dfs_error_t mine = {0};
    *n = 0;
    if (guarded_volumes (self, &list, n, &mine) < 0)
        fail (err, mine.code, "%s", mine.text);
    return list;
}

/* --- entries --- */

/* A read transaction of the newest checkpoint; index_rest after use. */
static MDB_txn *read_txn (index_t *self, dfs_error_t *err)
{
    if (!self->reader) {
        self->reader = kv_begin (self->kv, false, err);
        return self->reader;
    }
    int rc = mdb_txn_renew (self->reader);
    if (rc == 0)
        return self->reader;
    kv_fail (err, rc, "read the index");
    return NULL;
}

static int get_cold (index_t *self, MDB_txn *txn, const copykey_t *key, entry_t *entry,
                     dfs_error_t *err)
{
    uint8_t packed[COPYKEY_LEN];
    copykey_pack (key, packed);
    const void *value;
    size_t len;
    int rc =
        kv_get (self->kv, txn, INDEX_CHUNKS, packed, sizeof packed, &value, &len, err);
    if (rc == 1 && entry_unpack (value, len, packed, entry) < 0)
        rc = fail (err, DFS_EDAMAGED, "index entry is damaged");
    return rc;
}

static const entry_t *get_memory (const index_t *self, const copykey_t *key)
{
    const entry_t *found = table_get (self->hot, key);
    if (!found && self->frozen)
        found = table_get (self->cold, key);
    return found;
}

static int get_stored (index_t *self, const copykey_t *key, entry_t *entry,
                       dfs_error_t *err)
{
    MDB_txn *txn = read_txn (self, err);
    if (!txn)
        return DFS_EIO;
    int rc = get_cold (self, txn, key, entry, err);
    mdb_txn_reset (txn);
    return rc;
}

static int get_guarded (index_t *self, const copykey_t *key, entry_t *entry,
                        dfs_error_t *err)
{
    INDEX_GUARDED (self, err, get_stored (self, key, entry, err));
}

int index_get (index_t *self, const copykey_t *key, entry_t *entry, dfs_error_t *err)
{
    const entry_t *found = get_memory (self, key);
    if (!found)
        return get_guarded (self, key, entry, err);
    *entry = *found;
    return found->state != ENTRY_NONE;
}

void index_put (index_t *self, const copykey_t *key, const entry_t *old,
                const entry_t *entry)
{
    static const entry_t none;
    if (old && old->state == ENTRY_LIVE)
        self->chunks--;
    if (entry && entry->state == ENTRY_LIVE)
        self->chunks++;
    table_put (self->hot, key, entry ? entry : &none);
}

uint64_t index_chunks (const index_t *self)
{
    return self->chunks;
}

size_t index_pending (const index_t *self)
{
    return table_size (self->hot) + self->hot_log.n;
}

/* --- changes --- */

uint64_t index_first_seq (const index_t *self)
{
    return self->first_seq;
}

void index_add_change (index_t *self, const store_change_t *change)
{
    change_log_add (&self->hot_log, change);
}

void index_trim (index_t *self, uint64_t seq)
{
    uint64_t next = self->hot_log.n ? self->hot_log.v[self->hot_log.n - 1].seq + 1
                    : self->frozen  ? self->cold_position.next_seq
                                    : self->position.next_seq;
    if (seq >= next)
        seq = next - 1;
    if (seq + 1 > self->first_seq)
        self->first_seq = seq + 1;
}

static int stored_changes (index_t *self, uint64_t first, store_change_t *out,
                           size_t max, dfs_error_t *err)
{
    MDB_txn *txn = read_txn (self, err);
    if (!txn)
        return DFS_EIO;
    int n = changes_read (self->kv, txn, first, out, max, err);
    mdb_txn_reset (txn);
    return n;
}

int index_changes (index_t *self, uint64_t first, store_change_t *out, size_t max,
                   dfs_error_t *err)
{
    if (first < self->first_seq)
        return fail (err, DFS_ESTALE, "changes below %llu are trimmed",
                     (unsigned long long)self->first_seq);
    if (first < self->position.next_seq)
        INDEX_GUARDED (self, err, stored_changes (self, first, out, max, err));
    if (self->frozen && first < self->cold_position.next_seq)
        return (int)change_log_copy (&self->cold_log, first, out, max);
    return (int)change_log_copy (&self->hot_log, first, out, max);
}

static int close_gaps_stored (index_t *self, dfs_error_t *err)
{
    MDB_txn *txn = kv_begin (self->kv, false, err);
    if (!txn)
        return DFS_EIO;
    int rc = changes_last_gap (self->kv, txn, self->position.next_seq, &self->first_seq,
                               err);
    kv_abort (&txn);
    return rc;
}

int index_close_gaps (index_t *self, dfs_error_t *err)
{
    INDEX_GUARDED (self, err, close_gaps_stored (self, err));
}

/* --- walk --- */

static int expired_stored (index_t *self, uint64_t before, copykey_t *keys,
                           entry_t *entries, size_t max, dfs_error_t *err)
{
    MDB_txn *txn = read_txn (self, err);
    if (!txn)
        return DFS_EIO;
    MDB_cursor *cur;
    int rc = mdb_cursor_open (txn, kv_dbi (self->kv, INDEX_QUARANTINE), &cur);
    if (rc != 0) {
        mdb_txn_reset (txn);
        return kv_fail (err, rc, "walk the quarantine");
    }
    self->cursor = cur;
    MDB_val k, v;
    int n = 0;
    rc = mdb_cursor_get (cur, &k, &v, MDB_FIRST);
    for (; rc == 0 && n < (int)max; rc = mdb_cursor_get (cur, &k, &v, MDB_NEXT)) {
        uint64_t be;
        if (k.mv_size != ROW_LEN)
            continue;
        memcpy (&be, k.mv_data, 8);
        if (be64toh (be) >= before)
            break;
        copykey_unpack ((const uint8_t *)k.mv_data + 8, &keys[n]);
        const entry_t *newer = get_memory (self, &keys[n]);
        if (newer)
            entries[n] = *newer;
        else if (get_cold (self, txn, &keys[n], &entries[n], err) != 1)
            continue;
        n += entry_quarantined (&entries[n]) && entries[n].dropped < before;
    }
    mdb_cursor_close (cur);
    self->cursor = NULL;
    mdb_txn_reset (txn);
    return rc != 0 && rc != MDB_NOTFOUND ? kv_fail (err, rc, "walk the quarantine") : n;
}

int index_expired (index_t *self, uint64_t before, copykey_t *keys, entry_t *entries,
                   size_t max, dfs_error_t *err)
{
    INDEX_GUARDED (self, err, expired_stored (self, before, keys, entries, max, err));
}

static int walk_stored (index_t *self, const copykey_t *after, copykey_t *keys,
                        entry_t *entries, size_t max, dfs_error_t *err)
{
    MDB_txn *txn = read_txn (self, err);
    if (!txn)
        return DFS_EIO;
    MDB_cursor *cur;
    int rc = mdb_cursor_open (txn, kv_dbi (self->kv, INDEX_CHUNKS), &cur);
    if (rc != 0) {
        mdb_txn_reset (txn);
        return kv_fail (err, rc, "walk the index");
    }
    self->cursor = cur;
    uint8_t packed[COPYKEY_LEN];
    MDB_val k = {.mv_size = sizeof packed, .mv_data = packed};
    MDB_val v;
    int n = 0;
    int bad = DFS_OK;
    if (after) {
        copykey_pack (after, packed);
        rc = mdb_cursor_get (cur, &k, &v, MDB_SET_RANGE);
        if (rc == 0 && k.mv_size == COPYKEY_LEN) {
            copykey_t here;
            copykey_unpack (k.mv_data, &here);
            if (copykey_cmp (&here, after) == 0)
                rc = mdb_cursor_get (cur, &k, &v, MDB_NEXT);
        }
    } else {
        rc = mdb_cursor_get (cur, &k, &v, MDB_FIRST);
    }
    for (; rc == 0 && n < (int)max; rc = mdb_cursor_get (cur, &k, &v, MDB_NEXT)) {
        if (k.mv_size != COPYKEY_LEN) {
            bad = fail (err, DFS_EDAMAGED, "index key is damaged");
            break;
        }
        copykey_unpack (k.mv_data, &keys[n]);
        const entry_t *newer = get_memory (self, &keys[n]);
        if (newer)
            entries[n] = *newer;
        else if (entry_unpack (v.mv_data, v.mv_size, k.mv_data, &entries[n]) < 0) {
            bad = fail (err, DFS_EDAMAGED, "index entry is damaged");
            break;
        }
        n++;
    }
    mdb_cursor_close (cur);
    self->cursor = NULL;
    mdb_txn_reset (txn);
    if (bad < 0)
        return bad;
    if (rc != 0 && rc != MDB_NOTFOUND)
        return kv_fail (err, rc, "walk the index");
    return n;
}

int index_walk (index_t *self, const copykey_t *after, copykey_t *keys,
                entry_t *entries, size_t max, dfs_error_t *err)
{
    INDEX_GUARDED (self, err, walk_stored (self, after, keys, entries, max, err));
}
