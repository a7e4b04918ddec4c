/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"

#include "wal_private.h"

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

bool wal_look (wal_t *self, uint64_t index, uint64_t *term, enum record_type *type)
{
    pthread_mutex_lock (&self->lock);
    const place_t *place = places_get (&self->places, index);
    if (place) {
        *term = place->term;
        *type = (enum record_type)place->type;
    }
    pthread_mutex_unlock (&self->lock);
    return place != NULL;
}

uint64_t wal_bytes (wal_t *self)
{
    uint64_t sum = 0;
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n_segments; i++)
        sum += self->segments[i]->header.size;
    pthread_mutex_unlock (&self->lock);
    return sum;
}

uint64_t wal_within (wal_t *self, uint64_t max)
{
    pthread_mutex_lock (&self->lock);
    size_t k = self->n_segments - 1;
    for (uint64_t sum = self->segments[k]->header.size; k > 0; k--) {
        sum += self->segments[k - 1]->header.size;
        if (sum > max)
            break;
    }
    /* Segments follow each other as entries do. */
    uint64_t seq = self->segments[k]->header.seq, low = 0, high = self->places.n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (places_get (&self->places, self->places.first + middle)->seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    uint64_t first = self->places.first + low;
    pthread_mutex_unlock (&self->lock);
    return first;
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
