/* SPDX-License-Identifier: MPL-2.0 */
/* Power cuts at any moment: what was acknowledged is there afterwards, what was not may
 * be, and nothing else ever is. DFS_SEEDS=N runs more, DFS_SEED=N one. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/journal/vote.h"
#include "broker/journal/wal.h"
#include "common/rng.h"

#include "journal_dir.h"
#include "journal_power.h"

#include <cmocka.h> /* last: it has a macro fail */

#define SEGMENT (32 * 1024)
#define MOST    20000

/* What the log must and may hold: entries up to ACKED are what WANT says; behind them
 * come those of the operation that was cut, in order, as far as they got. */
typedef struct oracle {
    uint64_t want[MOST]; /* content of an index, made from its place in the run */
    uint64_t acked;
    uint64_t may;   /* last index of the operation under way */
    uint64_t floor; /* the log may have been cut down to here */
    uint64_t trimmed;
    uint64_t serial;
} oracle_t;

static uint64_t seed_now;

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            snprintf (why, sizeof why, "seed %" PRIu64 " line %d: %s", seed_now,       \
                      __LINE__, #condition);                                           \
            return why;                                                                \
        }                                                                              \
    } while (0)

static char why[300];

static size_t entry_len (uint64_t value)
{
    return 8 + (value * 131) % (value % 7 ? 200 : 3000);
}

static int append_some (wal_t *wal, oracle_t *o, rng_t *rng)
{
    size_t n = 1 + rng_below (rng, rng_below (rng, 4) ? 4 : 40);
    wal_entry_t e[41];
    static uint8_t data[41][3100];
    for (size_t i = 0; i < n; i++) {
        uint64_t value = ++o->serial, index = o->acked + 1 + i;
        o->want[index] = value;
        for (size_t k = 0; k + 8 <= sizeof data[i]; k += 8)
            memcpy (data[i] + k, &value, 8);
        e[i] = (wal_entry_t){index, 1, RECORD_COMMAND, (uint32_t)entry_len (value),
                             data[i]};
    }
    o->may = o->acked + n;
    for (size_t i = 0; i < n;) {
        size_t k = 0;
        int rc = wal_append (wal, e + i, n - i, &k, NULL);
        if (rc != DFS_OK)
            return rc;
        i += k;
        o->acked += k;
    }
    return DFS_OK;
}

static int step (wal_t *wal, oracle_t *o, rng_t *rng)
{
    switch (rng_below (rng, 12)) {
    case 0: {
        uint64_t least = wal_first (wal);
        if (o->acked <= least)
            return DFS_OK;
        uint64_t at = o->acked - rng_below (rng, o->acked - least < 9 ? 1 : 9);
        o->may = o->acked;
        o->floor = at - 1;
        int rc = wal_truncate (wal, at, NULL);
        if (rc == DFS_OK)
            o->acked = o->may = at - 1;
        return rc;
    }
    case 1:
        if (o->acked > o->trimmed + 50) {
            o->trimmed = o->acked - 40;
            wal_trim (wal, o->trimmed);
        }
        return DFS_OK;
    default:
        return append_some (wal, o, rng);
    }
}

/* NULL or what is wrong. */
static const char *verify (wal_t *wal, oracle_t *o)
{
    uint64_t first = wal_first (wal), last = wal_last (wal);
    uint64_t least = o->acked < o->floor ? o->acked : o->floor;
    CHECK (last >= least);
    CHECK (last <= o->may);
    CHECK (first <= o->trimmed + 1);
    for (uint64_t i = o->trimmed + 1; i <= last;) {
        wal_entries_t read;
        CHECK (wal_read (wal, i, last, 100000, &read, NULL) == DFS_OK);
        for (size_t k = 0; k < read.n; k++, i++) {
            uint64_t value = 0;
            memcpy (&value, read.entries[k].data, 8);
            if (value != o->want[i] || read.entries[k].len != entry_len (value)) {
                wal_entries_free (&read);
                CHECK (!"an entry that was not put there");
            }
        }
        wal_entries_free (&read);
    }
    o->acked = o->may = last;
    return NULL;
}

/* A process opens the log, finds in it what it must, and works until it is cut. */
static const char *run_once (const char *dir, power_t *power, oracle_t *o, rng_t *rng)
{
    dfs_error_t err = {0};
    const char *bad = NULL;
    wal_t *wal = wal_open (&(wal_config_t){dir, SEGMENT, false, false}, &err);
    if (!wal) {
        if (err.code != DFS_EDAMAGED && power_is_cut (power))
            return NULL;
        snprintf (why, sizeof why, "seed %" PRIu64 ": %.200s", seed_now, err.text);
        return why;
    }
    bad = verify (wal, o);
    o->floor = UINT64_MAX;
    while (!bad && !power_is_cut (power) && o->acked < MOST - 100) {
        if (step (wal, o, rng) != DFS_OK)
            break;
        o->floor = UINT64_MAX;
    }
    wal_close (&wal);
    return bad;
}

/* One life of a log: some processes that die, some power cuts. */
static const char *live (uint64_t seed)
{
    seed_now = seed;
    rng_t rng;
    rng_seed (&rng, seed);
    static oracle_t oracle;
    oracle_t *o = &oracle;
    memset (o, 0, sizeof *o);
    o->floor = UINT64_MAX;
    char *dir = dir_make ();
    const char *bad = NULL;
    for (int round = 0; round < 7 && !bad; round++) {
        power_t *power = power_new (dir);
        while (!bad && rng_below (&rng, 2)) {
            power_kill_after (power, 1 + rng_below (&rng, 60));
            bad = run_once (dir, power, o, &rng);
            power_revive (power);
        }
        /* Sometimes early, in the recovery itself. */
        uint64_t n =
            round == 6 ? 0 : 1 + rng_below (&rng, rng_below (&rng, 3) ? 120 : 12);
        power_cut_after (power, n);
        if (!bad && n)
            bad = run_once (dir, power, o, &rng);
        else if (!bad) {
            wal_t *wal = wal_open (&(wal_config_t){dir, SEGMENT, false, false}, NULL);
            bad = wal ? verify (wal, o) : "the last opening failed";
            wal_close (&wal);
        }
        char *next = dir_make ();
        power_restore (power, &rng, next);
        power_destroy (&power);
        dir_remove (dir);
        dir = next;
    }
    dir_remove (dir);
    return bad;
}

static uint64_t number (const char *name, uint64_t usual)
{
    const char *text = getenv (name);
    return text ? strtoull (text, NULL, 10) : usual;
}

static void test_power_cuts (void **state)
{
    (void)state;
    uint64_t first = number ("DFS_SEED", 1);
    uint64_t n = getenv ("DFS_SEED") ? 1 : number ("DFS_SEEDS", 150);
    power_ignored_op = -1;
    for (uint64_t seed = first; seed < first + n; seed++) {
        const char *bad = live (seed);
        if (bad)
            print_error ("%s\nreplay: DFS_SEED=%" PRIu64 " t/unit/wal_power\n", bad,
                         seed);
        assert_null (bad);
    }
}

/* The test above is worth something: without any one kind of sync it fails. */
static void test_each_sync_is_needed (void **state)
{
    (void)state;
    const enum io_op ops[] = {IO_FDATASYNC, IO_FSYNC, IO_SYNC_DIR};
    for (int i = 0; i < 3; i++) {
        power_ignored_op = (int)ops[i];
        const char *bad = NULL;
        for (uint64_t seed = 1; seed < 400 && !bad; seed++)
            bad = live (seed);
        power_ignored_op = -1;
        if (!bad)
            print_error ("nothing noticed that sync %d is missing\n", (int)ops[i]);
        assert_non_null (bad);
    }
}

/* A log without syncs that is synced now and then: what was there at the last of these
 * is there after a power cut. SYNCED false: without them it is not. */
static const char *live_unsynced (uint64_t seed, bool synced)
{
    static oracle_t oracle;
    oracle_t *o = &oracle;
    rng_t rng;
    seed_now = seed;
    rng_seed (&rng, seed);
    memset (o, 0, sizeof *o);
    char *dir = dir_make ();
    power_t *power = power_new (dir);
    wal_t *wal = wal_open (&(wal_config_t){dir, SEGMENT, true, false}, NULL);
    const char *bad = wal ? NULL : "it does not open";
    power_cut_after (power, 1 + rng_below (&rng, 200));
    uint64_t durable = 0;
    while (!bad && append_some (wal, o, &rng) == DFS_OK && o->acked < MOST - 100)
        if (rng_below (&rng, 6) == 0 && (!synced || wal_sync (wal, NULL) == DFS_OK) &&
            !power_is_cut (power))
            durable = o->acked;
    wal_close (&wal);
    char *next = dir_make ();
    power_restore (power, &rng, next);
    power_destroy (&power);
    o->acked = durable;
    o->floor = UINT64_MAX;
    dfs_error_t err = {0};
    wal = bad || !o->may ? NULL
                         : wal_open (&(wal_config_t){next, SEGMENT, true, false}, &err);
    if (wal)
        bad = verify (wal, o);
    else if (!bad && durable)
        bad = "it does not open again";
    wal_close (&wal);
    dir_remove (dir);
    dir_remove (next);
    return bad;
}

static void test_unsynced (void **state)
{
    (void)state;
    const char *bad = NULL;
    power_ignored_op = -1;
    for (uint64_t seed = 1; seed < 40 && !bad; seed++)
        bad = live_unsynced (seed, true);
    if (bad)
        print_error ("seed %" PRIu64 ": %s\n", seed_now, bad);
    assert_null (bad);
    for (uint64_t seed = 1; seed < 40 && !bad; seed++)
        bad = live_unsynced (seed, false);
    assert_non_null (bad);
}

/* Term and vote: the old or the new ones, never others, the new ones once saved. */
static void test_vote (void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 60; seed++) {
        rng_t rng;
        rng_seed (&rng, seed);
        char *dir = dir_make ();
        assert_int_equal (vote_save (dir, &(vote_t){1, 1}, NULL), DFS_OK);
        power_t *power = power_new (dir);
        power_cut_after (power, 1 + rng_below (&rng, 20));
        uint64_t saved = 1;
        while (vote_save (dir, &(vote_t){saved + 1, 2}, NULL) == DFS_OK)
            saved++;
        char *next = dir_make ();
        power_restore (power, &rng, next);
        power_destroy (&power);
        vote_t vote = {0};
        assert_int_equal (vote_load (next, &vote, NULL), 1);
        assert_in_range (vote.term, saved, saved + 1);
        dir_remove (dir);
        dir_remove (next);
    }
}

int main (void)
{
    log_nothing ();
    /* The power is cut by a hook, which forgets what was not synced: no disk is asked.
     */
    if (!getenv ("TMPDIR") && access ("/dev/shm", W_OK) == 0)
        setenv ("TMPDIR", "/dev/shm", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_power_cuts),
        cmocka_unit_test (test_each_sync_is_needed),
        cmocka_unit_test (test_unsynced),
        cmocka_unit_test (test_vote),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("wal_power", tests, NULL, NULL);
}
