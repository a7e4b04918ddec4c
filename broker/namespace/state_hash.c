/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/namespace/readers.h"
#include "broker/namespace/state_hash.h"
#include "broker/namespace/tables.h"

unsigned __int128 state_hash_record (enum table table, const void *key, size_t key_len,
                                     const void *value, size_t len)
{
    uint64_t seed = XXH3_64bits_withSeed (key, key_len, (uint64_t)table);
    XXH128_hash_t h = XXH3_128bits_withSeed (value, len, seed);
    return (unsigned __int128)h.high64 << 64 | h.low64;
}

void state_hash_whole (unsigned __int128 sum, const uint64_t counters[C_COUNT],
                       uint8_t hash[16])
{
    uint8_t packed[8 * C_COUNT];
    uint8_t *p = packed;
    for (int i = 0; i < C_COUNT; i++)
        p = put64 (p, counters[i]);
    sum += state_hash_record (T_META, "counters", 8, packed, sizeof packed);
    put64 (put64 (hash, (uint64_t)(sum >> 64)), (uint64_t)sum);
}

void state_hash_remember (namespace_t *ns)
{
    hash_slot_t *slot = &ns->ring[ns->applied % HASH_RING];
    slot->index = ns->applied;
    state_hash_whole (ns->sum, ns->counters, slot->hash);
}

void state_hash_said (namespace_t *ns, uint64_t index, const uint8_t hash[16])
{
    const hash_slot_t *slot = &ns->ring[index % HASH_RING];
    if (index == 0 || slot->index != index)
        return;
    ns->check.index = index;
    memcpy (ns->check.own, slot->hash, sizeof ns->check.own);
    memcpy (ns->check.said, hash, sizeof ns->check.said);
}

bool namespace_checked (namespace_t *self, namespace_check_t *out)
{
    *out = self->check;
    self->check.index = 0;
    return out->index > 0;
}

static bool is_state (enum table table, const MDB_val *key)
{
    return table == T_META && key->mv_size == 5 &&
           memcmp (key->mv_data, "state", 5) == 0;
}

static int sum_table (view_t *view, enum table table, const atomic_bool *stop,
                      unsigned __int128 *sum, dfs_error_t *err)
{
    MDB_cursor *cursor = table_cursor (view, table, err);
    if (!cursor)
        return err->code;
    MDB_val k, v;
    int rc;
    while ((rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) == 0) {
        if (stop && atomic_load_explicit (stop, memory_order_relaxed))
            break;
        if (!is_state (table, &k))
            *sum +=
                state_hash_record (table, k.mv_data, k.mv_size, v.mv_data, v.mv_size);
    }
    mdb_cursor_close (cursor);
    if (rc == 0)
        return fail (err, DFS_ECANCELED, "stopped");
    return rc == MDB_NOTFOUND ? 0 : kv_fail (err, rc, table_names[table]);
}

int state_hash_sum (view_t *view, const atomic_bool *stop, unsigned __int128 *sum,
                    dfs_error_t *err)
{
    int rc = 0;
    *sum = 0;
    for (int table = 0; rc == 0 && table < T_COUNT; table++)
        rc = sum_table (view, (enum table)table, stop, sum, err);
    return rc;
}

int namespace_scan (namespace_t *self, const atomic_bool *stop, dfs_error_t *err)
{
    view_t view = {.kv = self->view.kv};
    arena_t *arena = arena_new (64 * 1024);
    Dfs__RecState *state;
    unsigned __int128 sum;
    uint8_t hash[16];
    view.txn = kv_begin (view.kv, false, err);
    int rc = view.txn ? state_read (&view, arena, &state, err) : err->code;
    if (rc > 0) {
        rc = state_hash_sum (&view, stop, &sum, err);
        put64 (put64 (hash, (uint64_t)(sum >> 64)), (uint64_t)sum);
        if (rc == 0 && memcmp (hash, state->hash.data, sizeof hash) != 0)
            rc = 1;
    }
    if (view.txn)
        kv_abort (&view.txn);
    arena_destroy (&arena);
    return rc;
}
