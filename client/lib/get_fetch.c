/* SPDX-License-Identifier: MPL-2.0 */
/* Asking for pieces, and asking again when a worker is late, gone, or has bad bytes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/get.h"
#include "common/clock.h"
#include "common/units.h"

#define FETCH_PIECES 256
#define FETCH_ANY    2 /* a Fetch goes out with whatever waits while fewer are out */
#define FETCH_FLIGHT 8
#define FETCH_BATCH  32 /* worth a message of its own before that */
#define WAIT_MIN     (50 * MS)
#define WAIT_MAX     (1 * SEC)
#define DAMAGED_WAIT                                                                   \
    (3 * SEC)             /* for a replica whose worker is only away for a moment */
#define SETTLE (15 * SEC) /* after a reconnection the broker may not know all yet */

/* --- attempts --- */

get_attempt_t *get_attempt_new (get_piece_t *piece, bool first)
{
    get_t *get = piece->get;
    get_attempt_t *attempt = calloc (1, sizeof *attempt);
    get_attempt_t **bucket, **at = &piece->attempt;

    assert (attempt);
    attempt->id = ++get->next_id;
    attempt->piece = piece;
    if (!first && piece->attempt)
        at = &piece->attempt->older;
    attempt->older = *at;
    *at = attempt;
    bucket = &get->buckets[attempt->id % GET_BUCKETS];
    attempt->bucket = *bucket;
    *bucket = attempt;
    return attempt;
}

get_attempt_t *get_attempt_find (get_t *get, uint64_t id)
{
    get_attempt_t *attempt = get->buckets[id % GET_BUCKETS];

    while (attempt && attempt->id != id)
        attempt = attempt->bucket;
    return attempt;
}

void get_attempts_free (get_piece_t *piece)
{
    while (piece->attempt) {
        get_attempt_t *attempt = piece->attempt;
        get_attempt_t **at = &piece->get->buckets[attempt->id % GET_BUCKETS];
        while (*at != attempt)
            at = &(*at)->bucket;
        *at = attempt->bucket;
        piece->attempt = attempt->older;
        free (attempt);
    }
}

/* --- asking --- */

static void fetch_done (void *arg, int code, const Dfs__Envelope *reply,
                        const dfs_error_t *err);

static uint32_t handle_index (Dfs__Fetch *body, const get_file_t *file)
{
    for (size_t i = body->n_handles; i > 0; i--)
        if (body->handles[i - 1].data == file->handle)
            return (uint32_t)(i - 1);
    body->handles[body->n_handles].data = (uint8_t *)(uintptr_t)file->handle;
    body->handles[body->n_handles].len = file->handle_len;
    return (uint32_t)body->n_handles++;
}

/* Workers that PIECE shall not come from. */
static size_t whom_to_avoid (const get_piece_t *piece, const uint32_t *slow,
                             size_t n_slow, bool second, uint32_t *to)
{
    size_t n = piece->n_avoid;

    memcpy (to, piece->avoid, n * sizeof *to);
    if (second)
        to[n++] = piece->worker;
    for (size_t i = 0; i < n_slow && !piece->anybody; i++)
        to[n++] = slow[i];
    return n;
}

uint64_t get_ask (get_t *get, get_piece_t *const *pieces, const uint64_t *ids, size_t n,
                  bool second)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Fetch body = DFS__FETCH__INIT;
    ProtobufCBinaryData handles[FETCH_PIECES];
    Dfs__Piece wire[FETCH_PIECES], *list[FETCH_PIECES];
    uint32_t avoid[FETCH_PIECES][GET_AVOID + GET_SLOW + 1], slow[GET_SLOW];
    size_t n_slow = get_slow_now (get, clock_mono (), slow);

    assert (n <= FETCH_PIECES);
    body.handles = handles;
    for (size_t i = 0; i < n; i++) {
        const get_piece_t *piece = pieces[i];
        dfs__piece__init (&wire[i]);
        wire[i].piece = ids[i];
        wire[i].handle = handle_index (&body, piece->file);
        wire[i].extent_offset = piece->extent_offset;
        wire[i].offset = piece->next;
        wire[i].length = piece->end - piece->next;
        wire[i].avoid = avoid[i];
        wire[i].n_avoid = whom_to_avoid (piece, slow, n_slow, second, avoid[i]);
        wire[i].has_second = wire[i].second = second;
        list[i] = &wire[i];
    }
    body.pieces = list;
    body.n_pieces = n;
    env.body_case = DFS__ENVELOPE__BODY_FETCH;
    env.fetch = &body;
    uint64_t seq = requests_send (get->dfs->requests, &env, 0, fetch_done, get);
    assert (seq != 0);
    get->fetching++;
    return seq;
}

static bool fetch_batch (get_t *get, uint64_t now)
{
    get_piece_t *pieces[FETCH_PIECES], *piece;
    uint64_t ids[FETCH_PIECES];
    size_t n = 0;

    TAILQ_FOREACH (piece, &get->pieces[PIECE_WANT], link)
    {
        if (n == FETCH_PIECES)
            break;
        if (piece->file->stale || piece->running)
            continue; /* a new handle, or the end of a check, comes first */
        ids[n] = get_attempt_new (piece, true)->id;
        get->asked_bytes += piece->end - piece->next;
        pieces[n++] = piece;
    }
    if (n == 0)
        return false;
    uint64_t seq = get_ask (get, pieces, ids, n, false);
    for (size_t i = 0; i < n; i++) {
        pieces[i]->seq = seq;
        pieces[i]->worker = 0;
        pieces[i]->asked_at = pieces[i]->heard_at = now;
        get_piece_move (pieces[i], PIECE_ASKED);
    }
    return true;
}

void get_fetch (get_t *get, uint64_t now)
{
    get_piece_t *piece, *next;
    size_t waiting = 0;

    for (piece = TAILQ_FIRST (&get->pieces[PIECE_WAIT]); piece; piece = next) {
        next = TAILQ_NEXT (piece, link);
        if (piece->due <= now)
            get_piece_move (piece, PIECE_WANT);
    }
    TAILQ_FOREACH (piece, &get->pieces[PIECE_WANT], link)
    waiting++;
    while (waiting > 0 && get->fetching < FETCH_FLIGHT &&
           (get->fetching < FETCH_ANY || waiting >= FETCH_BATCH)) {
        if (!fetch_batch (get, now))
            break;
        waiting -= waiting < FETCH_PIECES ? waiting : FETCH_PIECES;
    }
}

/* --- answers --- */

void get_cancel (const get_attempt_t *attempt)
{
    dfs_t *dfs = attempt->piece->get->dfs;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Cancel body = DFS__CANCEL__INIT;
    uint64_t id = attempt->id;
    zmq_msg_t msg;

    body.pieces = &id;
    body.n_pieces = 1;
    env.version = 1;
    env.has_session = true;
    env.session = dfs->session;
    env.body_case = DFS__ENVELOPE__BODY_CANCEL;
    env.cancel = &body;
    zmq_msg_init_size (&msg, dfs__envelope__get_packed_size (&env));
    dfs__envelope__pack (&env, zmq_msg_data (&msg));
    if (conn_send (dfs->conn, &msg) < 0)
        zmq_msg_close (&msg); /* it was only a courtesy */
}

static void wait_and_ask (get_piece_t *piece)
{
    uint64_t wait = WAIT_MIN << (piece->attempts < 5 ? piece->attempts : 5);

    piece->attempts++;
    piece->due = clock_mono () + (wait < WAIT_MAX ? wait : WAIT_MAX);
    get_piece_move (piece, PIECE_WAIT);
}

/* Ends PIECE's file with what is wrong with which of its chunks. */
static void chunk_failed (get_piece_t *piece, int code, const char *text)
{
    char id[COPYKEY_TEXT];
    dfs_error_t err;

    fail (&err, code, "chunk %s at %llu: %s", copykey_text (&piece->key, id),
          (unsigned long long)piece->extent_offset, text);
    get_file_failed (piece->file, code, err.text);
}

/* No worker can send PIECE now, says the broker. */
static void nowhere (get_piece_t *piece, int code, const char *text)
{
    get_t *get = piece->get;
    uint64_t now = clock_mono ();
    bool settling = get->connected_at != 0 && now - get->connected_at < SETTLE;

    piece->anybody = true;
    if (piece->failed_at == 0)
        piece->failed_at = now;
    if (code == DFS_ESTALE) {
        get_new_handle (piece->file);
        wait_and_ask (piece);
        return;
    }
    bool passing =
        code == DFS_EAGAIN || code == DFS_EUNAVAIL || (code == DFS_ELOST && settling);
    if (piece->damaged && !piece->soft && now - piece->failed_at > DAMAGED_WAIT) {
        chunk_failed (piece, DFS_EDAMAGED, "every replica is damaged");
        return;
    }
    if (!passing) {
        chunk_failed (piece, piece->damaged ? DFS_EDAMAGED : code, text);
        return;
    }
    if (piece->soft) {
        /* who was late or gone may be back */
        piece->soft = false;
        piece->n_avoid = 0;
    }
    wait_and_ask (piece);
}

static void fetching (get_t *get, const Dfs__Fetching *body)
{
    for (size_t i = 0; i < body->n_pieces; i++) {
        const Dfs__FetchingPiece *from = body->pieces[i];
        get_attempt_t *attempt = get_attempt_find (get, from->piece);
        get_piece_t *piece = attempt ? attempt->piece : NULL;
        if (piece && piece->second == attempt) {
            piece->second_worker = from->worker;
            if (from->worker == 0)
                get_second_failed (piece);
            continue;
        }
        if (!piece || piece->attempt != attempt)
            continue;
        if (piece->state == PIECE_COMING && from->worker != 0)
            piece->worker = from->worker; /* another took it over */
        if (piece->state != PIECE_ASKED)
            continue;
        get_file_t *file = piece->file;
        if (from->worker != 0) {
            piece->worker = from->worker;
            get_piece_move (piece, PIECE_COMING);
            continue;
        }
        int code = from->has_code && from->code < 0 ? from->code : DFS_EUNAVAIL;
        nowhere (piece, code, from->text ? from->text : dfs_error_text (code));
        get_file_step (file);
    }
}

static void fetch_done (void *arg, int code, const Dfs__Envelope *reply,
                        const dfs_error_t *err)
{
    get_t *get = arg;
    get_piece_t *piece, *next;

    get->fetching--;
    if (code == 0 && reply->body_case == DFS__ENVELOPE__BODY_FETCHING) {
        fetching (get, reply->fetching);
        return;
    }
    /* files that fail here are ended when their last piece is dropped (get_late) */
    for (piece = TAILQ_FIRST (&get->pieces[PIECE_COMING]); piece; piece = next) {
        next = TAILQ_NEXT (piece, link);
        if (piece->second && piece->second_seq == reply->seq)
            get_second_failed (piece);
    }
    for (piece = TAILQ_FIRST (&get->pieces[PIECE_ASKED]); piece; piece = next) {
        next = TAILQ_NEXT (piece, link);
        if (piece->seq == reply->seq)
            nowhere (piece, code < 0 ? code : DFS_EPROTO,
                     code < 0 ? err->text : "broker answered another question");
    }
}

void get_piece_again (get_piece_t *piece, uint32_t worker, bool soft, int code,
                      const char *text)
{
    get_t *get = piece->get;
    bool known = worker == 0;
    char id[COPYKEY_TEXT];

    client_log (get->dfs, LOG_WARN,
                "replica_failed chunk=%.16s worker=%u code=%s "
                "path=\"%s\" text=\"%s\"",
                copykey_text (&piece->key, id), worker, dfs_error_name (code),
                piece->file->item->source, text);
    if (piece->failed_at == 0)
        piece->failed_at = clock_mono ();
    piece->soft = piece->soft || soft;
    piece->damaged = piece->damaged || code == DFS_EDAMAGED;
    for (size_t i = 0; i < piece->n_avoid; i++)
        known = known || piece->avoid[i] == worker;
    bool goes_on = get_second_takes_over (piece);
    if (!known) {
        if (piece->n_avoid == GET_AVOID) {
            memmove (piece->avoid, piece->avoid + 1,
                     (GET_AVOID - 1) * sizeof *piece->avoid);
            piece->n_avoid--;
        }
        piece->avoid[piece->n_avoid++] = worker;
        if (!goes_on)
            get_piece_move (piece, PIECE_WANT);
        return;
    }
    if (!goes_on)
        wait_and_ask (piece); /* not again at once */
}

/* A worker says that it cannot send these. */
static void send_refused (get_t *get, const Dfs__SendRefused *body)
{
    for (size_t i = 0; i < body->n_pieces; i++) {
        get_attempt_t *attempt = get_attempt_find (get, body->pieces[i]->piece);
        get_piece_t *piece = attempt ? attempt->piece : NULL;
        if (piece && piece->second == attempt) {
            get_second_failed (piece);
            continue;
        }
        if (!piece || piece->attempt != attempt ||
            (piece->state != PIECE_COMING && piece->state != PIECE_ASKED))
            continue;
        uint32_t worker = body->has_worker ? body->worker : piece->worker;
        int code = body->pieces[i]->code;
        bool soft = code != DFS_EDAMAGED && code != DFS_ENOENT && code != DFS_EIO;
        get_piece_again (piece, worker, soft, code,
                         body->pieces[i]->text ? body->pieces[i]->text
                                               : dfs_error_text (code));
    }
}

void get_message (void *arg, const Dfs__Envelope *env)
{
    get_t *get = arg;

    if (env->body_case == DFS__ENVELOPE__BODY_FETCHING)
        fetching (get, env->fetching);
    else if (env->body_case == DFS__ENVELOPE__BODY_SEND_REFUSED)
        send_refused (get, env->send_refused);
}

/* --- trouble --- */

void get_stream_ended (void *arg, uint32_t worker)
{
    get_t *get = arg;
    get_piece_t *piece, *next;

    for (piece = TAILQ_FIRST (&get->pieces[PIECE_COMING]); piece; piece = next) {
        next = TAILQ_NEXT (piece, link);
        /* what waits to be checked may be all of it */
        if (piece->second && piece->second_worker == worker)
            get_second_failed (piece);
        if (piece->worker == worker && !piece->running && !piece->inbox)
            get_piece_again (piece, worker, true, DFS_EUNAVAIL, "its stream ended");
        else if (piece->worker == worker)
            piece->heard_at = 0; /* late at once, should it be incomplete */
    }
}

void get_reconnected (void *arg, bool new_session)
{
    get_t *get = arg;
    get_piece_t *piece, *next;

    get->connected_at = clock_mono ();
    if (!new_session)
        return;
    /* streams belong to a session */
    for (piece = TAILQ_FIRST (&get->pieces[PIECE_COMING]); piece; piece = next) {
        next = TAILQ_NEXT (piece, link);
        piece->second = NULL;
        get_piece_move (piece, PIECE_WANT);
    }
}
