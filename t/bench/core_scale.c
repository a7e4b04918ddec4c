/* SPDX-License-Identifier: MPL-2.0 */
/* How the broker's core grows: the real core with 10 to 1,000 workers and 10^4 to 10^6
 * chunks of three copies, on virtual time. For each size a worker dies and everything
 * it had is copied again while clients write: the print shows that time, the CPU time
 * of each kind of event (mean, and the longest step), and memory. Then, without a
 * death, what placing costs where it is hard: with few workers in one of three racks,
 * and when no worker has credit left. Asserts nothing.
 *
 *   t/bench/core_scale [MAX-WORKERS [MAX-CHUNKS]] */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/core/core.h"
#include "common/dfs_error.h"
#include "common/units.h"

#define COPIES  3
#define RACKS   20
#define LENGTH  (64 * KIB)
#define NET     (300 * 1000ULL)
#define STORE   (100 * 1000ULL) /* an answer of the storage thread */
#define DISK    (3 * MS)
#define RATE    (200 * MIB) /* bytes a second of a worker, in */
#define SETTLED (30 * SEC)  /* of virtual time before the death */
#define GRANTED 100000

enum kind {
    K_BEAT,
    K_CHANGES,
    K_ORDER,
    K_APPLIED,
    K_SCANNED,
    K_PLACE,
    K_TARGETS,
    K_FETCH,
    K_SOURCES,
    K_HELLO,
    K_TICK,
    K_OTHER,
    KINDS
};
static const char *const kind_names[KINDS] = {
    "heartbeat", "stored", "order",   "applied", "page",  "place",
    "targets",   "fetch",  "sources", "hello",   "timer", "other"};

typedef struct cost {
    uint64_t n, total, longest; /* ns */
} cost_t;

/* A place that was given out for a copy. */
typedef struct granted {
    uint32_t worker;
    uint64_t birth;
    uint64_t upload;
    copykey_t key;
} granted_t;

typedef struct later {
    uint64_t when, serial;
    event_t event;
    void *data; /* owned: what the event points to */
} later_t;

typedef struct bench {
    core_t *core;
    actions_t *actions;
    uint64_t now, serial;
    uint32_t workers;
    uint32_t chunks;
    uint32_t *of_worker; /* chunks by worker, COPIES * chunks of them */
    uint32_t *first;     /* of each worker's in there */
    uint32_t (*copies)[COPIES];
    uint32_t *extra; /* made since; 0: none */
    uint64_t *seq;   /* of each worker's changes */
    uint64_t *busy;  /* of each worker: its disk */
    uint32_t dead;   /* id; 0: nobody */
    later_t **heap;
    size_t n_heap, cap_heap;
    cost_t costs[KINDS];
    uint64_t places;    /* requests of the one client */
    bool uneven;        /* two racks for nearly all of the workers, one for the rest */
    bool starved;       /* nothing is stored */
    uint64_t length;    /* of chunks */
    granted_t *granted; /* when starved */
    size_t n_granted;
} bench_t;

static uint64_t cpu_ns (void)
{
    struct timespec t;

    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

static uint64_t mixed (uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

static copykey_t key_of (uint64_t number)
{
    copykey_t key = {0};
    uint64_t hash = mixed (number + 1);

    memcpy (key.digest, &hash, 8);
    memcpy (key.digest + 8, &number, 8);
    return key;
}

static uint64_t number_of (const copykey_t *key)
{
    uint64_t number;

    memcpy (&number, key->digest + 8, 8);
    return number;
}

/* --- virtual time --- */

static bool before (const later_t *a, const later_t *b)
{
    return a->when != b->when ? a->when < b->when : a->serial < b->serial;
}

static void later (bench_t *b, uint64_t after, const event_t *event, void *data)
{
    later_t *item = malloc (sizeof *item);
    size_t i;

    *item = (later_t){b->now + after, ++b->serial, *event, data};
    if (b->n_heap == b->cap_heap) {
        b->cap_heap = b->cap_heap ? 2 * b->cap_heap : 1024;
        b->heap = realloc (b->heap, b->cap_heap * sizeof *b->heap);
    }
    for (i = b->n_heap++; i > 0 && before (item, b->heap[(i - 1) / 2]); i = (i - 1) / 2)
        b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = item;
}

static later_t *pop (bench_t *b)
{
    later_t *top = b->heap[0], *last = b->heap[--b->n_heap];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= b->n_heap)
            break;
        if (child + 1 < b->n_heap && before (b->heap[child + 1], b->heap[child]))
            child++;
        if (!before (b->heap[child], last))
            break;
        b->heap[i] = b->heap[child];
        i = child;
    }
    if (b->n_heap > 0)
        b->heap[i] = last;
    return top;
}

/* --- the world around the core --- */

static void fill (const bench_t *b, uint64_t number, core_chunk_t *out)
{
    memset (out, 0, sizeof *out);
    out->key = key_of (number);
    out->length = b->length;
    if (number >= b->chunks)
        return; /* a new one */
    out->refs = 1;
    out->replicas = COPIES;
    out->recorded = true;
    for (int k = 0; k < COPIES; k++)
        out->copies[out->n_copies++] = (core_copy_t){b->copies[number][k], 50, false};
    if (b->extra[number])
        out->copies[out->n_copies++] = (core_copy_t){b->extra[number], 50, false};
}

static void scan (bench_t *b, const action_scan_t *ask)
{
    core_chunk_t *chunks = malloc ((ask->max + 1) * sizeof *chunks);
    uint64_t after = number_of (&ask->after);
    event_t event = {.type = EVENT_SCANNED};
    const uint32_t *list = &b->of_worker[ask->worker ? b->first[ask->worker - 1] : 0];
    size_t all =
        ask->worker ? b->first[ask->worker] - b->first[ask->worker - 1] : b->chunks;
    size_t low = 0, high = all, n = 0;

    while (!ask->from_start && low < high) {
        size_t middle = (low + high) / 2;

        if ((ask->worker ? list[middle] : middle) <= after)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < all && n < ask->max; low++)
        fill (b, ask->worker ? list[low] : low, &chunks[n++]);
    event.u.scanned = (event_scanned_t){ask->token, DFS_OK, chunks, n, low < all};
    later (b, STORE + n * 2000, &event, chunks);
}

static void stored (bench_t *b, uint64_t after, uint32_t worker, const copykey_t *key,
                    uint64_t birth, uint64_t upload)
{
    core_change_t *change = malloc (sizeof *change);
    event_t event = {.type = EVENT_CHANGES};

    *change = (core_change_t){CHANGE_STORED, *key, birth, b->length, upload};
    event.u.changes.worker = worker;
    event.u.changes.conn = worker;
    event.u.changes.store[0] = 1;
    event.u.changes.incarnation = 1;
    event.u.changes.items = change;
    event.u.changes.n = 1;
    later (b, after, &event, change);
}

/* When WORKER has taken a chunk that is sent to it now. */
static uint64_t taken (bench_t *b, uint32_t worker)
{
    uint64_t *busy = &b->busy[worker - 1];

    if (*busy < b->now)
        *busy = b->now;
    *busy += LENGTH * SEC / RATE;
    return *busy - b->now + DISK + NET;
}

static void replicate (bench_t *b, const action_replicate_t *order)
{
    event_t event = {.type = EVENT_ORDER_RESULT};

    if (order->worker == b->dead || order->grant.targets[0] == b->dead)
        return;
    event.u.order.worker = order->worker;
    event.u.order.order = order->order;
    later (b, NET, &event, NULL);
    stored (b, taken (b, order->grant.targets[0]), order->grant.targets[0],
            &order->grant.key, order->grant.birth, 0);
}

static void placed (bench_t *b, const action_placed_t *placed)
{
    for (size_t i = 0; i < placed->n; i++)
        for (uint32_t k = 0; k < placed->items[i].grant.n_targets; k++) {
            if (b->starved) {
                if (b->n_granted < GRANTED)
                    b->granted[b->n_granted++] = (granted_t){
                        placed->items[i].grant.targets[k], placed->items[i].grant.birth,
                        placed->upload, placed->items[i].key};
                continue;
            }
            stored (b, taken (b, placed->items[i].grant.targets[k]),
                    placed->items[i].grant.targets[k], &placed->items[i].key,
                    placed->items[i].grant.birth, placed->upload);
        }
}

static void extents (bench_t *b, const action_lookup_extents_t *ask)
{
    event_extent_t *found = calloc (ask->n + 1, sizeof *found);
    event_t event = {.type = EVENT_EXTENTS_FOUND};

    for (size_t i = 0; i < ask->n; i++)
        fill (b, ask->pieces[i].inode, &found[i].chunk);
    event.u.extents = (event_extents_t){ask->token, DFS_OK, found, ask->n};
    later (b, STORE, &event, found);
}

static void answer (bench_t *b, const action_t *action)
{
    event_t event = {0};

    switch (action->type) {
    case ACTION_LOOKUP_MARKS: {
        core_mark_t *mark = calloc (1, sizeof *mark);

        mark->id[0] = 1;
        mark->incarnation = 1;
        event.type = EVENT_MARKS_FOUND;
        event.u.marks = (event_marks_t){action->u.marks.token, mark, 1, DFS_OK};
        later (b, STORE, &event, mark);
        break;
    }
    case ACTION_LOCATIONS_APPLY: {
        const action_apply_t *apply = &action->u.apply;

        for (size_t i = 0; i < apply->n; i++)
            if (number_of (&apply->items[i].key) < b->chunks)
                b->extra[number_of (&apply->items[i].key)] = apply->worker;
        event.type = EVENT_LOCATIONS_APPLIED;
        event.u.applied =
            (event_applied_t){apply->token, DFS_OK, apply->first_seq + apply->n - 1};
        later (b, STORE, &event, NULL);
        break;
    }
    case ACTION_LOOKUP_CHUNKS: {
        size_t n = action->u.chunks.n;
        core_chunk_t *chunks = malloc ((n + 1) * sizeof *chunks);

        for (size_t i = 0; i < n; i++)
            fill (b, number_of (&action->u.chunks.keys[i]), &chunks[i]);
        event.type = EVENT_CHUNKS_FOUND;
        event.u.chunks = (event_chunks_t){action->u.chunks.token, DFS_OK, chunks, n};
        later (b, STORE, &event, chunks);
        break;
    }
    case ACTION_LOOKUP_EXTENTS:
        extents (b, &action->u.extents);
        break;
    case ACTION_SCAN_WORKER:
        scan (b, &action->u.scan);
        break;
    case ACTION_LOOKUP_RECLAIM:
        event.type = EVENT_RECLAIM_FOUND;
        event.u.reclaim.token = action->u.reclaim.token;
        later (b, STORE, &event, NULL);
        break;
    case ACTION_LOOKUP_BYTES:
        event.type = EVENT_BYTES_FOUND;
        event.u.bytes.token = action->u.bytes.token;
        later (b, STORE, &event, NULL);
        break;
    case ACTION_PROPOSE:
        event.type = EVENT_PROPOSED;
        event.u.proposed.token = action->u.propose.token;
        later (b, MS, &event, NULL);
        break;
    case ACTION_PROBE:
        event.type = EVENT_PROBE_RESULT;
        event.u.probe = (event_probe_t){
            action->u.probe.worker, action->u.probe.probe,
            action->u.probe.worker == b->dead ? PROBE_REFUSED : PROBE_OPEN};
        later (b, NET, &event, NULL);
        break;
    case ACTION_REPLICATE:
        replicate (b, &action->u.replicate);
        break;
    case ACTION_PLACED:
        placed (b, &action->u.placed);
        break;
    default:
        break;
    }
}

static enum kind kind_of (const event_t *event)
{
    switch (event->type) {
    case EVENT_HEARTBEAT:
        return K_BEAT;
    case EVENT_CHANGES:
        return K_CHANGES;
    case EVENT_ORDER_RESULT:
        return K_ORDER;
    case EVENT_CHUNKS_FOUND:
        return K_TARGETS;
    case EVENT_FETCH:
        return K_FETCH;
    case EVENT_EXTENTS_FOUND:
        return K_SOURCES;
    case EVENT_SESSION_OPEN:
    case EVENT_SESSION_GONE:
        return K_HELLO;
    case EVENT_LOCATIONS_APPLIED:
        return K_APPLIED;
    case EVENT_SCANNED:
        return K_SCANNED;
    case EVENT_PLACE:
        return K_PLACE;
    case EVENT_TICK:
        return K_TICK;
    default:
        return K_OTHER;
    }
}

static void step (bench_t *b, event_t *event)
{
    cost_t *cost = &b->costs[kind_of (event)];
    uint64_t began, took;

    if (event->type == EVENT_CHANGES) {
        event->u.changes.first_seq = ++b->seq[event->u.changes.worker - 1];
        event->u.changes.last_seq = event->u.changes.first_seq;
    }
    event->now = b->now;
    event->log_time = 1000000 * SEC + b->now;
    event->log_index = 100;
    began = cpu_ns ();
    core_step (b->core, event, b->actions);
    took = cpu_ns () - began;
    cost->n++;
    cost->total += took;
    if (took > cost->longest)
        cost->longest = took;
    for (size_t i = 0; i < actions_count (b->actions); i++)
        answer (b, actions_at (b->actions, i));
    actions_reset (b->actions);
}

static void beat (bench_t *b, uint32_t worker)
{
    event_t event = {.type = EVENT_HEARTBEAT};

    event.u.heartbeat.worker = worker;
    event.u.heartbeat.incarnation = 1000 + worker;
    event.u.heartbeat.capacity = 1000 * GIB;
    event.u.heartbeat.used = 10 * GIB;
    later (b, 500 * MS, &event, NULL);
}

/* A client comes, and goes; another reads 64 chunks. */
static void look (bench_t *b)
{
    event_piece_t pieces[64] = {0};
    event_t event = {.type = EVENT_SESSION_OPEN, .u.session = {.id = 1000 + b->places}};

    event.u.session.location = "dc/r1/h1";
    step (b, &event);
    event.type = EVENT_SESSION_GONE;
    step (b, &event);
    for (uint64_t i = 0; i < 64; i++) {
        pieces[i].piece = 64 * b->places + i;
        pieces[i].inode = mixed (pieces[i].piece) % b->chunks;
        pieces[i].length = LENGTH;
    }
    event = (event_t){.type = EVENT_FETCH, .u.fetch = {1, b->places, pieces, 64}};
    step (b, &event);
}

/* The client writes 64 new chunks. */
static void place (bench_t *b)
{
    event_place_item_t *items = calloc (64, sizeof *items);
    event_t event = {.type = EVENT_PLACE}, done = {.type = EVENT_UPLOAD_DONE};

    /* The one before the last has been stored. */
    if (b->places > 1 && !b->starved) {
        done.u.upload = (event_upload_t){1, b->places - 1};
        step (b, &done);
    }
    look (b);
    b->places++;
    for (uint64_t i = 0; i < 64; i++) {
        items[i].key = key_of (b->chunks + 64 * b->places + i);
        items[i].length = b->length;
    }
    event.u.place = (event_place_t){1, b->places, b->places, 1, items, 64};
    later (b, 100 * MS, &event, items);
}

static void run (bench_t *b, uint64_t until)
{
    while (b->now < until) {
        uint64_t next = b->n_heap > 0 ? b->heap[0]->when : UINT64_MAX;
        uint64_t wake = core_wake (b->core);
        event_t tick = {.type = EVENT_TICK};
        later_t *item;

        if (wake < next && wake <= until) {
            b->now = wake > b->now ? wake : b->now;
            step (b, &tick);
            continue;
        }
        if (next > until)
            break;
        item = pop (b);
        b->now = item->when > b->now ? item->when : b->now;
        if (item->event.type == EVENT_HEARTBEAT &&
            item->event.u.heartbeat.worker == b->dead) {
            free (item);
            continue;
        }
        step (b, &item->event);
        if (item->event.type == EVENT_HEARTBEAT)
            beat (b, item->event.u.heartbeat.worker);
        if (item->event.type == EVENT_PLACE)
            place (b);
        free (item->data);
        free (item);
    }
    b->now = until;
}

/* --- a cluster --- */

static bool together (uint32_t a, uint32_t b)
{
    return a % RACKS == b % RACKS;
}

static void spread (bench_t *b)
{
    uint32_t *at;

    b->copies = malloc (b->chunks * sizeof *b->copies);
    b->extra = calloc (b->chunks, sizeof *b->extra);
    b->of_worker = malloc (b->chunks * COPIES * sizeof *b->of_worker);
    b->first = calloc (b->workers + 2, sizeof *b->first);
    for (uint32_t i = 0; i < b->chunks; i++)
        for (uint32_t k = 0; k < COPIES; k++) {
            uint64_t draw = mixed (i * COPIES + k + 77);

            do
                b->copies[i][k] = 1 + (uint32_t)(draw++ % b->workers);
            while ((k > 0 && together (b->copies[i][k], b->copies[i][0])) ||
                   (k > 1 && together (b->copies[i][k], b->copies[i][1])));
            b->first[b->copies[i][k]]++;
        }
    for (uint32_t w = 1; w <= b->workers; w++)
        b->first[w] += b->first[w - 1];
    at = malloc (b->workers * sizeof *at);
    memcpy (at, b->first, b->workers * sizeof *at);
    for (uint32_t i = 0; i < b->chunks; i++)
        for (uint32_t k = 0; k < COPIES; k++)
            b->of_worker[at[b->copies[i][k] - 1]++] = i;
    free (at);
}

static void begin (bench_t *b)
{
    core_config_t config = {.seed = 1, .now = b->now};
    event_t event = {.type = EVENT_POLICY, .u.policy = {1, COPIES, 2}};

    b->core = core_new (&config);
    b->actions = actions_new ();
    b->seq = calloc (b->workers, sizeof *b->seq);
    b->busy = calloc (b->workers, sizeof *b->busy);
    step (b, &event);
    event = (event_t){.type = EVENT_ROLE, .u.role = {true, 1, 1}};
    step (b, &event);
    for (uint32_t w = 1; w <= b->workers; w++) {
        core_store_t store = {.id = {1}, .incarnation = 1, .capacity = 1000 * GIB};

        event = (event_t){.type = EVENT_MEMBER};
        event.u.member.id = w;
        event.u.member.port = 7000;
        snprintf (event.u.member.name, sizeof event.u.member.name, "w%u", w);
        snprintf (event.u.member.host, sizeof event.u.member.host, "host%u", w);
        snprintf (event.u.member.location, sizeof event.u.member.location, "dc/r%u/h%u",
                  !b->uneven    ? w % RACKS
                  : w % 50 == 0 ? 2
                                : w % 2,
                  w);
        step (b, &event);
        event = (event_t){.type = EVENT_WORKER_HELLO};
        event.u.hello.worker = w;
        event.u.hello.conn = w;
        event.u.hello.incarnation = 1000 + w;
        event.u.hello.stores = &store;
        event.u.hello.n_stores = 1;
        step (b, &event);
        beat (b, w);
        b->now += SEC / 2 / b->workers;
    }
    event = (event_t){.type = EVENT_SESSION_OPEN, .u.session = {.id = 1}};
    step (b, &event);
    place (b);
}

static void end (bench_t *b)
{
    while (b->n_heap > 0) {
        later_t *item = pop (b);

        free (item->data);
        free (item);
    }
    free (b->heap);
    free (b->copies);
    free (b->extra);
    free (b->of_worker);
    free (b->first);
    free (b->seq);
    free (b->busy);
    free (b->granted);
    core_destroy (&b->core);
    actions_destroy (&b->actions);
}

static size_t in_use (void)
{
    struct mallinfo2 info = mallinfo2 ();

    return info.uordblks + info.hblkhd;
}

static void print_costs (const bench_t *b, const char *when)
{
    printf ("  %-8s", when);
    for (int k = 0; k < KINDS; k++)
        if (b->costs[k].n > 0)
            printf (" %s %.1f/%.0f", kind_names[k],
                    (double)b->costs[k].total / (double)b->costs[k].n / 1e3,
                    (double)b->costs[k].longest / 1e3);
    printf ("\n");
}

static uint64_t sum (const bench_t *b)
{
    uint64_t total = 0;

    for (int k = 0; k < KINDS; k++)
        total += b->costs[k].total;
    return total;
}

static bool redundant (const bench_t *b)
{
    for (uint32_t i = b->first[b->dead - 1]; i < b->first[b->dead]; i++)
        if (b->extra[b->of_worker[i]] == 0)
            return false;
    return true;
}

static void one_size (uint32_t workers, uint32_t chunks)
{
    bench_t b = {.now = SEC, .workers = workers, .chunks = chunks, .length = LENGTH};
    size_t before, idle, most = 0;
    event_t closed = {.type = EVENT_WORKER_CLOSED, .u.worker = {1, 1}};
    core_status_t status = {0};
    uint64_t killed, limit, virtual_time, cpu;

    spread (&b);
    before = in_use ();
    begin (&b);
    run (&b, b.now + SETTLED);
    idle = in_use () - before;
    memset (b.costs, 0, sizeof b.costs);
    run (&b, b.now + 10 * SEC);
    printf ("%u workers, %u chunks\n", workers, chunks);
    print_costs (&b, "quiet:");
    cpu = sum (&b);
    memset (b.costs, 0, sizeof b.costs);
    killed = b.now;
    limit = killed + 1000 * SEC;
    b.dead = 1;
    step (&b, &closed);
    do {
        run (&b, b.now + 20 * MS);
        if (in_use () - before > most)
            most = in_use () - before;
    } while (!redundant (&b) && b.now < limit);
    virtual_time = b.now - killed;
    run (&b, b.now + 5 * SEC);
    core_status (b.core, &status);
    if (status.under_replicated > 0)
        printf ("  %llu chunks are still short of copies\n",
                (unsigned long long)status.under_replicated);
    print_costs (&b, "repair:");
    printf ("  %u copies made again %.2f s after the kill; CPU %.0f ms/s quiet, %.0f "
            "ms/s in repair; "
            "core and queues %.1f MiB, at most %.1f MiB\n",
            b.first[1], (double)virtual_time / 1e9, (double)cpu / 1e7,
            (double)sum (&b) / 1e6 / ((double)(virtual_time + 5 * SEC) / 1e9),
            (double)idle / MIB, (double)most / MIB);
    fflush (stdout);
    end (&b);
}

static void print_kind (const bench_t *b, enum kind kind)
{
    printf (" %s %.1f/%.0f", kind_names[kind],
            b->costs[kind].n
                ? (double)b->costs[kind].total / (double)b->costs[kind].n / 1e3
                : 0,
            (double)b->costs[kind].longest / 1e3);
}

/* A few workers in the third of three racks: each chunk has a copy there. */
static void one_uneven (uint32_t workers)
{
    bench_t b = {.now = SEC,
                 .workers = workers,
                 .chunks = 1000,
                 .length = LENGTH,
                 .uneven = true};

    spread (&b);
    begin (&b);
    run (&b, b.now + 2 * SEC);
    memset (b.costs, 0, sizeof b.costs);
    run (&b, b.now + 50 * SEC);
    printf ("%u workers, one of 50 in the third rack:", workers);
    print_kind (&b, K_TARGETS);
    printf ("\n");
    end (&b);
}

/* Nobody stores what comes until nobody has credit; then each "stored" lets a little of
 * what waits go on. */
static void one_starved (uint32_t workers)
{
    bench_t b = {.now = SEC,
                 .workers = workers,
                 .chunks = 1000,
                 .length = 16 * MIB,
                 .starved = true};
    size_t before;

    b.granted = calloc (GRANTED, sizeof *b.granted);
    spread (&b);
    begin (&b);
    do {
        before = b.n_granted;
        run (&b, b.now + 3 * SEC);
    } while (b.n_granted > before);
    memset (b.costs, 0, sizeof b.costs);
    for (size_t i = 0; i < before && i < 2000; i++) {
        const granted_t *g = &b.granted[i];

        stored (&b, 0, g->worker, &g->key, g->birth, g->upload);
        run (&b, b.now + 10000);
    }
    printf ("%u workers, all of them without credit:", workers);
    print_kind (&b, K_CHANGES);
    printf ("\n");
    end (&b);
}

int main (int argc, char **argv)
{
    uint32_t max_workers = argc > 1 ? (uint32_t)strtoul (argv[1], NULL, 10) : 1000;
    uint32_t max_chunks = argc > 2 ? (uint32_t)strtoul (argv[2], NULL, 10) : 1000000;

    printf (
        "CPU of a step in microseconds, mean/longest, by kind of event; 3 copies of "
        "64 KiB, %llu MB/s for each worker\n",
        (unsigned long long)RATE / 1000000);
    for (uint32_t chunks = 10000; chunks <= max_chunks; chunks *= 10)
        for (uint32_t workers = 10; workers <= max_workers; workers *= 10)
            one_size (workers, chunks);
    for (uint32_t workers = 10; workers <= max_workers; workers *= 10)
        one_uneven (workers);
    for (uint32_t workers = 10; workers <= max_workers; workers *= 10)
        one_starved (workers);
    return 0;
}
