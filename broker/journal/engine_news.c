/* SPDX-License-Identifier: MPL-2.0 */
/* What comes to the engine from other threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#include "journal_private.h"

#define NOTES_MAX (64u * 1024 * 1024)

note_t *note_new (enum note_kind kind, const char *name)
{
    note_t *note = calloc (1, sizeof *note);
    if (!note)
        abort ();
    note->kind = kind;
    snprintf (note->name, sizeof note->name, "%s", name ? name : "");
    return note;
}

void note_free (note_t *note)
{
    free (note->brokers);
    free (note->bytes);
    free (note);
}

void engine_wake (journal_t *self)
{
    if (self->waiting)
        pthread_cond_signal (&self->wake);
    self->waiting = false;
}

void engine_tell (journal_t *self, note_t *note)
{
    pthread_mutex_lock (&self->lock);
    bool room = self->notes_bytes + note->len <= NOTES_MAX || note->len == 0;
    if (room) {
        self->notes_bytes += note->len;
        *self->notes_end = note;
        self->notes_end = &note->next;
        engine_wake (self);
    }
    pthread_mutex_unlock (&self->lock);
    if (!room)
        note_free (note); /* as if it had been lost on the way */
}

void engine_written (size_t n, void *journal)
{
    journal_t *self = journal;
    pthread_mutex_lock (&self->lock);
    self->persisted += n;
    engine_wake (self);
    pthread_mutex_unlock (&self->lock);
}

void engine_point_done (bool saved, void *journal)
{
    journal_t *self = journal;
    pthread_mutex_lock (&self->lock);
    self->point_done = true;
    self->point_saved = saved;
    engine_wake (self);
    pthread_mutex_unlock (&self->lock);
}

void engine_read_ready (void *journal)
{
    journal_t *self = journal;
    pthread_mutex_lock (&self->lock);
    self->read_ready = true;
    engine_wake (self);
    pthread_mutex_unlock (&self->lock);
}

void engine_fail (journal_t *self, const dfs_error_t *err)
{
    pthread_mutex_lock (&self->lock);
    bool first = self->failed.code == 0;
    if (first)
        self->failed = *err;
    self->stats.role = JOURNAL_FOLLOWER;
    engine_wake (self);
    pthread_mutex_unlock (&self->lock);
    if (!first)
        return;
    log_error ("journal_failed", "err=\"%s\"", err->text);
    self->events.failed (err, self->events.arg);
}

void engine_write_failed (const dfs_error_t *err, void *journal)
{
    engine_fail (journal, err);
}

void engine_received (peers_message_t *message, void *journal)
{
    journal_t *self = journal;
    if (message->kind == PEERS_ASK || message->kind == PEERS_PIECE) {
        lane_ask (self->lane, message);
        return;
    }
    note_t *note = note_new (message->kind == PEERS_HELLO ? NOTE_HELLO : NOTE_PACKET,
                             message->name);
    note->bytes = message->bytes;
    note->len = message->len;
    engine_tell (self, note);
}

void engine_fetched (int code, uint64_t state, const dfs_error_t *err, void *journal)
{
    note_t *note = note_new (code < 0 ? NOTE_NOT_FETCHED : NOTE_FETCHED, NULL);
    note->cookie = state;
    if (code < 0)
        note->err = *err;
    engine_tell (journal, note);
}
