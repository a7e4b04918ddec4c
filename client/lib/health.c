/* SPDX-License-Identifier: MPL-2.0 */
/* dfs_status: the cluster's health as the broker sees it; dfs_scrub. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/client.h"

#define COPY(to, from) snprintf (to, sizeof to, "%s", (from) ? (from) : "")

static void take_brokers (dfs_status_t *status, const Dfs__ClusterStatusReply *reply)
{
    uint64_t last = 0;

    for (size_t i = 0; i < reply->n_brokers; i++)
        if (reply->brokers[i]->log_index > last)
            last = reply->brokers[i]->log_index;
    status->brokers = calloc (reply->n_brokers + 1, sizeof *status->brokers);
    assert (status->brokers);
    status->n_brokers = reply->n_brokers;
    for (size_t i = 0; i < reply->n_brokers; i++) {
        const Dfs__BrokerStatus *from = reply->brokers[i];
        dfs_broker_info_t *to = &status->brokers[i];
        COPY (to->name, from->name);
        COPY (to->endpoint, from->endpoint);
        COPY (to->role, from->role);
        to->log_index = from->log_index;
        to->applied = from->applied;
        to->memory = from->memory;
        to->lag = last - from->log_index;
        to->heard_ago_ns = from->heard_ago_ns;
        to->term = from->term;
        to->voter = !from->has_voter || from->voter;
    }
}

static void take_workers (dfs_status_t *status, const Dfs__ClusterStatusReply *reply)
{
    status->workers = calloc (reply->n_workers + 1, sizeof *status->workers);
    assert (status->workers);
    status->n_workers = reply->n_workers;
    for (size_t i = 0; i < reply->n_workers; i++) {
        const Dfs__WorkerStatus *from = reply->workers[i];
        dfs_worker_info_t *to = &status->workers[i];
        to->id = from->id;
        COPY (to->name, from->name);
        COPY (to->endpoint, from->endpoint);
        COPY (to->state, from->state);
        COPY (to->condition, from->condition);
        COPY (to->location, from->location);
        to->chunks = from->chunks;
        to->bytes_used = from->bytes_used;
        to->bytes_free = from->bytes_free;
        to->memory = from->memory;
        to->bytes_in = from->bytes_in;
        to->bytes_out = from->bytes_out;
        to->cache_hits = from->cache_hits;
        to->cache_misses = from->cache_misses;
        to->heard_ago_ns = from->heard_ago_ns;
        to->cpu_permille = from->cpu_permille;
        to->disk_permille = from->disk_permille;
        to->streams = from->streams;
        to->drained = from->drained;
        to->scrub_passes = from->scrub_passes;
        to->scrubbed = from->scrubbed;
        to->scrub_damaged = from->scrub_damaged;
        to->bytes_live = from->bytes_live;
        to->flaps = from->flaps;
        to->damped_ns = from->damped_ns;
        to->copies = from->has_copies ? from->copies : from->chunks;
        COPY (to->trouble, from->trouble);
    }
}

static void take_unmet (dfs_status_t *status, const Dfs__ClusterStatusReply *reply)
{
    status->unmet = calloc (reply->n_placement_unmet + 1, sizeof *status->unmet);
    assert (status->unmet);
    for (size_t i = 0; i < reply->n_placement_unmet; i++) {
        const Dfs__UnmetRule *from = reply->placement_unmet[i];
        dfs_unmet_t *to = &status->unmet[status->n_unmet++];
        to->level = from->level;
        to->chunks = from->chunks;
        COPY (to->example, from->example);
    }
}

static int take_status (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    dfs_status_t *status = arg;
    const Dfs__ClusterStatusReply *reply = env->cluster_status_reply;

    if (env->body_case != DFS__ENVELOPE__BODY_CLUSTER_STATUS_REPLY)
        return fail (err, DFS_EPROTO, "broker answered another question");
    COPY (status->cluster, reply->cluster);
    COPY (status->health, reply->health);
    COPY (status->security, reply->security);
    snprintf (status->epoch, sizeof status->epoch, "%" PRIu32 ".%" PRIu64,
              reply->epoch->incarnation, reply->epoch->term);
    take_brokers (status, reply);
    take_workers (status, reply);
    status->notes = calloc (reply->n_notes + 1, sizeof *status->notes);
    assert (status->notes);
    for (size_t i = 0; i < reply->n_notes; i++) {
        status->notes[i] = strdup (reply->notes[i]);
        assert (status->notes[i]);
        status->n_notes++;
    }
    status->files_lost = reply->files_lost;
    status->files_lost_known = reply->files_lost_known;
    status->lost_files = calloc (reply->n_lost_paths + 1, sizeof *status->lost_files);
    assert (status->lost_files);
    for (size_t i = 0; i < reply->n_lost_paths; i++) {
        const ProtobufCBinaryData *path = &reply->lost_paths[i];
        status->lost_files[i] = strndup ((const char *)path->data, path->len);
        assert (status->lost_files[i]);
        status->n_lost_files++;
    }
    take_unmet (status, reply);
    status->files = reply->files;
    status->directories = reply->directories;
    status->chunks = reply->chunks;
    status->bytes_logical = reply->bytes_logical;
    status->bytes_unique = reply->bytes_unique;
    status->bytes_stored = reply->bytes_stored;
    status->chunks_under_replicated = reply->chunks_under_replicated;
    status->chunks_lost = reply->chunks_lost;
    status->chunks_surplus = reply->chunks_surplus;
    status->chunks_moving = reply->chunks_moving;
    status->repair_queued = reply->repair_queued;
    status->repair_active = reply->repair_active;
    status->repair_waiting = reply->repair_waiting;
    status->repair_no_worker = reply->repair_no_worker;
    status->repair_no_room = reply->repair_no_room;
    status->repair_bytes_per_second = reply->repair_bytes_per_second;
    status->repair_eta_seconds = reply->repair_eta_seconds;
    status->repair_eta_known = reply->has_repair_eta_seconds;
    status->repair_held_ns = reply->repair_held_ns;
    status->reads = reply->reads;
    status->reads_hedged = reply->reads_hedged;
    status->reads_stolen = reply->reads_stolen;
    status->reclaim_held = reply->reclaim_held;
    status->reclaim_waits = reply->reclaim_waits;
    if (reply->reclaim_why)
        COPY (status->reclaim_why, reply->reclaim_why);
    status->chunks_free = reply->chunks_free;
    status->chunks_condemned = reply->chunks_condemned;
    status->chunks_reclaimed = reply->chunks_reclaimed;
    status->bytes_reclaimed = reply->bytes_reclaimed;
    status->copies_dropping = reply->copies_dropping;
    status->copies_trimmed = reply->copies_trimmed;
    status->rebalancing = reply->rebalancing;
    status->rebalance_moved = reply->rebalance_moved;
    status->fill_mean = reply->fill_mean;
    status->fill_farthest = reply->fill_farthest;
    status->rebalance_end = reply->rebalance_end;
    status->rebalance_ended_ago_ns = reply->rebalance_ended_ago_ns;
    status->rebalance_looks = reply->rebalance_looks;
    if (reply->fill_farthest_worker)
        COPY (status->fill_farthest_worker, reply->fill_farthest_worker);
    status->uptime_ns = reply->uptime_ns;
    status->sessions = reply->sessions;
    status->inline_bytes = reply->inline_bytes;
    if (reply->policy) {
        status->replicas = reply->policy->replicas;
        status->min_replicas = reply->policy->min_replicas;
        status->chunk_size = reply->policy->chunk_size;
    }
    return 0;
}

int dfs_status (dfs_t *dfs, dfs_status_t *status, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__ClusterStatus body = DFS__CLUSTER_STATUS__INIT;
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    memset (status, 0, sizeof *status);
    body.has_detail = true;
    body.detail = true;
    env.body_case = DFS__ENVELOPE__BODY_CLUSTER_STATUS;
    env.cluster_status = &body;
    rc = client_ask (dfs, &env, 0, take_status, status, err);
    client_leave (dfs);
    return rc;
}

void dfs_status_clear (dfs_status_t *status)
{
    if (!status)
        return;
    for (size_t i = 0; i < status->n_notes; i++)
        free (status->notes[i]);
    free (status->notes);
    for (size_t i = 0; i < status->n_lost_files; i++)
        free (status->lost_files[i]);
    free (status->lost_files);
    free (status->unmet);
    free (status->brokers);
    free (status->workers);
    memset (status, 0, sizeof *status);
}

/* --- scrub --- */

static int take_scrub (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    if (env->body_case != DFS__ENVELOPE__BODY_SCRUB_REPLY)
        return fail (err, DFS_EPROTO, "broker answered another question");
    *(unsigned *)arg = (unsigned)env->scrub_reply->n_workers;
    return 0;
}

int dfs_scrub (dfs_t *dfs, const char *worker, unsigned *workers, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Scrub body = DFS__SCRUB__INIT;
    unsigned told = 0;
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    body.worker = (char *)(uintptr_t)worker;
    env.body_case = DFS__ENVELOPE__BODY_SCRUB;
    env.scrub = &body;
    rc = client_ask (dfs, &env, 0, take_scrub, &told, err);
    client_leave (dfs);
    if (workers)
        *workers = told;
    return rc;
}
