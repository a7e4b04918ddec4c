/* SPDX-License-Identifier: MPL-2.0 */
/* May a Commit or Stage be proposed? Each chunk it names must be durable on enough
 * workers: by the pins, or by the location table. */
#ifndef BROKER_CORE_COMMITS_H
#define BROKER_CORE_COMMITS_H

#include "broker/core/chunks.h"

typedef struct commits commits_t;

commits_t *commits_new (void);
void commits_destroy (commits_t **self_p);
void commits_event (core_t *core, const event_commit_t *event);
/* True when the token was one of ours. */
bool commits_found (core_t *core, const event_chunks_t *found);

#endif
