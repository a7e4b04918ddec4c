/* SPDX-License-Identifier: MPL-2.0 */
/* ClusterStatus: what the core, the tables and the journal know, in one message. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/links/links_private.h"

#define STATUS_WORKERS 4096

void front_status (links_t *self, conn_t *conn, job_t *job)
{
    mail_totals_t last = {.job = job}, *mail;

    (void)conn;
    job->refs++;
    self->n_asked++;
    if (self->stall.hangs) {
        stall_recall (self, &last);
        front_totals (self, &last);
        return;
    }
    mail = mail_new (MAIL_TOTALS, sizeof *mail);
    mail->job = job;
    storage_push (self->storage, &mail->head);
}

/* Resident bytes of this process. */
static uint64_t own_memory (void)
{
    unsigned long long total, resident = 0;
    FILE *f = fopen ("/proc/self/statm", "r");

    if (!f)
        return 0;
    if (fscanf (f, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose (f);
    return resident * (uint64_t)sysconf (_SC_PAGESIZE);
}

static char *endpoint (links_t *self, const char *host, uint32_t port)
{
    char text[CORE_HOST_MAX + 16];

    snprintf (text, sizeof text, "%s:%u", host, port);
    return links_text (self, text);
}

static Dfs__WorkerStatus *one_worker (links_t *self, const core_worker_status_t *w)
{
    Dfs__WorkerStatus *out = links_need (self, sizeof *out);

    dfs__worker_status__init (out);
    out->name = links_text (self, w->name);
    out->endpoint = endpoint (self, w->host, w->port);
    out->state = links_text (self, worker_state_name (w->state));
    out->condition = links_text (self, worker_condition_name (w->condition));
    out->location = links_text (self, w->location);
    out->chunks = w->chunks;
    out->bytes_used = w->used;
    out->bytes_free = w->capacity > w->used ? w->capacity - w->used : 0;
    out->has_id = out->has_cpu_permille = out->has_memory = out->has_disk_permille =
        true;
    out->has_bytes_in = out->has_bytes_out = true;
    out->has_cache_hits = out->has_cache_misses = out->has_streams = true;
    out->id = w->id;
    out->cpu_permille = w->cpu_permille;
    out->memory = w->memory;
    out->disk_permille = w->disk_permille;
    out->bytes_in = w->bytes_in;
    out->bytes_out = w->bytes_out;
    out->cache_hits = w->cache_hits;
    out->cache_misses = w->cache_misses;
    out->streams = w->streams;
    out->has_drained = true;
    out->drained = w->drained;
    out->has_behind = out->behind = w->behind;
    out->has_scrub_passes = out->has_scrubbed = out->has_scrub_damaged = true;
    out->scrub_passes = w->scrub_passes;
    out->scrubbed = w->scrubbed;
    out->scrub_damaged = w->scrub_damaged;
    out->has_flaps = out->has_damped_ns = true;
    out->flaps = w->flaps;
    out->damped_ns = w->damped_ns;
    if (w->trouble[0])
        out->trouble = links_text (self, w->trouble);
    out->has_heard_ago_ns = w->heard > 0;
    out->heard_ago_ns = self->now > w->heard ? self->now - w->heard : 0;
    return out;
}

/* Of copies that it told of, up to what the last of them said. While the tables do not
 * answer nothing is known. */
static void put_held (const mail_totals_t *mail, Dfs__WorkerStatus *w)
{
    w->has_bytes_live = true;
    w->has_copies = mail->disks != NULL;
    for (size_t k = 0; k < mail->n_disks; k++)
        if (mail->disks[k].worker == w->id) {
            w->bytes_live += mail->disks[k].bytes;
            w->copies += mail->disks[k].copies;
        }
}

static void put_workers (links_t *self, const mail_totals_t *mail,
                         Dfs__ClusterStatusReply *out)
{
    core_worker_status_t *list = calloc (STATUS_WORKERS, sizeof *list);

    if (!list)
        abort ();
    size_t n = core_workers (self->core, list, STATUS_WORKERS);
    out->workers = links_need (self, n * sizeof *out->workers);
    for (size_t i = 0; i < n; i++) {
        Dfs__WorkerStatus *w = one_worker (self, &list[i]);

        out->workers[out->n_workers++] = w;
        put_held (mail, w);
        if (list[i].state != WORKER_DEAD)
            out->bytes_stored += list[i].used;
    }
    out->has_bytes_stored = true;
    free (list);
}

/* Rules of failure domains that are not met, with a domain of that level. */
static void put_unmet (links_t *self, const core_status_t *core,
                       Dfs__ClusterStatusReply *out)
{
    out->placement_unmet =
        links_need (self, CORE_DOMAIN_LEVELS * sizeof *out->placement_unmet);
    for (size_t level = 0; level < CORE_DOMAIN_LEVELS; level++) {
        const char *at = out->n_workers > 0 ? out->workers[0]->location : "";
        char text[CORE_LOCATION_MAX];
        Dfs__UnmetRule *rule;
        size_t len = 0;

        if (core->crowded[level] == 0)
            continue;
        for (size_t k = 0; k <= level && at[len]; k++)
            len += strcspn (at + len + (k > 0), "/") + (k > 0);
        snprintf (text, sizeof text, "%.*s", (int)len, at);
        rule = links_need (self, sizeof *rule);
        dfs__unmet_rule__init (rule);
        rule->level = (uint32_t)level + 1;
        rule->chunks = core->crowded[level];
        rule->example = links_text (self, text);
        out->placement_unmet[out->n_placement_unmet++] = rule;
    }
}

static void put_core (const core_status_t *core, Dfs__ClusterStatusReply *out)
{
    out->has_chunks_under_replicated = out->has_chunks_lost = true;
    out->has_chunks_surplus = true;
    out->has_repair_queued = out->has_repair_active = true;
    out->has_repair_bytes_per_second = out->has_repair_held_ns = true;
    out->has_repair_eta_seconds = core->repair_eta_seconds != CORE_ETA_UNKNOWN;
    out->has_sessions = true;
    out->chunks_under_replicated = core->under_replicated;
    out->chunks_lost = core->lost;
    out->chunks_surplus = core->surplus;
    out->has_chunks_moving = true;
    out->chunks_moving = core->moves;
    out->repair_queued = core->repair_queued;
    out->repair_active = core->repair_active;
    out->has_repair_waiting = out->has_repair_no_worker = out->has_repair_no_room =
        true;
    out->repair_waiting = core->repair_waiting;
    out->repair_no_room = core->waiting_room;
    out->repair_no_worker = core->waiting_moves;
    for (size_t i = 0; i <= CORE_COPIES; i++)
        out->repair_no_worker += core->waiting_few[i];
    out->repair_bytes_per_second = core->repair_bytes_per_second;
    if (out->has_repair_eta_seconds)
        out->repair_eta_seconds = core->repair_eta_seconds;
    out->repair_held_ns = core->repair_held_ns;
    out->sessions = core->sessions;
    out->has_reads = out->has_reads_hedged = out->has_reads_stolen = true;
    out->reads = core->reads;
    out->reads_hedged = core->reads_hedged;
    out->reads_stolen = core->reads_stolen;
}

static void put_totals (const namespace_totals_t *t, Dfs__ClusterStatusReply *out)
{
    out->has_files = out->has_directories = out->has_chunks = true;
    out->has_bytes_logical = out->has_bytes_unique = out->has_inline_bytes = true;
    out->files = t->files;
    out->directories = t->directories;
    out->chunks = t->chunks;
    out->bytes_logical = t->bytes_logical;
    out->bytes_unique = t->bytes_unique;
    out->inline_bytes = t->inline_bytes;
}

static void put_reclaim (links_t *self, const core_status_t *core,
                         const mail_totals_t *mail, Dfs__ClusterStatusReply *out)
{
    out->has_reclaim_held = out->has_reclaim_waits = out->has_chunks_free = true;
    out->has_chunks_condemned = out->has_copies_dropping = true;
    out->has_copies_trimmed = out->has_rebalancing = out->has_rebalance_moved = true;
    out->has_fill_mean = out->has_fill_farthest = true;
    out->reclaim_held = mail->hold.held;
    if (mail->hold.held)
        out->reclaim_why = links_text (self, mail->hold.why);
    out->reclaim_waits = core->reclaim_waits;
    out->chunks_free = mail->totals.free;
    out->chunks_condemned = mail->totals.condemned;
    out->has_chunks_reclaimed = out->has_bytes_reclaimed = true;
    out->chunks_reclaimed = mail->totals.reclaimed;
    out->bytes_reclaimed = mail->totals.reclaimed_bytes;
    out->copies_dropping = mail->totals.drops;
    out->copies_trimmed = core->trimmed;
    out->rebalancing = core->rebalancing;
    out->rebalance_moved = core->rebalance_moved;
    out->fill_mean = (uint32_t)core->fill_mean;
    out->fill_farthest = (uint32_t)core->fill_farthest;
    out->has_rebalance_end = out->has_rebalance_looks = true;
    out->rebalance_end = core->rebalance_even ? 1 : core->rebalance_stuck ? 2 : 0;
    out->has_rebalance_ended_ago_ns = out->rebalance_end > 0;
    out->rebalance_ended_ago_ns = core->rebalance_ended_ns;
    out->rebalance_looks = core->rebalance_looks;
    out->fill_farthest_worker = links_text (self, "");
    for (size_t i = 0; i < out->n_workers; i++)
        if (out->workers[i]->id == core->fill_farthest_worker)
            out->fill_farthest_worker = out->workers[i]->name;
}

void front_totals (links_t *self, mail_totals_t *mail)
{
    Dfs__ClusterStatusReply *out;
    core_status_t core;
    job_t *job = mail->job;

    self->n_asked--;
    if (job->env->body_case == DFS__ENVELOPE__BODY_ADMIN) {
        front_reclaim_totals (self, mail);
        return;
    }
    stall_remember (self, mail);

    arena_reset (self->scratch);
    core_status (self->core, &core);
    out = links_need (self, sizeof *out);
    dfs__cluster_status_reply__init (out);
    out->cluster = links_text (self, self->config.cluster->name);
    out->health = links_text (self, core_health_name (core.health));
    out->epoch = links_need (self, sizeof *out->epoch);
    dfs__epoch__init (out->epoch);
    out->epoch->incarnation = self->incarnation;
    out->epoch->term = self->term;
    brokers_put (self, mail, own_memory (), out);
    put_workers (self, mail, out);
    put_core (&core, out);
    put_unmet (self, &core, out);
    put_totals (&mail->totals, out);
    put_reclaim (self, &core, mail, out);
    lost_put (self, out);
    status_notes (self, &core, out);
    out->has_uptime_ns = true;
    out->uptime_ns = self->now - self->started;
    out->policy = roster_policy (self->roster);
    out->security = links_text (self, self->config.cluster->secure ? "curve" : "none");
    job->answer.body_case = DFS__ENVELOPE__BODY_CLUSTER_STATUS_REPLY;
    job->answer.cluster_status_reply = out;
    front_reply (self, job);
    links_release (self, job);
    mail->job = NULL;
}
