/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/namespace/reclaim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/chunk.h"
#include "broker/namespace/tables.h"

size_t reclaim_key (uint8_t out[KEY_MAX], uint64_t index, const copykey_t *key)
{
    copykey_pack (key, put64 (out, index));
    return 8 + COPYKEY_LEN;
}

size_t reclaim_drop_key (uint8_t out[KEY_MAX], const copykey_t *key, uint32_t worker)
{
    copykey_pack (key, out);
    put32 (out + COPYKEY_LEN, worker);
    return COPYKEY_LEN + 4;
}

static void effect (op_t *op, int kind, const copykey_t *key, uint32_t worker,
                    uint64_t limit, int why)
{
    namespace_t *ns = op->ns;

    if (ns->n_effects == ns->cap_effects) {
        ns->cap_effects = ns->cap_effects ? 2 * ns->cap_effects : 64;
        ns->effects = realloc (ns->effects, ns->cap_effects * sizeof *ns->effects);
        assert (ns->effects);
    }
    namespace_effect_t *out = &ns->effects[ns->n_effects++];
    *out = (namespace_effect_t){
        .kind = kind, .index = op->index, .worker = worker, .limit = limit, .why = why};
    if (key)
        out->key = *key;
}

bool namespace_directory (const namespace_t *self)
{
    return self->directory;
}

size_t namespace_effects (const namespace_t *self, const namespace_effect_t **out)
{
    *out = self->effects;
    return self->n_effects;
}

static int add_row (op_t *op, enum table table, const copykey_t *key, dfs_error_t *err)
{
    uint8_t row[KEY_MAX];
    Dfs__RecFree rec = DFS__REC_FREE__INIT;

    rec.time_ns = op->time;
    return table_write (op, table, row, reclaim_key (row, op->index, key), &rec.base,
                        PUT_NEW, err);
}

static int del_row (op_t *op, enum table table, uint64_t index, const copykey_t *key,
                    dfs_error_t *err)
{
    uint8_t row[KEY_MAX];

    return table_del (op, table, row, reclaim_key (row, index, key), err);
}

int reclaim_free (op_t *op, const copykey_t *key, dfs_error_t *err)
{
    return add_row (op, T_FREE, key, err);
}

int reclaim_lift (op_t *op, const copykey_t *key, const Dfs__RecChunk *rec,
                  dfs_error_t *err)
{
    if (rec->condemned) {
        op->ns->counters[C_CONDEMNED]--;
        effect (op, EFFECT_LIFTED, key, 0, 0, 0);
        return del_row (op, T_CONDEMNED, rec->condemned, key, err);
    }
    return rec->freed ? del_row (op, T_FREE, rec->freed, key, err) : 0;
}

/* --- reading what an entry names --- */

static int check_count (size_t n, dfs_error_t *err)
{
    return n <= RECLAIM_ITEMS ? 0 : fail (err, DFS_ETOOBIG, "too many in one entry");
}

static int check_key (const ProtobufCBinaryData *key, dfs_error_t *err)
{
    return key->len == COPYKEY_LEN ? 0 : fail (err, DFS_EINVAL, "not a copy key");
}

/* The chunk's record: 1, 0 or negative. */
static int read_chunk (op_t *op, const ProtobufCBinaryData *packed, copykey_t *key,
                       Dfs__RecChunk **out, dfs_error_t *err)
{
    copykey_unpack (packed->data, key);
    return chunk_read (op->view, op->scratch, key, out, err);
}

static int write_chunk (op_t *op, const copykey_t *key, const Dfs__RecChunk *rec,
                        enum put_how how, dfs_error_t *err)
{
    uint8_t packed[COPYKEY_LEN];

    copykey_pack (key, packed);
    return table_write (op, T_CHUNK, packed, sizeof packed, &rec->base, how, err);
}

/* What was proposed before a hold and comes behind it does nothing. */
static bool held (op_t *op)
{
    reclaim_hold_t hold;

    namespace_reclaim_hold (op->ns, &hold);
    return hold.held;
}

/* --- condemning --- */

static int condemn_one (op_t *op, const Dfs__CondemnItem *item, dfs_error_t *err)
{
    copykey_t key;
    Dfs__RecChunk *old, fresh = DFS__REC_CHUNK__INIT;
    int rc = read_chunk (op, &item->key, &key, &old, err);

    if (rc < 0)
        return rc;
    enum put_how how = rc ? PUT_ANY : PUT_NEW;
    if (rc == 0) {
        fresh.length = item->length;
        old = &fresh;
    } else if (old->n_refs || old->condemned == op->index)
        return 0;
    else if (old->condemned) {
        rc = del_row (op, T_CONDEMNED, old->condemned, &key, err);
        op->ns->counters[C_CONDEMNED]--;
    } else if (old->freed)
        rc = del_row (op, T_FREE, old->freed, &key, err);
    if (rc < 0)
        return rc;
    old->has_freed = 0;
    old->freed = 0;
    set_field (old, condemned, op->index);
    op->ns->counters[C_CONDEMNED]++;
    effect (op, EFFECT_CONDEMNED, &key, 0, 0, 0);
    rc = write_chunk (op, &key, old, how, err);
    return rc < 0 ? rc : add_row (op, T_CONDEMNED, &key, err);
}

int op_condemn (op_t *op, const Dfs__OpCondemn *condemn, dfs_error_t *err)
{
    int rc = check_count (condemn->n_items, err);

    for (size_t i = 0; rc == 0 && i < condemn->n_items; i++)
        rc = check_key (&condemn->items[i]->key, err);
    if (held (op))
        return rc;
    for (size_t i = 0; rc == 0 && i < condemn->n_items; i++)
        rc = condemn_one (op, condemn->items[i], err);
    return rc;
}

/* Condemned chunks are free again. */
int op_uncondemn (op_t *op, const Dfs__OpUncondemn *uncondemn, dfs_error_t *err)
{
    MDB_val k, v;

    if (uncondemn->max_records < 4 || uncondemn->max_records > ENTRY_RECORDS)
        return fail (err, DFS_EINVAL, "too many or too few records");
    while (op->records + 3 < uncondemn->max_records) {
        copykey_t key;
        Dfs__RecChunk *rec;
        int rc = table_seek (op->view, T_CONDEMNED, NULL, 0, &k, &v, err);

        if (rc <= 0)
            return rc;
        if (k.mv_size != 8 + COPYKEY_LEN)
            return broken (op->view, err, DFS_EDAMAGED, "condemned row", op->index);
        uint64_t index = get64 (k.mv_data);
        copykey_unpack ((const uint8_t *)k.mv_data + 8, &key);
        rc = chunk_read (op->view, op->scratch, &key, &rec, err);
        if (rc == 0 || (rc > 0 && rec->condemned != index))
            return broken (op->view, err, DFS_EDAMAGED, "condemned chunk", index);
        if (rc < 0)
            return rc;
        op->ns->counters[C_CONDEMNED]--;
        rec->has_condemned = 0;
        rec->condemned = 0;
        set_field (rec, freed, op->index);
        effect (op, EFFECT_LIFTED, &key, 0, 0, 0);
        rc = del_row (op, T_CONDEMNED, index, &key, err);
        if (rc == 0)
            rc = add_row (op, T_FREE, &key, err);
        if (rc == 0)
            rc = write_chunk (op, &key, rec, PUT_ANY, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- dropping --- */

/* Limit of the copies of KEY on WORKER: 1 and *REC, 0 none, negative. */
static int read_drop (op_t *op, const copykey_t *key, uint32_t worker,
                      Dfs__RecDrop **rec, dfs_error_t *err)
{
    uint8_t row[KEY_MAX];

    return table_read (op->view, T_DROP, row, reclaim_drop_key (row, key, worker),
                       &dfs__rec_drop__descriptor, op->scratch, rec, err);
}

/* The copies that a trim counts on are enough by what holds now, and stay: 1, 0 or
 * negative. */
static int may_trim (op_t *op, const copykey_t *key, const Dfs__RecChunk *rec,
                     const Dfs__DropItem *item, dfs_error_t *err)
{
    chunk_facts_t facts;
    uint32_t n = 0;

    chunk_describe (op->view, rec, &facts);
    if (facts.refs == 0 || facts.replicas == 0)
        return 0;
    for (size_t i = 0; i < item->n_keep; i++) {
        Dfs__RecDrop *drop;
        bool again = item->keep[i] == item->worker;

        for (size_t k = 0; k < i; k++)
            again |= item->keep[k] == item->keep[i];
        int rc = read_drop (op, key, item->keep[i], &drop, err);
        if (rc < 0)
            return rc;
        n += rc == 0 && !again;
    }
    return n >= facts.replicas;
}

static int drop_one (op_t *op, Dfs__DropWhy why, const Dfs__DropItem *item,
                     dfs_error_t *err)
{
    copykey_t key;
    Dfs__RecChunk *rec;
    Dfs__RecDrop *old, row = DFS__REC_DROP__INIT;
    int rc = read_chunk (op, &item->key, &key, &rec, err);

    if (rc <= 0)
        return rc;
    if (why == DFS__DROP_WHY__DROP_RECLAIM)
        rc = rec->n_refs == 0 && rec->condemned && item->birth_limit <= rec->condemned;
    else
        rc = may_trim (op, &key, rec, item, err);
    if (rc <= 0)
        return rc;
    rc = read_drop (op, &key, item->worker, &old, err);
    if (rc < 0 || (rc > 0 && old->birth_limit >= item->birth_limit))
        return rc < 0 ? rc : 0;
    uint8_t at[KEY_MAX];
    row.birth_limit = item->birth_limit;
    row.index = op->index;
    row.why = why;
    op->ns->counters[C_DROPS] += rc == 0;
    effect (op, EFFECT_DROP, &key, item->worker, item->birth_limit, (int)why);
    return table_write (op, T_DROP, at, reclaim_drop_key (at, &key, item->worker),
                        &row.base, rc ? PUT_ANY : PUT_NEW, err);
}

int op_drop (op_t *op, const Dfs__OpDrop *drop, dfs_error_t *err)
{
    int rc = check_count (drop->n_items, err);

    for (size_t i = 0; rc == 0 && i < drop->n_items; i++)
        rc = check_key (&drop->items[i]->key, err);
    if (drop->why == DFS__DROP_WHY__DROP_RECLAIM && held (op))
        return rc;
    for (size_t i = 0; rc == 0 && i < drop->n_items; i++)
        rc = drop_one (op, drop->why, drop->items[i], err);
    return rc;
}

int op_dropped (op_t *op, const Dfs__OpDropped *dropped, dfs_error_t *err)
{
    int rc = check_count (dropped->n_items, err);

    for (size_t i = 0; rc == 0 && i < dropped->n_items; i++)
        rc = check_key (&dropped->items[i]->key, err);
    for (size_t i = 0; rc == 0 && i < dropped->n_items; i++) {
        const Dfs__DropItem *item = dropped->items[i];
        uint8_t row[KEY_MAX];
        copykey_t key;
        Dfs__RecDrop *old;

        copykey_unpack (item->key.data, &key);
        rc = read_drop (op, &key, item->worker, &old, err);
        if (rc <= 0)
            continue;
        /* A later order for younger copies is still out. */
        if (old->birth_limit > item->birth_limit) {
            rc = 0;
            continue;
        }
        op->ns->counters[C_DROPS]--;
        effect (op, EFFECT_DROPPED, &key, item->worker, old->birth_limit,
                (int)old->why);
        rc = table_del (op, T_DROP, row, reclaim_drop_key (row, &key, item->worker),
                        err);
    }
    return rc;
}

/* 1 when a copy of KEY is still to be dropped. */
static int has_drop (op_t *op, const copykey_t *key, dfs_error_t *err)
{
    uint8_t row[KEY_MAX];
    MDB_val k, v;
    int rc =
        table_seek (op->view, T_DROP, row, reclaim_drop_key (row, key, 0), &k, &v, err);

    if (rc <= 0)
        return rc;
    return k.mv_size == COPYKEY_LEN + 4 && memcmp (k.mv_data, row, COPYKEY_LEN) == 0;
}

static int forget_one (op_t *op, const ProtobufCBinaryData *packed, dfs_error_t *err)
{
    copykey_t key;
    Dfs__RecChunk *rec;
    uint64_t *counters = op->ns->counters;
    int rc = read_chunk (op, packed, &key, &rec, err);

    if (rc <= 0 || rec->n_refs || !rec->condemned)
        return rc < 0 ? rc : 0;
    rc = has_drop (op, &key, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    counters[C_CONDEMNED]--;
    if (rec->condemned > counters[C_FORGOTTEN])
        counters[C_FORGOTTEN] = rec->condemned;
    op->ns->reclaimed++;
    op->ns->reclaimed_bytes += rec->length;
    effect (op, EFFECT_FORGOTTEN, &key, 0, 0, 0);
    rc = del_row (op, T_CONDEMNED, rec->condemned, &key, err);
    return rc < 0 ? rc : table_del (op, T_CHUNK, packed->data, packed->len, err);
}

int op_forget (op_t *op, const Dfs__OpForget *forget, dfs_error_t *err)
{
    int rc = check_count (forget->n_keys, err);

    for (size_t i = 0; rc == 0 && i < forget->n_keys; i++)
        rc = check_key (&forget->keys[i], err);
    for (size_t i = 0; rc == 0 && i < forget->n_keys; i++)
        rc = forget_one (op, &forget->keys[i], err);
    return rc;
}

int op_reclaim_hold (op_t *op, const Dfs__OpReclaimHold *hold, dfs_error_t *err)
{
    Dfs__RecReclaim rec = DFS__REC_RECLAIM__INIT;

    if (hold->why && strlen (hold->why) > 150)
        return fail (err, DFS_EINVAL, "a reason of more than 150 bytes");
    rec.held = hold->held;
    rec.index = op->index;
    rec.why = hold->held ? hold->why : NULL;
    effect (op, EFFECT_HOLD, NULL, 0, 0, 0);
    return table_write (op, T_META, "reclaim", 7, &rec.base, PUT_ANY, err);
}
