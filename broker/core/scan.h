/* SPDX-License-Identifier: MPL-2.0 */
/* Finds chunks that have too few copies: those of a worker that died, page by page; all
 * of them once after the start and when a listing shows that copies went missing;
 * single ones that a worker reports as gone or damaged. What it finds goes to the
 * copier. */
#ifndef BROKER_CORE_SCAN_H
#define BROKER_CORE_SCAN_H

#include "broker/core/members.h"

typedef struct scan scan_t;

scan_t *scan_new (void);
void scan_destroy (scan_t **self_p);

void scan_worker_changed (core_t *core, worker_t *worker, int before);
/* Every chunk with references, when enough is known. */
void scan_all (core_t *core);
/* As scan_all, in a while: some are known, and there is nothing to do for them now. */
void scan_later (core_t *core);
/* Between two passes over all chunks that only count: they take a small share of the
 * time, however many chunks there are. */
uint64_t scan_pause (const core_t *core);
/* This broker leads from now on: what the states of workers ask for, and everything
 * once every worker that is not dead has told what it has. */
void scan_begin (core_t *core);
/* That has come about: repair knows what is missing. */
bool scan_known (const core_t *core);
/* This one, in a batch at the end of the step. */
void scan_check (core_t *core, const copykey_t *key);
/* New references may name copies of a worker that is drained, or stand under a policy
 * with more copies than the upload knew of. */
void scan_committed (core_t *core, const event_committed_t *committed);
/* True when the token was one of ours. */
bool scan_found (core_t *core, const event_chunks_t *found);
void scan_scanned (core_t *core, const event_scanned_t *scanned);
/* Ends a hold of repair and lets no new one begin for the workers that are dead now. */
void scan_resume (core_t *core);
/* Asks for what is wanted next; at the end of each step. */
void scan_flush (core_t *core);
/* Nothing has to be looked at any more. */
bool scan_idle (const core_t *core);
void scan_status (const core_t *core, core_status_t *out);

#endif
