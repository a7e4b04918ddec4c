/* SPDX-License-Identifier: MPL-2.0 */
/* Members, users and policy as the log has them, for the reactor: told to the core,
 * used by the hellos, and brought up to what cluster.cfg and the keys directory say
 * (the seed of a new cluster, workers and users added later). Also the log's
 * housekeeping: jobs, silent sessions, pruning. Reactor thread. */
#ifndef BROKER_LINKS_ROSTER_H
#define BROKER_LINKS_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/state/mail.h"

struct links;
typedef struct roster roster_t;

roster_t *roster_new (void);
void roster_destroy (roster_t **self_p);

/* Takes what storage found. Asks the log for what is missing when this broker leads. */
void roster_directory (struct links *links, mail_directory_t *mail);
/* The role or the term changed. */
void roster_role (struct links *links);
/* This broker leads, the core knows it, and the directory is one of this term. */
bool roster_leads (const roster_t *self);
/* Asks storage for a new one: a member changed. */
void roster_refresh (struct links *links);
/* cluster.cfg or the keys directory changed: lets the keys in. */
void roster_allow (struct links *links);
/* The log has its seed and this broker knows it. */
bool roster_seeded (const roster_t *self);
/* Housekeeping: asks storage what there is to do, and does it. */
void roster_chores (struct links *links);
void roster_chores_found (struct links *links, const mail_chores_t *mail);

/* Borrowed until the next directory; NULL when there is none. Removed members are not
 * found by name. */
const Dfs__Member *roster_worker (const roster_t *self, const char *name);
/* One of this name was removed. */
bool roster_was_worker (const roster_t *self, const char *name);
const Dfs__Member *roster_worker_id (const roster_t *self, uint32_t id);
const Dfs__User *roster_user (const roster_t *self, const char *name);
Dfs__Policy *roster_policy (const roster_t *self);
/* Copies that a policy asks for (0: the default); 0: not known. */
uint32_t roster_replicas (const roster_t *self, uint32_t policy);
/* In order of their ids; as long-lived as the directory. */
Dfs__Policy **roster_policies (const roster_t *self, size_t *n);
bool roster_policies_many (const roster_t *self);
bool roster_admin (const roster_t *self, uint32_t user);
/* Answers JOB (takes a reference that the caller has) with front_admin_done when the
 * directory shows entry INDEX. */
void roster_answer_at (struct links *links, job_t *job, uint64_t index);

#endif
