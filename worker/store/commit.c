/* SPDX-License-Identifier: MPL-2.0 */
/* Group commit: one thread per disk takes what has gathered, writes it as one batch,
 * makes it durable with one fdatasync per volume, brings the index up, and only then
 * tells. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "worker/store/disk.h"

#define PENDING_MAX  32768 /* index entries in memory before writers wait */
#define PENDING_WORK 16384 /* … before the keeper is woken */

/* --- what others call --- */

void commit_wake (disk_t *self)
{
    self->eager = true;
    if (self->sleeping)
        pthread_cond_signal (&self->work);
}

int commit_wait_room (disk_t *self, size_t len, dfs_error_t *err)
{
    bool keeper =
        self->keeper_runs && pthread_equal (pthread_self (), self->keeper_thread);
    for (;;) {
        int rc = disk_writable (self, err);
        if (rc < 0)
            return rc;
        bool behind =
            !keeper && self->keeper_runs && index_pending (self->index) > PENDING_MAX;
        bool fits = self->waiting ? self->waiting + self->fill.len + len <= BATCH_FULL
                                  : batch_takes (&self->fill, len);
        if (!behind && fits)
            return DFS_OK;
        rc = disk_answers (self, err);
        if (rc < 0)
            return rc;
        if (behind)
            pthread_cond_signal (&self->tend);
        else
            commit_wake (self);
        uint64_t at = clock_mono () + SEC;
        struct timespec ts = {.tv_sec = (time_t)(at / SEC),
                              .tv_nsec = (long)(at % SEC)};
        pthread_cond_clockwait (&self->room, &self->lock, CLOCK_MONOTONIC, &ts);
    }
}

void commit_drain (disk_t *self)
{
    pthread_mutex_lock (&self->lock);
    /* What comes in meanwhile is not waited for. */
    uint64_t target = self->taken + (self->fill.n > 0 || self->push);
    if (self->fill.n > 0)
        commit_wake (self);
    while (self->commit_runs && self->ended < target)
        pthread_cond_wait (&self->room, &self->lock);
    pthread_mutex_unlock (&self->lock);
}

void commit_push (disk_t *self)
{
    self->push = true;
    commit_wake (self);
}

int commit_note (disk_t *self, int type, const copykey_t *key, const entry_t *entry,
                 uint64_t birth, const uint64_t *cookie, dfs_error_t *err)
{
    int rc = commit_wait_room (self, RECORD_HEAD_MIN, err);
    if (rc < 0)
        return rc;
    record_t rec = {.type = (uint8_t)type,
                    .encoding = entry->encoding,
                    .flags = entry->flags,
                    .key = *key,
                    .stored_len = entry->stored_len,
                    .true_len = entry->true_len,
                    .birth = birth,
                    .place_volume = entry->volume,
                    .place_offset = entry->offset,
                    .time = clock_wall ()};
    batch_item_t *item = batch_add (&self->fill, &rec, NULL, NULL);
    if (cookie) {
        item->answer = true;
        item->cookie = *cookie;
    }
    if (type == RECORD_GONE || type == RECORD_DAMAGED)
        table_put (self->leaving, key, entry);
    if (type == RECORD_RENEWED || type == RECORD_BACK) {
        entry_t newer = *entry;
        newer.birth = birth;
        const entry_t *other = table_get (self->renewing, key);
        if (!other || other->birth < birth)
            table_put (self->renewing, key, &newer);
    }
    commit_wake (self);
    return DFS_OK;
}

/* --- the thread --- */

static void answer (disk_t *self, const batch_item_t *item, int code)
{
    if (!item->answer || !self->config->done)
        return;
    if (code == DFS_OK && item->rec.type == RECORD_RENEWED)
        code = DFS_EEXIST;
    self->config->done (item->cookie, code, self->config->arg);
}

static void extent_of (const disk_t *self, const record_t *rec, extent_head_t *head)
{
    *head = (extent_head_t){.state = EXTENT_RESERVED,
                            .volume = rec->place_volume,
                            .offset = rec->place_offset,
                            .length = extent_length (rec->stored_len),
                            .key = rec->key,
                            .stored_len = rec->stored_len,
                            .true_len = rec->true_len,
                            .birth = rec->birth};
    memcpy (head->disk_id, self->id, 16);
}

/* The record is no longer under way. */
static void arrived (disk_t *self, const batch_item_t *item)
{
    const copykey_t *key = &item->rec.key;
    if (item->rec.type == RECORD_GONE || item->rec.type == RECORD_DAMAGED)
        table_del (self->leaving, key);
    if (item->rec.type != RECORD_RENEWED && item->rec.type != RECORD_BACK)
        return;
    const entry_t *newest = table_get (self->renewing, key);
    if (newest && newest->birth <= item->rec.birth)
        table_del (self->renewing, key);
}

static void release_volume (disk_t *self, const batch_item_t *item)
{
    if (!item->volume)
        return;
    item->volume->inflight--;
    volume_done (self, item->volume);
}

/* The items end with CODE; space of extents comes back. */
static void refuse (disk_t *self, batch_t *batch, int code)
{
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < batch->n; i++) {
        batch_item_t *item = &batch->items[i];
        if (item->volume) {
            extent_head_t head;
            extent_of (self, &item->rec, &head);
            volume_free_extent (self, item->volume, &head);
        }
        release_volume (self, item);
        arrived (self, item);
    }
    pthread_mutex_unlock (&self->lock);
    for (size_t i = 0; i < batch->n; i++)
        answer (self, &batch->items[i], code);
    batch_reset (batch);
}

/* Makes the bytes of sealed extents in volumes other than HOME durable. */
static int sync_extents (disk_t *self, const volume_t *home, dfs_error_t *err)
{
    volume_t *last = NULL;
    for (size_t i = 0; i < self->commit.n; i++) {
        volume_t *vol = self->commit.items[i].volume;
        if (!vol || vol == home || vol == last)
            continue;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = self->commit.items[j].volume == vol;
        last = vol;
        int rc = seen ? DFS_OK : volume_sync (self, vol, err);
        if (rc < 0)
            return rc;
    }
    return DFS_OK;
}

typedef struct written {
    volume_t *volume; /* held */
    uint64_t offset;
    uint64_t length; /* padded */
    uint64_t next_seq;
} written_t;

/* Writes the batch behind everything else; nothing is durable yet. */
static int write_batch (disk_t *self, written_t *w, dfs_error_t *err)
{
    batch_t *batch = &self->commit;
    batch_space (batch);
    *w = (written_t){.length = volume_align (batch->len)};
    memset (batch->buf + batch->len, 0, w->length - batch->len);
    w->next_seq = batch_number (batch, self->next_seq);
    pthread_mutex_lock (&self->lock);
    int rc = volume_take (self, w->length, &w->volume, &w->offset, err);
    pthread_mutex_unlock (&self->lock);
    if (rc < 0)
        return rc;
    batch_head_t head = {.volume = w->volume->number,
                         .offset = w->offset,
                         .length = batch->len,
                         .count = (uint32_t)batch->n,
                         .number = self->next_batch,
                         .first_seq = self->next_seq,
                         .next_seq = w->next_seq,
                         .mark_volume = self->mark_volume,
                         .mark_end = self->mark_end};
    memcpy (head.disk_id, self->id, 16);
    batch_head_pack (&head, batch->buf);
    rc = io_pwrite (w->volume->fd, batch->buf, w->length, w->offset, err);
    if (rc == DFS_OK)
        return DFS_OK;
    pthread_mutex_lock (&self->lock);
    if (w->volume->end == w->offset + w->length) {
        w->volume->end = w->offset;
        self->used -= w->length;
    }
    volume_done (self, w->volume);
    w->volume = NULL;
    pthread_mutex_unlock (&self->lock);
    return rc;
}

static bool has_bytes (const batch_item_t *item)
{
    return item->rec.type == RECORD_CHUNK;
}

static bool is_answered (const batch_item_t *item)
{
    return item->rec.type == RECORD_SEAL || item->answer;
}

/* No space: chunks are refused, the small records tried by themselves; what then still
 * finds none (drops, damage) stays queued. */
static int write_less (disk_t *self, written_t *w, dfs_error_t *err)
{
    batch_t out;
    batch_init (&out, self->commit.seed);
    batch_split (&self->commit, has_bytes, &out);
    bool shrunk = out.n > 0;
    refuse (self, &out, DFS_ENOSPC);
    int rc = self->commit.n && shrunk ? write_batch (self, w, err) : DFS_ENOSPC;
    if (rc == DFS_ENOSPC) {
        batch_split (&self->commit, is_answered, &out);
        refuse (self, &out, DFS_ENOSPC);
    }
    batch_free (&out);
    return rc;
}

/* Puts what is left of the batch back to be tried later, in front of what came
 * meanwhile: a chunk that is sent again must not be overtaken by the drop of the copy
 * before it. */
static void requeue (disk_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool again = self->commit.n > 0 && !self->stop;
    if (again) {
        batch_join (&self->commit, &self->fill);
        batch_t joined = self->commit;
        self->commit = self->fill;
        self->fill = joined;
        batch_reset (&self->commit);
        self->waiting = self->fill.len;
        self->eager = true;
    }
    pthread_mutex_unlock (&self->lock);
    if (again && !spare_give (self))
        nanosleep (&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    if (!again)
        refuse (self, &self->commit, DFS_ENOSPC);
}

/* Everything in the batch is durable. */
static size_t publish (disk_t *self, const written_t *w, store_change_t *changes)
{
    size_t n = 0;
    pthread_mutex_lock (&self->lock);
    self->waiting = 0;
    self->folding_volume = w->volume->number;
    self->folding_offset = w->offset;
    disk_let_go_replaced (self);
    for (size_t i = 0; i < self->commit.n; i++) {
        batch_item_t *item = &self->commit.items[i];
        if (disk_fold (self, &item->rec, item->crc0, w->volume->number,
                       w->offset + item->at, &changes[n])) {
            changes[n].upload = item->upload;
            index_add_change (self->index, &changes[n++]);
        }
        release_volume (self, item);
        arrived (self, item);
    }
    self->next_seq = w->next_seq;
    self->next_batch++;
    self->mark_volume = w->volume->number;
    self->mark_end = w->offset + w->length;
    self->durable = (position_t){.volume = self->mark_volume,
                                 .offset = self->mark_end,
                                 .batch = self->next_batch,
                                 .next_seq = self->next_seq};
    volume_done (self, w->volume);
    if (index_pending (self->index) > PENDING_WORK)
        pthread_cond_signal (&self->tend);
    pthread_mutex_unlock (&self->lock);
    return n;
}

static void stop_disk (disk_t *self, int code, const dfs_error_t *err)
{
    pthread_mutex_lock (&self->lock);
    disk_fail (self, code, err->text);
    pthread_mutex_unlock (&self->lock);
    refuse (self, &self->commit, code);
}

static void run_batch (disk_t *self)
{
    dfs_error_t err = {0};
    pthread_mutex_lock (&self->lock);
    int rc = disk_writable (self, &err);
    pthread_mutex_unlock (&self->lock);
    if (rc < 0) {
        refuse (self, &self->commit, rc);
        return;
    }
    written_t w;
    disk_busy (self, DISK_COMMITS);
    rc = write_batch (self, &w, &err);
    if (rc == DFS_ENOSPC) {
        rc = write_less (self, &w, &err);
        if (rc == DFS_ENOSPC) {
            disk_idle (self, DISK_COMMITS);
            requeue (self);
            return;
        }
    }
    bool held = rc == DFS_OK;
    if (rc == DFS_OK)
        rc = sync_extents (self, w.volume, &err);
    if (rc == DFS_OK)
        rc = volume_sync (self, w.volume, &err);
    disk_idle (self, DISK_COMMITS);
    if (rc < 0) {
        if (held) {
            pthread_mutex_lock (&self->lock);
            volume_done (self, w.volume);
            pthread_mutex_unlock (&self->lock);
        }
        stop_disk (self, rc, &err);
        return;
    }
    store_change_t *changes = malloc ((self->commit.n + 1) * sizeof *changes);
    assert (changes);
    size_t n = publish (self, &w, changes);
    if (n && self->config->changed)
        self->config->changed (self->number, changes, n, self->config->arg);
    free (changes);
    for (size_t i = 0; i < self->commit.n; i++)
        answer (self, &self->commit.items[i], DFS_OK);
    batch_reset (&self->commit);
}

void *commit_main (void *arg)
{
    disk_t *self = arg;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        while (!(self->fill.n && self->eager) && !self->push && !self->stop) {
            self->sleeping = true;
            pthread_cond_wait (&self->work, &self->lock);
            self->sleeping = false;
        }
        if (self->fill.n == 0 && !self->push)
            break;
        self->push = self->eager = false;
        batch_t taken = self->fill;
        self->fill = self->commit;
        self->commit = taken;
        self->taken++;
        pthread_cond_broadcast (&self->room);
        pthread_mutex_unlock (&self->lock);
        run_batch (self);
        pthread_mutex_lock (&self->lock);
        self->ended++;
        pthread_cond_broadcast (&self->room);
    }
    self->commit_runs = false;
    pthread_cond_broadcast (&self->room);
    pthread_mutex_unlock (&self->lock);
    return NULL;
}
