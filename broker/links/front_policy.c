/* SPDX-License-Identifier: MPL-2.0 */
/* What an operator does with policies. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"

#define NAME_MAX_LEN   63
#define DEFAULT_POLICY 1

void front_policies (links_t *self, job_t *job)
{
    Dfs__AdminReply reply = DFS__ADMIN_REPLY__INIT;

    reply.policies = roster_policies (self->roster, &reply.n_policies);
    job->answer.body_case = DFS__ENVELOPE__BODY_ADMIN_REPLY;
    job->answer.admin_reply = &reply;
    front_reply (self, job);
}

void front_policy_set (links_t *self, job_t *job)
{
    const Dfs__Admin *ask = job->env->admin;
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpPolicySet set = DFS__OP_POLICY_SET__INIT;
    Dfs__Policy policy, **all;
    const Dfs__Policy *old = NULL;
    size_t n;
    dfs_error_t err;

    if (!ask->policy || !ask->policy->name ||
        check_text (ask->policy->name, NAME_MAX_LEN, "admin: name of a policy", &err) <
            0) {
        front_refuse (self, job, DFS_EPROTO, "admin: policy");
        return;
    }
    policy = *ask->policy;
    all = roster_policies (self->roster, &n);
    for (size_t i = 0; i < n && policy.id > 0; i++) {
        if (all[i]->id == policy.id)
            old = all[i];
        else if (all[i]->name && strcmp (all[i]->name, policy.name) == 0) {
            front_refuse (self, job, DFS_EEXIST, "another policy has this name");
            return;
        }
    }
    if (policy.id > 0 && !old) {
        front_refuse (self, job, DFS_ENOENT, "no such policy");
        return;
    }
    /* One that is new gets its number where all agree on it: at apply. */
    set.policy = &policy;
    op.op_case = DFS__OP__OP_POLICY_SET;
    op.policy_set = &set;
    log_info ("admin_policy", "id=%u name=%s replicas=%u", policy.id, policy.name,
              policy.replicas);
    pending_own_for (self, &op, job);
}

/* --- one is removed --- */

static const Dfs__Policy *find (const links_t *self, uint32_t id)
{
    size_t n;
    Dfs__Policy **all = roster_policies (self->roster, &n);

    for (size_t i = 0; i < n; i++)
        if (all[i]->id == id)
            return all[i];
    return NULL;
}

/* Takes the reference to JOB. */
void front_policy_round (links_t *self, job_t *job, uint32_t round)
{
    mail_policy_t *mail = mail_new (MAIL_POLICY, sizeof *mail);

    mail->job = job;
    mail->round = round;
    mail->use.policy = job->env->admin->policy->id;
    storage_push (self->storage, &mail->head);
}

void front_policy_remove (links_t *self, job_t *job)
{
    const Dfs__Policy *asked = job->env->admin->policy;

    if (!asked) {
        front_refuse (self, job, DFS_EPROTO, "admin: policy");
    } else if (!find (self, asked->id)) {
        front_refuse (self, job, DFS_ENOENT, "no such policy");
    } else if (asked->id == DEFAULT_POLICY) {
        front_refuse (self, job, DFS_EINVAL, "the default policy stays");
    } else {
        job->refs++;
        front_policy_round (self, job, 1);
    }
}

static void propose (links_t *self, job_t *job, const policy_use_t *use,
                     Dfs__PolicyRemoveStep step, uint32_t round)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpPolicyRemove remove = DFS__OP_POLICY_REMOVE__INIT;

    remove.id = use->policy;
    remove.step = step;
    remove.has_begun = use->removing > 0;
    remove.begun = use->removing;
    op.op_case = DFS__OP__OP_POLICY_REMOVE;
    op.policy_remove = &remove;
    log_info ("admin_policy", "id=%" PRIu32 " remove=%d", use->policy, (int)step);
    pending_own_round (self, &op, job, round);
}

static size_t count (char *text, size_t len, size_t cap, uint64_t n, const char *one,
                     const char *many)
{
    if (n > 0 && len < cap)
        len += (size_t)snprintf (text + len, cap - len, "%s%" PRIu64 " %s",
                                 len > 0 ? ", " : "", n, n == 1 ? one : many);
    return len;
}

/* Says what is under it; false: nothing is. */
static bool used (const policy_use_t *use, char *text, size_t cap)
{
    size_t len = 0;

    text[0] = 0;
    len = count (text, len, cap, use->directories, "directory", "directories");
    len = count (text, len, cap, use->files, "file", "files");
    len = count (text, len, cap, use->past, "state of a file kept by history",
                 "states of files kept by history");
    len = count (text, len, cap, use->uploads, "upload", "uploads");
    len = count (text, len, cap, use->chunks, "chunk", "chunks");
    return len > 0;
}

void front_policy_found (links_t *self, mail_policy_t *mail)
{
    const policy_use_t *use = &mail->use;
    job_t *job = mail->job;
    char what[200], text[240];

    if (!links_leads (self)) {
        front_not_leader (self, job);
    } else if (mail->code < 0) {
        front_refuse (self, job, mail->code, "it cannot be told what is under it");
    } else if (used (use, what, sizeof what)) {
        if (use->removing > 0)
            propose (self, NULL, use, DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_CANCEL, 0);
        snprintf (text, sizeof text, "is in use: %s", what);
        front_refuse (self, job, DFS_EINUSE, text);
    } else if (mail->round > 1 && use->removing > 0) {
        propose (self, job, use, DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_END, 0);
    } else if (mail->round > 1) {
        front_refuse (self, job, DFS_ECONFLICT, "it was changed meanwhile");
    } else {
        propose (self, job, use, DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_BEGIN, 1);
    }
    links_release (self, job);
    mail->job = NULL;
}
