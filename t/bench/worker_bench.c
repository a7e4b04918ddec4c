/* SPDX-License-Identifier: MPL-2.0 */
/* What one worker costs: uploads and downloads of chunks against a dfs-worker process,
 * and its memory under stalled readers and many uploaders. The program plays broker and
 * clients. Prints figures; asserts nothing about time.
 *   worker_bench PROGRAM curve|none MIB CHUNK-KIB [upload | chain | flood] */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/units.h"
#include "t/unit/worker_rig.h"
#include "worker/context.h"

typedef struct bench {
    rig_t *rig;
    size_t chunk;
    size_t n;
    uint8_t *data;
    copykey_t *keys;
} bench_t;

static double cpu (pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, sys = 0;
    snprintf (path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen (path, "r");
    if (file && fgets (text, sizeof text, file) && strrchr (text, ')'))
        sscanf (strrchr (text, ')') + 2,
                "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
    if (file)
        fclose (file);
    return (double)(user + sys) / (double)sysconf (_SC_CLK_TCK);
}

static long memory (pid_t pid)
{
    char path[64], line[256];
    long kib = 0;
    snprintf (path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen (path, "r");
    while (file && fgets (line, sizeof line, file))
        if (sscanf (line, "VmHWM: %ld", &kib) == 1)
            break;
    if (file)
        fclose (file);
    return kib;
}

static void print (const bench_t *b, const char *what, uint64_t start, double before,
                   double after)
{
    double s = (double)(clock_mono () - start) / 1e9;
    double gib = (double)b->n * (double)b->chunk / (double)GIB;
    printf ("%-10s %7.0f MB/s %8.0f chunks/s  worker %.2f CPU-s/GiB  memory %ld KiB\n",
            what, gib * 1073.74 / s, (double)b->n / s, (after - before) / gib,
            memory (b->rig->pids[0]));
}

/* Chunk I differs from the others in its first bytes. */
static const uint8_t *chunk (bench_t *b, size_t i)
{
    memcpy (b->data, &i, sizeof i);
    return b->data;
}

static double both (const bench_t *b)
{
    return cpu (b->rig->pids[0]) + cpu (b->rig->pids[1]);
}

static void forget (rig_t *rig)
{
    rig->n_seen = 0;
}

static size_t stored (const rig_t *rig, int worker)
{
    size_t n = 0;
    for (size_t i = 0; i < rig->n_seen; i++)
        n += rig->seen[i].type == CHANGES && rig->seen[i].worker == worker;
    return n;
}

static void upload (bench_t *b, bool chain)
{
    static const uint32_t targets[] = {1, 2};
    void *push = rig_push (b->rig, &b->rig->client, 0);
    double before = both (b);
    uint64_t start = clock_mono ();
    int last = chain ? 1 : 0;
    for (size_t i = 0; i < b->n; i++) {
        grant_t grant =
            rig_grant (b->rig, &b->keys[i], b->chunk, chain ? 2 : 1, targets);
        rig_send (b->rig, push, &grant, chunk (b, i), b->chunk,
                  &(upload_t){.session = 5,
                              .flags = b->chunk <= FRAME_MAX ? FRAME_SMALL : 0});
        rig_pump (b->rig, 0);
    }
    while (stored (b->rig, last) < b->n)
        rig_pump (b->rig, 10);
    print (b, chain ? "chain" : "upload", start, before, both (b));
    rig_close (b->rig, &push);
    forget (b->rig);
}

static void download (bench_t *b)
{
    double before = both (b);
    uint64_t start = clock_mono ();
    void *pull = NULL;
    size_t asked = 0, done = 0;
    enum { AHEAD = 32 };
    while (done < b->n) {
        for (; asked < b->n && asked < done + AHEAD; asked++)
            rig_send_order (b->rig, 0, 5, asked, &b->keys[asked], 0, b->chunk);
        if (!pull)
            pull = rig_pull (
                b->rig, &b->rig->client, 0,
                rig_wait (b->rig, DFS__ENVELOPE__BODY_STREAM_READY, 0, NULL)->port);
        frame_t frame;
        uint8_t *data;
        assert_int_equal (rig_recv (b->rig, pull, 10000, &frame, &data), 1);
        assert_int_equal (frame.kind, FRAME_DATA);
        done += frame.flags & FRAME_LAST ? 1 : 0;
        free (data);
    }
    print (b, "download", start, before, both (b));
    rig_close (b->rig, &pull);
}

/* A hundred readers that take nothing, a hundred senders that never finish. */
static void flood (bench_t *b)
{
    enum { N = 100, FRAMES = 12 };
    rig_t *rig = b->rig;
    size_t len = 64 * MIB;
    uint8_t *frame_data = calloc (1, FRAME_MAX);
    void *push[N], *pull[N] = {0};
    size_t sent[N] = {0};
    for (int i = 0; i < N; i++)
        push[i] = rig_push (rig, &rig->client, 0);
    for (int i = 0; i < N; i++)
        for (unsigned k = 0; k < 20; k++)
            rig_send_order (rig, 0, 1000 + (unsigned)i, k, &b->keys[0], 0, b->chunk);
    uint64_t until = clock_mono () + 8 * SEC;
    while (clock_mono () < until) {
        rig_pump (rig, 1);
        for (int i = 0; i < N; i++) {
            const seen_t *s =
                rig_look (rig, DFS__ENVELOPE__BODY_STREAM_READY, 0, NULL, 0);
            if (s && !pull[s->session - 1000])
                pull[s->session - 1000] = rig_pull (rig, &rig->client, 0, s->port);
            frame_t f = {.kind = FRAME_DATA,
                         .session = 2000 + (unsigned)i,
                         .offset = sent[i] * FRAME_MAX,
                         .length = FRAME_MAX,
                         .true_len = len,
                         .stored_len = len};
            f.key.digest[0] = (uint8_t)i;
            if (sent[i] == FRAMES)
                continue;
            f.n_crcs = (uint32_t)digest_blocks (frame_data, FRAME_MAX, f.crcs);
            const uint32_t target[] = {1};
            grant_t grant = rig_grant (rig, &f.key, len, 1, target);
            if (sent[i] == 0)
                f.grant_len = (uint32_t)grant_pack (&grant, rig->hmac, f.grant);
            uint8_t header[FRAME_HEADER_MAX];
            size_t n = frame_pack (&f, header);
            if (zmq_send (push[i], header, n, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
                continue;
            zmq_send (push[i], frame_data, FRAME_MAX, 0);
            sent[i]++;
        }
    }
    size_t total = 0, streams = 0;
    for (int i = 0; i < N; i++) {
        total += sent[i];
        streams += pull[i] != NULL;
    }
    printf ("flood      %zu MiB sent, %zu streams, worker's memory %ld KiB\n", total,
            streams, memory (rig->pids[0]));
    free (frame_data);
}

int main (int argc, char **argv)
{
    if (argc < 5) {
        fprintf (stderr, "usage: worker_bench PROGRAM curve|none MIB CHUNK-KIB "
                         "[upload|chain|flood]\n");
        return 2;
    }
    context_open ();
    bench_t b = {.rig = rig_new_processes (strcmp (argv[2], "curve") == 0, argv[1]),
                 .chunk = strtoul (argv[4], NULL, 10) * KIB};
    b.n = strtoul (argv[3], NULL, 10) * MIB / b.chunk;
    if (b.n >= RIG_SEEN / 2)
        b.n = RIG_SEEN / 2;
    copykey_t key;
    b.data = rig_chunk (b.chunk, 1, &key);
    b.keys = calloc (b.n, sizeof *b.keys);
    for (size_t i = 0; i < b.n; i++)
        digest_sha256 (chunk (&b, i), b.chunk, b.keys[i].digest);
    printf ("%s: %zu chunks of %zu KiB\n", argv[2], b.n, (size_t)(b.chunk / KIB));
    upload (&b, argc > 5 && strcmp (argv[5], "chain") == 0);
    if (argc <= 5 || strcmp (argv[5], "flood") == 0)
        download (&b);
    if (argc > 5 && strcmp (argv[5], "flood") == 0)
        flood (&b);
    rig_destroy (&b.rig);
    free (b.data);
    free (b.keys);
    context_close ();
    return 0;
}
