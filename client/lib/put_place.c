/* SPDX-License-Identifier: MPL-2.0 */
/* What put and broker say to each other about chunks: where to, what is durable, what
 * must be sent again. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/put.h"
#include "common/units.h"
#include "msgs/check.h"

#define PLACES_ANY  2 /* a Place goes out with whatever waits while fewer are out */
#define PLACES_MAX  8
#define PLACE_BATCH 64 /* worth a message of its own before that */
/* The broker itself waits for workers that are away for a moment, and asking again lets
 * it start anew: only a lost message should take that long. */
#define SILENCE (20 * SEC)

static void place_done (void *arg, int code, const Dfs__Envelope *reply,
                        const dfs_error_t *err);

static void place_batch (put_t *put, size_t max, uint64_t now)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Place body = DFS__PLACE__INIT;
    Dfs__PlaceItem items[256], *list[256];
    Dfs__CopyKey keys[256];
    put_chunk_t *chunks[256], *chunk;
    size_t n = 0;

    uint32_t policy = TAILQ_FIRST (&put->queues[CHUNK_PLACE])->file->policy.id;

    TAILQ_FOREACH (chunk, &put->queues[CHUNK_PLACE], link)
    {
        if (n == max || chunk->file->policy.id != policy)
            break;
        check_put_copykey (&chunk->key, &keys[n]);
        dfs__place_item__init (&items[n]);
        items[n].key = &keys[n];
        items[n].length = chunk->length;
        items[n].avoid = chunk->avoid;
        items[n].n_avoid = chunk->n_avoid;
        list[n] = &items[n];
        chunks[n++] = chunk;
    }
    body.upload = put->upload + policy; /* an upload has one */
    body.has_policy = policy != 0;
    body.policy = policy;
    body.items = list;
    body.n_items = n;
    env.body_case = DFS__ENVELOPE__BODY_PLACE;
    env.place = &body;
    uint64_t seq = requests_send (put->dfs->requests, &env, SILENCE, place_done, put);
    assert (seq != 0);
    for (size_t i = 0; i < n; i++) {
        chunks[i]->asked = seq;
        chunks[i]->due = now + SILENCE;
        put_chunk_move (chunks[i], CHUNK_PLACING);
    }
    put->placing++;
}

void put_place (put_t *put, uint64_t now)
{
    size_t max = conn_facts (put->dfs->conn)->max_place, waiting = 0;
    put_chunk_t *chunk, *next;

    for (chunk = TAILQ_FIRST (&put->queues[CHUNK_WAIT]); chunk; chunk = next) {
        next = TAILQ_NEXT (chunk, link);
        if (chunk->due <= now)
            put_chunk_move (chunk, CHUNK_PLACE);
    }
    TAILQ_FOREACH (chunk, &put->queues[CHUNK_PLACE], link)
    waiting++;
    while (waiting > 0 && put->placing < PLACES_MAX &&
           (put->placing < PLACES_ANY || waiting >= PLACE_BATCH)) {
        place_batch (put, max, now);
        waiting -= waiting < max ? waiting : max;
    }
}

static void place_done (void *arg, int code, const Dfs__Envelope *reply,
                        const dfs_error_t *err)
{
    put_t *put = arg;
    put_chunk_t *chunk, *next;

    put->placing--;
    if (code == 0 && reply->body_case == DFS__ENVELOPE__BODY_PLACED) {
        put_placed (put, reply->placed);
        return;
    }
    if (code == 0)
        return; /* the silence of its chunks will be noticed */
    uint64_t seq = 0;
    if (reply && reply->has_seq)
        seq = reply->seq;
    for (chunk = TAILQ_FIRST (&put->queues[CHUNK_PLACING]); chunk; chunk = next) {
        next = TAILQ_NEXT (chunk, link);
        if (chunk->asked == seq && code == DFS_EUNAVAIL)
            put_chunk_again (chunk, 0, true, code, err->text);
        else if (chunk->asked == seq) {
            put_chunk_failed (chunk, code, err->text);
            next = TAILQ_FIRST (&put->queues[CHUNK_PLACING]); /* any may be gone */
        }
    }
}

static void refused (put_chunk_t *chunk, int code, const char *text)
{
    if (!text)
        text = dfs_error_text (code);
    if (code == DFS_EAGAIN || code == DFS_EUNAVAIL || code == DFS_ESTALE)
        put_chunk_again (chunk, 0, true, code, text);
    else
        put_chunk_failed (chunk, code, text);
}

static void placed_item (put_t *put, const Dfs__PlacedItem *item)
{
    copykey_t key;
    put_chunk_t *chunk;

    if (check_copykey (item->key, &key, NULL) < 0 ||
        !(chunk = put_chunk_find (put, &key)) || chunk->state != CHUNK_PLACING)
        return;
    client_progress (put->dfs);
    if (item->has_code && item->code < 0) {
        refused (chunk, item->code, item->text);
        return;
    }
    chunk->index = item->index;
    chunk->copies = item->has_copies ? item->copies : UINT32_MAX;
    if (item->has_have && item->have) {
        put_chunk_done (chunk);
        return;
    }
    if (!item->has_grant || item->grant.len == 0 || item->grant.len > FRAME_GRANT_MAX ||
        item->n_targets == 0) {
        put_chunk_failed (chunk, DFS_EPROTO, "broker answered without a grant");
        return;
    }
    memcpy (chunk->grant, item->grant.data, item->grant.len);
    chunk->grant_len = item->grant.len;
    chunk->n_targets = item->n_targets < PUT_TARGETS ? item->n_targets : PUT_TARGETS;
    memcpy (chunk->targets, item->targets, chunk->n_targets * sizeof *chunk->targets);
    chunk->credit = item->has_credit && item->credit < chunk->length ? item->credit : 0;
    chunk->consumed = chunk->sent = 0;
    put_send_start (chunk);
}

static bool is_ours (const put_t *put, uint64_t upload)
{
    return upload - put->upload <= UINT32_MAX;
}

void put_placed (put_t *put, const Dfs__Placed *placed)
{
    dfs_error_t err = {0};

    if (!is_ours (put, placed->upload))
        return;
    for (size_t i = 0; i < placed->n_workers; i++)
        if (uplinks_learn (put->dfs->uplinks, placed->workers[i], &err) < 0)
            client_log (put->dfs, LOG_WARN, "bad_target err=\"%s\"", err.text);
    for (size_t i = 0; i < placed->n_items; i++)
        placed_item (put, placed->items[i]);
}

static void durable (put_t *put, const Dfs__DurableItem *item)
{
    copykey_t key;
    put_chunk_t *chunk;

    if (!is_ours (put, item->upload) || check_copykey (item->key, &key, NULL) < 0 ||
        !(chunk = put_chunk_find (put, &key)))
        return;
    int code = item->has_code ? item->code : 0;
    if (code < 0) {
        if (chunk->state == CHUNK_SEND || chunk->state == CHUNK_SENT) {
            client_log (put->dfs, LOG_INFO, "chunk_again code=%s text=\"%s\"",
                        dfs_error_name (code), item->text ? item->text : "");
            /* Too late: its first worker may be out of reach, for us or for others. */
            uint32_t late = code == DFS_EAGAIN ? chunk->targets[0] : 0;
            put_chunk_again (chunk, late, late == 0 && chunk->attempts > 0, code,
                             item->text ? item->text : dfs_error_text (code));
        }
        return;
    }
    if (chunk->index == 0)
        return; /* nobody gave us a grant: not about ours */
    chunk->copies = item->copies;
    if (chunk->state == CHUNK_REREAD)
        chunk->durable = true;
    else
        put_chunk_done (chunk);
}

static void worker_refused (put_t *put, const Dfs__Refused *body)
{
    copykey_t key;
    put_chunk_t *chunk;
    char text[300];

    if (check_copykey (body->key, &key, NULL) < 0 ||
        !(chunk = put_chunk_find (put, &key)) ||
        (chunk->state != CHUNK_SEND && chunk->state != CHUNK_SENT))
        return;
    uint32_t worker = body->has_worker ? body->worker : chunk->targets[0];
    snprintf (text, sizeof text, "worker %s: %.200s",
              uplinks_name (put->dfs->uplinks, worker),
              body->text ? body->text : dfs_error_text (body->code));
    client_log (put->dfs, LOG_WARN, "chunk_refused code=%s text=\"%s\"",
                dfs_error_name (body->code), text);
    bool there = body->code == DFS_ENOSPC || body->code == DFS_EIO ||
                 body->code == DFS_EROFS || body->code == DFS_EUNAVAIL ||
                 body->code == DFS_ESYS;
    put_chunk_again (chunk, there ? worker : 0, !there, body->code, text);
}

void put_message (void *arg, const Dfs__Envelope *env)
{
    put_t *put = arg;
    copykey_t key;
    put_chunk_t *chunk;

    switch (env->body_case) {
    case DFS__ENVELOPE__BODY_PLACED:
        put_placed (put, env->placed);
        break;
    case DFS__ENVELOPE__BODY_DURABLE:
        for (size_t i = 0; i < env->durable->n_items; i++)
            durable (put, env->durable->items[i]);
        break;
    case DFS__ENVELOPE__BODY_REFUSED:
        worker_refused (put, env->refused);
        break;
    case DFS__ENVELOPE__BODY_CREDIT:
        if (check_copykey (env->credit->key, &key, NULL) == 0 &&
            (chunk = put_chunk_find (put, &key)) != NULL && chunk->credit > 0 &&
            env->credit->consumed > chunk->consumed) {
            chunk->consumed = env->credit->consumed;
            client_progress (put->dfs);
        }
        break;
    default:
        break;
    }
}

/* The broker forgot what it was told to wait for; what is durable by now it will know
 * from the workers, so asking again is cheap. */
void put_reconnected (void *arg, bool new_session)
{
    put_t *put = arg;
    put_chunk_t *chunk, *next;

    (void)new_session;
    requests_forget (put->dfs->requests, put);
    put->placing = 0;
    static const enum chunk_state states[] = {CHUNK_PLACING, CHUNK_SENT, CHUNK_MEMORY};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        for (chunk = TAILQ_FIRST (&put->queues[states[i]]); chunk; chunk = next) {
            next = TAILQ_NEXT (chunk, link);
            put_chunk_rewind (chunk);
            put_chunk_move (chunk, CHUNK_PLACE);
        }
    TAILQ_FOREACH (chunk, &put->queues[CHUNK_REREAD], link)
    chunk->grant_len = 0;
    for (size_t i = 0; i < put->n_lanes; i++)
        for (chunk = TAILQ_FIRST (&put->lanes[i].queue); chunk; chunk = next) {
            next = TAILQ_NEXT (chunk, link);
            put_chunk_rewind (chunk);
            put_chunk_move (chunk, CHUNK_PLACE);
        }
}

void put_timeouts (put_t *put, uint64_t now)
{
    static const enum chunk_state states[] = {CHUNK_PLACING, CHUNK_SENT};

    if (!conn_up (put->dfs->conn))
        return;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        put_chunk_t *chunk;
        while ((chunk = TAILQ_FIRST (&put->queues[states[i]])) && chunk->due <= now)
            put_chunk_again (chunk, 0, false, DFS_ETIMEOUT,
                             "no answer about a chunk in time");
    }
}
