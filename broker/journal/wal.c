/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"

#include "places.h"
#include "recover.h"
#include "segment.h"
#include "spare.h"
#include "wal.h"

/* Largest write: bounds the wait of what arrives meanwhile. */
#define GROUP_MAX (8 * 1024 * 1024)

struct wal {
    char dir[PATH_MAX];
    bool unsynced;
    bool started;   /* recovery met a record: the first index is known */
    bool marked;    /* the last record is a mark */
    uint64_t end;   /* next offset in the last segment */
    uint8_t *group; /* what is being written, GROUP_CAP bytes */
    size_t group_cap;
    uint64_t segment_size;
    dfs_error_t failed; /* code 0 while all is well */
    spare_t *spare;
    pthread_mutex_t lock; /* guards the rest against readers */
    segment_t **segments; /* those in use, oldest first, numbers without a gap */
    size_t n_segments;
    places_t places;
};

static segment_t *current (const wal_t *self)
{
    return self->segments[self->n_segments - 1];
}

static void push_segment (wal_t *self, segment_t *segment)
{
    self->segments =
        reallocarray (self->segments, self->n_segments + 1, sizeof *self->segments);
    if (!self->segments)
        abort ();
    self->segments[self->n_segments++] = segment;
}

/* --- recovery --- */

static int recovered (uint64_t seq, uint64_t offset, const record_t *record, void *arg,
                      dfs_error_t *err)
{
    wal_t *self = arg;
    places_t *places = &self->places;
    if (!self->started) {
        uint64_t next = record->type == RECORD_MARK ? record->index + 1 : record->index;
        places_reset (places, next ? next - 1 : 0, 0);
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
        if (record->index > next || record->index < places->first)
            return fail (err, DFS_EDAMAGED,
                         "cut at entry %" PRIu64 " of a log that holds %" PRIu64
                         " to %" PRIu64,
                         record->index, places->first, next - 1);
        places_truncate (places, record->index);
        break;
    case RECORD_RESET:
        places_reset (places, record->index, record->term);
        break;
    case RECORD_MARK:
    case RECORD_END:
        if (record->index != next - 1)
            return fail (err, DFS_EDAMAGED,
                         "the log was closed at entry %" PRIu64 ", not at %" PRIu64,
                         record->index, next - 1);
        break;
    }
    self->started = true;
    self->marked = record->type == RECORD_MARK;
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
            push_segment (self, segment);
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
        segment_path (self->dir, current (self)->header.seq, path, sizeof path);
        segment_close (&self->segments[--self->n_segments]);
        if (io_unlink (path, NULL) || io_sync_dir (self->dir, NULL))
            log_warn ("journal_segment_stays", "path=%s", path);
    }
    if (self->n_segments == used)
        return NULL;
    return self->segments[--self->n_segments];
}

static int open_log (wal_t *self, bool exists, dfs_error_t *err)
{
    int rc = open_segments (self, err);
    if (rc != DFS_OK)
        return rc;
    char temporary[PATH_MAX + sizeof SEGMENT_TEMPORARY];
    snprintf (temporary, sizeof temporary, "%s/" SEGMENT_TEMPORARY, self->dir);
    io_unlink (temporary, NULL);
    if (self->n_segments == 0) {
        if (exists)
            return fail (err, DFS_EDAMAGED,
                         "%s: the segments of the journal are missing", self->dir);
        segment_t *segment = segment_create (self->dir, 1, self->segment_size, err);
        if (!segment)
            return err->code;
        push_segment (self, segment);
    }
    recover_config_t config = {self->dir, self->segments, self->n_segments, recovered,
                               self};
    recover_end_t end;
    rc = recover_run (&config, &end, err);
    if (rc != DFS_OK)
        return rc;
    self->end = end.offset;
    segment_t *ready = leave_spare (self, end.segment + 1);
    uint64_t next = (ready ? ready : current (self))->header.seq + 1;
    self->spare = spare_new (self->dir, self->segment_size, next, ready);
    return DFS_OK;
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
    if (open_log (self, config->exists, err)) {
        self->failed = *err; /* no mark */
        wal_close (&self);
    }
    return self;
}

/* --- writing --- */

static int broken (wal_t *self, dfs_error_t *err)
{
    self->failed = *err;
    return err->code;
}

/* Makes the last segment one with room for a record of SIZE bytes. */
static int make_room (wal_t *self, size_t size, dfs_error_t *err)
{
    if (current (self)->header.size - self->end >= size)
        return DFS_OK;
    if (size > self->segment_size - SEGMENT_HEADER)
        return fail (err, DFS_ETOOBIG, "journal entry of %zu bytes", size);
    segment_t *segment = spare_take (self->spare, err);
    if (!segment) {
        bool full = err->code == DFS_ENOSPC || err->code == DFS_EQUOTA;
        return full ? err->code : broken (self, err);
    }
    pthread_mutex_lock (&self->lock);
    push_segment (self, segment);
    pthread_mutex_unlock (&self->lock);
    self->end = SEGMENT_HEADER;
    return DFS_OK;
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
    whole.flags = self->unsynced ? RECORD_UNSYNCED : 0;
    record_encode (&whole, current (self)->header.salt, self->group + at);
}

/* Writes LEN bytes of the group. A failure leaves the file in a state nobody knows, and
 * a second fsync may wrongly succeed: so it is the end. */
static int write_group (wal_t *self, size_t len, dfs_error_t *err)
{
    int fd = current (self)->fd;
    if (io_pwrite (fd, self->group, len, self->end, err) ||
        (!self->unsynced && io_fdatasync (fd, err))) {
        wrap (err, "journal segment %016" PRIx64 " at %" PRIu64,
              current (self)->header.seq, self->end);
        return broken (self, err);
    }
    self->end += len;
    self->marked = false;
    return DFS_OK;
}

int wal_append (wal_t *self, const wal_entry_t *entries, size_t n, size_t *done,
                dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    *done = 0;
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    assert (n > 0 && entries[0].index == self->places.first + self->places.n);
    int rc = make_room (self, record_size (entries[0].len), err);
    if (rc != DFS_OK)
        return rc;
    size_t room = (size_t)(current (self)->header.size - self->end);
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
                     &(place_t){entries[i].term, (uint32_t)current (self)->header.seq,
                                (uint32_t)offset, entries[i].len, entries[i].type});
        offset += record_size (entries[i].len);
    }
    pthread_mutex_unlock (&self->lock);
    *done = k;
    return DFS_OK;
}

/* Writes one record without data. */
static int write_control (wal_t *self, enum record_type type, uint64_t index,
                          uint64_t term, dfs_error_t *err)
{
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    int rc = make_room (self, RECORD_HEADER, err);
    if (rc != DFS_OK)
        return rc;
    encode (self, 0, &(record_t){.index = index, .term = term, .type = type});
    return write_group (self, RECORD_HEADER, err);
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
    uint64_t keep = first ? first->seq : current (self)->header.seq;
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

void wal_close (wal_t **self_p)
{
    wal_t *self = *self_p;
    if (!self)
        return;
    dfs_error_t err;
    if (!self->failed.code && !self->marked && !self->unsynced && self->spare &&
        current (self)->header.size - self->end >= RECORD_HEADER &&
        write_control (self, RECORD_MARK, places_last (&self->places), 0, &err))
        log_warn ("journal_unmarked", "err=%s", err.text);
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

/* --- questions and reading --- */

size_t wal_max_len (const wal_t *self)
{
    size_t most = (size_t)self->segment_size - SEGMENT_HEADER - RECORD_HEADER;
    return most < RECORD_MAX_DATA ? most : RECORD_MAX_DATA;
}

bool wal_hopeful (wal_t *self)
{
    return spare_hopeful (self->spare);
}

uint64_t wal_first (wal_t *self)
{
    pthread_mutex_lock (&self->lock);
    uint64_t first = self->places.first;
    pthread_mutex_unlock (&self->lock);
    return first;
}

uint64_t wal_last (wal_t *self)
{
    pthread_mutex_lock (&self->lock);
    uint64_t last = places_last (&self->places);
    pthread_mutex_unlock (&self->lock);
    return last;
}

uint64_t wal_term (wal_t *self, uint64_t index)
{
    pthread_mutex_lock (&self->lock);
    const place_t *place = places_get (&self->places, index);
    uint64_t term = place                             ? place->term
                    : index + 1 == self->places.first ? self->places.base_term
                                                      : 0;
    pthread_mutex_unlock (&self->lock);
    return term;
}

/* Reads the run of entries of one segment that begins at PLACES[0]; returns their
 * number. */
static int read_run (wal_t *self, const segment_t *segment, uint64_t index,
                     const place_t *places, size_t n, uint8_t *bytes,
                     wal_entry_t *entries, dfs_error_t *err)
{
    uint64_t start = places[0].offset;
    uint64_t end = places[n - 1].offset + record_size (places[n - 1].len);
    if (io_pread (segment->fd, bytes, (size_t)(end - start), start, err))
        return wrap (err, "read journal segment %016" PRIx64, segment->header.seq);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = bytes + (places[i].offset - start);
        record_t r;
        if (record_peek (p, places[i].offset, segment->header.size,
                         segment->header.salt, &r) != RECORD_VALID ||
            r.len != places[i].len || !record_check (p, segment->header.salt, &r) ||
            r.index != index + i || r.term != places[i].term) {
            char path[PATH_MAX];
            segment_path (self->dir, segment->header.seq, path, sizeof path);
            return fail (err, DFS_EDAMAGED,
                         "journal segment %s is damaged at offset %u: entry %" PRIu64,
                         path, places[i].offset, index + i);
        }
        entries[i] = (wal_entry_t){r.index, r.term, r.type, r.len, r.data};
    }
    return DFS_OK;
}

/* How many of the N places at P lie one behind the other in one segment. */
static size_t run_length (const place_t *p, size_t n)
{
    size_t k = 1;
    while (k < n && p[k].seq == p[0].seq &&
           p[k].offset == p[k - 1].offset + record_size (p[k - 1].len))
        k++;
    return k;
}

/* Takes or gives back the segments that the places lie in. The lock is held. */
static void hold (wal_t *self, const place_t *places, size_t n, bool take)
{
    uint64_t base = self->segments[0]->header.seq;
    for (size_t i = 0; i < n; i += run_length (places + i, n - i))
        self->segments[places[i].seq - base]->refs += take ? 1u : ~0u;
}

int wal_read (wal_t *self, uint64_t from, uint64_t to, size_t max_bytes,
              wal_entries_t *out, dfs_error_t *err)
{
    *out = (wal_entries_t){0};
    assert (from <= to);
    pthread_mutex_lock (&self->lock);
    if (!places_get (&self->places, from) || !places_get (&self->places, to)) {
        uint64_t first = self->places.first, last = places_last (&self->places);
        pthread_mutex_unlock (&self->lock);
        return fail (err, DFS_ENOENT,
                     "entries %" PRIu64 " to %" PRIu64 " of a log that holds %" PRIu64
                     " to %" PRIu64,
                     from, to, first, last);
    }
    size_t n = 0, bytes = 0, data = 0;
    for (uint64_t i = from; i <= to; i++, n++) {
        const place_t *place = places_get (&self->places, i);
        if (n && data + place->len > max_bytes)
            break;
        data += place->len;
        bytes += record_size (place->len);
    }
    place_t *places = malloc (n * sizeof *places);
    wal_entry_t *entries = malloc (n * sizeof *entries + bytes);
    if (!places || !entries)
        abort ();
    memcpy (places, places_get (&self->places, from), n * sizeof *places);
    hold (self, places, n, true);
    pthread_mutex_unlock (&self->lock);

    int rc = DFS_OK;
    uint8_t *p = (uint8_t *)(entries + n);
    for (size_t i = 0; rc == DFS_OK && i < n;) {
        size_t k = run_length (places + i, n - i);
        pthread_mutex_lock (&self->lock);
        const segment_t *segment =
            self->segments[places[i].seq - self->segments[0]->header.seq];
        pthread_mutex_unlock (&self->lock);
        rc = read_run (self, segment, from + i, places + i, k, p, entries + i, err);
        for (size_t j = i; j < i + k; j++)
            p += record_size (places[j].len);
        i += k;
    }
    pthread_mutex_lock (&self->lock);
    hold (self, places, n, false);
    pthread_mutex_unlock (&self->lock);
    free (places);
    if (rc != DFS_OK) {
        free (entries);
        return rc;
    }
    *out = (wal_entries_t){n, entries};
    return DFS_OK;
}

void wal_entries_free (wal_entries_t *entries)
{
    free (entries->entries);
    *entries = (wal_entries_t){0};
}
