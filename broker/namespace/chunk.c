/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/chunk.h"
#include "broker/namespace/extent.h"
#include "broker/namespace/reclaim.h"
#include "broker/namespace/tables.h"

int chunk_read (view_t *view, arena_t *arena, const copykey_t *key, Dfs__RecChunk **out,
                dfs_error_t *err)
{
    uint8_t packed[COPYKEY_LEN];
    copykey_pack (key, packed);
    return table_read (view, T_CHUNK, packed, sizeof packed,
                       &dfs__rec_chunk__descriptor, arena, out, err);
}

int inline_read (view_t *view, arena_t *arena, const uint8_t digest[32],
                 const void **data, size_t *len, uint64_t *refs, dfs_error_t *err)
{
    Dfs__RecInline *rec;
    int rc = table_read (view, T_INLINE, digest, 32, &dfs__rec_inline__descriptor,
                         arena, &rec, err);
    if (rc <= 0)
        return rc;
    *data = rec->data.data;
    *len = rec->data.len;
    if (refs)
        *refs = rec->refs;
    return 1;
}

void chunk_describe (const view_t *view, const Dfs__RecChunk *rec, chunk_facts_t *facts)
{
    memset (facts, 0, sizeof *facts);
    facts->length = rec->length;
    facts->condemned = rec->condemned;
    facts->freed = rec->freed;
    for (size_t i = 0; i < rec->n_refs && i < rec->n_policy; i++) {
        const Dfs__Policy *policy = catalog_policy (view->catalog, rec->policy[i]);
        facts->refs += rec->refs[i];
        if (policy && policy->replicas > facts->replicas)
            facts->replicas = policy->replicas;
    }
}

static int change_inline (op_t *op, const Dfs__RecExtent *e, bool more,
                          dfs_error_t *err)
{
    const uint8_t *digest = e->digest.data;
    uint64_t *counters = op->ns->counters;
    Dfs__RecInline rec = DFS__REC_INLINE__INIT;
    const void *data;
    size_t len;
    uint64_t refs = 0;
    arena_reset (op->ns->item);
    int rc = inline_read (op->view, op->ns->item, digest, &data, &len, &refs, err);
    if (rc < 0)
        return rc;
    enum put_how how = PUT_ANY;
    if (rc == 0) {
        const Dfs__InlineData *inl = more ? inline_of_entry (op, digest) : NULL;
        if (!inl)
            return broken (op->view, err, DFS_EDAMAGED, "inline content is missing",
                           op->index);
        rec.data = inl->data;
        how = PUT_NEW;
        counters[C_INLINE]++;
        counters[C_INLINE_BYTES] += inl->data.len;
    } else if (!more && refs == 1) {
        counters[C_INLINE]--;
        counters[C_INLINE_BYTES] -= len;
        return table_del (op, T_INLINE, digest, 32, err);
    } else {
        union {
            const void *in;
            uint8_t *out;
        } p = {.in = data}; /* from the arena: packing only reads it */
        rec.data.data = p.out;
        rec.data.len = len;
    }
    rec.refs = more ? refs + 1 : refs - 1;
    return table_write (op, T_INLINE, digest, 32, &rec.base, how, err);
}

/* Adds or takes one reference under POLICY in REC; room for one more is in the arrays.
 */
static bool change_refs (Dfs__RecChunk *rec, uint32_t policy, bool more)
{
    size_t i = 0;
    while (i < rec->n_policy && rec->policy[i] != policy)
        i++;
    if (i == rec->n_policy) {
        if (!more)
            return false;
        rec->policy[i] = policy;
        rec->refs[i] = 0;
        rec->n_policy = rec->n_refs = i + 1;
    }
    rec->refs[i] += more ? 1 : -1ULL;
    if (rec->refs[i] == 0) {
        rec->n_policy = rec->n_refs = rec->n_policy - 1;
        for (; i < rec->n_policy; i++) { /* order is part of the state */
            rec->policy[i] = rec->policy[i + 1];
            rec->refs[i] = rec->refs[i + 1];
        }
    }
    return true;
}

static int change_chunk (op_t *op, const Dfs__RecExtent *e, uint32_t policy, bool more,
                         dfs_error_t *err)
{
    uint64_t *counters = op->ns->counters;
    copykey_t key = {.domain = e->domain};
    memcpy (key.digest, e->digest.data, 32);
    uint8_t packed[COPYKEY_LEN];
    copykey_pack (&key, packed);
    Dfs__RecChunk *old;
    int rc = chunk_read (op->view, op->scratch, &key, &old, err);
    if (rc < 0)
        return rc;
    if (rc == 0 && !more)
        return broken (op->view, err, DFS_EDAMAGED, "chunk is missing", op->index);
    size_t n = rc ? old->n_policy : 0;
    Dfs__RecChunk rec = DFS__REC_CHUNK__INIT;
    enum put_how how = rc ? PUT_ANY : PUT_NEW;
    /* One that was condemned without ever having had references has no length. */
    rec.length = rc && old->length ? old->length : extent_chunk_length (e);
    rec.n_policy = rec.n_refs = n;
    rec.policy = arena_alloc (op->scratch, (n + 1) * sizeof *rec.policy);
    rec.refs = arena_alloc (op->scratch, (n + 1) * sizeof *rec.refs);
    if (!rec.policy || !rec.refs)
        return broken (op->view, err, DFS_ENOMEM, "chunk record", n);
    if (n) {
        memcpy (rec.policy, old->policy, n * sizeof *rec.policy);
        memcpy (rec.refs, old->refs, n * sizeof *rec.refs);
    }
    if (!change_refs (&rec, policy, more))
        return broken (op->view, err, DFS_EDAMAGED, "chunk has no such reference",
                       op->index);
    if (rc == 0 || (n > 0) == (rec.n_refs > 0)) {
        counters[C_CHUNKS] += rc == 0;
        counters[C_CHUNK_BYTES] += rc == 0 ? rec.length : 0;
    } else if (n == 0) {
        counters[C_CHUNKS]++;
        counters[C_CHUNK_BYTES] += rec.length;
        rc = reclaim_lift (op, &key, old, err);
    } else {
        counters[C_CHUNKS]--;
        counters[C_CHUNK_BYTES] -= rec.length;
        rec.n_policy = rec.n_refs = 0;
        set_field (&rec, freed, op->index);
        rc = reclaim_free (op, &key, err);
    }
    if (rc < 0)
        return rc;
    return table_write (op, T_CHUNK, packed, sizeof packed, &rec.base, how, err);
}

static int change (op_t *op, Dfs__RecExtent *const *extents, size_t n, uint32_t policy,
                   bool more, dfs_error_t *err)
{
    for (size_t i = 0; i < n; i++) {
        int rc = 0;
        if (extent_kind (extents[i]) == DFS__EXTENT_KIND__EXTENT_CHUNK)
            rc = change_chunk (op, extents[i], policy, more, err);
        else if (extent_kind (extents[i]) == DFS__EXTENT_KIND__EXTENT_INLINE)
            rc = change_inline (op, extents[i], more, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int contents_take (op_t *op, Dfs__RecExtent *const *extents, size_t n, uint32_t policy,
                   dfs_error_t *err)
{
    return change (op, extents, n, policy, true, err);
}

int contents_drop (op_t *op, Dfs__RecExtent *const *extents, size_t n, uint32_t policy,
                   dfs_error_t *err)
{
    return change (op, extents, n, policy, false, err);
}
