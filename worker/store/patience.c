/* SPDX-License-Identifier: MPL-2.0 */
/* A disk may hang for minutes in a write, with the lock held. Those who only want to
 * know something, to read, or to place a chunk elsewhere do not wait for it; and it is
 * told how long it has been silent. */
#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/node.h"
#include "worker/store/disk.h"

#define SLOW_AFTER   (5 * SEC)  /* nothing new is given to it: as if read-only */
#define HUNG_AFTER   (30 * SEC) /* it counts as failing, until it answers */
#define LOCK_WAIT    (300 * MS)
#define LOCK_STALLED (2 * MS) /* … when it was in vain the last time */

uint64_t disk_patience (const disk_t *self)
{
    return atomic_load (&self->stalled) ? LOCK_STALLED : LOCK_WAIT;
}

bool disk_try (disk_t *self)
{
    int rc = pthread_mutex_trylock (&self->lock);
    if (rc != 0) {
        uint64_t from = clock_mono ();
        uint64_t at = from + disk_patience (self);
        struct timespec ts = {.tv_sec = (time_t)(at / SEC),
                              .tv_nsec = (long)(at % SEC)};
        rc = pthread_mutex_clocklock (&self->lock, CLOCK_MONOTONIC, &ts);
        uint_fast64_t never = 0;
        if (rc != 0)
            atomic_compare_exchange_strong (&self->stalled, &never, from);
    }
    if (rc == 0)
        atomic_store (&self->stalled, 0);
    return rc == 0;
}

void disk_busy (disk_t *self, int who)
{
    atomic_store (&self->busy[who], clock_mono ());
}

void disk_idle (disk_t *self, int who)
{
    atomic_store (&self->busy[who], 0);
}

uint64_t disk_owes (const disk_t *self)
{
    uint64_t since = atomic_load (&self->stalled);
    for (int i = 0; i < DISK_WAITS; i++) {
        uint64_t at = atomic_load (&self->busy[i]);
        if (at && (!since || at < since))
            since = at;
    }
    uint64_t now = since ? clock_mono () : 0;
    return now > since ? now - since : 0;
}

int disk_answers (const disk_t *self, dfs_error_t *err)
{
    if (disk_owes (self) < SLOW_AFTER)
        return DFS_OK;
    return fail (err, DFS_ETIMEOUT, "disk %s does not answer", self->dir);
}

void disk_tell_slow (const disk_t *self, store_disk_t *out)
{
    uint64_t owed = disk_owes (self);
    if (owed < SLOW_AFTER || !out->usable)
        return;
    if (out->condition < CONDITION_READ_ONLY)
        snprintf (out->trouble, sizeof out->trouble,
                  "slow: a write has not ended for %llu s",
                  (unsigned long long)(owed / SEC));
    int worse = owed < HUNG_AFTER ? CONDITION_READ_ONLY : CONDITION_FAILING;
    if (out->condition < worse)
        out->condition = worse;
}
