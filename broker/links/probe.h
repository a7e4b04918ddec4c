/* SPDX-License-Identifier: MPL-2.0 */
/* Tries whether somebody listens on a worker's ingest port, by a plain TCP connect, in
 * a thread of its own (names are resolved there too). Answers by mail (MAIL_PROBE). */
#ifndef BROKER_LINKS_PROBE_H
#define BROKER_LINKS_PROBE_H

#include "broker/state/mail.h"
#include "common/mailbox.h"

typedef struct prober prober_t;

/* OUT (borrowed) gets the answers. */
prober_t *prober_new (mailbox_t *out);
void prober_destroy (prober_t **self_p);
/* Any thread; takes the mail. */
void prober_push (prober_t *self, mail_probe_t *mail);

#endif
