/* SPDX-License-Identifier: MPL-2.0 */
/* Figures of the chunk store in DIR (default: a temporary directory): ingest of 4 MiB
 * chunks beside direct and buffered sequential writes of the same run, small durable
 * chunks from many writers, random reads, opening. Prints; asserts nothing. */
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
static void raw_write (bool direct, size_t total)
{
    char path[512];
    snprintf (path, sizeof path, "%s/raw", t.root);
    int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | (direct ? O_DIRECT : 0), 0600);
    if (fd < 0) {
        printf ("no direct writes on this file system\n");
        return;
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
    free (buf);
    close (fd);
    unlink (path);
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

static void large_chunks (size_t total)
{
    uint8_t *data = malloc (LARGE + 64);
    uint32_t crcs[LARGE / DIGEST_BLOCK];
    memset (data, 5, LARGE + 64);
    digest_blocks (data + 3, LARGE, crcs);
    size_t n = total / LARGE;
    done_count = 0;
    double from = seconds ();
    double used = cpu ();
    for (uint64_t i = 0; i < n; i++) {
        store_new_t what = {.true_len = LARGE, .stored_len = LARGE, .birth = 1};
        fake_key (&what.key, rounds++);
        dfs_error_t err = {0};
        store_append_t *append = store_begin (t.store, &what, i, &err);
        for (size_t at = 0; append && at < LARGE; at += 1024 * 1024)
            store_write (append, at, data + 3 + at, 1024 * 1024,
                         crcs + at / DIGEST_BLOCK, &err);
        if (!append) {
            printf ("begin: %s\n", err.text);
            exit (1);
        }
        store_seal (&append);
        if (i >= 8)
            wait_done (i - 8); /* eight in flight */
    }
    wait_done (n);
    line ("store: chunks of 4 MiB, durable", (double)total, (double)n,
          seconds () - from, cpu () - used);
    free (data);
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

static void small_chunks (size_t len, uint64_t per_writer, size_t writers)
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
    line (what, (double)(n * len), (double)n, seconds () - from, cpu () - used);
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

static void random_reads (size_t len, uint64_t first, uint64_t n, uint64_t count)
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
    line (what, (double)(count * len), (double)count, seconds () - from, cpu () - used);
    free (buf);
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

static void hashing (void)
{
    uint8_t *data = malloc (LARGE);
    memset (data, 9, LARGE);
    uint8_t sum[DIGEST_LEN];
    double from = seconds ();
    double used = cpu ();
    for (int i = 0; i < 128; i++)
        digest_sha256 (data, LARGE, sum);
    line ("SHA-256 of 4 MiB, one core", 128.0 * LARGE, 128, seconds () - from,
          cpu () - used);
    free (data);
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
    storetest_quiet ();
    storetest_init (&t, 1);
    t.config.done = on_done;
    t.config.changed = NULL;
    storetest_open (&t);
    hashing ();
    for (int i = 0; i < 3; i++) {
        raw_write (true, total);
        raw_write (false, total);
        large_chunks (total);
    }
    large_reads ("store: chunks of 4 MiB read from the disk", rounds - total / LARGE,
                 total / LARGE);
    large_reads ("store: chunks of 4 MiB read from the cache", rounds - total / LARGE,
                 total / LARGE);
    uint64_t first = (1ULL << 40) + rounds;
    for (int i = 0; i < 3; i++)
        small_chunks (4096, small / 16, 16);
    small_chunks (100, small / 16, 16);
    for (int i = 0; i < 3; i++)
        random_reads (4096, first, 3 * (small / 16 * 16), 200000);
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
