/* SPDX-License-Identifier: MPL-2.0 */
/* Space for a large chunk. Its header is written under the disk's lock, and a disk may
 * hang in that: where there are others, a thread of the disk's own does it, and who
 * waits for it does not wait for long. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/units.h"
#include "worker/store/append.h"

enum ask_state { ASKED, ANSWERED, GIVEN_UP };

typedef struct ask {
    struct ask *next;
    record_t rec;
    extent_place_t place;
    int rc;
    dfs_error_t err;
    enum ask_state state; /* under `asking` */
} ask_t;

int reserve_lock (disk_t *disk, dfs_error_t *err)
{
    int rc = disk_answers (disk, err);
    if (rc == DFS_OK && !disk_try (disk))
        rc = fail (err, DFS_ETIMEOUT, "disk %s does not answer", disk->dir);
    return rc;
}

static int reserve_here (disk_t *disk, const record_t *rec, extent_place_t *place,
                         dfs_error_t *err)
{
    int rc = reserve_lock (disk, err);
    if (rc < 0)
        return rc;
    rc = disk_room (disk, extent_length (rec->stored_len), false, err);
    if (rc == DFS_OK) {
        rc = volume_reserve (disk, rec, &place->volume, &place->offset,
                             &place->promised, err);
        if (rc == DFS_EIO || rc == DFS_EROFS)
            disk_fail (disk, rc, err ? err->text : "write");
    }
    pthread_mutex_unlock (&disk->lock);
    return rc;
}

void reserve_free (disk_t *disk, const record_t *rec, const extent_place_t *place)
{
    extent_head_t head = {.volume = place->volume->number,
                          .offset = place->offset,
                          .length = extent_length (rec->stored_len),
                          .key = rec->key,
                          .stored_len = rec->stored_len,
                          .true_len = rec->true_len,
                          .birth = rec->birth};
    memcpy (head.disk_id, disk->id, 16);
    volume_free_extent (disk, place->volume, &head);
    place->volume->inflight--;
    volume_done (disk, place->volume);
}

/* --- the thread --- */

/* Nobody waits for it any more. */
static void take_back (disk_t *disk, ask_t *ask)
{
    if (ask->rc == DFS_OK) {
        pthread_mutex_lock (&disk->lock);
        disk->promised -= ask->place.promised;
        reserve_free (disk, &ask->rec, &ask->place);
        pthread_mutex_unlock (&disk->lock);
    }
    free (ask);
}

static void *opener_main (void *arg)
{
    disk_t *disk = arg;
    pthread_mutex_lock (&disk->asking);
    for (;;) {
        while (!disk->asks && !disk->opener_stop)
            pthread_cond_wait (&disk->asked, &disk->asking);
        ask_t *ask = disk->asks;
        if (!ask)
            break;
        disk->asks = ask->next;
        if (!disk->asks)
            disk->asks_end = &disk->asks;
        bool wanted = ask->state == ASKED;
        pthread_mutex_unlock (&disk->asking);
        ask->rc = wanted ? reserve_here (disk, &ask->rec, &ask->place, &ask->err)
                         : DFS_ETIMEOUT;
        pthread_mutex_lock (&disk->asking);
        wanted = ask->state == ASKED;
        ask->state = wanted ? ANSWERED : ask->state;
        pthread_cond_broadcast (&disk->answered);
        if (wanted)
            continue;
        pthread_mutex_unlock (&disk->asking);
        take_back (disk, ask);
        pthread_mutex_lock (&disk->asking);
    }
    pthread_mutex_unlock (&disk->asking);
    return NULL;
}

void reserve_stop (disk_t *disk)
{
    pthread_mutex_lock (&disk->asking);
    bool runs = disk->opener_runs;
    disk->opener_stop = true;
    pthread_cond_broadcast (&disk->asked);
    pthread_mutex_unlock (&disk->asking);
    if (runs)
        pthread_join (disk->opener, NULL);
}

/* --- asking --- */

static void wait_for (disk_t *disk, ask_t *ask)
{
    uint64_t at = clock_mono () + disk_patience (disk);
    struct timespec ts = {.tv_sec = (time_t)(at / SEC), .tv_nsec = (long)(at % SEC)};
    int rc = 0;
    while (ask->state == ASKED && rc == 0)
        rc = pthread_cond_clockwait (&disk->answered, &disk->asking, CLOCK_MONOTONIC,
                                     &ts);
}

static int ask_for (disk_t *disk, const record_t *rec, extent_place_t *place,
                    dfs_error_t *err)
{
    ask_t *ask = calloc (1, sizeof *ask);
    assert (ask);
    ask->rec = *rec;
    pthread_mutex_lock (&disk->asking);
    if (!disk->opener_runs)
        disk->opener_runs =
            pthread_create (&disk->opener, NULL, opener_main, disk) == 0;
    *disk->asks_end = ask;
    disk->asks_end = &ask->next;
    pthread_cond_signal (&disk->asked);
    wait_for (disk, ask);
    bool answered = ask->state == ANSWERED;
    ask->state = answered ? ANSWERED : GIVEN_UP;
    pthread_mutex_unlock (&disk->asking);
    if (!answered) /* the thread frees it */
        return fail (err, DFS_ETIMEOUT, "disk %s does not answer", disk->dir);
    int rc = ask->rc < 0 ? fail (err, ask->rc, "%s", ask->err.text) : DFS_OK;
    *place = ask->place;
    free (ask);
    return rc;
}

int reserve_extent (disk_t *disk, const record_t *rec, extent_place_t *place,
                    dfs_error_t *err)
{
    if (disk->config->n_dirs == 1)
        return reserve_here (disk, rec, place, err);
    int rc = disk_answers (disk, err);
    return rc < 0 ? rc : ask_for (disk, rec, place, err);
}
