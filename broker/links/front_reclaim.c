/* SPDX-License-Identifier: MPL-2.0 */
/* What an operator asks of reclaim and rebalance. */
#include <string.h>

#include "broker/links/links_private.h"

#define KEYS_MAX     256
#define UNDO_RECORDS 1500 /* of one entry, three for each chunk */
#define UNDO_ROUNDS  2    /* entries for one request */

static void hold (links_t *self, job_t *job, bool held, char *why)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpReclaimHold set = DFS__OP_RECLAIM_HOLD__INIT;

    set.held = held;
    set.why = why;
    op.op_case = DFS__OP__OP_RECLAIM_HOLD;
    op.reclaim_hold = &set;
    log_info ("admin_reclaim", "held=%d", held);
    pending_own_for (self, &op, job);
}

static void undo_left (links_t *self, job_t *job, uint64_t left)
{
    Dfs__AdminReply reply = DFS__ADMIN_REPLY__INIT;

    reply.has_left = left > 0;
    reply.left = left;
    job->answer.body_case = DFS__ENVELOPE__BODY_ADMIN_REPLY;
    job->answer.admin_reply = &reply;
    front_reply (self, job);
}

void front_reclaim_round (links_t *self, job_t *job, uint32_t round)
{
    mail_totals_t *mail = mail_new (MAIL_TOTALS, sizeof *mail);

    mail->job = job;
    mail->round = round;
    self->n_asked++;
    storage_push (self->storage, &mail->head);
}

/* First nothing more goes, then the marks are lifted: one entry after the other, each
 * when the one before is applied. What one request does not come to the client asks
 * for again. */
void front_reclaim_totals (links_t *self, mail_totals_t *mail)
{
    static char why[] = "undone by an operator";
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpUncondemn undo = DFS__OP_UNCONDEMN__INIT;
    job_t *job = mail->job;

    if (!links_leads (self)) {
        front_not_leader (self, job);
    } else if (mail->round > 1 &&
               (mail->totals.condemned == 0 || mail->round > UNDO_ROUNDS)) {
        undo_left (self, job, mail->totals.condemned);
    } else {
        if (mail->round == 1 && !(mail->hold.held && strcmp (mail->hold.why, why) == 0))
            hold (self, NULL, true, why);
        undo.max_records = UNDO_RECORDS;
        op.op_case = DFS__OP__OP_UNCONDEMN;
        op.uncondemn = &undo;
        pending_own_round (self, &op, job, mail->round);
    }
    links_release (self, job);
    mail->job = NULL;
}

void front_reclaim (links_t *self, job_t *job)
{
    const Dfs__Admin *ask = job->env->admin;
    event_t event = {.type = EVENT_REBALANCE};

    switch (ask->action) {
    case DFS__ADMIN_ACTION__ADMIN_REBALANCE:
        log_info ("admin_rebalance", "begin=1");
        links_step (self, &event);
        job->refs++;
        front_admin_done (self, job);
        break;
    case DFS__ADMIN_ACTION__ADMIN_RECLAIM_RESUME:
        hold (self, job, false, NULL);
        break;
    case DFS__ADMIN_ACTION__ADMIN_RECLAIM_UNDO:
        job->refs++;
        front_reclaim_round (self, job, 1);
        break;
    default:
        if (ask->n_keys > KEYS_MAX)
            front_refuse (self, job, DFS_ETOOBIG, "too many chunks at once");
        else {
            job->grace_ns = self->config.cluster->reclaim_grace_ns;
            links_ask_storage (self, job);
        }
        break;
    }
}
