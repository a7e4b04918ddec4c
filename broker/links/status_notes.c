/* SPDX-License-Identifier: MPL-2.0 */
/* What status says in words: what ails, what is under way, and why. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "common/units.h"

#define STATUS_NOTES 64
#define EVEN_SHOWN   600 /* s that the end of a rebalance is news */

static void note (links_t *self, Dfs__ClusterStatusReply *out, const char *text)
{
    if (out->n_notes < STATUS_NOTES)
        out->notes[out->n_notes++] = links_text (self, text);
}

static void note_workers (links_t *self, const core_status_t *core,
                          Dfs__ClusterStatusReply *out)
{
    char text[256];

    for (size_t i = 0; i < out->n_workers; i++) {
        const Dfs__WorkerStatus *w = out->workers[i];

        if (w->damped_ns > 0) {
            snprintf (text, sizeof text,
                      "%s came and went %u times: it gets nothing new for %" PRIu64
                      " s",
                      w->name, w->flaps, (uint64_t)(w->damped_ns / SEC + 1));
            note (self, out, text);
        }
        if (w->drained)
            snprintf (text, sizeof text, "%s is drained and may be removed", w->name);
        else if (strcmp (w->state, "draining") == 0)
            snprintf (text, sizeof text,
                      "%s is being drained; chunks to move, as far as looked through: "
                      "%" PRIu64,
                      w->name, core_worker_leaving (self->core, w->id));
        else if (strcmp (w->state, "dead") == 0)
            snprintf (text, sizeof text, "%s is dead; %s", w->name,
                      core->lost > 0               ? "some chunks have no live copy"
                      : core->under_replicated > 0 ? "what it held is being copied"
                      : core->health == HEALTH_OK  ? "all it held has copies elsewhere"
                                                   : "what it held is looked through");
        else if (w->behind)
            snprintf (text, sizeof text,
                      "%s does not tell what it stores: its copies are not counted on",
                      w->name);
        else
            continue;
        note (self, out, text);
    }
}

static const char *plural (uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* Why chunks stay short of copies, or where they are. */
static void note_waiting (links_t *self, const core_status_t *core,
                          Dfs__ClusterStatusReply *out)
{
    char text[200];

    for (size_t copies = 1; copies <= CORE_COPIES; copies++) {
        uint64_t n = core->waiting_few[copies];

        if (n == 0)
            continue;
        snprintf (text, sizeof text,
                  "rule not met: %zu copies for %" PRIu64 " chunk%s: only %" PRIu64
                  " worker%s take%s new ones",
                  copies, n, plural (n), core->takers, plural (core->takers),
                  core->takers == 1 ? "s" : "");
        note (self, out, text);
    }
    if (core->waiting_moves > 0) {
        snprintf (text, sizeof text,
                  "%" PRIu64 " chunk%s cannot be moved: no other worker takes new ones",
                  core->waiting_moves, plural (core->waiting_moves));
        note (self, out, text);
    }
    if (core->waiting_room > 0) {
        snprintf (text, sizeof text,
                  "%" PRIu64 " chunk%s wait%s for room: no worker that may have them "
                  "has enough",
                  core->waiting_room, plural (core->waiting_room),
                  core->waiting_room == 1 ? "s" : "");
        note (self, out, text);
    }
}

static void note_domains (links_t *self, Dfs__ClusterStatusReply *out)
{
    char text[CORE_LOCATION_MAX + 160];

    for (size_t i = 0; i < out->n_placement_unmet; i++) {
        const Dfs__UnmetRule *rule = out->placement_unmet[i];

        snprintf (text, sizeof text,
                  "rule not met: copies in different domains of level %u (such as "
                  "%s) for %" PRIu64 " chunk%s",
                  rule->level, rule->example, rule->chunks, plural (rule->chunks));
        note (self, out, text);
    }
}

static void note_hold (links_t *self, const core_status_t *core,
                       Dfs__ClusterStatusReply *out)
{
    char left[32], text[160];

    snprintf (text, sizeof text,
              "repair is held for another %s: too many workers vanished at once "
              "('admin repair resume' ends it)",
              units_format_duration (left, sizeof left,
                                     (core->repair_held_ns / SEC + 1) * SEC));
    note (self, out, text);
}

/* What lies in the namespace has as many copies as there are voters, whatever its
 * policy became since. */
static void note_inline (links_t *self, Dfs__ClusterStatusReply *out)
{
    uint32_t replicas = roster_replicas (self->roster, 0);
    char text[160];

    if (out->inline_bytes == 0 || self->voters == 0 || self->voters >= replicas)
        return;
    snprintf (
        text, sizeof text,
        "small files in the namespace have a copy on each of %u broker%s, replicas "
        "= %u: who writes them again has them on workers",
        self->voters, self->voters == 1 ? "" : "s", replicas);
    note (self, out, text);
}

static void note_balance (links_t *self, const core_status_t *core,
                          Dfs__ClusterStatusReply *out)
{
    char text[CORE_NAME_MAX + 200];
    uint64_t ago = core->rebalance_ended_ns / SEC;

    if (core->rebalancing && core->rebalance_moves > 0)
        snprintf (text, sizeof text,
                  "workers are evened out: %" PRIu64 " chunks moved, the farthest (%s) "
                  "is %u.%u points from the mean",
                  core->rebalance_moved, out->fill_farthest_worker,
                  (unsigned)core->fill_farthest / 10,
                  (unsigned)core->fill_farthest % 10);
    else if (core->rebalance_stuck)
        snprintf (text, sizeof text,
                  "workers are as even as domains and chunks allow (since %" PRIu64
                  " s): the farthest (%s) is %u.%u points from the mean of %u.%u %%",
                  ago, out->fill_farthest_worker, (unsigned)core->fill_farthest / 10,
                  (unsigned)core->fill_farthest % 10, (unsigned)core->fill_mean / 10,
                  (unsigned)core->fill_mean % 10);
    else if (core->rebalance_even && ago < EVEN_SHOWN)
        snprintf (text, sizeof text,
                  "workers were evened out %" PRIu64 " s ago: %" PRIu64
                  " chunks moved, each is within %u.%u points of the mean",
                  ago, core->rebalance_moved, (unsigned)core->fill_farthest / 10,
                  (unsigned)core->fill_farthest % 10);
    else
        return;
    note (self, out, text);
}

void status_notes (links_t *self, const core_status_t *core,
                   Dfs__ClusterStatusReply *out)
{
    size_t usable = 0;
    char text[256];

    out->notes = links_need (self, STATUS_NOTES * sizeof *out->notes);
    if (!brokers_note (self, out, STATUS_NOTES) && core->health == HEALTH_OK)
        out->health = links_text (self, core_health_name (HEALTH_DEGRADED));
    if (stall_note (self, text, sizeof text))
        note (self, out, text);
    if (agree_clock (self, text, sizeof text)) {
        note (self, out, text);
        out->health = links_text (self, core_health_name (HEALTH_DEGRADED));
    }
    if (self->time.off) {
        snprintf (text, sizeof text,
                  "the clock of broker %s has jumped by %lld s: nothing is pruned or "
                  "expired until it is back, or the broker is restarted",
                  self->config.broker->name,
                  (long long)self->time.off / (long long)SEC);
        note (self, out, text);
    }
    if (links_leads (self) && !core->knows)
        note (
            self, out,
            "not every worker has told yet what it holds: nothing is repaired before");
    if (self->config.cluster->memory_durability)
        note (self, out, "durability = memory: acknowledged does not mean on disk");
    for (size_t i = 0; i < out->n_workers; i++)
        usable += strcmp (out->workers[i]->state, "up") == 0 ||
                  strcmp (out->workers[i]->state, "suspect") == 0;
    if (usable < roster_replicas (self->roster, 0)) {
        snprintf (text, sizeof text, "%zu workers are up, replicas = %u", usable,
                  roster_replicas (self->roster, 0));
        note (self, out, text);
    }
    for (size_t i = 0; i < out->n_workers; i++) {
        const Dfs__WorkerStatus *w = out->workers[i];
        char line[2 * CORE_NAME_MAX + CORE_TROUBLE_MAX];

        if (w->trouble) {
            snprintf (line, sizeof line, "%s: %s", w->name, w->trouble);
            note (self, out, line);
        }
        if (w->scrub_passes) {
            snprintf (line, sizeof line, "%s: a scrub pass is under way", w->name);
            note (self, out, line);
        }
    }
    note_inline (self, out);
    if (core->repair_held)
        note_hold (self, core, out);
    note_waiting (self, core, out);
    note_domains (self, out);
    if (core->surplus > 0) {
        snprintf (
            text, sizeof text,
            "%" PRIu64
            " chunks have more copies than asked for; one of each goes when the others "
            "have been hashed",
            core->surplus);
        note (self, out, text);
    }
    if (out->reclaim_held) {
        char line[256];

        snprintf (line, sizeof line,
                  "reclaim is held: %s ('admin reclaim resume' ends it)",
                  out->reclaim_why);
        note (self, out, line);
    }
    note_balance (self, core, out);
    note_workers (self, core, out);
}
