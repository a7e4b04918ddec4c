/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/policies.h"

#include <stdlib.h>

#include "broker/core/members.h"

struct policies {
    table_t *by_id;
};

static bool match_policy (const void *entry, const void *key)
{
    return ((const core_policy_t *)entry)->id == *(const uint32_t *)key;
}

policies_t *policies_new (void)
{
    policies_t *self = core_zalloc (sizeof *self);

    self->by_id = table_new (match_policy);
    return self;
}

void policies_destroy (policies_t **self_p)
{
    size_t cursor = 0;
    core_policy_t *policy;

    if (!*self_p)
        return;
    while ((policy = table_next ((*self_p)->by_id, &cursor)))
        free (policy);
    table_destroy (&(*self_p)->by_id);
    free (*self_p);
    *self_p = NULL;
}

void policies_set (core_t *core, const core_policy_t *policy)
{
    uint32_t id = policy->id;
    core_policy_t *mine = table_get (core->policies->by_id, table_hash (id), &id);

    if (!mine) {
        mine = core_zalloc (sizeof *mine);
        mine->id = id;
        table_put (core->policies->by_id, table_hash (id), mine);
    }
    mine->replicas = policy->replicas > 0 ? policy->replicas : 1;
    if (mine->replicas > REPLICAS_MAX) /* of a log that took more */
        mine->replicas = REPLICAS_MAX;
    mine->min_replicas = policy->min_replicas > 0 ? policy->min_replicas : 1;
    if (mine->min_replicas > mine->replicas)
        mine->min_replicas = mine->replicas;
}

const core_policy_t *policies_find (const core_t *core, uint32_t id)
{
    if (id == 0)
        id = POLICY_DEFAULT;
    return table_get (core->policies->by_id, table_hash (id), &id);
}

size_t policies_count (const core_t *core)
{
    return table_count (core->policies->by_id);
}

bool policy_enough (const core_t *core, const core_policy_t *policy, uint32_t copies)
{
    return copies >= policy->replicas ||
           (copies >= policy->min_replicas &&
            policy->replicas - copies <= members_in_state (core, WORKER_DEAD));
}
