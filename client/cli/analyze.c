/* SPDX-License-Identifier: MPL-2.0 */
/* analyze: chunks, copies, where they are, and how often contents are the same. */
#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "contents.h"
#include "output.h"
#include "paths.h"
#include "table.h"
#include "verbs.h"

const tool_option_t analyze_options[] = {
    {'n', "files", "N", "show the N largest files (default: 20; JSON has all)"},
    {0, NULL, NULL, NULL},
};

typedef struct file_row {
    char *path;
    uint64_t size, chunks;
    uint32_t replicas;
} file_row_t;

typedef struct survey {
    const char *top;
    uint64_t files, directories, symlinks, chunks, bytes;
    bool json;
    out_array_t array;
    file_row_t *largest; /* a heap is not worth it: MAX is small */
    size_t n, max;
    contents_t contents; /* of the files, or a sample of them: one of 2^bits */
    uint32_t bits;
} survey_t;

#define SAMPLE 2000000 /* contents that are kept in memory, about */

static void survey_content (uint64_t id, uint64_t length, bool inlined, void *arg)
{
    survey_t *s = arg;
    contents_add (&s->contents, id, length, inlined);
}

static void keep_largest (survey_t *s, const char *path, const dfs_stat_t *st)
{
    size_t at = s->n;
    while (at > 0 && s->largest[at - 1].size < st->size)
        at--;
    if (at >= s->max)
        return;
    if (s->n == s->max)
        free (s->largest[--s->n].path);
    memmove (&s->largest[at + 1], &s->largest[at], (s->n - at) * sizeof *s->largest);
    s->largest[at] = (file_row_t){strdup (path), st->size, st->chunks, st->replicas};
    assert (s->largest[at].path);
    s->n++;
}

static int survey_entry (const char *rel, const dfs_stat_t *st, void *arg)
{
    survey_t *s = arg;
    s->directories += st->type == DFS_DIRECTORY;
    s->symlinks += st->type == DFS_SYMLINK;
    if (st->type != DFS_FILE)
        return 0;
    s->files++;
    s->chunks += st->chunks;
    s->bytes += st->size;
    char *path = path_join (s->top, rel);
    if (s->json) {
        json_t *o = json_object ();
        json_object_set_new (o, "path", out_text (path));
        json_object_set_new (o, "size", out_number (st->size));
        json_object_set_new (o, "chunks", out_number (st->chunks));
        json_object_set_new (o, "replicas", out_number (st->replicas));
        out_array_add (&s->array, o);
    } else
        keep_largest (s, path, st);
    free (path);
    return 0;
}

/* --- files that need lost chunks --- */

typedef struct lost_survey {
    const char *top;
    json_t *array;  /* NULL: text */
    table_t *table; /* begun by the first one */
    uint64_t files;
} lost_survey_t;

static int lost_entry (const char *rel, const dfs_stat_t *st, void *arg)
{
    lost_survey_t *s = arg;
    char *path = path_join (s->top, rel);
    s->files++;
    if (s->array) {
        json_t *o = json_object ();
        json_object_set_new (o, "path", out_text (path));
        json_object_set_new (o, "chunks", out_number (st->chunks));
        json_object_set_new (o, "chunks_lost", out_number (st->lost));
        json_array_append_new (s->array, o);
    } else {
        char *shown = tool_shown (path);
        if (!s->table) {
            putchar ('\n');
            s->table = table_new ("rrl", stdout);
            table_row (s->table, "LOST", "CHUNKS", "FILE WITH LOST CHUNKS", NULL);
        }
        table_add (s->table, "%" PRIu64, st->lost);
        table_add (s->table, "%" PRIu64, st->chunks);
        table_add (s->table, "%s", shown);
        free (shown);
    }
    free (path);
    return 0;
}

/* All of them, by path; ARRAY NULL: as text. */
static int survey_lost (dfs_t *dfs, const dfs_status_t *status, const char *top,
                        json_t *array, dfs_error_t *err)
{
    lost_survey_t s = {.top = top, .array = array};
    dfs_list_options_t options = {.recursive = true, .lost = true};
    if (status->chunks_lost == 0)
        return 0;
    int rc = dfs_list (dfs, top, &options, lost_entry, &s, err);
    table_destroy (&s.table);
    return rc;
}

static double ratio (uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 1.0;
}

/* What is on dead workers is no copy that counts. */
static uint64_t copies_of (const dfs_status_t *status)
{
    uint64_t copies = 0;
    for (size_t i = 0; i < status->n_workers; i++)
        if (strcmp (status->workers[i].state, "dead") != 0)
            copies += status->workers[i].copies;
    return copies;
}

/* How old the numbers of the live workers are at most. */
static uint64_t told_ago (const dfs_status_t *status)
{
    uint64_t most = 0;
    for (size_t i = 0; i < status->n_workers; i++)
        if (strcmp (status->workers[i].state, "dead") != 0 &&
            status->workers[i].heard_ago_ns > most)
            most = status->workers[i].heard_ago_ns;
    return most;
}

/* Copies for each unique chunk; inline content has none on workers. */
static double replication (const dfs_status_t *s)
{
    uint64_t copies = copies_of (s);
    return s->chunks && copies ? (double)copies / (double)s->chunks : 0;
}

/* What the files refer to; what is there beyond that only history holds. */
static uint64_t unique_chunks (const survey_t *s)
{
    return s->contents.chunks << s->bits;
}

static uint64_t unique_bytes (const survey_t *s)
{
    return s->contents.bytes << s->bits;
}

static uint64_t beyond (uint64_t all, uint64_t part)
{
    return all > part ? all - part : 0;
}

static bool whole (const survey_t *s)
{
    return strcmp (s->top, "/") == 0;
}

static json_t *unique_json (const dfs_status_t *status, const survey_t *s, bool past)
{
    json_t *o = json_object ();
    uint64_t chunks = unique_chunks (s), bytes = unique_bytes (s);
    if (past) {
        chunks = beyond (status->chunks, chunks);
        bytes = beyond (status->bytes_unique, bytes);
    }
    json_object_set_new (o, "chunks", out_number (chunks));
    json_object_set_new (o, "bytes", out_number (bytes));
    json_object_set_new (o, "estimated", json_boolean (s->bits > 0));
    return o;
}

/* Takes LOST. */
static void analyze_json (const dfs_status_t *status, const survey_t *s, json_t *lost)
{
    json_t *workers = json_array ();
    for (size_t i = 0; i < status->n_workers; i++) {
        const dfs_worker_info_t *w = &status->workers[i];
        json_t *o = json_object ();
        json_object_set_new (o, "name", out_text (w->name));
        json_object_set_new (o, "endpoint", out_text (w->endpoint));
        json_object_set_new (o, "state", out_text (w->state));
        json_object_set_new (o, "location", out_text (w->location));
        json_object_set_new (o, "chunks", out_number (w->copies));
        json_object_set_new (o, "bytes_used", out_number (w->bytes_used));
        json_object_set_new (o, "bytes_free", out_number (w->bytes_free));
        json_array_append_new (workers, o);
    }
    json_t *o = json_pack (
        "{s:{s:I,s:I,s:I,s:I,s:I},s:{s:I,s:I},s:{s:I,s:I,s:I},s:f,s:f,s:o,s:I,s:o}",
        "totals", "files", (json_int_t)s->files, "directories",
        (json_int_t)s->directories, "symlinks", (json_int_t)s->symlinks, "chunks",
        (json_int_t)s->chunks, "bytes", (json_int_t)s->bytes, "unique", "chunks",
        (json_int_t)status->chunks, "bytes", (json_int_t)status->bytes_unique, "stored",
        "chunks", (json_int_t)copies_of (status), "bytes",
        (json_int_t)status->bytes_stored, "told_ago_ms",
        (json_int_t)(told_ago (status) / MS), "replication_factor",
        replication (status), "dedup_ratio", ratio (s->bytes, unique_bytes (s)),
        "workers", workers, "chunks_lost", (json_int_t)status->chunks_lost,
        "lost_files", lost);
    assert (o);
    json_object_set_new (o, "unique_of_files", unique_json (status, s, false));
    json_object_set_new (o, "kept_by_history",
                         whole (s) ? unique_json (status, s, true) : json_null ());
    json_object_set_new (o, "chunks_surplus", out_number (status->chunks_surplus));
    /* The array of files stands open: the rest of the object follows it. */
    char *text = json_dumps (o, JSON_PRESERVE_ORDER);
    assert (text);
    printf (",\n%s\n", text + 1);
    free (text);
    json_decref (o);
}

static void analyze_text (const dfs_status_t *status, const survey_t *s)
{
    char a[32], b[32];
    printf ("cluster %s: %s\n\n", status->cluster, status->health);
    table_t *table = table_new ("lrrr", stdout);
    table_row (table, "", "FILES", "CHUNKS", "SIZE", NULL);
    table_row (table, "all files", NULL);
    table_add (table, "%" PRIu64, s->files);
    table_add (table, "%" PRIu64, s->chunks);
    table_row (table, units_format_size (a, sizeof a, s->bytes), "unique", "", NULL);
    table_add (table, "%" PRIu64, unique_chunks (s));
    table_row (table, units_format_size (a, sizeof a, unique_bytes (s)), NULL);
    if (whole (s)) {
        table_row (table, "kept by history", "", NULL);
        table_add (table, "%" PRIu64, beyond (status->chunks, unique_chunks (s)));
        table_row (table,
                   units_format_size (a, sizeof a,
                                      beyond (status->bytes_unique, unique_bytes (s))),
                   NULL);
    }
    table_row (table, "with surplus copies", "", NULL);
    table_add (table, "%" PRIu64, status->chunks_surplus);
    table_row (table, "", "stored copies", "", NULL);
    table_add (table, "%" PRIu64, copies_of (status));
    table_row (table, units_format_size (a, sizeof a, status->bytes_stored), NULL);
    table_destroy (&table);
    printf ("\ndeduplication %.2f to 1, replication %.2f (policy %u)\n\n",
            ratio (s->bytes, unique_bytes (s)), replication (status), status->replicas);
    if (s->bits)
        printf ("(unique and deduplication: by one of %u chunks)\n\n", 1u << s->bits);
    table = table_new ("llmrrr", stdout);
    table_row (table, "WORKER", "STATE", "LOCATION", "CHUNKS", "USED", "FREE", NULL);
    for (size_t i = 0; i < status->n_workers; i++) {
        const dfs_worker_info_t *w = &status->workers[i];
        bool dead = strcmp (w->state, "dead") == 0;
        table_row (table, w->name, w->state, w->location, NULL);
        table_add (table, "%" PRIu64, w->copies);
        table_row (table, units_format_size (a, sizeof a, w->bytes_used),
                   dead ? "-" : units_format_size (b, sizeof b, w->bytes_free), NULL);
    }
    table_destroy (&table);
    if (s->n == 0)
        return;
    putchar ('\n');
    table = table_new ("rrrl", stdout);
    table_row (table, "SIZE", "CHUNKS", "COPIES", "FILE", NULL);
    for (size_t i = 0; i < s->n; i++) {
        char *shown = tool_shown (s->largest[i].path);
        table_add (table, "%s", units_format_size (a, sizeof a, s->largest[i].size));
        table_add (table, "%" PRIu64, s->largest[i].chunks);
        table_add (table, "%u", s->largest[i].replicas);
        table_add (table, "%s", shown);
        free (shown);
    }
    table_destroy (&table);
    if (s->files > s->n)
        printf ("… and %" PRIu64 " more\n", s->files - s->n);
}

int verb_analyze (int argc, char **argv)
{
    survey_t s = {.max = 20};
    dfs_list_options_t options = {.recursive = true};
    dfs_error_t err = {0};
    const char *value;
    while (tool_next (argc, argv, &value) != -1)
        s.max = (size_t)tool_number ("--files", value, 100000);
    tool_operands (argc, 0, 1);
    char *top = path_remote (optind < argc ? argv[optind] : "/");
    dfs_status_t status;
    dfs_stat_t st = {0};
    dfs_t *dfs = status_need (&status);
    if (dfs_stat (dfs, top, true, &st, &err) < 0) /* before anything is printed */
        exit (tool_fail (top, &err));
    dfs_stat_clear (&st);
    s.top = top;
    s.json = tool_common.json;
    while (status.chunks >> s.bits > SAMPLE && s.bits < 30)
        s.bits++;
    options.content = survey_content;
    options.content_bits = s.bits;
    s.largest = calloc (s.max + 1, sizeof *s.largest);
    assert (s.largest);
    if (s.json) {
        json_t *name = out_text (status.cluster);
        fputs ("{\"cluster\": ", stdout);
        json_dumpf (name, stdout, JSON_ENCODE_ANY);
        fputs (", \"files\": ", stdout);
        json_decref (name);
    }
    int rc = dfs_list (dfs, top, &options, survey_entry, &s, &err), result = 0;
    json_t *lost = s.json ? json_array () : NULL;
    int rc_lost = 0;
    if (rc == 0 && s.json)
        rc_lost = survey_lost (dfs, &status, top, lost, &err);
    if (s.json) {
        fputs (s.array.begun ? "\n]" : "[]", stdout);
        analyze_json (&status, &s, lost);
    } else {
        analyze_text (&status, &s);
        if (rc == 0)
            rc_lost = survey_lost (dfs, &status, top, NULL, &err);
    }
    if (rc == 0)
        rc = rc_lost;
    if (rc < 0)
        result = tool_fail (top, &err);
    for (size_t i = 0; i < s.n; i++)
        free (s.largest[i].path);
    free (s.largest);
    contents_clear (&s.contents);
    free (top);
    dfs_status_clear (&status);
    dfs_close (&dfs);
    return result;
}
