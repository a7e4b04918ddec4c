/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/control.pb-c.h"
#include "worker/flow/settle.h"

struct settler {
    pthread_mutex_t lock; /* forward, pending */
    notes_t *notes;       /* borrowed */
    forward_t *forward;   /* borrowed */
    size_t pending;
};

settler_t *settler_new (notes_t *notes)
{
    settler_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    self->notes = notes;
    return self;
}

void settler_destroy (settler_t **self_p)
{
    settler_t *self = *self_p;
    if (!self)
        return;
    assert (self->pending == 0);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

void settler_set_forward (settler_t *self, forward_t *forward)
{
    pthread_mutex_lock (&self->lock);
    self->forward = forward;
    pthread_mutex_unlock (&self->lock);
}

size_t settler_pending (settler_t *self)
{
    pthread_mutex_lock (&self->lock);
    size_t n = self->pending;
    pthread_mutex_unlock (&self->lock);
    return n;
}

void settler_forward (settler_t *self, forward_item_t **item_p)
{
    if (!*item_p)
        return;
    pthread_mutex_lock (&self->lock);
    if (self->forward)
        forward_queue (self->forward, item_p);
    else
        forward_item_destroy (item_p);
    pthread_mutex_unlock (&self->lock);
}

settle_t *settle_new (settler_t *owner)
{
    settle_t *self = calloc (1, sizeof *self);
    assert (self);
    self->owner = owner;
    pthread_mutex_lock (&owner->lock);
    owner->pending++;
    pthread_mutex_unlock (&owner->lock);
    return self;
}

void settle_destroy (settle_t **self_p)
{
    settle_t *self = *self_p;
    if (!self)
        return;
    settler_t *owner = self->owner;
    forward_item_destroy (&self->item);
    free (self);
    *self_p = NULL;
    pthread_mutex_lock (&owner->lock);
    owner->pending--;
    pthread_mutex_unlock (&owner->lock);
}

uint64_t settle_cookie (settle_t *self)
{
    return (uint64_t)(uintptr_t)self;
}

static void stored_again (settle_t *self)
{
    note_t *note = note_new (NOTE_STORED_AGAIN, NOTE_TO_ALL);
    note->key = self->key;
    note->upload = self->upload;
    notes_push (self->owner->notes, &note);
}

/* The chunk is durable. */
static void tell_time (const settle_t *self)
{
    uint64_t now = clock_mono ();
    uint64_t whole = self->whole_at ? self->whole_at : now;
    if (self->traced) {
        note_step_t steps[] = {
            {DFS__TRACE_STEP__STEP_RECEIVE, whole - self->came_at, self->length},
            {DFS__TRACE_STEP__STEP_STORE, now - whole, self->length}};
        notes_traced (self->owner->notes, NOTE_TO_LEADER, self->session, self->trace,
                      steps, 2);
    }
    if (log_is_slow (now - self->came_at)) {
        char text[COPYKEY_TEXT];
        log_warn ("slow",
                  "req=%016" PRIx64 " kind=store chunk=%s ms=%" PRIu64
                  " receive_ms=%" PRIu64,
                  self->trace, copykey_text (&self->key, text),
                  (uint64_t)((now - self->came_at) / MS),
                  (uint64_t)((whole - self->came_at) / MS));
    }
}

void settle_had (settle_t **self_p)
{
    settle_t *self = *self_p;
    stored_again (self);
    settler_forward (self->owner, &self->item);
    settle_destroy (self_p);
}

void settle_done (uint64_t cookie, int code, void *arg)
{
    (void)arg;
    settle_t *self = (settle_t *)(uintptr_t)cookie;
    notes_t *notes = self->owner->notes;
    if (code == DFS_EEXIST)
        stored_again (self);
    if (code == DFS_OK || code == DFS_EEXIST)
        tell_time (self);
    if (code == DFS_OK || code == DFS_EEXIST)
        settler_forward (self->owner, &self->item);
    else {
        notes_refused (notes, self->session, self->upload, self->trace, &self->key, 0,
                       code, "not stored");
        note_t *note = note_new (NOTE_STATE, NOTE_TO_ALL);
        notes_push (notes, &note);
    }
    settle_destroy (&self);
}
