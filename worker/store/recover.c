/* SPDX-License-Identifier: MPL-2.0 */
/* After a crash: from the index's checkpoint on, every batch of the volumes is read and
 * brought into the index. A batch that a later one follows was durable before that one
 * was written: what is bad in it is damage and reported. Only the last batch may be
 * torn; then it was never acknowledged and is cut off. Without an index the same walk
 * starts at the first volume. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "common/log.h"
#include "worker/store/disk.h"
#include "worker/store/scan.h"

#define REBUILD_STEP 32768 /* index entries between two checkpoints of a rebuild */

typedef struct walk {
    disk_t *disk;
    size_t volume; /* index in disk->volumes */
    uint64_t offset;
    uint64_t expect; /* number of the next batch */
    bool lost;       /* something that was durable cannot be read */
    bool first;      /* no batch met in this volume yet */
    scan_batch_t batch;
    uint64_t n_batches;
} walk_t;

static void report (walk_t *walk, const char *what, uint32_t volume, uint64_t offset)
{
    walk->lost = true;
    log_error ("volume_damaged", "disk=%s volume=%08x offset=%llu what=%s",
               walk->disk->dir, volume, (unsigned long long)offset, what);
}

/* Next batch from the cursor on that is not older than expected: 1, 0 at the end. */
static int next_in_volume (walk_t *walk, volume_t *vol, scan_item_t *item,
                           dfs_error_t *err)
{
    disk_t *disk = walk->disk;
    while (walk->offset < vol->end) {
        int rc = scan_at (vol->fd, disk->id, vol->number, walk->offset, item, err);
        if (rc < 0)
            return rc;
        if (item->kind == SCAN_EXTENT) {
            walk->offset = item->next;
            continue;
        }
        if (item->kind == SCAN_BATCH && item->batch.number >= walk->expect)
            return 1;
        uint64_t bad = walk->offset;
        rc = scan_find_batch (vol->fd, disk->id, vol->number, bad + VOLUME_ALIGN,
                              walk->expect, item, err);
        if (rc <= 0)
            return rc;
        log_warn ("volume_gap", "disk=%s volume=%08x offset=%llu length=%llu",
                  disk->dir, vol->number, (unsigned long long)bad,
                  (unsigned long long)(item->offset - bad));
        walk->offset = item->offset;
        return 1;
    }
    return 0;
}

static int next_batch (walk_t *walk, scan_item_t *item, dfs_error_t *err)
{
    disk_t *disk = walk->disk;
    for (; walk->volume < disk->n_volumes; walk->volume++) {
        volume_t *vol = volume_use (disk, disk->volumes[walk->volume]->number, err);
        if (!vol)
            return DFS_EIO;
        int rc = next_in_volume (walk, vol, item, err);
        volume_done (disk, vol);
        if (rc < 0)
            return rc;
        if (rc == 1) {
            /* Compaction takes whole volumes away: numbers may jump between two. */
            if (item->batch.number > walk->expect && !(disk->rebuilding && walk->first))
                report (walk, "batches-missing", vol->number, walk->offset);
            walk->first = false;
            return 1;
        }
        walk->offset = VOLUME_HEAD_LEN;
        walk->first = true;
    }
    return 0;
}

/* --- one batch --- */

static int check_extent (disk_t *disk, const record_t *rec, bool bytes)
{
    volume_t *vol = volume_use (disk, rec->place_volume, NULL);
    if (!vol)
        return DFS_EDAMAGED;
    scan_item_t item;
    int rc = scan_at (vol->fd, disk->id, vol->number, rec->place_offset, &item, NULL);
    if (rc == 0 && (item.kind != SCAN_EXTENT || item.extent.state != EXTENT_RESERVED ||
                    copykey_cmp (&item.extent.key, &rec->key) != 0 ||
                    item.extent.stored_len != rec->stored_len))
        rc = DFS_EDAMAGED;
    uint8_t *block = bytes ? malloc (DIGEST_BLOCK) : NULL;
    uint64_t left = bytes ? rec->stored_len : 0;
    uint64_t at = rec->place_offset + EXTENT_DATA;
    for (size_t i = 0; rc == 0 && left; i++) {
        size_t n = left < DIGEST_BLOCK ? (size_t)left : DIGEST_BLOCK;
        rc = io_pread (vol->fd, block, n, at, NULL);
        if (rc == 0 && digest_crc32c (0, block, n) != record_crc (rec, i))
            rc = DFS_EDAMAGED;
        at += n;
        left -= n;
    }
    free (block);
    volume_done (disk, vol);
    return rc;
}

/* The last batch: sound down to the last byte that it names? */
static bool whole (walk_t *walk, const batch_head_t *head)
{
    record_t rec;
    uint64_t at;
    uint32_t n = 0;
    while (scan_record (&walk->batch, head, &rec, &at) == 1) {
        n++;
        if (record_check_payload (&rec, walk->batch.data + at + rec.head_len) < 0)
            return false;
        if (rec.type == RECORD_SEAL && check_extent (walk->disk, &rec, true) < 0)
            return false;
    }
    return n == head->count && walk->batch.lost == 0;
}

/* Makes what the last batch names durable: it may stand in the page cache only. */
static int settle (walk_t *walk, volume_t *home, const batch_head_t *head,
                   dfs_error_t *err)
{
    record_t rec;
    uint64_t at;
    walk->batch.at = BATCH_HEAD_PACKED;
    walk->batch.seen = 0;
    int rc = io_fdatasync (home->fd, err);
    uint32_t last = home->number;
    while (rc == 0 && scan_record (&walk->batch, head, &rec, &at) == 1) {
        if (rec.type != RECORD_SEAL || rec.place_volume == last)
            continue;
        volume_t *vol = volume_use (walk->disk, rec.place_volume, err);
        if (!vol)
            return DFS_EIO;
        rc = io_fdatasync (vol->fd, err);
        last = rec.place_volume;
        volume_done (walk->disk, vol);
    }
    return rc;
}

static void fold_batch (walk_t *walk, const batch_head_t *head)
{
    disk_t *disk = walk->disk;
    record_t rec;
    uint64_t at;
    walk->batch.at = BATCH_HEAD_PACKED;
    walk->batch.seen = 0;
    walk->batch.lost = 0;
    disk->folding_volume = head->volume;
    disk->folding_offset = head->offset;
    disk_let_go_replaced (disk);
    while (scan_record (&walk->batch, head, &rec, &at) == 1) {
        store_change_t change;
        uint32_t crc0 = rec.n_crcs ? record_crc (&rec, 0) : 0;
        bool freed = disk->rebuilding && rec.type == RECORD_SEAL &&
                     check_extent (disk, &rec, false) < 0;
        if (freed) /* its number counts, the copy is no more */
            rec.type = RECORD_GONE;
        bool fresh =
            disk_fold (disk, &rec, crc0, head->volume, head->offset + at, &change);
        if (fresh)
            index_add_change (disk->index, &change);
    }
    if (walk->batch.lost)
        report (walk, "records", head->volume, head->offset);
}

/* 1 applied, 0 torn, negative. */
static int apply (walk_t *walk, const batch_head_t *head, bool proven, dfs_error_t *err)
{
    disk_t *disk = walk->disk;
    volume_t *vol = volume_use (disk, head->volume, err);
    if (!vol)
        return DFS_EIO;
    int rc = scan_load (&walk->batch, vol->fd, head, err);
    bool good = rc == 0 && (proven || whole (walk, head));
    if (good && !proven)
        rc = settle (walk, vol, head, err);
    volume_done (disk, vol);
    if (rc < 0 || !good)
        return rc;
    fold_batch (walk, head);
    disk->mark_volume = head->volume;
    disk->mark_end = head->offset + volume_align (head->length);
    disk->next_batch = head->number + 1;
    disk->next_seq = head->next_seq;
    walk->n_batches++;
    if (disk->rebuilding && index_pending (disk->index) > REBUILD_STEP)
        rc = disk_checkpoint (disk, err);
    return rc < 0 ? rc : 1;
}

static int walk_all (walk_t *walk, dfs_error_t *err)
{
    scan_item_t item;
    batch_head_t last;
    bool have = false;
    int rc;
    while ((rc = next_batch (walk, &item, err)) == 1) {
        if (have && (rc = apply (walk, &last, true, err)) < 0)
            return rc;
        last = item.batch;
        have = true;
        walk->expect = last.number + 1;
        walk->offset = item.next;
    }
    if (rc == 0 && have)
        rc = apply (walk, &last, false, err);
    if (rc == 0 && have)
        log_warn ("torn_tail", "disk=%s volume=%08x offset=%llu", walk->disk->dir,
                  last.volume, (unsigned long long)last.offset);
    return rc < 0 ? rc : DFS_OK;
}

/* --- the end of the volumes --- */

static int cut (disk_t *disk, volume_t *vol, uint64_t end, dfs_error_t *err)
{
    if (!volume_use (disk, vol->number, err))
        return DFS_EIO;
    uint64_t size = 0;
    int rc = io_size (vol->fd, &size, err);
    if (rc == 0 && size > end) {
        log_warn ("tail_cut", "disk=%s volume=%08x offset=%llu length=%llu", disk->dir,
                  vol->number, (unsigned long long)end,
                  (unsigned long long)(size - end));
        /* Durable with the next batch; forgotten before that, it is done again. */
        rc = io_ftruncate (vol->fd, end, err);
    }
    struct stat st;
    if (rc == 0 && fstat (vol->fd, &st) == 0) {
        disk->used -= vol->end - vol->punched;
        uint64_t held = (uint64_t)st.st_blocks * 512;
        vol->end = end;
        vol->punched = held < end ? (end - held) & ~(uint64_t)4095 : 0;
        disk->used += vol->end - vol->punched;
    }
    volume_done (disk, vol);
    return rc;
}

/* Nothing behind the last good batch was ever acknowledged. */
static int cut_tail (disk_t *disk, dfs_error_t *err)
{
    int rc = DFS_OK;
    for (size_t i = 0; rc == 0 && i < disk->n_volumes; i++) {
        volume_t *vol = disk->volumes[i];
        if (vol->number > disk->mark_volume &&
            vol->bad) { /* its making was cut short */
            rc = volume_remove (disk, vol, err);
            i--;
            continue;
        }
        if (vol->number == disk->mark_volume)
            rc = cut (disk, vol, disk->mark_end, err);
        else if (vol->number > disk->mark_volume)
            rc = cut (disk, vol, VOLUME_HEAD_LEN, err);
        disk->active = vol;
    }
    return rc;
}

/* --- starting points --- */

static int load_stats (disk_t *disk, bool *short_volume, dfs_error_t *err)
{
    size_t n;
    volume_stat_t *stats = index_volumes (disk->index, &n, err);
    if (!stats)
        return DFS_EIO;
    for (size_t i = 0; i < n; i++) {
        volume_t *vol = volume_find (disk, stats[i].number);
        if (vol) {
            vol->live_bytes = stats[i].live_bytes;
            vol->live_count = stats[i].live_count;
        }
        if (stats[i].live_count && (!vol || vol->end < stats[i].end)) {
            *short_volume = true;
            log_error ("volume_missing", "disk=%s volume=%08x what=%s", disk->dir,
                       stats[i].number, vol ? "cut-short" : "file");
        }
    }
    free (stats);
    return DFS_OK;
}

static int start_over (disk_t *disk, dfs_error_t *err)
{
    char path[512];
    snprintf (path, sizeof path, "%s/index", disk->dir);
    index_close (&disk->index);
    int rc = index_wipe (path, err);
    if (rc < 0)
        return rc;
    spare_give (disk); /* there may be none for another one */
    disk->index = index_open (path, disk->id, err);
    disk->rebuilding = true;
    return disk->index ? DFS_OK : DFS_EIO;
}

/* Does the index know more than the volumes hold? Then it is not theirs. */
static bool ahead (disk_t *disk, const position_t *pos)
{
    if (pos->volume == 0)
        return false;
    volume_t *vol = volume_find (disk, pos->volume);
    return !vol || vol->end < pos->offset;
}

static int drop_ghosts (disk_t *disk, dfs_error_t *err)
{
    enum { PAGE = 256 };
    copykey_t *keys = malloc (PAGE * sizeof *keys);
    entry_t *entries = malloc (PAGE * sizeof *entries);
    assert (keys && entries);
    copykey_t after;
    int n;
    bool more = false;
    while ((n = index_walk (disk->index, more ? &after : NULL, keys, entries, PAGE,
                            err)) > 0) {
        for (int i = 0; i < n; i++)
            if (entries[i].state == ENTRY_GHOST)
                disk_forget (disk, &keys[i], &entries[i]);
        after = keys[n - 1];
        more = true;
    }
    free (keys);
    free (entries);
    return n;
}

/* A rebuilt index cannot know what is missing: a new incarnation makes brokers ask for
 * an inventory. */
static int finish (walk_t *walk, bool rebuilt, dfs_error_t *err)
{
    disk_t *disk = walk->disk;
    int rc = DFS_OK;
    if (walk->lost || rebuilt)
        rc = disk_renew (disk, err);
    if (rc == 0 && rebuilt) {
        rc = disk_checkpoint (disk, err); /* entries are in LMDB, not yet complete */
        if (rc == 0)
            rc = drop_ghosts (disk, err);
    }
    disk->rebuilding = false;
    disk->durable = (position_t){.volume = disk->mark_volume,
                                 .offset = disk->mark_end,
                                 .batch = disk->next_batch,
                                 .next_seq = disk->next_seq};
    if (rc == 0)
        rc = disk_checkpoint (disk, err);
    if (rc == DFS_ENOSPC && !rebuilt)
        rc = DFS_OK; /* it stays in memory until there is room */
    if (rc == 0 && rebuilt)
        rc = index_close_gaps (disk->index, err);
    else if (rc == 0 && walk->lost)
        index_trim (disk->index, disk->next_seq - 1);
    return rc;
}

int disk_recover (disk_t *disk, dfs_error_t *err)
{
    position_t pos = index_position (disk->index);
    bool fresh = pos.batch == 0 && disk->n_volumes == 0;
    int rc = DFS_OK;
    if ((pos.batch == 0 && !fresh) || ahead (disk, &pos)) {
        log_warn ("index_rebuild", "disk=%s why=%s", disk->dir,
                  pos.batch ? "ahead-of-volumes" : "absent-or-incomplete");
        if (pos.batch)
            snprintf (disk->trouble, sizeof disk->trouble,
                      "the newest volume was gone at the start, or cut");
        rc = start_over (disk, err);
        pos = (position_t){.next_seq = 1};
    }
    bool rebuilt = disk->rebuilding;
    if (rc == 0 && !rebuilt)
        rc = load_stats (disk, &disk->missing, err);
    if (rc < 0)
        return rc;
    walk_t walk = {.disk = disk, .offset = VOLUME_HEAD_LEN, .first = true};
    disk->next_batch = walk.expect = pos.batch ? pos.batch : 1;
    disk->next_seq = pos.next_seq;
    disk->mark_volume = pos.volume;
    disk->mark_end = pos.offset;
    if (pos.volume) {
        while (disk->volumes[walk.volume]->number != pos.volume)
            walk.volume++;
        walk.offset = pos.offset;
        walk.first = false;
    }
    rc = walk_all (&walk, err);
    scan_free (&walk.batch);
    if (rc == 0)
        rc = cut_tail (disk, err);
    if (rc == 0)
        rc = finish (&walk, rebuilt, err);
    if (rc == 0 && walk.n_batches)
        log_info ("store_recovered", "disk=%s batches=%llu chunks=%llu", disk->dir,
                  (unsigned long long)walk.n_batches,
                  (unsigned long long)index_chunks (disk->index));
    return rc;
}

/* --- entries without bytes --- */

static bool has_bytes (const disk_t *disk, const entry_t *entry)
{
    const volume_t *vol = volume_find (disk, entry->volume);
    if (!vol || entry->offset + entry_bytes (entry) > vol->end)
        return false;
    if (!entry->seal_volume)
        return true;
    vol = volume_find (disk, entry->seal_volume);
    return vol && entry->seal_offset + entry->head_len <= vol->end;
}

int disk_report_missing (disk_t *disk, dfs_error_t *err)
{
    enum { PAGE = 256 };
    if (!disk->missing)
        return DFS_OK;
    copykey_t *keys = malloc (PAGE * sizeof *keys);
    entry_t *entries = malloc (PAGE * sizeof *entries);
    assert (keys && entries);
    copykey_t after;
    int n;
    uint64_t lost = 0;
    bool more = false;
    pthread_mutex_lock (&disk->lock);
    while ((n = index_walk (disk->index, more ? &after : NULL, keys, entries, PAGE,
                            err)) > 0) {
        int rc = DFS_OK;
        after = keys[n - 1];
        more = true;
        for (int i = 0; rc == 0 && i < n; i++)
            if (entries[i].state == ENTRY_LIVE && !has_bytes (disk, &entries[i])) {
                rc = commit_note (disk, RECORD_GONE, &keys[i], &entries[i],
                                  entries[i].birth, NULL, err);
                lost++;
            }
        if (rc < 0)
            n = rc;
        if (rc < 0)
            break;
    }
    if (lost)
        snprintf (disk->trouble, sizeof disk->trouble,
                  "%llu chunks were gone at the start: a volume is missing, or was cut",
                  (unsigned long long)lost);
    pthread_mutex_unlock (&disk->lock);
    free (keys);
    free (entries);
    if (lost)
        log_error ("chunks_missing", "disk=%s count=%llu", disk->dir,
                   (unsigned long long)lost);
    return n;
}
