/* SPDX-License-Identifier: MPL-2.0 */
/* Frames on their way into files: taken in by the loop, checked and written by jobs, in
 * the order of their bytes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/get.h"
#include "common/clock.h"
#include "common/units.h"

#define QUEUED_MAX (24 * MIB) /* frames that wait for a job: no more are read then */
#define HELD_MAX   32         /* frames of a piece that came too early */
#define SPOILT_MAX 4          /* a piece may come damaged so often on its way */

void get_frames_free (get_frame_t **list)
{
    while (*list) {
        get_frame_t *frame = *list;
        *list = frame->next;
        zmq_msg_close (&frame->bytes);
        free (frame);
    }
}

/* --- jobs --- */

static void remember (get_piece_t *piece, int code, bool local, const char *text)
{
    if (!piece->why)
        piece->why = malloc (sizeof *piece->why);
    assert (piece->why);
    fail (piece->why, code, "%s", text);
    piece->code = code;
    piece->local = local;
}

static int check_crcs (const get_frame_t *frame, const uint8_t *data, dfs_error_t *err)
{
    uint32_t crcs[FRAME_BLOCKS];
    size_t n = digest_blocks (data, frame->length, crcs);

    if (n != frame->n_crcs || memcmp (crcs, frame->crcs, n * sizeof *crcs) != 0)
        return fail (err, DFS_EDAMAGED, "bytes at %llu of the chunk are damaged",
                     (unsigned long long)frame->offset);
    return 0;
}

static void restart (get_piece_t *piece)
{
    piece->next = piece->begin;
    get_frames_free (&piece->kept);
    get_frames_free (&piece->held);
    if (piece->digest)
        digest_start (piece->digest);
}

/* Bytes [next, end) of FRAME into hash and target. */
static int take_bytes (get_piece_t *piece, get_frame_t *frame, digest_t *digest,
                       dfs_error_t *err)
{
    get_file_t *file = piece->file;
    uint64_t end = frame->offset + frame->length;
    const uint8_t *data = zmq_msg_data (&frame->bytes);
    int rc = piece->kind == EXTENT_CHUNK ? check_crcs (frame, data, err) : 0;

    if (rc < 0) {
        remember (piece, rc, false, err->text);
        piece->by_second = frame->second;
        return rc;
    }
    data += piece->next - frame->offset;
    if (piece->whole)
        digest_update (digest, data, end - piece->next);
    uint64_t from = piece->next > piece->lo ? piece->next : piece->lo;
    uint64_t to = end < piece->hi ? end : piece->hi;
    if (from < to && file->target.kind != TARGET_STREAM) {
        if (piece->alone && !file->ready) {
            rc = target_open (&file->target, err);
            file->ready = rc == 0;
        }
        if (rc == 0)
            rc = target_write (&file->target, data + (from - piece->next), to - from,
                               piece->to + (from - piece->lo), err);
        if (rc < 0) {
            remember (piece, rc, true, err->text);
            return rc;
        }
    }
    piece->next = end;
    return 0;
}

static void keep (get_piece_t *piece, get_frame_t *frame)
{
    get_frame_t **at = &piece->kept;

    while (*at)
        at = &(*at)->next;
    frame->next = NULL;
    *at = frame;
}

/* Came before its turn; kept by offset. Too many mean that something is wrong: they are
 * dropped, and the piece will be late. */
static void hold (get_piece_t *piece, get_frame_t *frame)
{
    get_frame_t **at = &piece->held;
    size_t n = 0;

    while (*at && (*at)->offset < frame->offset) {
        at = &(*at)->next;
        n++;
    }
    frame->next = *at;
    *at = frame;
    if (n > HELD_MAX)
        get_frames_free (&piece->held);
}

/* Digest of the thread when the piece comes in one frame, else the piece's own. */
static digest_t *hash_of (get_piece_t *piece, const get_frame_t *frame, digest_t *own)
{
    if (!piece->whole)
        return NULL;
    if (piece->next == piece->begin && !piece->digest &&
        frame->offset + frame->length == piece->end) {
        digest_start (own);
        return own;
    }
    if (!piece->digest)
        piece->digest = digest_new ();
    if (piece->next == piece->begin)
        digest_start (piece->digest);
    return piece->digest;
}

static void end_of_file (get_piece_t *piece, dfs_error_t *err)
{
    get_file_t *file = piece->file;
    const dfs_get_item_t *item = file->item;

    if (target_finish (&file->target, file->end - file->begin,
                       item->keep_attributes ? file->mode : UINT32_MAX,
                       item->keep_attributes ? file->mtime_ns : UINT64_MAX,
                       file->get->options->sync, err) < 0)
        remember (piece, err->code, true, err->text);
    else
        file->ended = true;
}

static void check_run (job_t *job, digest_t *own)
{
    get_piece_t *piece = (get_piece_t *)job;
    dfs_error_t err = {0};
    get_frame_t *frame;
    digest_t *digest = NULL;
    uint8_t sha[32];

    while (piece->code == 0 && piece->next < piece->end &&
           (frame = piece->held && piece->held->offset <= piece->next ? piece->held
                                                                      : piece->work)) {
        if (frame == piece->held)
            piece->held = frame->next;
        else
            piece->work = frame->next;
        if (frame->offset > piece->next) {
            hold (piece, frame);
            continue;
        }
        frame->next = NULL;
        bool wanted = frame->offset + frame->length > piece->next;
        if (wanted) {
            digest = hash_of (piece, frame, own);
            wanted = take_bytes (piece, frame, digest, &err) == 0;
        }
        if (wanted && piece->file->target.kind == TARGET_STREAM)
            keep (piece, frame);
        else
            get_frames_free (&frame);
    }
    if (piece->code != 0 || piece->next < piece->end)
        return;
    if (piece->whole) {
        digest_finish (digest, sha);
        if (memcmp (sha, piece->key.digest, 32) != 0) {
            remember (piece, DFS_EDAMAGED, false, "SHA-256 of the chunk is another");
            restart (piece);
            return;
        }
    }
    if (piece->alone)
        end_of_file (piece, &err);
}

static void sample (get_t *get, uint64_t took)
{
    get->samples[get->n_samples++ % GET_SAMPLES] = took;
}

static void submit_check (get_piece_t *piece);

/* The second worker sent bad bytes, or both together did: then one alone sends all of
 * it again. False: it was the first. */
static bool bad_of_two (get_piece_t *piece)
{
    bool second = piece->by_second, both = piece->next == piece->begin;

    piece->by_second = false;
    if (!piece->second || (!second && !both))
        return false;
    get_cancel (piece->second);
    get_second_failed (piece);
    if (!both) {
        piece->heard_at = clock_mono ();
        if (piece->inbox)
            submit_check (piece);
        return true;
    }
    get_cancel (piece->attempt);
    piece->get->queued -= piece->inbox_bytes;
    piece->inbox_bytes = 0;
    get_frames_free (&piece->inbox);
    piece->inbox_tail = &piece->inbox;
    get_piece_move (piece, PIECE_WANT);
    return true;
}

static void check_done (job_t *job, void *arg)
{
    get_piece_t *piece = (get_piece_t *)job;
    get_t *get = arg;
    get_file_t *file = piece->file;

    piece->running = false;
    get_frames_free (&piece->work);
    get->queued -= piece->work_bytes;
    piece->work_bytes = 0;
    client_progress (get->dfs);
    if (file->item->code < 0 || get->aborting) {
        get_file_step (file);
        return;
    }
    if (piece->code < 0) {
        int code = piece->code;
        piece->code = 0;
        if (!piece->local && piece->state == PIECE_COMING && bad_of_two (piece))
            return;
        if (piece->local)
            get_file_failed (file, code, piece->why->text);
        else if (piece->state == PIECE_LOCAL)
            get_file_failed (file, code, piece->why->text);
        else
            /* Workers check what they send: this happened on the way and passes, if it
             * does not happen again and again. */
            get_piece_again (piece, piece->worker, piece->spoilt++ < SPOILT_MAX, code,
                             piece->why->text);
        get_file_step (file);
        return;
    }
    if (piece->next < piece->end) {
        if (piece->inbox)
            submit_check (piece);
        return;
    }
    if (piece->state != PIECE_LOCAL) {
        sample (get, clock_mono () - piece->asked_at);
        get->came++;
        get_second_done (piece);
        get_piece_move (piece, PIECE_LOCAL);
    }
    if (piece->ordered)
        return; /* get_write_order does the rest */
    get->progress.bytes += piece->hi - piece->lo;
    file->item->size += piece->hi - piece->lo;
    get_piece_free (piece);
    get_file_step (file);
}

static void submit_check (get_piece_t *piece)
{
    piece->running = true;
    piece->work = piece->inbox;
    piece->work_bytes = piece->inbox_bytes;
    piece->inbox = NULL;
    piece->inbox_tail = &piece->inbox;
    piece->inbox_bytes = 0;
    piece->job.run = check_run;
    piece->job.done = check_done;
    get_submit (piece->get, &piece->job);
}

void get_piece_local (get_piece_t *piece)
{
    get_piece_move (piece, PIECE_LOCAL);
    if (piece->kind == EXTENT_INLINE || piece->alone)
        submit_check (piece);
    else if (!piece->ordered) { /* a hole in memory */
        target_zeros (&piece->file->target, piece->hi - piece->lo, piece->to, NULL);
        piece->file->item->size += piece->hi - piece->lo;
        piece->get->progress.bytes += piece->hi - piece->lo;
        get_piece_free (piece);
    }
}

/* --- streams: what is checked is written in order --- */

static void write_run (job_t *job, digest_t *digest)
{
    get_piece_t *piece = (get_piece_t *)job;
    target_t *target = &piece->file->target;
    dfs_error_t err = {0};
    int rc = 0;

    (void)digest;
    if (piece->kind == EXTENT_HOLE)
        rc = target_zeros (target, piece->hi - piece->lo, 0, &err);
    uint64_t at = piece->begin;
    for (get_frame_t *frame = piece->kept; frame && rc == 0; frame = frame->next) {
        uint64_t end = frame->offset + frame->length;
        uint64_t from = at > piece->lo ? at : piece->lo;
        uint64_t to = end < piece->hi ? end : piece->hi;
        if (from < to)
            rc = target_write (target,
                               (uint8_t *)zmq_msg_data (&frame->bytes) +
                                   (from - frame->offset),
                               to - from, 0, &err);
        at = end;
    }
    if (rc < 0)
        remember (piece, rc, true, err.text);
}

static void write_done (job_t *job, void *arg)
{
    get_piece_t *piece = (get_piece_t *)job;
    get_t *get = arg;
    get_file_t *file = piece->file;

    piece->running = false;
    get->writing = false;
    client_progress (get->dfs);
    if (piece->code < 0)
        get_file_failed (file, piece->code, piece->why->text);
    else {
        get->progress.bytes += piece->hi - piece->lo;
        file->item->size += piece->hi - piece->lo;
    }
    if (!get->aborting)
        get_piece_free (piece);
    get_file_step (file);
}

void get_write_order (get_t *get)
{
    get_piece_t *piece = TAILQ_FIRST (&get->order);

    if (get->writing || !piece || piece->running || piece->state != PIECE_LOCAL ||
        piece->next < piece->end || piece->file->item->code < 0)
        return;
    get->writing = true;
    piece->running = true;
    piece->job.run = write_run;
    piece->job.done = write_done;
    get_submit (get, &piece->job);
}

/* --- frames in --- */

bool get_reading (void *arg)
{
    const get_t *get = arg;
    return get->queued < QUEUED_MAX;
}

void get_frame (void *arg, const frame_t *frame, zmq_msg_t *bytes)
{
    get_t *get = arg;
    get_attempt_t *attempt = get_attempt_find (get, frame->seq);
    get_piece_t *piece = attempt ? attempt->piece : NULL;

    if (!piece || piece->state == PIECE_LOCAL || copykey_cmp (&piece->key, &frame->key))
        return; /* a duplicate, or of a piece that is given up */
    if (frame->kind == FRAME_REFUSE && piece->second == attempt) {
        get_second_failed (piece);
        return;
    }
    if (frame->kind == FRAME_REFUSE) {
        if (piece->attempt != attempt || piece->state == PIECE_WANT ||
            piece->state == PIECE_WAIT)
            return;
        bool soft = frame->code != DFS_EDAMAGED && frame->code != DFS_ENOENT &&
                    frame->code != DFS_EIO;
        get_piece_again (piece, piece->worker, soft, frame->code,
                         dfs_error_text (frame->code));
        return;
    }
    uint64_t end = frame->offset + frame->length;
    if (frame->encoding != 0 || frame->stored_len != piece->chunk_length ||
        frame->offset < piece->begin || end > piece->end || frame->length == 0 ||
        frame->offset % DIGEST_BLOCK != 0 ||
        (frame->length % DIGEST_BLOCK != 0 && end != piece->chunk_length))
        return;
    if (piece->second != attempt)
        piece->first_silent = false;
    piece->heard_at = clock_mono ();
    get_frame_t *copy = malloc (sizeof *copy);
    assert (copy);
    copy->next = NULL;
    copy->second = piece->second == attempt;
    copy->offset = frame->offset;
    copy->length = frame->length;
    copy->n_crcs = frame->n_crcs;
    memcpy (copy->crcs, frame->crcs, frame->n_crcs * sizeof *copy->crcs);
    zmq_msg_init (&copy->bytes);
    zmq_msg_move (&copy->bytes, bytes);
    *piece->inbox_tail = copy;
    piece->inbox_tail = &copy->next;
    piece->inbox_bytes += frame->length;
    get->queued += frame->length;
    client_progress (get->dfs);
    if (!piece->running)
        submit_check (piece);
}
