/* SPDX-License-Identifier: MPL-2.0 */
/* The object: opening, the transaction and its commit, totals. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/readers.h"
#include "broker/namespace/state_hash.h"
#include "broker/namespace/tables.h"
#include "common/clock.h"

#define MAP_SIZE       (1ULL << 40) /* sparse */
#define SCRATCH_BUDGET (256 << 20)  /* several times what the largest entry takes */
#define LEAF_BUDGET    (4 << 20)    /* of one page of extents */

int state_begin (namespace_t *self, dfs_error_t *err)
{
    if (self->view.txn)
        return 0;
    memset (self->cursors, 0, sizeof self->cursors);
    self->view.txn = kv_begin (self->view.kv, true, err);
    if (self->view.txn)
        return 0;
    self->view.broken = true;
    return err ? err->code : DFS_EINTERNAL;
}

int state_load_seed (namespace_t *ns, dfs_error_t *err)
{
    arena_reset (ns->seed_arena);
    int rc = table_read (&ns->view, T_META, "seed", 4, &dfs__rec_seed__descriptor,
                         ns->seed_arena, &ns->seed, err);
    if (rc > 0 && ns->seed->cluster_id.len != 16)
        return broken (&ns->view, err, DFS_EDAMAGED, "seed is malformed", 0);
    ns->seeded = rc > 0;
    return rc < 0 ? rc : 0;
}

int state_read (view_t *view, arena_t *arena, Dfs__RecState **out, dfs_error_t *err)
{
    int rc = table_read (view, T_META, "state", 5, &dfs__rec_state__descriptor, arena,
                         out, err);
    if (rc <= 0)
        return rc;
    if ((*out)->format != FORMAT_VERSION)
        return fail (err, DFS_EVERSION, "namespace has format %u, not %d",
                     (*out)->format, FORMAT_VERSION);
    if ((*out)->hash.len != 16 || (*out)->n_counters > C_COUNT)
        return broken (view, err, DFS_EDAMAGED, "state record is malformed", 0);
    return 1;
}

static int load (namespace_t *self, dfs_error_t *err)
{
    Dfs__RecState *state;
    int rc = state_read (&self->view, self->scratch, &state, err);
    if (rc < 0)
        return rc;
    self->counters[C_NEXT_INODE] = ROOT_INODE;
    self->counters[C_NEXT_PAGE] = 1;
    self->counters[C_NEXT_JOB] = 1;
    if (rc > 0) {
        self->applied = self->durable = state->applied;
        self->term = state->term;
        self->sum = (unsigned __int128)get64 (state->hash.data) << 64 |
                    get64 (state->hash.data + 8);
        memcpy (self->counters, state->counters,
                state->n_counters * sizeof *self->counters);
        state_hash_remember (self);
    }
    rc = state_load_seed (self, err);
    if (rc == 0)
        rc = catalog_load (&self->catalog, &self->view, self->counters[C_CATALOG], err);
    return rc;
}

namespace_t *namespace_open (const char *dir, dfs_error_t *err)
{
    namespace_t *self = calloc (1, sizeof *self);
    assert (self);
    int n = asprintf (&self->dir, "%s/namespace", dir);
    assert (n > 0);
    pthread_mutex_init (&self->lock, NULL);
    self->scratch = arena_new (SCRATCH_BUDGET);
    self->item = arena_new (4 * INLINE_MAX);
    self->leaf = arena_new (LEAF_BUDGET);
    self->seed_arena = arena_new (64 * 1024);
    self->digest = digest_new ();
    self->ring = calloc (HASH_RING, sizeof *self->ring);
    assert (self->ring);
    self->view.catalog = &self->catalog;
    self->view.cursors = self->cursors;
    self->view.kv = kv_open (self->dir, table_names, T_COUNT, MAP_SIZE, 0, err);
    if (!self->view.kv || state_begin (self, err) < 0 || load (self, err) < 0) {
        namespace_abandon (&self);
        wrap (err, "open namespace");
    } else
        kv_abort (&self->view.txn); /* the first use begins one, on its own thread */
    return self;
}

void namespace_abandon (namespace_t **self_p)
{
    namespace_t *self = *self_p;
    if (!self)
        return;
    assert (!self->readers);
    kv_abort (&self->view.txn);
    kv_close (&self->view.kv);
    catalog_clear (&self->catalog);
    arena_destroy (&self->scratch);
    arena_destroy (&self->item);
    arena_destroy (&self->leaf);
    arena_destroy (&self->seed_arena);
    digest_destroy (&self->digest);
    pthread_mutex_destroy (&self->lock);
    free (self->ring);
    free (self->effects);
    free (self->pack);
    free (self->dir);
    free (self);
    *self_p = NULL;
}

void namespace_close (namespace_t **self_p)
{
    if (*self_p && !(*self_p)->view.broken)
        namespace_commit (*self_p, NULL);
    namespace_abandon (self_p);
}

bool namespace_dirty (const namespace_t *self)
{
    return self->dirty;
}

static int write_state (namespace_t *self, dfs_error_t *err)
{
    uint8_t hash[16];
    put64 (put64 (hash, (uint64_t)(self->sum >> 64)), (uint64_t)self->sum);
    Dfs__RecState state = DFS__REC_STATE__INIT;
    state.format = FORMAT_VERSION;
    state.applied = self->applied;
    state.term = self->term;
    state.hash.data = hash;
    state.hash.len = sizeof hash;
    state.n_counters = C_COUNT;
    state.counters = self->counters;
    uint8_t packed[64 + 10 * C_COUNT];
    size_t len = dfs__rec_state__get_packed_size (&state);
    assert (len <= sizeof packed);
    dfs__rec_state__pack (&state, packed);
    return kv_put (self->view.kv, self->view.txn, T_META, "state", 5, packed, len, err);
}

int namespace_commit (namespace_t *self, dfs_error_t *err)
{
    if (self->view.broken)
        return fail (err, DFS_EINTERNAL, "namespace failed before");
    if (!self->dirty)
        return 0;
    int rc = write_state (self, err);
    if (rc == 0)
        rc = kv_commit (self->view.kv, &self->view.txn, err);
    if (rc < 0) {
        self->view.broken = true;
        return rc;
    }
    self->durable = self->applied;
    self->dirty = false;
    readers_tidy (self, clock_mono ());
    return 0;
}

uint64_t namespace_applied (const namespace_t *self)
{
    return self->applied;
}

uint64_t namespace_durable (const namespace_t *self)
{
    return self->durable;
}

bool namespace_seeded (const namespace_t *self)
{
    return self->seeded;
}

void namespace_hash (const namespace_t *self, uint8_t hash[16])
{
    state_hash_whole (self->sum, self->counters, hash);
}

uint64_t namespace_time (const namespace_t *self)
{
    return self->counters[C_TIME];
}

uint64_t namespace_inline_max (const namespace_t *self)
{
    if (!self->seeded)
        return 0;
    /* What is in flight needs some room, too. */
    uint64_t budget = self->seed->inline_budget;
    return self->counters[C_INLINE_BYTES] < budget - budget / 16
               ? self->seed->inline_max
               : 0;
}

void namespace_identity (const namespace_t *self, uint8_t cluster_id[16],
                         uint32_t *incarnation)
{
    memset (cluster_id, 0, 16);
    *incarnation = 0;
    if (!self->seeded)
        return;
    memcpy (cluster_id, self->seed->cluster_id.data, 16);
    *incarnation = self->seed->incarnation;
}

void namespace_totals (const namespace_t *self, namespace_totals_t *out)
{
    const uint64_t *c = self->counters;
    *out = (namespace_totals_t){
        .files = c[C_FILES],
        .directories = c[C_DIRECTORIES],
        .symlinks = c[C_SYMLINKS],
        .bytes_logical = c[C_BYTES_LOGICAL],
        .chunks = c[C_CHUNKS],
        .bytes_unique = c[C_CHUNK_BYTES] + c[C_INLINE_BYTES],
        .inline_bytes = c[C_INLINE_BYTES],
        .past_records = c[C_PAST],
        .jobs = c[C_JOBS],
        .sessions = c[C_SESSIONS],
        .condemned = c[C_CONDEMNED],
        .drops = c[C_DROPS],
        .reclaimed = self->reclaimed,
        .reclaimed_bytes = self->reclaimed_bytes,
    };
}
