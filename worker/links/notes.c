/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/mailbox.h"
#include "worker/links/notes.h"

enum { NOTES_MAX = 16384 };

struct notes {
    mailbox_t *box;
    atomic_size_t waiting;
    atomic_size_t dropped;
};

notes_t *notes_new (void)
{
    notes_t *self = calloc (1, sizeof *self);
    assert (self);
    self->box = mailbox_new ();
    return self;
}

static void free_note (void *item)
{
    note_t *note = item;
    note_destroy (&note);
}

void notes_destroy (notes_t **self_p)
{
    notes_t *self = *self_p;
    if (!self)
        return;
    mailbox_destroy (&self->box, free_note);
    free (self);
    *self_p = NULL;
}

note_t *note_new (enum note_kind kind, int to)
{
    note_t *note = calloc (1, sizeof *note);
    assert (note);
    note->kind = kind;
    note->to = to;
    return note;
}

void note_destroy (note_t **note_p)
{
    note_t *note = *note_p;
    if (!note)
        return;
    free (note->pieces);
    free (note->yielded);
    free (note->verified);
    free (note->changes);
    free (note);
    *note_p = NULL;
}

static bool droppable (const note_t *note)
{
    return note->kind == NOTE_REFUSED || note->kind == NOTE_CREDIT ||
           note->kind == NOTE_STREAM_READY || note->kind == NOTE_TRACED ||
           note->kind == NOTE_SEND_REFUSED;
}

void notes_push (notes_t *self, note_t **note_p)
{
    note_t *note = *note_p;
    *note_p = NULL;
    if (atomic_load (&self->waiting) >= NOTES_MAX && droppable (note)) {
        size_t dropped = atomic_fetch_add (&self->dropped, 1) + 1;
        if ((dropped & (dropped - 1)) == 0)
            log_warn ("notes_dropped", "n=%zu", dropped);
        note_destroy (&note);
        return;
    }
    atomic_fetch_add (&self->waiting, 1);
    mailbox_push (self->box, note);
}

note_t *notes_pop (notes_t *self)
{
    note_t *note = mailbox_pop (self->box);
    if (note)
        atomic_fetch_sub (&self->waiting, 1);
    return note;
}

int notes_fd (const notes_t *self)
{
    return mailbox_fd (self->box);
}

void notes_refused (notes_t *self, uint64_t session, uint64_t upload, uint64_t trace,
                    const copykey_t *key, uint32_t worker, int code, const char *text)
{
    note_t *note = note_new (NOTE_REFUSED, NOTE_TO_LEADER);
    note->session = session;
    note->upload = upload;
    note->trace = trace;
    note->key = *key;
    note->worker = worker;
    note->code = code;
    snprintf (note->text, sizeof note->text, "%s", text ? text : "");
    notes_push (self, &note);
}

void notes_credit (notes_t *self, uint64_t session, uint64_t upload,
                   const copykey_t *key, uint64_t consumed)
{
    note_t *note = note_new (NOTE_CREDIT, NOTE_TO_LEADER);
    note->session = session;
    note->upload = upload;
    note->key = *key;
    note->consumed = consumed;
    notes_push (self, &note);
}

void notes_traced (notes_t *self, int to, uint64_t session, uint64_t trace,
                   const note_step_t *steps, size_t n)
{
    note_t *note = note_new (NOTE_TRACED, to);
    note->session = session;
    note->trace = trace;
    assert (n <= NOTE_STEPS);
    for (size_t i = 0; i < n; i++)
        note->steps[note->n++] = steps[i];
    notes_push (self, &note);
}

void notes_order (notes_t *self, int to, uint64_t order, uint64_t trace, int code,
                  const char *text)
{
    note_t *note = note_new (NOTE_ORDER_RESULT, to);
    note->order = order;
    note->trace = trace;
    note->code = code;
    snprintf (note->text, sizeof note->text, "%s", text ? text : "");
    notes_push (self, &note);
}
