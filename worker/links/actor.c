/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <czmq.h>

#include "worker/links/actor.h"

struct actor {
    zactor_t *actor;
    void (*run) (void *pipe, void *arg);
    void *arg;
};

static void run (zsock_t *pipe, void *arg)
{
    actor_t *self = arg;
    zsock_signal (pipe, 0);
    self->run (zsock_resolve (pipe), self->arg);
}

actor_t *actor_new (void (*body) (void *pipe, void *arg), void *arg)
{
    actor_t *self = calloc (1, sizeof *self);
    assert (self);
    self->run = body;
    self->arg = arg;
    self->actor = zactor_new (run, self);
    if (!self->actor) {
        free (self);
        return NULL;
    }
    return self;
}

void actor_destroy (actor_t **self_p)
{
    actor_t *self = *self_p;
    if (!self)
        return;
    zactor_destroy (&self->actor);
    free (self);
    *self_p = NULL;
}
