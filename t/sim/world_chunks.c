/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks that reach fake workers: ingest, refusals, forwarding. */
#include <stdlib.h>

#include "common/dfs_error.h"
#include "t/sim/world_workers.h"

#define BANDWIDTH (200 * MIB) /* bytes a second */

typedef struct arriving {
    grant_t grant;
    size_t chunk;
    uint32_t hop;
    uint64_t session;
    bool on_disk; /* read and hashed; now it is durable */
    uint64_t process;
} arriving_t;

static void store (world_t *self, size_t w, const arriving_t *in)
{
    sim_worker_t *worker = &self->workers[w];

    sim_chunk_t *chunk = &self->chunks[in->chunk];
    uint64_t birth = in->grant.birth;
    core_change_t change;

    if (chunk->stored[w] && chunk->birth[w] > birth)
        birth = chunk->birth[w];
    change = (core_change_t){chunk->stored[w] ? CHANGE_RENEWED : CHANGE_STORED,
                             in->grant.key, birth, in->grant.length, in->grant.upload};
    if (!chunk->stored[w]) {
        worker->used += in->grant.length;
        chunk->disk[w] = (uint8_t)(in->chunk % WORLD_DISKS);
        if (worker->disks[chunk->disk[w]].gone)
            chunk->disk[w] = (uint8_t)((chunk->disk[w] + 1) % WORLD_DISKS);
    }
    chunk->stored[w] = true;
    chunk->rotten[w] = 0;
    chunk->birth[w] = birth;
    world_say_change (self, w, &change);
}

void world_say_change (world_t *self, size_t w, const core_change_t *change)
{
    size_t d = self->chunks[world_chunk (self, &change->key)].disk[w];
    sim_disk_t *disk = &self->workers[w].disks[d];

    if (disk->n_changes == disk->cap_changes) {
        disk->cap_changes = disk->cap_changes ? 2 * disk->cap_changes : 64;
        disk->changes =
            realloc (disk->changes, disk->cap_changes * sizeof *disk->changes);
    }
    disk->changes[disk->n_changes++] = *change;
    worker_changes (self, w, d);
}

static void refuse (world_t *self, size_t w, const arriving_t *in, int code)
{
    said_msg_t *msg = worker_msg (SAID_REFUSED, EVENT_REFUSED, 0);

    msg->event.u.refused.worker = (uint32_t)w + 1;
    msg->event.u.refused.session = in->session;
    msg->event.u.refused.upload = in->grant.upload;
    msg->event.u.refused.key = in->grant.key;
    msg->event.u.refused.code = code;
    worker_say (self, w, msg);
}

static void take (world_t *self, void *arg)
{
    arriving_t *in = arg;
    size_t w = in->grant.targets[in->hop] - 1;
    sim_worker_t *worker = &self->workers[w];
    arriving_t *next;

    if (!worker->up)
        return;
    if (!in->on_disk) {
        CHECK (self, in->grant.key.digest[8] == world_key (in->chunk).digest[8]);
        if (worker->full) {
            refuse (self, w, in, DFS_ENOSPC);
            return;
        }
        if (rng_below (&self->rng, 1000) < self->config.refused) {
            refuse (self, w, in, DFS_EAGAIN);
            return;
        }
        if (rng_below (&self->rng, 1000) < self->config.lost)
            return;
        next = malloc (sizeof *next);
        *next = *in;
        next->on_disk = true;
        next->process = worker->process;
        world_at (self, self->now + worker_disk_time (self, w, DISK), take, next);
        return;
    }
    if (in->process != worker->process)
        return;
    store (self, w, in);
    if (in->hop + 1 < in->grant.n_targets)
        world_deliver (self, self->now, &in->grant, in->chunk, in->hop + 1, 0);
}

void world_deliver (world_t *self, uint64_t when, const grant_t *grant, size_t chunk,
                    uint32_t hop, uint64_t session)
{
    arriving_t *in = calloc (1, sizeof *in);

    in->grant = *grant;
    in->chunk = chunk;
    in->hop = hop;
    in->session = session;
    when += world_delay (self, NET + grant->length * SEC / BANDWIDTH);
    world_at (self, when, take, in);
}
