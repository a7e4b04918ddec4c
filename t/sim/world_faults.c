/* SPDX-License-Identifier: MPL-2.0 */
/* What befalls fake workers: deaths and returns, disks that go, are slow or full. */
#include "t/sim/world_workers.h"

void world_down (world_t *self, size_t w, enum world_down how)
{
    sim_worker_t *worker = &self->workers[w];

    if (!worker->up)
        return;
    worker->up = false;
    worker->frozen = how == DOWN_FROZEN;
    worker->killed = how == DOWN_KILLED;
    if (how == DOWN_KILLED) {
        said_msg_t *msg = worker_msg (SAID_CLOSED, EVENT_WORKER_CLOSED, 0);

        msg->event.u.worker.id = (uint32_t)w + 1;
        msg->event.u.worker.conn = worker->conn;
        worker_say (self, w, msg);
    }
}

/* What was on a disk is not there any more. */
static void empty_disk (world_t *self, size_t w, size_t d)
{
    sim_disk_t *disk = &self->workers[w].disks[d];

    for (size_t i = 0; i < self->n_chunks; i++) {
        sim_chunk_t *chunk = &self->chunks[i];

        if (!chunk->stored[w] || chunk->disk[w] != d)
            continue;
        chunk->stored[w] = false;
        chunk->rotten[w] = 0;
        chunk->robbed++;
        chunk->robbed_at = self->now;
        self->workers[w].used -= chunk->length;
    }
    disk->incarnation++;
    disk->n_changes = disk->first = disk->sent = disk->acked = 0;
    disk->listing = false;
}

void world_up (world_t *self, size_t w, enum world_back how)
{
    sim_worker_t *worker = &self->workers[w];

    if (worker->up)
        return;
    for (size_t d = 0; d < WORLD_DISKS; d++) {
        if (how == BACK_TRIMMED)
            worker->disks[d].first = worker->disks[d].n_changes;
        if (how == BACK_EMPTY) {
            empty_disk (self, w, d);
            worker->disks[d].gone = false;
        }
    }
    worker_begin (self, w);
}

void world_lose_disk (world_t *self, size_t w, size_t d, bool replaced)
{
    sim_worker_t *worker = &self->workers[w];
    size_t left = 0;

    for (size_t k = 0; k < WORLD_DISKS; k++)
        left += k != d && !worker->disks[k].gone;
    if (!worker->up || left == 0)
        return;
    self->stats.disks_lost++;
    empty_disk (self, w, d);
    worker->disks[d].gone = !replaced;
    /* Its process may go on, or start anew. */
    if (rng_below (&self->rng, 2)) {
        world_down (self, w, DOWN_KILLED);
        worker_begin (self, w);
    } else {
        worker_hello (self, w);
    }
}

void world_slow (world_t *self, size_t w, uint32_t times)
{
    self->workers[w].slow = times;
}

uint64_t worker_disk_time (world_t *self, size_t w, uint64_t mean)
{
    uint32_t slow = self->workers[w].slow;

    return world_delay (self, mean * (slow ? slow : 1));
}

void world_cut_rack (world_t *self, size_t rack, bool cut)
{
    for (size_t w = 0; w < self->config.workers; w++)
        if (self->config.racks > 0 && w % self->config.racks == rack) {
            if (cut)
                world_down (self, w, DOWN_CUT_OFF);
            else
                world_up (self, w, BACK_WHOLE);
        }
}

void world_full (world_t *self, size_t w, bool full)
{
    self->workers[w].full = full;
}
