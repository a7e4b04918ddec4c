/* SPDX-License-Identifier: MPL-2.0 */
/* Bytes of extents on their way to the disk behind the sender's back: by a ring, or by
 * threads that write. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/units.h"
#include "worker/store/append.h"

/* Bytes that were copied to an aligned buffer and go to the disk behind the caller's
 * back: hashing and writing overlap, and the disk has several requests at a time. */
typedef struct piece {
    struct piece *next;
    store_append_t *append;
    void *buf; /* of the staging pool */
    size_t len;
    uint64_t offset; /* in the volume */
} piece_t;

/* PIECE is written, or is not. */
static void end_piece (disk_t *disk, piece_t *piece, int rc, const dfs_error_t *err)
{
    store_append_t *append = piece->append;
    size_t len = piece->len;
    buf_put (disk->staging, piece->buf);
    free (piece);
    pthread_mutex_lock (&disk->lock);
    if (rc < 0)
        append_failed (append, rc, err->text);
    else
        append_taken (append, len);
    if (--append->pending == 0 && append->state != APPEND_OPEN)
        append_finish (append);
    else
        pthread_mutex_unlock (&disk->lock);
}

static void write_piece (disk_t *disk, piece_t *piece, int who)
{
    dfs_error_t err = {0};
    disk_busy (disk, who);
    int rc = io_pwrite (piece->append->volume->direct, piece->buf, piece->len,
                        piece->offset, &err);
    disk_idle (disk, who);
    end_piece (disk, piece, rc, &err);
}

/* Ends what was given to the ring; after the wake-up, when nothing of it is left. */
static void *reaper_main (void *arg)
{
    disk_t *disk = arg;
    bool stop = false;
    while (!stop || atomic_load (&disk->ring_writes) > 0) {
        int result;
        piece_t *piece = ring_wait (disk->ring, &result);
        if (!piece) {
            stop = true;
            continue;
        }
        dfs_error_t err = {0};
        int rc = io_write_ended (piece->append->volume->direct, piece->buf, piece->len,
                                 piece->offset, result, &err);
        if (atomic_fetch_sub (&disk->ring_writes, 1) == 1)
            disk_idle (disk, DISK_RING);
        else
            disk_busy (disk, DISK_RING);
        end_piece (disk, piece, rc, &err);
    }
    return NULL;
}

static void give_to_ring (disk_t *disk, piece_t *piece)
{
    dfs_error_t err = {0};
    int fd = piece->append->volume->direct;
    int rc = io_write_begins (fd, piece->buf, piece->len, piece->offset, &err);
    if (rc == DFS_OK) {
        if (atomic_fetch_add (&disk->ring_writes, 1) == 0)
            disk_busy (disk, DISK_RING);
        int code =
            ring_write (disk->ring, fd, piece->buf, piece->len, piece->offset, piece);
        if (code == 0)
            return;
        rc = io_write_ended (fd, piece->buf, piece->len, piece->offset, code, &err);
        atomic_fetch_sub (&disk->ring_writes, 1);
    }
    end_piece (disk, piece, rc, &err);
}

static void *writer_main (void *arg)
{
    disk_t *disk = arg;
    pthread_mutex_lock (&disk->lock);
    int who = ++disk->n_writing; /* DISK_COMMITS is 0 */
    for (;;) {
        while (!disk->pieces && !disk->writers_stop)
            pthread_cond_wait (&disk->spill, &disk->lock);
        piece_t *piece = disk->pieces;
        if (!piece)
            break;
        disk->pieces = piece->next;
        if (!disk->pieces)
            disk->pieces_end = &disk->pieces;
        pthread_mutex_unlock (&disk->lock);
        write_piece (disk, piece, who);
        pthread_mutex_lock (&disk->lock);
    }
    pthread_mutex_unlock (&disk->lock);
    return NULL;
}

void writers_stop (disk_t *disk)
{
    pthread_mutex_lock (&disk->lock);
    disk->writers_stop = true;
    pthread_cond_broadcast (&disk->spill);
    pthread_mutex_unlock (&disk->lock);
    if (disk->n_writers && disk->ring)
        ring_wake (disk->ring);
    for (size_t i = 0; i < disk->n_writers; i++)
        pthread_join (disk->writers[i], NULL);
}

/* Threads are there from the first large chunk on. Locked. */
static void start_writer (disk_t *disk)
{
    size_t most = disk->ring ? 1 : DISK_WRITERS;
    if (disk->n_writers < most &&
        pthread_create (&disk->writers[disk->n_writers], NULL,
                        disk->ring ? reaper_main : writer_main, disk) == 0)
        disk->n_writers++;
}

int stage_write (store_append_t *append, uint64_t offset, const uint8_t *data,
                 size_t len, dfs_error_t *err)
{
    disk_t *disk = append->disk;
    size_t cap = buf_size (disk->staging);
    while (len) {
        void *buf = NULL;
        while (!(buf = buf_wait_for (disk->staging, SEC))) {
            int rc = disk_answers (disk, err);
            if (rc < 0)
                return rc;
        }
        piece_t *piece = malloc (sizeof *piece);
        assert (piece);
        size_t n = len < cap ? len : cap;
        size_t padded = (size_t)volume_align (n);
        *piece =
            (piece_t){.append = append, .buf = buf, .len = padded, .offset = offset};
        memcpy (piece->buf, data, n);
        memset ((uint8_t *)piece->buf + n, 0, padded - n);
        pthread_mutex_lock (&disk->lock);
        append->pending++;
        if (!disk->ring) {
            *disk->pieces_end = piece;
            disk->pieces_end = &piece->next;
            pthread_cond_signal (&disk->spill);
        }
        start_writer (disk);
        pthread_mutex_unlock (&disk->lock);
        if (disk->ring)
            give_to_ring (disk, piece);
        data += n;
        offset += n;
        len -= n;
    }
    return DFS_OK;
}
