/* SPDX-License-Identifier: MPL-2.0 */
/* The way of granted chunks to their first worker: a lane per worker, frames as long as
 * socket and credit take them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/put.h"
#include "common/clock.h"
#include "common/units.h"

#define SILENCE                                                                        \
    (25 * SEC) /* the broker looks after late workers; this is for lost words */

static struct chunk_queue *lane_of (put_t *put, uint32_t worker)
{
    for (size_t i = 0; i < put->n_lanes; i++)
        if (put->lanes[i].worker == worker)
            return &put->lanes[i].queue;
    return NULL;
}

struct chunk_queue *put_lane (put_t *put, uint32_t worker)
{
    struct chunk_queue *queue = lane_of (put, worker);

    if (queue)
        return queue;
    /* queues are linked to by their chunks: those stay where they are */
    assert (put->n_lanes < PUT_LANES);
    put_lane_t *lane = &put->lanes[put->n_lanes++];
    lane->worker = worker;
    TAILQ_INIT (&lane->queue);
    return &lane->queue;
}

void put_send_start (put_chunk_t *chunk)
{
    bool known = chunk->put->n_lanes < PUT_LANES ||
                 lane_of (chunk->put, chunk->targets[0]) != NULL;

    if (!chunk->held && chunk->file->source.stream)
        put_chunk_failed (chunk, DFS_EMISSING, "the source cannot be read again");
    else if (!known)
        put_chunk_again (chunk, chunk->targets[0], true, DFS_EAGAIN,
                         "too many workers");
    else
        put_chunk_move (chunk, chunk->held ? CHUNK_SEND : CHUNK_MEMORY);
}

/* Sends the next frame of CHUNK; 1 sent, 0 not now, negative: the worker is gone. */
static int send_frame (put_chunk_t *chunk, dfs_error_t *err)
{
    put_t *put = chunk->put;
    size_t i = chunk->sent / SLICE_MAX;
    slice_t *slice = chunk->slices[i];
    frame_t frame = {
        .kind = FRAME_DATA,
        .session = put->dfs->session,
        .trace = requests_trace (put->dfs->requests),
        .key = chunk->key,
        .offset = chunk->sent,
        .length = slice->len,
        .true_len = chunk->length,
        .stored_len = chunk->length,
    };
    uint8_t packed[FRAME_HEADER_MAX];
    zmq_msg_t head, bytes;

    if (chunk->credit > 0 &&
        chunk->sent + slice->len > chunk->consumed + chunk->credit &&
        chunk->sent > chunk->consumed)
        return 0;
    frame.seq = put->frames + 1;
    if (chunk->sent + slice->len == chunk->length)
        frame.flags |= FRAME_LAST;
    if (chunk->credit > 0)
        frame.flags |= FRAME_CREDIT;
    if (chunk->n_slices == 1)
        frame.flags |= FRAME_SMALL;
    if (put->dfs->trace)
        frame.flags |= FRAME_TRACED;
    frame.n_crcs = (slice->len + DIGEST_BLOCK - 1) / DIGEST_BLOCK;
    memcpy (frame.crcs, chunk->crcs + chunk->sent / DIGEST_BLOCK, 4 * frame.n_crcs);
    if (chunk->sent == 0) {
        frame.grant_len = (uint32_t)chunk->grant_len;
        memcpy (frame.grant, chunk->grant, chunk->grant_len);
    }
    size_t len = frame_pack (&frame, packed);
    zmq_msg_init_size (&head, len);
    memcpy (zmq_msg_data (&head), packed, len);
    slice_message (slice, &bytes);
    int rc = uplinks_send (put->dfs->uplinks, chunk->targets[0], &head, &bytes, err);
    if (rc < 0) {
        zmq_msg_close (&head);
        zmq_msg_close (&bytes);
        return rc == DFS_EAGAIN ? 0 : rc;
    }
    put->frames++;
    chunk->sent += slice->len;
    put->progress.bytes_sent += slice->len;
    if (!chunk->file->source.stream)
        slice_unref (&chunk->slices[i]);
    return 1;
}

/* Everything of CHUNK is on its way. */
static void sent (put_chunk_t *chunk)
{
    if (!chunk->file->source.stream)
        put_chunk_drop_bytes (chunk);
    chunk->due = clock_mono () + SILENCE;
    put_chunk_move (chunk, CHUNK_SENT);
}

static void send_lane (put_t *put, put_lane_t *lane)
{
    put_chunk_t *chunk, *next;
    dfs_error_t err = {0};

    for (chunk = TAILQ_FIRST (&lane->queue); chunk; chunk = next) {
        int rc;
        uint64_t before = chunk->sent;
        next = TAILQ_NEXT (chunk, link);
        while ((rc = send_frame (chunk, &err)) == 1 && chunk->sent < chunk->length)
            ;
        if (rc < 0) {
            put_uplink_broken (put, lane->worker, err.text);
            return;
        }
        if (chunk->sent == chunk->length) {
            sent (chunk);
            continue;
        }
        /* half a chunk waits for its credit: the next one may use the line */
        if (chunk->credit == 0 ||
            chunk->sent + SLICE_MAX <= chunk->consumed + chunk->credit)
            return;
        if (chunk->sent != before)
            client_progress (put->dfs);
    }
}

void put_send (put_t *put)
{
    for (size_t i = 0; i < put->n_lanes; i++)
        send_lane (put, &put->lanes[i]);
}

void put_uplink_broken (void *arg, uint32_t worker, const char *why)
{
    put_t *put = arg;
    put_chunk_t *chunk, *next;

    client_log (put->dfs, LOG_WARN, "worker_gone worker=%s why=\"%s\"",
                uplinks_name (put->dfs->uplinks, worker), why);
    struct chunk_queue *lane = lane_of (put, worker);
    for (chunk = lane ? TAILQ_FIRST (lane) : NULL; chunk; chunk = next) {
        next = TAILQ_NEXT (chunk, link);
        put_chunk_again (chunk, worker, false, DFS_EUNAVAIL, why);
    }
    for (chunk = TAILQ_FIRST (&put->queues[CHUNK_SENT]); chunk; chunk = next) {
        next = TAILQ_NEXT (chunk, link);
        if (chunk->targets[0] == worker)
            put_chunk_again (chunk, worker, false, DFS_EUNAVAIL, why);
    }
}
