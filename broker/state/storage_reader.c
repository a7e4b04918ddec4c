/* SPDX-License-Identifier: MPL-2.0 */
/* The reader thread: what takes long and sees only what is committed. */
#include <pthread.h>
#include <stdlib.h>

#include "broker/state/storage_private.h"
#include "common/clock.h"
#include "common/log.h"

#define POLICY_RECORDS 20000 /* looked at before others have their turn */

static void read_listing (storage_t *self, job_t *job)
{
    Dfs__Listing *listing = NULL;
    dfs_error_t err;

    if (job->expires && clock_mono () >= job->expires) { /* nobody waits for it */
        mailbox_push (self->config.out, job);
        return;
    }
    if (job->env->list->lost) {
        namespace_reader_lost (self->reader, job->lost, job->n_lost);
        job->lost = NULL;
    }
    int code = namespace_list (self->reader, job->env->list, job->out, &listing, &err);
    if (code < 0)
        job_refuse (job, code, err.text);
    else {
        job->answer.body_case = DFS__ENVELOPE__BODY_LISTING;
        job->answer.listing = listing;
    }
    mailbox_push (self->config.out, job);
}

static void read_lost (storage_t *self, mail_lost_t *mail)
{
    dfs_error_t err;

    namespace_reader_lost (self->reader, mail->keys, mail->n);
    mail->keys = NULL;
    mail->code =
        namespace_list (self->reader, &mail->ask, mail->arena, &mail->listing, &err);
    mailbox_push (self->config.out, mail);
}

/* A piece at a time: listings do not wait for all of it. */
static void read_policy (storage_t *self, mail_policy_t *mail)
{
    dfs_error_t err;

    mail->code = namespace_policy_use (self->reader, &mail->use, POLICY_RECORDS, &err);
    if (mail->code < 0)
        log_error ("policy_use", "err=\"%s\"", err.text);
    mailbox_push (mail->code > 0 ? self->reader_in : self->config.out, mail);
}

static void *reader_main (void *arg)
{
    storage_t *self = arg;

    for (;;) {
        mail_t *mail = mailbox_wait (self->reader_in, -1);
        if (mail == NULL)
            continue;
        if (mail->kind == MAIL_STOP) {
            mail_free (mail);
            return NULL;
        }
        if (mail->kind == MAIL_JOB) {
            read_listing (self, (job_t *)mail);
            continue;
        }
        if (mail->kind == MAIL_LOST) {
            read_lost (self, (mail_lost_t *)mail);
            continue;
        }
        if (mail->kind == MAIL_POLICY) {
            read_policy (self, (mail_policy_t *)mail);
            continue;
        }
        mail_core_t *scan = (mail_core_t *)mail;
        lookup_referenced (self->reader, scan);
        scan->read = true;
        mailbox_push (self->in, scan);
    }
}

void storage_start_reader (storage_t *self)
{
    if (pthread_create (&self->reader_thread, NULL, reader_main, self))
        abort ();
    self->reading = true;
    self->selfcheck = selfcheck_new (self->tables.ns, self->config.out);
}
