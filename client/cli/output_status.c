/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "output.h"
#include "table.h"
#include "tool.h"

void out_brokers (const dfs_status_t *s)
{
    table_t *table = table_new ("llllrrrrr", stdout);
    table_row (table, "BROKER", "ROLE", "VOTE", "ENDPOINT", "LOG", "LAG", "APPLIED",
               "MEMORY", "HEARD", NULL);
    for (size_t i = 0; i < s->n_brokers; i++) {
        const dfs_broker_info_t *b = &s->brokers[i];
        char text[32];
        table_row (table, b->name, b->role, b->voter ? "yes" : "no", b->endpoint, NULL);
        table_add (table, "%" PRIu64, b->log_index);
        table_add (table, "%" PRIu64, b->lag);
        table_add (table, "%" PRIu64, b->applied);
        table_add (table, "%s",
                   b->memory ? units_format_size (text, sizeof text, b->memory) : "-");
        table_add (table, "%s",
                   b->heard_ago_ns
                       ? units_format_duration (text, sizeof text, b->heard_ago_ns)
                       : "-");
    }
    table_destroy (&table);
}

uint64_t out_held (const dfs_worker_info_t *w)
{
    return w->bytes_used > w->bytes_live ? w->bytes_used - w->bytes_live : 0;
}

static void workers_text (const dfs_status_t *s)
{
    table_t *table = table_new ("llldmrrrrrr", stdout);
    table_row (table, "WORKER", "STATE", "DISK", "ENDPOINT", "LOCATION", "CHUNKS",
               "USED", "HELD", "FREE", "CPU", "HEARD", NULL);
    for (size_t i = 0; i < s->n_workers; i++) {
        const dfs_worker_info_t *w = &s->workers[i];
        char used[32], held[32], left[32], heard[32];
        bool dead = strcmp (w->state, "dead") == 0; /* what it was is not what it is */
        table_row (table, w->name, w->state, w->condition, w->endpoint, w->location,
                   NULL);
        table_add (table, "%" PRIu64, w->chunks);
        table_add (table, "%s", units_format_size (used, sizeof used, w->bytes_used));
        table_add (table, "%s", units_format_size (held, sizeof held, out_held (w)));
        table_add (table, "%s",
                   dead ? "-" : units_format_size (left, sizeof left, w->bytes_free));
        if (dead)
            table_add (table, "-");
        else
            table_add (table, "%u%%", w->cpu_permille / 10);
        table_add (table, "%s",
                   w->heard_ago_ns
                       ? units_format_duration (heard, sizeof heard, w->heard_ago_ns)
                       : "-");
    }
    table_destroy (&table);
}

static void lost_text (const dfs_status_t *s)
{
    printf ("lost: %" PRIu64 " files need chunks that no live worker has%s\n",
            s->files_lost, s->files_lost_known ? "" : " (as far as looked)");
    for (size_t i = 0; i < s->n_lost_files; i++) {
        char *shown = tool_shown (s->lost_files[i]);
        printf ("  %s\n", shown);
        free (shown);
    }
    if (s->files_lost > s->n_lost_files)
        printf ("  … and %" PRIu64 " more ('analyze' has all of them)\n",
                s->files_lost - s->n_lost_files);
}

const char *out_eta (const dfs_status_t *s, char *buf, size_t cap)
{
    if (!s->repair_eta_known)
        return "-";
    return units_format_duration (buf, cap, s->repair_eta_seconds * SEC);
}

static void reads_text (const dfs_status_t *s)
{
    uint64_t hits = 0, looks = 0;
    for (size_t i = 0; i < s->n_workers; i++) {
        hits += s->workers[i].cache_hits;
        looks += s->workers[i].cache_hits + s->workers[i].cache_misses;
    }
    if (s->reads == 0 && looks == 0)
        return;
    printf ("reads: %" PRIu64 " pieces, %" PRIu64 " asked for twice, %" PRIu64
            " taken over by idle workers",
            s->reads, s->reads_hedged, s->reads_stolen);
    if (looks)
        printf ("; caches had %.0f %% of %" PRIu64 " looked up",
                100.0 * (double)hits / (double)looks, looks);
    putchar ('\n');
}

void out_status (const dfs_status_t *s)
{
    char a[32], b[32], c[32], d[32];
    printf ("cluster %s: %s\n", s->cluster, s->health);
    printf ("  up %s, epoch %s, security %s, %u copies (at least %u), chunks of %s\n",
            units_format_duration (a, sizeof a, s->uptime_ns), s->epoch, s->security,
            s->replicas, s->min_replicas,
            units_format_size (b, sizeof b, s->chunk_size));
    printf ("  %" PRIu64 " files, %" PRIu64 " directories, %" PRIu64 " chunks; "
            "%s of files, %s unique, %s stored, %s inline\n\n",
            s->files, s->directories, s->chunks,
            units_format_size (a, sizeof a, s->bytes_logical),
            units_format_size (b, sizeof b, s->bytes_unique),
            units_format_size (c, sizeof c, s->bytes_stored),
            units_format_size (d, sizeof d, s->inline_bytes));
    out_brokers (s);
    putchar ('\n');
    workers_text (s);
    printf ("\nchunks: %" PRIu64 " short of copies, %" PRIu64 " lost, %" PRIu64
            " with too many, %" PRIu64 " to move\n",
            s->chunks_under_replicated, s->chunks_lost, s->chunks_surplus,
            s->chunks_moving);
    if (s->chunks_lost)
        lost_text (s);
    if (s->repair_queued || s->repair_active)
        printf ("repair: %" PRIu64 " queued, %" PRIu64 " active, %s/s, %s to go\n",
                s->repair_queued, s->repair_active,
                units_format_size (a, sizeof a, s->repair_bytes_per_second),
                out_eta (s, b, sizeof b));
    if (s->repair_waiting)
        printf ("repair: %" PRIu64 " more wait for %s\n", s->repair_waiting,
                s->repair_no_room > s->repair_no_worker ? "room" : "workers");
    if (s->chunks_free || s->chunks_condemned || s->copies_dropping)
        printf ("reclaim: %" PRIu64 " chunks unused, %" PRIu64 " condemned, %" PRIu64
                " copies being dropped\n",
                s->chunks_free, s->chunks_condemned, s->copies_dropping);
    reads_text (s);
    for (size_t i = 0; i < s->n_notes; i++)
        printf ("note: %s\n", s->notes[i]);
}

json_t *out_brokers_json (const dfs_status_t *s)
{
    json_t *array = json_array ();
    for (size_t i = 0; i < s->n_brokers; i++) {
        const dfs_broker_info_t *b = &s->brokers[i];
        json_t *o = json_object ();
        json_object_set_new (o, "name", out_text (b->name));
        json_object_set_new (o, "endpoint", out_text (b->endpoint));
        json_object_set_new (o, "role", out_text (b->role));
        json_object_set_new (o, "log_index", out_number (b->log_index));
        json_object_set_new (o, "applied", out_number (b->applied));
        json_object_set_new (o, "memory", out_number (b->memory));
        json_object_set_new (o, "voter", json_boolean (b->voter));
        json_object_set_new (o, "lag", out_number (b->lag));
        json_object_set_new (o, "term", b->term ? out_number (b->term) : json_null ());
        json_object_set_new (o, "heard_ago_ms",
                             b->heard_ago_ns ? out_number (b->heard_ago_ns / MS)
                                             : json_null ());
        json_array_append_new (array, o);
    }
    return array;
}

static json_t *workers_json (const dfs_status_t *s)
{
    json_t *array = json_array ();
    for (size_t i = 0; i < s->n_workers; i++) {
        const dfs_worker_info_t *w = &s->workers[i];
        json_t *o = json_object ();
        json_object_set_new (o, "name", out_text (w->name));
        json_object_set_new (o, "endpoint", out_text (w->endpoint));
        json_object_set_new (o, "state", out_text (w->state));
        json_object_set_new (o, "condition", out_text (w->condition));
        json_object_set_new (o, "location", out_text (w->location));
        json_object_set_new (o, "chunks", out_number (w->chunks));
        json_object_set_new (o, "bytes_used", out_number (w->bytes_used));
        json_object_set_new (o, "bytes_free", out_number (w->bytes_free));
        json_object_set_new (o, "memory", out_number (w->memory));
        json_object_set_new (o, "cpu_permille", out_number (w->cpu_permille));
        json_object_set_new (o, "disk_permille", out_number (w->disk_permille));
        json_object_set_new (o, "streams", out_number (w->streams));
        json_object_set_new (o, "drained", json_boolean (w->drained));
        json_object_set_new (o, "bytes_in", out_number (w->bytes_in));
        json_object_set_new (o, "bytes_out", out_number (w->bytes_out));
        json_object_set_new (o, "cache_hits", out_number (w->cache_hits));
        json_object_set_new (o, "cache_misses", out_number (w->cache_misses));
        json_object_set_new (o, "scrub_passes", out_number (w->scrub_passes));
        json_object_set_new (o, "scrubbed", out_number (w->scrubbed));
        json_object_set_new (o, "scrub_damaged", out_number (w->scrub_damaged));
        json_object_set_new (o, "bytes_live", out_number (w->bytes_live));
        json_object_set_new (o, "flaps", out_number (w->flaps));
        json_object_set_new (o, "damped_ms", out_number (w->damped_ns / MS));
        json_object_set_new (o, "trouble",
                             w->trouble[0] ? out_text (w->trouble) : json_null ());
        json_object_set_new (o, "heard_ago_ms", out_number (w->heard_ago_ns / MS));
        json_array_append_new (array, o);
    }
    return array;
}

json_t *out_reclaim_json (const dfs_status_t *s)
{
    json_t *o = json_object ();
    json_object_set_new (o, "held", json_boolean (s->reclaim_held));
    json_object_set_new (o, "why",
                         s->reclaim_held ? out_text (s->reclaim_why) : json_null ());
    json_object_set_new (o, "waits", json_boolean (s->reclaim_waits));
    json_object_set_new (o, "chunks_free", out_number (s->chunks_free));
    json_object_set_new (o, "chunks_condemned", out_number (s->chunks_condemned));
    json_object_set_new (o, "copies_dropping", out_number (s->copies_dropping));
    json_object_set_new (o, "copies_trimmed", out_number (s->copies_trimmed));
    json_object_set_new (o, "chunks_dropped", out_number (s->chunks_reclaimed));
    json_object_set_new (o, "bytes_dropped", out_number (s->bytes_reclaimed));
    return o;
}

static json_t *unmet_json (const dfs_status_t *s)
{
    json_t *array = json_array ();
    for (size_t i = 0; i < s->n_unmet; i++) {
        json_t *o = json_object ();
        json_object_set_new (o, "level", out_number (s->unmet[i].level));
        json_object_set_new (o, "example", out_text (s->unmet[i].example));
        json_object_set_new (o, "chunks", out_number (s->unmet[i].chunks));
        json_array_append_new (array, o);
    }
    return array;
}

json_t *out_status_json (const dfs_status_t *s)
{
    json_t *o = json_object ();
    json_object_set_new (o, "cluster", out_text (s->cluster));
    json_object_set_new (o, "health", out_text (s->health));
    json_object_set_new (o, "epoch", out_text (s->epoch));
    json_object_set_new (o, "security", out_text (s->security));
    json_object_set_new (o, "brokers", out_brokers_json (s));
    json_object_set_new (o, "workers", workers_json (s));
    json_object_set_new (o, "files", out_number (s->files));
    json_object_set_new (o, "directories", out_number (s->directories));
    json_object_set_new (o, "chunks", out_number (s->chunks));
    json_object_set_new (o, "bytes_logical", out_number (s->bytes_logical));
    json_object_set_new (o, "bytes_unique", out_number (s->bytes_unique));
    json_object_set_new (o, "bytes_stored", out_number (s->bytes_stored));
    json_object_set_new (o, "bytes_inline", out_number (s->inline_bytes));
    json_object_set_new (o, "chunks_under_replicated",
                         out_number (s->chunks_under_replicated));
    json_object_set_new (o, "chunks_lost", out_number (s->chunks_lost));
    json_t *lost = json_array ();
    for (size_t i = 0; i < s->n_lost_files; i++)
        json_array_append_new (lost, out_text (s->lost_files[i]));
    json_object_set_new (o, "files_lost", out_number (s->files_lost));
    json_object_set_new (o, "files_lost_known", json_boolean (s->files_lost_known));
    json_object_set_new (o, "lost_files", lost);
    json_object_set_new (o, "chunks_surplus", out_number (s->chunks_surplus));
    json_object_set_new (o, "chunks_moving", out_number (s->chunks_moving));
    json_t *repair = json_object ();
    json_object_set_new (repair, "queued", out_number (s->repair_queued));
    json_object_set_new (repair, "active", out_number (s->repair_active));
    json_object_set_new (repair, "waiting", out_number (s->repair_waiting));
    json_object_set_new (repair, "no_worker", out_number (s->repair_no_worker));
    json_object_set_new (repair, "no_room", out_number (s->repair_no_room));
    json_object_set_new (repair, "bytes_per_second",
                         out_number (s->repair_bytes_per_second));
    json_object_set_new (repair, "eta_seconds",
                         s->repair_eta_known ? out_number (s->repair_eta_seconds)
                                             : json_null ());
    json_object_set_new (repair, "held", json_boolean (s->repair_held_ns > 0));
    json_object_set_new (repair, "held_seconds",
                         out_number ((s->repair_held_ns + SEC - 1) / SEC));
    json_object_set_new (o, "repair", repair);
    json_t *reads = json_object ();
    json_object_set_new (reads, "pieces", out_number (s->reads));
    json_object_set_new (reads, "hedged", out_number (s->reads_hedged));
    json_object_set_new (reads, "stolen", out_number (s->reads_stolen));
    json_object_set_new (o, "reads", reads);
    json_object_set_new (o, "reclaim", out_reclaim_json (s));
    json_t *rebalance = json_object ();
    json_object_set_new (rebalance, "active", json_boolean (s->rebalancing));
    json_object_set_new (rebalance, "moved", out_number (s->rebalance_moved));
    json_object_set_new (rebalance, "fill_mean_permille", out_number (s->fill_mean));
    json_object_set_new (rebalance, "fill_farthest_permille",
                         out_number (s->fill_farthest));
    json_object_set_new (rebalance, "farthest_worker",
                         s->fill_farthest_worker[0] ? out_text (s->fill_farthest_worker)
                                                    : json_null ());
    json_object_set_new (rebalance, "ended",
                         s->rebalance_end == 0   ? json_null ()
                         : s->rebalance_end == 1 ? out_text ("even")
                                                 : out_text ("as-even-as-possible"));
    json_object_set_new (rebalance, "ended_ago_seconds",
                         s->rebalance_end ? out_number (s->rebalance_ended_ago_ns / SEC)
                                          : json_null ());
    json_object_set_new (o, "rebalance", rebalance);
    json_object_set_new (o, "replicas", out_number (s->replicas));
    json_object_set_new (o, "min_replicas", out_number (s->min_replicas));
    json_object_set_new (o, "chunk_size", out_number (s->chunk_size));
    json_object_set_new (o, "uptime_seconds", out_number (s->uptime_ns / SEC));
    json_object_set_new (o, "sessions", out_number (s->sessions));
    json_t *notes = json_array ();
    for (size_t i = 0; i < s->n_notes; i++)
        json_array_append_new (notes, out_text (s->notes[i]));
    json_object_set_new (o, "notes", notes);
    json_object_set_new (o, "placement_unmet", unmet_json (s));
    return o;
}
