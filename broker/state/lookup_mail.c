/* SPDX-License-Identifier: MPL-2.0 */
/* What the reactor asks the storage thread about the namespace as a whole. */
#include "broker/state/storage_private.h"

#include "common/log.h"

#define DIRECTORY_ARENA (64 * 1024 * 1024)
#define DECIDED_ARENA   (1024 * 1024)

static int fill_directory (namespace_t *ns, mail_directory_t *mail, dfs_error_t *err)
{
    namespace_identity (ns, mail->cluster_id, &mail->incarnation);
    int rc = namespace_members (ns, mail->arena, &mail->members, &mail->n_members, err);
    if (rc >= 0)
        rc = namespace_users (ns, mail->arena, &mail->users, &mail->n_users, err);
    if (rc >= 0)
        rc = namespace_policy (ns, 1, mail->arena, &mail->policy, err);
    if (rc >= 0)
        rc = namespace_policies (ns, mail->arena, &mail->policies, &mail->n_policies,
                                 err);
    return rc;
}

/* What removed workers had is known no longer: not to be counted among the copies that
 * are looked at. The rows themselves go bit by bit. */
static int forget_removed (tables_t *tables, const mail_directory_t *mail,
                           dfs_error_t *err)
{
    for (size_t i = 0; i < mail->n_members; i++) {
        const Dfs__Member *member = mail->members[i];
        int rc = member->removed
                     ? locations_forget (tables->locations, member->id, 0, err)
                     : 0;

        if (rc < 0)
            return rc;
    }
    return 0;
}

mail_directory_t *lookup_directory (tables_t *tables, uint64_t asked, dfs_error_t *err)
{
    mail_directory_t *mail = mail_new (MAIL_DIRECTORY, sizeof *mail);
    namespace_t *ns = tables->ns;

    mail->arena = arena_new (DIRECTORY_ARENA);
    mail->asked = asked;
    mail->seeded = namespace_seeded (ns);
    mail->index = namespace_applied (ns);
    mail->time_ns = namespace_time (ns);
    if (mail->seeded && (fill_directory (ns, mail, err) < 0 ||
                         forget_removed (tables, mail, err) < 0)) {
        wrap (err, "members");
        mail_free (&mail->head);
        return NULL;
    }
    return mail;
}

void lookup_totals (tables_t *tables, mail_totals_t *mail)
{
    namespace_totals (tables->ns, &mail->totals);
    mail->totals.free = namespace_free_chunks (tables->ns);
    namespace_reclaim_hold (tables->ns, &mail->hold);
    mail->applied = namespace_applied (tables->ns);
    mail->disks = locations_held (tables->locations, &mail->n_disks);
}

void lookup_chores (tables_t *tables, mail_chores_t *mail)
{
    mail->job = namespace_next_job (tables->ns);
    mail->prune = namespace_prune_due (tables->ns, mail->prune_now, &mail->at);
    mail->n_sessions =
        namespace_idle_sessions (tables->ns, mail->idle_before, &mail->idle_from,
                                 mail->sessions, CHORES_SESSIONS);
}

void lookup_decided (tables_t *tables, mail_decided_t *mail)
{
    dfs_error_t err;

    mail->arena = arena_new (DECIDED_ARENA);
    mail->code = namespace_remembered (tables->ns, mail->session, mail->request,
                                       mail->arena, &mail->result, &err);
    if (mail->code < 0)
        log_error ("lookup_failed", "err=\"%s\"", err.text);
}
