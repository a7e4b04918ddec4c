/* SPDX-License-Identifier: MPL-2.0 */
/* Writes are never overlapped: each ends with a sync before the next begins, and each
 * record says up to where its segment was durable when its own write began. So a record
 * that cannot be read is a write cut short by a crash exactly when nothing that was
 * written later can be found. A later one is a valid record behind it whose mark lies
 * beyond it, or any in a later segment.
 *
 * Parts of a write that was cut stay where they are. They cannot come back behind what
 * is written in its place, for that has a higher epoch; no zeros need to be written for
 * it, whose own loss nobody could see. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"

#include "recover.h"

#define WINDOW (4 * 1024 * 1024)
#define PAGE   4096

static const uint8_t zeros[PAGE];

/* The part of a segment that is in memory. */
typedef struct window {
    const segment_t *segment;
    uint64_t base;
    size_t len;
    uint8_t *bytes; /* WINDOW of them */
} window_t;

typedef struct recovery {
    const recover_config_t *config;
    window_t window;
    uint32_t epoch;
    bool started;   /* there was a record */
    bool unsynced;  /* there are records whose writer did not sync */
    uint64_t group; /* where the last write into the segment at hand began */
} recovery_t;

static uint64_t size_of (const recovery_t *self, size_t i)
{
    return self->config->segments[i]->header.size;
}

/* LEN bytes at OFFSET of segment I, borrowed until the next call; NULL on error. The
 * range lies within the segment. */
static const uint8_t *look (recovery_t *self, size_t i, uint64_t offset, size_t len,
                            dfs_error_t *err)
{
    window_t *w = &self->window;
    const segment_t *segment = self->config->segments[i];
    if (w->segment != segment || offset < w->base || offset + len > w->base + w->len) {
        uint64_t left = segment->header.size - offset;
        w->segment = segment;
        w->base = offset;
        w->len = left < WINDOW ? (size_t)left : WINDOW;
        if (io_pread (segment->fd, w->bytes, w->len, offset, err)) {
            w->segment = NULL;
            wrap (err, "read journal segment %016" PRIx64 " at %" PRIu64,
                  segment->header.seq, offset);
            return NULL;
        }
    }
    return w->bytes + (offset - w->base);
}

/* The record at OFFSET of segment I into *RECORD and its state into *STATE. */
static int read_record (recovery_t *self, size_t i, uint64_t offset, record_t *record,
                        enum record_state *state, dfs_error_t *err)
{
    uint64_t size = size_of (self, i);
    uint32_t salt = self->config->segments[i]->header.salt;
    *state = RECORD_NONE;
    if (size - offset < RECORD_HEADER)
        return DFS_OK;
    const uint8_t *p = look (self, i, offset, RECORD_HEADER, err);
    if (!p)
        return err->code;
    *state = record_peek (p, offset, size, salt, record);
    if (*state != RECORD_VALID)
        return DFS_OK;
    p = look (self, i, offset, record_size (record->len), err);
    if (!p)
        return err->code;
    if (!record_check (p, salt, record))
        *state = RECORD_BAD;
    return DFS_OK;
}

/* Looks behind OFFSET of segment I for a record whose write began after that of what
 * should be at OFFSET (ANY: for any synced one). *AT is 0 when there is none. */
static int find_later (recovery_t *self, size_t i, uint64_t offset, bool any,
                       uint64_t *at, dfs_error_t *err)
{
    *at = 0;
    uint64_t size = size_of (self, i);
    uint32_t salt = self->config->segments[i]->header.salt;
    uint64_t pos = any ? offset : offset + 8;
    while (size - pos >= RECORD_HEADER && pos < size) {
        size_t n = size - pos < PAGE ? (size_t)(size - pos) : PAGE;
        const uint8_t *p = look (self, i, pos, n, err);
        if (!p)
            return err->code;
        if (memcmp (p, zeros, n) == 0) {
            /* The last bytes may belong to a header that goes on behind. */
            pos += n < PAGE ? n : PAGE - RECORD_HEADER + 8;
            continue;
        }
        for (uint64_t stop = pos + n; pos < stop && size - pos >= RECORD_HEADER;
             pos += 8) {
            record_t record;
            p = look (self, i, pos, RECORD_HEADER, err);
            if (!p)
                return err->code;
            if (record_peek (p, pos, size, salt, &record) != RECORD_VALID ||
                (record.flags & RECORD_UNSYNCED) || record.epoch < self->epoch ||
                !(any || record.durable > offset))
                continue;
            p = look (self, i, pos, record_size (record.len), err);
            if (!p)
                return err->code;
            if (record_check (p, salt, &record)) {
                *at = pos;
                return DFS_OK;
            }
        }
        if (size - pos < RECORD_HEADER)
            break;
    }
    return DFS_OK;
}

static int damaged (const recovery_t *self, size_t i, uint64_t offset, const char *why,
                    dfs_error_t *err)
{
    char path[PATH_MAX];
    segment_path (self->config->dir, self->config->segments[i]->header.seq, path,
                  sizeof path);
    return fail (err, DFS_EDAMAGED,
                 "journal segment %s is damaged at offset %" PRIu64 ": %s", path,
                 offset, why);
}

/* Refuses when something that was written after (I, OFFSET) can be found. */
static int refuse_damage (recovery_t *self, size_t i, uint64_t offset, dfs_error_t *err)
{
    uint64_t at;
    int rc = find_later (self, i, offset, false, &at, err);
    for (size_t k = i + 1; rc == DFS_OK && !at && k < self->config->n; k++)
        rc = find_later (self, k, SEGMENT_HEADER, true, &at, err);
    if (rc != DFS_OK)
        return rc;
    if (at)
        return damaged (self, i, offset,
                        "this record was durable (later ones are intact)", err);
    return DFS_OK;
}

/* False for what an earlier writer left behind the place where a later one began. */
static bool follows (const recovery_t *self, const record_t *record)
{
    if (!self->started)
        return true;
    if (record->type == RECORD_OPENED)
        return record->epoch > self->epoch;
    return record->epoch == self->epoch;
}

/* Hands over the records of segment I up to *OFFSET; *NEXT: the log goes on in the next
 * segment (*SEALED: certainly). */
static int scan (recovery_t *self, size_t i, uint64_t *offset, bool *next, bool *sealed,
                 dfs_error_t *err)
{
    uint64_t seq = self->config->segments[i]->header.seq;
    *offset = self->group = SEGMENT_HEADER;
    *sealed = false;
    for (;;) {
        record_t record;
        enum record_state state;
        *next = *sealed || size_of (self, i) - *offset < RECORD_HEADER;
        if (*next)
            return DFS_OK;
        int rc = read_record (self, i, *offset, &record, &state, err);
        if (rc != DFS_OK)
            return rc;
        if (state != RECORD_VALID || !follows (self, &record))
            return DFS_OK;
        dfs_error_t why;
        if (record.type == RECORD_SEALED)
            *sealed = true;
        else if (self->config->record (seq, *offset, &record, self->config->arg,
                                       &why)) {
            /* Without syncs a hole before a valid record is what a crash leaves. */
            if (record.flags & RECORD_UNSYNCED)
                return DFS_OK;
            return damaged (self, i, *offset, why.text, err);
        }
        self->started = true;
        self->epoch = record.epoch;
        self->group = record.durable;
        self->unsynced |= record.flags & RECORD_UNSYNCED;
        *offset += record_size (record.len);
    }
}

/* What was read may be in the page cache alone: the last writer may have been killed,
 * or told of a failure, between its write and the end of the sync. Before anybody acts
 * on it, it is made durable: the last group written again (after a failed sync its
 * pages count as clean); everything else was synced before that group began. */
static int make_durable (recovery_t *self, size_t i, uint64_t from, uint64_t to,
                         dfs_error_t *err)
{
    int fd = self->config->segments[i]->fd;
    while (from < to) {
        size_t n = to - from < WINDOW ? (size_t)(to - from) : WINDOW;
        const uint8_t *p = look (self, i, from, n, err);
        if (!p || io_pwrite (fd, p, n, from, err))
            return err->code;
        from += n;
    }
    return io_fdatasync (fd, err);
}

/* The last group is at the end, or, when nothing was written into the last segment yet,
 * at PREVIOUS, the end of the one before. */
static int settle (recovery_t *self, const recover_end_t *end,
                   const recover_end_t *previous, uint64_t previous_group,
                   dfs_error_t *err)
{
    if (self->unsynced) {
        for (size_t i = 0; i < end->segment; i++) {
            int rc = make_durable (self, i, SEGMENT_HEADER, size_of (self, i), err);
            if (rc != DFS_OK)
                return rc;
        }
        return make_durable (self, end->segment, SEGMENT_HEADER, end->offset, err);
    }
    if (end->segment > 0 && end->offset == SEGMENT_HEADER) {
        int rc = make_durable (self, previous->segment, previous_group,
                               previous->offset, err);
        if (rc != DFS_OK)
            return rc;
    }
    return make_durable (self, end->segment, self->group, end->offset, err);
}

int recover_run (const recover_config_t *config, recover_end_t *end, dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    recovery_t self = {.config = config};
    self.window.bytes = malloc (WINDOW);
    if (!self.window.bytes)
        abort ();
    int rc = DFS_OK;
    bool next = true, sealed = false;
    recover_end_t previous = {0};
    uint64_t previous_group = 0;
    for (size_t i = 0; rc == DFS_OK && next && i < config->n; i++) {
        previous = *end;
        previous_group = self.group;
        end->segment = i;
        rc = scan (&self, i, &end->offset, &next, &sealed, err);
        if (rc == DFS_OK && !next)
            rc = refuse_damage (&self, i, end->offset, err);
    }
    if (rc == DFS_OK && next && sealed)
        rc = damaged (&self, end->segment, end->offset,
                      "the segment behind it is missing", err);
    if (rc == DFS_OK)
        rc = settle (&self, end, &previous, previous_group, err);
    end->epoch = self.epoch;
    free (self.window.bytes);
    return rc;
}
