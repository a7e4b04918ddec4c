/* SPDX-License-Identifier: MPL-2.0 */
/* Where each broker stands in the change sequence of each disk: what to send next, from
 * memory if it is recent, and when to send again or to list everything. No socket, no
 * clock, no disk. Owned by the link thread. */
#ifndef WORKER_LINKS_SEQUENCE_H
#define WORKER_LINKS_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/store/store.h"

#define SEQUENCE_PAGE   512  /* changes in a message */
#define SEQUENCE_RECENT 8192 /* changes of a disk kept in memory */

/* ---- recent changes of a disk ---- */

typedef struct recent recent_t;

recent_t *recent_new (void);
void recent_destroy (recent_t **self_p);
/* CHANGES became durable. */
void recent_add (recent_t *self, const store_change_t *changes, size_t n);
/* Highest sequence added; 0: none yet. */
uint64_t recent_last (const recent_t *self);
/* Copies changes from FIRST on (at most MAX) and returns their number; 0 when FIRST is
 * not in memory (too old, or not there yet). */
size_t recent_get (const recent_t *self, uint64_t first, store_change_t *out,
                   size_t max);

/* ---- one broker's position in one disk ---- */

enum position_state {
    POSITION_OFF,       /* not welcomed */
    POSITION_FOLLOWING, /* changes from `next` on */
    POSITION_LISTING,   /* an inventory is on its way */
};

typedef struct position {
    enum position_state state;
    uint64_t next;       /* first change not sent yet */
    uint64_t acked;      /* broker has applied up to here */
    uint64_t moved;      /* when `acked` last moved, or sending began */
    uint64_t page;       /* LISTING: pages sent */
    uint64_t stands;     /* LISTING: the sequence the inventory stands for */
    copykey_t after;     /* LISTING: last key sent */
    uint64_t first;      /* pages that may be sent before any was stored; 0: all */
    uint64_t given;      /* LISTING: pages that may be sent, where `first` says so */
    uint64_t not_before; /* after a failure: nothing is sent before */
    bool asked;          /* a page is being read from the store */
    uint32_t asked_as;   /* tells its answer from those of an earlier life */
} position_t;

/* The broker knows the disk's sequence up to SEQ (KNOWN), or has it in another
 * incarnation or not at all. */
void position_start (position_t *self, bool known, uint64_t seq, uint64_t now);
void position_list (position_t *self, uint64_t now);
void position_stop (position_t *self);
/* The broker takes FIRST pages of a listing, and more as it says so (0: it does not).
 */
void position_window (position_t *self, uint64_t first);
/* PAGES of the listing may be sent. */
void position_given (position_t *self, uint64_t pages, uint64_t now);
/* The next page of the listing may be sent; ask the broker when *ASK: word of it has
 * stayed away for PATIENCE. */
bool position_may_list (position_t *self, uint64_t patience, uint64_t now, bool *ask);
/* What an acknowledgement of SEQ means; true when changes have to be sent again. */
bool position_acked (position_t *self, uint64_t seq, uint64_t now);
/* True when acknowledgements have stayed away for PATIENCE: `next` went back. */
bool position_late (position_t *self, uint64_t patience, uint64_t now);
/* N changes from `next` on were sent. */
void position_sent (position_t *self, size_t n, uint64_t now);
/* The inventory is sent: follow from the sequence it stands for. */
void position_listed (position_t *self, uint64_t now);

#endif
