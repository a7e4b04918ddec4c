/* SPDX-License-Identifier: MPL-2.0 */
/* Writing chunks: a small one is gathered in memory and goes into a batch, a large one
 * goes as it comes into an extent reserved for it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"
#include "worker/store/append.h"
#include "worker/store/store_private.h"

#define ROUNDS_FOR (5 * SEC) /* disks are asked again */

/* DFS_OK when the bytes are wanted; else as store_begin says. */
static int check_present (store_t *self, const store_new_t *what, uint64_t cookie,
                          dfs_error_t *err)
{
    disk_t *disk;
    entry_t entry;
    if (store_locate (self, &what->key, &disk, &entry, NULL) != 1)
        return DFS_OK; /* a disk that cannot be asked may have it: a copy more is fine
                        */
    if (entry.birth >= what->birth)
        return fail (err, DFS_EEXIST, "the chunk is here already");
    pthread_mutex_lock (&disk->lock);
    int rc = commit_wait_room (disk, RECORD_HEAD_MIN, err);
    /* It may be leaving since it was looked at: then the bytes are wanted. */
    bool there = rc == DFS_OK && disk_find (disk, &what->key, &entry, NULL) == 1;
    if (there)
        rc = commit_note (disk, RECORD_RENEWED, &what->key, &entry, what->birth,
                          &cookie, err);
    pthread_mutex_unlock (&disk->lock);
    if (rc < 0 || !there)
        return rc;
    return fail (err, DFS_EAGAIN, "the chunk is here already, its birth is renewed");
}

static double fullness (disk_t *disk)
{
    if (disk_answers (disk, NULL) < 0 || !disk_try (disk))
        return 1e9;
    uint64_t capacity = disk_capacity (disk);
    double full = capacity ? (double)disk->used / (double)capacity : 1;
    if (disk_writable (disk, NULL) < 0)
        full = 1e9;
    pthread_mutex_unlock (&disk->lock);
    return full;
}

/* Disks in the order in which they should take a chunk, the emptiest first. */
static void order_disks (store_t *self, disk_t **order)
{
    double full[64];
    for (size_t i = 0; i < self->n; i++) {
        double f = self->n > 1 ? fullness (self->disks[i]) : 0;
        size_t at = i;
        for (; at > 0 && full[at - 1] > f; at--) {
            full[at] = full[at - 1];
            order[at] = order[at - 1];
        }
        full[at] = f;
        order[at] = self->disks[i];
    }
}

/* No disk has taken it, and one of several was only slow in saying so: worth another
 * round, for a while. A single one is not waited for: other workers are asked. */
static bool another_round (store_t *self, bool slow, uint64_t since)
{
    if (!slow || self->n == 1 || clock_mono () - since > ROUNDS_FOR)
        return false;
    nanosleep (&(struct timespec){.tv_nsec = 10 * MS}, NULL);
    return true;
}

static bool was_slow (const disk_t *disk, int rc)
{
    return rc == DFS_ETIMEOUT && disk_answers (disk, NULL) == DFS_OK;
}

static int check_new (const store_new_t *what, dfs_error_t *err)
{
    if (what->stored_len > CHUNK_MAX || what->true_len > CHUNK_MAX)
        return fail (err, DFS_ETOOBIG, "a chunk of %llu bytes",
                     (unsigned long long)what->stored_len);
    return DFS_OK;
}

static record_t record_of (const store_new_t *what)
{
    record_t rec = {.type = RECORD_CHUNK,
                    .encoding = what->encoding,
                    .flags = what->flags,
                    .key = what->key,
                    .stored_len = (uint32_t)what->stored_len,
                    .true_len = (uint32_t)what->true_len,
                    .birth = what->birth,
                    .n_crcs = (uint32_t)chunk_blocks (what->stored_len)};
    return rec;
}

/* Space on one disk; the code says why not. */
static int reserve (disk_t *disk, store_append_t *append, dfs_error_t *err)
{
    append->disk = disk;
    if (append->rec.stored_len > PACK_MAX) {
        extent_place_t place = {0};
        int rc = reserve_extent (disk, &append->rec, &place, err);
        append->volume = place.volume;
        append->offset = place.offset;
        append->promised = place.promised;
        return rc;
    }
    int rc = reserve_lock (disk, err);
    if (rc < 0)
        return rc;
    rc = disk_room (disk, append->rec.stored_len + RECORD_HEAD_MIN + 4, false, err);
    pthread_mutex_unlock (&disk->lock);
    return rc;
}

store_append_t *store_begin (store_t *self, const store_new_t *what, uint64_t cookie,
                             dfs_error_t *err)
{
    if (check_new (what, err) < 0 || check_present (self, what, cookie, err) < 0)
        return NULL;
    store_append_t *append = calloc (1, sizeof *append);
    assert (append);
    append->rec = record_of (what);
    append->cookie = cookie;
    append->upload = what->upload;
    disk_t *order[64];
    dfs_error_t mine = {.code = DFS_EUNAVAIL};
    int rc = DFS_EUNAVAIL;
    uint64_t since = clock_mono ();
    bool slow;
    do {
        slow = false;
        order_disks (self, order);
        for (size_t i = 0; rc < 0 && i < self->n; i++) {
            rc = reserve (order[i], append, &mine);
            slow = slow || was_slow (order[i], rc);
        }
    } while (rc < 0 && another_round (self, slow, since));
    if (rc < 0) {
        fail (err, rc, "%s", mine.text);
        free (append);
        return NULL;
    }
    append->crcs = calloc (append->rec.n_crcs + 1, sizeof *append->crcs);
    assert (append->crcs);
    if (!append->volume) {
        append->bytes = malloc (append->rec.stored_len + 1);
        assert (append->bytes);
    }
    return append;
}

/* --- bytes of extents --- */

void append_taken (store_append_t *append, uint64_t len)
{
    len = len < append->promised ? len : append->promised;
    append->promised -= len;
    append->disk->promised -= len;
}

void append_failed (store_append_t *append, int code, const char *text)
{
    if (append->failed == DFS_OK)
        append->failed = code;
    if (code != DFS_ENOSPC)
        disk_fail (append->disk, code, text);
}

void append_finish (store_append_t *append)
{
    disk_t *disk = append->disk;
    const store_config_t *config = disk->config;
    bool seal = append->state == APPEND_SEALED;
    size_t len = record_head_len (append->rec.n_crcs);
    len += append->bytes ? append->rec.stored_len : 0;
    int rc = seal ? append->failed : DFS_ECANCELED;
    append_taken (append, append->promised);
    if (rc == DFS_OK)
        rc = commit_wait_room (disk, len, NULL);
    if (rc == DFS_OK) {
        batch_item_t *item =
            batch_add (&disk->fill, &append->rec, append->crcs, append->bytes);
        item->answer = true;
        item->cookie = append->cookie;
        item->upload = append->upload;
        item->volume = append->volume;
        commit_wake (disk);
    } else if (append->volume) {
        extent_place_t place = {.volume = append->volume, .offset = append->offset};
        reserve_free (disk, &append->rec, &place);
    }
    pthread_mutex_unlock (&disk->lock);
    if (seal && rc < 0 && config->done)
        config->done (append->cookie, rc, config->arg);
    free (append->bytes);
    free (append->crcs);
    free (append);
}

int store_write (store_append_t *append, uint64_t offset, const void *data, size_t len,
                 const uint32_t *crcs, dfs_error_t *err)
{
    uint64_t total = append->rec.stored_len;
    if (offset % DIGEST_BLOCK || offset > total || len > total - offset ||
        (len % DIGEST_BLOCK && offset + len != total))
        return fail (err, DFS_EINVAL, "bytes %llu+%zu of a chunk of %llu",
                     (unsigned long long)offset, len, (unsigned long long)total);
    disk_t *disk = append->disk;
    pthread_mutex_lock (&disk->lock);
    int rc = append->failed;
    pthread_mutex_unlock (&disk->lock);
    if (rc < 0)
        return fail (err, rc, "disk %s: an earlier write failed", disk->dir);
    uint64_t at = append->offset + EXTENT_DATA + offset;
    if (append->bytes) {
        memcpy (append->bytes + offset, data, len);
    } else if (append->volume->direct >= 0) {
        rc = stage_write (append, at, data, len, err);
        if (rc < 0)
            return rc; /* it cannot be sealed: bytes of it are missing */
    } else {
        dfs_error_t mine = {0};
        rc = volume_write_data (disk, append->volume, at, data, len, &mine);
        pthread_mutex_lock (&disk->lock);
        if (rc < 0)
            append_failed (append, rc, mine.text);
        else
            append_taken (append, len);
        pthread_mutex_unlock (&disk->lock);
        if (rc < 0)
            return fail (err, rc, "%s", mine.text);
    }
    if (len)
        memcpy (append->crcs + offset / DIGEST_BLOCK, crcs,
                chunk_blocks (len) * sizeof *crcs);
    append->written += len;
    return DFS_OK;
}

static void end_append (store_append_t **append_p, enum append_state state)
{
    store_append_t *append = *append_p;
    disk_t *disk = append->disk;
    *append_p = NULL;
    pthread_mutex_lock (&disk->lock);
    append->state = state;
    if (append->pending == 0)
        append_finish (append);
    else
        pthread_mutex_unlock (&disk->lock);
}

void store_seal (store_append_t **append_p)
{
    store_append_t *append = *append_p;
    assert (append->written == append->rec.stored_len || append->failed);
    if (append->volume) {
        append->rec.type = RECORD_SEAL;
        append->rec.place_volume = append->volume->number;
        append->rec.place_offset = append->offset;
    }
    end_append (append_p, APPEND_SEALED);
}

void store_abort (store_append_t **append_p)
{
    if (*append_p)
        end_append (append_p, APPEND_ABORTED);
}

static int pack_into (disk_t *disk, const store_new_t *what, const record_t *rec,
                      const void *data, const uint32_t *crcs, uint64_t cookie,
                      dfs_error_t *err)
{
    size_t len = record_head_len (rec->n_crcs) + rec->stored_len;
    int rc = reserve_lock (disk, err);
    if (rc < 0)
        return rc;
    rc = disk_room (disk, len, false, err);
    if (rc == DFS_OK)
        rc = commit_wait_room (disk, len, err);
    if (rc == DFS_OK) {
        batch_item_t *item = batch_add (&disk->fill, rec, crcs, data);
        item->answer = true;
        item->cookie = cookie;
        item->upload = what->upload;
        commit_wake (disk);
    }
    pthread_mutex_unlock (&disk->lock);
    return rc;
}

static int put_packed (store_t *self, const store_new_t *what, const void *data,
                       const uint32_t *crcs, uint64_t cookie, dfs_error_t *err)
{
    record_t rec = record_of (what);
    disk_t *order[64];
    int rc = DFS_EUNAVAIL;
    uint64_t since = clock_mono ();
    bool slow;
    do {
        slow = false;
        order_disks (self, order);
        for (size_t i = 0; rc < 0 && i < self->n; i++) {
            rc = pack_into (order[i], what, &rec, data, crcs, cookie, err);
            slow = slow || was_slow (order[i], rc);
        }
    } while (rc < 0 && another_round (self, slow, since));
    return rc;
}

int store_put (store_t *self, const store_new_t *what, const void *data,
               const uint32_t *crcs, uint64_t cookie, dfs_error_t *err)
{
    int rc = check_new (what, err);
    if (rc == DFS_OK && what->stored_len <= PACK_MAX) {
        rc = check_present (self, what, cookie, err);
        return rc < 0 ? rc : put_packed (self, what, data, crcs, cookie, err);
    }
    if (rc < 0)
        return rc;
    dfs_error_t mine = {0};
    store_append_t *append = store_begin (self, what, cookie, &mine);
    rc = append ? store_write (append, 0, data, what->stored_len, crcs, &mine)
                : mine.code;
    if (rc < 0) {
        store_abort (&append);
        return fail (err, rc, "%s", mine.text);
    }
    store_seal (&append);
    return DFS_OK;
}
