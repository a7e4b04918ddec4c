/* SPDX-License-Identifier: MPL-2.0 */
/* What waits to be reclaimed, read by the owner's thread. */
#include <stdio.h>
#include <string.h>

#include "broker/namespace/reclaim.h"
#include "broker/namespace/tables.h"

static int ready (namespace_t *ns, dfs_error_t *err)
{
    if (ns->view.broken)
        return fail (err, DFS_EINTERNAL, "namespace failed before");
    return state_begin (ns, err);
}

uint64_t namespace_drop_limit (namespace_t *self, const copykey_t *key, uint32_t worker)
{
    uint8_t row[KEY_MAX];
    const void *value;
    size_t len;
    uint64_t limit = 0;

    if (self->counters[C_DROPS] == 0 || ready (self, NULL) < 0 ||
        table_fetch (&self->view, T_DROP, row, reclaim_drop_key (row, key, worker),
                     &value, &len, NULL) <= 0)
        return 0;
    Dfs__RecDrop *rec = dfs__rec_drop__unpack (NULL, len, value);
    if (rec)
        limit = rec->birth_limit;
    dfs__rec_drop__free_unpacked (rec, NULL);
    return limit;
}

uint64_t namespace_chunk_since (namespace_t *self, const copykey_t *key,
                                const chunk_facts_t *facts)
{
    uint64_t index = facts->condemned ? facts->condemned : facts->freed, time = 0;
    uint8_t row[KEY_MAX];
    const void *value;
    size_t len;

    if (index == 0 || ready (self, NULL) < 0 ||
        table_fetch (&self->view, facts->condemned ? T_CONDEMNED : T_FREE, row,
                     reclaim_key (row, index, key), &value, &len, NULL) <= 0)
        return 0;
    Dfs__RecFree *rec = dfs__rec_free__unpack (NULL, len, value);
    if (rec)
        time = rec->time_ns;
    dfs__rec_free__free_unpacked (rec, NULL);
    return time;
}

int namespace_chunks_between (namespace_t *self, const uint8_t from[32],
                              const uint8_t to[32], copykey_t *out, size_t max,
                              dfs_error_t *err)
{
    copykey_t first = {0}, last = {0};
    uint8_t key[COPYKEY_LEN], end[COPYKEY_LEN];
    size_t n = 0;
    int rc = ready (self, err);

    if (rc < 0)
        return rc;
    memcpy (first.digest, from, 32);
    memcpy (last.digest, to, 32);
    last.part = UINT16_MAX;
    copykey_pack (&first, key);
    copykey_pack (&last, end);
    MDB_cursor *cursor = table_cursor (&self->view, T_CHUNK, err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    MDB_val k = {.mv_size = sizeof key, .mv_data = key}, v;
    rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && n < max && k.mv_size == COPYKEY_LEN &&
           memcmp (k.mv_data, end, sizeof end) <= 0) {
        copykey_unpack (k.mv_data, &out[n++]);
        rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close (cursor);
    return (int)n;
}

static bool read_row (enum reclaim_list list, const MDB_val *k, const MDB_val *v,
                      reclaim_row_t *out)
{
    const uint8_t *key = k->mv_data;

    memset (out, 0, sizeof *out);
    if (list == LIST_DROPS) {
        Dfs__RecDrop *rec = k->mv_size == COPYKEY_LEN + 4
                                ? dfs__rec_drop__unpack (NULL, v->mv_size, v->mv_data)
                                : NULL;
        if (!rec)
            return false;
        copykey_unpack (key, &out->key);
        out->worker = get32 (key + COPYKEY_LEN);
        out->limit = rec->birth_limit;
        out->index = rec->index;
        out->why = (int)rec->why;
        dfs__rec_drop__free_unpacked (rec, NULL);
        return true;
    }
    Dfs__RecFree *rec = k->mv_size == 8 + COPYKEY_LEN
                            ? dfs__rec_free__unpack (NULL, v->mv_size, v->mv_data)
                            : NULL;
    if (!rec)
        return false;
    out->index = get64 (key);
    copykey_unpack (key + 8, &out->key);
    out->time_ns = rec->time_ns;
    dfs__rec_free__free_unpacked (rec, NULL);
    return true;
}

int namespace_reclaim_rows (namespace_t *self, enum reclaim_list list,
                            const reclaim_row_t *after, reclaim_row_t *out, size_t max,
                            dfs_error_t *err)
{
    static const enum table tables[] = {T_FREE, T_CONDEMNED, T_DROP};
    uint8_t key[KEY_MAX];
    size_t len = 0, n = 0;
    int rc = ready (self, err);

    if (rc < 0)
        return rc;
    if (after && list == LIST_DROPS)
        len = reclaim_drop_key (key, &after->key, after->worker);
    else if (after)
        len = reclaim_key (key, after->index, &after->key);
    MDB_cursor *cursor = table_cursor (&self->view, tables[list], err);
    if (!cursor)
        return err ? err->code : DFS_EINTERNAL;
    MDB_val k = {.mv_size = len, .mv_data = key}, v;
    rc = mdb_cursor_get (cursor, &k, &v, after ? MDB_SET_RANGE : MDB_FIRST);
    if (rc == 0 && after && k.mv_size == len && memcmp (k.mv_data, key, len) == 0)
        rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT);
    bool good = true;
    while (good && rc == 0 && n < max) {
        good = read_row (list, &k, &v, &out[n]);
        n += good;
        rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close (cursor);
    return good ? (int)n : fail (err, DFS_EDAMAGED, "row of reclaim does not unpack");
}

uint64_t namespace_forgotten (const namespace_t *self)
{
    return self->counters[C_FORGOTTEN];
}

uint64_t namespace_free_chunks (namespace_t *self)
{
    return ready (self, NULL) < 0 ? 0 : table_size (&self->view, T_FREE);
}

void namespace_reclaim_hold (namespace_t *self, reclaim_hold_t *out)
{
    const void *value;
    size_t len;

    memset (out, 0, sizeof *out);
    if (ready (self, NULL) < 0 ||
        table_fetch (&self->view, T_META, "reclaim", 7, &value, &len, NULL) <= 0)
        return;
    Dfs__RecReclaim *rec = dfs__rec_reclaim__unpack (NULL, len, value);
    if (!rec)
        return;
    out->held = rec->held;
    out->index = rec->index;
    snprintf (out->why, sizeof out->why, "%s", rec->why ? rec->why : "");
    dfs__rec_reclaim__free_unpacked (rec, NULL);
}
