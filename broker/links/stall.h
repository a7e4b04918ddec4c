/* SPDX-License-Identifier: MPL-2.0 */
/* A storage thread that does not go on, because the disk of the namespace hangs: the
 * journal is told, which hands the lead on, and what would wait for it is refused.
 * Reactor thread only. */
#ifndef BROKER_LINKS_STALL_H
#define BROKER_LINKS_STALL_H

#include "broker/state/mail.h"

struct links;

typedef struct stall {
    uint64_t since; /* it was at that thing when last looked at; 0: at none */
    unsigned looks; /* in a row that found it there */
    bool hangs;
    uint64_t told_at; /* monotonic: when the totals below were; 0: never */
    namespace_totals_t totals;
    reclaim_hold_t hold;
    uint64_t applied;
} stall_t;

/* Once a second. */
void stall_tick (struct links *links);
/* What is answered while it hangs is what was known last. */
void stall_remember (struct links *links, const mail_totals_t *mail);
void stall_recall (struct links *links, mail_totals_t *mail);
/* A note for status; false: all is well. */
bool stall_note (const struct links *links, char *text, size_t cap);

#endif
