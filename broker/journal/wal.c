/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"

#include "wal_private.h"

/* Largest write: bounds the wait of what arrives meanwhile. */
#define GROUP_MAX (8 * 1024 * 1024)

void wal_push_segment (wal_t *self, segment_t *segment)
{
    self->segments =
        reallocarray (self->segments, self->n_segments + 1, sizeof *self->segments);
    if (!self->segments)
        abort ();
    self->segments[self->n_segments++] = segment;
}

wal_t *wal_open (const wal_config_t *config, dfs_error_t *err)
{
    assert (config->segment_size >= 2 * SEGMENT_HEADER &&
            config->segment_size % SEGMENT_HEADER == 0 &&
            config->segment_size <= UINT32_MAX);
    dfs_error_t local;
    err = err ? err : &local;
    wal_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    snprintf (self->dir, sizeof self->dir, "%s", config->dir);
    self->segment_size = config->segment_size;
    self->unsynced = config->unsynced;
    places_init (&self->places);
    pthread_mutex_init (&self->lock, NULL);
    if (wal_recover (self, config->exists, err)) {
        self->failed = *err; /* no mark */
        wal_close (&self);
    }
    return self;
}

static int broken (wal_t *self, dfs_error_t *err)
{
    self->failed = *err;
    return err->code;
}

static void encode (wal_t *self, size_t at, const record_t *record)
{
    size_t need = at + record_size (record->len);
    if (need > self->group_cap) {
        self->group_cap = need > 2 * self->group_cap ? need : 2 * self->group_cap;
        self->group = realloc (self->group, self->group_cap);
        if (!self->group)
            abort ();
    }
    record_t whole = *record;
    whole.durable = (uint32_t)self->end;
    whole.epoch = self->epoch;
    whole.flags = self->unsynced ? RECORD_UNSYNCED : 0;
    record_encode (&whole, wal_current (self)->header.salt, self->group + at);
}

/* Writes LEN bytes of the group. A failure leaves the file in a state nobody knows, and
 * a second fsync may wrongly succeed: so it is the end. */
static int write_group (wal_t *self, size_t len, dfs_error_t *err)
{
    int fd = wal_current (self)->fd;
    if (io_pwrite (fd, self->group, len, self->end, err) ||
        (!self->unsynced && io_fdatasync (fd, err))) {
        wrap (err, "journal segment %016" PRIx64 " at %" PRIu64,
              wal_current (self)->header.seq, self->end);
        return broken (self, err);
    }
    self->end += len;
    return DFS_OK;
}

/* Writes one record without data where there is room for it. */
static int write_here (wal_t *self, enum record_type type, uint64_t index,
                       uint64_t term, dfs_error_t *err)
{
    encode (self, 0, &(record_t){.index = index, .term = term, .type = type});
    return write_group (self, RECORD_HEADER, err);
}

/* Makes the last segment one with room for a record of SIZE bytes. */
static int make_room (wal_t *self, size_t size, dfs_error_t *err)
{
    uint64_t left = wal_current (self)->header.size - self->end;
    if (left >= size)
        return DFS_OK;
    if (size > self->segment_size - SEGMENT_HEADER)
        return fail (err, DFS_ETOOBIG, "journal entry of %zu bytes", size);
    segment_t *segment = spare_take (self->spare, err);
    if (!segment) {
        bool full = err->code == DFS_ENOSPC || err->code == DFS_EQUOTA;
        return full ? err->code : broken (self, err);
    }
    int rc =
        left < RECORD_HEADER ? DFS_OK : write_here (self, RECORD_SEALED, 0, 0, err);
    pthread_mutex_lock (&self->lock);
    wal_push_segment (self, segment);
    pthread_mutex_unlock (&self->lock);
    self->end = SEGMENT_HEADER;
    return rc;
}

/* As make_room, after this writer has begun its epoch: that is durable before any
 * record of it, so the number is never used again. */
static int begin (wal_t *self, size_t size, dfs_error_t *err)
{
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    if (!self->opened) {
        uint64_t last = places_last (&self->places);
        int rc = make_room (self, RECORD_HEADER, err);
        if (rc == DFS_OK)
            rc = write_here (self, RECORD_OPENED, last, 0, err);
        if (rc == DFS_OK && self->unsynced &&
            io_fdatasync (wal_current (self)->fd, err))
            rc = broken (self, err);
        if (rc != DFS_OK)
            return rc;
        self->opened = true;
    }
    return make_room (self, size, err);
}

int wal_begin (wal_t *self, uint64_t *epoch, dfs_error_t *err)
{
    *epoch = self->epoch;
    return begin (self, 0, err);
}

int wal_append (wal_t *self, const wal_entry_t *entries, size_t n, size_t *done,
                dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    *done = 0;
    int rc = begin (self, record_size (entries->len), err);
    if (rc != DFS_OK)
        return rc;
    assert (n > 0 && entries[0].index == self->places.first + self->places.n);
    size_t room = (size_t)(wal_current (self)->header.size - self->end);
    room = room < GROUP_MAX ? room : GROUP_MAX;
    size_t len = 0, k = 0;
    for (; k < n; k++) {
        const wal_entry_t *e = &entries[k];
        size_t size = record_size (e->len);
        if (k && len + size > room)
            break;
        assert (record_is_entry (e->type) && e->index == entries[0].index + k);
        encode (self, len,
                &(record_t){.index = e->index,
                            .term = e->term,
                            .len = e->len,
                            .type = e->type,
                            .data = e->data});
        len += size;
    }
    uint64_t offset = self->end;
    rc = write_group (self, len, err);
    if (rc != DFS_OK)
        return rc;
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < k; i++) {
        places_push (&self->places,
                     &(place_t){entries[i].term,
                                (uint32_t)wal_current (self)->header.seq,
                                (uint32_t)offset, entries[i].len, entries[i].type});
        offset += record_size (entries[i].len);
    }
    pthread_mutex_unlock (&self->lock);
    *done = k;
    return DFS_OK;
}

static int write_control (wal_t *self, enum record_type type, uint64_t index,
                          uint64_t term, dfs_error_t *err)
{
    int rc = begin (self, RECORD_HEADER, err);
    return rc == DFS_OK ? write_here (self, type, index, term, err) : rc;
}

int wal_truncate (wal_t *self, uint64_t index, dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    assert (index >= self->places.first);
    if (!self->failed.code && index > places_last (&self->places))
        return DFS_OK;
    int rc = write_control (self, RECORD_TRUNCATE, index, 0, err);
    if (rc != DFS_OK)
        return rc;
    pthread_mutex_lock (&self->lock);
    places_truncate (&self->places, index);
    pthread_mutex_unlock (&self->lock);
    return DFS_OK;
}

/* Removes the segments before that of the first entry, as far as nobody reads them. */
static void drop_segments (wal_t *self)
{
    pthread_mutex_lock (&self->lock);
    const place_t *first = places_get (&self->places, self->places.first);
    uint64_t keep = first ? first->seq : wal_current (self)->header.seq;
    size_t n = 0;
    while (self->segments[n]->header.seq < keep && !self->segments[n]->refs)
        spare_remove (self->spare, self->segments[n++]);
    self->n_segments -= n;
    memmove (self->segments, self->segments + n,
             self->n_segments * sizeof *self->segments);
    pthread_mutex_unlock (&self->lock);
}

int wal_reset (wal_t *self, uint64_t index, uint64_t term, dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    int rc = write_control (self, RECORD_RESET, index, term, err);
    if (rc != DFS_OK)
        return rc;
    pthread_mutex_lock (&self->lock);
    places_reset (&self->places, index, term);
    pthread_mutex_unlock (&self->lock);
    drop_segments (self);
    return DFS_OK;
}

void wal_trim (wal_t *self, uint64_t index)
{
    pthread_mutex_lock (&self->lock);
    places_trim (&self->places, index);
    pthread_mutex_unlock (&self->lock);
    drop_segments (self);
}

int wal_sync (wal_t *self, dfs_error_t *err)
{
    if (!self->unsynced)
        return DFS_OK;
    pthread_mutex_lock (&self->lock);
    size_t n = 0;
    segment_t **dirty = calloc (self->n_segments, sizeof (segment_t *));
    if (!dirty)
        abort ();
    for (size_t i = 0; i < self->n_segments; i++)
        if (self->segments[i]->header.seq >= self->synced) {
            dirty[n++] = self->segments[i];
            self->segments[i]->refs++;
        }
    uint64_t last = wal_current (self)->header.seq;
    pthread_mutex_unlock (&self->lock);
    int rc = DFS_OK;
    for (size_t i = 0; rc == DFS_OK && i < n; i++)
        rc = io_fdatasync (dirty[i]->fd, err);
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < n; i++)
        dirty[i]->refs--;
    if (rc == DFS_OK)
        self->synced = last;
    pthread_mutex_unlock (&self->lock);
    free (dirty);
    return rc == DFS_OK ? rc : wrap (err, "journal");
}

void wal_close (wal_t **self_p)
{
    wal_t *self = *self_p;
    if (!self)
        return;
    dfs_error_t err;
    if (self->opened && !self->failed.code && !self->unsynced &&
        wal_current (self)->header.size - self->end >= RECORD_HEADER &&
        write_control (self, RECORD_MARK, places_last (&self->places), 0, &err))
        log_warn ("journal_unmarked", "err=%s", err.text);
    if (self->opened && !self->failed.code && wal_sync (self, &err))
        log_warn ("journal_unsynced", "err=\"%s\"", err.text);
    spare_destroy (&self->spare);
    for (size_t i = 0; i < self->n_segments; i++)
        segment_close (&self->segments[i]);
    free (self->segments);
    free (self->group);
    places_release (&self->places);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
