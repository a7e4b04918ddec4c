/* SPDX-License-Identifier: MPL-2.0 */
/* explain: where each chunk of a file is, and how well it is known to be. */
#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "paths.h"
#include "table.h"
#include "verbs.h"

#define LEVELS 8 /* of a location */

typedef struct explainer {
    table_t *table;
    out_array_t json;
    dfs_stat_t file;
    size_t domains[LEVELS];    /* of the cluster */
    uint64_t chunks, short_of; /* on workers; those with fewer copies than wanted */
    char policy[64];           /* its name; empty: only administrators may ask */
    uint64_t crowded[LEVELS];  /* those that do not meet the rule of a level */
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

/* --- why there: as many copies as are wanted, in different failure domains --- */

/* A and B are in one domain of LEVEL: that many components are the same. */
static bool same_domain (const char *a, const char *b, size_t level)
{
    for (size_t i = 0; i < level; i++) {
        size_t n = strcspn (a, "/");
        if (n == 0 || n != strcspn (b, "/") || strncmp (a, b, n) != 0)
            return false;
        a += n + (a[n] == '/');
        b += n + (b[n] == '/');
    }
    return true;
}

/* Different domains of LEVEL among N locations. */
static size_t domains (const char *const *locations, size_t n, size_t level)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < i && !same_domain (locations[k], locations[i], level))
            k++;
        found += k == i;
    }
    return found;
}

static bool is_there (const char *state)
{
    return strcmp (state, "dead") != 0 && strcmp (state, "removed") != 0;
}

/* Copies that count, and where they are (LOCATIONS has room for all). */
static size_t copies_of (const dfs_chunk_info_t *chunk, const char **locations)
{
    size_t n = 0;
    for (size_t i = 0; i < chunk->n_replicas; i++) {
        const dfs_replica_t *r = &chunk->replicas[i];
        if (is_there (r->state) && r->code != DFS_ENOENT && r->code != DFS_EDAMAGED)
            locations[n++] = r->location;
    }
    return n;
}

/* A domain stands before those within it, and these stand together. */
static int by_domain (const void *a, const void *b)
{
    const unsigned char *x = *(const unsigned char *const *)a,
                        *y = *(const unsigned char *const *)b;
    while (*x && *x == *y) {
        x++;
        y++;
    }
    return (*x == '/' ? 1 : *x) - (*y == '/' ? 1 : *y);
}

/* How many domains of each level the cluster has. */
static void count_domains (explainer_t *e, const dfs_status_t *s)
{
    const char **all = calloc (s->n_workers + 1, sizeof *all);

    assert (all);
    for (size_t i = 0; i < s->n_workers; i++)
        all[i] = s->workers[i].location;
    qsort (all, s->n_workers, sizeof *all, by_domain);
    for (size_t level = 1; level <= LEVELS; level++)
        for (size_t i = 0; i < s->n_workers; i++)
            e->domains[level - 1] += i == 0 || !same_domain (all[i - 1], all[i], level);
    free (all);
}

/* The first level (1: the outermost) of which the N copies are in fewer domains than
 * they could be; 0: none. */
static size_t unmet_level (const explainer_t *e, const char *const *locations, size_t n)
{
    size_t copies = n < e->file.replicas ? n : e->file.replicas;

    for (size_t level = 1; level <= LEVELS; level++) {
        size_t most = e->domains[level - 1];
        if (domains (locations, n, level) < (most < copies ? most : copies))
            return level;
    }
    return 0;
}

static const char *judge (explainer_t *e, const dfs_chunk_info_t *chunk, size_t *level)
{
    const char **locations = calloc (chunk->n_replicas + 1, sizeof *locations);

    assert (locations);
    size_t n = copies_of (chunk, locations);
    *level = unmet_level (e, locations, n);
    free (locations);
    e->chunks++;
    e->short_of += n < e->file.replicas;
    if (*level)
        e->crowded[*level - 1]++;
    return n < e->file.replicas ? "short" : *level ? "crowded" : "met";
}

static void explain_why (const explainer_t *e)
{
    if (e->chunks == 0)
        return;
    printf ("\n%s%s%swanted: %u cop%s of each chunk, in different failure domains: ",
            *e->policy ? "policy " : "", e->policy, *e->policy ? ", " : "",
            e->file.replicas, e->file.replicas == 1 ? "y" : "ies");
    bool met = e->short_of == 0;
    for (size_t i = 0; i < LEVELS; i++)
        met = met && e->crowded[i] == 0;
    puts (met ? "met" : "not met");
    if (e->short_of)
        printf ("  %" PRIu64 " of %" PRIu64 " chunks have fewer copies\n", e->short_of,
                e->chunks);
    for (size_t i = 0; i < LEVELS; i++)
        if (e->crowded[i])
            printf ("  %" PRIu64 " of %" PRIu64
                    " chunks have copies in one domain of level %zu, though there are "
                    "others\n",
                    e->crowded[i], e->chunks, i + 1);
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
    size_t level = 0;
    const char *rule = chunk->inlined ? NULL : judge (e, chunk, &level);
    json_object_set_new (o, "policy", *e->policy ? out_text (e->policy) : json_null ());
    json_object_set_new (o, "wanted", out_number (e->file.replicas));
    json_object_set_new (o, "rule", rule ? out_text (rule) : json_null ());
    json_object_set_new (o, "unmet_level", level ? out_number (level) : json_null ());
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
        size_t level;
        if (!chunk->inlined)
            judge (e, chunk, &level);
        if (chunk->inlined || is_lost (chunk))
            explain_row (e->table, chunk, NULL);
        for (size_t i = 0; i < chunk->n_replicas; i++)
            explain_row (e->table, chunk, &chunk->replicas[i]);
    }
    return 0;
}

static void find_policy (explainer_t *e, dfs_t *dfs)
{
    dfs_policy_t *policies;
    dfs_error_t err;
    size_t n;

    if (dfs_policies (dfs, &policies, &n, &err) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (policies[i].id == e->file.policy)
            memcpy (e->policy, policies[i].name, sizeof e->policy);
    free (policies);
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
    dfs_status_t cluster = {0};
    int rc = dfs_status (dfs, &cluster, &err);
    if (rc == 0)
        count_domains (&e, &cluster);
    if (rc == 0)
        rc = dfs_stat (dfs, path, true, &e.file, &err);
    if (rc == 0)
        find_policy (&e, dfs);
    if (rc == 0)
        rc = dfs_locate (dfs, path, explain_chunk, &e, &err);
    if (tool_common.json)
        out_array_end (&e.json);
    else if (rc == 0 && !e.table)
        tool_say ("no chunks: the file is empty\n");
    table_destroy (&e.table);
    if (rc == 0 && !tool_common.json)
        explain_why (&e);
    dfs_stat_clear (&e.file);
    dfs_status_clear (&cluster);
    if (rc < 0)
        status = tool_fail (path, &err);
    dfs_close (&dfs);
    free (path);
    return status;
}
