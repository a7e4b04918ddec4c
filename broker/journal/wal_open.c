/* SPDX-License-Identifier: MPL-2.0 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"

#include "recover.h"
#include "wal_private.h"

static int recovered (uint64_t seq, uint64_t offset, const record_t *record, void *arg,
                      dfs_error_t *err)
{
    wal_t *self = arg;
    places_t *places = &self->places;
    if (!self->started) {
        bool entry = record_is_entry (record->type) || record->type == RECORD_TRUNCATE;
        places_reset (places, record->index - (entry && record->index), 0);
    }
    uint64_t next = places->first + places->n;
    const place_t *before = places_get (places, next - 1);
    switch (record->type) {
    case RECORD_COMMAND:
    case RECORD_BARRIER:
    case RECORD_CHANGE:
        if (record->index != next)
            return fail (err, DFS_EDAMAGED,
                         "entry %" PRIu64 " where %" PRIu64 " should be", record->index,
                         next);
        if (before && record->term < before->term)
            return fail (err, DFS_EDAMAGED,
                         "entry %" PRIu64 " of term %" PRIu64 " behind term %" PRIu64,
                         record->index, record->term, before->term);
        places_push (places, &(place_t){record->term, (uint32_t)seq, (uint32_t)offset,
                                        record->len, record->type});
        break;
    case RECORD_TRUNCATE:
        if (record->index > next)
            return fail (err, DFS_EDAMAGED,
                         "cut at entry %" PRIu64 " of a log that ends with %" PRIu64,
                         record->index, next - 1);
        /* What it cut at may have been in a segment that was removed since. */
        if (record->index < places->first)
            places_reset (places, record->index - 1, 0);
        else
            places_truncate (places, record->index);
        break;
    case RECORD_RESET:
        places_reset (places, record->index, record->term);
        break;
    default:
        if (record->index != next - 1)
            return fail (err, DFS_EDAMAGED,
                         "the log was left at entry %" PRIu64 ", not at %" PRIu64,
                         record->index, next - 1);
        break;
    }
    self->started = true;
    return DFS_OK;
}

static int by_number (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The numbers of the segments in DIR, in order; *SEQS is returned owned. */
static int list (const char *dir, uint64_t **seqs, size_t *n, dfs_error_t *err)
{
    *seqs = NULL;
    *n = 0;
    DIR *d = opendir (dir);
    if (!d)
        return fail_errno (err, "open directory %s", dir);
    struct dirent *entry;
    while ((errno = 0, entry = readdir (d))) {
        uint64_t seq = segment_seq (entry->d_name);
        if (!seq)
            continue;
        *seqs = reallocarray (*seqs, *n + 1, sizeof **seqs);
        if (!*seqs)
            abort ();
        (*seqs)[(*n)++] = seq;
    }
    int rc = errno ? fail_errno (err, "read directory %s", dir) : DFS_OK;
    closedir (d);
    if (*n)
        qsort (*seqs, *n, sizeof **seqs, by_number);
    return rc;
}

static int open_segments (wal_t *self, dfs_error_t *err)
{
    uint64_t *seqs;
    size_t n;
    int rc = list (self->dir, &seqs, &n, err);
    for (size_t i = 0; rc == DFS_OK && i < n; i++) {
        if (i && seqs[i] != seqs[i - 1] + 1) {
            char path[PATH_MAX];
            segment_path (self->dir, seqs[i - 1] + 1, path, sizeof path);
            rc = fail (err, DFS_EDAMAGED, "journal segment %s is missing", path);
            break;
        }
        segment_t *segment = segment_open (self->dir, seqs[i], err);
        if (segment)
            wal_push_segment (self, segment);
        else
            rc = err->code;
    }
    free (seqs);
    return rc;
}

/* What lies behind the last one in use: keeps one as the spare, removes others. */
static segment_t *leave_spare (wal_t *self, size_t used)
{
    while (self->n_segments > used + 1) {
        char path[PATH_MAX];
        segment_path (self->dir, wal_current (self)->header.seq, path, sizeof path);
        segment_close (&self->segments[--self->n_segments]);
        if (io_unlink (path, NULL) || io_sync_dir (self->dir, NULL))
            log_warn ("journal_segment_stays", "path=%s", path);
    }
    if (self->n_segments == used)
        return NULL;
    return self->segments[--self->n_segments];
}

int wal_recover (wal_t *self, bool exists, dfs_error_t *err)
{
    int rc = open_segments (self, err);
    if (rc != DFS_OK)
        return rc;
    char temporary[PATH_MAX + sizeof SEGMENT_TEMPORARY];
    snprintf (temporary, sizeof temporary, "%s/" SEGMENT_TEMPORARY, self->dir);
    io_unlink (temporary, NULL);
    /* A name may be in memory alone, when its maker was killed before the sync. */
    rc = io_sync_dir (self->dir, err);
    if (rc != DFS_OK)
        return rc;
    if (self->n_segments == 0) {
        if (exists)
            return fail (err, DFS_EDAMAGED,
                         "%s: the segments of the journal are missing", self->dir);
        segment_t *segment = segment_create (self->dir, 1, self->segment_size, err);
        if (!segment)
            return err->code;
        wal_push_segment (self, segment);
    }
    recover_config_t config = {self->dir, self->segments, self->n_segments, recovered,
                               self};
    recover_end_t end = {0};
    rc = recover_run (&config, &end, err);
    if (rc != DFS_OK)
        return rc;
    self->end = end.offset;
    self->epoch = end.epoch + 1;
    segment_t *ready = leave_spare (self, end.segment + 1);
    uint64_t next = (ready ? ready : wal_current (self))->header.seq + 1;
    self->spare = spare_new (self->dir, self->segment_size, next, ready);
    return DFS_OK;
}
