/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/commits.h"

#include <stdlib.h>

#include "broker/core/policies.h"

/* A check that waits for storage. */
typedef struct commit {
    uint64_t lookup; /* token of the look-up */
    uint64_t session;
    uint64_t token; /* the reactor's */
    uint32_t policy;
    uint32_t fewest;
    uint64_t *lengths; /* of what is looked up, as the entry says; 0 not told */
    bool differs;      /* from what is stored */
    copykey_t *missing;
    size_t n_missing;
    size_t cap_missing;
} commit_t;

struct commits {
    table_t *waiting;
};

static bool match_commit (const void *entry, const void *key)
{
    return ((const commit_t *)entry)->lookup == *(const uint64_t *)key;
}

commits_t *commits_new (void)
{
    commits_t *self = core_zalloc (sizeof *self);

    self->waiting = table_new (match_commit);
    return self;
}

static void free_commit (commit_t *commit)
{
    free (commit->missing);
    free (commit->lengths);
    free (commit);
}

void commits_destroy (commits_t **self_p)
{
    size_t cursor = 0;
    commit_t *commit;

    if (!*self_p)
        return;
    while ((commit = table_next ((*self_p)->waiting, &cursor)))
        free_commit (commit);
    table_destroy (&(*self_p)->waiting);
    free (*self_p);
    *self_p = NULL;
}

static void refuse (core_t *core, uint64_t session, uint64_t token, int code,
                    const copykey_t *missing, size_t n)
{
    action_t *action = actions_add (core->out, ACTION_COMMIT_REFUSED);

    action->u.commit_refused.session = session;
    action->u.commit_refused.token = token;
    action->u.commit_refused.code = code;
    action->u.commit_refused.missing =
        actions_dup (core->out, missing, n * sizeof *missing);
    action->u.commit_refused.n = n;
}

static void decide (core_t *core, const commit_t *commit)
{
    action_t *action;

    if (commit->differs) {
        refuse (core, commit->session, commit->token, DFS_EINVAL, NULL, 0);
        return;
    }
    if (commit->n_missing > 0) {
        refuse (core, commit->session, commit->token, DFS_EMISSING, commit->missing,
                commit->n_missing);
        return;
    }
    action = actions_add (core->out, ACTION_COMMIT_OK);
    action->u.commit_ok.session = commit->session;
    action->u.commit_ok.token = commit->token;
    action->u.commit_ok.copies = commit->fewest;
}

static void miss (commit_t *commit, const copykey_t *key)
{
    void *data = commit->missing;

    core_grow (&data, &commit->cap_missing, commit->n_missing, sizeof *commit->missing);
    commit->missing = data;
    commit->missing[commit->n_missing++] = *key;
}

/* COPIES that are durable are enough: notes it. */
static bool enough (const core_t *core, commit_t *commit, uint32_t copies)
{
    const core_policy_t *policy = policies_find (core, commit->policy);

    if (!policy || !policy_enough (core, policy, copies))
        return false;
    if (copies < commit->fewest)
        commit->fewest = copies;
    return true;
}

void commits_event (core_t *core, const event_commit_t *event)
{
    commits_t *self = core->commits;
    commit_t *commit;
    copykey_t *unknown;
    size_t n = 0;
    action_t *action;

    if (!core->leader || event->n > CORE_COMMIT_KEYS ||
        !policies_find (core, event->policy) ||
        table_count (self->waiting) >= core->config.max_requests) {
        refuse (core, event->session, event->token,
                !core->leader                          ? DFS_ENOTLEADER
                : event->n > CORE_COMMIT_KEYS          ? DFS_ETOOBIG
                : !policies_find (core, event->policy) ? DFS_EINVAL
                                                       : DFS_EAGAIN,
                NULL, 0);
        return;
    }
    commit = core_zalloc (sizeof *commit);
    commit->session = event->session;
    commit->token = event->token;
    commit->policy = event->policy;
    commit->fewest = UINT32_MAX;
    unknown = actions_alloc (core->out, event->n * sizeof *unknown);
    commit->lengths = core_zalloc (event->n * sizeof *commit->lengths + 1);
    for (size_t i = 0; i < event->n; i++) {
        const chunk_t *chunk = chunks_find (core, &event->keys[i]);
        uint64_t length = event->lengths ? event->lengths[i] : 0;

        if (chunk && length > 0 && chunk_differs (chunk, length))
            commit->differs = true;
        else if (chunk && enough (core, commit, chunk_durable (core, chunk)))
            continue;
        else if (chunk && chunk_known (core, chunk))
            miss (commit, &event->keys[i]);
        else {
            commit->lengths[n] = length;
            unknown[n++] = event->keys[i];
        }
    }
    if (n == 0 || commit->differs) {
        decide (core, commit);
        free_commit (commit);
        return;
    }
    commit->lookup = core_id (core);
    table_put (self->waiting, table_hash (commit->lookup), commit);
    action = actions_add (core->out, ACTION_LOOKUP_CHUNKS);
    action->u.chunks.token = commit->lookup;
    action->u.chunks.keys = unknown;
    action->u.chunks.n = n;
}

static uint32_t present_copies (const core_t *core, const core_chunk_t *found)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < found->n_copies && i < CORE_COPIES; i++) {
        const worker_t *worker = members_find (core, found->copies[i].worker);

        if (worker && !found->copies[i].damaged &&
            found->copies[i].birth >= found->condemned && worker_there (worker))
            n++;
    }
    return n;
}

bool commits_found (core_t *core, const event_chunks_t *found)
{
    commit_t *commit =
        table_remove (core->commits->waiting, table_hash (found->token), &found->token);

    if (!commit)
        return false;
    if (found->code != DFS_OK) {
        refuse (core, commit->session, commit->token, found->code, NULL, 0);
        free_commit (commit);
        return true;
    }
    for (size_t i = 0; i < found->n; i++) {
        chunk_t *chunk = chunks_find (core, &found->chunks[i].key);
        uint32_t copies;

        if (commit->lengths[i] > 0 && found->chunks[i].n_copies > 0 &&
            found->chunks[i].length != commit->lengths[i])
            commit->differs = true;
        if (chunk)
            chunks_merge (core, chunk, &found->chunks[i]);
        copies = chunk ? chunk_durable (core, chunk)
                       : present_copies (core, &found->chunks[i]);
        if (!enough (core, commit, copies))
            miss (commit, &found->chunks[i].key);
    }
    decide (core, commit);
    free_commit (commit);
    return true;
}
