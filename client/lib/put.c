/* SPDX-License-Identifier: MPL-2.0 */
/* A run of dfs_put: takes files in, as many as memory and window allow, and sees them
 * through.
 */
#include "client/lib/put.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/rng.h"
#include "common/units.h"

#define FILES_MAX   512        /* in flight */
#define CHUNKS_MAX  1024       /* in flight */
#define PAGES_MAX   8          /* of one file, not yet staged */
#define GREEDY_COST (16 * MIB) /* chunks from here on take memory as it comes */
#define PROGRESS_NS (100 * MS)

static const engine_t engine = {
    .message = put_message,
    .uplink_broken = put_uplink_broken,
    .reconnected = put_reconnected,
};

void put_submit (put_t *put, job_t *job)
{
    job->next = NULL;
    *put->jobs_tail = job;
    put->jobs_tail = &job->next;
}

static void flush_jobs (put_t *put)
{
    pool_submit (put->dfs->pool, put->jobs);
    put->jobs = NULL;
    put->jobs_tail = &put->jobs;
}

void put_file_failed (put_file_t *file, int code, const char *text)
{
    if (file->item->code < 0)
        return;
    file->item->code = fail (&file->item->error, code, "%.500s", text);
    file->ended = true;
}

static void file_free (put_file_t *file)
{
    put_t *put = file->put;
    put_page_t *page;

    changes_drop (put->dfs->changes, &file->change);
    while ((page = TAILQ_FIRST (&file->pages)))
        put_page_free (page);
    TAILQ_REMOVE (file->big ? &put->big : &put->files, file, link);
    put->n_files--;
    source_close (&file->source);
    free (file->inline_data);
    free (file);
}

/* An item has its result. */
static void item_ended (put_t *put, dfs_put_item_t *item)
{
    put->done_items++;
    put->progress.files++;
    if (item->code < 0 && put->code == 0) {
        put->code = item->code;
        put->error = item->error;
    }
}

/* Everything is read: it must have stayed as it was. Descriptors are few; who must read
 * again opens it again. */
static void close_source (put_file_t *file)
{
    dfs_error_t err = {0};

    if (file->checked)
        return;
    file->checked = true;
    if (file->item->code == 0 && source_unchanged (&file->source, &err) < 0)
        put_file_failed (file, err.code, err.text);
    if (file->source.own && !file->source.stream)
        source_close (&file->source);
}

void put_file_step (put_file_t *file)
{
    if (file->big && file->ended && !file->reading) {
        TAILQ_REMOVE (&file->put->big, file, link);
        TAILQ_INSERT_TAIL (&file->put->files, file, link);
        file->big = false;
    }
    if (file->put->aborting)
        return;
    if (file->ended && file->hashing == 0 && file->rereading == 0 && !file->reading)
        close_source (file);
    if (!file->finished && !file->first)
        put_commit_step (file);
    bool failed = file->item->code < 0 && file->stages == 0 && file->upload == 0;
    if (file->committing || file->chunks > 0 || file->reading ||
        !(file->finished || failed))
        return;
    item_ended (file->put, file->item);
    file_free (file);
}

/* Reads a small file whole: one job per file. */
static void open_run (job_t *job, digest_t *digest)
{
    put_file_t *file = (put_file_t *)job;
    put_t *put = file->put;
    dfs_put_item_t *item = file->item;
    put_chunk_t *chunk = file->first;
    dfs_error_t *err = &item->error;

    item->code = source_open (&file->source, item->source, item->fd, err);
    if (item->code < 0 || file->source.stream || file->source.size > PUT_SMALL ||
        file->source.size > put->chunk_size || file->source.size == 0)
        return;
    chunk->length = file->source.size;
    int64_t n = put_chunk_read (chunk, &file->source, digest, err);
    if (n >= 0)
        n = source_unchanged (&file->source, err);
    item->code = n < 0 ? (int)n : 0;
    if (item->source)
        source_close (&file->source);
}

static void open_done (job_t *job, void *arg)
{
    put_file_t *file = (put_file_t *)job;
    put_t *put = arg;
    put_chunk_t *chunk = file->first;

    file->first = NULL;
    file->reading = false;
    if (put->aborting) {
        file->item->code = 0;
        put_chunk_free (chunk);
        return;
    }
    client_progress (put->dfs);
    if (chunk->reserved) {
        slice_unreserve (put->dfs->slices, chunk->reserved);
        chunk->reserved = 0;
    }
    bool whole = chunk->held && file->item->code == 0;
    file->ended = whole || file->item->code < 0 ||
                  (!file->source.stream && file->source.size == 0);
    if (!whole) {
        put_chunk_free (chunk);
        if (!file->ended) {
            TAILQ_REMOVE (&put->files, file, link);
            TAILQ_INSERT_TAIL (&put->big, file, link);
            file->big = true;
        }
    } else if (put_inline_fits (file, chunk->length))
        put_inline_keep (file, chunk);
    else {
        chunk->page = put_page_extent (file, 0, chunk->length, false);
        memcpy (chunk->key.digest, chunk->sha, 32);
        put_chunk_hashed (chunk);
    }
    put_file_step (file);
}

static bool take_item (put_t *put)
{
    if (put->n_files == FILES_MAX || put->n_chunks >= CHUNKS_MAX || put->greedy > 0 ||
        !slice_reserve (put->dfs->slices, PUT_SMALL))
        return false;
    put_file_t *file = calloc (1, sizeof *file);
    assert (file);
    file->put = put;
    file->policy = put->policies[put->next_item];
    file->item = &put->items[put->next_item++];
    file->source.fd = -1;
    file->index = UINT64_MAX;
    file->copies = UINT32_MAX;
    file->reading = true;
    TAILQ_INIT (&file->pages);
    TAILQ_INSERT_TAIL (&put->files, file, link);
    put->n_files++;
    file->first = put_chunk_new (put, file);
    file->first->reserved = PUT_SMALL;
    file->job.run = open_run;
    file->job.done = open_done;
    put_submit (put, &file->job);
    return true;
}

/* Memory for a chunk of LENGTH bytes; false: not now. One that takes it as it comes may
 * need all there is: nothing else has a share while it is read. */
static bool afford (put_t *put, uint64_t length, uint64_t *reserved)
{
    uint64_t cost = slice_cost (length);

    *reserved = 0;
    if (put->greedy > 0)
        return false;
    if (cost >= GREEDY_COST)
        return slice_none_reserved (put->dfs->slices);
    if (!slice_reserve (put->dfs->slices, cost))
        return false;
    *reserved = cost;
    return true;
}

enum cut { CUT_FULL, CUT_MORE, CUT_END };

/* Cuts one more run of FILE: CUT_FULL when there is no room, CUT_END when that was the
 * last (and FILE may be gone). */
static enum cut cut (put_t *put, put_file_t *file)
{
    uint64_t length, reserved;

    if (put->n_chunks >= CHUNKS_MAX || file->reading || file->ended ||
        file->n_pages > PAGES_MAX)
        return CUT_FULL;
    enum split_kind kind =
        split_next (&file->source, file->offset, put->chunk_size, &length);
    if (kind == SPLIT_HOLE) {
        put_page_extent (file, file->offset, length, true);
        file->offset += length;
        put->progress.bytes += length;
    } else if (kind == SPLIT_CHUNK) {
        if (!afford (put, length, &reserved))
            return CUT_FULL;
        put_chunk_t *chunk = put_chunk_new (put, file);
        chunk->offset = file->offset;
        chunk->length = length;
        chunk->reserved = reserved;
        chunk->greedy = reserved == 0;
        put->greedy += chunk->greedy;
        file->hashing++;
        if (file->source.stream)
            file->reading = true;
        else {
            chunk->page = put_page_extent (file, file->offset, length, false);
            chunk->slot = (uint32_t)chunk->page->n - 1;
            file->offset += length;
        }
        put_chunk_move (chunk, CHUNK_HASH);
        put_chunk_start (chunk);
    }
    if (file->source.stream || file->offset < file->source.size)
        return CUT_MORE;
    file->ended = true;
    put_file_step (file);
    return CUT_END;
}

/* Starts as much as there is room for: first what must be read again, then the files
 * being split, then new ones. */
static void admit (put_t *put)
{
    put_chunk_t *chunk, *next;
    put_file_t *file, *after;

    for (chunk = TAILQ_FIRST (&put->queues[CHUNK_MEMORY]); chunk; chunk = next) {
        next = TAILQ_NEXT (chunk, link);
        if (!afford (put, chunk->length, &chunk->reserved))
            return;
        chunk->greedy = chunk->reserved == 0;
        put->greedy += chunk->greedy;
        chunk->file->rereading++;
        put_chunk_move (chunk, CHUNK_REREAD);
        put_chunk_start (chunk);
    }
    for (file = TAILQ_FIRST (&put->big); file; file = after) {
        after = TAILQ_NEXT (file, link);
        while (cut (put, file) == CUT_MORE)
            ;
    }
    while (put->next_item < put->n_items && TAILQ_EMPTY (&put->big) && take_item (put))
        ;
}

static int report (put_t *put, bool always)
{
    uint64_t now = clock_mono ();

    if (!put->options->progress || (!always && now - put->progress_at < PROGRESS_NS))
        return 0;
    put->progress_at = now;
    return put->options->progress (&put->progress, put->options->progress_arg);
}

static void free_queue (struct chunk_queue *queue)
{
    put_chunk_t *chunk;

    while ((chunk = TAILQ_FIRST (queue)))
        put_chunk_free (chunk);
}

/* Ends everything that is in flight; items without a result get CODE and TEXT. */
static void give_up (put_t *put, int code, const char *text)
{
    dfs_t *dfs = put->dfs;
    put_file_t *file;

    put->aborting = true;
    atomic_store (&put->cancel, true);
    requests_forget (dfs->requests, put);
    slice_pool_cancel (dfs->slices, true);
    for (size_t i = 0; i < put->n_lanes; i++)
        free_queue (&put->lanes[i].queue);
    for (int state = 0; state < CHUNK_STATES; state++)
        if (state != CHUNK_HASH && state != CHUNK_REREAD)
            free_queue (&put->queues[state]);
    /* jobs end by themselves: their reads fail, their memory does not come */
    while (pool_pending (dfs->pool) > 0) {
        pool_wait (dfs->pool);
        pool_collect (dfs->pool, put);
        for (int state = 0; state < CHUNK_STATES; state++)
            if (state != CHUNK_HASH && state != CHUNK_REREAD)
                free_queue (&put->queues[state]);
        for (size_t i = 0; i < put->n_lanes; i++)
            free_queue (&put->lanes[i].queue);
    }
    slice_pool_cancel (dfs->slices, false);
    while ((file = TAILQ_FIRST (&put->files)) || (file = TAILQ_FIRST (&put->big))) {
        put_file_failed (file, code, text);
        item_ended (put, file->item);
        file_free (file);
    }
    for (; put->next_item < put->n_items; put->next_item++) {
        dfs_put_item_t *item = &put->items[put->next_item];
        item->code = fail (&item->error, code, "%.500s", text);
        item_ended (put, item);
    }
}

/* Whether all there is to do waits for a pipe: it may be as slow as it likes. */
static bool source_is_slow (const put_t *put)
{
    const put_chunk_t *chunk;

    if (put->n_chunks != pool_pending (put->dfs->pool))
        return false;
    TAILQ_FOREACH (chunk, &put->queues[CHUNK_HASH], link)
    if (chunk->file->source.stream)
        return true;
    return false;
}

static int turn (put_t *put, dfs_error_t *err)
{
    uint64_t now = clock_mono ();

    admit (put);
    flush_jobs (put);
    put_send (put);
    put_place (put, now);
    put_timeouts (put, now);
    if (put->done_items == put->n_items)
        return 0;
    int rc = client_step (put->dfs, UINT64_MAX, err);
    if (rc == 0 && report (put, false) != 0)
        rc = fail (err, DFS_ECANCELED, "canceled");
    if (rc == 0 && source_is_slow (put))
        client_progress (put->dfs);
    return rc == 0 ? client_stalled (put->dfs, err) : rc;
}

static void count_total (put_t *put)
{
    struct stat st;

    put->progress.files_total = put->n_items;
    if (!put->options->progress)
        return;
    for (size_t i = 0; i < put->n_items; i++) {
        const dfs_put_item_t *item = &put->items[i];
        int rc = item->source ? stat (item->source, &st) : fstat (item->fd, &st);
        if (rc == 0 && !S_ISREG (st.st_mode)) {
            put->progress.bytes_total = 0;
            return;
        }
        if (rc == 0)
            put->progress.bytes_total += (uint64_t)st.st_size;
    }
}

static int prepare (put_t *put, dfs_error_t *err)
{
    const conn_facts_t *facts = conn_facts (put->dfs->conn);
    int rc = client_threads (put->dfs, err);

    if (rc < 0)
        return rc;
    put->flags =
        put->options->flags ? put->options->flags : DFS_PUT_CREATE | DFS_PUT_REPLACE;
    put->chunk_size =
        put->options->chunk_size ? put->options->chunk_size : facts->chunk_size;
    if (put->chunk_size < CHUNK_SIZE_MIN || put->chunk_size > CHUNK_SIZE_MAX)
        return fail (err, DFS_EINVAL, "chunk size is not within 64 KiB and 64 MiB");
    put->jobs_tail = &put->jobs;
    TAILQ_INIT (&put->files);
    TAILQ_INIT (&put->big);
    for (int i = 0; i < CHUNK_STATES; i++)
        TAILQ_INIT (&put->queues[i]);
    while (!put->upload)
        put->upload = rng_secret_u64 ();
    for (size_t i = 0; i < put->n_items; i++) {
        put->items[i].code = 0;
        memset (&put->items[i].error, 0, sizeof put->items[i].error);
        put->items[i].version = put->items[i].size = put->items[i].copies = 0;
    }
    count_total (put);
    return 0;
}

int put_run (dfs_t *dfs, dfs_put_item_t *items, size_t n,
             const dfs_put_options_t *options, dfs_error_t *err)
{
    dfs_error_t local = {0};
    put_policy_t *policies;
    int rc = put_policies (dfs, items, n, options, &policies, err);
    if (rc == 0)
        rc = client_enter (dfs, err);

    if (rc < 0) {
        free (policies);
        return rc;
    }
    put_t *put = calloc (1, sizeof *put);
    assert (put);
    put->dfs = dfs;
    put->items = items;
    put->n_items = n;
    put->options = options;
    put->policies = policies;
    rc = prepare (put, &local);
    if (rc == 0) {
        dfs->engine = &engine;
        dfs->engine_arg = put;
        pool_limit (dfs->pool, 0);
        while (rc == 0 && put->done_items < n)
            rc = turn (put, &local);
        if (rc < 0)
            give_up (put, local.code, local.text);
        else {
            report (put, true);
            client_steps (dfs, "store", put->stored);
        }
        requests_forget (dfs->requests, put);
        dfs->engine = NULL;
        dfs->engine_arg = NULL;
        slice_pool_trim (dfs->slices, 8);
        rc = put->code;
        if (rc < 0)
            fail (err, rc, "%s", put->error.text);
    } else
        fail (err, rc, "%s", local.text);
    free (policies);
    free (put);
    client_leave (dfs);
    return rc;
}
