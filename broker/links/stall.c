/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/stall.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/links/links_private.h"

/* A commit of the namespace writes much more than one of the log, so it may take
 * longer. Looks are counted, not time: a process that was stopped finds everything
 * old. */
#define LOOKS 10

void stall_tick (links_t *links)
{
    stall_t *self = &links->stall;
    uint64_t since = storage_busy_since (links->storage);

    self->looks = since && since == self->since ? self->looks + 1 : 0;
    self->since = since;
    bool hangs = self->looks >= LOOKS;
    if (hangs == self->hangs)
        return;
    self->hangs = hangs;
    if (hangs)
        log_error ("namespace_hangs",
                   "index=%" PRIu64 " seconds=%" PRIu64
                   " err=\"the disk of the namespace does not answer\"",
                   links->log_index, (uint64_t)((links->now - since) / SEC));
    else
        log_info ("namespace_goes_on", "index=%" PRIu64, links->log_index);
    agree_say (links);
}

void stall_remember (links_t *links, const mail_totals_t *mail)
{
    stall_t *self = &links->stall;

    if (self->hangs)
        return;
    self->told_at = links->now;
    self->totals = mail->totals;
    self->hold = mail->hold;
    self->applied = mail->applied;
}

void stall_recall (links_t *links, mail_totals_t *mail)
{
    const stall_t *self = &links->stall;

    mail->totals = self->totals;
    mail->hold = self->hold;
    mail->applied = self->applied;
}

bool stall_note (const links_t *links, char *text, size_t cap)
{
    const stall_t *self = &links->stall;

    if (!self->hangs)
        return false;
    if (self->told_at)
        snprintf (text, cap,
                  "the namespace of broker %s does not answer: its counts are those of "
                  "%" PRIu64 " s ago",
                  links->config.broker->name,
                  (uint64_t)((links->now - self->told_at) / SEC));
    else
        snprintf (text, cap,
                  "the namespace of broker %s does not answer: its counts are not "
                  "known",
                  links->config.broker->name);
    return true;
}
