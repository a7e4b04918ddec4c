/* SPDX-License-Identifier: MPL-2.0 */
/* Changes on their way through the log: from a request (of a client, or the broker's
 * own) over the core's check and the journal to what apply decided. All that came in
 * one wake is proposed as one batch; the results of one batch go to a session in one
 * message. Reactor thread. */
#ifndef BROKER_LINKS_PENDING_H
#define BROKER_LINKS_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/event.h"
#include "broker/links/session.h"
#include "broker/state/mail.h"

#define CHANGES_MAX 65536 /* in flight; more are answered with DFS_EAGAIN */

struct links;
typedef struct pending pending_t;

pending_t *pending_new (void);
void pending_destroy (pending_t **self_p);

/* Takes a client's request that was checked; JOB holds its bytes (a reference is taken
 * for as long as they are needed). Its result, whatever it is, is sent to SESSION. */
void pending_request (struct links *links, session_t *session, job_t *job,
                      const Dfs__Request *request, uint64_t done_below);
/* The result of REQUEST is ERR: it was malformed. */
void pending_refuse (struct links *links, session_t *session, job_t *job,
                     uint64_t request, const dfs_error_t *err);
/* Proposes an op of the broker's own (packed at once). */
void pending_own (struct links *links, Dfs__Op *op);
/* As pending_own; ASKER (may be NULL; a reference is taken) is answered when the
 * directory shows it, or refused. */
void pending_own_for (struct links *links, Dfs__Op *op, job_t *asker);
/* As pending_own_for, in rounds: when it is applied ASKER goes to storage for the
 * totals of the ROUND after it. */
void pending_own_round (struct links *links, Dfs__Op *op, job_t *asker, uint32_t round);
/* As pending_own, for the core: it hears under TOKEN what became of it. */
void pending_core (struct links *links, Dfs__Op *op, uint64_t token);
/* Proposes an entry that tells what the state hash was after INDEX. */
void pending_hash (struct links *links, uint64_t index, const uint8_t hash[16]);
/* Ops of its own that are not applied yet. */
size_t pending_own_count (const pending_t *self);
/* Those among them that change members, users or policies. */
size_t pending_own_directory (const pending_t *self);

/* The core's answers about a commit. */
void pending_commit_ok (struct links *links, const action_commit_ok_t *ok);
void pending_commit_refused (struct links *links,
                             const action_commit_refused_t *refused);

/* Storage's answer about one that was refused. */
void pending_decided (struct links *links, const mail_decided_t *mail);

/* Proposes what was collected. */
void pending_flush (struct links *links);
/* What came back. */
void pending_applied (struct links *links, const mail_applied_t *mail);
void pending_dropped (struct links *links, const mail_dropped_t *mail);
/* This broker does not lead any more: what was not proposed is refused. What was, may
 * still be committed; the journal says what is dropped. */
void pending_leave (struct links *links);
/* Nothing is in flight. */
bool pending_idle (const pending_t *self);

#endif
