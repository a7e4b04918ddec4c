/* SPDX-License-Identifier: MPL-2.0 */
/* What the hellos of clients and workers have in common. */
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"

int hello_check (links_t *self, const job_t *job, Dfs__Role role, const char *domain,
                 dfs_error_t *err)
{
    const Dfs__Hello *hello = job->env->hello;
    const cluster_t *cluster = self->config.cluster;
    char name[CORE_NAME_MAX];

    int rc = check_text (hello->name, CORE_NAME_MAX - 1, "name", err);
    if (rc < 0)
        return rc;
    if (hello->cluster_id.len != sizeof cluster->id ||
        memcmp (hello->cluster_id.data, cluster->id, sizeof cluster->id) != 0)
        return fail (err, DFS_ECLUSTER, "%s belongs to another cluster", hello->name);
    if (hello->version_min > ENVELOPE_VERSION || hello->version_max < ENVELOPE_VERSION)
        return fail (err, DFS_EVERSION, "versions %u to %u, this broker speaks %u",
                     hello->version_min, hello->version_max, ENVELOPE_VERSION);
    if (hello->role != role)
        return fail (err, DFS_EAUTH, "role %d has no place on %s", (int)hello->role,
                     domain);
    if (!cluster->secure)
        return DFS_OK;
    if (!job->from.has_key ||
        (hello->has_key &&
         (hello->key.len != 32 || memcmp (hello->key.data, job->from.key, 32) != 0)))
        return fail (err, DFS_EAUTH, "key is not that of the connection");
    if (zap_lookup (self->config.zap, domain, job->from.key, name, sizeof name) !=
            (int)role ||
        strcmp (name, hello->name) != 0)
        return fail (err, DFS_EAUTH, "the key is not that of %s", hello->name);
    return DFS_OK;
}

Dfs__Welcome *hello_welcome (links_t *self)
{
    Dfs__Welcome *w;
    Dfs__Epoch *epoch;

    arena_reset (self->scratch);
    w = links_need (self, sizeof *w);
    epoch = links_need (self, sizeof *epoch);
    dfs__welcome__init (w);
    dfs__epoch__init (epoch);
    epoch->incarnation = self->incarnation;
    epoch->term = self->term;
    w->version = ENVELOPE_VERSION;
    w->epoch = epoch;
    w->cluster = links_text (self, self->config.cluster->name);
    w->broker = links_text (self, self->config.broker->name);
    const char *leader = links_leader (self);
    w->leader = leader ? links_text (self, leader) : NULL;
    w->has_log_time_ns = true;
    w->log_time_ns = links_log_time (self);
    return w;
}
