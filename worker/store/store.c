/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "msgs/node.h"
#include "worker/store/store_private.h"

#define DISKS_MAX 64
#define PAGE      256

store_t *store_open (const store_config_t *config, dfs_error_t *err)
{
    if (config->n_dirs == 0 || config->n_dirs > DISKS_MAX) {
        fail (err, DFS_ECONFIG, "%zu data directories: 1 to %d are possible",
              config->n_dirs, DISKS_MAX);
        return NULL;
    }
    store_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = *config;
    self->cache = cache_new (config->cache_size);
    self->n = config->n_dirs;
    self->disks = calloc (self->n, sizeof (disk_t *));
    assert (self->disks);
    size_t usable = 0;
    for (size_t i = 0; i < self->n; i++) {
        self->disks[i] = disk_open (&self->config, (uint32_t)i, self->cache);
        usable += self->disks[i]->usable;
    }
    if (usable == 0) {
        fail (err, self->disks[0]->trouble_code, "%s", self->disks[0]->trouble);
        store_close (&self);
    }
    return self;
}

void store_close (store_t **self_p)
{
    store_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->n; i++)
        disk_close (&self->disks[i]);
    free (self->disks);
    cache_destroy (&self->cache);
    free (self);
    *self_p = NULL;
}

int store_locate (store_t *self, const copykey_t *key, disk_t **disk, entry_t *entry,
                  dfs_error_t *err)
{
    int worst = 0;
    for (size_t i = 0; i < self->n; i++) {
        *disk = self->disks[i];
        if (!(*disk)->usable)
            continue;
        dfs_error_t mine = {0};
        bool held = disk_try (*disk);
        int rc =
            held ? disk_find (*disk, key, entry, &mine)
                 : fail (&mine, DFS_ETIMEOUT, "disk %s does not answer", (*disk)->dir);
        if (held)
            pthread_mutex_unlock (&(*disk)->lock);
        if (rc == 1)
            return 1;
        if (rc < 0 && rc != DFS_EDAMAGED && worst == 0)
            worst = fail (err, rc, "%s", mine.text);
    }
    return worst;
}

int store_find (store_t *self, const copykey_t *key, store_info_t *info,
                dfs_error_t *err)
{
    disk_t *disk;
    entry_t entry;
    int rc = store_locate (self, key, &disk, &entry, err);
    if (rc == 1)
        store_fill_info (disk, key, &entry, info);
    return rc;
}

int store_drop (store_t *self, const copykey_t *key, uint64_t birth_limit,
                dfs_error_t *err)
{
    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = self->disks[i];
        entry_t entry;
        int result;
        if (!disk->usable)
            continue;
        pthread_mutex_lock (&disk->lock);
        bool found = disk_find (disk, key, &entry, NULL) == 1;
        const entry_t *newer = found ? table_get (disk->renewing, key) : NULL;
        if (newer && newer->birth > entry.birth)
            entry.birth = newer->birth;
        if (found && entry.birth >= birth_limit)
            result = fail (err, DFS_ECONFLICT, "the copy is younger than the order");
        else if (found)
            result =
                commit_note (disk, RECORD_GONE, key, &entry, entry.birth, NULL, err);
        pthread_mutex_unlock (&disk->lock);
        if (found)
            return result;
    }
    return fail (err, DFS_ENOENT, "no such chunk");
}

static disk_t *disk_at (store_t *self, uint32_t disk, dfs_error_t *err)
{
    if (disk < self->n && self->disks[disk]->usable)
        return self->disks[disk];
    fail (err, DFS_ENOENT, "no usable disk %u", disk);
    return NULL;
}

int store_changes (store_t *self, uint32_t number, uint64_t first, store_change_t *out,
                   size_t max, dfs_error_t *err)
{
    disk_t *disk = disk_at (self, number, err);
    if (!disk)
        return DFS_ENOENT;
    pthread_mutex_lock (&disk->lock);
    int rc = index_changes (disk->index, first, out, max, err);
    pthread_mutex_unlock (&disk->lock);
    return rc;
}

void store_trim_changes (store_t *self, uint32_t number, uint64_t seq)
{
    disk_t *disk = disk_at (self, number, NULL);
    if (!disk)
        return;
    pthread_mutex_lock (&disk->lock);
    index_trim (disk->index, seq);
    pthread_mutex_unlock (&disk->lock);
}

int store_inventory (store_t *self, uint32_t number, const copykey_t *after,
                     store_info_t *out, size_t max, uint64_t *seq, dfs_error_t *err)
{
    disk_t *disk = disk_at (self, number, err);
    if (!disk)
        return DFS_ENOENT;
    /* From the checkpoint on, every later difference is a change with a higher number.
     */
    int rc = after ? DFS_OK : disk_checkpoint (disk, err);
    if (rc < 0)
        return rc;
    copykey_t *keys = malloc (PAGE * sizeof *keys);
    entry_t *entries = malloc (PAGE * sizeof *entries);
    assert (keys && entries);
    copykey_t cursor;
    if (after)
        cursor = *after;
    size_t n = 0;
    int got = 1;
    while (got > 0 && n < max) {
        size_t want = max - n < PAGE ? max - n : PAGE;
        pthread_mutex_lock (&disk->lock);
        if (!after && seq)
            *seq = index_position (disk->index).next_seq - 1;
        got =
            index_walk (disk->index, after ? &cursor : NULL, keys, entries, want, err);
        pthread_mutex_unlock (&disk->lock);
        for (int i = 0; i < got; i++)
            if (entries[i].state == ENTRY_LIVE)
                store_fill_info (disk, &keys[i], &entries[i], &out[n++]);
        if (got > 0)
            cursor = keys[got - 1];
        after = &cursor;
    }
    free (keys);
    free (entries);
    return got < 0 ? got : (int)n;
}

/* Locked. */
static void describe (disk_t *disk, store_disk_t *out)
{
    if (disk->usable)
        disk_check_index (disk);
    *out = (store_disk_t){.usable = disk->usable, .condition = disk->condition};
    memcpy (out->dir, disk->dir, sizeof out->dir);
    memcpy (out->trouble, disk->trouble, sizeof out->trouble);
    memcpy (out->id, disk->id, sizeof out->id);
    out->incarnation = disk->incarnation;
    if (disk->usable) {
        out->first_seq = index_first_seq (disk->index);
        out->last_seq = disk->durable.next_seq - 1;
        out->capacity = disk_capacity (disk);
        out->used = disk->used;
        out->chunks = index_chunks (disk->index);
        out->condition = disk->condition;
        if (disk->condition == CONDITION_OK && disk_full (disk))
            out->condition = CONDITION_FULL;
    }
}

bool store_give_up (store_t *self)
{
    disk_t *failed = NULL;
    bool other = false;
    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = self->disks[i];
        if (!disk->usable)
            continue;
        bool held = disk_try (disk); /* one that hangs may recover */
        bool fails = held && disk->condition == CONDITION_FAILING;
        if (held)
            pthread_mutex_unlock (&disk->lock);
        if (fails)
            failed = disk;
        else
            other = true;
    }
    if (!failed || !other)
        return false;
    log_error ("disk_given_up", "disk=%s", failed->dir);
    failed->usable = false;
    return true;
}

size_t store_disks (store_t *self, store_disk_t *out, size_t max)
{
    size_t n = self->n < max ? self->n : max;
    for (size_t i = 0; i < n; i++) {
        disk_t *disk = self->disks[i];
        pthread_mutex_lock (&disk->saying);
        if (disk_try (disk)) {
            chunks_close_late (disk);
            describe (disk, &disk->said);
            pthread_mutex_unlock (&disk->lock);
        }
        out[i] = disk->said;
        pthread_mutex_unlock (&disk->saying);
        disk_tell_slow (disk, &out[i]);
    }
    return n;
}
