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

/* Waits until there is reason to work; false when the disk closes. */
static bool wait_turn (disk_t *self)
{
    pthread_mutex_lock (&self->lock);
    if (!self->keeper_stop && index_pending (self->index) <= PENDING_WORK) {
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
    if (rc == DFS_OK || rc == DFS_ENOSPC)
        return; /* without space: the next one, with more of it, has the entries too */
    pthread_mutex_lock (&self->lock);
    disk_fail (self, rc, err.text);
    pthread_mutex_unlock (&self->lock);
}

void *keeper_main (void *arg)
{
    disk_t *self = arg;
    while (wait_turn (self)) {
        pthread_mutex_lock (&self->lock);
        bool writable = disk_writable (self, NULL) == 0;
        pthread_mutex_unlock (&self->lock);
        if (!writable) {
            nanosleep (&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
            continue;
        }
        checkpoint (self);
    }
    return NULL;
}
