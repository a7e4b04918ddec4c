/* SPDX-License-Identifier: MPL-2.0 */
/* Scrub: an administrator has workers hash their copies again. */
#include <string.h>

#include "broker/links/links_private.h"

static void order_scrub (links_t *self, conn_t *conn, Dfs__ScrubReply *reply)
{
    reply->workers[reply->n_workers++] = links_text (self, conn->name);
    act_scrub (self, conn);
}

/* The order is given to who is there; one that is away hears nothing of it. */
void front_scrub (links_t *self, conn_t *conn, job_t *job)
{
    const char *name = job->env->scrub->worker;
    const Dfs__Member *member = name ? roster_worker (self->roster, name) : NULL;
    Dfs__ScrubReply reply = DFS__SCRUB_REPLY__INIT;
    size_t pos = 0;

    if (!roster_admin (self->roster, job->user)) {
        front_refuse (self, job, DFS_EPERM, "only for administrators");
        return;
    }
    if (name && !member) {
        front_refuse (self, job, DFS_ENOENT, "no such worker");
        return;
    }
    arena_reset (self->scratch);
    reply.workers =
        links_need (self, idmap_count (self->workers) * sizeof *reply.workers);
    while ((conn = idmap_next (self->workers, &pos)))
        if (conn->welcomed && (!member || conn->worker == member->id))
            order_scrub (self, conn, &reply);
    if (reply.n_workers == 0) {
        front_refuse (self, job, DFS_EUNAVAIL, "the worker is not there");
        return;
    }
    job->answer.body_case = DFS__ENVELOPE__BODY_SCRUB_REPLY;
    job->answer.scrub_reply = &reply;
    front_reply (self, job);
}
