/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft_world_private.h"

static uint64_t mix (uint64_t h, uint64_t a)
{
    h ^= a + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
    h *= 0xff51afd7ed558ccdull;
    return h ^ (h >> 33);
}

static uint64_t mix_bytes (uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3ull;
    return mix (h, len);
}

/* --- the disk --- */

uint64_t last_of (const broker_t *b)
{
    return b->first + b->n - 1;
}

const stored_t *entry_of (const broker_t *b, uint64_t index)
{
    return index < b->first || index > last_of (b) ? NULL : &b->log[index - b->first];
}

void cut_log (broker_t *b, uint64_t index)
{
    while (b->n && last_of (b) >= index)
        free (b->log[--b->n].data);
}

void trim_log (broker_t *b, uint64_t index)
{
    size_t k = 0;
    while (k < b->n && b->first + k <= index)
        free (b->log[k++].data);
    b->n -= k;
    b->first += k;
    if (k)
        memmove (b->log, b->log + k, b->n * sizeof *b->log);
}

void store (broker_t *b, uint64_t index, const stored_t *entries, size_t n)
{
    if (index < b->first || index > last_of (b) + 1) {
        violated ("broker %" PRIu64 " writes %" PRIu64 " into a log %" PRIu64
                  "-%" PRIu64,
                  b->id, index, b->first, last_of (b));
        return;
    }
    cut_log (b, index);
    b->log = reallocarray (b->log, b->n + n + 1, sizeof *b->log);
    if (!b->log)
        abort ();
    for (size_t i = 0; i < n; i++) {
        stored_t copy = entries[i];
        copy.data = malloc (copy.len + 1);
        memcpy (copy.data, entries[i].data, copy.len);
        b->log[b->n++] = copy;
    }
}

void install (broker_t *b, const raft_point_t *point, uint64_t state)
{
    trim_log (b, last_of (b));
    b->first = point->index + 1;
    b->point = *point;
    b->saved_applied = state;
    b->saved_hash = world.hashes[state];
}

bool has_flipped (const broker_t *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->log[i].flipped)
            return true;
    return false;
}

void free_op (disk_op_t *op)
{
    for (size_t i = 0; i < op->n; i++)
        free (op->entries[i].data);
    free (op->entries);
    free (op);
}

void start_disk (broker_t *b)
{
    unsigned ms = between (0, world.disk_ms) + (chance (10) ? between (0, 400) : 0);
    b->group = 0;
    for (const disk_op_t *op = b->ops; op; op = op->next) {
        b->group++;
        if (op->kind == OP_INSTALL)
            ms += between (5, 600);
    }
    if (b->group && world.config->disks && world.faulty && chance (4)) {
        ms += between (1500, 8000);
        world.count->hangs++;
    }
    if (b->full_until > world.now + ms)
        ms = (unsigned)(b->full_until - world.now);
    if (b->group)
        later (ms, DISK, b);
}

static void queue_op (broker_t *b, disk_op_t *op)
{
    *b->ops_end = op;
    b->ops_end = &op->next;
    if (!b->group)
        start_disk (b);
}

/* --- what a driver orders --- */

static int do_save_vote (uint64_t term, uint64_t vote, void *arg)
{
    broker_t *b = arg;
    if (term < b->term || (term == b->term && b->vote && vote != b->vote))
        violated ("broker %" PRIu64 " takes back a vote in term %" PRIu64, b->id, term);
    b->term = term;
    b->vote = vote;
    return 0;
}

static void do_append (const wal_entry_t *entries, size_t n, void *arg)
{
    broker_t *b = arg;
    disk_op_t *op = calloc (1, sizeof *op);
    op->from = entries[0].index;
    op->n = n;
    op->entries = calloc (n, sizeof *op->entries);
    for (size_t i = 0; i < n; i++) {
        op->entries[i] =
            (stored_t){entries[i].term, entries[i].type, entries[i].len, false, NULL};
        op->entries[i].data = malloc (entries[i].len + 1);
        memcpy (op->entries[i].data, entries[i].data, entries[i].len);
    }
    world.count->replaced += op->from <= last_of (b);
    queue_op (b, op);
    if (world.config->plant == PLANT_EARLY_ACK)
        later (0, EARLY, b);
}

static bool do_look (uint64_t index, uint64_t *term, enum record_type *type, void *arg)
{
    const stored_t *s = entry_of (arg, index);
    if (s) {
        *term = s->term;
        *type = s->type;
    }
    return s != NULL;
}

static int do_read (uint64_t from, uint64_t to, size_t max, bool wait,
                    wal_entries_t *out, void *arg)
{
    broker_t *b = arg;
    if (!entry_of (b, from) || !entry_of (b, to)) {
        violated ("broker %" PRIu64 " asks for %" PRIu64 "-%" PRIu64 " of %" PRIu64
                  "-%" PRIu64,
                  b->id, from, to, b->first, last_of (b));
        return -1;
    }
    if (!wait && chance (100)) {
        later (between (1, 60), GO_ON, b);
        world.count->late_reads++;
        return DFS_EAGAIN;
    }
    (void)max;
    size_t n = 1 + rng_below (&world.rng, to - from + 1), bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (entry_of (b, from + i)->flipped)
            return DFS_EDAMAGED;
    for (size_t i = 0; i < n; i++)
        bytes += entry_of (b, from + i)->len;
    wal_entry_t *entries = malloc (n * sizeof *entries + bytes + 1);
    uint8_t *p = (uint8_t *)(entries + n);
    for (size_t i = 0; i < n; i++) {
        const stored_t *s = entry_of (b, from + i);
        memcpy (p, s->data, s->len);
        entries[i] = (wal_entry_t){from + i, s->term, s->type, s->len, p};
        p += s->len;
    }
    *out = (wal_entries_t){n, entries};
    return 0;
}

static void do_save_point (const raft_point_t *point, void *arg)
{
    broker_t *b = arg;
    if (point->index > b->saved_applied || point->index > last_of (b))
        violated ("broker %" PRIu64 " announces a snapshot it does not have", b->id);
    disk_op_t *op = calloc (1, sizeof *op);
    op->kind = OP_POINT;
    op->point = *point;
    op->fails = b->full_until > world.now;
    queue_op (b, op);
}

static void do_point_taken (const raft_point_t *point, uint64_t trim, void *arg)
{
    broker_t *b = arg;
    if (b->point.index != point->index)
        violated ("broker %" PRIu64 " takes a point that is not on disk", b->id);
    world.count->snapshots++;
    trim_log (b, trim);
}

static void do_send (uint64_t to, const void *bytes, size_t len, void *arg)
{
    const broker_t *b = arg;
    world.count->packets++;
    unsigned copies = 1;
    if (world.faulty && chance (world.lose)) {
        copies = 0;
        world.count->lost++;
    } else if (world.faulty && chance (world.twice)) {
        copies = between (2, 3);
        world.count->doubled++;
    }
    while (copies--) {
        unsigned ms = between (1, 8);
        if (world.faulty && chance (world.slow)) {
            ms += between (20, chance (100) ? 5000 : 400);
            world.count->late++;
        }
        uint8_t *copy = malloc (len);
        memcpy (copy, bytes, len);
        /* In good times a link keeps the order, as TCP does. */
        uint64_t at = world.now + ms, *last = &world.arrival[b->id][to];
        if (!world.faulty && at < *last)
            at = *last;
        *last = at;
        add_event ((event_t){.at = at,
                             .kind = PACKET,
                             .broker = (unsigned)to,
                             .from = b->id,
                             .bytes = copy,
                             .len = len});
    }
}

static void do_install (const raft_point_t *point, uint64_t from, void *arg)
{
    broker_t *b = arg;
    if (point->index > world.last) {
        violated ("a snapshot of %" PRIu64 ", of which nothing is committed",
                  point->index);
        return;
    }
    disk_op_t *op = calloc (1, sizeof *op);
    op->kind = OP_INSTALL;
    op->point = *point;
    /* It is copied when it is asked for, and may have gone on. */
    uint64_t has = world.brokers[from].saved_applied;
    op->state = point->index;
    if (has > point->index)
        op->state += rng_below (&world.rng, has - point->index + 1);
    op->fails = world.faulty && chance (200);
    queue_op (b, op);
}

/* A majority of the voters has INDEX of TERM on disk. */
static void check_durable (uint64_t index, uint64_t term)
{
    unsigned have = 0;
    for (unsigned i = 1; i <= world.config->voters; i++) {
        const broker_t *b = &world.brokers[i];
        const stored_t *s = entry_of (b, index);
        have += (s && s->term == term) || (!s && b->point.index >= index);
    }
    if (have <= world.config->voters / 2)
        violated ("entry %" PRIu64 " of term %" PRIu64 " committed, durable on %u",
                  index, term, have);
}

static void do_committed (const journal_entry_t *entries, size_t n, void *arg)
{
    broker_t *b = arg;
    for (size_t i = 0; i < n; i++) {
        const journal_entry_t *e = &entries[i];
        if (e->index != b->applied + 1)
            violated ("broker %" PRIu64 " is given %" PRIu64 " after %" PRIu64, b->id,
                      e->index, b->applied);
        b->hash = mix_bytes (mix (b->hash, e->term), e->data, e->len);
        b->applied = e->index;
        if (e->index > world.last) {
            if (e->index >= INDEXES) {
                violated ("too many entries for the simulator");
                return;
            }
            if (!world.config->churn && !world.config->replace)
                check_durable (e->index, e->term);
            world.last = e->index;
            world.terms[e->index] = e->term;
            world.hashes[e->index] = b->hash;
            world.count->commits++;
        } else if (world.hashes[e->index] != b->hash ||
                   world.terms[e->index] != e->term) {
            violated ("broker %" PRIu64 " applies %" PRIu64 " of term %" PRIu64
                      ", others had term %" PRIu64,
                      b->id, e->index, e->term, world.terms[e->index]);
        }
        if (e->cookie) {
            uint64_t value = 0;
            if (e->len >= sizeof value)
                memcpy (&value, e->data, sizeof value);
            if (value != e->cookie)
                violated ("entry %" PRIu64 " is not what was proposed", e->index);
            if (e->index > world.acked)
                world.acked = e->index;
        }
    }
}

static void do_dropped (const uint64_t *cookies, size_t n, int code, void *arg)
{
    (void)cookies;
    (void)n;
    (void)code;
    (void)arg;
}

static void do_role (enum journal_role role, uint64_t term, uint64_t leader,
                     const char *address, void *arg)
{
    const broker_t *b = arg;
    (void)leader;
    (void)address;
    if (role != JOURNAL_LEADER)
        return;
    if (term >= TERMS) {
        violated ("too many terms for the simulator");
        return;
    }
    if (world.leaders[term] && world.leaders[term] != b->id)
        violated ("two leaders in term %" PRIu64 ": %" PRIu64 " and %" PRIu64, term,
                  world.leaders[term], b->id);
    world.count->elections += !world.leaders[term];
    world.leaders[term] = b->id;
}

static void do_read_point (uint64_t cookie, int code, uint64_t index, void *arg)
{
    const broker_t *b = arg;
    if (code != DFS_OK)
        return;
    world.count->reads++;
    if (index < world.floors[cookie & 0xffff])
        violated ("broker %" PRIu64 " reads at %" PRIu64 ", %" PRIu64
                  " was acknowledged before",
                  b->id, index, world.floors[cookie & 0xffff]);
}

raft_driver_ops_t orders_of (broker_t *b)
{
    return (raft_driver_ops_t){
        do_save_vote,   do_append,     do_read,    do_look,      do_save_point,
        do_point_taken, do_send,       do_install, do_committed, do_dropped,
        do_role,        do_read_point, b};
}
