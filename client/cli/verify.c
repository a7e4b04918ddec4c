/* SPDX-License-Identifier: MPL-2.0 */
/* verify: every copy is hashed again; what was damaged and came back is counted. */
#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/units.h"
#include "crew.h"
#include "output.h"
#include "paths.h"
#include "progress.h"
#include "verbs.h"

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

/* A chunk with bad copies: looked at again while the cluster repairs it. */
typedef struct broken {
    char *path; /* of the file in which it was found */
    char id[88];
    uint64_t index;
    size_t wanted; /* copies that it had or should have had */
    size_t good;   /* that were whole when last looked at */
    bool repaired;
    bool lost; /* nothing it could come back from */
} broken_t;

#define REPAIR_QUIET (10 * SEC) /* no longer than that without any progress */
#define REPAIR_LOOK  (500 * MS)
#define SHOWN_MAX    20 /* chunks with bad copies, in the text */

typedef struct verifier {
    const char *top;
    crew_t *crew;
    pthread_mutex_t lock; /* of everything below: many files are verified at a time */
    seen_t seen;
    uint64_t files, chunks, replicas, bytes, corrupt, missing, unreachable, repaired;
    broken_t *broken;
    size_t n_broken, cap_broken, n_lost;
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

static void note_broken (verifier_t *v, const char *path, const dfs_chunk_info_t *chunk)
{
    size_t bad = 0, good = 0;
    for (size_t i = 0; i < chunk->n_replicas; i++) {
        int code = chunk->replicas[i].code;
        good += code == DFS_OK;
        bad += code == DFS_EDAMAGED || code == DFS_ENOENT;
    }
    if (bad == 0)
        return;
    if (v->n_broken == v->cap_broken) {
        v->cap_broken = v->cap_broken ? 2 * v->cap_broken : 64;
        v->broken = realloc (v->broken, v->cap_broken * sizeof *v->broken);
        assert (v->broken);
    }
    broken_t *broken = &v->broken[v->n_broken++];
    *broken = (broken_t){.path = strdup (path),
                         .index = chunk->index,
                         .wanted = chunk->n_replicas,
                         .good = good,
                         .lost = good == 0};
    assert (broken->path);
    v->n_lost += broken->lost;
    snprintf (broken->id, sizeof broken->id, "%s", chunk->id);
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
    note_broken (v, path, chunk);
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

/* --- what came back --- */

static bool look_again (const dfs_chunk_info_t *chunk, broken_t *broken)
{
    size_t good = 0;
    for (size_t i = 0; i < chunk->n_replicas; i++)
        good += chunk->replicas[i].code == DFS_OK;
    bool better = good > broken->good;
    broken->good = good;
    broken->repaired = good >= broken->wanted;
    return better;
}

typedef struct look {
    verifier_t *v;
    const char *path;
    bool better;
} look_t;

static int look_chunk (const dfs_chunk_info_t *chunk, void *arg)
{
    look_t *look = arg;
    for (size_t i = 0; i < look->v->n_broken; i++) {
        broken_t *broken = &look->v->broken[i];
        if (!broken->repaired && !broken->lost &&
            strcmp (broken->path, look->path) == 0 &&
            strcmp (broken->id, chunk->id) == 0)
            look->better |= look_again (chunk, broken);
    }
    return progress_interrupted () ? DFS_ECANCELED : 0;
}

/* One look at the files of all that is still broken; true when anything got better. */
static bool look_round (verifier_t *v, dfs_t *dfs)
{
    look_t look = {.v = v};
    for (size_t i = 0; i < v->n_broken && !progress_interrupted (); i++) {
        bool first = !v->broken[i].repaired && !v->broken[i].lost;
        for (size_t k = 0; k < i && first; k++)
            first = v->broken[k].repaired || v->broken[k].lost ||
                    strcmp (v->broken[k].path, v->broken[i].path) != 0;
        if (!first)
            continue;
        dfs_error_t err = {0};
        look.path = v->broken[i].path;
        dfs_locate (dfs, look.path, look_chunk, &look, &err);
    }
    return look.better;
}

static uint64_t count_repaired (const verifier_t *v)
{
    uint64_t n = 0;
    for (size_t i = 0; i < v->n_broken; i++)
        n += v->broken[i].repaired;
    return n;
}

/* The workers reported the damage when they found it; the cluster copies what it misses
 * by itself. A copy that came so was hashed on its way in. */
static void await_repair (verifier_t *v, dfs_t *dfs)
{
    uint64_t quiet_since = clock_mono ();
    while (v->repaired < v->n_broken - v->n_lost && !progress_interrupted () &&
           clock_mono () - quiet_since < REPAIR_QUIET) {
        nanosleep (&(struct timespec){.tv_nsec = REPAIR_LOOK}, NULL);
        if (look_round (v, dfs))
            quiet_since = clock_mono ();
        v->repaired = count_repaired (v);
    }
}

static void free_broken (verifier_t *v)
{
    for (size_t i = 0; i < v->n_broken; i++)
        free (v->broken[i].path);
    free (v->broken);
}

/* What becomes of the damage that was found. */
static json_t *damage_json (const verifier_t *v)
{
    json_t *array = json_array ();
    for (size_t i = 0; i < v->n_broken; i++) {
        const broken_t *b = &v->broken[i];
        json_t *o = json_object ();
        json_object_set_new (o, "path", out_text (b->path));
        json_object_set_new (o, "index", out_number (b->index));
        json_object_set_new (o, "id", out_text (b->id));
        json_object_set_new (o, "copies", out_number (b->wanted));
        json_object_set_new (o, "whole", out_number (b->good));
        json_object_set_new (o, "state",
                             out_text (b->lost       ? "lost"
                                       : b->repaired ? "replaced"
                                                     : "pending"));
        json_array_append_new (array, o);
    }
    return array;
}

static void damage_text (const verifier_t *v)
{
    for (size_t i = 0; i < v->n_broken && i < SHOWN_MAX; i++) {
        const broken_t *b = &v->broken[i];
        char *shown = tool_shown (b->path);
        tool_say ("%s: chunk %" PRIu64 ": %zu of %zu copies whole, %s\n", shown,
                  b->index, b->good, b->wanted,
                  b->lost       ? "nothing to replace the others from"
                  : b->repaired ? "what was bad is replaced"
                                : "what is bad will be replaced");
        free (shown);
    }
    if (v->n_broken > SHOWN_MAX)
        tool_say ("… and %zu more (--json has all of them)\n", v->n_broken - SHOWN_MAX);
}

static void verify_report (const verifier_t *v)
{
    char bytes[32];
    if (tool_common.json)
        out_json (json_pack ("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "chunks",
                             (json_int_t)v->chunks, "replicas", (json_int_t)v->replicas,
                             "bytes", (json_int_t)v->bytes, "corrupt",
                             (json_int_t)v->corrupt, "missing", (json_int_t)v->missing,
                             "repaired", (json_int_t)v->repaired, "unreachable",
                             (json_int_t)v->unreachable, "files", (json_int_t)v->files,
                             "damaged", damage_json (v)));
    else {
        damage_text (v);
        tool_say ("%" PRIu64 " files, %" PRIu64 " chunks (%s) in %" PRIu64
                  " copies on workers: %" PRIu64 " corrupt, %" PRIu64
                  " missing, %" PRIu64 " out of reach, %" PRIu64 " chunks repaired\n",
                  v->files, v->chunks,
                  units_format_size (bytes, sizeof bytes, v->bytes), v->replicas,
                  v->corrupt, v->missing, v->unreachable, v->repaired);
    }
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
    await_repair (&v, dfs);
    progress_end ();
    if (rc < 0 && rc != DFS_ECANCELED)
        tool_worst (&v.status, tool_fail (top, &err));
    if (rc == 0 || v.files)
        verify_report (&v);
    dfs_stat_clear (&st);
    dfs_close (&dfs);
    free (v.seen.slots);
    free_broken (&v);
    free (top);
    progress_finish_signal ();
    if (v.corrupt || v.missing)
        return dfs_error_status (DFS_EDAMAGED);
    if (v.unreachable)
        tool_worst (&v.status, dfs_error_status (DFS_EUNAVAIL));
    return v.status;
}
