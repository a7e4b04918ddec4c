/* SPDX-License-Identifier: MPL-2.0 */
/* Pieces that are slow: asked of a second worker while the first goes on, whichever is
 * there first counts; and late ones: taken from the first and asked for elsewhere. What
 * is asked for twice is bounded by a part of what is asked for once, so that a busy
 * cluster does not get busier by it. */
#include <stdlib.h>
#include <string.h>

#include "client/lib/get.h"
#include "common/clock.h"
#include "common/units.h"

#define CHECK_NS      (50 * MS)
#define LATE_MIN      (2 * SEC)
#define LATE_FACTOR   8 /* of the median */
#define DOUBLE_MIN    (250 * MS)
#define DOUBLE_UNSURE (500 * MS) /* nothing to compare with */
#define DOUBLE_FACTOR 3          /* of what nine of ten pieces took */
#define DOUBLE_FREE   (16 * MIB) /* asked for twice at any rate … */
#define DOUBLE_PART   8          /* … and this part of all */
#define DOUBLE_BATCH  64
#define SLOW_NS       (5 * SEC)
#define ANSWER_WAIT   (10 * SEC)

static int compare (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* How long a piece may be silent before it is LATE, and before it is asked for twice.
 */
static void limits (const get_t *get, uint64_t *late, uint64_t *twice)
{
    uint64_t sorted[GET_SAMPLES];
    size_t n = get->n_samples < GET_SAMPLES ? get->n_samples : GET_SAMPLES;

    *late = LATE_MIN;
    *twice = DOUBLE_UNSURE;
    if (n == 0)
        return;
    memcpy (sorted, get->samples, n * sizeof *sorted);
    qsort (sorted, n, sizeof *sorted, compare);
    if (sorted[n / 2] * LATE_FACTOR > *late)
        *late = sorted[n / 2] * LATE_FACTOR;
    *twice = sorted[n * 9 / 10] * DOUBLE_FACTOR;
    if (*twice < DOUBLE_MIN)
        *twice = DOUBLE_MIN;
}

/* --- slow workers --- */

size_t get_slow_now (const get_t *get, uint64_t now, uint32_t *to)
{
    size_t n = 0;

    for (size_t i = 0; i < GET_SLOW; i++)
        if (get->slow[i].worker != 0 && get->slow[i].until > now)
            to[n++] = get->slow[i].worker;
    return n;
}

static void remember_slow (get_t *get, uint32_t worker)
{
    uint64_t until = clock_mono () + SLOW_NS;

    for (size_t i = 0; i < GET_SLOW; i++)
        if (get->slow[i].worker == worker) {
            get->slow[i].until = until;
            return;
        }
    get->slow[get->n_slow++ % GET_SLOW] = (get_slow_t){worker, until};
}

/* --- the second worker --- */

void get_second_failed (get_piece_t *piece)
{
    piece->second = NULL;
    piece->second_worker = 0;
}

bool get_second_takes_over (get_piece_t *piece)
{
    get_attempt_t *second = piece->second, **at = &piece->attempt;

    if (!second)
        return false;
    while (*at != second)
        at = &(*at)->older;
    *at = second->older;
    second->older = piece->attempt;
    piece->attempt = second;
    piece->second = NULL;
    piece->worker = piece->second_worker;
    piece->seq = piece->second_seq;
    piece->heard_at = clock_mono ();
    if (piece->worker == 0) {
        piece->asked_at = piece->heard_at;
        get_piece_move (piece, PIECE_ASKED);
    }
    return true;
}

void get_second_done (get_piece_t *piece)
{
    if (!piece->second)
        return;
    get_cancel (piece->attempt);
    get_cancel (piece->second);
    if (piece->first_silent && piece->worker != 0)
        remember_slow (piece->get, piece->worker);
    piece->second = NULL;
}

/* Asks once more for what has been silent for longer than LIMIT. */
static void ask_twice (get_t *get, uint64_t now, uint64_t limit)
{
    get_piece_t *pieces[DOUBLE_BATCH], *piece;
    uint64_t ids[DOUBLE_BATCH];
    size_t n = 0;

    TAILQ_FOREACH (piece, &get->pieces[PIECE_COMING], link)
    {
        uint64_t length = piece->end - piece->next;
        if (n == DOUBLE_BATCH)
            break;
        if (piece->doubled || piece->running || piece->inbox || piece->file->stale ||
            now - piece->heard_at < limit ||
            get->doubled_bytes + length > DOUBLE_FREE + get->asked_bytes / DOUBLE_PART)
            continue;
        get->doubled_bytes += length;
        piece->doubled = true;
        piece->first_silent = true;
        piece->second = get_attempt_new (piece, false);
        piece->second_worker = 0;
        ids[n] = piece->second->id;
        pieces[n++] = piece;
    }
    if (n == 0)
        return;
    uint64_t seq = get_ask (get, pieces, ids, n, true);
    for (size_t i = 0; i < n; i++)
        pieces[i]->second_seq = seq;
}

/* --- late --- */

void get_late (get_t *get, uint64_t now)
{
    get_piece_t *piece, *next;
    get_file_t *file;
    uint64_t late, twice;

    if (now - get->checked_at < CHECK_NS)
        return;
    get->checked_at = now;
    limits (get, &late, &twice);
    ask_twice (get, now, twice);
    for (piece = TAILQ_FIRST (&get->pieces[PIECE_COMING]); piece; piece = next) {
        next = TAILQ_NEXT (piece, link);
        if (piece->running || piece->inbox || now - piece->heard_at < late)
            continue;
        get_cancel (piece->attempt);
        if (piece->worker != 0)
            remember_slow (get, piece->worker);
        get_piece_again (piece, piece->worker, true, DFS_ETIMEOUT,
                         piece->heard_at ? "it is late" : "its stream ended");
    }
    for (piece = TAILQ_FIRST (&get->pieces[PIECE_ASKED]); piece; piece = next) {
        next = TAILQ_NEXT (piece, link);
        if (conn_up (get->dfs->conn) && now - piece->asked_at > ANSWER_WAIT)
            get_piece_move (piece, PIECE_WANT);
    }
    static const enum file_stage stages[] = {FILE_CUTTING, FILE_CUT};
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        get_file_t *after;
        for (file = TAILQ_FIRST (&get->files[stages[i]]); file; file = after) {
            after = TAILQ_NEXT (file, link);
            if (file->item->code < 0)
                get_file_step (file);
        }
    }
}
