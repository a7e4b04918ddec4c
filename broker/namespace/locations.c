/* SPDX-License-Identifier: MPL-2.0 */
/* Tables: `disk` gives each store a number; `copy` is keyed (copy key, number),
 * `on_disk` (number, copy key). A store that starts anew gets a new number at once, and
 * the records of the old number are dead: look-ups pass over them and commits clear
 * them away. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/namespace/locations.h"
#include "broker/namespace/locations_disks.h"
#include "msgs/control.pb-c.h"

enum { CLEAR_AT_COMMIT = 2000 };

static int lmdb (int rc, const char *what, dfs_error_t *err)
{
    return rc ? kv_fail (err, rc, what) : 0;
}

static void key_copy (const copykey_t *key, uint32_t disk, uint8_t out[COPY_KEY])
{
    copykey_pack (key, out);
    disks_put32 (out + COPYKEY_LEN, disk);
}

static void key_on_disk (uint32_t disk, const uint8_t copy[COPYKEY_LEN],
                         uint8_t out[COPY_KEY])
{
    disks_put32 (out, disk);
    memcpy (out + 4, copy, COPYKEY_LEN);
}

typedef struct copy {
    uint64_t birth;
    uint64_t length;
    uint8_t damaged;
} copy_t;

static int read_copy (locations_t *self, const uint8_t key[COPY_KEY], copy_t *out,
                      dfs_error_t *err)
{
    const void *value;
    size_t len;
    int rc = kv_get (self->kv, self->txn, L_COPY, key, COPY_KEY, &value, &len, err);
    if (rc <= 0)
        return rc;
    if (len != sizeof *out)
        return fail (err, DFS_EDAMAGED, "locations: malformed record");
    memcpy (out, value, sizeof *out);
    return 1;
}

static int put_copy (locations_t *self, disk_t *disk, uint32_t number,
                     const copykey_t *key, const copy_t *copy, dfs_error_t *err)
{
    uint8_t by_copy[COPY_KEY], by_disk[COPY_KEY];
    key_copy (key, number, by_copy);
    copy_t old;
    int rc = read_copy (self, by_copy, &old, err);
    if (rc < 0)
        return rc;
    tally_t *tally = number == disk->number ? &disk->now : &disk->coming;
    if (rc > 0)
        tally->bytes -= old.length;
    else {
        tally->copies++;
        key_on_disk (number, by_copy, by_disk);
        rc = kv_put (self->kv, self->txn, L_ON_DISK, by_disk, COPY_KEY, "", 0, err);
        if (rc < 0)
            return rc;
    }
    tally->bytes += copy->length;
    return kv_put (self->kv, self->txn, L_COPY, by_copy, COPY_KEY, copy, sizeof *copy,
                   err);
}

static int drop_copy (locations_t *self, disk_t *disk, const copykey_t *key,
                      dfs_error_t *err)
{
    uint8_t by_copy[COPY_KEY], by_disk[COPY_KEY];
    key_copy (key, disk->number, by_copy);
    copy_t old;
    int rc = read_copy (self, by_copy, &old, err);
    if (rc <= 0)
        return rc;
    disk->now.copies--;
    disk->now.bytes -= old.length;
    key_on_disk (disk->number, by_copy, by_disk);
    rc = kv_del (self->kv, self->txn, L_COPY, by_copy, COPY_KEY, err);
    if (rc >= 0)
        rc = kv_del (self->kv, self->txn, L_ON_DISK, by_disk, COPY_KEY, err);
    return rc < 0 ? rc : 0;
}

int locations_mark (locations_t *self, uint32_t worker, const uint8_t store[16],
                    uint64_t incarnation, uint64_t *seq)
{
    const disk_t *disk = disks_find (self, worker, store);
    *seq = disk && disk->incarnation == incarnation ? disk->seq : 0;
    return disk && disk->incarnation == incarnation;
}

int locations_keep (locations_t *self, uint32_t worker, const locations_store_t *stores,
                    size_t n, dfs_error_t *err)
{
    return disks_forget (self, worker, stores, n, err);
}

int locations_change (locations_t *self, uint32_t worker, const uint8_t store[16],
                      uint64_t incarnation, uint64_t seq, int kind,
                      const copykey_t *key, uint64_t birth, uint64_t length,
                      dfs_error_t *err)
{
    disk_t *disk = disks_find (self, worker, store);
    bool fresh = !disk || disk->incarnation != incarnation;
    uint64_t mark = fresh ? 0 : disk->seq;
    if (seq != mark + 1)
        return fail (err, DFS_ESTALE, "change %llu where %llu is expected",
                     (unsigned long long)seq, (unsigned long long)mark + 1);
    if (kind < DFS__LOCATION_KIND__LOCATION_STORED ||
        kind > DFS__LOCATION_KIND__LOCATION_RENEWED)
        return fail (err, DFS_EPROTO, "change of an unknown kind %d", kind);
    if (fresh) {
        int rc = disks_renew (self, &disk, worker, store, incarnation, err);
        if (rc < 0)
            return rc;
    }
    uint8_t by_copy[COPY_KEY];
    key_copy (key, disk->number, by_copy);
    copy_t copy = {0};
    int known = read_copy (self, by_copy, &copy, err);
    int rc = known < 0 ? known : 0;
    switch (rc < 0 ? 0 : kind) {
    case DFS__LOCATION_KIND__LOCATION_STORED:
        copy = (copy_t){.birth = birth, .length = length};
        rc = put_copy (self, disk, disk->number, key, &copy, err);
        break;
    case DFS__LOCATION_KIND__LOCATION_RENEWED:
        if (!known)
            copy.length = length;
        copy.birth = birth;
        rc = put_copy (self, disk, disk->number, key, &copy, err);
        break;
    case DFS__LOCATION_KIND__LOCATION_DAMAGED:
        copy.damaged = 1;
        if (known)
            rc = put_copy (self, disk, disk->number, key, &copy, err);
        break;
    case DFS__LOCATION_KIND__LOCATION_GONE:
        rc = drop_copy (self, disk, key, err);
        break;
    }
    if (rc < 0)
        return rc;
    disk->seq = seq;
    disk->dirty = true;
    return 0;
}

int locations_inventory_begin (locations_t *self, uint32_t worker,
                               const uint8_t store[16], uint64_t incarnation,
                               dfs_error_t *err)
{
    disk_t *disk = disks_find (self, worker, store);
    if (!disk) {
        int rc = disks_renew (self, &disk, worker, store, incarnation, err);
        if (rc < 0)
            return rc;
    }
    if (disk->pending) {
        int rc = disks_bury (self, disk->pending, worker, err);
        if (rc < 0)
            return rc;
    }
    disk->pending = disks_number (self);
    disk->pending_incarnation = incarnation;
    disk->coming = (tally_t){0};
    disk->dirty = true;
    return 0;
}

static int in_inventory (locations_t *self, uint32_t worker, const uint8_t store[16],
                         disk_t **disk, dfs_error_t *err)
{
    *disk = disks_find (self, worker, store);
    if (!*disk || !(*disk)->pending)
        return fail (err, DFS_ESTALE, "no inventory of that store has begun");
    return 0;
}

int locations_inventory_copy (locations_t *self, uint32_t worker,
                              const uint8_t store[16], const copykey_t *key,
                              uint64_t birth, uint64_t length, dfs_error_t *err)
{
    disk_t *disk;
    int rc = in_inventory (self, worker, store, &disk, err);
    if (rc < 0)
        return rc;
    copy_t copy = {.birth = birth, .length = length};
    disk->dirty = true;
    return put_copy (self, disk, disk->pending, key, &copy, err);
}

int locations_inventory_end (locations_t *self, uint32_t worker,
                             const uint8_t store[16], uint64_t incarnation,
                             uint64_t seq, dfs_error_t *err)
{
    disk_t *disk;
    int rc = in_inventory (self, worker, store, &disk, err);
    if (rc == 0 && disk->pending_incarnation != incarnation)
        return fail (err, DFS_ESTALE, "the inventory was of another incarnation");
    if (rc == 0)
        rc = disks_bury (self, disk->number, worker, err);
    if (rc < 0)
        return rc;
    disks_renumber (self, disk, disk->pending);
    disk->now = disk->coming;
    disk->incarnation = incarnation;
    disk->seq = seq;
    disk->pending = 0;
    disk->dirty = true;
    return 0;
}

int locations_inventory_abort (locations_t *self, uint32_t worker,
                               const uint8_t store[16], dfs_error_t *err)
{
    disk_t *disk = disks_find (self, worker, store);
    if (!disk || !disk->pending)
        return 0;
    int rc = disks_bury (self, disk->pending, worker, err);
    if (rc < 0)
        return rc;
    disk->pending = 0;
    disk->dirty = true;
    return 0;
}

int locations_commit (locations_t *self, dfs_error_t *err)
{
    int rc = disks_clear (self, CLEAR_AT_COMMIT, err);
    if (rc >= 0)
        rc = disks_write (self, err);
    if (rc < 0)
        return rc;
    rc = kv_commit (self->kv, &self->txn, err);
    if (rc < 0)
        return rc;
    self->txn = kv_begin (self->kv, true, err);
    return self->txn ? 0 : err ? err->code : DFS_EINTERNAL;
}

int locations_find (locations_t *self, const copykey_t *key,
                    location_t out[LOCATIONS_MAX], dfs_error_t *err)
{
    uint8_t from[COPY_KEY];
    key_copy (key, 0, from);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open (self->txn, kv_dbi (self->kv, L_COPY), &cursor);
    if (rc != 0)
        return lmdb (rc, "locations", err);
    MDB_val k = {.mv_size = COPY_KEY, .mv_data = from}, v;
    int n = 0;
    rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && n < LOCATIONS_MAX && k.mv_size == COPY_KEY &&
           memcmp (k.mv_data, from, COPYKEY_LEN) == 0) {
        uint32_t number = disks_get32 ((const uint8_t *)k.mv_data + COPYKEY_LEN);
        const disk_t *disk = disks_live (self, number);
        copy_t copy;
        if (disk && v.mv_size == sizeof copy) {
            memcpy (&copy, v.mv_data, sizeof copy);
            out[n++] = (location_t){.worker = disk->worker,
                                    .disk = number,
                                    .birth = copy.birth,
                                    .length = copy.length,
                                    .damaged = copy.damaged != 0};
        }
        rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close (cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? n : lmdb (rc, "locations", err);
}

int locations_between (locations_t *self, const uint8_t from[32], const uint8_t to[32],
                       copykey_t *out, size_t max, dfs_error_t *err)
{
    copykey_t first = {0};
    uint8_t at[COPY_KEY];
    memcpy (first.digest, from, 32);
    key_copy (&first, 0, at);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open (self->txn, kv_dbi (self->kv, L_COPY), &cursor);
    if (rc != 0)
        return lmdb (rc, "locations", err);
    MDB_val k = {.mv_size = COPY_KEY, .mv_data = at}, v;
    size_t n = 0;
    for (rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
         rc == 0 && n < max && k.mv_size == COPY_KEY;
         rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) {
        copykey_t key;
        copykey_unpack (k.mv_data, &key);
        if (key.domain != 0 || memcmp (key.digest, to, 32) > 0)
            break;
        if (disks_live (self, disks_get32 ((const uint8_t *)k.mv_data + COPYKEY_LEN)) &&
            (n == 0 || copykey_cmp (&out[n - 1], &key) != 0))
            out[n++] = key;
    }
    mdb_cursor_close (cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? (int)n : lmdb (rc, "locations", err);
}

/* Up to MAX keys on one disk behind AFTER, merged in order into the N that are in OUT.
 */
static int merge_disk (locations_t *self, uint32_t number, const copykey_t *after,
                       copykey_t *out, size_t *n, size_t max, dfs_error_t *err)
{
    uint8_t packed[COPYKEY_LEN] = {0}, from[COPY_KEY];
    if (after)
        copykey_pack (after, packed);
    key_on_disk (number, packed, from);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open (self->txn, kv_dbi (self->kv, L_ON_DISK), &cursor);
    if (rc != 0)
        return lmdb (rc, "locations", err);
    MDB_val k = {.mv_size = COPY_KEY, .mv_data = from}, v;
    size_t at = 0;
    rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
    for (; rc == 0 && k.mv_size == COPY_KEY && memcmp (k.mv_data, from, 4) == 0;
         rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) {
        copykey_t key;
        copykey_unpack ((const uint8_t *)k.mv_data + 4, &key);
        if (after && copykey_cmp (&key, after) <= 0)
            continue;
        while (at < *n && copykey_cmp (&out[at], &key) < 0)
            at++;
        if (at == max)
            break;
        if (at < *n && copykey_cmp (&out[at], &key) == 0)
            continue;
        size_t move = *n - at;
        if (*n == max)
            move--;
        else
            (*n)++;
        memmove (out + at + 1, out + at, move * sizeof *out);
        out[at++] = key;
    }
    mdb_cursor_close (cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : lmdb (rc, "locations", err);
}

int locations_of_worker (locations_t *self, uint32_t worker, const copykey_t *after,
                         copykey_t *out, size_t max, dfs_error_t *err)
{
    size_t n = 0;
    for (size_t i = 0; i < self->n_disks && max; i++) {
        if (self->disks[i].worker != worker)
            continue;
        int rc = merge_disk (self, self->disks[i].number, after, out, &n, max, err);
        if (rc < 0)
            return rc;
    }
    return (int)n;
}

void locations_count (locations_t *self, uint32_t worker, uint64_t *copies,
                      uint64_t *bytes)
{
    *copies = *bytes = 0;
    for (size_t i = 0; i < self->n_disks; i++)
        if (self->disks[i].worker == worker) {
            *copies += self->disks[i].now.copies;
            *bytes += self->disks[i].now.bytes;
        }
}

locations_held_t *locations_held (const locations_t *self, size_t *n)
{
    locations_held_t *out = calloc (self->n_disks + 1, sizeof *out);

    assert (out);
    *n = self->n_disks;
    for (size_t i = 0; i < *n; i++)
        out[i] = (locations_held_t){self->disks[i].worker, self->disks[i].now.copies,
                                    self->disks[i].now.bytes};
    return out;
}

int locations_forget (locations_t *self, uint32_t worker, size_t max, dfs_error_t *err)
{
    int rc = disks_forget (self, worker, NULL, 0, err);
    if (rc == 0)
        rc = disks_clear (self, max, err);
    return rc < 0 ? rc : disks_buried (self, worker);
}
