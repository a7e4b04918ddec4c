/* SPDX-License-Identifier: MPL-2.0 */
/* What an operator asks for: workers emptied, taken back, removed; the end of a hold.
 * All but the last are entries of the log. Policies: front_policy.c. */
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"

#define NAME_MAX_LEN 63

void front_admin_done (links_t *self, job_t *job)
{
    static Dfs__AdminReply reply = DFS__ADMIN_REPLY__INIT;

    job->answer.body_case = DFS__ENVELOPE__BODY_ADMIN_REPLY;
    job->answer.admin_reply = &reply;
    front_reply (self, job);
    links_release (self, job);
}

static void done_now (links_t *self, job_t *job)
{
    job->refs++;
    front_admin_done (self, job);
}

/* --- workers --- */

static const char *why_not (const links_t *self, uint32_t id)
{
    const char *name;

    switch (core_worker_state (self->core, id, &name)) {
    case WORKER_DEAD:
        return "data still depends on it: repair has not ended (--force gives up "
               "what only it has)";
    case WORKER_DRAINING:
        return "data still depends on it: draining has not ended";
    default:
        return "is in use: drain it first";
    }
}

static void set_worker (links_t *self, job_t *job, const Dfs__Admin *ask)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpMemberSet set = DFS__OP_MEMBER_SET__INIT;
    const Dfs__Member *found;
    Dfs__Member member;
    dfs_error_t err;

    if (check_text (ask->worker, NAME_MAX_LEN, "admin: worker", &err) < 0) {
        front_refuse (self, job, DFS_EPROTO, err.text);
        return;
    }
    found = roster_worker (self->roster, ask->worker);
    if (!found) {
        /* The answer may have been lost: it is asked again. */
        if (ask->action == DFS__ADMIN_ACTION__ADMIN_REMOVE &&
            roster_was_worker (self->roster, ask->worker))
            done_now (self, job);
        else
            front_refuse (self, job, DFS_ENOENT, "no such worker");
        return;
    }
    member = *found;
    if (ask->action == DFS__ADMIN_ACTION__ADMIN_REMOVE) {
        bool dead = core_worker_state (self->core, found->id, NULL) == WORKER_DEAD;

        if (core_may_remove (self->core, found->id) != DFS_OK &&
            !(dead && ask->has_force && ask->force)) {
            front_refuse (self, job, DFS_EINUSE, why_not (self, found->id));
            return;
        }
        member.has_removed = member.removed = true;
    } else {
        member.has_draining = true;
        member.draining = ask->action == DFS__ADMIN_ACTION__ADMIN_DRAIN;
        if (member.draining == (found->has_draining && found->draining)) {
            done_now (self, job);
            return;
        }
    }
    set.member = &member;
    op.op_case = DFS__OP__OP_MEMBER_SET;
    op.member_set = &set;
    log_info ("admin_worker", "name=%s draining=%d removed=%d", member.name,
              member.has_draining && member.draining,
              member.has_removed && member.removed);
    pending_own_for (self, &op, job);
}

void front_admin_round (links_t *self, job_t *job, uint32_t round)
{
    if (job->env->admin->action == DFS__ADMIN_ACTION__ADMIN_POLICY_REMOVE)
        front_policy_round (self, job, round);
    else
        front_reclaim_round (self, job, round);
}

void front_admin (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Admin *ask = job->env->admin;
    event_t event = {.type = EVENT_REPAIR_RESUME};

    (void)conn;
    if (!roster_admin (self->roster, job->user)) {
        front_refuse (self, job, DFS_EPERM, "only for administrators");
        return;
    }
    switch (ask->action) {
    case DFS__ADMIN_ACTION__ADMIN_DRAIN:
    case DFS__ADMIN_ACTION__ADMIN_UNDRAIN:
    case DFS__ADMIN_ACTION__ADMIN_REMOVE:
        set_worker (self, job, ask);
        break;
    case DFS__ADMIN_ACTION__ADMIN_REPAIR_RESUME:
        links_step (self, &event);
        done_now (self, job);
        break;
    case DFS__ADMIN_ACTION__ADMIN_POLICIES:
        front_policies (self, job);
        break;
    case DFS__ADMIN_ACTION__ADMIN_POLICY_SET:
        front_policy_set (self, job);
        break;
    case DFS__ADMIN_ACTION__ADMIN_POLICY_REMOVE:
        front_policy_remove (self, job);
        break;
    case DFS__ADMIN_ACTION__ADMIN_REBALANCE:
    case DFS__ADMIN_ACTION__ADMIN_RECLAIM_RESUME:
    case DFS__ADMIN_ACTION__ADMIN_RECLAIM_UNDO:
    case DFS__ADMIN_ACTION__ADMIN_RECLAIM_EXPLAIN:
        front_reclaim (self, job);
        break;
    case DFS__ADMIN_ACTION__ADMIN_BROKERS_TRANSFER:
    case DFS__ADMIN_ACTION__ADMIN_BROKERS_REPLACE:
        front_brokers (self, job);
        break;
    default:
        front_refuse (self, job, DFS_EPROTO, "admin: action");
        break;
    }
}
