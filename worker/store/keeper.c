/* SPDX-License-Identifier: MPL-2.0 */
/* The keeper: one thread per disk for what nobody waits for. Checkpoints of the index,
 * space of copies whose grace is over, compaction. */
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/node.h"
#include "worker/store/disk.h"

#define CHECKPOINT_EVERY SEC
#define PENDING_WORK     16384
#define GRACE            (24 * 3600 * SEC)
#define GRACE_SHORT      (60 * SEC)
#define TRIES            10 /* of a change on a disk that failed */
#define ROOM_SHARE       20 /* of the capacity: with less room it is nearly full … */
#define ROOM_MIN         (128 * MIB)
#define ROOM_MAX_SHARE   4 /* … but a small disk may be filled to three quarters */
#define COMPACT_RATE     (32 * MIB)
#define COMPACT_PERCENT  50 /* volumes of which less is live are compacted */
#define CROWDED_PERCENT  80 /* … when the disk fills up */
#define SCRUB_EVERY      (30ULL * 24 * 3600 * SEC)

/* Waits until there is reason to work; false when the disk closes. */
static bool wait_turn (disk_t *self)
{
    pthread_mutex_lock (&self->lock);
    if (!self->keeper_stop && !self->pass_since &&
        index_pending (self->index) <= PENDING_WORK) {
        uint64_t at = clock_mono () + CHECKPOINT_EVERY;
        struct timespec ts = {.tv_sec = (time_t)(at / SEC),
                              .tv_nsec = (long)(at % SEC)};
        pthread_cond_timedwait (&self->tend, &self->lock, &ts);
    }
    bool go = !self->keeper_stop;
    pthread_mutex_unlock (&self->lock);
    return go;
}

static void checkpoint (disk_t *self)
{
    dfs_error_t err = {0};
    int rc = disk_checkpoint (self, &err);
    if (rc == DFS_ENOSPC && spare_give (self))
        rc = disk_checkpoint (self, &err);
    if (rc == DFS_OK || rc == DFS_ENOSPC)
        return; /* without space: the next one, with more of it, has the entries too */
    pthread_mutex_lock (&self->lock);
    disk_fail (self, rc, err.text);
    pthread_mutex_unlock (&self->lock);
}

/* Bytes that are missing until the disk is not nearly full any more. */
static uint64_t short_of (disk_t *self)
{
    pthread_mutex_lock (&self->lock);
    uint64_t capacity = disk_capacity (self);
    uint64_t room = capacity > self->used ? capacity - self->used : 0;
    pthread_mutex_unlock (&self->lock);
    uint64_t want = capacity / ROOM_SHARE;
    if (want < ROOM_MIN)
        want = ROOM_MIN;
    if (want > capacity / ROOM_MAX_SHARE)
        want = capacity / ROOM_MAX_SHARE;
    return room < want ? want - room : 0;
}

/* Copies in quarantine were condemned for a grace, or others were hashed in their
 * place: that they stay on is a courtesy, which ends where the room is needed. */
static void quarantine (disk_t *self, uint64_t now)
{
    const store_config_t *config = self->config;
    uint64_t grace = config->grace ? config->grace : GRACE;
    uint64_t least = config->grace_short ? config->grace_short : GRACE_SHORT;
    dfs_error_t err = {0};
    int64_t n = disk_reclaim (self, now > grace ? now - grace : 0, UINT64_MAX, &err);
    uint64_t lack = short_of (self);
    if (n >= 0 && lack > 0 && least < grace) {
        n = disk_reclaim (self, now > least ? now - least : 0, lack, &err);
        if (n > 0)
            log_info ("quarantine_cut_short", "disk=%s chunks=%lld", self->dir,
                      (long long)n);
    }
    if (n < 0)
        log_warn ("reclaim_failed", "disk=%s err=\"%s\"", self->dir, err.text);
}

/* Failures here are those of the disk, which the next write meets too; only damage and
 * lack of space are ordinary. */
static void tend (disk_t *self, uint64_t now, uint64_t since, bool scrub)
{
    const store_config_t *config = self->config;
    uint64_t rate = config->compact_rate ? config->compact_rate : COMPACT_RATE;
    dfs_error_t err = {0};
    quarantine (self, now);
    pthread_mutex_lock (&self->lock);
    uint64_t capacity = disk_capacity (self);
    bool crowded = self->used > capacity / 100 * 85;
    pthread_mutex_unlock (&self->lock);
    uint64_t budget = rate / SEC * since + rate % SEC * since / SEC;
    if (disk_compact (self, budget, crowded ? CROWDED_PERCENT : COMPACT_PERCENT,
                      UINT32_MAX, &err) < 0)
        log_warn ("compaction_failed", "disk=%s err=\"%s\"", self->dir, err.text);
    uint64_t scrub_rate = __atomic_load_n (&config->scrub_rate, __ATOMIC_RELAXED);
    if (scrub_rate && scrub) {
        uint64_t every = config->scrub_every ? config->scrub_every : SCRUB_EVERY;
        uint64_t bytes = (uint64_t)((double)scrub_rate * (double)since / 1e9);
        if (disk_scrub (self, bytes, now > every ? now - every : 0, &err) < 0)
            log_warn ("scrub_failed", "disk=%s err=\"%s\"", self->dir, err.text);
    }
}

/* False while the disk takes no writes; then a pass ends, too: what it finds could not
 * be kept. *PASS: one is wanted; *BEGINS: and has not begun. */
static bool look (disk_t *self, bool *pass, bool *begins)
{
    pthread_mutex_lock (&self->lock);
    bool writable = disk_writable (self, NULL) == 0;
    if (!writable)
        self->pass_since = 0;
    *pass = self->pass_since != 0;
    *begins = *pass && self->pass_begins;
    pthread_mutex_unlock (&self->lock);
    return writable;
}

void *keeper_main (void *arg)
{
    disk_t *self = arg;
    uint64_t last = clock_mono ();
    unsigned tries = 0;
    while (wait_turn (self)) {
        bool pass, begins;
        if (!look (self, &pass, &begins)) {
            if (tries++ < TRIES)
                disk_try_change (self);
            nanosleep (&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
            continue;
        }
        if (begins)
            commit_drain (self);
        uint64_t now = clock_mono ();
        if (!pass || begins || now - last >= CHECKPOINT_EVERY)
            checkpoint (self);
        dfs_error_t err = {0};
        if (pass && disk_pass (self, &err) < 0)
            log_warn ("scrub_failed", "disk=%s err=\"%s\"", self->dir, err.text);
        now = clock_mono ();
        if (now - last >= CHECKPOINT_EVERY) {
            tend (self, clock_wall (), now - last < 10 * SEC ? now - last : 10 * SEC,
                  !pass);
            spare_keep (self);
            last = now;
        }
    }
    return NULL;
}
