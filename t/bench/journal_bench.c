/* SPDX-License-Identifier: MPL-2.0 */
/* Commits per second of the journal with one voter, at several numbers outstanding,
 * with sync to disk. Usage: journal_bench [DIRECTORY [SECONDS [BYTES]]] */
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/journal/journal.h"
#include "common/clock.h"
#include "common/io.h"

#define SAMPLES (4 * 1024 * 1024)

typedef struct bench {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool leader;
    uint64_t committed;
    uint64_t applied;
    uint64_t now; /* time of the present group */
    uint32_t *us; /* waits of this run */
    size_t n_us;
    dfs_error_t failed;
    _Atomic uint64_t syncs;
} bench_t;

static void committed (const journal_entry_t *entries, size_t n, void *arg)
{
    bench_t *self = arg;
    uint64_t now = clock_mono ();
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < n && self->n_us < SAMPLES; i++)
        self->us[self->n_us++] = (uint32_t)((now - entries[i].cookie) / 1000);
    self->committed += n;
    self->applied = entries[n - 1].index;
    pthread_cond_signal (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

static void dropped (const uint64_t *cookies, size_t n, int code, void *arg)
{
    (void)cookies;
    (void)n;
    (void)arg;
    fprintf (stderr, "dropped: %s\n", dfs_error_text (code));
    exit (1);
}

static void role (enum journal_role new_role, uint64_t term, const char *leader,
                  void *arg)
{
    (void)term;
    (void)leader;
    bench_t *self = arg;
    pthread_mutex_lock (&self->lock);
    self->leader = new_role == JOURNAL_LEADER;
    pthread_cond_signal (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

static void read_point (uint64_t cookie, int code, uint64_t index, void *arg)
{
    (void)cookie;
    (void)code;
    (void)index;
    (void)arg;
}

static void failed (const dfs_error_t *err, void *arg)
{
    (void)arg;
    fprintf (stderr, "failed: %s\n", err->text);
    exit (1);
}

static int before (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int iovcnt,
                   void *arg)
{
    (void)fd;
    (void)path;
    (void)path2;
    (void)offset;
    (void)len;
    (void)iov;
    (void)iovcnt;
    bench_t *self = arg;
    if (op == IO_FDATASYNC)
        self->syncs++;
    return 0;
}

static int by_value (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void measure (bench_t *self, journal_t *journal, size_t outstanding,
                     double seconds, size_t bytes)
{
    journal_proposal_t *batch = calloc (outstanding, sizeof *batch);
    uint8_t *data = calloc (1, bytes);
    if (!batch || !data)
        abort ();
    uint64_t proposed = 0, start = clock_mono (), syncs = self->syncs;
    uint64_t end = start + (uint64_t)(seconds * 1e9);
    pthread_mutex_lock (&self->lock);
    self->committed = 0;
    self->n_us = 0;
    pthread_mutex_unlock (&self->lock);
    for (;;) {
        pthread_mutex_lock (&self->lock);
        while (proposed - self->committed == outstanding)
            pthread_cond_wait (&self->changed, &self->lock);
        size_t n = outstanding - (size_t)(proposed - self->committed);
        uint64_t applied = self->applied;
        pthread_mutex_unlock (&self->lock);
        uint64_t now = clock_mono ();
        if (now >= end)
            break;
        for (size_t i = 0; i < n; i++)
            batch[i] = (journal_proposal_t){data, bytes, now};
        dfs_error_t err;
        if (journal_propose (journal, batch, n, &err)) {
            fprintf (stderr, "propose: %s\n", err.text);
            exit (1);
        }
        proposed += n;
        journal_applied (journal, applied);
    }
    pthread_mutex_lock (&self->lock);
    while (self->committed < proposed)
        pthread_cond_wait (&self->changed, &self->lock);
    pthread_mutex_unlock (&self->lock);
    double took = (double)(clock_mono () - start) / 1e9;
    qsort (self->us, self->n_us, sizeof *self->us, by_value);
    printf ("outstanding=%-4zu bytes=%zu commits/s=%-9.0f p50_us=%-6u p99_us=%-6u "
            "max_us=%-7u fdatasync/s=%.0f\n",
            outstanding, bytes, (double)proposed / took, self->us[self->n_us / 2],
            self->us[self->n_us * 99 / 100], self->us[self->n_us - 1],
            (double)(self->syncs - syncs) / took);
    fflush (stdout);
    free (batch);
    free (data);
}

static int remove_one (const char *path, const struct stat *st, int flag,
                       struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove (path);
}

int main (int argc, char **argv)
{
    double seconds = argc > 2 ? atof (argv[2]) : 3;
    size_t bytes = argc > 3 ? (size_t)atol (argv[3]) : 128;
    char dir[PATH_MAX];
    snprintf (dir, sizeof dir, "%s/journal-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (!mkdtemp (dir)) {
        perror (dir);
        return 1;
    }
    static bench_t bench = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER};
    bench.us = malloc (SAMPLES * sizeof *bench.us);
    io_set_hook (&(io_hook_t){.before = before, .arg = &bench});
    dfs_error_t err;
    journal_t *journal =
        journal_open (&(journal_config_t){.dir = dir,
                                          .events = {.committed = committed,
                                                     .dropped = dropped,
                                                     .role = role,
                                                     .read_point = read_point,
                                                     .failed = failed,
                                                     .arg = &bench}},
                      &err);
    if (!journal) {
        fprintf (stderr, "%s\n", err.text);
        return 1;
    }
    pthread_mutex_lock (&bench.lock);
    while (!bench.leader)
        pthread_cond_wait (&bench.changed, &bench.lock);
    pthread_mutex_unlock (&bench.lock);
    const size_t outstanding[] = {1, 16, 64, 256};
    for (size_t i = 0; i < sizeof outstanding / sizeof outstanding[0]; i++)
        measure (&bench, journal, outstanding[i], seconds, bytes);
    journal_close (&journal);
    nftw (dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free (bench.us);
    return 0;
}
