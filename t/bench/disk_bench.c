/* SPDX-License-Identifier: MPL-2.0 */
/* How bytes of chunks may get to a disk: pieces of 1 MiB that lie anywhere in memory
 * are written behind each other into one file, durable every 32 MiB. The ways take
 * turns in each round; prints medians, asserts nothing. Needs
 * liburing: make t/bench/disk_bench && ./t/bench/disk_bench DIR [MiB] [rounds] */
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"

#define PIECE  (1024 * 1024)
#define GROUP  32 /* pieces */
#define DEPTH  8  /* staged at a time, in every way that stages */
#define ROUNDS 64

static uint8_t *source; /* not aligned */
static uint8_t *staged[DEPTH];

static void give_up (const char *what)
{
    perror (what);
    exit (1);
}

static double cpu (void)
{
    struct rusage r;
    getrusage (RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

static void write_all (int fd, const void *data, size_t n)
{
    if (pwrite (fd, data, PIECE, (off_t)(n * PIECE)) != PIECE)
        give_up ("pwrite");
}

/* --- buffered, write-back started early --- */

static void buffered (int fd, size_t pieces)
{
    for (size_t i = 0; i < pieces; i++) {
        write_all (fd, source + 3, i);
        sync_file_range (fd, (off_t)(i * PIECE), PIECE, SYNC_FILE_RANGE_WRITE);
        if (i % GROUP == GROUP - 1)
            fdatasync (fd);
    }
    fdatasync (fd);
}

/* --- O_DIRECT, two threads that write what was staged --- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    size_t staged, taken, written; /* pieces */
    bool busy[DEPTH];
    size_t total;
    int fd;
} q = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void *writer (void *arg)
{
    pthread_mutex_lock (&q.lock);
    for (;;) {
        while (q.taken == q.staged && q.taken < q.total)
            pthread_cond_wait (&q.cond, &q.lock);
        if (q.taken == q.total)
            break;
        size_t i = q.taken++;
        pthread_mutex_unlock (&q.lock);
        write_all (q.fd, staged[i % DEPTH], i);
        pthread_mutex_lock (&q.lock);
        q.busy[i % DEPTH] = false;
        q.written++;
        pthread_cond_broadcast (&q.cond);
    }
    pthread_mutex_unlock (&q.lock);
    return arg;
}

static void threads (int fd, size_t pieces)
{
    pthread_t thread[2];
    q.staged = q.taken = q.written = 0;
    q.total = pieces;
    q.fd = fd;
    for (int i = 0; i < 2; i++)
        pthread_create (&thread[i], NULL, writer, NULL);
    for (size_t i = 0; i < pieces; i++) {
        pthread_mutex_lock (&q.lock);
        while (q.busy[i % DEPTH] || (i % GROUP == 0 && q.written < i))
            pthread_cond_wait (&q.cond, &q.lock);
        q.busy[i % DEPTH] = true;
        pthread_mutex_unlock (&q.lock);
        if (i && i % GROUP == 0)
            fdatasync (fd);
        memcpy (staged[i % DEPTH], source + 3, PIECE);
        pthread_mutex_lock (&q.lock);
        q.staged++;
        pthread_cond_broadcast (&q.cond);
        pthread_mutex_unlock (&q.lock);
    }
    for (int i = 0; i < 2; i++)
        pthread_join (thread[i], NULL);
    fdatasync (fd);
}

/* --- O_DIRECT, io_uring with registered buffers --- */

static size_t reap (struct io_uring *ring, bool *busy, size_t in_flight, size_t leave)
{
    while (in_flight > leave) {
        struct io_uring_cqe *cqe;
        if (io_uring_wait_cqe (ring, &cqe) < 0 || cqe->res != PIECE)
            give_up ("io_uring");
        busy[io_uring_cqe_get_data64 (cqe)] = false;
        io_uring_cqe_seen (ring, cqe);
        in_flight--;
    }
    return in_flight;
}

static void uring (int fd, size_t pieces)
{
    struct io_uring ring;
    struct iovec iov[DEPTH];
    bool busy[DEPTH] = {false};
    size_t in_flight = 0;
    if (io_uring_queue_init (2 * DEPTH, &ring, 0) < 0)
        give_up ("io_uring_queue_init");
    for (int i = 0; i < DEPTH; i++)
        iov[i] = (struct iovec){.iov_base = staged[i], .iov_len = PIECE};
    if (io_uring_register_buffers (&ring, iov, DEPTH) < 0 ||
        io_uring_register_files (&ring, &fd, 1) < 0)
        give_up ("io_uring_register");
    for (size_t i = 0; i < pieces; i++) {
        size_t at = i % DEPTH;
        while (busy[at])
            in_flight = reap (&ring, busy, in_flight, in_flight - 1);
        if (i && i % GROUP == 0) {
            in_flight = reap (&ring, busy, in_flight, 0);
            fdatasync (fd);
        }
        memcpy (staged[at], source + 3, PIECE);
        struct io_uring_sqe *sqe = io_uring_get_sqe (&ring);
        io_uring_prep_write_fixed (sqe, 0, staged[at], PIECE, i * PIECE, (int)at);
        sqe->flags |= IOSQE_FIXED_FILE;
        io_uring_sqe_set_data64 (sqe, at);
        io_uring_submit (&ring);
        busy[at] = true;
        in_flight++;
    }
    reap (&ring, busy, in_flight, 0);
    fdatasync (fd);
    io_uring_queue_exit (&ring);
}

/* --- taking turns --- */

typedef struct way {
    const char *name;
    void (*run) (int fd, size_t pieces);
    int flags;
    bool allocate; /* the space is allocated before, as one could for each chunk */
    double rate[ROUNDS], used[ROUNDS];
} way_t;

static way_t ways[] = {
    {.name = "buffered, sync_file_range", .run = buffered},
    {.name = "O_DIRECT, two threads", .run = threads, .flags = O_DIRECT},
    {.name = "O_DIRECT, io_uring", .run = uring, .flags = O_DIRECT},
    {.name = "O_DIRECT, two threads, allocated",
     .run = threads,
     .flags = O_DIRECT,
     .allocate = true},
    {.name = "O_DIRECT, io_uring, allocated",
     .run = uring,
     .flags = O_DIRECT,
     .allocate = true},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static int by_value (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run (way_t *way, const char *path, size_t pieces, int round)
{
    int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | way->flags, 0600);
    if (fd < 0)
        give_up (path);
    double from = (double)clock_mono () * 1e-9, used = cpu ();
    if (way->allocate && fallocate (fd, 0, 0, (off_t)(pieces * PIECE)) < 0)
        give_up ("fallocate");
    way->run (fd, pieces);
    double wall = (double)clock_mono () * 1e-9 - from;
    way->rate[round] = (double)pieces * PIECE / wall / 1e6;
    way->used[round] = (cpu () - used) / ((double)pieces / 1024);
    close (fd);
    unlink (path);
}

int main (int argc, char **argv)
{
    char path[4096];
    size_t pieces = argc > 2 ? (size_t)atoi (argv[2]) : 1024;
    int rounds = argc > 3 ? atoi (argv[3]) : 5;
    rounds = rounds < ROUNDS ? rounds : ROUNDS;
    snprintf (path, sizeof path, "%s/disk-bench.%d", argc > 1 ? argv[1] : ".",
              (int)getpid ());
    source = malloc (PIECE + 64);
    memset (source, 7, PIECE + 64);
    for (int i = 0; i < DEPTH; i++) {
        staged[i] = aligned_alloc (4096, PIECE);
        memset (staged[i], 1, PIECE);
    }
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < WAYS; i++)
            run (&ways[i], path, pieces, round);
    for (int i = 0; i < WAYS; i++) {
        way_t *way = &ways[i];
        qsort (way->rate, (size_t)rounds, sizeof (double), by_value);
        qsort (way->used, (size_t)rounds, sizeof (double), by_value);
        printf ("%-36s %6.0f MB/s (%.0f to %.0f) %6.3f CPU-s/GiB\n", way->name,
                way->rate[rounds / 2], way->rate[0], way->rate[rounds - 1],
                way->used[rounds / 2]);
    }
    return 0;
}
