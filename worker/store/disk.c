/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/mark.h"
#include "msgs/node.h"
#include "worker/store/disk.h"
#include "worker/store/le.h"

#define VOLUME_SIZE   GIB
#define STATE_FORMAT  1
#define STATE_PACKED  32 /* "DFSS", format u32, incarnation u64, zero, CRC32C */
#define SPACE_FRESH   (100 * MS)
#define FULL_BELOW    (4 * MIB) /* a disk that cannot take so much is full */
#define RESERVE_MAX   (256 * MIB)
#define RESERVE_SHARE 32 /* of the capacity, when no reserve is set */
#define STAGING_SIZE  (1024 * 1024)
#define STAGING_COUNT 8

/* --- condition --- */

void disk_fail (disk_t *self, int code, const char *text)
{
    if (self->condition != CONDITION_OK)
        return;
    self->condition = code == DFS_EROFS ? CONDITION_READ_ONLY : CONDITION_FAILING;
    self->trouble_code = code == DFS_EROFS ? DFS_EROFS : DFS_EIO;
    snprintf (self->trouble, sizeof self->trouble, "%.255s", text);
    log_error ("disk_failed", "disk=%s condition=%s err=\"%s\"", self->dir,
               worker_condition_name (self->condition), text);
    pthread_cond_broadcast (&self->room);
}

int disk_writable (const disk_t *self, dfs_error_t *err)
{
    if (!self->usable)
        return fail (err, DFS_EIO, "disk %s is left out: %s", self->dir, self->trouble);
    if (self->condition == CONDITION_OK)
        return DFS_OK;
    return fail (err, self->trouble_code, "disk %s is %s: %s", self->dir,
                 worker_condition_name (self->condition), self->trouble);
}

/* --- space --- */

/* A kernel that turns a file system read-only lets writes that are under way fail
 * first, with another error. */
static void turned_read_only (disk_t *self)
{
    char text[sizeof self->trouble];

    if (self->condition == CONDITION_FAILING) {
        snprintf (text, sizeof text,
                  "the file system is mounted read-only since: %.200s", self->trouble);
        self->condition = CONDITION_OK;
        disk_fail (self, DFS_EROFS, text);
    } else {
        disk_fail (self, DFS_EROFS, "the file system is mounted read-only");
    }
}

/* Newer kernels do not even set the flag: only a change tells. */
void disk_try_change (disk_t *self)
{
    char path[512];
    snprintf (path, sizeof path, "%s/try", self->dir);
    int fd = open (path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    bool refused = fd < 0 && errno == EROFS;
    if (fd >= 0) {
        close (fd);
        unlink (path);
    }
    pthread_mutex_lock (&self->lock);
    if (refused)
        turned_read_only (self);
    pthread_mutex_unlock (&self->lock);
}

static void look_at_space (disk_t *self)
{
    uint64_t now = clock_mono ();
    if (self->space_at && now - self->space_at < SPACE_FRESH)
        return;
    struct statvfs st;
    if (statvfs (self->dir, &st) < 0)
        return;
    uint64_t avail = (uint64_t)st.f_bavail * st.f_frsize;
    self->space_free = avail > self->promised ? avail - self->promised : 0;
    self->space_at = now;
    if (st.f_flag & ST_RDONLY)
        turned_read_only (self);
}

static uint64_t bound (const disk_t *self)
{
    uint64_t fs = self->used + self->space_free;
    return self->capacity && self->capacity < fs ? self->capacity : fs;
}

static uint64_t reserve_of (const disk_t *self)
{
    uint64_t share = bound (self) / RESERVE_SHARE;
    if (self->reserve)
        return self->reserve;
    return share < RESERVE_MAX ? share : RESERVE_MAX;
}

uint64_t disk_capacity (disk_t *self)
{
    look_at_space (self);
    uint64_t reserve = reserve_of (self);
    return bound (self) > reserve ? bound (self) - reserve : 0;
}

static bool fits (const disk_t *self, uint64_t len, uint64_t keep)
{
    uint64_t limit = bound (self);
    return limit >= keep && self->used + len <= limit - keep &&
           self->space_free >= len + keep;
}

int disk_room (disk_t *self, uint64_t len, bool use_reserve, dfs_error_t *err)
{
    look_at_space (self);
    int rc = disk_writable (self, err);
    if (rc < 0)
        return rc;
    if (!fits (self, len, use_reserve ? 0 : reserve_of (self))) {
        self->space_at = 0; /* space may have come back since the last look */
        look_at_space (self);
    }
    if (!fits (self, len, use_reserve ? 0 : reserve_of (self)))
        return fail (err, DFS_ENOSPC, "disk %s is full", self->dir);
    self->space_free -= len;
    return DFS_OK;
}

bool disk_full (disk_t *self)
{
    look_at_space (self);
    return !fits (self, FULL_BELOW, reserve_of (self));
}

/* --- incarnation --- */

static void state_path (const disk_t *self, char *out, size_t cap)
{
    snprintf (out, cap, "%s/store-state", self->dir);
}

static int read_state (disk_t *self, dfs_error_t *err)
{
    char path[512];
    void *data;
    size_t len;
    state_path (self, path, sizeof path);
    int rc = io_slurp (path, 4096, &data, &len, err);
    if (rc < 0)
        return rc;
    const uint8_t *p = data;
    if (len != STATE_PACKED || memcmp (p, "DFSS", 4) != 0 ||
        le_get32 (p + 28) != digest_crc32c (0, p, 28))
        rc = fail (err, DFS_EDAMAGED, "%s is damaged", path);
    else if (le_get32 (p + 4) != STATE_FORMAT)
        rc = fail (err, DFS_EVERSION, "%s has an unknown format", path);
    else
        self->incarnation = le_get64 (p + 8);
    free (data);
    return rc;
}

int disk_renew (disk_t *self, dfs_error_t *err)
{
    uint64_t now = clock_wall ();
    uint64_t next = now > self->incarnation ? now : self->incarnation + 1;
    uint8_t p[STATE_PACKED] = "DFSS";
    le_put32 (p + 4, STATE_FORMAT);
    le_put64 (p + 8, next);
    le_put32 (p + 28, digest_crc32c (0, p, 28));
    char path[512];
    state_path (self, path, sizeof path);
    dfs_error_t mine = {0};
    int rc = io_replace (path, p, sizeof p, 0600, &mine);
    if (rc == DFS_ENOSPC && spare_give (self))
        rc = io_replace (path, p, sizeof p, 0600, &mine);
    if (rc < 0)
        return fail (err, rc, "%s", mine.text);
    self->incarnation = next;
    return DFS_OK;
}

/* --- opening --- */

static int make_volumes_dir (disk_t *self, dfs_error_t *err)
{
    char path[512];
    snprintf (path, sizeof path, "%s/volumes", self->dir);
    dfs_error_t mine = {0};
    int rc = io_mkdir (path, 0700, &mine);
    if (rc < 0 && rc != DFS_EEXIST)
        return fail (err, rc, "%s", mine.text);
    return DFS_OK; /* durable with the state, which is saved next to it */
}

/* A directory without a state is one that was never opened; the state comes last, so
 * later a missing volumes directory is noticed. */
static int load_incarnation (disk_t *self, dfs_error_t *err)
{
    dfs_error_t mine = {0};
    int rc = read_state (self, &mine);
    if (rc == DFS_ENOENT)
        rc = make_volumes_dir (self, err);
    else if (rc < 0 && rc != DFS_EDAMAGED)
        return fail (err, rc, "%s", mine.text);
    else if (rc == DFS_OK)
        return DFS_OK;
    if (rc == DFS_EDAMAGED)
        log_error ("store_state_damaged", "disk=%s err=\"%s\"", self->dir, mine.text);
    if (rc < 0 && rc != DFS_EDAMAGED)
        return rc;
    return disk_renew (self, err);
}

static int open_index (disk_t *self, dfs_error_t *err)
{
    char path[512];
    char bad[512];
    snprintf (path, sizeof path, "%s/index", self->dir);
    snprintf (bad, sizeof bad, "%s/index-bad", self->dir);
    dfs_error_t mine = {0};
    bool marked = access (bad, F_OK) == 0;
    if (!marked)
        self->index = index_open (path, self->id, &mine);
    if (!self->index && mine.code == DFS_ENOSPC && spare_give (self))
        self->index = index_open (path, self->id, &mine);
    if (!self->index && !marked && mine.code != DFS_EDAMAGED &&
        mine.code != DFS_EVERSION && mine.code != DFS_EINTERNAL)
        return fail (err, mine.code, "%s", mine.text);
    if (!self->index) {
        log_error ("index_damaged", "disk=%s err=\"%s\" action=rebuild", self->dir,
                   marked ? "marked as damaged" : mine.text);
        int rc = index_wipe (path, err);
        if (rc < 0)
            return rc;
        spare_give (self); /* there may be none for another one */
        self->index = index_open (path, self->id, err);
        if (!self->index)
            return DFS_EIO;
    }
    if (marked && io_unlink (bad, err) < 0)
        return DFS_EIO;
    return DFS_OK;
}

static void start_threads (disk_t *self)
{
    self->commit_runs = true;
    int rc = pthread_create (&self->commit_thread, NULL, commit_main, self);
    assert (rc == 0);
    self->keeper_runs = true;
    rc = pthread_create (&self->keeper_thread, NULL, keeper_main, self);
    assert (rc == 0);
}

static int open_all (disk_t *self, dfs_error_t *err)
{
    mark_t mark;
    char path[512];
    int rc = mark_expect (self->dir, self->config->cluster_id, "worker",
                          self->config->node, &mark, err);
    if (rc < 0)
        return rc;
    memcpy (self->id, mark.disk_id, 16);
    self->fill.seed = self->commit.seed = record_seed (self->id);
    snprintf (path, sizeof path, "%s/dfs-lock", self->dir);
    self->lock_fd = io_lock (path, err);
    if (self->lock_fd < 0)
        return self->lock_fd;
    spare_look (self);
    rc = load_incarnation (self, err);
    if (rc == 0)
        rc = volume_load_all (self, err);
    if (rc == 0)
        rc = open_index (self, err);
    if (rc == 0)
        rc = disk_recover (self, err);
    return rc;
}

disk_t *disk_open (const store_config_t *config, uint32_t number, cache_t *cache)
{
    disk_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = config;
    self->number = number;
    self->staging = buf_pool_new (STAGING_SIZE, STAGING_COUNT);
    self->ring = config->no_ring ? NULL : ring_new (STAGING_COUNT);
    self->cache = cache;
    snprintf (self->dir, sizeof self->dir, "%s", config->dirs[number]);
    self->volume_size = config->volume_size ? config->volume_size : VOLUME_SIZE;
    self->capacity = config->capacity ? config->capacity[number] : 0;
    self->reserve = config->reserve;
    self->lock_fd = -1;
    self->next_seq = 1;
    self->next_batch = 1;
    self->leaving = table_new ();
    self->renewing = table_new ();
    batch_init (&self->fill, 0);
    batch_init (&self->commit, 0);
    pthread_mutex_init (&self->lock, NULL);
    pthread_mutex_init (&self->checkpoint, NULL);
    pthread_mutex_init (&self->tending, NULL);
    pthread_mutex_init (&self->scrubbing, NULL);
    pthread_mutex_init (&self->saying, NULL);
    pthread_cond_init (&self->work, NULL);
    pthread_cond_init (&self->spill, NULL);
    self->pieces_end = &self->pieces;
    pthread_mutex_init (&self->asking, NULL);
    pthread_cond_init (&self->asked, NULL);
    pthread_cond_init (&self->answered, NULL);
    self->asks_end = &self->asks;
    pthread_cond_init (&self->room, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_cond_init (&self->tend, &attr);
    pthread_condattr_destroy (&attr);
    dfs_error_t err = {0};
    int rc = open_all (self, &err);
    if (rc < 0) {
        self->condition = CONDITION_FAILING;
        self->trouble_code = rc;
        snprintf (self->trouble, sizeof self->trouble, "%.255s", err.text);
        log_error ("disk_left_out", "disk=%s err=\"%s\"", self->dir, err.text);
        return self;
    }
    self->usable = true;
    start_threads (self);
    rc = disk_report_missing (self, &err);
    if (rc < 0)
        log_error ("index_check_failed", "disk=%s err=\"%s\"", self->dir, err.text);
    return self;
}

static void stop_threads (disk_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->keeper_stop = true;
    pthread_cond_broadcast (&self->tend);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->keeper_thread, NULL);
    self->keeper_runs = false;
    reserve_stop (self);
    writers_stop (self);
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_broadcast (&self->work);
    pthread_cond_broadcast (&self->room);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->commit_thread, NULL);
}

void disk_close (disk_t **self_p)
{
    disk_t *self = *self_p;
    if (!self)
        return;
    if (self->commit_runs) {
        stop_threads (self);
        if (self->condition == CONDITION_OK)
            disk_checkpoint (self, NULL);
    }
    if (self->index_bad) {
        char bad[512];
        snprintf (bad, sizeof bad, "%s/index-bad", self->dir);
        io_replace (bad, "", 0, 0600, NULL);
    }
    chunks_close_late (self);
    if (self->usable && self->active && self->condition == CONDITION_OK)
        volume_trim (self, self->active);
    volume_close_all (self);
    index_close (&self->index);
    table_destroy (&self->leaving);
    table_destroy (&self->renewing);
    batch_free (&self->fill);
    batch_free (&self->commit);
    free (self->replaced);
    io_close (self->lock_fd);
    ring_destroy (&self->ring);
    buf_pool_destroy (&self->staging);
    pthread_mutex_destroy (&self->lock);
    pthread_mutex_destroy (&self->checkpoint);
    pthread_mutex_destroy (&self->tending);
    pthread_mutex_destroy (&self->scrubbing);
    pthread_mutex_destroy (&self->saying);
    pthread_cond_destroy (&self->work);
    pthread_cond_destroy (&self->spill);
    pthread_cond_destroy (&self->room);
    pthread_cond_destroy (&self->tend);
    pthread_mutex_destroy (&self->asking);
    pthread_cond_destroy (&self->asked);
    pthread_cond_destroy (&self->answered);
    free (self);
    *self_p = NULL;
}

/* The disk was pulled, or the file cut short; a start with the disk makes it anew. */
void disk_check_index (disk_t *self)
{
    if (!index_broken (self->index) || self->index_lost)
        return;
    self->index_lost = self->index_bad = true;
    char bad[512];
    snprintf (bad, sizeof bad, "%s/index-bad", self->dir);
    io_replace (bad, "", 0, 0600, NULL);
    disk_fail (self, DFS_EIO, "the index cannot be read: the disk is gone or damaged");
}

int disk_find (disk_t *self, const copykey_t *key, entry_t *entry, dfs_error_t *err)
{
    if (!self->usable)
        return fail (err, DFS_EIO, "disk %s is left out: %s", self->dir, self->trouble);
    if (table_size (self->leaving) && table_get (self->leaving, key))
        return 0;
    int rc = index_get (self->index, key, entry, err);
    if (rc == DFS_EIO)
        disk_check_index (self);
    if (rc == DFS_EDAMAGED && !self->index_bad) {
        self->index_bad = true;
        log_error ("index_damaged", "disk=%s action=rebuild-at-next-start", self->dir);
    }
    if (rc == 1 && entry->state != ENTRY_LIVE)
        return entry->state == ENTRY_DAMAGED ? fail (err, DFS_EDAMAGED, "damaged copy")
                                             : 0;
    return rc;
}
