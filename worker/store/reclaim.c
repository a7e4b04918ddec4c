/* SPDX-License-Identifier: MPL-2.0 */
/* The second step of a deletion: copies whose time in quarantine is over leave the
 * index and give their space back, large ones by a hole at once, small ones when their
 * volume is compacted. No record says so: a freed extent is marked in its own header,
 * and what a rebuild of the index finds again is still in quarantine by its `gone`
 * record. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/store/scan.h"
#include "worker/store/store_private.h"

#define PAGE 64

static void extent_of (const disk_t *disk, const copykey_t *key, const entry_t *entry,
                       extent_head_t *head)
{
    *head = (extent_head_t){.volume = entry->volume,
                            .offset = entry->offset,
                            .length = extent_length (entry->stored_len),
                            .key = *key,
                            .stored_len = entry->stored_len,
                            .true_len = entry->true_len,
                            .birth = entry->birth};
    memcpy (head->disk_id, disk->id, 16);
}

void disk_let_go (disk_t *disk, const copykey_t *key, const entry_t *entry)
{
    volume_t *vol = entry->seal_volume ? volume_find (disk, entry->volume) : NULL;
    if (vol && disk_place_open (vol, entry->offset)) {
        chunks_orphan (vol, entry->offset);
        return;
    }
    if (!vol || !volume_use (disk, vol->number, NULL))
        return;
    /* After a crash this may have been done before. */
    scan_item_t item;
    extent_head_t head;
    if (scan_at (vol->fd, disk->id, vol->number, entry->offset, &item, NULL) == 0 &&
        item.kind == SCAN_EXTENT && item.extent.state == EXTENT_RESERVED &&
        copykey_cmp (&item.extent.key, key) == 0) {
        extent_of (disk, key, entry, &head);
        volume_free_extent (disk, vol, &head);
    }
    volume_done (disk, vol);
}

void disk_let_go_replaced (disk_t *disk)
{
    for (size_t i = 0; i < disk->n_replaced; i++)
        disk_let_go (disk, &disk->replaced[i].key, &disk->replaced[i].entry);
    free (disk->replaced);
    disk->replaced = NULL;
    disk->n_replaced = 0;
}

/* False when a reader has it open, or it is on its way back. Locked. */
static bool free_copy (disk_t *disk, const copykey_t *key, const entry_t *entry)
{
    volume_t *vol = volume_find (disk, entry->volume);
    if (table_get (disk->renewing, key))
        return false;
    if (vol && disk_place_open (vol, entry->offset))
        return false;
    if (vol && entry->seal_volume && volume_use (disk, entry->volume, NULL)) {
        extent_head_t head;
        extent_of (disk, key, entry, &head);
        volume_free_extent (disk, vol, &head);
        volume_done (disk, vol);
    }
    disk_forget (disk, key, entry);
    return true;
}

static int64_t reclaim (disk_t *disk, uint64_t before, uint64_t enough,
                        dfs_error_t *err)
{
    copykey_t keys[PAGE];
    entry_t *entries = malloc (PAGE * sizeof *entries);
    assert (entries);
    int64_t total = 0;
    uint64_t bytes = 0;
    int n = PAGE;
    while (n == PAGE && bytes < enough) {
        int64_t freed = 0;
        pthread_mutex_lock (&disk->lock);
        n = disk_writable (disk, err);
        if (n == 0)
            n = index_expired (disk->index, before, keys, entries, PAGE, err);
        for (int i = 0; i < n && bytes < enough; i++)
            if (free_copy (disk, &keys[i], &entries[i])) {
                freed++;
                bytes += entry_bytes (&entries[i]);
            }
        pthread_mutex_unlock (&disk->lock);
        total += freed;
        if (freed == 0)
            break;
        int rc = n == PAGE ? disk_checkpoint (disk, err) : DFS_OK;
        if (rc < 0)
            n = rc;
    }
    free (entries);
    if (total)
        log_info ("space_reclaimed", "disk=%s chunks=%lld", disk->dir,
                  (long long)total);
    return n < 0 ? n : total;
}

int64_t disk_reclaim (disk_t *disk, uint64_t before, uint64_t enough, dfs_error_t *err)
{
    pthread_mutex_lock (&disk->tending);
    int64_t n = reclaim (disk, before, enough, err);
    pthread_mutex_unlock (&disk->tending);
    return n;
}

int store_reclaim (store_t *self, uint64_t before, dfs_error_t *err)
{
    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = self->disks[i];
        if (!disk->usable)
            continue;
        commit_drain (disk);
        int rc = disk_checkpoint (disk, err);
        if (rc < 0)
            return rc;
        int64_t n = disk_reclaim (disk, before, UINT64_MAX, err);
        if (n < 0)
            return (int)n;
    }
    return DFS_OK;
}

int store_restore (store_t *self, const copykey_t *key, dfs_error_t *err)
{
    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = self->disks[i];
        entry_t entry;
        if (!disk->usable)
            continue;
        pthread_mutex_lock (&disk->lock);
        int rc = index_get (disk->index, key, &entry, err);
        bool found = rc == 1 && entry.state == ENTRY_DROPPED;
        if (found)
            rc = commit_note (disk, RECORD_BACK, key, &entry, entry.birth, NULL, err);
        pthread_mutex_unlock (&disk->lock);
        if (found)
            return rc;
    }
    return fail (err, DFS_ENOENT, "no such chunk in quarantine");
}
