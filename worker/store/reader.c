/* SPDX-License-Identifier: MPL-2.0 */
/* Reading chunks: a chunk that is open pins its volume, so neither reclaim nor
 * compaction takes the bytes away under a reader. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "worker/store/store_private.h"

#define VERIFY_STEP     (1024 * 1024)
#define READ_AHEAD_FROM (256 * 1024)

struct store_chunk {
    disk_t *disk;
    volume_t *volume; /* held */
    entry_t entry;
    store_info_t info;
    uint32_t *crcs;      /* of a large chunk */
    uint32_t crc0;       /* of a packed one */
    store_chunk_t *next; /* in volume->open */
    store_chunk_t *late; /* in disk->unclosed */
    bool orphan;         /* its place is free when nobody reads there any more */
};

void store_fill_info (const disk_t *disk, const copykey_t *key, const entry_t *entry,
                      store_info_t *info)
{
    *info = (store_info_t){.key = *key,
                           .true_len = entry->true_len,
                           .stored_len = entry->stored_len,
                           .birth = entry->birth,
                           .verified_at = entry->verified,
                           .encoding = entry->encoding,
                           .disk = disk->number,
                           .seq = entry->seq};
}

bool disk_place_open (const volume_t *vol, uint64_t offset)
{
    for (const store_chunk_t *c = vol->open; c; c = c->next)
        if (c->entry.offset == offset)
            return true;
    return false;
}

void chunks_orphan (const volume_t *vol, uint64_t offset)
{
    for (store_chunk_t *c = vol->open; c; c = c->next)
        c->orphan = c->orphan || c->entry.offset == offset;
}

void disk_damaged (disk_t *disk, const copykey_t *key, const entry_t *entry)
{
    entry_t now;
    if (disk_find (disk, key, &now, NULL) != 1 || now.seq != entry->seq ||
        now.offset != entry->offset)
        return;
    char text[COPYKEY_TEXT];
    log_error ("chunk_damaged", "disk=%s chunk=%s volume=%08x offset=%llu", disk->dir,
               copykey_text (key, text), entry->volume,
               (unsigned long long)entry->offset);
    commit_note (disk, RECORD_DAMAGED, key, &now, now.birth, NULL, NULL);
}

static int damaged (store_chunk_t *chunk, int code, dfs_error_t *err, const char *what)
{
    pthread_mutex_lock (&chunk->disk->lock);
    disk_damaged (chunk->disk, &chunk->info.key, &chunk->entry);
    pthread_mutex_unlock (&chunk->disk->lock);
    char text[COPYKEY_TEXT];
    return fail (err, code, "chunk %s: %s", copykey_text (&chunk->info.key, text),
                 what);
}

/* The block CRCs of a large chunk stand in its seal. */
static int read_seal (store_chunk_t *chunk, dfs_error_t *err)
{
    disk_t *disk = chunk->disk;
    const entry_t *entry = &chunk->entry;
    pthread_mutex_lock (&disk->lock);
    volume_t *vol = volume_use (disk, entry->seal_volume, err);
    pthread_mutex_unlock (&disk->lock);
    if (!vol)
        return damaged (chunk, DFS_EDAMAGED, err, "the seal is missing");
    uint8_t *head = malloc (entry->head_len);
    assert (head);
    record_t rec = {0};
    int rc = io_pread (vol->fd, head, entry->head_len, entry->seal_offset, err);
    pthread_mutex_lock (&disk->lock);
    volume_done (disk, vol);
    pthread_mutex_unlock (&disk->lock);
    if (rc == 0)
        rc = record_unpack (head, entry->head_len, record_seed (disk->id), &rec);
    if (rc == 0 &&
        (copykey_cmp (&rec.key, &chunk->info.key) != 0 || rec.type != RECORD_SEAL ||
         rec.stored_len != entry->stored_len || rec.place_offset != entry->offset))
        rc = DFS_EDAMAGED;
    if (rc == 0) {
        chunk->crcs = malloc ((rec.n_crcs + 1) * sizeof *chunk->crcs);
        assert (chunk->crcs);
        for (size_t i = 0; i < rec.n_crcs; i++)
            chunk->crcs[i] = record_crc (&rec, i);
    }
    free (head);
    return rc < 0 ? damaged (chunk, DFS_EDAMAGED, err, "the seal is damaged") : DFS_OK;
}

store_chunk_t *disk_open_chunk (disk_t *disk, const copykey_t *key, int *code,
                                dfs_error_t *err)
{
    store_chunk_t *chunk = calloc (1, sizeof *chunk);
    assert (chunk);
    chunk->disk = disk;
    if (!disk_try (disk)) {
        free (chunk);
        *code = fail (err, DFS_ETIMEOUT, "disk %s does not answer", disk->dir);
        return NULL;
    }
    chunks_close_late (disk);
    int rc = disk_find (disk, key, &chunk->entry, err);
    if (rc == 1) {
        store_fill_info (disk, key, &chunk->entry, &chunk->info);
        chunk->volume = volume_use (disk, chunk->entry.volume, err);
        if (!chunk->volume) {
            disk_damaged (disk, key, &chunk->entry);
            rc = DFS_EDAMAGED;
        } else {
            chunk->next = chunk->volume->open;
            chunk->volume->open = chunk;
        }
    }
    pthread_mutex_unlock (&disk->lock);
    *code = rc == 0 ? DFS_ENOENT : rc;
    if (rc == 1)
        *code = chunk->entry.seal_volume ? read_seal (chunk, err) : DFS_OK;
    chunk->crc0 = chunk->entry.crc;
    if (*code < 0)
        store_close_chunk (&chunk);
    return chunk;
}

store_chunk_t *store_open_chunk (store_t *self, const copykey_t *key, dfs_error_t *err)
{
    int worst = DFS_ENOENT;
    dfs_error_t why = {0};
    for (size_t i = 0; i < self->n; i++) {
        int code;
        dfs_error_t mine = {0};
        if (!self->disks[i]->usable)
            continue;
        store_chunk_t *chunk = disk_open_chunk (self->disks[i], key, &code, &mine);
        if (chunk)
            return chunk;
        if (code != DFS_ENOENT && worst == DFS_ENOENT) {
            worst = code;
            why = mine;
        }
    }
    char text[COPYKEY_TEXT];
    if (worst == DFS_ENOENT)
        fail (err, worst, "no chunk %s", copykey_text (key, text));
    else
        fail (err, worst, "%s", why.text);
    return NULL;
}

static void free_chunk (store_chunk_t *chunk)
{
    free (chunk->crcs);
    free (chunk);
}

/* Locked. */
static void close_chunk (store_chunk_t *chunk)
{
    store_chunk_t **p = &chunk->volume->open;
    while (*p != chunk)
        p = &(*p)->next;
    *p = chunk->next;
    if (chunk->orphan)
        disk_let_go (chunk->disk, &chunk->info.key, &chunk->entry);
    volume_done (chunk->disk, chunk->volume);
    free_chunk (chunk);
}

void chunks_close_late (disk_t *disk)
{
    if (!atomic_load (&disk->unclosed))
        return;
    store_chunk_t *chunk = atomic_exchange (&disk->unclosed, NULL);
    while (chunk) {
        store_chunk_t *next = chunk->late;
        close_chunk (chunk);
        chunk = next;
    }
}

void store_close_chunk (store_chunk_t **chunk_p)
{
    store_chunk_t *chunk = *chunk_p;
    *chunk_p = NULL;
    if (!chunk)
        return;
    disk_t *disk = chunk->disk;
    if (!chunk->volume) {
        free_chunk (chunk);
    } else if (disk_try (disk)) {
        close_chunk (chunk);
        pthread_mutex_unlock (&disk->lock);
    } else { /* by who gets the lock next */
        chunk->late = atomic_load (&disk->unclosed);
        while (!atomic_compare_exchange_weak (&disk->unclosed, &chunk->late, chunk))
            continue;
    }
}

const uint32_t *chunk_crcs (const store_chunk_t *chunk)
{
    return chunk->crcs;
}

const store_info_t *store_chunk_info (const store_chunk_t *chunk)
{
    return &chunk->info;
}

static uint64_t data_at (const entry_t *entry)
{
    return entry->offset + (entry->seal_volume ? EXTENT_DATA : entry->head_len);
}

static int check_range (const store_chunk_t *chunk, uint64_t offset, size_t len,
                        dfs_error_t *err)
{
    uint64_t total = chunk->entry.stored_len;
    if (offset % DIGEST_BLOCK || offset > total || len > total - offset ||
        (len % DIGEST_BLOCK && offset + len != total))
        return fail (err, DFS_EINVAL, "bytes %llu+%zu of a chunk of %llu",
                     (unsigned long long)offset, len, (unsigned long long)total);
    return DFS_OK;
}

static const uint32_t *crcs_at (const store_chunk_t *chunk, uint64_t offset)
{
    return chunk->crcs ? chunk->crcs + offset / DIGEST_BLOCK : &chunk->crc0;
}

int chunk_read (store_chunk_t *chunk, uint64_t offset, void *buf, size_t len,
                uint32_t *crcs, bool check, dfs_error_t *err)
{
    uint64_t total = chunk->entry.stored_len;
    int rc = check_range (chunk, offset, len, err);
    if (rc < 0)
        return rc;
    dfs_error_t mine = {0};
    uint64_t at = data_at (&chunk->entry) + offset;
    uint64_t rest = total - offset - len;
    if (rest && len >= READ_AHEAD_FROM) /* a stream: the next piece comes meanwhile */
        posix_fadvise (chunk->volume->fd, (off_t)(at + len),
                       (off_t)(rest < len ? rest : len), POSIX_FADV_WILLNEED);
    ssize_t n = io_pread_some (chunk->volume->fd, buf, len, at, &mine);
    if (n < 0)
        return damaged (chunk, (int)n, err, mine.text);
    if ((size_t)n < len)
        return damaged (chunk, DFS_EDAMAGED, err, "the volume ends before its bytes");
    const uint32_t *stored = crcs_at (chunk, offset);
    size_t blocks = chunk_blocks (len);
    if (crcs && blocks)
        memcpy (crcs, stored, blocks * sizeof *crcs);
    for (size_t i = 0; check && i < blocks; i++) {
        size_t from = i * DIGEST_BLOCK;
        size_t part = len - from < DIGEST_BLOCK ? len - from : DIGEST_BLOCK;
        if (digest_crc32c (0, (const uint8_t *)buf + from, part) != stored[i])
            return damaged (chunk, DFS_EDAMAGED, err, "a block has a wrong CRC");
    }
    return DFS_OK;
}

int store_read (store_chunk_t *chunk, uint64_t offset, void *buf, size_t len,
                uint32_t *crcs, bool check, dfs_error_t *err)
{
    disk_t *disk = chunk->disk;
    uint64_t seq = chunk->entry.seq;
    int rc = check_range (chunk, offset, len, err);
    if (rc < 0)
        return rc;
    if (!check)
        return chunk_read (chunk, offset, buf, len, crcs, check, err);
    if (cache_get (disk->cache, disk->number, seq, offset, buf, len)) {
        if (crcs)
            memcpy (crcs, crcs_at (chunk, offset), chunk_blocks (len) * sizeof *crcs);
        return DFS_OK;
    }
    rc = chunk_read (chunk, offset, buf, len, crcs, check, err);
    if (rc == DFS_OK)
        cache_put (disk->cache, disk->number, seq, offset, buf, len);
    return rc;
}

void store_tune (store_t *self, uint64_t scrub_rate, uint64_t cache_size)
{
    __atomic_store_n (&self->config.scrub_rate, scrub_rate, __ATOMIC_RELAXED);
    cache_resize (self->cache, cache_size);
}

void store_cache_counts (store_t *self, uint64_t *hits, uint64_t *misses)
{
    cache_counts (self->cache, hits, misses);
}

static int hash_chunk (store_chunk_t *chunk, uint64_t *bytes, dfs_error_t *err)
{
    uint64_t total = chunk->entry.stored_len;
    uint64_t at = data_at (&chunk->entry);
    /* From the disk, not from what the cache remembers of it. */
    posix_fadvise (chunk->volume->fd, (off_t)at, (off_t)total, POSIX_FADV_DONTNEED);
    size_t step = total < VERIFY_STEP ? (size_t)total + 1 : VERIFY_STEP;
    uint8_t *buf = malloc (step);
    digest_t *digest = digest_new ();
    assert (buf);
    digest_start (digest);
    int rc = DFS_OK;
    for (uint64_t done = 0; rc == 0 && done < total;) {
        size_t n = total - done < VERIFY_STEP ? (size_t)(total - done) : VERIFY_STEP;
        rc = chunk_read (chunk, done, buf, n, NULL, true, err);
        digest_update (digest, buf, n);
        done += n;
        *bytes += n;
    }
    uint8_t sum[DIGEST_LEN];
    digest_finish (digest, sum);
    digest_destroy (&digest);
    free (buf);
    posix_fadvise (chunk->volume->fd, (off_t)at, (off_t)total, POSIX_FADV_DONTNEED);
    /* An encoded form or a shard has no SHA-256 of its own: its CRCs stand for it. */
    bool named = chunk->entry.encoding == 0 && chunk->info.key.part == 0;
    if (rc == 0 && named && memcmp (sum, chunk->info.key.digest, DIGEST_LEN) != 0)
        rc = damaged (chunk, DFS_EDAMAGED, err, "the bytes have another SHA-256");
    return rc;
}

int disk_verify (disk_t *disk, const copykey_t *key, uint64_t *bytes, dfs_error_t *err)
{
    int rc;
    store_chunk_t *chunk = disk_open_chunk (disk, key, &rc, err);
    if (!chunk)
        return rc;
    rc = hash_chunk (chunk, bytes, err);
    entry_t now;
    pthread_mutex_lock (&disk->lock);
    if (rc == 0 && index_get (disk->index, key, &now, NULL) == 1 &&
        now.seq == chunk->entry.seq && now.state == ENTRY_LIVE) {
        entry_t old = now;
        now.verified = clock_wall ();
        index_put (disk->index, key, &old, &now);
    }
    pthread_mutex_unlock (&disk->lock);
    store_close_chunk (&chunk);
    return rc;
}

int store_verify (store_t *self, const copykey_t *key, uint64_t *bytes,
                  dfs_error_t *err)
{
    int result = DFS_ENOENT;
    uint64_t count = 0;
    dfs_error_t why = {0};
    for (size_t i = 0; i < self->n && result != DFS_OK; i++) {
        dfs_error_t mine = {0};
        if (!self->disks[i]->usable)
            continue;
        int rc = disk_verify (self->disks[i], key, &count, &mine);
        if (rc == DFS_OK || (rc != DFS_ENOENT && result == DFS_ENOENT)) {
            result = rc;
            why = mine;
        }
    }
    if (bytes)
        *bytes = count;
    if (result == DFS_ENOENT)
        return fail (err, result, "no such chunk");
    return result < 0 ? fail (err, result, "%s", why.text) : DFS_OK;
}
