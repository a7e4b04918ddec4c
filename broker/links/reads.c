/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/reads.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/links/links_private.h"

#define PATIENCE (3 * SEC)

/* Reads that share one confirmation. */
typedef struct batch {
    struct batch *next;
    uint64_t cookie;
    uint64_t asked; /* monotonic */
    bool confirmed;
    uint64_t index; /* to be applied first */
    job_t *jobs;    /* list, newest first; each holds a reference */
} batch_t;

struct reads {
    batch_t *batches; /* that the journal was asked about, or that wait for an index */
    job_t *fresh;     /* of this wake */
    uint64_t last;
};

reads_t *reads_new (void)
{
    reads_t *self = calloc (1, sizeof *self);

    assert (self);
    return self;
}

static void free_jobs (job_t *job)
{
    while (job) {
        job_t *next = job->next;
        job->next = NULL;
        if (--job->refs == 0)
            mail_free (&job->head);
        job = next;
    }
}

void reads_destroy (reads_t **self_p)
{
    reads_t *self = *self_p;

    if (!self)
        return;
    free_jobs (self->fresh);
    while (self->batches) {
        batch_t *batch = self->batches;
        self->batches = batch->next;
        free_jobs (batch->jobs);
        free (batch);
    }
    free (self);
    *self_p = NULL;
}

void reads_add (links_t *links, job_t *job)
{
    if (!links_several (links)) {
        links_ask_storage (links, job);
        return;
    }
    job->refs++;
    links->n_asked++;
    job->next = links->reads->fresh;
    links->reads->fresh = job;
}

void reads_flush (links_t *links)
{
    reads_t *self = links->reads;

    if (!self->fresh)
        return;
    batch_t *batch = calloc (1, sizeof *batch);
    assert (batch);
    batch->cookie = ++self->last;
    batch->asked = links->now;
    batch->jobs = self->fresh;
    batch->next = self->batches;
    self->fresh = NULL;
    self->batches = batch;
    journal_read_point (links->journal, batch->cookie);
}

/* Ends a batch: its reads go to storage, or are refused with CODE. */
static void end (links_t *links, batch_t **at, int code)
{
    batch_t *batch = *at;

    *at = batch->next;
    while (batch->jobs) {
        job_t *job = batch->jobs;
        batch->jobs = job->next;
        job->next = NULL;
        links->n_asked--;
        if (code == DFS_OK) {
            if (job->env->body_case == DFS__ENVELOPE__BODY_LIST)
                job->index = links->log_index;
            links_ask_storage (links, job);
        } else if (code == DFS_ENOTLEADER)
            front_not_leader (links, job);
        else if (code == DFS_EAGAIN)
            front_refuse (links, job, code, "the namespace does not come along");
        else
            front_refuse (links, job, DFS_EUNAVAIL,
                          "no majority of the brokers answers");
        links_release (links, job);
    }
    free (batch);
}

void reads_point (links_t *links, const mail_read_t *mail)
{
    batch_t **at = &links->reads->batches;

    while (*at && (*at)->cookie != mail->cookie)
        at = &(*at)->next;
    if (!*at)
        return;
    (*at)->confirmed = true;
    (*at)->index = mail->index;
    if (mail->code < 0 || links->log_index >= mail->index)
        end (links, at, mail->code);
}

void reads_applied (links_t *links)
{
    batch_t **at = &links->reads->batches;

    while (*at) {
        if ((*at)->confirmed && links->log_index >= (*at)->index)
            end (links, at, DFS_OK);
        else
            at = &(*at)->next;
    }
}

void reads_tick (links_t *links)
{
    batch_t **at = &links->reads->batches;

    while (*at) {
        if (links->now - (*at)->asked >= PATIENCE)
            end (links, at, (*at)->confirmed ? DFS_EAGAIN : DFS_EUNAVAIL);
        else
            at = &(*at)->next;
    }
}

void reads_leave (links_t *links)
{
    reads_flush (links);
    while (links->reads->batches)
        end (links, &links->reads->batches, DFS_ENOTLEADER);
}
