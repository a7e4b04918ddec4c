/* SPDX-License-Identifier: MPL-2.0 */
/* A thread that now and then reads every record of the namespace and compares their sum
 * with the one that is kept up: a record that was altered on the disk, behind the
 * broker's back, is found although nobody asks for it. */
#ifndef BROKER_STATE_SELFCHECK_H
#define BROKER_STATE_SELFCHECK_H

#include "broker/state/mail.h"
#include "common/mailbox.h"

typedef struct selfcheck selfcheck_t;

/* Looks first a moment after the start, then daily. NS is borrowed and stays open; OUT
 * gets a mail_checked_t each time. */
selfcheck_t *selfcheck_new (namespace_t *ns, mailbox_t *out);
/* Ends a look that is under way. */
void selfcheck_destroy (selfcheck_t **self_p);

#endif
