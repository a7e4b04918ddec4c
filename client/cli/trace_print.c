/* SPDX-License-Identifier: MPL-2.0 */
#include "trace_print.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/units.h"
#include "output.h"
#include "progress.h"
#include "tool.h"

static double ms (uint64_t ns)
{
    return (double)ns / (double)MS;
}

static void print_json (FILE *file, uint64_t operation, uint64_t ns,
                        const dfs_hop_t *hops, size_t n)
{
    char id[20];
    json_t *o = json_object (), *array = json_array ();

    snprintf (id, sizeof id, "%016" PRIx64, operation);
    json_object_set_new (o, "request", json_string (id));
    json_object_set_new (o, "ms", json_real (ms (ns)));
    for (size_t i = 0; i < n; i++) {
        json_t *hop = json_object ();
        json_object_set_new (hop, "node", out_text (hops[i].node));
        json_object_set_new (hop, "step", out_text (hops[i].step));
        json_object_set_new (hop, "times", out_number (hops[i].times));
        json_object_set_new (hop, "ms", json_real (ms (hops[i].ns)));
        json_object_set_new (hop, "longest_ms", json_real (ms (hops[i].longest_ns)));
        json_object_set_new (hop, "bytes", out_number (hops[i].bytes));
        json_array_append_new (array, hop);
    }
    json_object_set_new (o, "hops", array);
    char *text = json_dumps (o, JSON_COMPACT | JSON_REAL_PRECISION (9));
    fprintf (file, "%s\n", text ? text : "");
    free (text);
    json_decref (o);
}

static void print_text (FILE *file, uint64_t operation, uint64_t ns,
                        const dfs_hop_t *hops, size_t n)
{
    fprintf (file, "trace %016" PRIx64 ": %.3f ms\n", operation, ms (ns));
    fprintf (file, "  %-12s %-18s %7s %12s %12s %10s\n", "node", "step", "times", "ms",
             "longest ms", "bytes");
    for (size_t i = 0; i < n; i++) {
        char bytes[32] = "-";
        if (hops[i].bytes)
            units_format_size (bytes, sizeof bytes, hops[i].bytes);
        fprintf (file, "  %-12s %-18s %7" PRIu64 " %12.3f %12.3f %10s\n", hops[i].node,
                 hops[i].step, hops[i].times, ms (hops[i].ns), ms (hops[i].longest_ns),
                 bytes);
    }
}

void trace_print (uint64_t operation, uint64_t ns, const dfs_hop_t *hops, size_t n,
                  void *arg)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    (void)arg;
    pthread_mutex_lock (&lock);
    progress_clear ();
    (tool_common.json ? print_json : print_text) (stderr, operation, ns, hops, n);
    pthread_mutex_unlock (&lock);
}
