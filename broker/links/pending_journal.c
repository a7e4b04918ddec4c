/* SPDX-License-Identifier: MPL-2.0 */
/* Changes and the journal: what it takes, what it drops, the end of the leadership,
 * what was decided before. */
#include <assert.h>
#include <stdlib.h>

#include "broker/links/pending_private.h"

#define PIECE_MAX (16 * 1024 * 1024) /* of entries proposed at once */

/* The journal did not take CHANGE, or will not commit it. What the client hears must
 * not be final when the change may be committed yet, or was already under an earlier
 * try: nothing, when this process cannot go on; else that it asks again. */
static void not_taken (links_t *links, change_t *change, int code, const char *text)
{
    if ((code == DFS_ENOSPC || code == DFS_EQUOTA) && links_several (links))
        code = DFS_EAGAIN; /* another one leads soon */
    switch (code) {
    case DFS_EAGAIN:
    case DFS_ENOTLEADER:
    case DFS_ENOSPC:
    case DFS_EQUOTA:
        change_refuse (links, change, code, text, NULL, 0);
        return;
    default:
        log_error ("journal_lost", "code=%s err=\"%s\"", dfs_error_name (code), text);
        if (change->session == 0) {
            change_refuse (links, change, DFS_EUNAVAIL, text, NULL, 0);
            return;
        }
        change_forget (links->pending, change);
        links->pending->in_flight -= change->bytes;
        change_free (change);
        return;
    }
}

void pending_flush (links_t *links)
{
    pending_t *self = links->pending;
    size_t at = 0, first = 0;
    dfs_error_t err;

    for (size_t i = 0; i < self->n_batch; i++) {
        self->batch[i].data = self->bytes + at;
        at += self->batch[i].len;
    }
    while (first < self->n_batch) {
        size_t n = 0, len = 0;

        while (first + n < self->n_batch &&
               (n == 0 || len + self->batch[first + n].len <= PIECE_MAX))
            len += self->batch[first + n++].len;
        int rc = journal_propose (links->journal, self->batch + first, n, &err);
        for (size_t i = first; rc < 0 && i < first + n; i++) {
            change_t *change = idmap_get (self->by_cookie, self->batch[i].cookie);
            not_taken (links, change, rc, err.text);
        }
        first += n;
    }
    self->n_batch = 0;
    self->n_bytes = 0;
}

void pending_dropped (links_t *links, const mail_dropped_t *mail)
{
    for (size_t i = 0; i < mail->n; i++) {
        change_t *change = idmap_get (links->pending->by_cookie, mail->cookies[i]);
        if (change)
            not_taken (links, change, mail->code, "change was not committed");
    }
}

void pending_leave (links_t *links)
{
    pending_t *self = links->pending;
    change_t **list = calloc (idmap_count (self->by_cookie) + 1, sizeof *list);
    change_t *change;
    size_t n = 0, pos = 0;

    assert (list);
    while ((change = idmap_next (self->by_cookie, &pos))) {
        if (change->op)
            list[n++] = change;
    }
    for (size_t i = 0; i < n; i++)
        change_refuse (links, list[i], DFS_ENOTLEADER, "this broker does not lead",
                       NULL, 0);
    free (list);
}

void change_let_go (links_t *links, change_t *change)
{
    links->pending->held -= change->held;
    change->held = 0;
    if (change->job)
        links_release (links, change->job);
    change->job = NULL;
}

void pending_decided (links_t *links, const mail_decided_t *mail)
{
    change_t *change = idmap_get (links->pending->by_cookie, mail->cookie);

    if (!change || !change->op)
        return;
    if (mail->code <= 0) {
        int code = mail->code < 0 ? DFS_EAGAIN : DFS_EMISSING;
        change_refuse (links, change, code, dfs_error_text (code), change->missing,
                       mail->code < 0 ? 0 : change->n_missing);
        return;
    }
    results_add (links, change, mail->result);
    results_send (links);
    change_forget (links->pending, change);
    change_let_go (links, change);
    change_free (change);
}
