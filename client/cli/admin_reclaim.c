/* SPDX-License-Identifier: MPL-2.0 */
/* admin rebalance and admin reclaim. */
#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_reclaim.h"
#include "common/units.h"
#include "output.h"
#include "paths.h"

#define LOOKS   20 /* at most, for fresh figures */
#define LOOK_MS 100

int admin_rebalance (dfs_t *dfs)
{
    dfs_error_t err = {0};
    dfs_status_t s = {0};
    uint64_t looks;

    if (dfs_status (dfs, &s, &err) < 0)
        return tool_fail (NULL, &err);
    looks = s.rebalance_looks;
    if (dfs_rebalance (dfs, &err) < 0) {
        dfs_status_clear (&s);
        return tool_fail (NULL, &err);
    }
    /* The figures are looked at first; while something is repaired they are not. */
    for (int i = 0; i < LOOKS && s.rebalance_looks == looks; i++) {
        poll (NULL, 0, LOOK_MS);
        dfs_status_clear (&s);
        if (dfs_status (dfs, &s, &err) < 0)
            return tool_fail (NULL, &err);
    }
    if (s.rebalance_looks == looks)
        tool_say ("asked for: it begins when nothing is being repaired\n");
    else
        tool_say ("mean fill %.1f %%, the farthest (%s) is %.1f points from it: %s\n",
                  s.fill_mean / 10.0, s.fill_farthest_worker, s.fill_farthest / 10.0,
                  s.rebalancing
                      ? "workers are being evened out; 'status' tells how far "
                        "it is"
                      : "nothing to do");
    dfs_status_clear (&s);
    return 0;
}

/* In whole units, for a sentence. */
static const char *span (char *text, size_t cap, uint64_t ns)
{
    uint64_t s = ns / SEC, n = s < 120 ? s : s < 7200 ? s / 60 : s / 3600;

    snprintf (text, cap, "%" PRIu64 " %s", n, s < 120 ? "s" : s < 7200 ? "min" : "h");
    return text;
}

int admin_reclaim_status (dfs_t *dfs)
{
    dfs_status_t s = {0};
    dfs_error_t err = {0};

    if (dfs_status (dfs, &s, &err) < 0)
        return tool_fail (NULL, &err);
    if (tool_common.json) {
        out_json (out_reclaim_json (&s));
    } else {
        printf ("%" PRIu64 " chunks unused, %" PRIu64 " condemned, %" PRIu64
                " copies being dropped, %" PRIu64 " surplus copies let go\n",
                s.chunks_free, s.chunks_condemned, s.copies_dropping, s.copies_trimmed);
        char size[32], time[32];
        printf ("dropped since the broker started (%s ago): %" PRIu64 " chunks, %s\n",
                span (time, sizeof time, s.uptime_ns), s.chunks_reclaimed,
                units_format_size (size, sizeof size, s.bytes_reclaimed));
        if (s.reclaim_held)
            printf ("held: %s\n", s.reclaim_why);
        else if (s.reclaim_waits)
            printf ("waits: not every worker has told what it has, or the broker leads "
                    "only now\n");
    }
    dfs_status_clear (&s);
    return 0;
}

int admin_reclaim_resume (dfs_t *dfs)
{
    dfs_error_t err = {0};

    return dfs_reclaim_resume (dfs, &err) < 0 ? tool_fail (NULL, &err) : 0;
}

int admin_reclaim_undo (dfs_t *dfs)
{
    dfs_error_t err = {0};
    dfs_status_t s = {0};

    if (dfs_reclaim_undo (dfs, &err) < 0)
        return tool_fail (NULL, &err);
    tool_say ("nothing is condemned; reclaim is held until 'admin reclaim resume'\n");
    if (dfs_status (dfs, &s, &err) == 0 && s.copies_dropping)
        tool_say ("%" PRIu64
                  " copies were on their way out already and count as gone\n",
                  s.copies_dropping);
    dfs_status_clear (&s);
    return 0;
}

/* --- explain --- */

#define AT_ONCE 256

typedef struct ids {
    char (*ids)[88];
    size_t n, cap;
} ids_t;

static int add_id (const dfs_chunk_info_t *chunk, void *arg)
{
    ids_t *list = arg;

    if (chunk->inlined)
        return 0;
    if (list->n == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->ids = realloc (list->ids, list->cap * sizeof *list->ids);
        assert (list->ids);
    }
    memcpy (list->ids[list->n++], chunk->id, sizeof chunk->id);
    return 0;
}

typedef struct explained {
    json_t *array; /* NULL: text */
    const dfs_status_t *status;
} explained_t;

static const char *worker_name (const dfs_status_t *status, uint32_t id)
{
    for (size_t i = 0; i < status->n_workers; i++)
        if (status->workers[i].id == id)
            return status->workers[i].name;
    return "?";
}

static const char *state_of (const dfs_reclaim_chunk_t *chunk)
{
    return chunk->refs        ? "used"
           : chunk->condemned ? "condemned"
           : chunk->recorded  ? "unused"
           : chunk->n_copies  ? "unknown"
                              : "absent";
}

/* Since when nothing refers to it, and when its copies go. */
static void print_times (const dfs_reclaim_chunk_t *chunk, const dfs_status_t *status)
{
    char text[32];

    if (chunk->has_since)
        printf (chunk->condemned ? " %s ago" : " since %s",
                span (text, sizeof text, chunk->since_ago_ns));
    if (status->reclaim_held && (chunk->condemned || chunk->recorded))
        printf (", kept while reclaim is held");
    else if (chunk->condemned && chunk->drop_in_ns > 0)
        printf (", dropped in %s", span (text, sizeof text, chunk->drop_in_ns));
    else if (chunk->condemned)
        printf (", dropped %s", status->reclaim_waits
                                    ? "when enough is known of all workers"
                                    : "as soon as its workers are there");
    else if (chunk->recorded)
        printf (", condemned %s", status->reclaim_waits
                                      ? "when enough is known of all workers"
                                      : "at one of the next looks");
}

static int show (const dfs_reclaim_chunk_t *chunk, void *arg)
{
    explained_t *e = arg;
    json_t *copies = e->array ? json_array () : NULL;

    if (!copies) {
        printf ("%s: %s", chunk->id, state_of (chunk));
        if (chunk->refs)
            printf (" by %" PRIu64 " pages of files or their history", chunk->refs);
        else
            print_times (chunk, e->status);
        putchar ('\n');
    }
    for (size_t i = 0; i < chunk->n_copies; i++) {
        const dfs_reclaim_copy_t *copy = &chunk->copies[i];
        const char *name = worker_name (e->status, copy->worker);

        if (!copies) {
            printf ("  %s, born %" PRIu64 "%s%s\n", name, copy->birth,
                    copy->damaged ? ", damaged" : "",
                    copy->dropped ? ", being dropped" : "");
            continue;
        }
        json_t *o = json_object ();
        json_object_set_new (o, "worker", out_text (name));
        json_object_set_new (o, "birth", out_number (copy->birth));
        json_object_set_new (o, "damaged", json_boolean (copy->damaged));
        json_object_set_new (o, "dropped", json_boolean (copy->dropped));
        json_array_append_new (copies, o);
    }
    if (copies) {
        json_t *o = json_object ();
        json_object_set_new (o, "id", out_text (chunk->id));
        json_object_set_new (o, "state", out_text (state_of (chunk)));
        json_object_set_new (o, "refs", out_number (chunk->refs));
        json_object_set_new (o, "length", out_number (chunk->length));
        json_object_set_new (o, "freed",
                             chunk->freed ? out_number (chunk->freed) : json_null ());
        json_object_set_new (o, "condemned",
                             chunk->condemned ? out_number (chunk->condemned)
                                              : json_null ());
        json_object_set_new (o, "since_ms",
                             chunk->has_since ? out_number (chunk->since_ago_ns / MS)
                                              : json_null ());
        json_object_set_new (o, "drop_in_ms",
                             chunk->condemned ? out_number (chunk->drop_in_ns / MS)
                                              : json_null ());
        json_object_set_new (o, "copies", copies);
        json_array_append_new (e->array, o);
    }
    return 0;
}

/* The first digits of one will do. */
static bool is_id (const char *text)
{
    size_t n = strlen (text);

    return n >= 8 && n <= 64 && strspn (text, "0123456789abcdefABCDEF") == n;
}

int admin_reclaim_explain (dfs_t *dfs, const char *what)
{
    ids_t list = {0};
    dfs_status_t status = {0};
    dfs_error_t err = {0};
    explained_t e = {.status = &status};
    bool by_path = !is_id (what);
    int rc = dfs_status (dfs, &status, &err);

    if (tool_common.json)
        e.array = json_array ();
    if (rc == 0 && is_id (what)) {
        rc = dfs_reclaim_explain (dfs, &what, 1, show, &e, &err);
        by_path = rc == DFS_ENOENT; /* names may look like that, too */
        rc = by_path ? 0 : rc;
    }
    if (rc == 0 && by_path) {
        char *path = path_remote (what);
        rc = dfs_locate (dfs, path, add_id, &list, &err);
        free (path);
    }
    for (size_t at = 0; rc == 0 && at < list.n; at += AT_ONCE) {
        const char *ids[AT_ONCE];
        size_t n = list.n - at < AT_ONCE ? list.n - at : AT_ONCE;

        for (size_t i = 0; i < n; i++)
            ids[i] = list.ids[at + i];
        rc = dfs_reclaim_explain (dfs, ids, n, show, &e, &err);
    }
    if (rc == 0 && e.array)
        out_json (e.array);
    else if (e.array)
        json_decref (e.array);
    free (list.ids);
    dfs_status_clear (&status);
    return rc < 0 ? tool_fail (what, &err) : 0;
}
