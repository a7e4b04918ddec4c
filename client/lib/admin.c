/* SPDX-License-Identifier: MPL-2.0 */
/* What an operator does: workers that leave, policies. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/client.h"
#include "common/clock.h"
#include "common/units.h"

#define ERRAND_POLL (200 * MS)
#define ERRAND_EACH 5 /* polls */

typedef struct answer {
    dfs_policy_t *policies;
    size_t n;
    bool going;
} answer_t;

static int take (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    answer_t *answer = arg;
    const Dfs__AdminReply *reply = env->admin_reply;

    if (env->body_case != DFS__ENVELOPE__BODY_ADMIN_REPLY)
        return fail (err, DFS_EPROTO, "broker answered another question");
    answer->going = reply->has_going && reply->going;
    answer->policies = calloc (reply->n_policies + 1, sizeof *answer->policies);
    assert (answer->policies);
    for (size_t i = 0; i < reply->n_policies; i++) {
        const Dfs__Policy *from = reply->policies[i];
        dfs_policy_t *to = &answer->policies[answer->n++];

        to->id = from->id;
        snprintf (to->name, sizeof to->name, "%s",
                  from->name      ? from->name
                  : from->id == 1 ? "default"
                                  : "");
        to->replicas = from->replicas;
        to->min_replicas = from->min_replicas;
        to->chunk_size = from->chunk_size;
        to->history_ns = from->history_ns;
        to->removing = from->removing > 0;
    }
    return 0;
}

static int ask (dfs_t *dfs, Dfs__Admin *body, answer_t *answer, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    answer_t none = {0};
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    env.body_case = DFS__ENVELOPE__BODY_ADMIN;
    env.admin = body;
    rc = client_ask (dfs, &env, 0, take, answer ? answer : &none, err);
    free (none.policies);
    client_leave (dfs);
    return rc;
}

static int ask_worker (dfs_t *dfs, Dfs__AdminAction action, const char *worker,
                       dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;
    char name[64];

    if (!worker || snprintf (name, sizeof name, "%s", worker) >= (int)sizeof name)
        return fail (err, DFS_EINVAL, "name of a worker is too long");
    body.action = action;
    body.worker = name;
    return ask (dfs, &body, NULL, err);
}

int dfs_worker_drain (dfs_t *dfs, const char *worker, bool drain, dfs_error_t *err)
{
    return ask_worker (
        dfs, drain ? DFS__ADMIN_ACTION__ADMIN_DRAIN : DFS__ADMIN_ACTION__ADMIN_UNDRAIN,
        worker, err);
}

int dfs_worker_remove (dfs_t *dfs, const char *worker, dfs_error_t *err)
{
    return ask_worker (dfs, DFS__ADMIN_ACTION__ADMIN_REMOVE, worker, err);
}

int dfs_repair_resume (dfs_t *dfs, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;

    body.action = DFS__ADMIN_ACTION__ADMIN_REPAIR_RESUME;
    return ask (dfs, &body, NULL, err);
}

int dfs_policies (dfs_t *dfs, dfs_policy_t **policies, size_t *n, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;
    answer_t answer = {0};
    int rc;

    *policies = NULL;
    *n = 0;
    body.action = DFS__ADMIN_ACTION__ADMIN_POLICIES;
    rc = ask (dfs, &body, &answer, err);
    if (rc < 0) {
        free (answer.policies);
        return rc;
    }
    *policies = answer.policies;
    *n = answer.n;
    return 0;
}

int dfs_policy_set (dfs_t *dfs, const dfs_policy_t *policy, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;
    Dfs__Policy p = DFS__POLICY__INIT;
    char name[sizeof policy->name];

    memccpy (name, policy->name, 0, sizeof name - 1);
    name[sizeof name - 1] = 0;
    p.id = policy->id;
    p.name = name;
    p.replicas = policy->replicas;
    p.min_replicas = policy->min_replicas;
    p.chunk_size = policy->chunk_size;
    p.history_ns = policy->history_ns;
    body.action = DFS__ADMIN_ACTION__ADMIN_POLICY_SET;
    body.policy = &p;
    return ask (dfs, &body, NULL, err);
}

int dfs_policy_remove (dfs_t *dfs, uint32_t policy, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;
    Dfs__Policy p = DFS__POLICY__INIT;

    p.id = policy;
    body.action = DFS__ADMIN_ACTION__ADMIN_POLICY_REMOVE;
    body.policy = &p;
    return ask (dfs, &body, NULL, err);
}

/* --- brokers --- */

static int pause (dfs_t *dfs, dfs_error_t *err)
{
    uint64_t until = clock_mono () + ERRAND_POLL;
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    while (rc == 0 && clock_mono () < until)
        rc = client_step (dfs, until, err);
    client_leave (dfs);
    return rc;
}

/* Asks again and again until it has ended. */
static int errand (dfs_t *dfs, Dfs__AdminAction action, const char *broker,
                   int (*each) (void *arg), void *arg, dfs_error_t *err)
{
    char name[64];

    if (!broker || snprintf (name, sizeof name, "%s", broker) >= (int)sizeof name)
        return fail (err, DFS_EINVAL, "name of a broker is too long");
    for (unsigned polls = 1;; polls++) {
        Dfs__Admin body = DFS__ADMIN__INIT;
        answer_t answer = {0};

        body.action = action;
        body.broker = name;
        int rc = ask (dfs, &body, &answer, err);
        free (answer.policies);
        if (rc < 0 || !answer.going)
            return rc;
        if (each && polls % ERRAND_EACH == 0 && (rc = each (arg)) != 0)
            return rc;
        rc = pause (dfs, err);
        if (rc < 0)
            return rc;
    }
}

int dfs_broker_transfer (dfs_t *dfs, const char *broker, dfs_error_t *err)
{
    return errand (dfs, DFS__ADMIN_ACTION__ADMIN_BROKERS_TRANSFER, broker, NULL, NULL,
                   err);
}

int dfs_broker_replace (dfs_t *dfs, const char *broker, int (*each) (void *arg),
                        void *arg, dfs_error_t *err)
{
    return errand (dfs, DFS__ADMIN_ACTION__ADMIN_BROKERS_REPLACE, broker, each, arg,
                   err);
}
