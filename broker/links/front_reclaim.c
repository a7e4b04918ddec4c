/* SPDX-License-Identifier: MPL-2.0 */
/* What an operator asks of reclaim and rebalance. */
#include "broker/links/links_private.h"

#define KEYS_MAX     256
#define UNDO_RECORDS 9000 /* of one entry */
#define UNDO_CHUNKS  2000 /* that it lifts at least */
#define UNDO_ENTRIES 1000

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

/* First nothing more goes, then the marks are lifted, in as many entries as it takes.
 */
void front_reclaim_totals (links_t *self, mail_totals_t *mail)
{
    static char why[] = "undone by an operator";
    job_t *job = mail->job;
    uint64_t n = mail->totals.condemned / UNDO_CHUNKS + 1;

    if (n > UNDO_ENTRIES)
        n = UNDO_ENTRIES; /* the rest by asking again */

    hold (self, NULL, true, why);
    for (uint64_t i = 0; i < n; i++) {
        Dfs__Op op = DFS__OP__INIT;
        Dfs__OpUncondemn undo = DFS__OP_UNCONDEMN__INIT;

        undo.max_records = UNDO_RECORDS;
        op.op_case = DFS__OP__OP_UNCONDEMN;
        op.uncondemn = &undo;
        pending_own_for (self, &op, i + 1 == n ? job : NULL);
    }
    links_release (self, job);
    mail->job = NULL;
}

void front_reclaim (links_t *self, job_t *job)
{
    const Dfs__Admin *ask = job->env->admin;
    event_t event = {.type = EVENT_REBALANCE};
    mail_totals_t *mail;

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
        mail = mail_new (MAIL_TOTALS, sizeof *mail);
        mail->job = job;
        job->refs++;
        storage_push (self->storage, &mail->head);
        break;
    default:
        if (ask->n_keys > KEYS_MAX)
            front_refuse (self, job, DFS_ETOOBIG, "too many chunks at once");
        else
            links_ask_storage (self, job);
        break;
    }
}
