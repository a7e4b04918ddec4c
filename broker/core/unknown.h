/* SPDX-License-Identifier: MPL-2.0 */
/* Looks through what workers have for chunks that the namespace does not know: left
 * over from uploads that nobody remembers. A few are condemned; many mean that the
 * namespace is not what it was, and hold reclaim. */
#ifndef BROKER_CORE_UNKNOWN_H
#define BROKER_CORE_UNKNOWN_H

#include "broker/core/members.h"

typedef struct unknown unknown_t;

unknown_t *unknown_new (void);
void unknown_destroy (unknown_t **self_p);
void unknown_begin (core_t *core);
/* The next step, when it is time. Copies born up to FORGIVEN were accepted by an
 * operator. */
void unknown_go (core_t *core, uint64_t forgiven);
bool unknown_scanned (core_t *core, const event_scanned_t *found);
bool unknown_proposed (core_t *core, const event_proposed_t *event);
void unknown_timer (core_t *core);

#endif
