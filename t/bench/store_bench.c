/* SPDX-License-Identifier: MPL-2.0 */
/* Figures of the chunk store in DIR (default: a temporary directory): ingest of 4 MiB
 * chunks beside fio, direct and buffered sequential writes of the same run, small
 * durable chunks from many writers, random reads, opening. Prints; asserts nothing:
 *   t/bench/store_bench [MiB] [small chunks] [rounds]
 * Ways take turns in each round; medians, and ratios within one round. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/rng.h"
#include "msgs/mark.h"
#include "t/lib/storetest.h"

#define MIB   (1024.0 * 1024.0)
#define LARGE (4 * 1024 * 1024)

static storetest_t t;
static uint64_t rounds = 1;

static double seconds (void)
{
    return (double)clock_mono () * 1e-9;
}

static double cpu (void)
{
    struct rusage r;
    getrusage (RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

static void line (const char *what, double bytes, double n, double wall, double used)
{
    printf ("%-44s %8.0f MB/s %9.0f /s %7.3f CPU-s/GiB\n", what, bytes / wall / 1e6,
            n / wall, bytes > 0 ? used / (bytes / (1024 * MIB)) : 0.0);
    fflush (stdout);
}

/* What the disk itself does: no store. */
static double raw_write (bool direct, size_t total)
{
    char path[512];
    snprintf (path, sizeof path, "%s/raw", t.root);
    int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | (direct ? O_DIRECT : 0), 0600);
    if (fd < 0) {
        printf ("no direct writes on this file system\n");
        return 0;
    }
    void *buf = aligned_alloc (4096, LARGE);
    memset (buf, 3, LARGE);
    double from = seconds ();
    double used = cpu ();
    for (size_t at = 0; at < total; at += LARGE)
        if (pwrite (fd, buf, LARGE, (off_t)at) != LARGE)
            break;
    fdatasync (fd);
    line (direct ? "disk: direct writes of 4 MiB, fdatasync"
                 : "disk: buffered, fdatasync",
          (double)total, (double)(total / LARGE), seconds () - from, cpu () - used);
    double rate = (double)total / (seconds () - from) / 1e6;
    free (buf);
    close (fd);
    unlink (path);
    return rate;
}

/* 0: there is no fio here. */
static double fio (size_t total)
{
    char command[1024];
    snprintf (command, sizeof command,
              "fio --name=w --filename=%s/fio --rw=write --bs=4M --size=%zu --direct=1 "
              "--ioengine=psync --end_fsync=1 --output-format=terse 2>/dev/null | "
              "cut -d';' -f48",
              t.root, total);
    double kib = 0;
    FILE *out = popen (command, "r");
    if (out && fscanf (out, "%lf", &kib) != 1)
        kib = 0;
    if (out)
        pclose (out);
    snprintf (command, sizeof command, "%s/fio", t.root);
    unlink (command);
    line ("fio: direct writes of 4 MiB, fsync", (double)total, (double)(total / LARGE),
          kib > 0 ? (double)total / (kib * 1024) : 1, 0);
    return kib * 1024 / 1e6;
}

/* --- medians --- */

#define ROUNDS 64

typedef struct series {
    double v[ROUNDS];
    size_t n;
} series_t;

static void note (series_t *series, double value)
{
    if (series->n < ROUNDS)
        series->v[series->n++] = value;
}

static int by_value (const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void median (const char *what, series_t *series, const char *unit)
{
    qsort (series->v, series->n, sizeof series->v[0], by_value);
    if (series->n)
        printf ("median of %2zu: %-34s %9.2f %s (%.2f to %.2f)\n", series->n, what,
                series->v[series->n / 2], unit, series->v[0], series->v[series->n - 1]);
}

static void load_now (void)
{
    double load[3] = {0, 0, 0};
    if (getloadavg (load, 3) > 0)
        printf ("load of the machine: %.1f %.1f %.1f\n", load[0], load[1], load[2]);
}

/* Chunks differ in their first bytes only, and their names are made up: hashing is not
 * what is measured here. */
static void fake_key (copykey_t *key, uint64_t n)
{
    rng_t rng;
    rng_seed (&rng, n);
    *key = (copykey_t){0};
    for (size_t i = 0; i < 32; i += 8) {
        uint64_t v = rng_next (&rng);
        memcpy (key->digest + i, &v, 8);
    }
}

static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_cond = PTHREAD_COND_INITIALIZER;
static uint64_t done_count, done_bad;

static void on_done (uint64_t cookie, int code, void *arg)
{
    (void)cookie;
    (void)arg;
    pthread_mutex_lock (&done_lock);
    done_count++;
    done_bad += code != 0;
    pthread_cond_broadcast (&done_cond);
    pthread_mutex_unlock (&done_lock);
}

static void wait_done (uint64_t n)
{
    pthread_mutex_lock (&done_lock);
    while (done_count < n)
        pthread_cond_wait (&done_cond, &done_lock);
    pthread_mutex_unlock (&done_lock);
}

/* HASH: SHA-256 of each chunk on the way in, as the ingest of a worker does. */
static double large_chunks (size_t total, bool hash)
{
    uint8_t *data = malloc (LARGE + 64);
    uint32_t crcs[LARGE / DIGEST_BLOCK];
    memset (data, 5, LARGE + 64);
    digest_blocks (data + 3, LARGE, crcs);
    digest_t *digest = digest_new ();
    uint8_t sum[DIGEST_LEN];
    size_t n = total / LARGE;
    done_count = 0;
    double from = seconds ();
    double used = cpu ();
    for (uint64_t i = 0; i < n; i++) {
        store_new_t what = {.true_len = LARGE, .stored_len = LARGE, .birth = 1};
        fake_key (&what.key, rounds++);
        dfs_error_t err = {0};
        store_append_t *append = store_begin (t.store, &what, i, &err);
        digest_start (digest);
        for (size_t at = 0; append && at < LARGE; at += 1024 * 1024) {
            if (hash)
                digest_update (digest, data + 3 + at, 1024 * 1024);
            store_write (append, at, data + 3 + at, 1024 * 1024,
                         crcs + at / DIGEST_BLOCK, &err);
        }
        if (hash)
            digest_finish (digest, sum);
        if (!append) {
            printf ("begin: %s\n", err.text);
            exit (1);
        }
        store_seal (&append);
        if (i >= 8)
            wait_done (i - 8); /* eight in flight */
    }
    wait_done (n);
    double wall = seconds () - from;
    line (hash ? "store: chunks of 4 MiB, hashed, durable"
               : "store: chunks of 4 MiB, durable",
          (double)total, (double)n, wall, cpu () - used);
    digest_destroy (&digest);
    free (data);
    return (double)total / wall / 1e6;
}

typedef struct writer {
    uint64_t from, n;
    size_t len;
} writer_t;

static void *write_small (void *arg)
{
    writer_t *w = arg;
    uint8_t *data = calloc (1, w->len + 1);
    uint32_t crc;
    digest_blocks (data, w->len, &crc);
    for (uint64_t i = 0; i < w->n; i++) {
        store_new_t what = {.true_len = w->len, .stored_len = w->len, .birth = 1};
        fake_key (&what.key, w->from + i);
        dfs_error_t err = {0};
        if (store_put (t.store, &what, data, &crc, i, &err) < 0) {
            printf ("put: %s\n", err.text);
            exit (1);
        }
        if (i % 64 == 63) { /* 64 in flight per writer */
            pthread_mutex_lock (&done_lock);
            uint64_t seen = done_count;
            while (done_count == seen)
                pthread_cond_wait (&done_cond, &done_lock);
            pthread_mutex_unlock (&done_lock);
        }
    }
    free (data);
    return NULL;
}

static double small_chunks (size_t len, uint64_t per_writer, size_t writers)
{
    pthread_t threads[64];
    writer_t w[64];
    done_count = 0;
    double from = seconds ();
    double used = cpu ();
    for (size_t i = 0; i < writers; i++) {
        w[i] = (writer_t){.from = (1ULL << 40) + rounds, .n = per_writer, .len = len};
        rounds += per_writer;
        pthread_create (&threads[i], NULL, write_small, &w[i]);
    }
    for (size_t i = 0; i < writers; i++)
        pthread_join (threads[i], NULL);
    uint64_t n = per_writer * writers;
    wait_done (n);
    char what[64];
    snprintf (what, sizeof what, "store: chunks of %zu B, durable, %zu writers", len,
              writers);
    double wall = seconds () - from;
    line (what, (double)(n * len), (double)n, wall, cpu () - used);
    return (double)n / wall;
}

/* Chunks of 4 MiB in frames of 1 MiB, the oldest first. */
static void large_reads (const char *name, uint64_t first, uint64_t n)
{
    uint8_t *buf = malloc (1024 * 1024);
    uint64_t bad = 0;
    double from = seconds ();
    double used = cpu ();
    for (uint64_t i = 0; i < n; i++) {
        copykey_t key;
        fake_key (&key, first + i);
        dfs_error_t err;
        store_chunk_t *chunk = store_open_chunk (t.store, &key, &err);
        for (size_t at = 0; chunk && at < LARGE; at += 1024 * 1024)
            bad += store_read (chunk, at, buf, 1024 * 1024, NULL, true, &err) < 0;
        bad += !chunk;
        store_close_chunk (&chunk);
    }
    line (bad ? "store: large reads FAILED" : name, (double)n * LARGE, (double)n,
          seconds () - from, cpu () - used);
    free (buf);
}

static double random_reads (size_t len, uint64_t first, uint64_t n, uint64_t count)
{
    uint8_t *buf = malloc (len + 1);
    rng_t rng;
    rng_seed (&rng, 5);
    uint64_t bad = 0;
    double from = seconds ();
    double used = cpu ();
    for (uint64_t i = 0; i < count; i++) {
        copykey_t key;
        fake_key (&key, first + rng_below (&rng, n));
        dfs_error_t err;
        store_chunk_t *chunk = store_open_chunk (t.store, &key, &err);
        bad += !chunk || store_read (chunk, 0, buf, len, NULL, true, &err) < 0;
        store_close_chunk (&chunk);
    }
    char what[64];
    snprintf (what, sizeof what, "store: random reads of %zu B, one thread%s", len,
              bad ? " (FAILED)" : "");
    double wall = seconds () - from;
    line (what, (double)(count * len), (double)count, wall, cpu () - used);
    free (buf);
    return (double)count / wall;
}

/* Memory of this process that is no page cache, and the size of the index. */
static void memory (uint64_t chunks)
{
    char text[256];
    unsigned long long anon = 0, value;
    FILE *file = fopen ("/proc/self/status", "r");
    while (file && fgets (text, sizeof text, file))
        if (sscanf (text, "RssAnon: %llu kB", &value) == 1)
            anon = value;
    if (file)
        fclose (file);
    char path[512];
    struct stat st = {0};
    snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
    stat (path, &st);
    printf ("%-44s %8.1f MiB    index on disk %.0f MiB per million chunks\n",
            "store: memory beside the page cache", (double)anon / 1024,
            (double)st.st_size / MIB / ((double)chunks / 1e6));
}

static double hashing (void)
{
    uint8_t *data = malloc (LARGE);
    memset (data, 9, LARGE);
    uint8_t sum[DIGEST_LEN];
    double from = seconds ();
    double used = cpu ();
    for (int i = 0; i < 128; i++)
        digest_sha256 (data, LARGE, sum);
    double wall = seconds () - from;
    line ("SHA-256 of 4 MiB, one core", 128.0 * LARGE, 128, wall, cpu () - used);
    free (data);
    return 128.0 * LARGE / wall / 1e6;
}

static void reopen (const char *what)
{
    double from = seconds ();
    double used = cpu ();
    storetest_open (&t);
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    printf ("%-44s %8.3f s      %9llu chunks %7.3f CPU-s\n", what, seconds () - from,
            (unsigned long long)disk.chunks, cpu () - used);
    memory (disk.chunks);
}

int main (int argc, char **argv)
{
    size_t total = (size_t)(argc > 1 ? atoi (argv[1]) : 1024) * 1024 * 1024;
    uint64_t small = argc > 2 ? (uint64_t)atoi (argv[2]) : 100000;
    int n_rounds = argc > 3 ? atoi (argv[3]) : 3;
    storetest_quiet ();
    storetest_init (&t, 1);
    t.config.done = on_done;
    t.config.changed = NULL;
    storetest_open (&t);
    load_now ();
    series_t sha = {.n = 0}, by_fio = {.n = 0}, direct = {.n = 0}, plain = {.n = 0};
    series_t hashed = {.n = 0}, to_fio = {.n = 0}, to_bound = {.n = 0};
    for (int i = 0; i < n_rounds; i++) {
        double h = hashing ();
        double f = fio (total);
        note (&sha, h);
        note (&by_fio, f);
        note (&direct, raw_write (true, total));
        if (i == 0)
            raw_write (false, total);
        double p = large_chunks (total, false);
        double s = large_chunks (total, true);
        note (&plain, p);
        note (&hashed, s);
        note (&to_fio, f > 0 ? p / f : 0);
        note (&to_bound, f > 0 && f < h ? s / f : s / h);
    }
    median ("SHA-256, one core", &sha, "MB/s");
    median ("fio", &by_fio, "MB/s");
    median ("direct writes", &direct, "MB/s");
    median ("store", &plain, "MB/s");
    median ("store, hashed", &hashed, "MB/s");
    median ("store / fio", &to_fio, "");
    median ("store, hashed / what binds first", &to_bound, "");
    load_now ();
    large_reads ("store: chunks of 4 MiB read from the disk", rounds - total / LARGE,
                 total / LARGE);
    large_reads ("store: chunks of 4 MiB read from the cache", rounds - total / LARGE,
                 total / LARGE);
    uint64_t first = (1ULL << 40) + rounds;
    series_t writes = {.n = 0}, reads = {.n = 0};
    for (int i = 0; i < 3; i++)
        note (&writes, small_chunks (4096, small / 16, 16));
    small_chunks (100, small / 16, 16);
    for (int i = 0; i < 3; i++)
        note (&reads, random_reads (4096, first, 3 * (small / 16 * 16), 200000));
    median ("chunks of 4096 B, durable", &writes, "/s");
    median ("random reads of 4096 B", &reads, "/s");
    load_now ();
    store_close (&t.store);
    reopen ("store: open with an index");
    store_close (&t.store);
    char path[512];
    snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
    unlink (path);
    reopen ("store: open, index rebuilt from volumes");
    printf ("done with %llu failures\n", (unsigned long long)done_bad);
    storetest_end (&t);
    return 0;
}
