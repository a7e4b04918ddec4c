/* SPDX-License-Identifier: MPL-2.0 */
/* Whether the brokers agree: on what the namespace is, by the hash that the leader puts
 * into the log now and then, and on what time it is. One whose namespace is not that of
 * the others neither leads nor answers. Reactor thread. */
#ifndef BROKER_LINKS_AGREE_H
#define BROKER_LINKS_AGREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/links/witness.h"
#include "broker/state/mail.h"

struct links;

typedef struct agree {
    witness_t witness;
    uint8_t hash[16];    /* of the namespace after... */
    uint64_t index;      /* ...this entry */
    uint64_t told_index; /* of the last entry of ours that told a hash */
    uint64_t told_at;    /* monotonic */
    bool telling;        /* one is on its way */
    bool altered;        /* records are not what was written */
    bool odd;            /* a majority has another namespace */
    bool doubt;          /* the log says so, nobody else yet */
    bool unfit;          /* so this broker keeps away from leading and answering */
} agree_t;

/* Tells the journal, for the others. */
void agree_say (struct links *links);
/* A batch of entries was applied. */
void agree_applied (struct links *links, const mail_applied_t *mail);
/* The entry at INDEX, which told a hash, was applied; 0: it was dropped. */
void agree_told (struct links *links, uint64_t index);
void agree_checked (struct links *links, const mail_checked_t *mail);
/* What time it is for the others. */
void agree_clocks (struct links *links);
/* Once a second: all that the others say. */
void agree_tick (struct links *links);
/* This broker may answer and lead. */
bool agree_fit (const struct links *links);
/* What may not be taken back (pruning, expiring, condemning) must wait. */
bool agree_holds (const struct links *links);
/* Why broker M is not fit, in TEXT (a line for people); false when it is. */
bool agree_trouble (const struct links *links, const journal_member_t *m, char *text,
                    size_t cap);
/* The same for time; of this broker. */
bool agree_clock (const struct links *links, char *text, size_t cap);

#endif
