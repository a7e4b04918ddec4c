/* SPDX-License-Identifier: MPL-2.0 */
/* Scrub: every copy is hashed again from time to time, in key order, a bounded number
 * of bytes per step; the index remembers when each was last found good. */
#include <assert.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "worker/store/store_private.h"

#define PAGE 64

static int next_page (disk_t *disk, copykey_t *keys, entry_t *entries, dfs_error_t *err)
{
    pthread_mutex_lock (&disk->lock);
    int n = index_walk (disk->index, disk->scrub_resumes ? &disk->scrub_after : NULL,
                        keys, entries, PAGE, err);
    pthread_mutex_unlock (&disk->lock);
    return n;
}

static void count (disk_t *disk, uint64_t bytes, bool damaged)
{
    pthread_mutex_lock (&disk->lock);
    disk->scrub.chunks++;
    disk->scrub.bytes += bytes;
    disk->scrub.damaged += damaged;
    pthread_mutex_unlock (&disk->lock);
}

static int scrub (disk_t *disk, uint64_t budget, uint64_t since, dfs_error_t *err)
{
    copykey_t keys[PAGE];
    entry_t *entries = malloc (PAGE * sizeof *entries);
    assert (entries);
    uint64_t done = 0;
    int n = 1;
    while (n > 0 && done < budget) {
        n = next_page (disk, keys, entries, err);
        for (int i = 0; i < n && done < budget; i++) {
            disk->scrub_after = keys[i];
            disk->scrub_resumes = true;
            if (entries[i].state != ENTRY_LIVE || entries[i].verified >= since)
                continue;
            uint64_t bytes = 0;
            int rc = disk_verify (disk, &keys[i], &bytes, NULL);
            if (rc == DFS_OK || rc == DFS_EDAMAGED || rc == DFS_EIO)
                count (disk, bytes, rc < 0);
            done += bytes + 4096; /* tiny chunks cost a read each */
        }
    }
    free (entries);
    if (n != 0)
        return n < 0 ? n : 0;
    disk->scrub_resumes = false;
    pthread_mutex_lock (&disk->lock);
    disk->scrub.rounds++;
    pthread_mutex_unlock (&disk->lock);
    return 1;
}

int disk_scrub (disk_t *disk, uint64_t budget, uint64_t since, dfs_error_t *err)
{
    pthread_mutex_lock (&disk->scrubbing);
    int rc = scrub (disk, budget, since, err);
    pthread_mutex_unlock (&disk->scrubbing);
    return rc;
}

#define PASS_STEP (16 * MIB)

int disk_pass (disk_t *disk, dfs_error_t *err)
{
    pthread_mutex_lock (&disk->scrubbing);
    pthread_mutex_lock (&disk->lock);
    uint64_t since = disk->pass_since;
    if (disk->pass_begins)
        disk->scrub_resumes = disk->pass_begins = false;
    pthread_mutex_unlock (&disk->lock);
    int rc = scrub (disk, PASS_STEP, since, err);
    if (rc != 0)
        commit_drain (disk); /* what it found is told before it ends */
    pthread_mutex_lock (&disk->lock);
    bool ended = rc != 0 && !disk->pass_begins;
    if (ended) {
        disk->pass_since = 0;
        disk->scrub.passed++;
    }
    pthread_mutex_unlock (&disk->lock);
    pthread_mutex_unlock (&disk->scrubbing);
    if (ended)
        log_info ("scrub_pass_ended", "disk=%s err=%d", disk->dir, rc < 0 ? rc : 0);
    return rc;
}

void store_scrub_pass (store_t *self)
{
    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = self->disks[i];
        if (!disk->usable)
            continue;
        pthread_mutex_lock (&disk->lock);
        disk->pass_since = clock_wall ();
        disk->pass_begins = true;
        pthread_cond_signal (&disk->tend);
        pthread_mutex_unlock (&disk->lock);
        log_info ("scrub_pass", "disk=%s", disk->dir);
    }
}

int store_scrub (store_t *self, uint64_t budget, uint64_t since, dfs_error_t *err)
{
    int all = 1;
    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = self->disks[i];
        if (!disk->usable)
            continue;
        commit_drain (disk);
        int rc = disk->scrub_resumes ? DFS_OK : disk_checkpoint (disk, err);
        if (rc == 0)
            rc = disk_scrub (disk, budget, since, err);
        if (rc < 0)
            return rc;
        all = all && rc == 1;
    }
    return all;
}

void store_scrub_state (store_t *self, store_scrub_t *out)
{
    *out = (store_scrub_t){0};
    for (size_t i = 0; i < self->n; i++) {
        disk_t *disk = self->disks[i];
        if (!disk_try (disk))
            continue;
        out->chunks += disk->scrub.chunks;
        out->bytes += disk->scrub.bytes;
        out->damaged += disk->scrub.damaged;
        out->rounds += disk->scrub.rounds;
        out->passes += disk->pass_since != 0;
        out->passed += disk->scrub.passed;
        pthread_mutex_unlock (&disk->lock);
    }
}
