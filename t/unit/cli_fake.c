/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_fake_private.h"

struct dfs {
    int unused;
};

static const char *root, *trace_path;

void fake_setup (const char *own_root, const char *own_trace)
{
    root = own_root;
    trace_path = own_trace;
}

void fake_trace (const char *fmt, ...)
{
    va_list ap;
    FILE *file = fopen (trace_path, "a");
    assert (file);
    va_start (ap, fmt);
    vfprintf (file, fmt, ap);
    va_end (ap);
    fputc ('\n', file);
    fclose (file);
}

const char *fake_path (const char *path)
{
    /* Two, since many calls name two paths. */
    static __thread char bufs[2][2 * PATH_MAX];
    static __thread int turn;
    turn = !turn;
    assert (*path == '/');
    snprintf (bufs[turn], sizeof bufs[turn], "%s%s", root, path);
    return bufs[turn];
}

int fake_errno (dfs_error_t *err, const char *path)
{
    int code = error_from_errno (errno);
    return fail (err, code, "%s: %s", path, dfs_error_text (code));
}

dfs_t *dfs_open (const dfs_options_t *options, dfs_error_t *err)
{
    if (options->config && strcmp (options->config, "/down") == 0) {
        fail (err, DFS_EUNAVAIL, "no broker answers");
        return NULL;
    }
    return calloc (1, sizeof (dfs_t));
}

void dfs_close (dfs_t **dfs_p)
{
    free (*dfs_p);
    *dfs_p = NULL;
}

const char *dfs_version (void)
{
    return "0.0.0";
}

static uint64_t looks;

int dfs_rebalance (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("rebalance");
    looks++;
    return 0;
}

static _Atomic int held = -1;

void fake_hold (int fd)
{
    held = fd;
}

int dfs_status (dfs_t *dfs, dfs_status_t *status, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    if (held >= 0)
        poll (&(struct pollfd){held, POLLIN, 0}, 1, -1);
    memset (status, 0, sizeof *status);
    strcpy (status->cluster, "fake \"one\"");
    strcpy (status->health, "ok");
    strcpy (status->epoch, "1.1");
    status->workers = calloc (2, sizeof *status->workers);
    status->n_workers = 2;
    for (size_t i = 0; i < 2; i++) {
        dfs_worker_info_t *w = &status->workers[i];
        snprintf (w->name, sizeof w->name, "w%zu", i + 1);
        strcpy (w->state, i ? "dead" : "up");
        strcpy (w->condition, "ok");
        w->bytes_used = 3 << 20;
        w->bytes_live = 2 << 20;
        w->bytes_free = 9 << 20;
        w->chunks = w->copies = 4;
    }
    status->workers[0].cache_hits = 1;
    status->workers[0].cache_misses = 3;
    status->reads = 12;
    status->reads_hedged = 3;
    status->reads_stolen = 2;
    status->chunks = 4;
    status->bytes_logical = 8192;
    status->bytes_unique = 4096;
    status->replicas = 2;
    status->rebalance_looks = looks;
    status->fill_mean = 400;
    status->fill_farthest = 12;
    strcpy (status->fill_farthest_worker, "w2");
    status->repair_queued = 2; /* nobody can tell how long */
    status->unmet = calloc (1, sizeof *status->unmet);
    status->n_unmet = 1;
    *status->unmet = (dfs_unmet_t){.level = 2, .example = "dc1/rack1", .chunks = 20};
    return 0;
}

void dfs_status_clear (dfs_status_t *status)
{
    free (status->unmet);
    free (status->workers);
    memset (status, 0, sizeof *status);
}
