/* SPDX-License-Identifier: MPL-2.0 */
/* dfs_get: takes files in, as many as the window allows, and sees them through. */
#include "client/lib/get.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"

#define FILES_MAX   512 /* in flight */
#define PROGRESS_NS (100 * MS)

static const engine_t engine = {
    .message = get_message,
    .frame = get_frame,
    .reading = get_reading,
    .stream_ended = get_stream_ended,
    .reconnected = get_reconnected,
};

void get_submit (get_t *get, job_t *job)
{
    job->next = NULL;
    *get->jobs_tail = job;
    get->jobs_tail = &job->next;
}

static void flush_jobs (get_t *get)
{
    pool_submit (get->dfs->pool, get->jobs);
    get->jobs = NULL;
    get->jobs_tail = &get->jobs;
}

get_file_t *get_file_new (get_t *get, dfs_get_item_t *item)
{
    get_file_t *file = calloc (1, sizeof *file);

    assert (file);
    file->get = get;
    file->item = item;
    file->target.fd = -1;
    file->stage = FILE_UNOPENED;
    TAILQ_INSERT_TAIL (&get->files[FILE_UNOPENED], file, link);
    get->n_files++;
    return file;
}

void get_file_stage (get_file_t *file, enum file_stage stage)
{
    TAILQ_REMOVE (&file->get->files[file->stage], file, link);
    file->stage = stage;
    TAILQ_INSERT_TAIL (&file->get->files[stage], file, link);
}

void get_file_failed (get_file_t *file, int code, const char *text)
{
    if (file->item->code == 0)
        file->item->code = fail (&file->item->error, code, "%.500s", text);
}

static void item_ended (get_t *get, dfs_get_item_t *item)
{
    get->done_items++;
    get->progress.files++;
    if (item->code < 0 && get->code == 0) {
        get->code = item->code;
        get->error = item->error;
    }
}

static void file_free (get_file_t *file)
{
    get_t *get = file->get;

    requests_forget (get->dfs->requests, file);
    get->n_open -= file->counted;
    target_drop (&file->target);
    if (file->lend) {
        *file->lend = file->extents;
        memset (&file->extents, 0, sizeof file->extents);
    }
    extents_clear (&file->extents);
    TAILQ_REMOVE (&get->files[file->stage], file, link);
    get->n_files--;
    free (file);
}

/* Drops the pieces of FILE that no job is at. */
static void drop_pieces (get_file_t *file)
{
    for (int state = 0; state < PIECE_STATES; state++) {
        struct piece_queue *queue = &file->get->pieces[state];
        get_piece_t *piece, *next;
        for (piece = TAILQ_FIRST (queue); piece; piece = next) {
            next = TAILQ_NEXT (piece, link);
            if (piece->file == file && !piece->running)
                get_piece_free (piece);
        }
    }
}

static void end_run (job_t *job, digest_t *digest)
{
    get_file_t *file = (get_file_t *)job;
    dfs_get_item_t *item = file->item;
    int rc = 0;

    (void)digest;
    if (file->target.kind == TARGET_FILE && !file->ready)
        rc = target_open (&file->target, &item->error);
    if (rc == 0)
        rc = target_finish (&file->target, file->end - file->begin,
                            item->keep_attributes ? file->mode : UINT32_MAX,
                            item->keep_attributes ? file->mtime_ns : UINT64_MAX,
                            file->get->options->sync, &item->error);
    item->code = rc;
}

static void end_done (job_t *job, void *arg)
{
    get_file_t *file = (get_file_t *)job;
    get_t *get = arg;

    client_progress (get->dfs);
    file->ended = true;
    get_file_stage (file, FILE_CUT);
    get_file_step (file);
}

void get_file_step (get_file_t *file)
{
    get_t *get = file->get;

    if (get->aborting || file->stage == FILE_ENDING || file->stage == FILE_UNOPENED)
        return;
    if (file->item->code < 0) {
        drop_pieces (file);
        if (file->pieces > 0)
            return; /* a job still works on one */
    } else if (file->stage != FILE_CUT || file->pieces > 0)
        return;
    else if (!file->ended && file->target.kind != TARGET_MEMORY) {
        file->job.run = end_run;
        file->job.done = end_done;
        get_file_stage (file, FILE_ENDING);
        get_submit (get, &file->job);
        return;
    }
    if (file->item->code == 0)
        file->item->size = file->end - file->begin;
    item_ended (get, file->item);
    file_free (file);
}

static int report (get_t *get, bool always)
{
    uint64_t now = clock_mono ();
    dfs_progress_t progress = get->progress;

    if (!get->options->progress || (!always && now - get->progress_at < PROGRESS_NS))
        return 0;
    get->progress_at = now;
    if (get->opened_items < get->n_items)
        progress.bytes_total = 0; /* not known yet */
    return get->options->progress (&progress, get->options->progress_arg);
}

static void drop_all (get_t *get)
{
    for (int state = 0; state < PIECE_STATES; state++) {
        get_piece_t *piece, *next;
        for (piece = TAILQ_FIRST (&get->pieces[state]); piece; piece = next) {
            next = TAILQ_NEXT (piece, link);
            if (!piece->running)
                get_piece_free (piece);
        }
    }
}

/* Ends everything that is in flight; items without a result get CODE and TEXT. */
static void give_up (get_t *get, int code, const char *text)
{
    get_file_t *file;

    get->aborting = true;
    requests_forget (get->dfs->requests, get);
    flush_jobs (get);
    while (pool_pending (get->dfs->pool) > 0) {
        pool_wait (get->dfs->pool);
        pool_collect (get->dfs->pool, get);
    }
    drop_all (get);
    for (int stage = 0; stage <= FILE_ENDING; stage++)
        while ((file = TAILQ_FIRST (&get->files[stage]))) {
            if (!file->ended)
                get_file_failed (file, code, text);
            item_ended (get, file->item);
            file_free (file);
        }
    for (; get->next_item < get->n_items; get->next_item++) {
        dfs_get_item_t *item = &get->items[get->next_item];
        item->code = fail (&item->error, code, "%.500s", text);
        item_ended (get, item);
    }
}

/* Tells workers to stop what they still send for pieces nobody wants. */
static void cancel_all (get_t *get)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Cancel body = DFS__CANCEL__INIT;
    zmq_msg_t msg;

    env.version = 1;
    env.has_session = true;
    env.session = get->dfs->session;
    env.body_case = DFS__ENVELOPE__BODY_CANCEL;
    env.cancel = &body;
    zmq_msg_init_size (&msg, dfs__envelope__get_packed_size (&env));
    dfs__envelope__pack (&env, zmq_msg_data (&msg));
    if (conn_send (get->dfs->conn, &msg) < 0)
        zmq_msg_close (&msg);
}

static int turn (get_t *get, dfs_error_t *err)
{
    uint64_t now = clock_mono ();

    while (get->next_item < get->n_items && get->n_files < FILES_MAX)
        get_file_new (get, &get->items[get->next_item++]);
    get_open (get);
    get_cut (get);
    get_fetch (get, now);
    get_write_order (get);
    get_late (get, now);
    flush_jobs (get);
    if (get->done_items == get->n_items)
        return 0;
    int rc = client_step (get->dfs, UINT64_MAX, err);
    if (rc == 0 && report (get, false) != 0)
        rc = fail (err, DFS_ECANCELED, "canceled");
    /* a slow reader of ours is not the network's fault */
    if (get->writing)
        client_progress (get->dfs);
    return rc == 0 ? client_stalled (get->dfs, err) : rc;
}

int get_run (get_t *get, dfs_error_t *err)
{
    dfs_t *dfs = get->dfs;
    long cpus = sysconf (_SC_NPROCESSORS_ONLN);
    dfs_error_t local = {0};
    int rc = 0;

    dfs->engine = &engine;
    dfs->engine_arg = get;
    pool_limit (dfs->pool, cpus > 2 ? (size_t)cpus - 1 : 1);
    while (rc == 0 && get->done_items < get->n_items)
        rc = turn (get, &local);
    if (rc < 0) {
        give_up (get, local.code, local.text);
        cancel_all (get);
    } else {
        report (get, true);
        client_steps (dfs, "send", get->came);
    }
    requests_forget (dfs->requests, get);
    dfs->engine = NULL;
    dfs->engine_arg = NULL;
    return get->code < 0 ? fail (err, get->code, "%s", get->error.text) : 0;
}

get_t *get_new (dfs_t *dfs, dfs_get_item_t *items, size_t n,
                const dfs_get_options_t *options, dfs_error_t *err)
{
    static const dfs_get_options_t none = {0};
    get_t *self;

    if (client_threads (dfs, err) < 0)
        return NULL;
    self = calloc (1, sizeof *self);
    assert (self);
    self->dfs = dfs;
    self->items = items;
    self->n_items = n;
    self->options = options ? options : &none;
    self->jobs_tail = &self->jobs;
    self->next_id = dfs->next_piece; /* unique in the session */
    self->progress.files_total = n;
    TAILQ_INIT (&self->order);
    for (int i = 0; i <= FILE_ENDING; i++)
        TAILQ_INIT (&self->files[i]);
    for (int i = 0; i < PIECE_STATES; i++)
        TAILQ_INIT (&self->pieces[i]);
    for (size_t i = 0; i < n; i++) {
        items[i].code = 0;
        memset (&items[i].error, 0, sizeof items[i].error);
        items[i].size = items[i].version = 0;
    }
    return self;
}

void get_destroy (get_t **self_p)
{
    get_t *self = *self_p;

    if (!self)
        return;
    self->dfs->next_piece = self->next_id;
    for (size_t i = 0; i < self->n_spare; i++)
        digest_destroy (&self->spare[i]);
    free (self);
    *self_p = NULL;
}

int dfs_get (dfs_t *dfs, dfs_get_item_t *items, size_t n,
             const dfs_get_options_t *options, dfs_error_t *err)
{
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    get_t *get = get_new (dfs, items, n, options, err);
    rc = get ? get_run (get, err) : DFS_ESYS;
    get_destroy (&get);
    client_leave (dfs);
    return rc;
}
