/* SPDX-License-Identifier: MPL-2.0 */
/* status and df. */
#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/units.h"
#include "output.h"
#include "paths.h"
#include "table.h"
#include "verbs.h"

#define LEADER_MS  6000 /* to find one that leads */
#define ANYBODY_MS 3000

dfs_t *status_need (dfs_status_t *status)
{
    dfs_error_t err = {0};
    memset (status, 0, sizeof *status);
    dfs_t *dfs = tool_open ();
    if (dfs_status (dfs, status, &err) < 0)
        exit (tool_fail (NULL, &err));
    return dfs;
}

/* A cluster that nobody leads has a state, too: any broker tells what it knows. */
dfs_t *status_ask (dfs_status_t *status, dfs_error_t *err)
{
    uint32_t timeout_ms = tool_common.timeout_ms ? tool_common.timeout_ms : LEADER_MS;
    uint64_t begun = clock_mono ();
    dfs_t *dfs = tool_try (timeout_ms, false, err);

    memset (status, 0, sizeof *status);
    if (dfs && dfs_status (dfs, status, err) == 0)
        return dfs;
    dfs_close (&dfs);
    if (err->code != DFS_EUNAVAIL && err->code != DFS_ETIMEOUT)
        return NULL;
    if (clock_mono () - begun < timeout_ms * MS) /* given up early: there is nobody */
        return NULL;
    dfs_error_t why = {0};
    dfs = tool_try (ANYBODY_MS, true, &why);
    if (dfs && dfs_status (dfs, status, &why) < 0)
        dfs_close (&dfs);
    return dfs;
}

int verb_status (int argc, char **argv)
{
    dfs_status_t status;
    dfs_error_t err = {0};
    while (tool_next (argc, argv, NULL) != -1)
        continue;
    tool_operands (argc, 0, 0);
    dfs_t *dfs = status_ask (&status, &err);
    if (!dfs)
        return tool_fail (NULL, &err);
    if (tool_common.json)
        out_json (out_status_json (&status));
    else
        out_status (&status);
    dfs_status_clear (&status);
    dfs_close (&dfs);
    return 0;
}

/* --- df --- */

static void df_row (table_t *table, const char *name, const char *state, uint64_t used,
                    uint64_t held, uint64_t left)
{
    char a[32], b[32], c[32], d[32];
    uint64_t size = used + left;
    if (strcmp (state, "dead") == 0) { /* it has room for nothing */
        table_row (table, name, state, "-", units_format_size (b, sizeof b, used), "-",
                   "-", NULL);
        return;
    }
    table_row (table, name, state, units_format_size (a, sizeof a, size),
               units_format_size (b, sizeof b, used),
               units_format_size (d, sizeof d, held),
               units_format_size (c, sizeof c, left), NULL);
    table_add (table, "%u%%", size ? (unsigned)((double)used / (double)size * 100) : 0);
}

static int larger_first (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The copies of a chunk are on different workers: what the largest have beyond the
 * others is no room. */
uint64_t df_room (const dfs_status_t *s)
{
    uint64_t *left = calloc (s->n_workers + 1, sizeof *left), sum = 0;
    size_t n = 0, copies = s->replicas ? s->replicas : 1;

    assert (left);
    for (size_t i = 0; i < s->n_workers; i++) {
        const dfs_worker_info_t *w = &s->workers[i];
        if (strcmp (w->state, "up") == 0 && strcmp (w->condition, "ok") == 0)
            sum += left[n++] = w->bytes_free;
    }
    qsort (left, n, sizeof *left, larger_first);
    uint64_t room = sum / copies;
    for (size_t i = 0; i + 1 < copies;
         i++) { /* a copy of everything on each of those */
        sum -= i < n ? left[i] : 0;
        if (sum / (copies - i - 1) < room)
            room = sum / (copies - i - 1);
    }
    free (left);
    return room;
}

/* Whether two live workers are on one host, by their endpoints. */
static bool df_share (const dfs_status_t *s)
{
    for (size_t i = 0; i < s->n_workers; i++)
        for (size_t k = 0; k < i; k++) {
            const dfs_worker_info_t *a = &s->workers[i], *b = &s->workers[k];
            const char *port = strrchr (a->endpoint, ':');
            size_t len = port ? (size_t)(port + 1 - a->endpoint) : 0;
            if (len && strncmp (a->endpoint, b->endpoint, len) == 0 &&
                strcmp (a->state, "up") == 0 && strcmp (b->state, "up") == 0)
                return true;
        }
    return false;
}

static void df_json (const dfs_status_t *s, uint64_t used, uint64_t left)
{
    json_t *o = json_object (), *array = json_array ();
    uint32_t copies = s->replicas ? s->replicas : 1;
    json_object_set_new (o, "bytes_total", out_number (used + left));
    json_object_set_new (o, "bytes_used", out_number (used));
    json_object_set_new (o, "bytes_free", out_number (left));
    json_object_set_new (o, "bytes_available", out_number (df_room (s)));
    json_object_set_new (o, "bytes_logical", out_number (s->bytes_logical));
    json_object_set_new (o, "bytes_stored", out_number (s->bytes_stored));
    json_object_set_new (o, "replicas", out_number (copies));
    for (size_t i = 0; i < s->n_workers; i++) {
        const dfs_worker_info_t *w = &s->workers[i];
        json_t *row = json_object ();
        json_object_set_new (row, "name", out_text (w->name));
        json_object_set_new (row, "state", out_text (w->state));
        json_object_set_new (row, "bytes_total",
                             out_number (w->bytes_used + w->bytes_free));
        json_object_set_new (row, "bytes_used", out_number (w->bytes_used));
        json_object_set_new (row, "bytes_free", out_number (w->bytes_free));
        json_object_set_new (row, "bytes_live", out_number (w->bytes_live));
        json_array_append_new (array, row);
    }
    json_object_set_new (o, "workers", array);
    out_json (o);
}

int verb_df (int argc, char **argv)
{
    dfs_status_t s;
    uint64_t used = 0, held = 0, left = 0;
    char text[32];
    while (tool_next (argc, argv, NULL) != -1)
        continue;
    tool_operands (argc, 0, 0);
    dfs_t *dfs = status_need (&s);
    for (size_t i = 0; i < s.n_workers; i++)
        if (strcmp (s.workers[i].state, "up") == 0) {
            used += s.workers[i].bytes_used;
            held += out_held (&s.workers[i]);
            left += s.workers[i].bytes_free;
        }
    if (tool_common.json)
        df_json (&s, used, left);
    else {
        table_t *table = table_new ("llrrrrr", stdout);
        table_row (table, "WORKER", "STATE", "SIZE", "USED", "HELD", "FREE", "USE",
                   NULL);
        for (size_t i = 0; i < s.n_workers; i++)
            df_row (table, s.workers[i].name, s.workers[i].state,
                    s.workers[i].bytes_used, out_held (&s.workers[i]),
                    s.workers[i].bytes_free);
        df_row (table, "all", "up", used, held, left);
        table_destroy (&table);
        printf ("room for about %s more in %u cop%s\n",
                units_format_size (text, sizeof text, df_room (&s)), s.replicas,
                s.replicas == 1 ? "y" : "ies");
        if (df_share (&s))
            printf ("(a file system that several workers of a host share is counted "
                    "for each of them)\n");
    }
    dfs_status_clear (&s);
    dfs_close (&dfs);
    return 0;
}
