/* SPDX-License-Identifier: MPL-2.0 */
/* Compaction: the live copies of a sparse volume are written again like new ones, into
 * the active volume, with their old change numbers; a large one's old place is freed as
 * soon as the new one is durable, so one chunk of free space is enough. A volume that
 * nothing in the index names is removed after a checkpoint. At each instant either the
 * old or the new place is durable and the newest batch decides. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/store/scan.h"
#include "worker/store/store_private.h"

#define COPY_STEP (1024 * 1024)
#define GATHER    (256 * 1024)
#define ROLL_MIN  (1024 * 1024) /* dead bytes for which the active volume is left */

static record_t record_of (const copykey_t *key, const entry_t *entry)
{
    record_t rec = {.type = RECORD_CHUNK,
                    .bits = RECORD_MOVED,
                    .encoding = entry->encoding,
                    .flags = entry->flags,
                    .key = *key,
                    .stored_len = entry->stored_len,
                    .true_len = entry->true_len,
                    .birth = entry->birth,
                    .seq = entry->seq,
                    .time = entry->verified,
                    .n_crcs = (uint32_t)chunk_blocks (entry->stored_len)};
    return rec;
}

/* --- choosing --- */

static uint64_t held_bytes (const volume_t *vol)
{
    return vol->end > vol->punched ? vol->end - vol->punched : 0;
}

static bool worth_it (const disk_t *disk, const volume_t *vol, unsigned live_percent,
                      uint32_t below)
{
    if (vol == disk->active || vol->inflight || vol->bad || vol->stuck ||
        vol->number >= disk->durable.volume || vol->number >= below)
        return false;
    if (vol->cursor || vol->live_count == 0)
        return true;
    return vol->live_bytes * 100 < held_bytes (vol) * live_percent;
}

/* The active volume is not compacted; when enough of it is dead, another one takes its
 * turn. Notes about copies elsewhere do not count as dead once they have been moved: a
 * volume full of them would follow the other for ever. */
static void leave_sparse (disk_t *disk, unsigned live_percent)
{
    pthread_mutex_lock (&disk->lock);
    const volume_t *vol = disk->active;
    uint64_t held = vol ? held_bytes (vol) : 0;
    uint64_t wanted = vol ? vol->live_bytes + vol->carried : 0;
    bool roll = vol && vol->inflight == 0 && !vol->bad && held >= wanted + ROLL_MIN &&
                wanted * 100 < held * live_percent && disk_writable (disk, NULL) == 0;
    dfs_error_t err = {0};
    int rc = roll ? volume_roll (disk, &err) : DFS_OK;
    roll = roll && rc == DFS_OK;
    if (roll)
        commit_push (disk);
    else if (rc < 0 && rc != DFS_ENOSPC) /* a full disk waits for holes */
        disk_fail (disk, rc, err.text);
    pthread_mutex_unlock (&disk->lock);
    if (roll)
        commit_drain (disk);
}

/* One that is begun goes on; else the one with the least to move. Held. */
static volume_t *choose (disk_t *disk, unsigned live_percent, uint32_t below)
{
    volume_t *best = NULL;
    for (size_t i = 0; i < disk->n_volumes; i++) {
        volume_t *vol = disk->volumes[i];
        if (!worth_it (disk, vol, live_percent, below))
            continue;
        if (!best || (vol->cursor && !best->cursor) ||
            (!best->cursor && vol->live_bytes < best->live_bytes))
            best = vol;
    }
    return best ? volume_use (disk, best->number, NULL) : NULL;
}

/* --- moving --- */

static int add (disk_t *disk, const record_t *rec, const uint32_t *crcs,
                const void *payload, volume_t *vol, dfs_error_t *err)
{
    int rc = commit_wait_room (
        disk, record_head_len (rec->n_crcs) + record_payload (rec), err);
    if (rc < 0)
        return rc;
    batch_add (&disk->fill, rec, crcs, payload)->volume = vol;
    /* Nobody waits for each of them: a batch is padded, many small ones are mostly
     * that.
     */
    if (disk->fill.len > GATHER)
        commit_wake (disk);
    return DFS_OK;
}

static int copy_bytes (disk_t *disk, store_chunk_t *chunk, volume_t *to,
                       uint64_t offset, uint64_t total, dfs_error_t *err)
{
    uint8_t *buf = malloc (COPY_STEP);
    assert (buf);
    int rc = DFS_OK;
    for (uint64_t at = 0; rc == 0 && at < total;) {
        size_t n = total - at < COPY_STEP ? (size_t)(total - at) : COPY_STEP;
        rc = chunk_read (chunk, at, buf, n, NULL, true, err);
        if (rc == 0)
            rc = volume_write_data (disk, to, offset + EXTENT_DATA + at, buf, n, err);
        at += n;
    }
    free (buf);
    return rc;
}

static void extent_of (const disk_t *disk, const record_t *rec, uint32_t volume,
                       uint64_t offset, extent_head_t *head)
{
    *head = (extent_head_t){.volume = volume,
                            .offset = offset,
                            .length = extent_length (rec->stored_len),
                            .key = rec->key,
                            .stored_len = rec->stored_len,
                            .true_len = rec->true_len,
                            .birth = rec->birth};
    memcpy (head->disk_id, disk->id, 16);
}

/* A damaged copy is reported by the read and stays where it is. */
static int move_extent (disk_t *disk, const copykey_t *key, const entry_t *entry,
                        dfs_error_t *err)
{
    int code;
    store_chunk_t *chunk = disk_open_chunk (disk, key, &code, err);
    if (!chunk)
        return code == DFS_EDAMAGED || code == DFS_ENOENT ? DFS_OK : code;
    record_t rec = record_of (key, entry);
    volume_t *to = NULL;
    uint64_t offset = 0;
    uint64_t promised = 0;
    pthread_mutex_lock (&disk->lock);
    int rc = disk_room (disk, extent_length (rec.stored_len), true, err);
    if (rc == 0)
        rc = volume_reserve (disk, &rec, &to, &offset, &promised, err);
    pthread_mutex_unlock (&disk->lock);
    if (rc == 0)
        rc = copy_bytes (disk, chunk, to, offset, rec.stored_len, err);
    pthread_mutex_lock (&disk->lock);
    if (to)
        disk->promised -= promised;
    if (rc == 0) {
        rec.type = RECORD_SEAL;
        rec.place_volume = to->number;
        rec.place_offset = offset;
        rc = add (disk, &rec, chunk_crcs (chunk), NULL, to, err);
    }
    if (rc < 0 && to) {
        extent_head_t head;
        extent_of (disk, &rec, to->number, offset, &head);
        volume_free_extent (disk, to, &head);
        to->inflight--;
        volume_done (disk, to);
    }
    pthread_mutex_unlock (&disk->lock);
    store_close_chunk (&chunk);
    if (rc == DFS_EDAMAGED)
        return DFS_OK;
    if (rc < 0)
        return rc;
    commit_drain (disk);
    /* Moved for certain? Then the old bytes may go. */
    entry_t now;
    pthread_mutex_lock (&disk->lock);
    volume_t *from = volume_find (disk, entry->volume);
    if (from && index_get (disk->index, key, &now, NULL) == 1 &&
        now.seq == entry->seq &&
        (now.volume != entry->volume || now.offset != entry->offset))
        disk_let_go (disk, key, entry);
    pthread_mutex_unlock (&disk->lock);
    return DFS_OK;
}

/* A seal whose extent stands in another volume is written again. */
static int move_seal (disk_t *disk, const record_t *rec, const entry_t *entry,
                      dfs_error_t *err)
{
    record_t fresh = record_of (&rec->key, entry);
    fresh.type = RECORD_SEAL;
    fresh.place_volume = entry->volume;
    fresh.place_offset = entry->offset;
    uint32_t *crcs = malloc ((rec->n_crcs + 1) * sizeof *crcs);
    assert (crcs);
    for (size_t i = 0; i < rec->n_crcs; i++)
        crcs[i] = record_crc (rec, i);
    pthread_mutex_lock (&disk->lock);
    int rc = add (disk, &fresh, crcs, NULL, NULL, err);
    pthread_mutex_unlock (&disk->lock);
    free (crcs);
    return rc;
}

static int move_packed (disk_t *disk, const record_t *rec, const entry_t *entry,
                        const uint8_t *payload, dfs_error_t *err)
{
    record_t fresh = record_of (&rec->key, entry);
    uint32_t crc = rec->n_crcs ? record_crc (rec, 0) : 0;
    bool good = record_check_payload (rec, payload) == DFS_OK;
    pthread_mutex_lock (&disk->lock);
    int rc = good ? disk_room (disk, rec->head_len + rec->stored_len, true, err) : 0;
    if (rc == 0 && good)
        rc = add (disk, &fresh, &crc, payload, NULL, err);
    else if (!good)
        disk_damaged (disk, &rec->key, entry);
    pthread_mutex_unlock (&disk->lock);
    return rc;
}

/* A note about a copy in a volume that stays is kept with its number. */
static int keep_note (disk_t *disk, const volume_t *vol, const record_t *rec,
                      const entry_t *entry, dfs_error_t *err)
{
    if (rec->place_volume == vol->number || !volume_find (disk, rec->place_volume))
        return DFS_OK;
    if (rec->type == RECORD_RENEWED && (!entry || entry->birth != rec->birth))
        return DFS_OK;
    if (entry && entry->seq > rec->seq)
        return DFS_OK; /* stored anew since */
    record_t fresh = *rec;
    fresh.bits |= RECORD_MOVED;
    return add (disk, &fresh, NULL, NULL, NULL, err);
}

static int move_record (disk_t *disk, volume_t *vol, const batch_head_t *head,
                        const record_t *rec, uint64_t at, const uint8_t *payload,
                        uint64_t *moved, dfs_error_t *err)
{
    entry_t entry;
    uint64_t here = head->offset + at;
    pthread_mutex_lock (&disk->lock);
    int have = index_get (disk->index, &rec->key, &entry, err);
    int rc = have < 0 ? have : DFS_OK;
    bool live = have == 1 && entry.state == ENTRY_LIVE;
    if (rc == 0 && rec->type != RECORD_CHUNK && rec->type != RECORD_SEAL)
        rc = keep_note (disk, vol, rec, have == 1 ? &entry : NULL, err);
    pthread_mutex_unlock (&disk->lock);
    if (rc < 0 || !live)
        return rc;
    if (rec->type == RECORD_CHUNK && entry.volume == vol->number &&
        entry.offset == here && entry.seal_volume == 0) {
        *moved += rec->head_len + rec->stored_len;
        return move_packed (disk, rec, &entry, payload, err);
    }
    if (rec->type == RECORD_SEAL && entry.seal_volume == vol->number &&
        entry.seal_offset == here && entry.volume != vol->number) {
        *moved += rec->head_len;
        return move_seal (disk, rec, &entry, err);
    }
    return DFS_OK;
}

static int move_batch (disk_t *disk, volume_t *vol, const batch_head_t *head,
                       scan_batch_t *batch, uint64_t *moved, dfs_error_t *err)
{
    int rc = scan_load (batch, vol->fd, head, err);
    record_t rec;
    uint64_t at;
    while (rc == 0 && scan_record (batch, head, &rec, &at) == 1)
        rc = move_record (disk, vol, head, &rec, at, batch->data + at + rec.head_len,
                          moved, err);
    if (rc == 0 && batch->lost)
        vol->bad = true;
    return rc;
}

/* --- one volume --- */

static int walk (disk_t *disk, volume_t *vol, uint64_t budget, dfs_error_t *err)
{
    scan_batch_t batch = {0};
    uint64_t moved = 0;
    int rc = DFS_OK;
    if (vol->cursor == 0)
        vol->cursor = VOLUME_HEAD_LEN;
    while (rc == 0 && vol->cursor < vol->end && moved < budget) {
        scan_item_t item;
        rc = scan_at (vol->fd, disk->id, vol->number, vol->cursor, &item, err);
        if (rc == 0 && item.kind == SCAN_BATCH)
            rc = move_batch (disk, vol, &item.batch, &batch, &moved, err);
        entry_t entry;
        bool live = false;
        if (rc == 0 && item.kind == SCAN_EXTENT) {
            pthread_mutex_lock (&disk->lock);
            live = index_get (disk->index, &item.extent.key, &entry, NULL) == 1 &&
                   entry.state == ENTRY_LIVE && entry.volume == vol->number &&
                   entry.offset == item.offset && entry.seal_volume;
            pthread_mutex_unlock (&disk->lock);
        }
        if (live) {
            rc = move_extent (disk, &item.extent.key, &entry, err);
            moved += item.extent.length;
        }
        if (rc == 0)
            vol->cursor = item.next;
    }
    scan_free (&batch);
    commit_drain (disk);
    return rc;
}

/* Nothing names it any more, and what does instead is in LMDB. */
static int remove_empty (disk_t *disk, volume_t *vol, dfs_error_t *err)
{
    int rc = disk_checkpoint (disk, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock (&disk->lock);
    uint32_t number = vol->number;
    bool idle = vol->refs == 0 && vol->inflight == 0;
    if (idle && vol->live_count == 0 && index_position (disk->index).volume > number) {
        rc = volume_remove (disk, vol, err);
        if (rc == 0)
            log_info ("volume_removed", "disk=%s volume=%08x", disk->dir, number);
    } else if (idle) {
        vol->stuck = true; /* until what is in quarantine here is freed */
        vol->cursor = 0;
    }
    pthread_mutex_unlock (&disk->lock);
    return rc;
}

static int compact (disk_t *disk, uint64_t budget, unsigned live_percent,
                    uint32_t below, dfs_error_t *err)
{
    if (below == UINT32_MAX)
        leave_sparse (disk, live_percent);
    pthread_mutex_lock (&disk->lock);
    int rc = disk_writable (disk, err);
    volume_t *vol = rc == 0 ? choose (disk, live_percent, below) : NULL;
    pthread_mutex_unlock (&disk->lock);
    if (!vol)
        return rc;
    rc = walk (disk, vol, budget, err);
    pthread_mutex_lock (&disk->lock);
    bool through = vol->cursor >= vol->end;
    volume_done (disk, vol);
    pthread_mutex_unlock (&disk->lock);
    if (rc == 0 && through)
        rc = remove_empty (disk, vol, err);
    return rc < 0 ? rc : 1;
}

int disk_compact (disk_t *disk, uint64_t budget, unsigned live_percent, uint32_t below,
                  dfs_error_t *err)
{
    pthread_mutex_lock (&disk->tending);
    int rc = compact (disk, budget, live_percent, below, err);
    pthread_mutex_unlock (&disk->tending);
    return rc;
}

int store_compact (store_t *self, unsigned live_percent, dfs_error_t *err)
{
    for (size_t i = 0; i < self->n; i++) {
        if (!self->disks[i]->usable)
            continue;
        leave_sparse (self->disks[i], live_percent);
        /* What this itself writes is not compacted again. */
        pthread_mutex_lock (&self->disks[i]->lock);
        uint32_t below = self->disks[i]->durable.volume;
        pthread_mutex_unlock (&self->disks[i]->lock);
        int rc;
        while ((rc = disk_compact (self->disks[i], UINT64_MAX, live_percent, below,
                                   err)) == 1)
            continue;
        if (rc < 0)
            return rc;
    }
    return DFS_OK;
}
