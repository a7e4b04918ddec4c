/* SPDX-License-Identifier: MPL-2.0 */
/* What status shows of the core. */
#include <string.h>

#include "broker/core/balance.h"
#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/drops.h"
#include "broker/core/grants.h"
#include "broker/core/members.h"
#include "broker/core/place.h"
#include "broker/core/policies.h"
#include "broker/core/reclaim.h"
#include "broker/core/route.h"
#include "broker/core/scan.h"
#include "broker/core/steal.h"
#include "broker/core/trim.h"

/* A death counts that long at least: what it took is not known at once. */
#define DEATH_COUNTS (1500 * MS)

const char *core_health_name (int health)
{
    switch (health) {
    case HEALTH_OK:
        return "ok";
    case HEALTH_DEGRADED:
        return "degraded";
    default:
        return "critical";
    }
}

/* WORKER is not as it should be. A death is made good by repair: then it is none. */
static bool ails (const core_t *core, const worker_t *worker)
{
    if (worker->state == WORKER_DEAD)
        return core->now < worker->since + DEATH_COUNTS;
    return !worker_live (worker) || worker->condition != CONDITION_OK ||
           worker->beat.trouble[0] || worker_behind (core, worker);
}

static bool drained (const core_t *core, const worker_t *worker)
{
    return worker->member.draining && worker->looked_through && scan_idle (core) &&
           copier_moves (core) == 0;
}

int core_may_remove (const core_t *core, uint32_t id)
{
    const worker_t *worker = members_find (core, id);
    core_status_t status;

    if (!worker)
        return DFS_ENOENT;
    core_status (core, &status);
    if (status.under_replicated > 0 || status.lost > 0 || !scan_idle (core))
        return DFS_EINUSE;
    if (worker->state == WORKER_DEAD || drained (core, worker))
        return DFS_OK;
    return DFS_EINUSE;
}

void core_status (const core_t *core, core_status_t *out)
{
    const core_policy_t *policy = policies_find (core, POLICY_DEFAULT);
    size_t n, takers, usable = 0;
    worker_t *const *all = members_all (core, &n);

    memset (out, 0, sizeof *out);
    out->sessions = sessions_count (core);
    uploads_count (core, &out->uploads, &out->pins);
    out->parked = place_parked (core);
    out->grants = grants_count (core);
    out->directory_version = members_directory (core);
    members_placeable (core, &takers);
    out->takers = takers;
    copier_status (core, out);
    scan_status (core, out);
    reclaim_status (core, out);
    balance_status (core, out);
    out->trim_queued = trim_count (core);
    out->memory_chunks = chunks_count (core);
    out->memory_timers = timer_heap_size (core->timers);
    out->memory_drops = drops_count (core);
    out->trimmed = trim_done (core);
    out->knows = scan_known (core);
    route_status (core, out);
    steal_status (core, out);
    out->health = HEALTH_OK;
    for (size_t i = 0; i < n; i++) {
        usable += all[i]->state == WORKER_UP;
        if (ails (core, all[i]))
            out->health = HEALTH_DEGRADED;
    }
    if (out->under_replicated > 0 || (policy && usable < policy->replicas) ||
        (core->leader && members_in_state (core, WORKER_DEAD) > 0 && !scan_idle (core)))
        out->health = HEALTH_DEGRADED;
    if (out->lost > 0)
        out->health = HEALTH_CRITICAL;
}

size_t core_workers (const core_t *core, core_worker_status_t *out, size_t max)
{
    size_t n;
    worker_t *const *all = members_all (core, &n);

    if (n > max)
        n = max;
    for (size_t i = 0; i < n; i++) {
        const worker_t *worker = all[i];
        const core_member_t *member = &worker->member;
        core_worker_status_t *to = &out[i];

        memset (to, 0, sizeof *to);
        to->id = member->id;
        memcpy (to->name, member->name, sizeof to->name);
        memcpy (to->host, member->host, sizeof to->host);
        memcpy (to->location, member->location, sizeof to->location);
        to->port = member->port;
        to->state = worker->state;
        to->condition = worker->condition;
        to->capacity = worker->beat.capacity;
        to->used = worker->beat.used;
        to->chunks = worker->beat.chunks;
        to->cpu_permille = worker->beat.cpu_permille;
        to->disk_permille = worker->beat.disk_permille;
        to->memory = worker->beat.memory;
        to->bytes_in = worker->beat.bytes_in;
        to->bytes_out = worker->beat.bytes_out;
        to->cache_hits = worker->beat.cache_hits;
        to->cache_misses = worker->beat.cache_misses;
        to->streams = worker->beat.streams;
        to->scrub_passes = worker->beat.scrub_passes;
        to->scrubbed = worker->beat.scrubbed;
        to->scrub_damaged = worker->beat.scrub_damaged;
        memcpy (to->trouble, worker->beat.trouble, sizeof to->trouble);
        to->heard = worker->heard;
        to->caught_up = worker_caught_up (worker);
        to->behind = worker_behind (core, worker);
        to->granted = worker->granted;
        to->flaps = worker->flaps;
        if (worker_live (worker) && worker->damped_until > core->now)
            to->damped_ns = worker->damped_until - core->now;
        to->drained = drained (core, worker);
    }
    return n;
}

int core_worker_state (const core_t *core, uint32_t id, const char **name)
{
    const worker_t *worker = members_find (core, id);

    if (name)
        *name = worker ? worker->member.name : NULL;
    return worker ? worker->state : WORKER_REMOVED;
}

uint64_t core_worker_leaving (const core_t *core, uint32_t id)
{
    const worker_t *worker = members_find (core, id);

    return worker ? worker->leaving : 0;
}
