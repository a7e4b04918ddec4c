/* SPDX-License-Identifier: MPL-2.0 */
/* From extents to pieces: as many as the window has room for, in file order. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/get.h"
#include "common/clock.h"
#include "common/units.h"

#define FLIGHT_MAX   (32 * MIB) /* bytes of pieces in flight */
#define PIECES_MAX   512
#define FILES_OPEN   64  /* temporary files of several pieces */
#define EXTENTS_LEFT 256 /* ask for the next page when fewer are left */
#define INLINE_LEN   FRAME_MAX

/* PIECE leaves its state. */
static void note_time (get_piece_t *piece)
{
    static const char *const steps[PIECE_STATES] = {[PIECE_WANT] = "wait to fetch",
                                                    [PIECE_ASKED] = "fetch piece",
                                                    [PIECE_COMING] =
                                                        "receive and check",
                                                    [PIECE_WAIT] = "wait and retry",
                                                    [PIECE_LOCAL] = "write"};
    trace_t *trace = piece->get->dfs->trace;

    if (!trace)
        return;
    trace_since (trace, steps[piece->state], piece->since, piece->hi - piece->lo);
    piece->since = clock_mono ();
}

void get_piece_move (get_piece_t *piece, enum piece_state state)
{
    note_time (piece);
    TAILQ_REMOVE (&piece->get->pieces[piece->state], piece, link);
    piece->state = state;
    TAILQ_INSERT_TAIL (&piece->get->pieces[state], piece, link);
}

void get_piece_free (get_piece_t *piece)
{
    get_t *get = piece->get;

    assert (!piece->running);
    note_time (piece);
    TAILQ_REMOVE (&get->pieces[piece->state], piece, link);
    if (piece->ordered)
        TAILQ_REMOVE (&get->order, piece, order);
    get_attempts_free (piece);
    get->queued -= piece->inbox_bytes + piece->work_bytes;
    get_frames_free (&piece->inbox);
    get_frames_free (&piece->work);
    get_frames_free (&piece->held);
    get_frames_free (&piece->kept);
    get->flight -= piece->end - piece->begin;
    get->n_pieces--;
    piece->file->pieces--;
    if (piece->digest && get->n_spare < sizeof get->spare / sizeof *get->spare)
        get->spare[get->n_spare++] = piece->digest;
    else
        digest_destroy (&piece->digest);
    free (piece->why);
    free (piece);
}

/* Room for a piece of LENGTH bytes? Two may always be on their way, so that one is
 * written while the next comes; for a stream only as much as can be kept. */
static bool room (const get_t *get, const get_file_t *file, uint64_t length)
{
    if (get->n_pieces >= PIECES_MAX)
        return false;
    if (get->flight + length <= FLIGHT_MAX || get->n_pieces == 0)
        return true;
    return get->n_pieces < 2 && file->target.kind != TARGET_STREAM;
}

static get_piece_t *new_piece (get_file_t *file, const extent_t *extent,
                               uint64_t length)
{
    get_t *get = file->get;
    get_piece_t *piece = calloc (1, sizeof *piece);

    assert (piece);
    piece->get = get;
    piece->file = file;
    piece->kind = extent->kind;
    piece->state = PIECE_WANT;
    piece->since = get->dfs->trace ? clock_mono () : 0;
    piece->inbox_tail = &piece->inbox;
    piece->key.domain = extent->domain;
    memcpy (piece->key.digest, extent->digest, 32);
    piece->chunk_length = extent->chunk_length;
    piece->extent_offset = extent->offset;
    piece->lo = extent->chunk_offset + (file->next - extent->offset);
    piece->hi = piece->lo + length;
    piece->to = file->next - file->begin;
    if (extent->kind != EXTENT_HOLE) {
        piece->begin = piece->lo / DIGEST_BLOCK * DIGEST_BLOCK;
        piece->end = (piece->hi + DIGEST_BLOCK - 1) / DIGEST_BLOCK * DIGEST_BLOCK;
        if (piece->end > piece->chunk_length)
            piece->end = piece->chunk_length;
        piece->whole = piece->begin == 0 && piece->end == piece->chunk_length;
    }
    piece->next = piece->begin;
    piece->alone = file->next == file->begin && file->next + length == file->end &&
                   file->target.kind == TARGET_FILE;
    TAILQ_INSERT_TAIL (&get->pieces[PIECE_WANT], piece, link);
    if (file->target.kind == TARGET_STREAM) {
        piece->ordered = true;
        TAILQ_INSERT_TAIL (&get->order, piece, order);
    }
    get->flight += piece->end - piece->begin;
    get->n_pieces++;
    file->pieces++;
    return piece;
}

/* Bytes that came with the extents: as one frame that needs no check. */
static void inline_piece (get_piece_t *piece, const extent_t *extent)
{
    get_frame_t *frame = calloc (1, sizeof *frame);

    assert (frame && extent->chunk_length <= INLINE_LEN);
    zmq_msg_init_size (&frame->bytes, extent->chunk_length);
    memcpy (zmq_msg_data (&frame->bytes), extent->data, extent->chunk_length);
    frame->offset = 0;
    frame->length = (uint32_t)extent->chunk_length;
    piece->whole = false; /* checked when it came */
    piece->get->flight -= piece->end - piece->begin;
    piece->begin = piece->next = 0;
    piece->end = extent->chunk_length;
    piece->get->flight += piece->end;
    piece->inbox = frame;
    piece->inbox_tail = &frame->next;
}

static bool too_many_open (const get_file_t *file, bool alone)
{
    return file->target.kind == TARGET_FILE && !file->ready && !alone &&
           file->get->n_open >= FILES_OPEN;
}

/* One more piece of FILE; false when there is no room, or it waits for its extents. */
static bool cut_one (get_file_t *file)
{
    dfs_error_t err = {0};
    const extent_t *extent = extents_find (&file->extents, file->next);

    if (!extent) {
        if (!file->extents.more && file->extents.n > 0 &&
            file->next >= extents_end (&file->extents))
            get_file_failed (file, DFS_EPROTO, "extents end before the file does");
        else if (file->extents.n > 0 && file->next != extents_end (&file->extents)) {
            /* a range far into the file: from there */
            extents_clear (&file->extents);
            get_more_extents (file, file->next);
        } else
            get_more_extents (file, file->next);
        return false;
    }
    uint64_t length = extent->offset + extent->length - file->next;
    if (length > file->end - file->next)
        length = file->end - file->next;
    bool hole = extent->kind == EXTENT_HOLE;
    if (hole && file->target.kind == TARGET_FILE) {
        file->next += length;
        file->get->progress.bytes += length;
        return true;
    }
    if (!room (file->get, file, hole ? 0 : length + 2 * DIGEST_BLOCK))
        return false;
    bool alone = file->next == file->begin && file->next + length == file->end;
    if (too_many_open (file, alone))
        return false;
    if (file->target.kind == TARGET_FILE && !file->ready && !alone) {
        if (target_open (&file->target, &err) < 0) {
            get_file_failed (file, err.code, err.text);
            return false;
        }
        file->ready = file->counted = true;
        file->get->n_open++;
    }
    get_piece_t *piece = new_piece (file, extent, length);
    file->next += length;
    if (extent->kind == EXTENT_INLINE)
        inline_piece (piece, extent);
    if (extent->kind != EXTENT_CHUNK)
        get_piece_local (piece);
    return true;
}

void get_cut (get_t *get)
{
    get_file_t *file, *next;

    for (file = TAILQ_FIRST (&get->files[FILE_CUTTING]); file; file = next) {
        next = TAILQ_NEXT (file, link);
        while (file->item->code == 0 && file->next < file->end && cut_one (file))
            ;
        if (file->extents.more && !file->asking && file->next < file->end &&
            file->item->code == 0) {
            uint64_t end = extents_end (&file->extents);
            const extent_t *at = extents_find (&file->extents, file->next);
            size_t left = at ? file->extents.n - (size_t)(at - file->extents.list) : 0;
            if (left < EXTENTS_LEFT && end < file->end && at)
                get_more_extents (file, end);
        }
        bool stop = file->item->code == 0 && file->next < file->end;
        if (!stop) {
            get_file_stage (file, FILE_CUT);
            get_file_step (file);
        } else if (!file->asking)
            break; /* no room: those behind it wait too */
        else if (file->target.kind == TARGET_STREAM)
            break; /* streams are written in the order of their items */
    }
}
