/* SPDX-License-Identifier: MPL-2.0 */
/* get and cat. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "get_tree.h"
#include "paths.h"
#include "progress.h"
#include "verbs.h"

enum { KEY_RANGE = 256, KEY_SYNC };

const tool_option_t get_options[] = {
    {'r', "recursive", NULL, "directories with everything in them"},
    {KEY_RANGE, "range", "A-B",
     "bytes A to B, both included; A- to the end; -N the last N"},
    {KEY_SYNC, "sync", NULL, "fsync each file before it gets its name"},
    {TOOL_STALE, "stale", NULL, TOOL_STALE_HELP},
    {0, NULL, NULL, NULL},
};

/* Bytes FIRST to LAST; "-N": suffix. */
typedef struct range {
    bool given, suffix;
    uint64_t first, last;
} range_t;

typedef struct order {
    bool recursive, sync;
    range_t range;
} order_t;

static range_t parse_range (const char *text)
{
    range_t range = {.given = true, .last = UINT64_MAX};
    const char *dash = strchr (text, '-');
    char first[32];
    if (!dash || !text[1] || (size_t)(dash - text) >= sizeof first)
        tool_usage ("--range: '%s' is not of the form A-B, A- or -N", text);
    snprintf (first, sizeof first, "%.*s", (int)(dash - text), text);
    range.suffix = !*first;
    if (range.suffix)
        range.first = tool_number ("--range", dash + 1, UINT64_MAX);
    else {
        range.first = tool_number ("--range", first, UINT64_MAX);
        if (dash[1])
            range.last = tool_number ("--range", dash + 1, UINT64_MAX - 1);
    }
    if (range.first > range.last)
        tool_usage ("--range: '%s' ends before it begins", text);
    return range;
}

/* Offset and length of RANGE in a file of SIZE bytes. */
static int apply_range (const range_t *range, uint64_t size, uint64_t *offset,
                        uint64_t *length, dfs_error_t *err)
{
    *offset = range->first;
    if (range->suffix)
        *offset = range->first < size ? size - range->first : 0;
    else if (range->first >= size)
        return fail (err, DFS_EINVAL,
                     "the range begins at or behind its end (%" PRIu64 " bytes)", size);
    uint64_t last = range->suffix || range->last >= size ? size - 1 : range->last;
    *length = size ? last - *offset + 1 : 0;
    return 0;
}

/* One source to TARGET, or to standard output when that is NULL. */
static void get_one (get_batch_t *batch, const order_t *order, const char *operand,
                     const target_t *target)
{
    char *source = path_remote (operand);
    dfs_stat_t st = {0};
    dfs_error_t err = {0};
    uint64_t offset = 0, length = UINT64_MAX;
    bool look =
        order->recursive || order->range.given || path_means_directory (operand);
    int rc = 0;
    if (look)
        rc = dfs_stat (batch->dfs, source, !order->recursive, &st, &err);
    if (rc == 0 && order->range.given && st.type == DFS_FILE)
        rc = apply_range (&order->range, st.size, &offset, &length, &err);
    if (rc == 0 && look && path_means_directory (operand) && st.type != DFS_DIRECTORY)
        rc = fail (&err, DFS_ENOTDIR, "not a directory");
    char *dest = target ? target_for (target, path_last (source)) : NULL;
    if (rc < 0)
        tool_worst (&batch->status, tool_fail (source, &err));
    else if (order->recursive && st.type == DFS_DIRECTORY && dest)
        get_tree (batch, source, &st, dest);
    else if (order->recursive && st.type == DFS_SYMLINK && dest) {
        if (path_symlink (st.target ? st.target : "", dest, st.mtime_ns, &err) < 0)
            tool_worst (&batch->status, tool_fail (NULL, &err));
    } else
        get_batch_add (batch, source, dest, STDOUT_FILENO, offset, length);
    dfs_stat_clear (&st);
    free (dest);
    free (source);
}

static int run (const order_t *order, char **operands, int n, const char *dest)
{
    get_batch_t batch;
    target_t target = {0};
    dfs_error_t err = {0};
    bool to_stdout = strcmp (dest, "-") == 0;
    dfs_t *dfs = tool_open ();
    get_batch_init (&batch, dfs, order->sync);
    progress_begin ("get", tool_common.quiet || (to_stdout && isatty (STDOUT_FILENO)));
    if (!to_stdout && target_local (dest, n > 1, &target, &err) < 0)
        batch.status = tool_fail (dest, &err);
    else {
        for (int i = 0; i < n && !batch.canceled; i++)
            get_one (&batch, order, operands[i], to_stdout ? NULL : &target);
        get_batch_flush (&batch);
    }
    progress_end ();
    progress_sum (batch.files, batch.bytes, "");
    int status = batch.status;
    target_clear (&target);
    get_batch_clear (&batch);
    dfs_close (&dfs);
    progress_finish_signal ();
    return status;
}

int verb_get (int argc, char **argv)
{
    order_t order = {0};
    const char *value;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        switch (key) {
        case 'r':
            order.recursive = true;
            break;
        case KEY_RANGE:
            order.range = parse_range (value);
            break;
        case KEY_SYNC:
            order.sync = true;
            break;
        default:
            break;
        }
    tool_operands (argc, 1, INT32_MAX);
    int n = argc - optind;
    char **operands = argv + optind;
    const char *dest = n == 1 ? "." : operands[--n];
    if (order.recursive && strcmp (dest, "-") == 0)
        tool_usage ("a directory cannot go to standard output");
    if (order.recursive && order.range.given)
        tool_usage ("--range goes with files");
    return run (&order, operands, n, dest);
}

int verb_cat (int argc, char **argv)
{
    order_t order = {0};
    while (tool_next (argc, argv, NULL) != -1)
        continue;
    tool_operands (argc, 1, INT32_MAX);
    return run (&order, argv + optind, argc - optind, "-");
}
