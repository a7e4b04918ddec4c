/* SPDX-License-Identifier: MPL-2.0 */
/* What full listings of workers cost those who commit meanwhile: `listing_bench
 * [WORKERS] [CHUNKS]` starts a broker, lets a client make directories one after the
 * other, then fake workers list CHUNKS each. Prints how long a commit took before and
 * during that, and what the broker's memory grew by. Figures only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/check.h"
#include "t/unit/broker_rig.h"

#define WORKERS_MAX 16
#define PAGE        512
#define TIMES_MAX   1000000
#define PAUSE       (2 * MS) /* between two commits */

typedef struct worker {
    peer_t *peer;
    uint8_t store[16];
    uint64_t pages; /* of the whole listing */
    uint64_t sent;
    uint64_t credit; /* UINT64_MAX: the broker counts no pages */
    uint64_t sent_at;
    uint64_t done_at;
    uint64_t ping_at;
} worker_t;

static worker_t workers[WORKERS_MAX];
static unsigned n_workers = 3;
static uint64_t n_chunks = 300000;
static uint64_t *times;
static size_t n_times;
static atomic_size_t n_done; /* of `times`, for the other thread */
static atomic_bool stop;

static void nap (uint64_t ns)
{
    nanosleep (&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

static void *commit_on (void *arg)
{
    char path[32];

    for (uint64_t i = 1; !stop && n_times < TIMES_MAX; i++) {
        uint64_t began = clock_mono ();
        snprintf (path, sizeof path, "/d%llu", (unsigned long long)i);
        if (peer_mkdir (arg, i, path, NULL) < 0)
            abort ();
        times[n_times++] = clock_mono () - began;
        n_done = n_times;
        nap (PAUSE);
    }
    return NULL;
}

static int by_time (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void show (const char *what, size_t from, size_t to)
{
    size_t n = to - from;

    if (n == 0)
        return;
    qsort (times + from, n, sizeof *times, by_time);
    printf ("%-8s %6zu commits; ms: median %.2f p90 %.2f p99 %.2f max %.2f\n", what, n,
            (double)times[from + n / 2] / MS, (double)times[from + n * 9 / 10] / MS,
            (double)times[from + n * 99 / 100] / MS, (double)times[to - 1] / MS);
}

/* Memory of the broker that is no file's, in KiB. */
static long memory (const rig_t *rig)
{
    char path[64], line[256];
    long kib = 0;

    snprintf (path, sizeof path, "/proc/%d/status", (int)rig->pid);
    FILE *f = fopen (path, "r");
    while (f && fgets (line, sizeof line, f))
        if (sscanf (line, "RssAnon: %ld", &kib) == 1)
            break;
    if (f)
        fclose (f);
    return kib;
}

static void join (worker_t *self, rig_t *rig, unsigned number)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Hello hello = DFS__HELLO__INIT;
    Dfs__Store store = DFS__STORE__INIT;
    Dfs__Store *stores = &store;
    char name[16];

    snprintf (name, sizeof name, "w%u", number);
    self->peer = peer_new (rig, "worker", name);
    self->store[0] = (uint8_t)number;
    self->pages = n_chunks / PAGE + 1;
    store.id.data = self->store;
    store.id.len = sizeof self->store;
    store.incarnation = 5;
    store.last_seq = n_chunks;
    store.first_seq = n_chunks + 1;
    hello.version_min = hello.version_max = ENVELOPE_VERSION;
    hello.cluster_id.data = rig->cluster->id;
    hello.cluster_id.len = 16;
    hello.role = DFS__ROLE__ROLE_WORKER;
    hello.name = name;
    hello.has_port = hello.has_incarnation = true;
    hello.port = 9;
    hello.incarnation = number;
    hello.stores = &stores;
    hello.n_stores = 1;
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &hello;
    Dfs__Envelope *answer = peer_ask (self->peer, &env);
    if (answer->status || answer->body_case != DFS__ENVELOPE__BODY_WELCOME)
        abort ();
    const Dfs__StoreMark *mark = answer->welcome->marks[0];
    self->credit = mark->has_pages ? mark->pages : UINT64_MAX;
}

/* Chunk I: the same ones on every worker, in the order of their keys as a real listing
 * has them. */
static void name_chunk (uint64_t i, Dfs__CopyKey *out)
{
    copykey_t key = {0};
    uint64_t step = UINT64_MAX / n_chunks;

    for (int b = 0; b < 8; b++)
        key.digest[b] = (uint8_t)((i * step) >> (56 - 8 * b));
    check_put_copykey (&key, out);
}

/* Sends the next page; false when the queue is full. */
static bool send_page (worker_t *self)
{
    static Dfs__LocationChange items[PAGE];
    static Dfs__LocationChange *pointers[PAGE];
    static Dfs__CopyKey keys[PAGE];
    static uint8_t digests[PAGE][32];
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Changes body = DFS__CHANGES__INIT;
    uint64_t from = self->sent * PAGE;
    size_t n = from + PAGE < n_chunks ? PAGE : (size_t)(n_chunks - from);
    bool end = n < PAGE;

    for (size_t i = 0; i < n; i++) {
        dfs__location_change__init (&items[i]);
        dfs__copy_key__init (&keys[i]);
        name_chunk (from + i, &keys[i]);
        memcpy (digests[i], keys[i].digest.data, 32);
        keys[i].digest.data = digests[i];
        items[i].kind = DFS__LOCATION_KIND__LOCATION_STORED;
        items[i].key = &keys[i];
        items[i].has_birth = items[i].has_length = true;
        items[i].birth = 1;
        items[i].length = 4096;
        pointers[i] = &items[i];
    }
    body.store.data = self->store;
    body.store.len = sizeof self->store;
    body.incarnation = 5;
    body.first_seq = end ? n_chunks : self->sent;
    body.has_page = true;
    body.page = self->sent;
    body.changes = pointers;
    body.n_changes = n;
    body.has_inventory = body.inventory = true;
    body.has_inventory_end = body.inventory_end = end;
    env.body_case = DFS__ENVELOPE__BODY_CHANGES;
    env.changes = &body;
    return envelope_send (self->peer->sock, NULL, 0, &env) == 0;
}

static void pump (worker_t *self)
{
    Dfs__Envelope *env;
    uint64_t now = clock_mono ();

    while ((env = peer_recv (self->peer, 0))) {
        if (env->body_case != DFS__ENVELOPE__BODY_CHANGES_ACK)
            continue;
        const Dfs__StoreMark *mark = env->changes_ack->marks[0];
        if (mark->has_pages)
            self->credit = mark->pages;
        if (mark->seq == n_chunks && self->sent == self->pages && !self->done_at)
            self->done_at = clock_mono ();
    }
    if (now > self->ping_at) {
        Dfs__Ping ping = DFS__PING__INIT;
        Dfs__Envelope out = DFS__ENVELOPE__INIT;
        out.body_case = DFS__ENVELOPE__BODY_PING;
        out.ping = &ping;
        self->ping_at = now + 50 * MS;
        envelope_send (self->peer->sock, NULL, 0, &out);
    }
    if (self->sent < self->pages && self->sent < self->credit && send_page (self)) {
        self->sent++;
        self->sent_at = clock_mono ();
    }
}

int main (int argc, char **argv)
{
    pthread_t thread;

    if (argc > 1)
        n_workers = (unsigned)atoi (argv[1]);
    if (argc > 2)
        n_chunks = strtoull (argv[2], NULL, 10);
    if (n_workers == 0 || n_workers > WORKERS_MAX || n_chunks == 0)
        return 1;
    times = calloc (TIMES_MAX, sizeof *times);
    rig_t *rig = rig_new (false, n_workers, 2);
    rig_start (rig);
    peer_t *client = peer_new (rig, "user", "admin");
    peer_hello (client, 0);
    pthread_create (&thread, NULL, commit_on, client);
    nap (999 * MS);
    nap (999 * MS);
    for (unsigned i = 0; i < n_workers; i++)
        join (&workers[i], rig, i + 1);
    long before = memory (rig), most = before;
    size_t from = n_done;
    uint64_t began = clock_mono (), look = 0;
    for (bool all = false; !all;) {
        all = true;
        bool idle = true;
        for (unsigned i = 0; i < n_workers; i++) {
            uint64_t sent = workers[i].sent;
            pump (&workers[i]);
            idle &= workers[i].sent == sent;
            all &= workers[i].done_at != 0;
        }
        if (idle)
            nap (MS / 5);
        if (clock_mono () > look) {
            long now = memory (rig);
            most = now > most ? now : most;
            look = clock_mono () + 20 * MS;
        }
        if (clock_mono () - began > 300 * SEC)
            abort ();
    }
    size_t to = n_done;
    stop = true;
    pthread_join (thread, NULL);
    show ("before", 0, from);
    show ("listing", from, to);
    printf ("memory grew by %ld KiB at most\n", most - before);
    for (unsigned i = 0; i < n_workers; i++) {
        printf ("w%u: sent after %.2f s, known after %.2f s\n", i + 1,
                (double)(workers[i].sent_at - began) / SEC,
                (double)(workers[i].done_at - began) / SEC);
        peer_destroy (&workers[i].peer);
    }
    peer_destroy (&client);
    rig_destroy (&rig);
    free (times);
    return 0;
}
