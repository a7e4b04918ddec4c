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

/* --- brokers --- */

static void check_failed (broker_t *b)
{
    const dfs_error_t *err = b->driver ? raft_driver_failed (b->driver) : NULL;
    if (err && err->code == DFS_EDAMAGED && has_flipped (b)) {
        crash (b);
        lose (b);
    } else if (err)
        violated ("broker %" PRIu64 " stopped: %.200s", b->id, err->text);
}

uint64_t time_of (const broker_t *b)
{
    return world.now + b->skew;
}

void start_broker (broker_t *b)
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
        .hang_ms = 1000,
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
    b->driver = raft_driver_new (&config, time_of (b), &err);
    if (!b->driver) {
        violated ("broker %" PRIu64 " does not start: %.200s", b->id, err.text);
        b->up = false;
    }
    later (between (1, 50), SAVE, b);
    later (50, WATCH, b);
}

/* Of what is on its way to the disk, the first part got there. */
void crash (broker_t *b)
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
            world.count->torn += n && n < op->n;
        } else if (whole && op->kind == OP_POINT) {
            b->point = op->point;
        } else if (whole && !op->fails) {
            install (b, &op->point, op->state);
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
        if (world.config->plant != PLANT_EARLY_ACK)
            raft_driver_persisted (b->driver, time_of (b));
    } else if (op->kind == OP_POINT) {
        if (!op->fails)
            b->point = op->point;
        raft_driver_point_saved (b->driver, time_of (b), !op->fails);
    } else if (op->fails) {
        world.count->failed_installs++;
        raft_driver_not_installed (b->driver, time_of (b), b->first, last_of (b));
    } else {
        world.count->installs++;
        install (b, &op->point, op->state);
        b->applied = b->saved_applied;
        b->hash = b->saved_hash;
        raft_driver_installed (b->driver, time_of (b));
        raft_driver_skip (b->driver, op->state);
        world.count->skips += op->state > op->point.index;
    }
    free_op (op);
}

static void disk_done (broker_t *b)
{
    /* A write that fails is the end of the process. */
    if (world.config->disks && world.faulty && chance (1)) {
        world.count->disk_errors++;
        crash (b);
        later (between (50, 3000), RESTART, b);
        return;
    }
    for (unsigned n = b->group; n; n--)
        op_done (b);
    start_disk (b);
}

/* The state machine commits, and sometimes that is announced. */
static void save (broker_t *b)
{
    if (b->hangs_until > world.now) {
        later ((unsigned)(b->hangs_until - world.now), SAVE, b);
        return;
    }
    b->saved_applied = b->applied;
    b->saved_hash = b->hash;
    raft_driver_applied (b->driver, time_of (b), b->applied);
    if (b->saved_applied > raft_driver_point (b->driver) + 40)
        raft_driver_snapshot (b->driver, time_of (b), b->saved_applied,
                              between (0, TRAILING));
    later (between (10, 60), SAVE, b);
}

static void change (broker_t *b)
{
    uint64_t id = between (1, world.config->brokers);
    char address[32];
    snprintf (address, sizeof address, "broker-%" PRIu64, id);
    const enum raft_member roles[] = {MEMBER_STANDBY, MEMBER_VOTER, MEMBER_VOTER,
                                      MEMBER_GONE};
    world.count->changes += raft_driver_change (b->driver, time_of (b), id, address,
                                                roles[between (0, 3)], NULL) == DFS_OK;
}

static void client (void)
{
    for (unsigned i = 1; i <= world.config->brokers; i++) {
        broker_t *b = &world.brokers[i];
        if (!b->up || b->paused_until > world.now ||
            raft_driver_role (b->driver) != JOURNAL_LEADER)
            continue;
        if (world.lost)
            exchange (b);
        if (chance (300)) {
            uint64_t cookie = ++world.n_reads;
            world.floors[cookie & 0xffff] = world.acked;
            raft_driver_read (b->driver, time_of (b), cookie);
        }
        if (world.config->churn && world.faulty && chance (100))
            change (b);
        if (chance (300) || world.now < world.hold_until ||
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
        raft_driver_submit (b->driver, time_of (b), proposals, n, NULL);
    }
    later (world.faulty ? between (5, 25) : 50, CLIENT, NULL);
}

static void arrive (broker_t *b, const event_t *event)
{
    dfs_error_t err = {0};
    if (b->up && !world.cut[event->from][event->broker] &&
        raft_driver_receive (b->driver, time_of (b), event->from, event->bytes,
                             event->len, &err))
        violated ("packet refused: %.200s", err.text);
    free (event->bytes);
}

static void watch_disk (broker_t *b)
{
    bool no_room = b->full_until > world.now && b->ops;
    raft_driver_watch_disk (b->driver, time_of (b), no_room,
                            b->hangs_until > world.now);
    later (50, WATCH, b);
}

static void restart (broker_t *b)
{
    if (b->up || b->lost)
        return;
    if (has_flipped (b))
        lose (b); /* it refuses to start */
    else
        start_broker (b);
}

/* What happens in a process that runs. */
static void handle_here (broker_t *b, enum event_kind kind)
{
    switch (kind) {
    case DISK:
        disk_done (b);
        break;
    case SAVE:
        save (b);
        break;
    case GO_ON:
        raft_driver_go_on (b->driver, time_of (b));
        break;
    case EARLY:
        raft_driver_persisted (b->driver, time_of (b));
        break;
    case WATCH:
        watch_disk (b);
        break;
    default:
        break;
    }
}

static void handle (event_t *event)
{
    broker_t *b = &world.brokers[event->broker];
    bool here = b->up && event->run == b->run;
    if (event->broker && b->up && b->paused_until > world.now) {
        event->at = b->paused_until;
        add_event (*event);
        return;
    }
    if (event->kind == PACKET)
        arrive (b, event);
    else if (event->kind == FAULT)
        fault ();
    else if (event->kind == CLIENT)
        client ();
    else if (event->kind == RESTART)
        restart (b);
    else if (here)
        handle_here (b, event->kind);
    if (event->broker && b->up)
        check_failed (b);
    if (event->broker && b->up && raft_driver_more (b->driver))
        later (1, GO_ON, b);
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
    stored_t entry = {1, RECORD_CHANGE, (uint32_t)len, false, conf};
    for (unsigned i = 1; i <= c->brokers; i++) {
        broker_t *b = &world.brokers[i];
        b->id = i;
        b->first = 1;
        b->ops_end = &b->ops;
        b->member = i <= c->voters;
        if (i <= c->voters) {
            b->term = 1;
            store (b, 1, &entry, 1);
        }
    }
    for (unsigned i = 1; i <= c->brokers; i++)
        start_broker (&world.brokers[i]);
    world.fresh = c->voters + 1;
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
        restart (&world.brokers[i]);
}

/* All brokers that take part have what was committed at the heal, and more. */
static bool converged (uint64_t at_heal)
{
    if (world.last < at_heal + 20)
        return false;
    unsigned behind = 0, members = 0;
    for (unsigned i = 1; i <= world.config->brokers; i++) {
        const broker_t *b = &world.brokers[i];
        bool late = b->applied + 100 < world.last;
        behind += late;
        members += b->member && (late || b->lost);
    }
    if (world.config->replace)
        return !world.lost && !members;
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
        at += (size_t)snprintf (
            world.why + at, 400 - at,
            "[%u role %d term %" PRIu64 " applied %" PRIu64 " of %" PRIu64 "]", i,
            b->driver ? (int)raft_driver_role (b->driver) : -1,
            b->driver ? raft_driver_term (b->driver) : 0, b->applied, world.last);
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
            if (deadline != UINT64_MAX)
                deadline = deadline > b->skew ? deadline - b->skew : 0;
            if (deadline < b->paused_until)
                deadline = b->paused_until;
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
            raft_driver_tick (due->driver, time_of (due));
            check_failed (due);
            if (due->up && raft_driver_more (due->driver))
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
