/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft_world_private.h"

#define END_MS  40000
#define HEAL_MS 60000

world_t world;

void violated (const char *fmt, ...)
{
    if (world.bad)
        return;
    world.bad = true;
    char text[300];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof text, fmt, ap);
    va_end (ap);
    snprintf (world.why, 400, "seed %" PRIu64 " at %" PRIu64 " ms: %s",
              world.config->seed, world.now, text);
}

unsigned between (unsigned low, unsigned high)
{
    return low + (unsigned)rng_below (&world.rng, high - low + 1);
}

bool chance (unsigned per_1000)
{
    return rng_below (&world.rng, 1000) < per_1000;
}

/* --- events in order of time --- */

static bool earlier (const event_t *a, const event_t *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void add_event (event_t event)
{
    event.order = world.order++;
    if (world.n == world.cap) {
        world.cap = world.cap ? world.cap * 2 : 1024;
        world.heap = reallocarray (world.heap, world.cap, sizeof event);
        if (!world.heap)
            abort ();
    }
    size_t i = world.n++;
    for (; i && earlier (&event, &world.heap[(i - 1) / 2]); i = (i - 1) / 2)
        world.heap[i] = world.heap[(i - 1) / 2];
    world.heap[i] = event;
}

static event_t next_event (void)
{
    event_t first = world.heap[0], last = world.heap[--world.n];
    size_t i = 0;
    for (size_t c = 1; c < world.n; i = c, c = 2 * i + 1) {
        if (c + 1 < world.n && earlier (&world.heap[c + 1], &world.heap[c]))
            c++;
        if (!earlier (&world.heap[c], &last))
            break;
        world.heap[i] = world.heap[c];
    }
    world.heap[i] = last;
    return first;
}

void later (unsigned ms, enum event_kind kind, const broker_t *b)
{
    add_event ((event_t){.at = world.now + ms,
                         .kind = kind,
                         .broker = b ? (unsigned)b->id : 0,
                         .run = b ? b->run : 0});
}

/* --- brokers --- */

static void check_failed (const broker_t *b)
{
    const dfs_error_t *err = b->driver ? raft_driver_failed (b->driver) : NULL;
    if (err)
        violated ("broker %" PRIu64 " stopped: %.200s", b->id, err->text);
}

static void start (broker_t *b)
{
    b->up = true;
    b->run++;
    b->group = 0;
    b->applied = b->saved_applied;
    b->hash = b->saved_hash;
    const stored_t *at = entry_of (b, b->point.index);
    if (!raft_driver_log_fits (&b->point, b->first, last_of (b), at ? at->term : 0)) {
        trim_log (b, last_of (b));
        b->first = b->point.index + 1;
    }
    char address[32];
    snprintf (address, sizeof address, "broker-%" PRIu64, b->id);
    const unsigned in_flight[] = {4, 16, 64, 1024};
    raft_driver_config_t config = {
        .id = b->id,
        .address = address,
        .boot = b->run,
        .seed = (unsigned)rng_next (&world.rng),
        .install_ms = 1000,
        .in_flight = in_flight[rng_below (&world.rng, 4)],
        .flight_bytes = chance (500) ? between (100, 3000) : 0,
        .cache_bytes = chance (500) ? 1 : 100000,
        .window_bytes = chance (500) ? between (100, 3000) : 0,
        .step_bytes = chance (500) ? between (1, 500) : 0,
        .no_pre_vote = chance (300),
        .term = b->term,
        .voted_for = b->vote,
        .point = b->point,
        .first = b->first,
        .last = last_of (b),
        .applied = b->saved_applied,
        .ops = orders_of (b),
    };
    dfs_error_t err;
    b->driver = raft_driver_new (&config, world.now, &err);
    if (!b->driver) {
        violated ("broker %" PRIu64 " does not start: %.200s", b->id, err.text);
        b->up = false;
    }
    later (between (1, 50), SAVE, b);
    later (50, WATCH, b);
}

/* Of what is on its way to the disk, the first part got there. */
static void crash (broker_t *b)
{
    world.count->crashes++;
    bool cut = chance (400);
    while (b->ops) {
        disk_op_t *op = b->ops;
        b->ops = op->next;
        bool whole = !cut && chance (600);
        if (!cut && op->kind == OP_ENTRIES) {
            size_t n = whole ? op->n : rng_below (&world.rng, op->n + 1);
            if (n)
                store (b, op->from, op->entries, n);
        } else if (whole && op->kind == OP_POINT) {
            b->point = op->point;
        } else if (whole && !op->fails) {
            install (b, &op->point);
        }
        cut |= !whole;
        free_op (op);
    }
    b->ops_end = &b->ops;
    if (world.config->lying_disk && b->n > 20)
        cut_log (b, last_of (b) - between (0, 15));
    raft_driver_destroy (&b->driver);
    b->up = false;
    b->run++;
    if (world.config->lost_votes && b->vote) {
        const stored_t *last = entry_of (b, last_of (b));
        b->vote = 0;
        b->term = last ? last->term : b->point.term;
    }
}

static void op_done (broker_t *b)
{
    disk_op_t *op = b->ops;
    b->ops = op->next;
    if (!b->ops)
        b->ops_end = &b->ops;
    if (op->kind == OP_ENTRIES) {
        store (b, op->from, op->entries, op->n);
        raft_driver_persisted (b->driver, world.now);
    } else if (op->kind == OP_POINT) {
        if (!op->fails)
            b->point = op->point;
        raft_driver_point_saved (b->driver, world.now, !op->fails);
    } else if (op->fails) {
        world.count->failed_installs++;
        raft_driver_not_installed (b->driver, world.now, b->first, last_of (b));
    } else {
        world.count->installs++;
        install (b, &op->point);
        b->applied = b->saved_applied;
        b->hash = b->saved_hash;
        raft_driver_installed (b->driver, world.now);
    }
    free_op (op);
}

static void disk_done (broker_t *b)
{
    for (unsigned n = b->group; n; n--)
        op_done (b);
    start_disk (b);
}

/* The state machine commits, and sometimes that is announced. */
static void save (broker_t *b)
{
    b->saved_applied = b->applied;
    b->saved_hash = b->hash;
    raft_driver_applied (b->driver, world.now, b->applied);
    if (b->saved_applied > raft_driver_point (b->driver) + 40)
        raft_driver_snapshot (b->driver, world.now, b->saved_applied,
                              between (0, TRAILING));
    later (between (10, 60), SAVE, b);
}

static void fault (void)
{
    if (!world.faulty)
        return;
    unsigned kind = between (0, 9), n = world.config->brokers;
    broker_t *b = &world.brokers[between (1, n)];
    if (kind <= 3 && b->up) {
        crash (b);
        later (between (5, 2500), RESTART, b);
    } else if (kind <= 6 && n > 1) {
        world.count->cuts++;
        memset (world.cut, 0, sizeof world.cut);
        unsigned side = between (1, (1u << n) - 2);
        bool one_way = chance (200);
        for (unsigned i = 1; i <= n; i++)
            for (unsigned k = 1; k <= n; k++) {
                bool a = side >> (i - 1) & 1, c = side >> (k - 1) & 1;
                world.cut[i][k] = a != c && (!one_way || a);
            }
    } else if (kind <= 8) {
        memset (world.cut, 0, sizeof world.cut);
    } else if (b->up && raft_driver_role (b->driver) == JOURNAL_LEADER) {
        world.count->transfers++;
        raft_driver_transfer (b->driver, world.now, 0, NULL);
    }
    later (between (50, 1200), FAULT, NULL);
}

static void change (broker_t *b)
{
    uint64_t id = between (1, world.config->brokers);
    char address[32];
    snprintf (address, sizeof address, "broker-%" PRIu64, id);
    const enum raft_member roles[] = {MEMBER_STANDBY, MEMBER_VOTER, MEMBER_VOTER,
                                      MEMBER_GONE};
    world.count->changes += raft_driver_change (b->driver, world.now, id, address,
                                                roles[between (0, 3)], NULL) == DFS_OK;
}

static void client (void)
{
    for (unsigned i = 1; i <= world.config->brokers; i++) {
        broker_t *b = &world.brokers[i];
        if (!b->up || raft_driver_role (b->driver) != JOURNAL_LEADER)
            continue;
        if (chance (300)) {
            uint64_t cookie = ++world.n_reads;
            world.floors[cookie & 0xffff] = world.acked;
            raft_driver_read (b->driver, world.now, cookie);
        }
        if (world.config->churn && world.faulty && chance (100))
            change (b);
        if (chance (300) ||
            raft_driver_last (b->driver) > raft_driver_committed (b->driver) + 300)
            continue;
        journal_proposal_t proposals[8];
        uint64_t data[8][4];
        unsigned n = world.faulty ? between (1, 8) : 1;
        for (unsigned k = 0; k < n; k++) {
            data[k][0] = ++world.value;
            data[k][1] = rng_next (&world.rng);
            proposals[k] =
                (journal_proposal_t){data[k], 8 + between (0, 8), data[k][0]};
        }
        raft_driver_submit (b->driver, world.now, proposals, n, NULL);
    }
    later (world.faulty ? between (5, 25) : 50, CLIENT, NULL);
}

static void handle (event_t *event)
{
    broker_t *b = &world.brokers[event->broker];
    bool here = b->up && event->run == b->run;
    switch (event->kind) {
    case PACKET:
        if (b->up && !world.cut[event->from][event->broker]) {
            dfs_error_t err = {0};
            if (raft_driver_receive (b->driver, world.now, event->from, event->bytes,
                                     event->len, &err))
                violated ("packet refused: %.200s", err.text);
        }
        free (event->bytes);
        break;
    case DISK:
        if (here)
            disk_done (b);
        break;
    case SAVE:
        if (here)
            save (b);
        break;
    case GO_ON:
        if (here)
            raft_driver_go_on (b->driver, world.now);
        break;
    case WATCH:
        if (here) {
            raft_driver_watch_disk (b->driver, world.now, false);
            later (50, WATCH, b);
        }
        break;
    case FAULT:
        fault ();
        break;
    case CLIENT:
        client ();
        break;
    case RESTART:
        if (!b->up)
            start (b);
        break;
    }
    if (event->broker && b->up) {
        check_failed (b);
        if (raft_driver_more (b->driver))
            later (1, GO_ON, b);
    }
}

/* --- a run --- */

static void begin (void)
{
    const world_config_t *c = world.config;
    uint64_t ids[BROKERS];
    char names[BROKERS][32];
    const char *addresses[BROKERS];
    for (unsigned i = 0; i < c->voters; i++) {
        ids[i] = i + 1;
        snprintf (names[i], sizeof names[i], "broker-%u", i + 1);
        addresses[i] = names[i];
    }
    size_t len;
    uint8_t *conf = raft_driver_bootstrap (ids, addresses, c->voters, &len);
    stored_t entry = {1, RECORD_CHANGE, (uint32_t)len, conf};
    for (unsigned i = 1; i <= c->brokers; i++) {
        broker_t *b = &world.brokers[i];
        b->id = i;
        b->first = 1;
        b->ops_end = &b->ops;
        if (i <= c->voters) {
            b->term = 1;
            store (b, 1, &entry, 1);
        }
    }
    for (unsigned i = 1; i <= c->brokers; i++)
        start (&world.brokers[i]);
    free (conf);
    later (10, CLIENT, NULL);
    later (between (500, 2000), FAULT, NULL);
}

static void heal (void)
{
    world.faulty = false;
    memset (world.arrival, 0, sizeof world.arrival);
    memset (world.cut, 0, sizeof world.cut);
    for (unsigned i = 1; i <= world.config->brokers; i++)
        if (!world.brokers[i].up)
            start (&world.brokers[i]);
}

/* All brokers that take part have what was committed at the heal, and more. */
static bool converged (uint64_t at_heal)
{
    if (world.last < at_heal + 20)
        return false;
    unsigned behind = 0;
    for (unsigned i = 1; i <= world.config->brokers; i++)
        behind += world.brokers[i].applied + 100 < world.last;
    /* Those who left, or never joined, hear nothing. */
    unsigned least = world.config->voters < 3 ? world.config->voters : 3;
    return behind <= (world.config->churn ? world.config->brokers - least : 0);
}

/* Who is where, for a run that did not catch up. */
static void describe (void)
{
    size_t at = 0;
    for (unsigned i = 1; i <= world.config->brokers && at < 380; i++) {
        const broker_t *b = &world.brokers[i];
        at += (size_t)snprintf (world.why + at, 400 - at,
                                "[%u role %d term %" PRIu64 " applied %" PRIu64
                                " of %" PRIu64 "]",
                                i, (int)raft_driver_role (b->driver),
                                raft_driver_term (b->driver), b->applied, world.last);
    }
}

static int play (void)
{
    uint64_t healed = 0, at_heal = 0;
    begin ();
    while (!world.bad) {
        broker_t *due = NULL;
        uint64_t at = UINT64_MAX;
        for (unsigned i = 1; i <= world.config->brokers; i++) {
            broker_t *b = &world.brokers[i];
            uint64_t deadline = b->up ? raft_driver_deadline (b->driver) : UINT64_MAX;
            if (deadline < at) {
                at = deadline;
                due = b;
            }
        }
        if (world.n && world.heap[0].at <= at) {
            event_t event = next_event ();
            world.now = event.at > world.now ? event.at : world.now;
            handle (&event);
        } else if (due) {
            /* A timer that stays due would stop the time. */
            world.now = at > world.now ? at : world.now + 1;
            raft_driver_tick (due->driver, world.now);
            check_failed (due);
            if (raft_driver_more (due->driver))
                later (1, GO_ON, due);
        }
        if (!healed && (world.last >= world.config->commits || world.now > END_MS)) {
            heal ();
            healed = world.now;
            at_heal = world.last;
        }
        if (healed && world.now > healed + 1000 && converged (at_heal))
            return 0;
        if (healed && world.now > healed + HEAL_MS) {
            world.count->stalls++;
            describe ();
            return 1;
        }
    }
    return -1;
}

static void clean_up (void)
{
    for (unsigned i = 1; i <= BROKERS; i++) {
        broker_t *b = &world.brokers[i];
        raft_driver_destroy (&b->driver);
        while (b->ops) {
            disk_op_t *op = b->ops;
            b->ops = op->next;
            free_op (op);
        }
        cut_log (b, 0);
        free (b->log);
    }
    for (size_t i = 0; i < world.n; i++)
        if (world.heap[i].kind == PACKET)
            free (world.heap[i].bytes);
    free (world.heap);
}

int world_run (const world_config_t *config, world_count_t *count, char *why)
{
    memset (&world, 0, sizeof world);
    world.config = config;
    world.count = count;
    world.why = why;
    world.now = 1;
    world.faulty = true;
    rng_seed (&world.rng, config->seed * 7919 + config->brokers);
    world.lose = chance (500) ? 20 : between (0, 250);
    world.twice = between (0, 150);
    world.slow = between (0, 150);
    world.disk_ms = chance (300) ? 80 : 10;
    int rc = play ();
    if (world.bad)
        rc = -1;
    clean_up ();
    return rc;
}
