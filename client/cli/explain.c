/* SPDX-License-Identifier: MPL-2.0 */
/* explain: where each chunk of a file is, and how well it is known to be. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "paths.h"
#include "table.h"
#include "verbs.h"

typedef struct explainer {
    table_t *table;
    out_array_t json;
} explainer_t;

/* No worker has it that serves, or may be back at any moment. */
static bool is_lost (const dfs_chunk_info_t *chunk)
{
    for (size_t i = 0; i < chunk->n_replicas; i++) {
        const dfs_replica_t *r = &chunk->replicas[i];
        bool away = strcmp (r->state, "dead") == 0 || strcmp (r->state, "removed") == 0;
        if (!away && r->code != DFS_ENOENT && r->code != DFS_EDAMAGED)
            return false;
    }
    return !chunk->inlined;
}

static void explain_json (explainer_t *e, const dfs_chunk_info_t *chunk)
{
    json_t *o = json_object (), *array = json_array ();
    json_object_set_new (o, "index", out_number (chunk->index));
    json_object_set_new (o, "id", out_text (chunk->id));
    json_object_set_new (o, "offset", out_number (chunk->offset));
    json_object_set_new (o, "size", out_number (chunk->size));
    json_object_set_new (o, "inline", json_boolean (chunk->inlined));
    json_object_set_new (o, "lost", json_boolean (is_lost (chunk)));
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
    else {
        if (chunk->inlined || is_lost (chunk))
            explain_row (e->table, chunk, NULL);
        for (size_t i = 0; i < chunk->n_replicas; i++)
            explain_row (e->table, chunk, &chunk->replicas[i]);
    }
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
