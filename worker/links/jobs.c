/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/mailbox.h"
#include "worker/links/actor.h"
#include "worker/links/jobs.h"

struct jobs {
    void (*work) (void *job, void *arg);
    void (*free_job) (void *job);
    void *arg;
    mailbox_t *box;
    actor_t *actor;
};

static void run (void *pipe, void *arg)
{
    jobs_t *self = arg;
    zmq_pollitem_t items[] = {
        {.socket = pipe, .events = ZMQ_POLLIN},
        {.fd = mailbox_fd (self->box), .events = ZMQ_POLLIN},
    };
    for (;;) {
        void *job = mailbox_pop (self->box);
        if (job)
            self->work (job, self->arg);
        int rc = zmq_poll (items, 2, job ? 0 : -1);
        if ((rc < 0 && errno != EINTR) || (rc > 0 && items[0].revents))
            break;
    }
}

jobs_t *jobs_new (void (*work) (void *job, void *arg), void (*free_job) (void *job),
                  void *arg, dfs_error_t *err)
{
    jobs_t *self = calloc (1, sizeof *self);
    assert (self);
    self->work = work;
    self->free_job = free_job;
    self->arg = arg;
    self->box = mailbox_new ();
    self->actor = actor_new (run, self);
    if (!self->actor) {
        fail (err, DFS_ESYS, "start a thread");
        jobs_destroy (&self);
    }
    return self;
}

void jobs_destroy (jobs_t **self_p)
{
    jobs_t *self = *self_p;
    if (!self)
        return;
    actor_destroy (&self->actor);
    mailbox_destroy (&self->box, self->free_job);
    free (self);
    *self_p = NULL;
}

void jobs_push (jobs_t *self, void *job)
{
    mailbox_push (self->box, job);
}
