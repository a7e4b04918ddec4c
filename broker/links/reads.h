/* SPDX-License-Identifier: MPL-2.0 */
/* Reads that must see every change acknowledged before they were asked. Where there are
 * several brokers, a majority of them has to confirm that this one still leads: once
 * for all that came in one wake. Reactor thread. */
#ifndef BROKER_LINKS_READS_H
#define BROKER_LINKS_READS_H

#include "broker/state/mail.h"

struct links;
typedef struct reads reads_t;

reads_t *reads_new (void);
void reads_destroy (reads_t **self_p);

/* JOB goes to storage when that is confirmed and applied, or is refused (a reference is
 * taken). */
void reads_add (struct links *links, job_t *job);
/* Asks for what was collected. */
void reads_flush (struct links *links);
/* The journal's answer. */
void reads_point (struct links *links, const mail_read_t *mail);
/* More entries are applied. */
void reads_applied (struct links *links);
/* Refuses what has waited too long: no majority answers. */
void reads_tick (struct links *links);
/* This broker does not lead any more. */
void reads_leave (struct links *links);

#endif
