/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks of a put: read and hashed in the pool, found again by key, finished. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/put.h"
#include "common/clock.h"
#include "common/units.h"

#define WAIT_MIN (50 * MS)
#define WAIT_MAX (1 * SEC)

put_chunk_t *put_chunk_new (put_t *put, put_file_t *file)
{
    put_chunk_t *chunk = calloc (1, sizeof *chunk);
    assert (chunk);
    chunk->put = put;
    chunk->file = file;
    if (put->dfs->trace)
        chunk->since = clock_mono ();
    put->n_chunks++;
    file->chunks++;
    return chunk;
}

void put_chunk_drop_bytes (put_chunk_t *chunk)
{
    for (size_t i = 0; i < chunk->n_slices; i++)
        slice_unref (&chunk->slices[i]);
    free (chunk->slices);
    chunk->slices = NULL;
    chunk->n_slices = 0;
    chunk->held = false;
    if (chunk->reserved) {
        slice_unreserve (chunk->put->dfs->slices, chunk->reserved);
        chunk->reserved = 0;
    }
}

void put_chunk_rewind (put_chunk_t *chunk)
{
    if (chunk->sent > 0 && !chunk->file->source.stream)
        put_chunk_drop_bytes (chunk);
    chunk->sent = chunk->consumed = 0;
    chunk->grant_len = 0;
    chunk->n_targets = 0;
}

static void unbucket (put_chunk_t *chunk)
{
    put_chunk_t **at = &chunk->put->buckets[copykey_hash (&chunk->key) % PUT_BUCKETS];

    while (*at && *at != chunk)
        at = &(*at)->bucket;
    if (*at)
        *at = chunk->bucket;
    chunk->bucket = NULL;
}

/* CHUNK leaves its state. */
static void note_time (put_chunk_t *chunk)
{
    static const char *const steps[CHUNK_STATES] = {
        [CHUNK_HASH] = "read and hash",   [CHUNK_FOLLOW] = "wait for twin",
        [CHUNK_PLACE] = "wait to place",  [CHUNK_PLACING] = "place chunk",
        [CHUNK_WAIT] = "wait and retry",  [CHUNK_MEMORY] = "wait for memory",
        [CHUNK_REREAD] = "read again",    [CHUNK_SEND] = "send",
        [CHUNK_SENT] = "wait for durable"};
    trace_t *trace = chunk->put->dfs->trace;

    if (!trace)
        return;
    trace_since (trace, steps[chunk->state], chunk->since, chunk->length);
    chunk->since = clock_mono ();
}

void put_chunk_free (put_chunk_t *chunk)
{
    note_time (chunk);
    if (chunk->queue)
        TAILQ_REMOVE (chunk->queue, chunk, link);
    unbucket (chunk);
    put_chunk_drop_bytes (chunk);
    chunk->put->n_chunks--;
    chunk->file->chunks--;
    free (chunk->crcs);
    free (chunk->why);
    free (chunk);
}

void put_chunk_move (put_chunk_t *chunk, enum chunk_state state)
{
    if (chunk->state != state)
        note_time (chunk);
    if (chunk->queue)
        TAILQ_REMOVE (chunk->queue, chunk, link);
    chunk->queue = state == CHUNK_SEND ? put_lane (chunk->put, chunk->targets[0])
                                       : &chunk->put->queues[state];
    chunk->state = state;
    TAILQ_INSERT_TAIL (chunk->queue, chunk, link);
}

int64_t put_chunk_read (put_chunk_t *chunk, const source_t *source, digest_t *digest,
                        dfs_error_t *err)
{
    slice_pool_t *pool = chunk->put->dfs->slices;
    size_t most = (chunk->length + SLICE_MAX - 1) / SLICE_MAX;
    uint64_t got = 0;

    chunk->slices = calloc (most ? most : 1, sizeof *chunk->slices);
    chunk->crcs =
        realloc (chunk->crcs, (chunk->length / DIGEST_BLOCK + 1) * sizeof *chunk->crcs);
    assert (chunk->slices && chunk->crcs);
    digest_start (digest);
    while (got < chunk->length) {
        if (atomic_load (&chunk->put->cancel))
            return fail (err, DFS_ECANCELED, "canceled");
        uint64_t left = chunk->length - got;
        uint32_t len = left < SLICE_MAX ? (uint32_t)left : SLICE_MAX;
        uint64_t cost = slice_cost (len);
        bool reserved = chunk->reserved >= cost;
        slice_t *slice = slice_new (pool, len, reserved);
        if (!slice)
            return fail (err, DFS_ECANCELED, "canceled");
        if (reserved)
            chunk->reserved -= cost;
        chunk->slices[chunk->n_slices++] = slice;
        ssize_t n = source_read (source, slice->data, len, chunk->offset + got,
                                 &chunk->put->cancel, err);
        if (n < 0)
            return n;
        slice->len = (uint32_t)n;
        digest_update (digest, slice->data, (size_t)n);
        digest_blocks (slice->data, (size_t)n, chunk->crcs + got / DIGEST_BLOCK);
        got += (uint64_t)n;
        if ((uint32_t)n < len)
            break;
    }
    digest_finish (digest, chunk->sha);
    chunk->held = true;
    return (int64_t)got;
}

static void remember (put_chunk_t *chunk, int code, const char *text)
{
    if (!chunk->why)
        chunk->why = malloc (sizeof *chunk->why);
    assert (chunk->why);
    fail (chunk->why, code, "%.400s", text);
}

static void read_run (job_t *job, digest_t *digest)
{
    put_chunk_t *chunk = (put_chunk_t *)job;
    put_file_t *file = chunk->file;
    dfs_error_t err = {0};
    bool again = chunk->state == CHUNK_REREAD, reopened = false;
    source_t source = file->source;
    int64_t n = 0;

    if (again && source.fd < 0) {
        n = source_reopen (&source, file->item->source, &err);
        reopened = n == 0;
    }
    if (n == 0)
        n = put_chunk_read (chunk, &source, digest, &err);
    if (reopened)
        source_close (&source);
    if (n >= 0 && again && memcmp (chunk->key.digest, chunk->sha, 32) != 0)
        n = fail (&err, DFS_ECHANGED, "changed while it was read");
    free (chunk->why); /* of a refusal before */
    chunk->why = NULL;
    if (n < 0)
        remember (chunk, err.code, err.text);
    else if (!again)
        chunk->length = (uint64_t)n;
}

static void read_done (job_t *job, void *arg)
{
    put_chunk_t *chunk = (put_chunk_t *)job;
    put_t *put = arg;
    put_file_t *file = chunk->file;

    if (put->aborting) {
        put_chunk_free (chunk);
        return;
    }
    client_progress (put->dfs);
    if (chunk->state == CHUNK_REREAD)
        file->rereading--;
    if (chunk->greedy) {
        put->greedy--;
        chunk->greedy = false;
    }
    if (chunk->reserved) {
        slice_unreserve (put->dfs->slices, chunk->reserved);
        chunk->reserved = 0;
    }
    if (chunk->state == CHUNK_REREAD) {
        if (chunk->durable)
            put_chunk_done (chunk);
        else if (chunk->why)
            put_chunk_failed (chunk, chunk->why->code, chunk->why->text);
        else if (chunk->grant_len == 0) /* the grant is worth nothing any more */
            put_chunk_move (chunk, CHUNK_PLACE);
        else
            put_send_start (chunk);
        return;
    }
    file->reading = false;
    file->hashing--;
    if (chunk->why || file->item->code < 0) {
        if (!chunk->why)
            remember (chunk, file->item->code, file->item->error.text);
        put_chunk_failed (chunk, chunk->why->code, chunk->why->text);
        return;
    }
    if (file->source.stream && chunk->length < put->chunk_size)
        file->ended = true;
    if (chunk->length == 0) { /* a stream ended between two chunks */
        put_chunk_free (chunk);
        put_file_step (file);
        return;
    }
    file->offset += file->source.stream ? chunk->length : 0;
    if (file->source.stream) {
        put_page_t *page = put_page_extent (file, chunk->offset, chunk->length, false);
        chunk->page = page;
        chunk->slot = (uint32_t)page->n - 1;
    }
    memcpy (chunk->key.digest, chunk->sha, 32);
    put_chunk_hashed (chunk);
    put_file_step (file);
}

void put_chunk_start (put_chunk_t *chunk)
{
    chunk->job.run = read_run;
    chunk->job.done = read_done;
    put_submit (chunk->put, &chunk->job);
}

put_chunk_t *put_chunk_find (put_t *put, const copykey_t *key)
{
    put_chunk_t *chunk = put->buckets[copykey_hash (key) % PUT_BUCKETS];

    while (chunk && copykey_cmp (&chunk->key, key) != 0)
        chunk = chunk->bucket;
    return chunk;
}

void put_chunk_hashed (put_chunk_t *chunk)
{
    put_t *put = chunk->put;
    put_chunk_t *twin = put_chunk_find (put, &chunk->key);

    memcpy (chunk->page->extents[chunk->slot].digest, chunk->key.digest, 32);
    if (twin) {
        /* a stream keeps its bytes: it could be the one to send them yet */
        if (!chunk->file->source.stream)
            put_chunk_drop_bytes (chunk);
        chunk->follow = twin->followers;
        twin->followers = chunk;
        put_chunk_move (chunk, CHUNK_FOLLOW);
        return;
    }
    put_chunk_t **bucket = &put->buckets[copykey_hash (&chunk->key) % PUT_BUCKETS];
    chunk->bucket = *bucket;
    *bucket = chunk;
    put_chunk_move (chunk, CHUNK_PLACE);
}

/* CHUNK is durable; one reference less that its page waits for. */
static void settle (put_chunk_t *chunk, uint64_t index, uint32_t copies)
{
    put_t *put = chunk->put;
    put_file_t *file = chunk->file;
    put_page_t *page = chunk->page;

    if (index < page->index)
        page->index = index;
    if (index < file->index)
        file->index = index;
    if (copies < file->copies)
        file->copies = copies;
    page->open--;
    put->progress.bytes += chunk->length;
    put_chunk_free (chunk);
    put_file_step (file);
}

void put_chunk_done (put_chunk_t *chunk)
{
    put_t *put = chunk->put;
    put_chunk_t *follower = chunk->followers;
    uint64_t index = chunk->index;
    uint32_t copies = chunk->copies;
    uint32_t policy = chunk->file->policy.id;

    client_progress (put->dfs);
    put->stored += chunk->state == CHUNK_SENT;
    chunk->followers = NULL;
    settle (chunk, index, copies);
    while (follower) {
        put_chunk_t *next = follower->follow;
        if (follower->file->policy.id == policy)
            settle (follower, index, copies);
        else { /* what was enough for one file need not be for another */
            follower->follow = NULL;
            put_chunk_hashed (follower);
        }
        follower = next;
    }
}

/* The first of FOLLOWERS takes over what their leader could not do. */
static void promote (put_chunk_t *followers)
{
    put_chunk_t *chunk = followers;

    chunk->followers = followers->follow;
    chunk->follow = NULL;
    put_chunk_t **bucket =
        &chunk->put->buckets[copykey_hash (&chunk->key) % PUT_BUCKETS];
    chunk->bucket = *bucket;
    *bucket = chunk;
    put_chunk_move (chunk, CHUNK_PLACE);
}

void put_chunk_failed (put_chunk_t *chunk, int code, const char *text)
{
    put_file_t *file = chunk->file;
    put_chunk_t *followers = chunk->followers;
    char copy[sizeof ((dfs_error_t *)0)->text];

    memccpy (copy, text, 0, sizeof copy - 1);
    copy[sizeof copy - 1] = 0;
    chunk->followers = NULL;
    unbucket (chunk);
    if (followers)
        promote (followers);
    if (chunk->page)
        chunk->page->open--;
    put_chunk_free (chunk);
    put_file_failed (file, code, copy);
    put_file_step (file);
}

void put_chunk_again (put_chunk_t *chunk, uint32_t avoid, bool later, int code,
                      const char *text)
{
    put_t *put = chunk->put;
    bool known = false;

    remember (chunk, code, text);
    if (put->dfs->timeout_ns / WAIT_MAX < chunk->attempts / 2) {
        put_chunk_failed (chunk, chunk->why->code, chunk->why->text);
        return;
    }
    for (size_t i = 0; i < chunk->n_avoid; i++)
        known = known || chunk->avoid[i] == avoid;
    if (avoid && !known) {
        if (chunk->n_avoid == PUT_AVOID) {
            memmove (chunk->avoid, chunk->avoid + 1,
                     (PUT_AVOID - 1) * sizeof *chunk->avoid);
            chunk->n_avoid--;
        }
        chunk->avoid[chunk->n_avoid++] = avoid;
    }
    put_chunk_rewind (chunk);
    uint64_t wait = WAIT_MIN << (chunk->attempts < 5 ? chunk->attempts : 5);
    chunk->attempts++;
    if (later || avoid == 0) {
        /* nobody may be left but those avoided so far: give them another chance */
        if (later)
            chunk->n_avoid = 0;
        chunk->due = clock_mono () + (wait < WAIT_MAX ? wait : WAIT_MAX);
        put_chunk_move (chunk, CHUNK_WAIT);
    } else
        put_chunk_move (chunk, CHUNK_PLACE);
}
