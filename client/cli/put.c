/* SPDX-License-Identifier: MPL-2.0 */
/* put, update and append. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/units.h"
#include "msgs/grant.h"
#include "paths.h"
#include "progress.h"
#include "put_tree.h"
#include "verbs.h"

enum { KEY_IF_VERSION = 256, KEY_CHUNK_SIZE, KEY_REPLICAS };

#define OPTION_VERSION                                                                 \
    {                                                                                  \
        KEY_IF_VERSION, "if-version", "N", "only over version N of the file"           \
    }
#define OPTION_CHUNK                                                                   \
    {                                                                                  \
        KEY_CHUNK_SIZE, "chunk-size", "SIZE", "cut into chunks of this size"           \
    }

const tool_option_t put_options[] = {
    {'r', "recursive", NULL, "directories with everything in them"},
    {'p', "parents", NULL, "make missing directories above DEST"},
    {'n', "no-clobber", NULL, "never replace a file (exit 4)"},
    {KEY_REPLICAS, "replicas", "N", "keep N copies of each chunk"},
    OPTION_VERSION,
    OPTION_CHUNK,
    {0, NULL, NULL, NULL},
};

const tool_option_t update_options[] = {
    OPTION_VERSION,
    OPTION_CHUNK,
    {0, NULL, NULL, NULL},
};

typedef struct order {
    int flags; /* enum dfs_put_flags */
    bool recursive;
    uint64_t if_version, chunk_size;
    uint32_t replicas; /* 0: as the directory says */
} order_t;

static void read_options (order_t *order, int argc, char **argv)
{
    const char *value;
    int key;
    while ((key = tool_next (argc, argv, &value)) != -1)
        switch (key) {
        case 'r':
            order->recursive = true;
            break;
        case 'p':
            order->flags |= DFS_PUT_PARENTS;
            break;
        case 'n':
            order->flags &= ~DFS_PUT_REPLACE;
            break;
        case KEY_REPLICAS:
            order->replicas = (uint32_t)tool_number ("--replicas", value, REPLICAS_MAX);
            if (order->replicas == 0)
                tool_usage ("--replicas: from 1 to %d", REPLICAS_MAX);
            break;
        case KEY_IF_VERSION:
            order->if_version = tool_number ("--if-version", value, UINT64_MAX);
            if (order->if_version == 0)
                tool_usage (
                    "--if-version: versions begin at 1 (--no-clobber makes a new "
                    "file only)");
            break;
        case KEY_CHUNK_SIZE:
            order->chunk_size = tool_size ("--chunk-size", value);
            if (order->chunk_size < 64 * KIB || order->chunk_size > 64 * MIB)
                tool_usage ("--chunk-size: from 64KiB to 64MiB");
            break;
        default:
            break;
        }
}

/* A write with fewer copies than the policy wants is acknowledged only while workers
 * are dead; the user should know. */
static void warn_copies (const put_batch_t *batch)
{
    if (batch->short_files == 0 || tool_common.quiet)
        return;
    tool_error (NULL, "stored, but %swith %u of %u copies: workers are missing",
                batch->short_files == batch->files ? "" : "partly ", batch->copies,
                batch->wanted);
}

static void say_sum (const put_batch_t *batch)
{
    char size[32], sent[64];
    snprintf (sent, sizeof sent, ", %s sent",
              units_format_size (size, sizeof size, batch->sent));
    progress_sum (batch->files, batch->bytes, sent);
}

/* One source; what is wrong with it is said. */
static void put_one (put_batch_t *batch, const order_t *order, const char *source,
                     const target_t *target)
{
    struct stat st;
    if (strcmp (source, "-") == 0) {
        if (target->into) {
            tool_error (target->path, "is a directory, and standard input has no name");
            tool_worst (&batch->status, dfs_error_status (DFS_EISDIR));
        } else
            put_batch_add (batch, NULL, STDIN_FILENO, target->path, order->if_version);
        return;
    }
    if ((order->recursive ? lstat : stat) (source, &st) < 0) {
        dfs_error_t err = {.code = error_from_errno (errno)};
        snprintf (err.text, sizeof err.text, "%s", strerror (errno));
        tool_worst (&batch->status, tool_fail (source, &err));
        return;
    }
    if (S_ISDIR (st.st_mode) && !order->recursive) {
        tool_error (source, "is a directory (-r stores directories)");
        tool_worst (&batch->status, dfs_error_status (DFS_EISDIR));
        return;
    }
    char *name = path_local_name (source);
    char *dest = target_for (target, name);
    if (order->recursive && !S_ISREG (st.st_mode))
        put_tree (batch, source, dest);
    else if (strcmp (dest, "/") == 0) {
        tool_error (source, "has no name to be stored under");
        tool_worst (&batch->status, TOOL_EXIT_USAGE);
    } else
        put_batch_add (batch, source, -1, dest, order->if_version);
    free (dest);
    free (name);
}

/* Bytes and files to come, when there is a bar to show them. */
static void measure (put_batch_t *batch, const order_t *order, char **sources, int n)
{
    if (tool_common.quiet || !isatty (STDERR_FILENO))
        return;
    for (int i = 0; i < n; i++) {
        struct stat st;
        if (strcmp (sources[i], "-") == 0) {
            batch->bytes_total = batch->files_total = 0;
            return;
        }
        if (order->recursive)
            put_tree_measure (sources[i], &batch->bytes_total, &batch->files_total);
        else if (stat (sources[i], &st) == 0 && S_ISREG (st.st_mode)) {
            batch->files_total++;
            batch->bytes_total += (uint64_t)st.st_size;
        }
    }
}

static int run (order_t *order, char **sources, int n, const char *dest)
{
    put_batch_t batch;
    target_t target = {0};
    dfs_error_t err = {0};
    dfs_t *dfs = tool_open ();
    put_batch_init (&batch, dfs, order->flags, order->chunk_size);
    if (order->replicas) {
        batch.options.policy = admin_policy_of (dfs, order->replicas);
        batch.options.replicas = order->replicas;
        batch.assign = true;
    }
    progress_begin (order->flags & DFS_PUT_APPEND ? "append" : "put",
                    tool_common.quiet);
    int rc = target_remote (dfs, dest, n > 1, &target, &err);
    if (rc == DFS_ENOENT && order->flags & DFS_PUT_PARENTS) {
        rc = dfs_mkdir (dfs, target.path, 0755, true, &err);
        target.into = rc == 0;
    }
    if (rc < 0)
        batch.status = tool_fail (dest, &err);
    else {
        measure (&batch, order, sources, n);
        for (int i = 0; i < n && !batch.canceled; i++)
            put_one (&batch, order, sources[i], &target);
        put_batch_flush (&batch);
    }
    progress_end ();
    if (tool_common.json)
        out_array_end (&batch.json);
    warn_copies (&batch);
    say_sum (&batch);
    int status = batch.status;
    target_clear (&target);
    put_batch_clear (&batch);
    dfs_close (&dfs);
    progress_finish_signal ();
    return status;
}

int verb_put (int argc, char **argv)
{
    order_t order = {.flags = DFS_PUT_CREATE | DFS_PUT_REPLACE};
    read_options (&order, argc, argv);
    tool_operands (argc, 1, INT32_MAX);
    int n = argc - optind;
    char **operands = argv + optind;
    if (n == 1 && strcmp (operands[0], "-") == 0)
        tool_usage ("'-' needs a DEST");
    const char *dest = n == 1 ? "/" : operands[--n];
    if (order.if_version && (n > 1 || order.recursive))
        tool_usage ("--if-version goes with one file");
    for (int i = 0; i < n; i++)
        if (n > 1 && strcmp (operands[i], "-") == 0)
            tool_usage ("'-' must be the only SRC");
    return run (&order, operands, n, dest);
}

int verb_update (int argc, char **argv)
{
    order_t order = {.flags = DFS_PUT_REPLACE};
    read_options (&order, argc, argv);
    tool_operands (argc, 2, 2);
    return run (&order, argv + optind, 1, argv[optind + 1]);
}

int verb_append (int argc, char **argv)
{
    order_t order = {.flags = DFS_PUT_CREATE | DFS_PUT_APPEND};
    read_options (&order, argc, argv);
    tool_operands (argc, 2, 2);
    return run (&order, argv + optind, 1, argv[optind + 1]);
}
