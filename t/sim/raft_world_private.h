/* SPDX-License-Identifier: MPL-2.0 */
/* What the files of the simulator share: raft_world.c (events, faults, the run) and
 * raft_orders.c (disks, what drivers order, checks). One thread. */
#ifndef T_SIM_RAFT_WORLD_PRIVATE_H
#define T_SIM_RAFT_WORLD_PRIVATE_H

#include <inttypes.h>

#include "broker/journal/raft_driver.h"
#include "common/rng.h"

#include "raft_world.h"

#define BROKERS  12
#define INDEXES  40000
#define TERMS    20000
#define TRAILING 20

typedef struct stored {
    uint64_t term;
    enum record_type type;
    uint32_t len;
    bool flipped; /* it does not read back as it was written */
    uint8_t *data;
} stored_t;

/* Something on its way to the disk. */
enum op_kind { OP_ENTRIES, OP_INSTALL, OP_POINT };

typedef struct disk_op {
    enum op_kind kind;
    bool fails;
    raft_point_t point;
    uint64_t state; /* what came with it: that index, or a later one */
    uint64_t from;  /* index of the first entry */
    size_t n;
    stored_t *entries;
    struct disk_op *next;
} disk_op_t;

typedef struct broker {
    uint64_t id;
    bool up;
    unsigned run; /* events of an earlier one are void */
    raft_driver_t *driver;
    /* Durable: */
    uint64_t term, vote;
    raft_point_t point;
    uint64_t first;
    stored_t *log; /* first … first + n - 1 */
    size_t n;
    uint64_t saved_applied, saved_hash;
    /* Not: */
    disk_op_t *ops, **ops_end;
    unsigned group; /* of the ops, how many are being written */
    uint64_t applied, hash;
    uint64_t skew;         /* of its clock */
    uint64_t paused_until; /* it stands still */
    uint64_t full_until;   /* its disk has no room */
    uint64_t hangs_until;  /* its state machine does not go on */
    bool member;           /* one of the voters that are to be */
    bool lost;             /* its data is; it does not come back */
} broker_t;

enum event_kind { PACKET, DISK, SAVE, FAULT, CLIENT, RESTART, GO_ON, WATCH, EARLY };

typedef struct event {
    uint64_t at, order;
    enum event_kind kind;
    unsigned broker, run;
    uint64_t from;
    uint8_t *bytes;
    size_t len;
} event_t;

typedef struct world {
    const world_config_t *config;
    world_count_t *count;
    char *why;
    bool bad;
    rng_t rng;
    uint64_t now, order;
    event_t *heap;
    size_t n, cap;
    bool faulty;
    bool cut[BROKERS + 1][BROKERS + 1];
    uint64_t arrival[BROKERS + 1][BROKERS + 1]; /* of the last packet */
    unsigned lose, twice, slow, disk_ms;        /* per 1000 */
    uint64_t value;                             /* of the last proposal */
    broker_t brokers[BROKERS + 1];
    /* What is committed. */
    uint64_t last;
    uint64_t acked; /* highest index that was acknowledged */
    uint64_t terms[INDEXES], hashes[INDEXES];
    uint64_t leaders[TERMS];
    uint64_t floors[1 << 16]; /* of read points under way, by cookie */
    uint64_t n_reads;
    unsigned lost;                /* broker that is being replaced, 0: none */
    unsigned fresh;               /* by this one; else the next spare one */
    uint64_t hold_until, held_at; /* no proposals, for a promotion */
} world_t;

extern world_t world;

/* Keeps the first; the run ends after the event under way. */
void violated (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));
unsigned between (unsigned low, unsigned high);
bool chance (unsigned per_1000);
void add_event (event_t event);
event_t next_event (void);
void later (unsigned ms, enum event_kind kind, const broker_t *b);

uint64_t last_of (const broker_t *b);
const stored_t *entry_of (const broker_t *b, uint64_t index);
void cut_log (broker_t *b, uint64_t index);
void trim_log (broker_t *b, uint64_t index);
void store (broker_t *b, uint64_t index, const stored_t *entries, size_t n);
void install (broker_t *b, const raft_point_t *point, uint64_t state);
void free_op (disk_op_t *op);
/* The disk takes all that waits at once, and that again when it is done. */
void start_disk (broker_t *b);
bool has_flipped (const broker_t *b);
/* As broker B sees it. */
uint64_t time_of (const broker_t *b);
void start_broker (broker_t *b);
void crash (broker_t *b);
/* raft_faults.c: something goes wrong; B is found to have lost data; the leader B goes
 * on with a replacement. */
void fault (void);
void lose (broker_t *b);
void exchange (broker_t *b);
/* The callbacks of broker B. */
raft_driver_ops_t orders_of (broker_t *b);

#endif
