/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "broker/namespace/catalog.h"
#include "broker/namespace/readers.h"
#include "broker/namespace/tables.h"
#include "common/clock.h"

enum { KEPT = 32 };
#define KEEP_NS (60ULL * 1000000000) /* pages that a snapshot holds cannot be reused   \
                                      */

typedef struct kept {
    MDB_txn *txn; /* NULL: free */
    uint64_t index;
    uint64_t used;
} kept_t;

struct namespace_reader {
    namespace_t *ns;
    struct namespace_reader *next;
    kept_t kept[KEPT]; /* under ns->lock */
    catalog_t catalog;
    bool has_catalog;
    arena_t *scratch;
    copykey_t *lost; /* sorted */
    size_t n_lost;
};

namespace_reader_t *namespace_reader_new (namespace_t *ns, dfs_error_t *err)
{
    (void)err;
    namespace_reader_t *self = calloc (1, sizeof *self);
    assert (self);
    self->ns = ns;
    self->scratch = arena_new (64 * 1024 * 1024);
    pthread_mutex_lock (&ns->lock);
    self->next = ns->readers;
    ns->readers = self;
    pthread_mutex_unlock (&ns->lock);
    return self;
}

void namespace_reader_destroy (namespace_reader_t **self_p)
{
    namespace_reader_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->ns->lock);
    namespace_reader_t **p = &self->ns->readers;
    while (*p != self)
        p = &(*p)->next;
    *p = self->next;
    for (int i = 0; i < KEPT; i++)
        kv_abort (&self->kept[i].txn);
    pthread_mutex_unlock (&self->ns->lock);
    catalog_clear (&self->catalog);
    arena_destroy (&self->scratch);
    free (self->lost);
    free (self);
    *self_p = NULL;
}

arena_t *reader_scratch (namespace_reader_t *self)
{
    return self->scratch;
}

static int compare (const void *a, const void *b)
{
    return copykey_cmp (a, b);
}

void namespace_reader_lost (namespace_reader_t *self, copykey_t *keys, size_t n)
{
    free (self->lost);
    self->lost = keys;
    self->n_lost = n;
    if (n > 0)
        qsort (keys, n, sizeof *keys, compare);
}

bool reader_is_lost (const namespace_reader_t *self, const copykey_t *key)
{
    return self->n_lost > 0 &&
           bsearch (key, self->lost, self->n_lost, sizeof *key, compare);
}

void readers_tidy (namespace_t *ns, uint64_t now)
{
    pthread_mutex_lock (&ns->lock);
    for (namespace_reader_t *r = ns->readers; r; r = r->next)
        for (int i = 0; i < KEPT; i++)
            if (r->kept[i].txn && r->kept[i].used + KEEP_NS < now)
                kv_abort (&r->kept[i].txn);
    pthread_mutex_unlock (&ns->lock);
}

static MDB_txn *take_kept (namespace_reader_t *self, uint64_t index)
{
    MDB_txn *txn = NULL;
    pthread_mutex_lock (&self->ns->lock);
    for (int i = 0; !txn && i < KEPT; i++)
        if (self->kept[i].txn && self->kept[i].index == index) {
            txn = self->kept[i].txn;
            self->kept[i].txn = NULL;
        }
    pthread_mutex_unlock (&self->ns->lock);
    return txn;
}

/* Policies and users as of the snapshot, read again only when they changed. */
static int follow_catalog (namespace_reader_t *self, view_t *view, uint64_t changed,
                           dfs_error_t *err)
{
    if (self->has_catalog && self->catalog.index == changed)
        return 0;
    int rc = catalog_load (&self->catalog, view, changed, err);
    self->has_catalog = rc == 0;
    return rc;
}

int reader_take (namespace_reader_t *self, uint64_t index, snapshot_t *out,
                 dfs_error_t *err)
{
    arena_reset (self->scratch);
    *out = (snapshot_t){.view = {.kv = self->ns->view.kv, .catalog = &self->catalog}};
    if (index)
        out->view.txn = take_kept (self, index);
    if (!out->view.txn)
        out->view.txn = kv_begin (self->ns->view.kv, false, err);
    if (!out->view.txn)
        return err ? err->code : DFS_EINTERNAL;
    Dfs__RecState *state;
    int rc = state_read (&out->view, self->scratch, &state, err);
    if (rc == 0)
        rc = fail (err, DFS_EUNAVAIL, "the namespace is empty");
    if (rc > 0 && index && state->applied != index)
        rc = fail (err, DFS_ESTALE, "the moment that was listed is not kept any more");
    if (rc > 0) {
        out->index = state->applied;
        uint64_t changed =
            C_CATALOG < state->n_counters ? state->counters[C_CATALOG] : 0;
        rc = follow_catalog (self, &out->view, changed, err);
    }
    if (rc < 0)
        kv_abort (&out->view.txn);
    return rc;
}

void reader_give (namespace_reader_t *self, snapshot_t *snapshot, bool keep)
{
    MDB_txn *drop = snapshot->view.txn;
    snapshot->view.txn = NULL;
    if (keep && !snapshot->view.broken) {
        pthread_mutex_lock (&self->ns->lock);
        kept_t *slot = &self->kept[0]; /* a free one, or the one used longest ago */
        for (int i = 0; i < KEPT && slot->txn; i++)
            if (!self->kept[i].txn || self->kept[i].used < slot->used)
                slot = &self->kept[i];
        MDB_txn *old = slot->txn;
        *slot = (kept_t){.txn = drop, .index = snapshot->index, .used = clock_mono ()};
        pthread_mutex_unlock (&self->ns->lock);
        drop = old;
    }
    kv_abort (&drop);
}

uint64_t namespace_reader_index (namespace_reader_t *self)
{
    snapshot_t snapshot;
    if (reader_take (self, 0, &snapshot, NULL) < 0)
        return 0;
    reader_give (self, &snapshot, false);
    return snapshot.index;
}
