/* SPDX-License-Identifier: MPL-2.0 */
/* verify and explain. */
#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "crew.h"
#include "output.h"
#include "paths.h"
#include "progress.h"
#include "table.h"
#include "verbs.h"

/* --- verify --- */

/* Chunks counted already: files share them. A set of 64-bit hashes is enough to count.
 */
typedef struct seen {
    uint64_t *slots;
    size_t cap, n; /* cap is a power of two */
} seen_t;

static uint64_t hash_id (const char *id)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * 0x100000001b3ULL;
    return hash ? hash : 1;
}

static bool seen_put (seen_t *seen, uint64_t hash)
{
    size_t at = hash & (seen->cap - 1);
    while (seen->slots[at] && seen->slots[at] != hash)
        at = (at + 1) & (seen->cap - 1);
    bool fresh = seen->slots[at] == 0;
    seen->slots[at] = hash;
    seen->n += fresh;
    return fresh;
}

static bool seen_add (seen_t *seen, const char *id)
{
    if (2 * (seen->n + 1) > seen->cap) {
        seen_t larger = {.cap = seen->cap ? 2 * seen->cap : 1024};
        larger.slots = calloc (larger.cap, sizeof *larger.slots);
        assert (larger.slots);
        for (size_t i = 0; i < seen->cap; i++)
            if (seen->slots[i])
                seen_put (&larger, seen->slots[i]);
        free (seen->slots);
        *seen = larger;
    }
    return seen_put (seen, hash_id (id));
}

typedef struct verifier {
    const char *top;
    crew_t *crew;
    pthread_mutex_t lock; /* of everything below: many files are verified at a time */
    seen_t seen;
    uint64_t files, chunks, replicas, bytes, corrupt, missing, unreachable, repaired;
    int status;
} verifier_t;

typedef struct file_job {
    crew_job_t job;
    verifier_t *v;
    char *path;
    int code;
    dfs_error_t err;
} file_job_t;

static void bad_replica (verifier_t *v, const char *path, const dfs_chunk_info_t *chunk,
                         const dfs_replica_t *replica)
{
    if (replica->code == DFS_EDAMAGED)
        v->corrupt++;
    else if (replica->code == DFS_ENOENT || replica->code == DFS_ELOST)
        v->missing++;
    else
        v->unreachable++;
    tool_error (path, "chunk %" PRIu64 " (%.16s…): worker %s: %s", chunk->index,
                chunk->id, replica->name,
                replica->code == DFS_ENOENT ? "the copy is missing"
                                            : dfs_error_text (replica->code));
}

static void count_chunk (verifier_t *v, const char *path, const dfs_chunk_info_t *chunk)
{
    if (!seen_add (&v->seen, chunk->id))
        return;
    v->chunks++;
    v->bytes += chunk->size;
    if (chunk->n_replicas == 0 && !chunk->inlined) {
        v->missing++;
        tool_error (path, "chunk %" PRIu64 " (%.16s…): no copy is known", chunk->index,
                    chunk->id);
    }
    for (size_t i = 0; i < chunk->n_replicas; i++) {
        v->replicas++;
        if (chunk->replicas[i].code < 0)
            bad_replica (v, path, chunk, &chunk->replicas[i]);
    }
    dfs_progress_t now = {.bytes = v->bytes};
    progress_update (&now, NULL);
}

static int verify_chunk (const dfs_chunk_info_t *chunk, void *arg)
{
    file_job_t *file = arg;
    if (progress_interrupted ())
        return DFS_ECANCELED;
    pthread_mutex_lock (&file->v->lock);
    count_chunk (file->v, file->path, chunk);
    pthread_mutex_unlock (&file->v->lock);
    return 0;
}

static void file_run (crew_job_t *job, dfs_t *dfs)
{
    file_job_t *file = (file_job_t *)job;
    file->code = progress_interrupted ()
                     ? DFS_ECANCELED
                     : dfs_verify (dfs, file->path, verify_chunk, file, &file->err);
}

static void file_done (crew_job_t *job)
{
    file_job_t *file = (file_job_t *)job;
    verifier_t *v = file->v;
    pthread_mutex_lock (&v->lock);
    /* Removed since it was listed: nothing to say. */
    bool gone = file->code == DFS_ENOENT && strcmp (file->path, v->top);
    if (file->code < 0 && file->code != DFS_ECANCELED && !gone) {
        file->err.code = file->code;
        tool_worst (&v->status, tool_fail (file->path, &file->err));
    }
    v->files += file->code == 0;
    pthread_mutex_unlock (&v->lock);
    free (file->path);
    free (file);
}

/* Takes PATH. */
static void verify_file (verifier_t *v, char *path)
{
    file_job_t *file = calloc (1, sizeof *file);
    assert (file && path);
    *file =
        (file_job_t){.job = {.run = file_run, .done = file_done}, .v = v, .path = path};
    crew_add (v->crew, &file->job);
}

static int verify_entry (const char *rel, const dfs_stat_t *st, void *arg)
{
    verifier_t *v = arg;
    if (st->type == DFS_FILE)
        verify_file (v, path_join (v->top, rel));
    return progress_interrupted () ? DFS_ECANCELED : 0;
}

static void verify_report (const verifier_t *v)
{
    char bytes[32];
    if (tool_common.json)
        out_json (json_pack (
            "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "chunks", (json_int_t)v->chunks,
            "replicas", (json_int_t)v->replicas, "bytes", (json_int_t)v->bytes,
            "corrupt", (json_int_t)v->corrupt, "missing", (json_int_t)v->missing,
            "repaired", (json_int_t)v->repaired, "unreachable",
            (json_int_t)v->unreachable, "files", (json_int_t)v->files));
    else
        tool_say ("%" PRIu64 " files, %" PRIu64 " chunks (%s) in %" PRIu64
                  " copies on workers: %" PRIu64 " corrupt, %" PRIu64
                  " missing, %" PRIu64 " out of reach\n",
                  v->files, v->chunks,
                  units_format_size (bytes, sizeof bytes, v->bytes), v->replicas,
                  v->corrupt, v->missing, v->unreachable);
}

int verb_verify (int argc, char **argv)
{
    verifier_t v = {.lock = PTHREAD_MUTEX_INITIALIZER};
    dfs_stat_t st = {0};
    dfs_error_t err = {0};
    dfs_list_options_t options = {.recursive = true, .brief = true};
    while (tool_next (argc, argv, NULL) != -1)
        continue;
    tool_operands (argc, 0, 1);
    char *top = path_remote (optind < argc ? argv[optind] : "/");
    dfs_t *dfs = tool_open ();
    v.top = top;
    v.crew = crew_new ();
    progress_begin ("verify", tool_common.quiet);
    int rc = dfs_stat (dfs, top, true, &st, &err);
    if (rc == 0 && st.type == DFS_DIRECTORY)
        rc = dfs_list (dfs, top, &options, verify_entry, &v, &err);
    else if (rc == 0)
        verify_file (&v, strdup (top));
    crew_destroy (&v.crew);
    progress_end ();
    if (rc < 0 && rc != DFS_ECANCELED)
        tool_worst (&v.status, tool_fail (top, &err));
    if (rc == 0 || v.files)
        verify_report (&v);
    dfs_stat_clear (&st);
    dfs_close (&dfs);
    free (v.seen.slots);
    free (top);
    progress_finish_signal ();
    if (v.corrupt || v.missing)
        return dfs_error_status (DFS_EDAMAGED);
    if (v.unreachable)
        tool_worst (&v.status, dfs_error_status (DFS_EUNAVAIL));
    return v.status;
}

/* --- explain --- */

typedef struct explainer {
    table_t *table;
    out_array_t json;
} explainer_t;

static void explain_json (explainer_t *e, const dfs_chunk_info_t *chunk)
{
    json_t *o = json_object (), *array = json_array ();
    json_object_set_new (o, "index", out_number (chunk->index));
    json_object_set_new (o, "id", out_text (chunk->id));
    json_object_set_new (o, "offset", out_number (chunk->offset));
    json_object_set_new (o, "size", out_number (chunk->size));
    json_object_set_new (o, "inline", json_boolean (chunk->inlined));
    for (size_t i = 0; i < chunk->n_replicas; i++) {
        const dfs_replica_t *r = &chunk->replicas[i];
        char time[64];
        json_t *row = json_object ();
        json_object_set_new (row, "worker", out_text (r->name));
        json_object_set_new (row, "location", out_text (r->location));
        json_object_set_new (
            row, "verified_at",
            r->verified_at_ns
                ? json_string (out_time_json (r->verified_at_ns, time, sizeof time))
                : json_null ());
        json_object_set_new (row, "state", out_text (r->state));
        json_array_append_new (array, row);
    }
    json_object_set_new (o, "replicas", array);
    out_array_add (&e->json, o);
}

static void explain_row (table_t *table, const dfs_chunk_info_t *chunk,
                         const dfs_replica_t *replica)
{
    char time[32];
    table_add (table, "%" PRIu64, chunk->index);
    table_add (table, "%" PRIu64, chunk->offset);
    table_add (table, "%" PRIu64, chunk->size);
    table_add (table, "%.16s", chunk->id);
    if (!replica) {
        table_row (table, chunk->inlined ? "in the namespace" : "LOST", "", "", "",
                   NULL);
        return;
    }
    table_row (table, replica->name, replica->state, replica->location,
               replica->verified_at_ns
                   ? out_time (replica->verified_at_ns, time, sizeof time)
                   : "never",
               NULL);
}

static void explain_head (explainer_t *e)
{
    if (e->table)
        return;
    e->table = table_new ("rrrlllll", stdout);
    table_row (e->table, "CHUNK", "OFFSET", "SIZE", "ID", "WORKER", "STATE", "LOCATION",
               "VERIFIED", NULL);
}

static int explain_chunk (const dfs_chunk_info_t *chunk, void *arg)
{
    explainer_t *e = arg;
    if (!tool_common.json)
        explain_head (e);
    if (tool_common.json)
        explain_json (e, chunk);
    else if (chunk->n_replicas == 0)
        explain_row (e->table, chunk, NULL);
    else
        for (size_t i = 0; i < chunk->n_replicas; i++)
            explain_row (e->table, chunk, &chunk->replicas[i]);
    return 0;
}

int verb_explain (int argc, char **argv)
{
    explainer_t e = {0};
    dfs_error_t err = {0};
    int status = 0;
    while (tool_next (argc, argv, NULL) != -1)
        continue;
    tool_operands (argc, 1, 1);
    char *path = path_remote (argv[optind]);
    dfs_t *dfs = tool_open ();
    int rc = dfs_locate (dfs, path, explain_chunk, &e, &err);
    if (tool_common.json)
        out_array_end (&e.json);
    else if (rc == 0 && !e.table)
        tool_say ("no chunks: the file is empty\n");
    table_destroy (&e.table);
    if (rc < 0)
        status = tool_fail (path, &err);
    dfs_close (&dfs);
    free (path);
    return status;
}
