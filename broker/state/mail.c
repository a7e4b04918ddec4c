/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/state/mail.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Answers and the core's questions are bounded by their makers, far below this. */
#define OUT_ARENA (64 * 1024 * 1024)

void *mail_new (enum mail_kind kind, size_t size)
{
    mail_t *mail = calloc (1, size);

    assert (mail);
    mail->kind = kind;
    return mail;
}

void mail_free (mail_t *mail)
{
    if (!mail)
        return;
    switch (mail->kind) {
    case MAIL_JOB:
        arena_destroy (&((job_t *)mail)->arena);
        arena_destroy (&((job_t *)mail)->out);
        free (((job_t *)mail)->lost);
        break;
    case MAIL_LOST:
        arena_destroy (&((mail_lost_t *)mail)->arena);
        free (((mail_lost_t *)mail)->keys);
        break;
    case MAIL_CORE:
        arena_destroy (&((mail_core_t *)mail)->arena);
        break;
    case MAIL_TOTALS:
        free (((mail_totals_t *)mail)->disks);
        if (((mail_totals_t *)mail)->job)
            mail_free (&((mail_totals_t *)mail)->job->head);
        break;
    case MAIL_POLICY:
        if (((mail_policy_t *)mail)->job)
            mail_free (&((mail_policy_t *)mail)->job->head);
        break;
    case MAIL_APPLIED:
        arena_destroy (&((mail_applied_t *)mail)->arena);
        free (((mail_applied_t *)mail)->rows);
        free (((mail_applied_t *)mail)->effects);
        break;
    case MAIL_DECIDED:
        arena_destroy (&((mail_decided_t *)mail)->arena);
        break;
    case MAIL_DIRECTORY:
        arena_destroy (&((mail_directory_t *)mail)->arena);
        break;
    case MAIL_ENTRIES:
    case MAIL_DURABLE:
    case MAIL_CHECKED:
    case MAIL_ROLE:
    case MAIL_DROPPED:
    case MAIL_READ:
    case MAIL_ANSWERED:
    case MAIL_MEMBERS:
    case MAIL_PROBE:
    case MAIL_CHORES:
    case MAIL_RELOAD:
    case MAIL_INSTALL:
    case MAIL_STOP:
        break;
    }
    free (mail);
}

mail_checked_t *mail_checked_new (bool altered, bool replaced)
{
    mail_checked_t *mail = mail_new (MAIL_CHECKED, sizeof *mail);

    mail->altered = altered;
    mail->replaced = replaced;
    return mail;
}

mail_entries_t *mail_entries_new (const journal_entry_t *entries, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += entries[i].len;
    mail_entries_t *mail = malloc (sizeof *mail + n * sizeof mail->rows[0] + bytes);
    assert (mail);
    mail->head.kind = MAIL_ENTRIES;
    mail->n = n;
    uint8_t *at = (uint8_t *)&mail->rows[n];
    for (size_t i = 0; i < n; i++) {
        mail->rows[i] = entries[i];
        mail->rows[i].data = at;
        if (entries[i].len)
            memcpy (at, entries[i].data, entries[i].len);
        at += entries[i].len;
    }
    return mail;
}

static const void *keep (arena_t *arena, const void *data, size_t size)
{
    void *copy = arena_dup (arena, data, size);

    assert (copy);
    return copy;
}

mail_core_t *mail_core_new (const action_t *ask)
{
    mail_core_t *mail = mail_new (MAIL_CORE, sizeof *mail);
    arena_t *arena = arena_new (OUT_ARENA);

    mail->arena = arena;
    mail->ask = *ask;
    switch (ask->type) {
    case ACTION_LOOKUP_MARKS: {
        action_lookup_marks_t *a = &mail->ask.u.marks;
        a->stores = keep (arena, a->stores, a->n * sizeof *a->stores);
        break;
    }
    case ACTION_LOCATIONS_APPLY: {
        action_apply_t *a = &mail->ask.u.apply;
        a->items = keep (arena, a->items, a->n * sizeof *a->items);
        break;
    }
    case ACTION_LOOKUP_CHUNKS: {
        action_lookup_chunks_t *a = &mail->ask.u.chunks;
        a->keys = keep (arena, a->keys, a->n * sizeof *a->keys);
        break;
    }
    case ACTION_LOOKUP_EXTENTS: {
        action_lookup_extents_t *a = &mail->ask.u.extents;
        a->pieces = keep (arena, a->pieces, a->n * sizeof *a->pieces);
        break;
    }
    case ACTION_LOOKUP_BYTES: {
        action_bytes_t *a = &mail->ask.u.bytes;
        a->workers = keep (arena, a->workers, a->n * sizeof *a->workers);
        break;
    }
    case ACTION_SCAN_WORKER:
    case ACTION_LOOKUP_RECLAIM:
        break;
    default:
        assert (!"action that is not for storage");
    }
    return mail;
}

mail_lost_t *mail_lost_new (void)
{
    mail_lost_t *mail = mail_new (MAIL_LOST, sizeof *mail);

    mail->arena = arena_new (OUT_ARENA);
    dfs__list__init (&mail->ask);
    return mail;
}

job_t *job_new (void)
{
    job_t *job = mail_new (MAIL_JOB, sizeof *job);

    job->arena = arena_new (ENVELOPE_ARENA);
    job->out = arena_new (OUT_ARENA);
    job->refs = 1;
    return job;
}

void job_reset (job_t *job)
{
    arena_t *arena = job->arena;
    arena_t *out = job->out;

    arena_reset (arena);
    arena_reset (out);
    free (job->lost);
    memset (job, 0, sizeof *job);
    job->head.kind = MAIL_JOB;
    job->arena = arena;
    job->out = out;
    job->refs = 1;
}

void job_refuse (job_t *job, int code, const char *text)
{
    Dfs__Status *status = arena_alloc (job->out, sizeof *status);

    assert (status);
    dfs__status__init (status);
    status->code = code;
    if (text)
        status->text = arena_dup (job->out, text, strlen (text));
    job->answer.body_case = DFS__ENVELOPE__BODY__NOT_SET;
    job->answer.status = status;
}
