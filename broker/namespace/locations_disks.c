/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/locations_disks.h"
#include "common/rng.h"

void disks_put32 (uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32 (v);
    memcpy (p, &v, sizeof v);
}

uint32_t disks_get32 (const uint8_t *p)
{
    uint32_t v;
    memcpy (&v, p, sizeof v);
    return __builtin_bswap32 (v);
}

/* --- where they are --- */

static size_t mix (uint64_t number)
{
    rng_t rng;

    rng_seed (&rng, number);
    return (size_t)rng_next (&rng);
}

static size_t hash_store (uint32_t worker, const uint8_t store[16])
{
    uint64_t parts[2];

    memcpy (parts, store, sizeof parts);
    return (size_t)mix (parts[0] ^ parts[1] ^ (uint64_t)worker << 32);
}

static size_t hash_number (uint32_t number)
{
    return (size_t)mix (number);
}

static void put_slot (disk_slots_t *slots, size_t hash, size_t position)
{
    size_t i = hash & (slots->size - 1);

    while (slots->at[i])
        i = (i + 1) & (slots->size - 1);
    slots->at[i] = (uint32_t)position + 1;
    slots->used++;
}

static void make_slots (disk_slots_t *slots, size_t n)
{
    size_t size = 64;

    while (size < 4 * n)
        size *= 2;
    free (slots->at);
    slots->at = calloc (size, sizeof *slots->at);
    assert (slots->at);
    slots->size = size;
    slots->used = 0;
}

static void index_all (locations_t *self)
{
    make_slots (&self->by_store, self->n_disks);
    make_slots (&self->by_number, self->n_disks);
    for (size_t i = 0; i < self->n_disks; i++) {
        const disk_t *d = &self->disks[i];
        put_slot (&self->by_store, hash_store (d->worker, d->store), i);
        put_slot (&self->by_number, hash_number (d->number), i);
    }
}

static bool full (const disk_slots_t *slots)
{
    return 2 * (slots->used + 1) > slots->size;
}

void disks_renumber (locations_t *self, disk_t *disk, uint32_t number)
{
    disk->number = number;
    if (full (&self->by_number))
        index_all (self);
    else
        put_slot (&self->by_number, hash_number (number), (size_t)(disk - self->disks));
}

void disks_free (locations_t *self)
{
    free (self->disks);
    free (self->dead);
    free (self->by_store.at);
    free (self->by_number.at);
}

disk_t *disks_find (locations_t *self, uint32_t worker, const uint8_t store[16])
{
    const disk_slots_t *slots = &self->by_store;

    for (size_t i = hash_store (worker, store);; i++) {
        uint32_t at = slots->at[i & (slots->size - 1)];
        if (!at)
            return NULL;
        disk_t *d = &self->disks[at - 1];
        if (d->worker == worker && memcmp (d->store, store, 16) == 0)
            return d;
    }
}

const disk_t *disks_live (const locations_t *self, uint32_t number)
{
    const disk_slots_t *slots = &self->by_number;

    for (size_t i = hash_number (number);; i++) {
        uint32_t at = slots->at[i & (slots->size - 1)];
        if (!at)
            return NULL;
        if (self->disks[at - 1].number == number)
            return &self->disks[at - 1];
    }
}

/* --- what becomes of them --- */

uint32_t disks_number (locations_t *self)
{
    return self->next++;
}

int disks_bury (locations_t *self, uint32_t number, uint32_t worker, dfs_error_t *err)
{
    self->dead = realloc (self->dead, (self->n_dead + 1) * sizeof *self->dead);
    assert (self->dead);
    self->dead[self->n_dead++] = (dead_t){number, worker};
    uint8_t key[4], value[4];
    disks_put32 (key, number);
    disks_put32 (value, worker);
    return kv_put (self->kv, self->txn, L_DEAD, key, 4, value, 4, err);
}

int disks_renew (locations_t *self, disk_t **disk, uint32_t worker,
                 const uint8_t store[16], uint64_t incarnation, dfs_error_t *err)
{
    disk_t *d = *disk;
    if (d) {
        int rc = disks_bury (self, d->number, worker, err);
        if (rc == 0 && d->pending)
            rc = disks_bury (self, d->pending, worker, err);
        if (rc < 0)
            return rc;
    } else {
        self->disks = realloc (self->disks, (self->n_disks + 1) * sizeof *d);
        assert (self->disks);
        d = &self->disks[self->n_disks++];
    }
    bool known = *disk != NULL;
    *d = (disk_t){.worker = worker, .incarnation = incarnation, .dirty = true};
    memcpy (d->store, store, 16);
    if (!known && !full (&self->by_store))
        put_slot (&self->by_store, hash_store (worker, store), self->n_disks - 1);
    else if (!known)
        index_all (self);
    disks_renumber (self, d, disks_number (self));
    *disk = d;
    return 0;
}

static void key_disk (const disk_t *disk, uint8_t key[20])
{
    disks_put32 (key, disk->worker);
    memcpy (key + 4, disk->store, 16);
}

static bool named (const disk_t *disk, const locations_store_t *stores, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (disk->incarnation == stores[i].incarnation &&
            memcmp (disk->store, stores[i].id, sizeof stores[i].id) == 0)
            return true;
    return false;
}

int disks_forget (locations_t *self, uint32_t worker, const locations_store_t *except,
                  size_t n, dfs_error_t *err)
{
    for (size_t i = 0; i < self->n_disks;) {
        disk_t *d = &self->disks[i];
        if (d->worker != worker || named (d, except, n)) {
            i++;
            continue;
        }
        uint8_t key[20];
        key_disk (d, key);
        int rc = disks_bury (self, d->number, worker, err);
        if (rc == 0 && d->pending)
            rc = disks_bury (self, d->pending, worker, err);
        if (rc == 0)
            rc = kv_del (self->kv, self->txn, L_DISK, key, sizeof key, err);
        if (rc < 0)
            return rc;
        *d = self->disks[--self->n_disks];
        index_all (self);
    }
    return 0;
}

int disks_buried (const locations_t *self, uint32_t worker)
{
    for (size_t i = 0; i < self->n_dead; i++)
        if (self->dead[i].worker == worker)
            return 1;
    return 0;
}

/* Removes at most *MAX records of NUMBER; 1 when it has none left. */
static int clear_number (locations_t *self, uint32_t number, size_t *max,
                         dfs_error_t *err)
{
    uint8_t prefix[4], copy[COPY_KEY];
    disks_put32 (prefix, number);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open (self->txn, kv_dbi (self->kv, L_ON_DISK), &cursor);
    if (rc != 0)
        return kv_fail (err, rc, "locations");
    MDB_val k = {.mv_size = 4, .mv_data = prefix}, v;
    rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
    bool mine = false;
    for (; rc == 0; rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) {
        mine = k.mv_size == COPY_KEY && memcmp (k.mv_data, prefix, 4) == 0;
        if (!mine || *max == 0)
            break;
        memcpy (copy, (const uint8_t *)k.mv_data + 4, COPYKEY_LEN);
        memcpy (copy + COPYKEY_LEN, prefix, 4);
        MDB_val c = {.mv_size = COPY_KEY, .mv_data = copy};
        rc = mdb_del (self->txn, kv_dbi (self->kv, L_COPY), &c, NULL);
        if (rc == 0 || rc == MDB_NOTFOUND)
            rc = mdb_cursor_del (cursor, 0);
        if (rc != 0)
            break;
        (*max)--;
        mine = false;
    }
    mdb_cursor_close (cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return kv_fail (err, rc, "locations");
    return !mine;
}

int disks_clear (locations_t *self, size_t max, dfs_error_t *err)
{
    while (self->n_dead && max) {
        uint32_t number = self->dead[self->n_dead - 1].number;
        int rc = clear_number (self, number, &max, err);
        if (rc <= 0)
            return rc;
        uint8_t key[4];
        disks_put32 (key, number);
        rc = kv_del (self->kv, self->txn, L_DEAD, key, 4, err);
        if (rc < 0)
            return rc;
        self->n_dead--;
    }
    return 0;
}

int disks_write (locations_t *self, dfs_error_t *err)
{
    int rc = kv_put (self->kv, self->txn, L_META, "next", 4, &self->next,
                     sizeof self->next, err);
    for (size_t i = 0; rc == 0 && i < self->n_disks; i++) {
        disk_t *d = &self->disks[i];
        if (!d->dirty)
            continue;
        uint8_t key[20];
        key_disk (d, key);
        d->dirty = false;
        rc = kv_put (self->kv, self->txn, L_DISK, key, sizeof key, d, sizeof *d, err);
    }
    return rc;
}

int disks_load (locations_t *self, dfs_error_t *err)
{
    const void *value;
    size_t len;
    self->next = 1;
    int rc = kv_get (self->kv, self->txn, L_META, "next", 4, &value, &len, err);
    if (rc > 0 && len == sizeof self->next)
        memcpy (&self->next, value, len);
    MDB_cursor *cursor;
    MDB_val k, v;
    if (rc < 0)
        return rc;
    rc = mdb_cursor_open (self->txn, kv_dbi (self->kv, L_DEAD), &cursor);
    if (rc != 0)
        return kv_fail (err, rc, "locations");
    while ((rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) == 0 && k.mv_size == 4 &&
           v.mv_size == 4) {
        self->dead = realloc (self->dead, (self->n_dead + 1) * sizeof *self->dead);
        assert (self->dead);
        self->dead[self->n_dead++] =
            (dead_t){disks_get32 (k.mv_data), disks_get32 (v.mv_data)};
    }
    mdb_cursor_close (cursor);
    if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_open (self->txn, kv_dbi (self->kv, L_DISK), &cursor);
    if (rc != 0)
        return kv_fail (err, rc, "locations");
    while ((rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) == 0 &&
           v.mv_size == sizeof (disk_t)) {
        self->disks = realloc (self->disks, (self->n_disks + 1) * sizeof *self->disks);
        assert (self->disks);
        memcpy (&self->disks[self->n_disks++], v.mv_data, sizeof (disk_t));
    }
    mdb_cursor_close (cursor);
    if (rc != MDB_NOTFOUND)
        return fail (err, DFS_EDAMAGED, "locations: malformed record");
    for (size_t i = 0; i < self->n_disks; i++) { /* inventories that broke off */
        disk_t *d = &self->disks[i];
        if (d->pending && (rc = disks_bury (self, d->pending, d->worker, err)) < 0)
            return rc;
        if (d->pending)
            d->dirty = true;
        d->pending = 0;
    }
    index_all (self);
    return 0;
}
