/* SPDX-License-Identifier: MPL-2.0 */
/* What an administrator asks of the fake cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_fake_private.h"

int dfs_worker_drain (dfs_t *dfs, const char *worker, bool drain, dfs_error_t *err)
{
    (void)dfs;
    fake_trace ("%s %s", drain ? "drain" : "undrain", worker);
    return strcmp (worker, "none") == 0 ? fail (err, DFS_ENOENT, "no such worker") : 0;
}

int dfs_worker_remove (dfs_t *dfs, const char *worker, dfs_error_t *err)
{
    (void)dfs;
    fake_trace ("remove %s", worker);
    return fail (err, DFS_EINUSE, "is in use: drain it first");
}

int dfs_broker_transfer (dfs_t *dfs, const char *broker, dfs_error_t *err)
{
    (void)dfs;
    fake_trace ("transfer %s", broker);
    return strcmp (broker, "b2") == 0 ? 0 : fail (err, DFS_ENOENT, "no such broker");
}

int dfs_broker_replace (dfs_t *dfs, const char *broker, int (*each) (void *arg),
                        void *arg, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("replace %s", broker);
    return each ? each (arg) : 0;
}

int dfs_worker_abandon (dfs_t *dfs, const char *worker, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("abandon %s", worker);
    return 0;
}

int dfs_reclaim_resume (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("reclaim resume");
    return 0;
}

int dfs_reclaim_undo (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("reclaim undo");
    return 0;
}

int dfs_reclaim_explain (dfs_t *dfs, const char *const *ids, size_t n,
                         int (*each) (const dfs_reclaim_chunk_t *chunk, void *arg),
                         void *arg, dfs_error_t *err)
{
    dfs_reclaim_copy_t copy = {.worker = 1, .birth = 7};
    dfs_reclaim_chunk_t chunk = {.recorded = true,
                                 .condemned = 9,
                                 .copies = &copy,
                                 .has_since = true,
                                 .since_ago_ns = 3000000000,
                                 .drop_in_ns = 57ULL * 60 * 1000000000};

    (void)dfs;
    (void)err;
    chunk.n_copies = 1;
    for (size_t i = 0; i < n; i++) {
        snprintf (chunk.id, sizeof chunk.id, "%s", ids[i]);
        each (&chunk, arg);
    }
    fake_trace ("reclaim explain %zu", n);
    return 0;
}

int dfs_repair_resume (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("repair resume");
    return 0;
}

int dfs_policies (dfs_t *dfs, dfs_policy_t **policies, size_t *n, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    *policies = calloc (2, sizeof **policies);
    *n = 2;
    (*policies)[0] = (dfs_policy_t){1, "default", 2, 2, 4 << 20, 0, false};
    (*policies)[1] = (dfs_policy_t){2, "copies-3", 3, 2, 4 << 20, 0, false};
    return 0;
}

int dfs_policy_set (dfs_t *dfs, const dfs_policy_t *policy, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("policy %u %s %u %u", policy->id, policy->name, policy->replicas,
                policy->min_replicas);
    return 0;
}

int dfs_policy_remove (dfs_t *dfs, uint32_t policy, dfs_error_t *err)
{
    (void)dfs;
    if (policy == 1)
        return fail (err, DFS_EINVAL, "the default policy stays");
    fake_trace ("policy %u removed", policy);
    return 0;
}

int dfs_policy_assign (dfs_t *dfs, const char *path, uint32_t policy, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    fake_trace ("assign %s %u", path, policy);
    return 0;
}

int dfs_scrub (dfs_t *dfs, const char *worker, unsigned *workers, dfs_error_t *err)
{
    (void)dfs;
    if (worker && strcmp (worker, "w1") != 0)
        return fail (err, DFS_ENOENT, "no such worker");
    *workers = worker ? 1 : 2;
    return 0;
}
