/* SPDX-License-Identifier: MPL-2.0 */
/* A queue of pointers from any thread to one owner, with a descriptor to poll: one
 * wake-up for all that was pushed meanwhile. Ownership of an item passes with it. */
#ifndef COMMON_MAILBOX_H
#define COMMON_MAILBOX_H

#include <stddef.h>

typedef struct mailbox mailbox_t;

mailbox_t *mailbox_new (void);
/* FREE_ITEM (may be NULL) gets what was never popped. */
void mailbox_destroy (mailbox_t **self_p, void (*free_item) (void *item));
/* Any thread. ITEM is not NULL. */
void mailbox_push (mailbox_t *self, void *item);
/* Owner only: the oldest item, NULL when there is none (the descriptor is then clear).
 */
void *mailbox_pop (mailbox_t *self);
/* As mailbox_pop, waits at most TIMEOUT_MS (-1: for ever). */
void *mailbox_wait (mailbox_t *self, int timeout_ms);
/* Readable when there may be items. */
int mailbox_fd (const mailbox_t *self);

#endif
